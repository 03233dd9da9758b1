"""
What every step does first, done once by the server that forks them: libraries import modules and compile expressions at
first use, which is a third of what a step of thirteen rows takes. Nothing here starts a thread, which no fork would
have.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from include.enrichment.cost.prices import prices
from include.enrichment.spec.pipeline_folder import load_pipeline
from tests.fixtures.flow import write_pipeline

#: Modules that libraries import at first use. Missing ones are ignored.
_USED_LATER = (
    "pandas",
    "pyarrow.acero",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "httpcore2",
    "h11",
    "truststore",
    "stringprep",
    "encodings.ascii",
    "encodings.idna",
    "encodings.utf_8_sig",
    "_strptime",
    "sqlite3",
    "sqlalchemy.dialects.sqlite",
)

for _name in _USED_LATER:
    with suppress(ImportError):
        import_module(_name)
prices()
with tempfile.TemporaryDirectory() as _folder:
    load_pipeline(write_pipeline(Path(_folder) / "tickets")).renderers(["ticket", "body"], run_id="")
