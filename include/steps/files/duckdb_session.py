"""DuckDB within a step: in memory, for the files of one folder, which is all that it reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb


@contextmanager
def open_duckdb(
    folder: Path, *, memory: str, threads: int, in_order: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """
    An empty database.

    :param folder: where its input is, and where it goes on in files when its memory is full
    :param memory: what it may hold in memory, such as ``64MB``
    :param in_order: keep the order of the input, which takes more memory
    """
    with closing(
        duckdb.connect(
            ":memory:",
            config={
                "memory_limit": memory,
                "threads": threads,
                "temp_directory": str(folder / "spilled"),
                "preserve_insertion_order": in_order,
                "enable_external_file_cache": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
            },
        )
    ) as connection:
        connection.execute("set allowed_directories = ?", [[str(folder)]])
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield connection
