"""
The index on the lake: the outcomes of many batches by request, in a few files, so that planning stays fast after many
runs. Its files are never changed and may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import Executor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.batches.prior_results import ALIKE, COMPACT_SCHEMA, FOUND_SCHEMA, select_outcomes
from include.enrichment.storage import layout
from include.enrichment.storage.compaction import covered_batches, index_id
from include.enrichment.storage.version import check_stamp, with_stamp
from include.gateways.disk import working_folder
from include.gateways.lake import Lake, Listed, ObjectMissing

log = logging.getLogger(__name__)

#: The rows of an index file that are sorted together, and the rows of a row group.
_SORTED_ROWS, _GROUP_ROWS = 1_000_000, 50_000
_BATCHES = "batches"
#: Errors of reading a file that is damaged or foreign.
_DAMAGED = (ValueError, KeyError, TypeError, OSError)


@dataclass(frozen=True, kw_only=True)
class _IndexFile:
    """
    A file of the index.

    :param tags: the tags of the results it was built from, by batch
    """

    listed: Listed
    metadata: pq.FileMetaData
    tags: Mapping[str, str]


class Index:
    """The index of one pipeline's results."""

    def __init__(self, lake: Lake, *, pipeline: str) -> None:
        self._lake = lake
        self._pipeline = pipeline

    def look_up(self, wanted: pa.Array, tags: Mapping[str, str], readers: Executor) -> tuple[list[pa.Table], set[str]]:
        """
        Return what the index contains of the wanted requests, in COMPACT_SCHEMA, and the batches it covers.

        A damaged file is skipped and deleted, and its batches are indexed again later.

        :param wanted: request ids, sorted
        :param tags: the tags of the results in the store, by batch
        """
        listed = self._lake.objects(layout.index_folder(self._pipeline))
        files = [file for file in readers.map(self._read_footer, listed) if file]
        by_file = covered_batches(tags, [file.tags for file in files])
        looks = readers.map(lambda file, batches: self._look(file, batches, wanted), files, by_file)
        tables, covered = [], set[str]()
        for found, batches in zip(looks, by_file, strict=True):
            if found is not None:
                tables.append(found)
                covered |= batches
        return tables, covered

    def write(self, outcomes: Iterable[pa.Table], tags: Mapping[str, str]) -> None:
        """
        Write a file of the index.

        :param outcomes: all outcomes of its batches, in COMPACT_SCHEMA
        :param tags: the tags of the results when they were listed, by batch. The file will not cover results that were
            written again since
        """
        with working_folder() as temporary:
            path = temporary / "index.parquet"
            with pq.ParquetWriter(
                path,
                with_stamp(FOUND_SCHEMA, {_BATCHES: json.dumps(tags)}),
                compression="zstd",
                use_dictionary=ALIKE,
                column_encoding={"request_id": "DELTA_BYTE_ARRAY"},
                write_page_checksum=True,
            ) as writer:
                for portion in _portions(outcomes):
                    # Sorted ids compress well, and a lookup compares few of them.
                    writer.write_table(portion.sort_by("request_id").cast(FOUND_SCHEMA), row_group_size=_GROUP_ROWS)
            self._lake.write_file(layout.index(self._pipeline, index_id(tags)), path)
        log.info("Added the results of %d batches to the index", len(tags))

    def _read_footer(self, listed: Listed) -> _IndexFile | None:
        try:
            with self._lake.open_listed(listed) as file:
                metadata = pq.read_metadata(file)
            check_stamp(metadata.metadata, self._lake.locate(listed.key))
            tags = dict(json.loads(metadata.metadata[_BATCHES.encode()]))
            return _IndexFile(listed=listed, metadata=metadata, tags=tags)
        except ObjectMissing:
            return None
        except _DAMAGED as error:
            self._drop(listed, error)
            return None

    def _look(self, file: _IndexFile, batches: Set[str], wanted: pa.Array) -> pa.Table | None:
        """Return the wanted requests of these batches, None if the file cannot be read."""
        if not batches:
            return COMPACT_SCHEMA.empty_table()
        try:
            with (
                self._lake.open_listed(file.listed) as opened,
                pq.ParquetFile(
                    opened,
                    metadata=file.metadata,
                    read_dictionary=ALIKE,
                    pre_buffer=True,
                    page_checksum_verification=True,
                ) as stored,
            ):
                groups = range(stored.num_row_groups)
                found = [
                    select_outcomes(stored.read_row_group(number, use_threads=False), wanted).cast(COMPACT_SCHEMA)
                    for number in groups
                ]
        except ObjectMissing:
            return None
        except _DAMAGED as error:
            self._drop(file.listed, error)
            return None
        pa.default_memory_pool().release_unused()  # of this thread, before another needs some
        table = pa.concat_tables([COMPACT_SCHEMA.empty_table(), *found])
        return table.filter(pc.is_in(table["batch_id"], value_set=pa.array(sorted(batches), pa.string())))

    def _drop(self, listed: Listed, error: Exception) -> None:
        log.warning(
            "%s cannot be read: %s. It is deleted and will be built again. This run reads the results instead",
            self._lake.locate(listed.key),
            " ".join(str(error).split()),
        )
        self._lake.delete(listed)


def _portions(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join the tables into larger ones that can still be sorted in memory."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= _SORTED_ROWS:
            yield pa.concat_tables(waiting).unify_dictionaries().combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).unify_dictionaries().combine_chunks()
