"""publish: rows and answers become one typed object for the partition, with the rejects beside it."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.answers import reject_messages
from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.table import Shape, changed_types, publishable, row_keys
from include.enrichment.batches.pass_plan import PassPlan
from include.enrichment.batches.poll import WINDOW
from include.enrichment.batches.usage import BatchFacts, sum_usd, total_usd
from include.enrichment.cost.estimate import Estimate
from include.enrichment.errors import LoadError
from include.enrichment.runs import passes
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import parse, with_stamp
from include.gateways.disk import working_folder
from include.gateways.lake import Lake, ObjectMissing, Stored
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.gateways.usage_store import UsageStore
from include.steps.files.extracted import Extracted, fetch_rows, read_extracted, read_pipeline
from include.steps.plan import read_plans, read_repairs
from include.steps.planning.prior_rejects import tally_rejects
from include.steps.planning.select_requests import requests_for_rejects
from include.steps.publishing.joining import join_rows, write_by_position
from include.steps.publishing.matching import Matches, match_rows
from include.steps.publishing.table_contract import last_manifest

log = logging.getLogger(__name__)

#: A row group of what is published is closed when it has so many rows, or so much of them in memory.
_GROUP_ROWS, _GROUP_BYTES = 100_000, 16_000_000


def publish(folder: RunFolder, *, lake: Lake) -> Manifest:
    """
    Replace the partition's table and rejects by what this run found, and write the manifest last.

    Every source row is in exactly one of the two. A partition without rows gives an empty object with its columns. What
    a newer extract has published is left as it is, and its manifest is returned. A trial replaces nothing: its three
    objects go into the run's folder, however many of its few rows were rejected.

    Raises LoadError, and leaves the partition as it was, if more rows were rejected than the pipeline allows, the
    counts do not reconcile or the run is a dry run; Conflict if another run published at the same moment (publish
    again, and all is in order).
    """
    pipeline = read_pipeline(lake, folder)
    if pipeline.options.dry_run:
        raise LoadError(f"Run {folder.run_id} is a dry run: it sent nothing and publishes nothing. Start a plain run.")
    extracted = read_extracted(lake, folder)
    keys = _trial_keys(folder) if pipeline.options.rows else _partition_keys(folder)
    stored = lake.find(keys["manifest"])
    published = _readable(stored, lake.locate(keys["manifest"]))
    if published and published.run_id != folder.run_id and published.extracted_at > extracted.extracted_at:
        _log_newer(published, extracted, folder)
        return published if _is_whole(published, folder, lake) else _publish_again(published, folder, lake)
    if published and published.rows and not extracted.rows:
        raise _lost_rows(published, lake.locate(keys["manifest"]))
    plans = read_plans(lake, folder, extracted.extracted_at)
    batch_ids = _batch_ids(plans, folder, lake)
    left_out = _left_out(list(plans.values()))
    store = ResultStore(lake, pipeline=pipeline.name)
    with working_folder() as temporary:
        rows, table, rejects = (temporary / f"{name}.parquet" for name in ("rows", "table", "rejects"))
        fetch_rows(lake, folder, rows)
        results = {batch_id: temporary / f"{number}.parquet" for number, batch_id in enumerate(batch_ids)}
        known = {batch_id: store.fetch(batch_id, path) for batch_id, path in results.items()}
        own = {
            number for number, facts in enumerate(known.values()) if facts and facts.partition == str(folder.partition)
        }
        repairs = read_repairs(lake, folder, plans)
        shape = Shape(keys=row_keys(pq.read_schema(rows)), output=pipeline.output)
        if pipeline.options.rows is None:
            _check_key_types(shape, folder, lake)
        with match_rows(rows, list(results.values()), repairs, own=own, folder=temporary) as matches:
            _check_answered(matches, folder, batch_ids)
            write_by_position(results, matches, folder=temporary)
        pa.default_memory_pool().release_unused()  # before the tables take some
        written = _write(join_rows(rows, folder=temporary), shape, table=table, rejects=rejects)
        manifest = _manifest(
            folder,
            pipeline,
            lake,
            extracted,
            shape,
            {batch_id: known[batch_id] for batch_id in sorted(batch_ids[number] for number in matches.used)},
            objects={"table": table, "rejects": rejects},
            written=written,
            keys=keys,
            requests=matches.answered,
            cost_usd=_cost_of_run(known.values(), folder, UsageStore(lake), warms=pipeline.cached_prefix is not None),
            estimates={name: plan.estimate for name, plan in plans.items() if plan.estimate},
        )
        if manifest.trial is None:
            _check_rejects(manifest, pipeline, folder, lake, rows=rows, rejects=rejects, left_out=left_out)
        rejected, _ = tally_rejects(rejects, [field.name for field in shape.keys])
        lake.write_file(keys["rejects"], rejects)
        lake.write_file(keys["table"], table)
    data = manifest.model_dump_json(indent=1).encode()
    # Of two runs that publish at the same moment one gets a conflict here, and publishing again it writes all three
    # objects anew, its own or those of a newer run: whatever the order of their writes was, the last word is one run's.
    if stored:
        lake.replace(keys["manifest"], data, etag=stored.etag)
    else:
        lake.create(keys["manifest"], data)
    level = logging.WARNING if manifest.rejected else logging.INFO
    log.log(level, "%s", reject_messages.result_lines(manifest, rejected, rejects=manifest.rejects, published=True))
    if left_out:
        log.warning("%s", left_out)
    return manifest


def _check_key_types(shape: Shape, folder: RunFolder, lake: Lake) -> None:
    """Extract has looked too, but another day may have been published since."""
    published = last_manifest(lake, folder.pipeline)
    if published and (changed := changed_types(shape.keys, published.columns)):
        raise LoadError(
            f"The business key of run {folder.run_id}: {'; '.join(changed)} (dt={published.partition}). All days have"
            " one type, so nothing was published. Clear the run's `extract` with downstream: it reads the key anew, and"
            " no answer is paid for again."
        )


def _partition_keys(folder: RunFolder) -> dict[str, str]:
    """Where table, rejects and manifest of the partition lie."""
    return {
        "table": layout.table(folder.pipeline, folder.partition),
        "rejects": layout.rejects(folder.pipeline, folder.partition),
        "manifest": layout.manifest(folder.pipeline, folder.partition),
    }


def _trial_keys(folder: RunFolder) -> dict[str, str]:
    """Where those of a trial lie."""
    return {"table": folder.table, "rejects": folder.rejects, "manifest": folder.manifest}


def _is_whole(published: Manifest, folder: RunFolder, lake: Lake) -> bool:
    """Whether table and rejects are those of the manifest, and not of a run that lost against it halfway."""
    keys = _partition_keys(folder)
    with working_folder() as temporary:
        try:
            for name in published.sha256:
                lake.fetch(keys[name], temporary / name)
        except ObjectMissing:
            return False
        return all(_sha256_of(temporary / name) == digest for name, digest in published.sha256.items())


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _publish_again(published: Manifest, folder: RunFolder, lake: Lake) -> Manifest:
    """This run has overwritten what a newer one published at the same moment: the newer one's comes back."""
    log.warning("Table or rejects are not those that run %s published: publishing it again", published.run_id)
    return publish(RunFolder(pipeline=folder.pipeline, partition=folder.partition, run_id=published.run_id), lake=lake)


def _readable(stored: Stored | None, name: str) -> Manifest | None:
    """The published manifest. One that is damaged is as good as none: it will be replaced."""
    try:
        return parse(Manifest, stored.data, name) if stored else None
    except ValidationError:
        return None


def _log_newer(published: Manifest, extracted: Extracted, folder: RunFolder) -> None:
    log.warning(
        "Partition %s was published by run %s, which read the warehouse at %s, after this run did (%s). It was left as"
        " it is. To publish this run's rows all the same, clear its `extract` and what follows.",
        folder.partition,
        published.run_id,
        published.extracted_at,
        extracted.extracted_at,
    )


def _lost_rows(published: Manifest, manifest: str) -> LoadError:
    """A source that has lost all its rows is far more often late or broken than right."""
    return LoadError(
        f"The warehouse has no rows for partition {published.partition}, of which run {published.run_id} published"
        f" {published.rows:,}. The table was left as it is. If the day is really empty now, delete {manifest} and"
        " clear this task; if its rows are late, clear `extract` when they are there."
    )


def _batch_ids(plans: Mapping[str, PassPlan], folder: RunFolder, lake: Lake) -> list[str]:
    """
    The batches that the run's passes found or waited for, in that order.

    A chunk that others have taken over has none, nor has one that another run was to send and did not.
    Raises LoadError if a chunk that this run is to send has none.
    """
    chunks = [key for plan in plans.values() for key in plan.chunks]
    ledger = Ledger(lake, pipeline=folder.pipeline)
    entries = ledger.latest([layout.chunk_id_of(key) for key in chunks])
    recorded = ledger.find_open()
    opened = recorded.value.chunks if recorded else {}
    for key, entry in zip(chunks, entries, strict=True):
        chunk = opened.get(entry.chunk_id if entry else layout.chunk_id_of(key))
        unsent = entry is None or (entry.batch_id is None and entry.state != "withdrawn")
        if unsent and chunk and folder.prefix in chunk.planned_by:
            raise LoadError(
                f"Chunk {lake.locate(key)} has no batch in the ledger. Nothing was published. Clear its `submit` task."
            )
    found = [batch_id for plan in plans.values() for batch_id in plan.batches]
    return list(dict.fromkeys([*found, *(entry.batch_id for entry in entries if entry and entry.batch_id)]))


def _check_answered(matches: Matches, folder: RunFolder, batch_ids: Sequence[str]) -> None:
    if matches.unanswered:
        requests = matches.answered + matches.unanswered
        raise LoadError(
            f"{matches.unanswered:,} of {requests:,} requests of partition {folder.partition} have no outcome"
            f" in the batches that this run found or waited for ({', '.join(batch_ids) or 'none'}). Nothing was"
            " published. Clear the first `plan` and what follows: it finds every answer that exists and pays for none"
            " again."
        )


def _cost_of_run(
    known: Iterable[BatchFacts | None], folder: RunFolder, books: UsageStore, *, warms: bool
) -> Decimal | None:
    """
    What the batches cost that this run sent; None if the books do not know it of each.

    :param warms: there may be some among them that warmed the prompt cache, which no pass has
    """
    sent = [facts for facts in known if facts and facts.run_id == folder.run_id]
    costs = {facts.batch_id: books.cost_usd(facts) for facts in sent}
    if warms and sent:
        costs |= _warm_ups(sent, folder, books)
    if unknown := [batch_id for batch_id, cost in costs.items() if cost is None]:
        log.warning(
            "What this run cost is not known: the books have no cost of %s. Either its model has no price in"
            " include/enrichment/cost/prices.yaml, or its `load` was cut short, and the next usage report books it",
            ", ".join(unknown),
        )
    return total_usd(costs.values())


def _warm_ups(sent: Sequence[BatchFacts], folder: RunFolder, books: UsageStore) -> dict[str, Decimal | None]:
    """What each of the run's warm-ups cost. One is made before the batches that it goes ahead of."""
    made = sorted(facts.created_at for facts in sent)
    lines = books.read((made[0] - WINDOW).date(), made[-1].date(), pipeline=folder.pipeline)
    ours = (passes.WARM_UP, folder.run_id, str(folder.partition))
    return {
        line["batch_id"]: line["cost_usd"]
        for line in lines.to_pylist()
        if (line["pass_name"], line["run_id"], line["partition"]) == ours
    }


@dataclass(frozen=True, kw_only=True)
class _Written:
    """
    What stands in table and rejects.

    :param rejected_by: rejected rows by outcome
    :param cost_usd: the sum of ``_cost_usd`` in both; None if one is null
    """

    rejected_by: Counter[str]
    cost_usd: Decimal | None


def _write(joined_rows: Iterable[tuple[pa.Table, pa.Table]], shape: Shape, *, table: Path, rejects: Path) -> _Written:
    """Write both files."""
    rejected_by: Counter[str] = Counter()
    costs: list[Decimal | None] = []
    with _RowGroups(table, shape.table) as table_groups, _RowGroups(rejects, shape.rejects) as rejects_groups:
        for rows, answered in joined_rows:
            published, rejected = publishable(rows, answered, shape)
            table_groups.add(published)
            rejects_groups.add(rejected)
            rejected_by.update(rejected["outcome"].to_pylist())
            costs += [sum_usd(some["_cost_usd"]) for some in (published, rejected)]
    return _Written(rejected_by=rejected_by, cost_usd=total_usd(costs))


class _RowGroups:
    """A Parquet file that gets its rows in small tables and keeps them in row groups that are good to read."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, with_stamp(schema), compression="zstd")
        self._waiting = [schema.empty_table()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._writer.close()

    def add(self, table: pa.Table) -> None:
        """Write some more rows."""
        self._waiting.append(table)
        rows = sum(map(len, self._waiting))
        if rows >= _GROUP_ROWS or sum(some.nbytes for some in self._waiting) >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if any(map(len, self._waiting)):
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = self._waiting[:1]
        pa.default_memory_pool().release_unused()


def _manifest(
    folder: RunFolder,
    pipeline: Pipeline,
    lake: Lake,
    extracted: Extracted,
    shape: Shape,
    batches: dict[str, BatchFacts | None],
    *,
    objects: dict[str, Path],
    written: _Written,
    keys: Mapping[str, str],
    requests: int,
    cost_usd: Decimal | None,
    estimates: dict[str, Estimate],
) -> Manifest:
    try:
        return Manifest(
            pipeline=pipeline.name,
            partition=str(folder.partition),
            run_id=folder.run_id,
            trial=pipeline.options.rows,
            extracted_at=extracted.extracted_at,
            published_at=datetime.now(UTC),
            rows=extracted.rows,
            requests=requests,
            published=pq.read_metadata(objects["table"]).num_rows,
            rejected=written.rejected_by.total(),
            rejected_by=dict(written.rejected_by),
            batches=list(batches),
            reused=[batch for batch, facts in batches.items() if facts is None or facts.run_id != folder.run_id],
            cost_usd=cost_usd,
            partition_cost_usd=written.cost_usd,
            estimates=estimates,
            model=pipeline.settings.request.model,
            columns={field.name: str(field.type) for field in shape.table},
            table=lake.locate(keys["table"]),
            rejects=lake.locate(keys["rejects"]),
            sha256={name: _sha256_of(path) for name, path in objects.items()},
        )
    except ValidationError as error:
        raise LoadError(
            f"The counts of partition {folder.partition} do not reconcile: {error}. Nothing was published."
        ) from error


def _left_out(plans: Sequence[PassPlan]) -> str:
    """What a budget kept the last pass from, which would have asked for all that was still open; empty if nothing."""
    if not plans or not plans[-1].left_out:
        return ""
    return (
        f"{plans[-1].left_out:,} requests were not asked again, as a budget did not allow it: the log of the retry"
        " pass's `plan` says which. To ask for them, raise it and start a new run, or clear `extract` with downstream."
    )


def _check_rejects(
    manifest: Manifest, pipeline: Pipeline, folder: RunFolder, lake: Lake, *, rows: Path, rejects: Path, left_out: str
) -> None:
    most = pipeline.settings.limits.max_reject_ratio
    if manifest.rejected <= Decimal(str(most)) * manifest.rows:
        return
    lake.write_file(folder.rejects, rejects)
    where = lake.locate(folder.rejects)
    rejected, unbilled = tally_rejects(rejects, [field.name for field in row_keys(pq.read_schema(rows))])
    told = reject_messages.too_many(
        manifest,
        rejected,
        again=requests_for_rejects(rejects, rows, pipeline, lake),
        unbilled=unbilled,
        most=most,
        rejects=where,
        left_out=left_out,
    )
    log.error("%s", reject_messages.result_lines(manifest, rejected, rejects=where, published=False))
    raise LoadError(told)
