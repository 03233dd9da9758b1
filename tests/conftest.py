"""What every test shares: an Airflow of its own, and the fixture modules beside this file."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import certifi
import pytest

ROOT = Path(__file__).resolve().parents[1]
_AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="claude-batch-tests-"))
atexit.register(shutil.rmtree, _AIRFLOW_HOME, ignore_errors=True)

# Airflow reads its settings when it is first imported, which is after this. What the shell has set must neither steer a
# test nor be paid with; the contract suite's own key is asked for by name.
for name in list(os.environ):
    if name.startswith(("AIRFLOW", "ANTHROPIC_", "ENRICHMENT_")) and name != "ANTHROPIC_API_KEY_CONTRACT":
        del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(_AIRFLOW_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_AIRFLOW_HOME}/airflow.db",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(_AIRFLOW_HOME / "logs"),
    # Subprocesses find the project as this process does.
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
}
if "ANTHROPIC_API_KEY_CONTRACT" not in os.environ:
    # Nothing here speaks TLS, yet each of thousands of clients would first read all certificates of the machine, which
    # takes 25 ms. Some want to find one.
    one_certificate = _AIRFLOW_HOME / "one.pem"
    one_certificate.write_text("".join(Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")[:2]))
    os.environ["SSL_CERT_FILE"] = str(one_certificate)
    os.environ.pop("SSL_CERT_DIR", None)
# Where this is set, as in many images, each of hundreds of processes would compile the project again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = [f"tests.fixtures.{path.stem}" for path in sorted((ROOT / "tests/fixtures").glob("[!_]*.py"))]

#: Minutes of waiting for a stack each. They go to the workers of `make test` first, so that none is left over when
#: everything else is done. Files that take long by themselves come early in the alphabet: tests/airflow, tests/chaos.
FIRST = [ROOT / "tests/e2e" / name for name in ("test_stack.py", "test_doors.py", "test_run.py")]
assert all(file.is_file() for file in FIRST)
MOST_WORKERS = 5


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are processors, as the end-to-end tests wait for other processes most of the time."""
    return min((os.cpu_count() or 1) + 1, MOST_WORKERS)


# What is imported and collected stays until the end. The garbage collector need not look through it again and again,
# which took a quarter of the collection's time.
gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, in what the tests themselves create."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Let the interpreter free everything when it ends: some libraries report what it does not."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the files that are to be first there."""
    items.sort(key=lambda item: FIRST.index(item.path) if item.path in FIRST else len(FIRST))
