"""What a request cost, by the prices in prices.yaml: no answer of the API tells an amount, only tokens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.enrichment.errors import SpecError

_FILE = Path(__file__).with_suffix(".yaml")
_PER_TOKEN = Decimal("0.000001")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rates(_Frozen):
    """US dollars for a million tokens of each kind, without the discount of a batch."""

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    write_5m: Decimal = Field(ge=0)
    write_1h: Decimal = Field(ge=0)
    read: Decimal = Field(ge=0)


class LongPrompt(Rates):
    """The rates of a request whose prompt has more than ``above_tokens`` tokens."""

    above_tokens: int


class Price(Rates):
    """The rates of a model."""

    long_prompt: LongPrompt | None = None


class Prices(_Frozen):
    """
    prices.yaml.

    :param source: the page that it was copied from, on the day ``as_of``
    :param batch: what part of its price a token costs in a batch
    :param models: by name
    """

    source: str
    as_of: date
    batch: Decimal = Field(gt=0, le=1)
    models: Mapping[str, Price]


def read_prices(text: str, *, file: Path) -> Prices:
    """The prices in ``text``, as they stand in ``file``. Raises SpecError with each mistake."""
    try:
        return Prices.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise SpecError(f"{file}: is not YAML: {error}. Nothing was computed.") from error
    except ValidationError as error:
        mistakes = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SpecError(f"{file}: {mistakes}. Nothing was computed.") from error


@cache
def prices() -> Prices:
    """prices.yaml, read once. Raises SpecError if something is wrong with it."""
    return read_prices(_FILE.read_text(encoding="utf-8-sig"), file=_FILE)


def cost_usd(
    *,
    model: str,
    input_tokens: int,
    cache_write_5m_tokens: int,
    cache_write_1h_tokens: int,
    cache_read_tokens: int,
    output_tokens: int,
) -> Decimal | None:
    """
    What one request of a batch cost in US dollars, exactly; None where the model's price is not known.

    For one request and not for the sum of many: the price may depend on the length of the prompt. It counts tokens
    alone. The tenth that ``inference_geo: us`` adds, and the fees of web search and code execution, are not in it.

    :param model: as the request or its answer names it
    :param input_tokens: those of the prompt that were neither written to the cache nor read from it
    :param output_tokens: with those of thinking
    """
    price = prices().models.get(model)
    if price is None:
        return None
    prompt_tokens = input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens
    long = price.long_prompt
    rates: Rates = long if long and prompt_tokens > long.above_tokens else price
    whole = (
        input_tokens * rates.input
        + cache_write_5m_tokens * rates.write_5m
        + cache_write_1h_tokens * rates.write_1h
        + cache_read_tokens * rates.read
        + output_tokens * rates.output
    )
    return whole * prices().batch * _PER_TOKEN
