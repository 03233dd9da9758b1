"""The published tables of a pipeline and of its judges, each whole and of one publish."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.answers.manifest import Manifest
from include.enrichment.errors import LakeError
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


def check_judges(published: Published, judges: Iterable[Published]) -> None:
    """
    Raise LakeError if a judge has graded answers that have been replaced since.

    A judge that began to read before this table was published has seen an earlier one.
    """
    of = published.manifest
    old = [judge.manifest for judge in judges if judge.manifest.extracted_at < of.published_at]
    if old:
        facts = ", ".join(f"{judge.pipeline} read it at {judge.extracted_at:%Y-%m-%d %H:%M:%S}" for judge in old)
        commands = "\n".join(f"make run PIPELINE={judge.pipeline} PARTITION={of.partition}" for judge in old)
        raise LakeError(
            f"The table of {of.pipeline} for {of.partition} was published at {of.published_at:%Y-%m-%d %H:%M:%S} UTC,"
            f" and {facts}: its grades are for earlier answers. {_NOTHING_DONE} Run the judges again, which pays only"
            f" for answers that have changed:\n{commands}",
            retryable=False,
        )


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
