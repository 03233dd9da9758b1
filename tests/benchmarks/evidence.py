"""
How well code finds the quotes of answers: invoices of three pages in four languages, three in four of them with a
planted fault in the evidence, from a folder through the emulator to the published table.

What is right is known from the texts that the documents are made of, not from any reader of them.

The emulator quotes word for word. So the quotes of the good documents are looked for twice more: once respelt, in
capitals, with other spaces, and in another notation of numbers and dates; and once with one digit changed.

``python -m tests.benchmarks.evidence`` prints one JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic
import pyarrow as pa
import pyarrow.parquet as pq
from reportlab.pdfgen.canvas import Canvas

from include.enrichment.answers.evidence.page_search import SearchableDocument, locate
from include.enrichment.documents.document import Page
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.sources.objects import Objects
from include.steps.extract import extract
from include.steps.load import load
from include.steps.plan import plan
from include.steps.publish import publish
from include.steps.submit import submit
from tests.benchmarks.contender import FOLDER
from tests.benchmarks.measuring import measured
from tests.fixtures.emulator import Emulator, EmulatorProcess

DAY = Partition(start=date(2026, 11, 1))
PIPELINE = "evidence"
_RUN = RunFolder(pipeline=PIPELINE, partition=DAY, run_id="manual__1")
#: What strikes the evidence of a document; the first is no fault.
KINDS = ("good", "wrong_page", "paraphrased_quote", "invented_quote")
FIELDS = ("vendor", "invoice_number", "invoice_date", "due_date", "total", "payment_terms")
#: The labels of the fields, and how a language writes numbers and dates.
_LANGUAGES: Sequence[tuple[Sequence[str], str, str]] = (
    (("Vendor", "Invoice number", "Invoice date", "Due date", "Total", "Payment terms"), "{:,.2f} USD", "%B %d, %Y"),
    (("Lieferant", "Rechnungsnummer", "Rechnungsdatum", "Fällig am", "Gesamtbetrag", "Zahlungsbedingungen"),
     "{:,.2f} €", "%d.%m.%Y"),
    (("Fournisseur", "Facture n°", "Date de facture", "Échéance", "Total TTC", "Conditions de paiement"),
     "{:,.2f} €", "%d/%m/%Y"),
    (("Proveedor", "Factura nº", "Fecha de factura", "Vencimiento", "Total a pagar", "Condiciones de pago"),
     "{:,.2f} €", "%d/%m/%Y"),
)  # fmt: skip
_WORDS = ("order", "goods", "crate", "pallet", "lamp", "table", "chair", "weight", "north", "depot", "ramp", "copy")
_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": list(FIELDS),
    "properties": {
        name: {"type": "number" if name == "total" else "string", "description": name.replace("_", " ").capitalize()}
        for name in FIELDS
    },
}
_FILES = {
    "pipeline.yaml": """
source: {objects: "FOLDER/dt={partition}/", key: {name: string}}
output: {evidence: true}
request: {model: claude-haiku-5-5, max_tokens: 2000, thinking: disabled}
limits: {canary_rows: 0, retry_passes: 0, max_reject_ratio: 1}
""",
    "system.md": "Read the invoice.",
    "user.md": "The invoice {{ name }}",
    "output.schema.json": json.dumps(_SCHEMA),
}


def measure(emulator: Emulator, folder: Path, *, documents: int) -> dict[str, Any]:
    """
    Return for each kind of fault how many quotes were planted, found, and given the page on which their value stands.

    :param folder: an empty folder for all files
    """
    (inbox := folder / "inbox" / f"dt={DAY}").mkdir(parents=True)
    pages = [_write(inbox, number) for number in range(documents)]
    emulator.set_faults([{"kind": kind, "match": f"-{kind}.pdf"} for kind in KINDS[1:]])
    (pipeline_folder := folder / PIPELINE).mkdir()
    for name, text in _FILES.items():
        (pipeline_folder / name).write_text(text.replace("FOLDER", str(folder / "inbox")), encoding="utf-8")
    lake = Lake.in_folder(folder / "lake")
    seconds = _run(pipeline_folder, folder / "inbox", lake, emulator)
    rows = pq.read_table(pa.BufferReader(lake.read(layout.table(PIPELINE, DAY)))).to_pylist()
    texts = _texts(lake)
    good = [row for row in rows if row["name"].endswith(f"-{KINDS[0]}.pdf")]
    changed = [
        _changed(kind, change, good, pages, texts) for kind, change in (("respelt", _respell), ("digit", _misread))
    ]
    kinds = [*_figures(rows, pages), *changed]
    return {"documents": documents, "published": len(rows), "publish_seconds": seconds, "kinds": kinds}


def _texts(lake: Lake) -> Mapping[str, SearchableDocument]:
    """Return the documents of the run by name, as publish searches them."""
    lines = pq.read_table(pa.BufferReader(lake.read(_RUN.documents))).to_pylist()
    return {
        line["name"]: SearchableDocument.of(line["name"], [Page(**page) for page in line["pages"]]) for line in lines
    }


def _changed(
    kind: str,
    change: Callable[[str, random.Random], str],
    rows: Sequence[Mapping[str, Any]],
    pages: Sequence[Mapping[str, int]],
    texts: Mapping[str, SearchableDocument],
) -> dict[str, Any]:
    """Look for the quotes of some rows after a change, as if Claude had named page 1 for each."""
    counted: Counter[str] = Counter()
    for row in rows:
        luck = random.Random(row["name"])
        for each in row["_evidence"]:
            if (quote := change(each["quote"], luck)) == each["quote"]:
                continue
            place = locate(quote, 1, [texts[row["name"]]])
            counted["quotes"] += 1
            counted["values"] += 1
            counted[str(place.found)] += 1
            counted["ungrounded"] += place.found is None
            number = int(row["name"].partition("-")[0])
            counted["right_page"] += bool(place.found) and place.page == pages[number][each["field"]]
    return {"kind": kind, **counted}


def _respell(quote: str, luck: random.Random) -> str:
    """Return the quote as somebody else may write it."""
    quote = re.sub(r"([\d.,]+) (€|USD)$", lambda amount: _plain(amount[1]), quote)
    for _, _, day in _LANGUAGES:
        label, _, value = quote.partition(": ")
        with suppress(ValueError):
            quote = f"{label}: {datetime.strptime(value, day).date():%Y-%m-%d}"  # noqa: DTZ007 only its day is used
    return quote.upper().replace(" ", luck.choice(("  ", "\n", "\u00a0")))


def _plain(amount: str) -> str:
    return f"{amount[:-3].replace('.', '').replace(',', '')}.{amount[-2:]}"


def _misread(quote: str, luck: random.Random) -> str:
    """Return the quote with one digit changed."""
    places = [place for place, character in enumerate(quote) if character.isdigit()]
    if not places:
        return quote
    place = luck.choice(places)
    return quote[:place] + luck.choice([digit for digit in "123456789" if digit != quote[place]]) + quote[place + 1 :]


def _figures(rows: Sequence[Mapping[str, Any]], pages: Sequence[Mapping[str, int]]) -> list[dict[str, Any]]:
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for row in rows:
        number, kind = row["name"].removesuffix(".pdf").split("-")
        counted = found[kind]
        for each in row["_evidence"]:
            counted["quotes"] += 1
            counted[str(each["found"])] += 1
            counted["right_page"] += bool(each["found"]) and each["page"] == pages[int(number)][each["field"]]
        counted["values"] += sum(row[name] is not None for name in FIELDS)
        counted["ungrounded"] += len(row["_ungrounded"])
    return [{"kind": kind, **counted} for kind, counted in found.items()]


def _write(folder: Path, number: int) -> Mapping[str, int]:
    """Write a document, and return the page of each field."""
    luck = random.Random(number)
    labels, amount, day = _LANGUAGES[number // len(KINDS) % len(_LANGUAGES)]
    of_invoice = DAY.start - timedelta(days=luck.randrange(300))
    total = amount.format(luck.randrange(100_000, 9_999_999) / 100)
    if "€" in amount:
        total = total.translate(str.maketrans(",.", ".,"))
    values = (
        f"{luck.choice(('Acme', 'Nord', 'Blau', 'Vert'))} {luck.choice(_WORDS).capitalize()} {luck.randrange(999)} Ltd",
        f"RE-{number:05}-{luck.randrange(100):02}",
        of_invoice.strftime(day),
        (of_invoice + timedelta(days=30)).strftime(day),
        total,
        f"{luck.choice((7, 14, 30, 45))} days net, no discount",
    )
    pages: list[list[str]] = [[] for _ in range(3)]
    placed = {}
    for name, label, value in zip(FIELDS, labels, values, strict=True):
        placed[name] = luck.randrange(3)
        pages[placed[name]].append(f"{label}: {value}")
    file = io.BytesIO()
    canvas = Canvas(file, invariant=True)
    for lines in pages:
        filler = [" ".join(luck.choices(_WORDS, k=9)) for _ in range(25)]
        for line in lines:
            filler.insert(luck.randrange(len(filler)), line)
        for place, line in enumerate(filler):
            canvas.drawString(60, 790 - 24 * place, line)
        canvas.showPage()
    canvas.save()
    kind = KINDS[number % len(KINDS)]
    (folder / f"{number:05}-{kind}.pdf").write_bytes(file.getvalue())
    return {name: page + 1 for name, page in placed.items()}


def _run(pipeline_folder: Path, inbox: Path, lake: Lake, emulator: Emulator) -> float:
    """Run the partition, and return the seconds of its publish."""
    pipeline = load_pipeline(pipeline_folder)
    run = _RUN
    buckets = LocalFolder(inbox)
    source = Objects(buckets, objects=str(pipeline.settings.source.objects), name="folder")
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    with Claude(client, name="anthropic_default") as claude:
        extract(pipeline, run, source=source, lake=lake, buckets=buckets)
        for chunk in plan(run, pass_name="main", lake=lake):
            batch = submit(chunk, run_id=run.run_id, lake=lake, claude=claude, open_buckets=lambda _: buckets)
            while not all(batch["ended"] for batch in emulator.batches_made()):
                time.sleep(0.1)
            load(chunk, batch, lake=lake, claude=claude)
        started = time.perf_counter()
        publish(run, lake=lake)
        return time.perf_counter() - started


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evidence", description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000)
    documents = parser.parse_args().documents
    folder = FOLDER / "evidence"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with EmulatorProcess(folder / "emulator", processing_seconds=0) as emulator, measured() as found:
            found |= measure(emulator.workspace(), folder, documents=documents)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
