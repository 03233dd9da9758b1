"""Who may import whom, and what the room that decides may not know. A new arrow is a change to the tables here."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Room:
    """
    One folder (or file) of the project.

    :param imports: what its files may import beside the standard library; a name stands for all below it
    :param only: what one file alone may import as well, by path within the room
    """

    path: str
    imports: set[str]
    only: dict[str, set[str]] = field(default_factory=dict)

    def allowed(self, file: Path) -> set[str]:
        extra = self.only.get(file.relative_to(ROOT / self.path).as_posix(), set())
        return self.imports | extra | set(sys.stdlib_module_names)


ROOMS = [
    Room(path="dags", imports={"airflow.sdk", "claude_batch", "include.dag_defaults"}),
    Room(
        path="plugins/claude_batch",
        imports={"airflow", "claude_batch", "include.enrichment", "include.gateways", "include.steps"},
        only={
            "claude_connection.py": {"anthropic", "httpx2"},
            "connections.py": {"botocore"},
            "failures.py": {"structlog"},
            "formats.py": {"jsonschema"},
            "operators.py": {"include"},
            "report_page.py": {"fastapi"},
            "run_notes.py": {"sqlalchemy"},
            "deadline.py": {"sqlalchemy"},
        },
    ),
    Room(path="plugins/claude_batch_plugin.py", imports={"airflow.plugins_manager", "claude_batch"}),
    Room(
        path="include/enrichment",
        imports={"include.enrichment", "pydantic", "pyarrow", "jinja2", "msgspec", "jsonschema_rs", "yaml"},
    ),
    Room(
        path="include/gateways",
        imports={"include.enrichment", "include.gateways", "pydantic", "pyarrow"},
        only={
            "claude.py": {"anthropic", "httpx2"},
            "async_claude.py": {"anthropic", "httpx2", "msgspec"},
            "lake.py": {"obstore"},
            "postgres_psycopg.py": {"psycopg"},
            "postgres_psycopg2.py": {"psycopg2"},
            "warehouse.py": {"sqlalchemy"},
        },
    ),
    Room(
        path="include/reporting",
        imports={"include.enrichment", "include.reporting", "pyarrow"},
        only={"figures.py": {"pandas"}, "charts.py": {"matplotlib"}, "page.py": {"jinja2"}},
    ),
    Room(
        path="include/steps",
        imports={
            *("include.enrichment", "include.gateways", "include.reporting", "include.steps"),
            *("pyarrow", "msgspec", "pydantic"),
        },
        only={name: {"duckdb"} for name in ("decoding.py", "duck.py", "matching.py")},
    ),
    Room(
        path="include/emulator",
        imports={"include.emulator", "jsonschema_rs", "msgspec", "starlette", "uvicorn", "yaml"},
    ),
    Room(path="include/dag_defaults.py", imports={"airflow.sdk", "claude_batch"}),
    Room(path="include/__init__.py", imports=set()),
]
#: Starts everything as processes and looks at what they left; nobody imports it, so it may know whom it likes.
UNRULED = {"include/stack", "include/pipelines"}

#: Where the tests of a room are.
MIRRORS = {
    "include/enrichment": "tests/unit/enrichment",
    "include/gateways": "tests/gateways",
    "include/reporting": "tests/unit/reporting",
    "include/steps": "tests/steps",
    "plugins/claude_batch": "tests/airflow",
}
PURE = sorted((ROOT / "include/enrichment").glob("*.py"))


def _files(room: Room) -> list[Path]:
    path = ROOT / room.path
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``: what is imported for types only is not there at run time."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _runtime_nodes(node)


def _imports(source: str) -> Iterator[str]:
    """Every name that the source imports, also within functions: ``a.b`` for ``from a import b``."""
    for node in _runtime_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module or ''}.{alias.name}" for alias in node.names)


def _dynamic_imports(source: str) -> list[str]:
    calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call for call in calls if call.rpartition(".")[2] in ("__import__", "import_module", "import_string")]


def _covered(name: str, allowed: set[str]) -> bool:
    """``include`` alone stands for itself, not for all that is below it."""
    parts = name.split(".")
    prefixes = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return name in allowed or bool((prefixes - {"include"}) & allowed)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.path)
def test_a_room_imports_only_what_it_may(room: Room) -> None:
    assert _files(room), f"{room.path} has no files"
    forbidden = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in _files(room)
        for name in _imports(file.read_text())
        if not _covered(name, room.allowed(file))
    }
    assert not forbidden


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import a.b", ["a.b"]),
        ("import a as x, b", ["a", "b"]),
        ("from a import b, c", ["a.b", "a.c"]),
        ("def f():\n    from a import b", ["a.b"]),
        ("try:\n    import a\nexcept ImportError:\n    import b", ["a", "b"]),
        ("if TYPE_CHECKING:\n    import a\nimport b", ["b"]),
        ("from . import a", ["..a"]),
    ],
)
def test_the_walk_finds_every_import(source: str, imported: list[str]) -> None:
    assert list(_imports(source)) == imported


@pytest.mark.parametrize(
    ("name", "allowed", "covered"),
    [
        ("airflow.sdk.dag", {"airflow.sdk"}, True),
        ("airflow.models.DAG", {"airflow.sdk"}, False),
        ("airflow.sdkx", {"airflow.sdk"}, False),
        ("include", {"include"}, True),
        ("include.cli.run", {"include"}, False),
        ("..a", {"a"}, False),
    ],
)
def test_a_name_is_covered_by_what_stands_above_it(name: str, allowed: set[str], covered: bool) -> None:
    assert _covered(name, allowed) is covered


def test_no_room_imports_by_name_at_run_time() -> None:
    found = {str(file.relative_to(ROOT)): _dynamic_imports(file.read_text()) for room in ROOMS for file in _files(room)}
    assert not {file: calls for file, calls in found.items() if calls}


def test_every_python_file_is_in_a_room() -> None:
    known = {file for room in ROOMS for file in _files(room)}
    strays = {
        file.relative_to(ROOT).as_posix()
        for top in ("dags", "include", "plugins")
        for file in (ROOT / top).rglob("*.py")
        if file not in known
    }
    assert not {stray for stray in strays if not any(stray.startswith(f"{folder}/") for folder in UNRULED)}


def test_nobody_imports_the_stack() -> None:
    importers = {
        str(file.relative_to(ROOT))
        for top in ("dags", "include", "plugins")
        for file in (ROOT / top).rglob("*.py")
        if not file.is_relative_to(ROOT / "include/stack")
        and any(f"{name}.".startswith("include.stack.") for name in _imports(file.read_text()))
    }
    assert not importers


#: Attributes and modules that tell the time, the environment or a random number, or that reach outside.
_CLOCK_AND_LUCK = {"now", "utcnow", "today", "monotonic", "perf_counter", "environ", "getenv", "uuid1", "uuid4"}
_OUTSIDE = {"os", "time", "random", "secrets", "socket", "subprocess", "urllib", "logging"}
_FILES = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "glob", "iterdir"}
_FILE_MODULES = {"pathlib", "io", "tempfile", "shutil", "glob"}
#: These read files all the same: their pipeline's folder.
_READERS = ("glance.py", "prices.py", "spec.py")


def _attributes(source: str) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}


def _names(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def _top_modules(source: str) -> set[str]:
    return {name.partition(".")[0] for name in _imports(source)}


@pytest.mark.parametrize("file", PURE, ids=lambda file: file.name)
def test_the_room_that_decides_reads_neither_clock_nor_environment(file: Path) -> None:
    source = file.read_text()
    assert not _attributes(source) & _CLOCK_AND_LUCK
    assert not _top_modules(source) & _OUTSIDE


@pytest.mark.parametrize("file", [file for file in PURE if file.name not in _READERS], ids=lambda file: file.name)
def test_only_spec_glance_and_prices_touch_files(file: Path) -> None:
    source = file.read_text()
    assert not (_attributes(source) | _names(source)) & _FILES
    assert not _top_modules(source) & _FILE_MODULES


@pytest.mark.parametrize("room", MIRRORS)
def test_every_module_has_a_test_file_in_its_place(room: str) -> None:
    modules = {file.stem for file in (ROOT / room).glob("*.py")} - {"__init__"}
    tested = {file.stem.removeprefix("test_") for file in (ROOT / MIRRORS[room]).glob("test_*.py")}
    assert modules <= tested, f"{MIRRORS[room]} lacks test files for {sorted(modules - tested)}"


@pytest.mark.parametrize("room", [path for path in MIRRORS] + ["include/emulator", "include/stack", "include"])
def test_a_room_says_what_it_is_for(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
    assert docstring


_HEAVY = {
    "pyarrow",
    "anthropic",
    "pandas",
    "matplotlib",
    "fastapi",
    "duckdb",
    "obstore",
    "jsonschema_rs",
    "sqlalchemy",
    "msgspec",
}
_PARSE = """
import sys
import airflow.sdk
before = set(sys.modules)
import claude_batch.task_group, claude_batch.forms.params, claude_batch.ui.usage_report, include.dag_defaults
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_parsing_a_dag_stays_light() -> None:
    loaded = set(_python(_PARSE).split())
    assert "claude_batch" in loaded
    assert not loaded & _HEAVY


_LOAD_PLUGINS = """
import sys
from pathlib import Path
from airflow._shared.plugins_manager.plugins_manager import _load_plugins_from_plugin_directory
for folder in sys.argv[1:]:
    before = set(sys.modules)
    _load_plugins_from_plugin_directory(folder)
    files = {name: getattr(sys.modules[name], "__file__", None) or "" for name in set(sys.modules) - before}
    bare = (name for name, file in files.items() if file.startswith(folder) and name == Path(file).stem)
    print("executed:", *sorted(bare))
"""


def test_airflow_executes_one_file_of_plugins_and_no_other(tmp_path: Path) -> None:
    """
    It registers each by its bare name: two `operators.py` replace each other, a `types.py` the library's. The copy
    without the allow-list shows that the loader was really at work.
    """
    bare = shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns(".airflowignore"))
    lines = _python(_LOAD_PLUGINS, str(ROOT / "plugins"), str(bare)).splitlines()
    ours, without_the_list = (line.split()[1:] for line in lines if line.startswith("executed:"))
    assert ours == ["claude_batch_plugin"]
    assert "operators" in without_the_list


def _python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
