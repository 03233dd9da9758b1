"""The published tables of a pipeline and of its judges, each whole and of one publish."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.answers.manifest import Manifest
from include.enrichment.errors import LakeError, nearest
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import check_stamp, parse
from include.gateways.disk import sha256_of, working_folder
from include.gateways.lake import Lake, ObjectMissing

_NOTHING_DONE = "Nothing was evaluated."


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published partition, or one trial."""

    manifest: Manifest
    table: pa.Table
    rejects: pa.Table


def read_published(pipeline: str, partition: Partition, lake: Lake) -> Published:
    """
    Read a published partition.

    Raises LakeError if it is not published, damaged, or being published at this moment; only the last is retryable.
    """
    return _read(
        _Keys(
            manifest=layout.manifest(pipeline, partition),
            table=layout.table(pipeline, partition),
            rejects=layout.rejects(pipeline, partition),
            remedy=f"make run PIPELINE={pipeline} PARTITION={partition}",
        ),
        lake,
    )


def read_trial(run: RunFolder, lake: Lake) -> Published:
    """Read what a trial has published into its own folder. Raises the errors of read_published()."""
    remedy = f"make run PIPELINE={run.pipeline} PARTITION={run.partition} ROWS=10"
    return _read(_Keys(manifest=run.manifest, table=run.table, rejects=run.rejects, remedy=remedy), lake)


def check_columns(published: Published, needed: Iterable[str]) -> None:
    """Raise LakeError if the table lacks a needed column, as one of an earlier output schema may."""
    has, of = published.table.column_names, published.manifest
    if missing := [name for name in dict.fromkeys(needed) if name not in has]:
        facts = ", ".join(f"{name!r}{nearest(name, has).rstrip('?')}" for name in missing)
        raise LakeError(
            f"The table of {of.pipeline} for {of.partition}, published {of.published_at:%Y-%m-%d %H:%M} UTC, has no"
            f" column {facts}. {_NOTHING_DONE}\nIt has: {', '.join(has)}.\nIf the pipeline or evaluation.yaml has"
            " changed since, run that day again (paid answers are reused):"
            f" make run PIPELINE={of.pipeline} PARTITION={of.partition}",
            retryable=False,
        )


def check_judges(published: Published, judges: Iterable[Published]) -> None:
    """
    Raise LakeError if a judge has graded other answers than these: those before, or those after.

    A judge has graded these answers if it has read this very table. That a run published the same table again does not
    matter. The time does not tell, as a judge may begin to read while a table is being published.
    """
    of = published.manifest
    old = [judge.manifest for judge in judges if not _has_read(judge.manifest, of)]
    if old:
        facts = ", ".join(f"{judge.pipeline} began to read at {judge.extracted_at:%Y-%m-%d %H:%M:%S}" for judge in old)
        commands = "\n".join(f"make run PIPELINE={judge.pipeline} PARTITION={of.partition}" for judge in old)
        raise LakeError(
            f"The table of {of.pipeline} for {of.partition} was published at {of.published_at:%Y-%m-%d %H:%M:%S} UTC,"
            f" and {facts}: its grades are for other answers. {_NOTHING_DONE} Run the judges again, which pays only"
            f" for answers that have changed:\n{commands}",
            retryable=False,
        )


def _has_read(judge: Manifest, table: Manifest) -> bool:
    if judge.source_sha256 is None or "table" not in table.sha256:  # an earlier version has published it
        return judge.extracted_at >= table.published_at
    return judge.source_sha256 == table.sha256["table"]


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """
    Where a partition or a trial lies.

    :param remedy: the command that writes it again
    """

    manifest: str
    table: str
    rejects: str
    remedy: str


def _read(keys: _Keys, lake: Lake) -> Published:
    if (stored := lake.find(keys.manifest)) is None:
        raise _unreadable(f"{lake.locate(keys.manifest)} does not exist", keys)
    try:
        manifest = parse(Manifest, stored.data, lake.locate(keys.manifest))
    except ValidationError as error:
        raise _unreadable(f"{lake.locate(keys.manifest)} is damaged: {error.errors()[0]['msg']}", keys) from error
    table, rejects = (_read_table(name, getattr(keys, name), manifest, keys, lake) for name in ("table", "rejects"))
    return Published(manifest=manifest, table=table, rejects=rejects)


def _read_table(name: str, key: str, manifest: Manifest, keys: _Keys, lake: Lake) -> pa.Table:
    with working_folder() as temporary:
        try:
            lake.fetch(key, path := temporary / f"{name}.parquet")
            if sha256_of(path) != manifest.sha256.get(name):
                raise LakeError(
                    f"{lake.locate(key)} is not the one in its manifest: it is being published, or an earlier publish"
                    f" failed midway. {_NOTHING_DONE} If the error persists: {keys.remedy}",
                )
            table = pq.read_table(path)
        except ObjectMissing as error:
            raise _unreadable(f"{error} Its manifest does exist", keys) from error
        except pa.ArrowException as error:
            raise _unreadable(f"{lake.locate(key)} cannot be read: {error}", keys) from error
    check_stamp(table.schema.metadata, lake.locate(key))
    return table


def _unreadable(fact: str, keys: _Keys) -> LakeError:
    return LakeError(f"{fact}. {_NOTHING_DONE} Run that day first: {keys.remedy}", retryable=False)
