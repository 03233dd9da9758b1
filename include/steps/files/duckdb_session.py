"""DuckDB within a step: an in-memory database that can read and write the files of one folder only."""

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
    Open an empty database that takes times in UTC.

    :param folder: holds its input, and its temporary files once its memory is full
    :param memory: its memory limit, for example ``64MB``
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
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set allowed_directories = ?", [[str(folder)]])
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield connection
