"""
How well checks find bad answers: product texts and translations of interface texts in ten languages, half of them with
a planted fault, from the source through the emulator to the published table.

A first run judges all answers and repairs none: what it rejects is what the checks have found. A second run sends the
rejected ones back. Half of the faults strike once, and half of them strike the repair too.

``python -m tests.benchmarks.accuracy`` prints one JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import anthropic
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy
import yaml

from include.enrichment.runs.partition import Partition
from include.enrichment.runs.passes import names
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.sources.warehouse import Warehouse
from include.steps.extract import extract
from include.steps.load import load
from include.steps.plan import plan
from include.steps.publish import publish
from include.steps.submit import submit
from tests.benchmarks.contender import FOLDER, ROOT
from tests.benchmarks.measuring import measured
from tests.fixtures.emulator import Emulator, EmulatorProcess

DAY = Partition(start=date(2026, 11, 1))
LOCALES = ("de-DE", "en-GB", "es-ES", "fr-FR", "it-IT", "ja-JP", "nl-NL", "pl-PL", "pt-BR", "sv-SE")
PIPELINE = "accuracy"
#: The checks that have to find the faults, by the kind of fault and by what the report calls the texts.
CHECKS: dict[tuple[str, str], dict[str, Any]] = {
    ("wrong_language", "40 to 80 words"): {"field": "description", "language": "{{ locale }}"},
    ("wrong_language", "10 to 14 words"): {"field": "teaser", "language": "{{ locale }}"},
    ("wrong_language", "10 words and placeholders"): {"field": "translation", "language": "{{ locale }}"},
    ("lost_placeholder", "translations"): {"field": "translation", "same_placeholders_as": "source_text"},
    ("too_long", "40 to 80 words"): {"field": "description", "words": {"max": 80}},
    ("too_long", "at most 155 characters"): {"field": "meta_description", "characters": {"max": 155}},
    ("duplicate_text", "40 to 80 words"): {"field": "description", "unique": "rows"},
    ("invented_number", "all"): {"field": ["description", "teaser", "translation"], "numbers_from": "row"},
    ("forbidden_text", "all"): {"field": ["description", "teaser", "translation"], "forbidden": ["money back"]},
}
KINDS = list(dict.fromkeys(kind for kind, _ in CHECKS))
_TEXTS = {
    "description": "40 to 80 words, in the language of the locale",
    "teaser": "10 to 14 words, in the language of the locale",
    "meta_description": "At most 155 characters, in the language of the locale",
    "translation": "In the language of the locale; keeps every placeholder of the source text",
}
_FILES = {
    "pipeline.yaml": """
source: {connection: warehouse, key: {number: int64}}
request: {model: claude-haiku-5-5, max_tokens: 2000, thinking: disabled}
limits: {canary_rows: 0, max_reject_ratio: 1}
for_each: {locale: LOCALES}
""",
    "extract.sql": "select number, fault, product, source_text from texts where day >= :partition_start",
    "system.md": "Describe the product, and translate the source text.",
    "user.md": """
<text locale="{{ locale }}" number="{{ number }}">
<fault>{{ fault }}</fault>
<product>{{ product }}</product>
<source_text>{{ source_text }}</source_text>
</text>
""",
    "output.schema.json": json.dumps(
        {
            "type": "object",
            "additionalProperties": False,
            "required": list(_TEXTS),
            "properties": {name: {"type": "string", "description": text} for name, text in _TEXTS.items()},
        }
    ),
}
#: Interface texts with every kind of placeholder; each noun makes another text of each.
_SOURCE_TEXTS = (
    "Delete {{count}} {noun}?",
    "Hello {{{{ name }}}}, your {noun} are ready.",
    "%s shared %d {noun} with you",
    "%(owner)s moved the {noun} to %(folder)s",
    'Read the <b>{noun}</b> and the <a href="/terms">terms</a>.',
    "{{count, plural, one {{One of your {noun} is old}} other {{# of your {noun} are old}}}}",
    "{{who, select, her {{She}} him {{He}} other {{They}}}} removed the {noun} of {{owner}}.",
    "Upload ${{size}} of {noun} to %{{place}}<br/>",
    "%1$s of %2$s {noun} done, {{0}} left",
)
_NOUNS = ("files", "photos", "letters", "songs", "reports", "lists", "notes", "drafts", "pages", "cards")


def measure(emulator: Emulator, folder: Path, *, rows: int, locales: Sequence[str] = LOCALES) -> dict[str, Any]:
    """
    Run the rows twice, and return for each check what was planted, found, repaired and rejected.

    :param folder: an empty folder for all files
    :param rows: of the source; every second one has a fault, and each is requested once for each locale
    """
    planted = [_planted(number) for number in range(rows)]
    _write_warehouse(folder / "warehouse.db", planted)
    emulator.set_faults(list(_armed()))
    lake, source = Lake.in_folder(folder / "lake"), _write_pipeline(folder / PIPELINE, locales)
    first, second = (
        _rejects(source, folder / "warehouse.db", lake, emulator, retry_passes=retry_passes) for retry_passes in (0, 1)
    )
    return {"checks": list(_figures(planted, first, second, locales=len(locales)))}


def _planted(number: int) -> str:
    """Return the fault of a row, and whether it strikes ``once`` or ``always``; an empty text for a good row."""
    if number % 2 == 0:
        return ""
    turn, place = divmod(number // 2, len(KINDS))
    return f"{KINDS[place]}-{('once', 'always')[turn % 2]}"


def _armed() -> Iterator[dict[str, Any]]:
    for kind in KINDS:
        fault = {"kind": kind, **({"text": "money back"} if kind == "forbidden_text" else {})}
        yield {**fault, "match": f"<fault>{kind}-once</fault>", "times": 1}
        yield {**fault, "match": f"<fault>{kind}-always</fault>"}


def _figures(
    planted: Sequence[str], first: Mapping[int, list[set[str]]], second: Mapping[int, list[set[str]]], *, locales: int
) -> Iterator[dict[str, Any]]:
    """
    Yield the figures of each check.

    :param first: the failed checks of each rejected answer of the first run, by the number of its row
    :param second: the same of the second run
    """
    of_kind = defaultdict(list)
    for number, fault in enumerate(planted):
        of_kind[fault.partition("-")[0]].append(number)
    for kind, texts in CHECKS:
        name, struck = _name(kind, texts), of_kind[kind]
        once = [number for number in struck if planted[number].endswith("once")]
        found = sum(name in failed for number in struck for failed in first.get(number, ()))
        yield {
            "kind": kind,
            "texts": texts,
            "planted": len(struck) * locales,
            "found": found,
            "good": len(of_kind[""]) * locales,
            "false_alarms": sum(name in failed for number in of_kind[""] for failed in first.get(number, ())),
            "once": len(once) * locales,
            "repaired": sum(locales - len(second.get(number, ())) for number in once),
            "always": (len(struck) - len(once)) * locales,
            "rejected": sum(len(second.get(number, ())) for number in struck if number not in once),
        }


def _name(kind: str, texts: str) -> str:
    """Return the name of a check."""
    return f"{kind}_in_{texts}".replace(" ", "_")


def _rejects(
    pipeline_folder: Path, database: Path, lake: Lake, emulator: Emulator, *, retry_passes: int
) -> dict[int, list[set[str]]]:
    """Run the whole partition, and return the failed checks of each reject by the number of its row."""
    pipeline = load_pipeline(pipeline_folder)
    limits = pipeline.settings.limits.model_copy(update={"retry_passes": retry_passes})
    pipeline = pipeline.model_copy(update={"settings": pipeline.settings.model_copy(update={"limits": limits})})
    run = RunFolder(pipeline=pipeline.name, partition=DAY, run_id=f"retry_passes_{retry_passes}")
    warehouse = Warehouse(sqlalchemy.create_engine(f"sqlite:///{database}"), pipeline.sql, name="warehouse")
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    with Claude(client, name="anthropic_default") as claude:
        extract(pipeline, run, source=warehouse, lake=lake)
        for pass_name in names(canary_rows=0, retry_passes=retry_passes):
            for chunk in plan(run, pass_name=pass_name, lake=lake):
                batch = submit(chunk, run_id=run.run_id, lake=lake, claude=claude, open_buckets=LocalFolder)
                _wait(emulator)
                load(chunk, batch, lake=lake, claude=claude)
        publish(run, lake=lake)
    rejects = pq.read_table(pa.BufferReader(lake.read(layout.rejects(PIPELINE, DAY))))
    found: dict[int, list[set[str]]] = defaultdict(list)
    for reject in rejects.to_pylist():
        found[reject["number"]].append(set(re.findall(r"check (\w+):", reject["reason"])))
    return found


def _wait(emulator: Emulator) -> None:
    while not all(batch["ended"] for batch in emulator.batches_made()):
        time.sleep(0.1)


def _write_warehouse(database: Path, planted: Sequence[str]) -> None:
    catalogue = pq.read_table(ROOT / "include/stack/sample/catalogue.parquet", columns=["summary", "description"])
    products = [f"{line['summary']}\n{line['description']}" for line in catalogue.slice(0, len(planted)).to_pylist()]
    luck = random.Random(1)
    texts = [text.format(noun=noun) for noun in _NOUNS for text in _SOURCE_TEXTS]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("create table texts (number integer, fault text, product text, source_text text, day date)")
        connection.executemany(
            f"insert into texts values (?, ?, ?, ?, '{DAY.start}')",
            [(number, fault, products[number], luck.choice(texts)) for number, fault in enumerate(planted)],
        )


def _write_pipeline(folder: Path, locales: Sequence[str]) -> Path:
    folder.mkdir(parents=True)
    checks = [{"name": _name(kind, texts), **check} for (kind, texts), check in CHECKS.items()]
    files = {**_FILES, "checks.yaml": yaml.safe_dump(checks)}
    for name, text in files.items():
        (folder / name).write_text(text.replace("LOCALES", f"[{', '.join(locales)}]"), encoding="utf-8")
    return folder


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.accuracy", description=__doc__)
    parser.add_argument("--rows", type=int, default=200, help="of the source; each is requested in ten languages")
    rows = parser.parse_args().rows
    folder = FOLDER / "accuracy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with EmulatorProcess(folder / "emulator", processing_seconds=0) as emulator, measured(rows=rows) as found:
            found |= measure(emulator.workspace(), folder, rows=rows)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
