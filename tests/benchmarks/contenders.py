"""The contenders of each part. A new one is a function in one of the modules named here, and a line in its part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.contender import ROOT

Role = Literal["ours", "peer", "floor"]
#: The sizes at which all contenders run, and one at which only this project's run, for their memory.
SIZES = (1_000, 10_000, 100_000)
MEMORY_SIZE = 1_000_000
PYTHON, PEERS_PYTHON = (str(ROOT / folder / "bin/python") for folder in (".venv", ".venv-benchmarks"))
#: The modules that need the peers' environment.
_IN_PEERS_ENVIRONMENT = ("seed ", "common_ai ", "floors ")


@dataclass(frozen=True)
class Contender:
    """
    One measured command, which runs as a process of its own.

    :param command: a module of this package and its arguments: ``"floors upload"``
    :param title: for the table
    :param workspace: shared with other contenders of the same size; None: each run has its own
    :param after: contenders that must have run once before, at the same size; their output is kept
    """

    role: Role
    command: str
    title: str
    workspace: str | None = None
    after: tuple[Contender, ...] = ()

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return PEERS_PYTHON if self.command.startswith(_IN_PEERS_ENVIRONMENT) else PYTHON

    @property
    def most_rows(self) -> int:
        """The largest size at which it runs."""
        return MEMORY_SIZE if self.role == "ours" else max(SIZES)


_EXTRACT = Contender("ours", "ours extract", "**this project**: warehouse to rendered requests")
_PLAN = Contender("ours", "ours plan", "this project's next step: to chunk files", after=(_EXTRACT,))
_SUBMIT = Contender("ours", "ours submit", "**this project**: chunk file to accepted batch", after=(_PLAN,))
_SENT = Contender("ours", "ours submit", "what is loaded", workspace="ours", after=(_PLAN,))
_LOAD = Contender("ours", "ours load", "**this project**: validated, typed Parquet, raw kept", "ours", (_SENT,))
_PUBLISH = Contender("ours", "ours publish", "**this project**: rows and outcomes to the table", after=(_LOAD,))
_OPERATOR_SENT = Contender("peer", "common_ai submit", "the batch that the operator loads", workspace="operator")
_FILES = Contender("floor", "floors files", "the sent and received bytes, as files", workspace="ours", after=(_SENT,))

#: Contenders that run at every size, in turns.
PARTS: dict[str, tuple[Contender, ...]] = {
    "submit": (
        _SUBMIT,
        Contender("ours", "ours ask", "this project, from the warehouse: extract, plan, submit"),
        Contender("peer", "seed submit", "seed pattern: Parquet to accepted batch"),
        Contender("peer", "common_ai submit", "LLMBatchOperator's code: the same, without a system prompt"),
        Contender("floor", "floors read-chunks", "floor: reading the chunk file", after=(_PLAN,)),
        Contender("floor", "floors upload", "floor: uploading the same bytes", after=(_FILES,)),
    ),
    "load": (
        _LOAD,
        Contender("peer", "seed load", "seed pattern: Parquet, not validated, raw results not kept", "ours", (_SENT,)),
        Contender("peer", "common_ai load", "LLMBatchOperator's code: JSON Lines", "operator", (_OPERATOR_SENT,)),
        Contender("floor", "floors download", "floor: downloading the same bytes", "ours", (_SENT,)),
        Contender("floor", "floors decode-orjson", "floor: decoding the lines, orjson", after=(_FILES,)),
        Contender("floor", "floors decode-msgspec", "floor: decoding the lines, msgspec", after=(_FILES,)),
        Contender("floor", "floors write-outcomes", "floor: writing the finished Parquet", after=(_LOAD,)),
    ),
    "publish": (
        _PUBLISH,
        Contender("floor", "floors write-table", "floor: writing the finished Parquet", after=(_PUBLISH,)),
        Contender("ours", "ours again", "this project, second run: extract and plan", after=(_PUBLISH,)),
    ),
    "extract": (
        _EXTRACT,
        _PLAN,
        Contender("floor", "floors read-warehouse", "floor: reading the warehouse"),
        Contender("floor", "floors write-rows", "floor: writing the finished Parquet", after=(_EXTRACT,)),
    ),
}
#: Contenders with their own sizes, which run once.
ALONE: dict[str, tuple[Contender, ...]] = {
    "waits": (
        Contender("ours", "waits --waits 1000 --interval 15 --seconds 60", "**this project**: 1,000 waits, a minute"),
        Contender(
            "peer", "waits --waits 1000 --interval 15 --seconds 60 --who provider", "the provider's trigger: the same"
        ),
        Contender("ours", "waits --waits 10000 --interval 15 --seconds 60", "this project: 10,000 waits, a minute"),
    ),
    "parse": (Contender("ours", "parse", "this project, compared with empty operators"),),
    "planning": (
        *(
            Contender("ours", f"planning --earlier {earlier}{where}", f"{earlier:,} earlier runs, {title}")
            for where, title in (("", "10,000 rows, in a folder"), (" --rows 1000 --s3", "1,000 rows, on moto's S3"))
            for earlier in (1, 100, 1_000)
        ),
        Contender(
            "ours", "planning --earlier 0 --rows 1000000 --characters 200", "no earlier run, 1,000,000 short rows"
        ),
    ),
    "checks": (Contender("ours", "checks", "this project, six checks"),),
    "accuracy": (Contender("ours", "accuracy", "this project, planted faults"),),
    "evidence": (Contender("ours", "evidence", "this project, planted faults"),),
    "whole-run": (Contender("ours", "whole_run", "this project, through the real scheduler"),),
    "money": (
        Contender("ours", "money --cache 1h --canary-rows 5", "**this project**: `cache: 1h`, warmed by a canary"),
        Contender("ours", "money --cache 1h --canary-rows 0", "without a canary: one request warms the cache"),
        Contender("ours", "money --cache 1h --canary-rows 0 --cold", "no warm-up: the cache is cold"),
        Contender("ours", "money --cache 1h --canary-rows 5 --mode synchronous", "`mode: synchronous`, `cache: 1h`"),
        Contender("ours", "money --cache off --canary-rows 5", "`cache: off`"),
        Contender("ours", "money --cache auto --canary-rows 5", "`cache: auto`"),
        Contender("ours", "money --workload labels --cache off --canary-rows 20", "labels: `cache: off`"),
        Contender("ours", "money --workload pages --cache 5m --canary-rows 20", "pages: `cache: 5m`"),
    ),
    "attachments": (Contender("ours", "attachments", "this project, 2,000 PDFs of 1 MB"),),
    "sending": tuple(
        Contender("ours", f"sending --send {send}", f"60 invoices, `send: {send}`")
        for send in ("pages", "text", "auto")
    ),
    "evaluation": (
        Contender("ours", "evaluating", "**this project**: grades and all figures, 20 groups"),
        Contender("peer", "evaluating --who scipy", "scipy.stats: intervals and p-values, without grades and groups"),
    ),
    "statistics": (Contender("ours", "certainty", "this project, simulated evaluations"),),
    "synchronous": (
        Contender("ours", "synchronous", "**this project**: the step `ask`, answers stored and loaded"),
        Contender("ours", "synchronous --who calls", "this project: the calls alone"),
        Contender("peer", "synchronous --who threads", "the SDK in 50 threads"),
        Contender("peer", "synchronous --who loop", "the SDK in a loop: 300 requests, and their time for 10,000"),
        Contender(
            "ours", "synchronous --who calls --burst-seconds 1", "the calls alone, at a limit enforced by the second"
        ),
        Contender("peer", "synchronous --who threads --burst-seconds 1", "the SDK in 50 threads, at the same"),
    ),
    "two-stages": (Contender("ours", "two_stages", "this project: 200 tickets, then an agent for those flagged"),),
    "migration": (
        Contender("ours", "migration --way batch", "**this project**: the pipeline `tickets`"),
        Contender("ours", "migration --way synchronous", "the same with `mode: synchronous`"),
        Contender("peer", "migration --way loop", "the naive loop"),
    ),
    "cascade": (Contender("ours", "cascade", "this project, simulated answers with planted accuracies"),),
    "backfill": (Contender("ours", "backfill", "this project: 30 days, a queue of 4 batches"),),
}
