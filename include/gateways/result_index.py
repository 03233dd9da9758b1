"""
The index on the lake: what the results of many batches say of their requests, in one file instead of many, so that
planning stays quick however many runs there were. It is never changed, and may be deleted at any time.
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

from include.enrichment.batches.prior_results import FOUND_SCHEMA, lines_for
from include.enrichment.storage import layout
from include.enrichment.storage.compaction import covered_batches, index_id
from include.enrichment.storage.version import check_stamp, with_stamp
from include.gateways.disk import working_folder
from include.gateways.lake import Lake, Listed, ObjectMissing

log = logging.getLogger(__name__)

#: So many lines are sorted at once, and so many of them can be read without the others.
_SORTED_ROWS, _GROUP_ROWS = 1_000_000, 50_000
_BATCHES = "batches"
#: What reading a file raises that is damaged, or is none of ours.
_DAMAGED = (ValueError, KeyError, TypeError, OSError)
#: Columns in which few values stand over and over, and FOUND_SCHEMA with each of those values once.
_ALIKE = [name for name in FOUND_SCHEMA.names if name != "request_id"]
SAID_SCHEMA = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in _ALIKE else field
        for field in FOUND_SCHEMA
    ]
)


@dataclass(frozen=True, kw_only=True)
class _IndexFile:
    """
    A file of the index.

    :param tags: what the results were that it was made of, by batch
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
        What the index says of the wanted requests, as tables in FOUND_SCHEMA, and the batches that it speaks for. Of
        any other batch it says nothing.

        A file that is damaged is passed over, and deleted: its batches are then indexed anew.

        :param wanted: request ids, sorted
        :param tags: the tags of the results in the store, by batch
        """
        listed = self._lake.objects(layout.index_folder(self._pipeline))
        files = [file for file in readers.map(self._opened, listed) if file]
        own = covered_batches(tags, [file.tags for file in files])
        looks = readers.map(lambda file, batches: self._look(file, batches, wanted), files, own)
        tables, spoken = [], set[str]()
        for found, batches in zip(looks, own, strict=True):
            if found is not None:
                tables.append(found)
                spoken |= batches
        return tables, spoken

    def write(self, said: Iterable[pa.Table], tags: Mapping[str, str]) -> None:
        """
        Write a file of the index.

        :param said: all lines of its batches, in SAID_SCHEMA
        :param tags: what the results were when they were listed, by batch. They may have been written anew since: then
            the file will not speak for them
        """
        with working_folder() as temporary:
            path = temporary / "index.parquet"
            with pq.ParquetWriter(
                path,
                with_stamp(FOUND_SCHEMA, {_BATCHES: json.dumps(tags)}),
                compression="zstd",
                use_dictionary=_ALIKE,
                column_encoding={"request_id": "DELTA_BYTE_ARRAY"},
                write_page_checksum=True,
            ) as writer:
                for portion in _portions(said):
                    # Neighbours begin alike, which makes them small, and are looked for among few.
                    writer.write_table(portion.sort_by("request_id").cast(FOUND_SCHEMA), row_group_size=_GROUP_ROWS)
            self._lake.write_file(layout.index(self._pipeline, index_id(tags)), path)
        log.info("The results of %d batches are in the index now", len(tags))

    def _opened(self, listed: Listed) -> _IndexFile | None:
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
        """What the file says of its batches, None if it cannot be read."""
        if not batches:
            return FOUND_SCHEMA.empty_table()
        try:
            with (
                self._lake.open_listed(file.listed) as opened,
                pq.ParquetFile(
                    opened,
                    metadata=file.metadata,
                    read_dictionary=_ALIKE,
                    pre_buffer=True,
                    page_checksum_verification=True,
                ) as stored,
            ):
                groups = range(stored.num_row_groups)
                found = [
                    lines_for(stored.read_row_group(number, use_threads=False), wanted).cast(FOUND_SCHEMA)
                    for number in groups
                ]
        except ObjectMissing:
            return None
        except _DAMAGED as error:
            self._drop(file.listed, error)
            return None
        pa.default_memory_pool().release_unused()  # of this thread, before another has to take some
        table = pa.concat_tables([FOUND_SCHEMA.empty_table(), *found])
        return table.filter(pc.is_in(table["batch_id"], value_set=pa.array(sorted(batches), pa.string())))

    def _drop(self, listed: Listed, error: Exception) -> None:
        log.warning(
            "%s cannot be read: %s. The results themselves are read instead, and it will be made anew",
            self._lake.locate(listed.key),
            " ".join(str(error).split()),
        )
        self._lake.delete(listed)


def _portions(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same lines in tables that can be sorted in memory."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= _SORTED_ROWS:
            yield pa.concat_tables(waiting).unify_dictionaries().combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).unify_dictionaries().combine_chunks()
