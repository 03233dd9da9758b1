"""The prices in prices.yaml, and the cost of answers: the API reports tokens, but no amounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import Field, ValidationError

from include.enrichment.cost.bounds import Frozen
from include.enrichment.errors import SpecError

_FILE = Path(__file__).with_suffix(".yaml")
_PER_TOKEN = Decimal("0.000001")
#: An amount in US dollars. Twelve places hold the exact price of one token, whichever discounts are combined.
USD = pa.decimal128(18, 12)
_PLACES = 12
#: The largest amount that such a column holds. A higher cost is recorded as this.
MOST_USD = Decimal(10) ** (USD.precision - USD.scale) - Decimal(10) ** -USD.scale
_PER_TOKEN_TYPE = pa.decimal128(_PLACES, _PLACES)
_SEARCH = pa.decimal128(6, 4)
_COUNT = pa.decimal128(19, 0)
_NEVER = (1 << 63) - 1
_SMALLEST_SHOWN = Decimal("0.0001")

#: The kinds of tokens in the usage of an answer, each with its rate.
TOKEN_RATES = {
    "input_tokens": "input",
    "cache_write_5m_tokens": "write_5m",
    "cache_write_1h_tokens": "write_1h",
    "cache_read_tokens": "read",
    "output_tokens": "output",
}
_PROMPT = [kind for kind in TOKEN_RATES if kind != "output_tokens"]
#: The columns that the cost of an answer depends on.
BILLED_COLUMNS = ["model", *TOKEN_RATES, "inference_geo", "service_tier", "web_searches"]
_BATCH_TIER = "batch"
#: A column of sum_costs(), and of answers that several calls gave: whether the rates for long prompts apply.
_LONG = "long_prompt"


class Rates(Frozen):
    """US dollars per million tokens of each kind, without the batch discount."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    write_5m: Decimal = Field(ge=0)
    write_1h: Decimal = Field(ge=0)
    read: Decimal = Field(ge=0)


class LongPrompt(Rates):
    """The rates of a request whose prompt has more than ``above_tokens`` tokens."""

    above_tokens: int = Field(ge=1, le=_NEVER)


class Price(Rates):
    """
    The rates of a model.

    :param cache_from: the shortest prefix that the prompt cache keeps, in tokens
    :param retires: the announced retirement date of the model, if any
    :param successor: the recommended replacement
    """

    cache_from: int = Field(ge=0)
    long_prompt: LongPrompt | None = None
    retires: date | None = None
    successor: str | None = None


class Prices(Frozen):
    """
    The content of prices.yaml.

    :param source: the page that the prices were copied from, on the day ``as_of``
    :param batch: the price factor of a token in a batch
    :param inference_geo: the price factor of a token by the region that the request names
    :param web_search: US dollars per search, the same in a batch
    :param models: by name

    Raises ValueError for a rate that USD cannot hold exactly.
    """

    source: str
    as_of: date
    batch: Decimal = Field(gt=0, le=1)
    inference_geo: Mapping[str, Decimal] = Field(default_factory=dict)
    web_search: Decimal = Field(ge=0, max_digits=_SEARCH.precision, decimal_places=_SEARCH.scale)
    models: Mapping[str, Price]

    def model_post_init(self, _: object) -> None:
        for name, geo, long in product(self.models, [None, *self.inference_geo], (False, True)):
            for kind, rate in (self.per_token(name, long=long, geo=geo) or {}).items():
                if not 0 <= rate < 1 or rate != rate.quantize(Decimal(10) ** -_PLACES):
                    raise ValueError(
                        f"{name}: a token of {kind} would cost ${rate}. It must be at least $0 and less than $1,"
                        f" with at most {_PLACES} decimal places"
                    )

    def per_token(
        self,
        model: str | None,
        *,
        long: bool = False,
        geo: str | None = None,
        batch: bool = True,
        cached: bool = True,
    ) -> dict[str, Decimal] | None:
        """
        Return the US dollars per token of each kind of TOKEN_RATES; None if the model has no price.

        :param long: the prompt is longer than ``above_tokens``, if the model has such a limit
        :param geo: the answer's ``inference_geo``
        :param batch: False for a synchronous request, which costs twice as much
        :param cached: False for a request without a cache: the whole prompt is then plain input
        """
        price = self.models.get(model or "")
        if price is None:
            return None
        rates: Rates = price.long_prompt if long and price.long_prompt else price
        factor = _PER_TOKEN * self.inference_geo.get(geo or "", Decimal(1)) * (self.batch if batch else 1)
        named = TOKEN_RATES if cached else dict.fromkeys(_PROMPT, "input") | {"output_tokens": "output"}
        return {kind: getattr(rates, rate) * factor for kind, rate in named.items()}

    def long_above(self, model: str | None) -> int:
        """Return the number of prompt tokens above which the rates for long prompts apply."""
        price = self.models.get(model or "")
        return price.long_prompt.above_tokens if price and price.long_prompt else _NEVER


class _Loader(yaml.SafeLoader):
    """Rejects a key that occurs twice. YAML takes the last one, and a correction of the first would go unnoticed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for number, name in enumerate(names):
            if name in names[:number]:
                mark = node.value[number][0].start_mark
                raise yaml.MarkedYAMLError(problem=f"the key {name!r} occurs twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


def read_prices(text: str, *, file: Path) -> Prices:
    """
    Parse the prices in ``text``, the content of ``file``.

    Raises SpecError with every mistake.
    """
    try:
        return Prices.model_validate(yaml.load(text, _Loader))
    except yaml.YAMLError as error:
        raise SpecError(f"{file}: cannot be read: {error}. Nothing was computed.") from error
    except ValidationError as error:
        mistakes = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SpecError(f"{file}: {mistakes}. Nothing was computed.") from error
    except (ValueError, ArithmeticError) as error:  # ArithmeticError: a rate like 1e999999999
        raise SpecError(f"{file}: {error}. Nothing was computed.") from error


@cache
def prices() -> Prices:
    """Read prices.yaml, once per process. Raises SpecError with every mistake."""
    return read_prices(_FILE.read_text(encoding="utf-8-sig"), file=_FILE)


def costs_usd(answers: pa.Table | pa.RecordBatch) -> pa.Array:
    """
    Return the exact cost of each answer, as USD; null if its model has no price.

    An answer of another service tier than ``batch`` was synchronous.

    The price may depend on the length of a prompt, so the input is single answers or the groups of sum_costs().

    :param answers: BILLED_COLUMNS, of which the last three may be null. Files of earlier versions, which knew only
        batches, have no tier
    """
    return _costs(answers)


def synchronous_costs_usd(answers: pa.Table | pa.RecordBatch) -> pa.Array:
    """Return the cost of each answer as a synchronous request without a cache."""
    return _costs(answers, plain=True)


def sum_costs(answers: pa.Table | pa.RecordBatch, *, by: str) -> pa.Table:
    """
    Add up the answers that have the same rates.

    The result has one line per group: BILLED_COLUMNS, ``by`` and ``answers``, the size of the group. The groups cost
    exactly as much as the answers.

    :param by: a further column to group by
    """
    keys = {name: _whole(answers[name]) for name in ("model", "inference_geo", "service_tier", by)} | {
        _LONG: _is_long(answers)
    }
    # Not group_by(): the modules that Arrow imports for it take longer than everything else here.
    codes = [values.dictionary_encode(null_encoding="encode") for values in keys.values()]
    which = pa.repeat(pa.scalar(0, pa.int64()), len(answers))
    for encoded in codes:
        which = pc.add(pc.multiply(which, len(encoded.dictionary)), _int(encoded))
    lines = []
    for one in pc.unique(which).to_pylist():
        here = answers.filter(pc.equal(which, one))
        first = pc.index(which, one).as_py()
        sums = {name: pc.sum(here[name]).as_py() for name in (*TOKEN_RATES, "web_searches")}
        lines.append({name: values[first].as_py() for name, values in keys.items()} | sums | {"answers": len(here)})
    kinds = {name: values.type for name, values in keys.items()} | dict.fromkeys(
        (*TOKEN_RATES, "web_searches", "answers"), pa.int64()
    )
    return pa.Table.from_pylist(lines, pa.schema(list(kinds.items())))


def format_decimal(cost: Decimal) -> str:
    """Return the exact amount without an exponent: ``0.00000025`` instead of ``2.5E-7``."""
    return f"{cost.normalize():f}"


def format_usd(cost: Decimal | None) -> str:
    """Return an amount for people, to a hundredth of a cent."""
    if cost is None:
        return "an unknown amount"
    if not cost:
        return "$0"
    return f"${cost:,.4f}" if cost >= _SMALLEST_SHOWN else f"less than ${_SMALLEST_SHOWN}"


def _costs(answers: pa.Table | pa.RecordBatch, *, plain: bool = False) -> pa.Array:
    """:param plain: as synchronous requests without a cache, whatever they were"""
    columns = {name: _whole(answers[name]) for name in BILLED_COLUMNS if name != "service_tier"}
    models = pc.fill_null(columns["model"], "").dictionary_encode()
    geos = pc.fill_null(columns["inference_geo"], "").dictionary_encode()
    tiers = pc.fill_null(_tiers(answers), _BATCH_TIER).dictionary_encode()
    names, places, kinds = (each.dictionary.to_pylist() for each in (models, geos, tiers))
    long = _is_long(answers)
    # The rates of each row depend on its model, its region, its tier and the length of its prompt.
    every = [
        prices().per_token(name, long=is_long, geo=place, batch=not plain and tier == _BATCH_TIER, cached=not plain)
        for name, place, tier, is_long in product(names, places, kinds, (False, True))
    ]
    which = _int(models)
    for codes, size in ((_int(geos), len(places)), (_int(tiers), len(kinds)), (long.cast(pa.int64()), 2)):
        which = pc.add(pc.multiply(which, size), codes)
    total = pc.multiply(
        pc.fill_null(columns["web_searches"], 0).cast(_COUNT), pa.scalar(prices().web_search, _SEARCH)
    ).cast(pa.decimal128(32, _PLACES))
    for kind in TOKEN_RATES:
        rates = pa.array([one and one[kind] for one in every], _PER_TOKEN_TYPE).take(which)
        total = pc.add(total, pc.multiply(columns[kind].cast(_COUNT), rates))
    return pc.min_element_wise(total, pa.scalar(MOST_USD, total.type), skip_nulls=False).cast(USD)


def _tiers(answers: pa.Table | pa.RecordBatch) -> pa.Array:
    if "service_tier" not in answers.schema.names:
        return pa.nulls(len(answers), pa.string())
    return _whole(answers["service_tier"])


def _is_long(answers: pa.Table | pa.RecordBatch) -> pa.Array:
    """Return for each answer whether the rates for long prompts apply: as its column says, else as its tokens do."""
    prompt = _whole(answers[_PROMPT[0]])
    for kind in _PROMPT[1:]:
        prompt = pc.add(prompt, _whole(answers[kind]))
    models = pc.fill_null(_whole(answers["model"]), "").dictionary_encode()
    above = pa.array(map(prices().long_above, models.dictionary.to_pylist()), pa.int64())
    by_tokens = pc.greater(prompt, above.take(models.indices))
    return pc.coalesce(_whole(answers[_LONG]), by_tokens) if _LONG in answers.schema.names else by_tokens


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _int(encoded: pa.DictionaryArray) -> pa.Array:
    return encoded.indices.cast(pa.int64())
