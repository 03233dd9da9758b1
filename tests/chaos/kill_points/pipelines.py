"""
The pipelines that the runs play: a plain one, one that publishes the better of two answers, one with variants, one that
escalates, and one with all else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.fixtures.flow import FILES

CHUNK_REQUESTS, CANARY_ROWS = 10, 3
_LIMITS = f"batch_requests: {CHUNK_REQUESTS}, canary_rows: {CANARY_ROWS}, retry_passes: 1"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    A pipeline of tickets.

    :param files: what differs from FILES; a change replaces a file, ``user_md="…"`` for user.md
    :param key: the key columns of the table
    :param of_ticket: the rest of the key of each row that a ticket becomes
    :param alike: how many tickets in a row have the same text, and so share their requests
    :param carried: the table has the ticket's text as ``body``
    :param sampled: some requests have the same content, and are paid for one by one
    :param attached: a document is sent with each ticket. ``{documents}`` in the files is their folder
    :param open_requests: how many requests may be open at a time; 0: passes are batches
    :param judged: answers may fail a check, and their rows are rejects if their repairs fail too
    :param escalated: the samples are the other answers to rows of the table
    """

    files: Mapping[str, str]
    key: Sequence[str] = ("ticket",)
    of_ticket: Sequence[tuple[object, ...]] = ((),)
    alike: int = 1
    carried: bool = False
    sampled: bool = False
    attached: bool = False
    open_requests: int = 0
    judged: bool = False
    escalated: bool = False


PLAIN = Kind(files={"pipeline_yaml": f"{FILES['pipeline.yaml']}limits: {{{_LIMITS}}}\n"})


def asked(open_requests: int) -> Kind:
    """Return a pipeline whose passes are synchronous, with so many requests open at a time."""
    yaml = PLAIN.files["pipeline_yaml"].replace("{model:", "{mode: synchronous, model:")
    limits = f"limits: {{synchronous_requests: {open_requests}, "
    return Kind(files={"pipeline_yaml": yaml.replace("limits: {", limits)}, open_requests=open_requests)


_TWO = {
    "pipeline_yaml": f"{FILES['pipeline.yaml']}limits: {{{_LIMITS}}}\nfor_each: {{tone: [calm, loud]}}\n",
    "user_md": f"{FILES['user.md']}{{{{ tone }}}}",
}
#: Two answers for each ticket, all of which are published.
TWO = Kind(files=_TWO, key=("ticket", "tone"), of_ticket=[("calm",), ("loud",)])
#: Two answers for each ticket, of which the better one is published.
BETTER = replace(
    TWO, files=_TWO | {"pipeline_yaml": f"{_TWO['pipeline_yaml']}keep: {{best: len(topic), among: tone}}\n"}
)
#: Tickets that share a request want opposite answers, so the first answer always fails for one of them.
RICH = Kind(
    files={
        "pipeline_yaml": (
            "source: {connection: warehouse, key: [ticket], carry: {body: string}}\n"
            "request: {model: claude-haiku-5-5, max_tokens: 200}\n"
            "for_each: {tone: [calm, loud]}\n"
            "samples: 2\n"
            "keep: {best: len(topic)}\n"
            f"limits: {{{_LIMITS}, max_reject_ratio: 1}}\n"
        ),
        "user_md": "Ticket, {{ tone }}: {{ body }}",
        "checks_yaml": (
            "- name: as_wanted\n"
            "  sql: output.urgent = (right(source.ticket, 1) in ('0', '2', '4', '6', '8'))\n"
            "  columns: {ticket: varchar}\n"
            "- {name: no_other, field: topic, pattern: '^(billing|bug)$', warn: true}\n"
        ),
    },
    key=("ticket", "tone", "_sample"),
    of_ticket=[(tone, sample) for tone in ("calm", "loud") for sample in (1, 2)],
    alike=2,
    carried=True,
    sampled=True,
    judged=True,
)
#: A dearer model has the last word on some tickets.
CASCADE = Kind(
    files={
        "pipeline_yaml": PLAIN.files["pipeline_yaml"].replace(
            "max_tokens: 200", "max_tokens: 200, escalate: {to: claude-opus-5-5, when: not urgent}"
        )
    },
    escalated=True,
)
#: Each ticket has a PDF in a folder.
ATTACHED = Kind(
    files={
        "pipeline_yaml": (
            f"{PLAIN.files['pipeline_yaml']}"
            "attachments: {columns: {scan: {send: pages}}, connection: '{documents}'}\n"
        ),
        "extract_sql": FILES["extract.sql"].replace("body", "body, '{documents}/' || ticket || '.pdf' as scan"),
    },
    attached=True,
)
#: Two requests for each ticket, which share its PDF, so that it is uploaded.
UPLOADED = replace(
    TWO,
    files={
        **ATTACHED.files,
        "pipeline_yaml": f"{ATTACHED.files['pipeline_yaml']}for_each: {{tone: [calm, loud]}}\n",
        "user_md": _TWO["user_md"],
    },
    attached=True,
)
#: Three variants, of which two make the same requests.
VARIED = Kind(
    files={
        "pipeline_yaml": (
            f"{FILES['pipeline.yaml']}limits: {{batch_requests: {CHUNK_REQUESTS}, canary_rows: 2, retry_passes: 1}}\n"
            "variants: {current: {}, candidate: {model: claude-opus-5-5}, same: {max_tokens: 200}}\n"
        )
    },
    key=("ticket", "_variant"),
    of_ticket=[("current",), ("candidate",), ("same",)],
)
