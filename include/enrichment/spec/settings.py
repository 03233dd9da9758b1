"""The settings of pipeline.yaml, each with its bounds."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any

import pyarrow as pa
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from include.enrichment.agent.settings import RowLimits, RunLimits, Tools
from include.enrichment.answers.schema.keys import key_type, kind_of_value
from include.enrichment.answers.table import PART, SAMPLE, VARIANT
from include.enrichment.documents.object_columns import OBJECT_URI
from include.enrichment.documents.options import AttachmentOptions, AttachmentSettings
from include.enrichment.errors import nearest
from include.enrichment.requests.chunk import MAX_BATCH_BYTES, MAX_BATCH_REQUESTS
from include.enrichment.requests.fan_out import MAX_COMBINATIONS, check_values
from include.enrichment.runs.deadline import check_deadline
from include.enrichment.runs.options import Budget, RunOptions
from include.enrichment.runs.passes import (
    DEFAULT_CANARY_ROWS,
    DEFAULT_RETRY_PASSES,
    MAX_CANARY_ROWS,
    MAX_RETRY_PASSES,
)
from include.enrichment.spec.sources.settings import SourceSettings
from include.enrichment.spec.variants.settings import RequestSettings, Variants

#: A smaller ``batch_bytes`` is rejected: it is probably meant in megabytes.
MIN_BATCH_BYTES = 1_000
#: The most synchronous requests at a time.
MAX_SYNCHRONOUS_REQUESTS = 1_000
#: More answers per row are rejected: each of them is billed.
MAX_SAMPLES = 100


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Limits(_Frozen):
    """
    The limits at which a run stops or splits.

    :param min_rows: extract fails, and is retried, if the source has fewer rows; 0: a day may be empty
    :param max_reject_ratio: publish fails if a larger share of the rows was rejected
    :param batch_requests: the most requests in one batch
    :param batch_bytes: the most bytes in the body of one batch, for a proxy with a lower limit than the API; a row
        whose request alone is larger becomes a reject
    :param canary_rows: the number of rows sent first, in a batch of their own, which tests the request and fills the
        prompt cache; 0: no canary
    :param retry_passes: the number of retry passes; 0: none
    :param budget_usd: a run whose high estimate exceeds it stops before it spends; None: no budget
    :param budget_ceiling_usd: the largest budget that a run may set instead of ``budget_usd``; None: ``budget_usd``
    :param monthly_budget_usd: the budget of all the pipeline's runs in a calendar month (UTC); None: no budget
    :param synchronous_below: in mode auto, a pass with fewer requests is synchronous
    :param synchronous_requests: the most requests that are asked and not yet stored at a time. A process that dies can
        have paid for so many without a trace, and they are paid for again
    :param deadline: the time of day by which a scheduled run should have its answers, for example ``05:30`` (UTC) or
        ``05:30 Europe/Berlin``; None: a run takes as long as its batches
    :param deadline_budget_usd: the most that a pass may cost that is synchronous only for the deadline; None: only the
        other budgets hold
    :param per_row: what an agent may use for one row
    :param per_run: what an agent may use for all rows of a run
    """

    min_rows: int = Field(default=1, ge=0)
    max_reject_ratio: float = Field(default=0.02, ge=0, le=1)
    batch_requests: int = Field(default=MAX_BATCH_REQUESTS, ge=1, le=MAX_BATCH_REQUESTS)
    batch_bytes: int = Field(default=MAX_BATCH_BYTES, ge=MIN_BATCH_BYTES, le=MAX_BATCH_BYTES)
    canary_rows: int = Field(default=DEFAULT_CANARY_ROWS, ge=0, le=MAX_CANARY_ROWS)
    retry_passes: int = Field(default=DEFAULT_RETRY_PASSES, ge=0, le=MAX_RETRY_PASSES)
    budget_usd: Budget | None = None
    budget_ceiling_usd: Budget | None = None
    monthly_budget_usd: Budget | None = None
    synchronous_below: int = Field(default=20, ge=0, le=MAX_BATCH_REQUESTS)
    synchronous_requests: int = Field(default=50, ge=1, le=MAX_SYNCHRONOUS_REQUESTS)
    deadline: Annotated[str, BeforeValidator(check_deadline)] | None = None
    deadline_budget_usd: Budget | None = None
    per_row: RowLimits = RowLimits()
    per_run: RunLimits = RunLimits()

    @model_validator(mode="after")
    def _ceiling_above(self) -> Limits:
        budget, ceiling = self.budget_usd, self.budget_ceiling_usd
        if budget is not None and ceiling is not None and ceiling < budget:
            raise ValueError(f"budget_ceiling_usd ({ceiling}) is below budget_usd ({budget})")
        return self

    @model_validator(mode="after")
    def _pass_after_a_cancel(self) -> Limits:
        if self.deadline is not None and not self.retry_passes:
            raise ValueError(
                f"deadline ({self.deadline}) needs retry_passes of 1 or more, as the retry pass asks for what a"
                " canceled batch leaves unanswered"
            )
        return self


class FromColumn(_Frozen):
    """The values of for_each in a column of the row, which holds a list of them."""

    column: str


def _for_each_values(values: object) -> object:
    if isinstance(values, dict) and values.keys() == {"column"} and values["column"] and type(values["column"]) is str:
        return values
    if not isinstance(values, list):
        raise ValueError("must be a list of values, or {column: <the column with the list>}")
    check_values(values)
    return values


#: The values are checked by _for_each_values(); the model only tells a list from a column.
_ForEachValues = Annotated[list[Any] | FromColumn, BeforeValidator(_for_each_values)]


def _bounded(for_each: dict[str, list[Any] | FromColumn]) -> dict[str, list[Any] | FromColumn]:
    count = prod(len(values) for values in for_each.values() if isinstance(values, list))
    if count > MAX_COMBINATIONS:
        raise ValueError(
            f"makes {count:,} requests for each row; at most {MAX_COMBINATIONS:,} are allowed: shorten the lists"
        )
    return for_each


class Keep(_Frozen):
    """
    Only the best of several candidates is published in one row; the others become samples.

    :param best: an SQL expression over the columns of the table; the highest value wins
    :param among: the key column that tells the candidates for one row apart
    """

    best: str = Field(min_length=1)
    among: Annotated[str, Field(min_length=1)] = SAMPLE

    def among_problem(self, key: list[str]) -> str:
        """Return why the column ``among`` tells no candidates for one row apart; empty if it does."""
        if self.among not in key:
            known = f"{nearest(self.among, key) or '.'} The key is {', '.join(key)}"
            if self.among == SAMPLE:
                return f"there is one answer for each row: set samples to 2 or more, or name a key column{known}"
            return f"{self.among!r} is not a key column{known}"
        if len(key) == 1:
            return f"{self.among!r} is the only key column, so the table would have one row: add another"
        return ""


class OutputSettings(_Frozen):
    """
    What is asked for beside the values of the output.

    :param evidence: True: for each value, the page and the words of the documents that it stands on
    """

    evidence: bool = False


class Settings(_Frozen):
    """
    pipeline.yaml.

    :param attachments: None: only text is sent; with ``source.objects``, the object itself
    :param for_each: every row is requested once for each combination of these values, by name. The names are variables
        of the prompts, and key columns of the table
    :param reuse: False: every run requests, and pays for, fresh answers
    :param samples: the number of independent answers per row and combination; each is a request of its own, billed
        separately
    :param variants: what is compared: every row is requested once for each of them, by name. Empty: there is one way
    :param keep: None: every row is published
    :param tools: the functions of tools.py that Claude may call. Empty: each answer is one call of the API
    """

    source: SourceSettings
    attachments: AttachmentSettings | None = None
    request: RequestSettings
    output: OutputSettings = OutputSettings()
    limits: Limits = Limits()
    for_each: Annotated[dict[str, _ForEachValues], AfterValidator(_bounded)] = {}
    reuse: bool = True
    samples: int = Field(default=1, ge=1, le=MAX_SAMPLES)
    variants: Variants = {}
    keep: Keep | None = None
    tools: Tools = {}

    def for_run(self, options: RunOptions, *, file: str) -> Settings:
        """
        Return the settings with the options of one run.

        Raises ParamError for a model that the settings do not name, a budget above the ceiling, or options that exclude
        each other.

        :param file: pipeline.yaml, for errors
        """
        request, limits = self.request, self.limits
        options.check_deadline(retry_passes=limits.retry_passes, file=file)
        model = options.choose_model([request.model, *request.other_models], file=file)
        budget = options.choose_budget(limits.budget_usd, ceiling=limits.budget_ceiling_usd, file=file)
        mode = "synchronous" if options.urgent else request.mode
        return self.model_copy(
            update={
                "request": request.model_copy(update={"model": model, "mode": mode}),
                "limits": limits.model_copy(update={"budget_usd": budget}),
                "reuse": options.choose_reuse(self.reuse),
            }
        )

    @property
    def attached_columns(self) -> dict[str, AttachmentOptions]:
        """The columns whose objects are sent with each row, each with its options."""
        if self.attachments:
            return self.attachments.columns
        return {OBJECT_URI: AttachmentOptions()} if self.source.objects else {}

    @property
    def attachments_connection(self) -> str | None:
        """
        The AWS connection that reads the objects of attachments, or the absolute path of a folder that has all of
        them; None: there are no attachments.
        """
        if not self.attached_columns:
            return None
        return (self.attachments and self.attachments.connection) or self.source.objects_connection

    @property
    def split_pages(self) -> int | None:
        """The most pages of a part of a document; None: documents are sent whole."""
        return self.attachments.split_pages if self.attachments else None

    @property
    def key_types(self) -> dict[str, pa.DataType | None]:
        """
        The key columns of the table with the types that are named here: those of the source, the part if documents are
        split, the names of for_each, the variant if there are any, and the sample if there are several.
        """
        return {
            **{name: key_type(kind) if kind else None for name, kind in self.source.key.items()},
            **({PART: pa.int64()} if self.split_pages else {}),
            **{
                name: key_type(str(kind_of_value(values[0]))) if isinstance(values, list) else None
                for name, values in self.for_each.items()
            },
            **({VARIANT: pa.string()} if self.variants else {}),
            **({SAMPLE: pa.int64()} if self.samples > 1 else {}),
        }
