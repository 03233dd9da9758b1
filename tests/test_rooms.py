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
    One folder (or file) of the project, without the rooms within it.

    :param imports: what its files may import beside the standard library; a name stands for all below it
    :param only: what one file alone may import as well, by name
    """

    path: str
    imports: set[str]
    only: dict[str, set[str]] = field(default_factory=dict)

    def allowed(self, file: Path) -> set[str]:
        return self.imports | self.only.get(file.name, set()) | set(sys.stdlib_module_names)


def _layers(path: str, layers: list[str], *, base: set[str], only: dict[str, set[str]] | None = None) -> list[Room]:
    """The rooms within ``path``, bottom to top: each imports itself, the layers before it and the base."""
    names = [f"{path}/{layer}".replace("/", ".") for layer in layers]
    return [
        Room(path=f"{path}/{layer}", imports=base | set(names[: number + 1]), only=only or {})
        for number, layer in enumerate(layers)
    ]


_LIBRARIES = {"pydantic", "pyarrow", "jinja2", "msgspec", "jsonschema_rs", "yaml"}
_BELOW_STEPS = {
    *("include.enrichment", "include.evaluation", "include.gateways", "include.reporting"),
    *("pyarrow", "msgspec", "pydantic"),
}
_BELOW_AIRFLOW = {"airflow", "include.enrichment", "include.gateways", "include.steps"}
_SERVER = {"jsonschema_rs", "msgspec", "starlette", "uvicorn", "yaml"}
_BELOW_CLI = {
    *("include.enrichment", "include.evaluation", "include.gateways", "include.steps", "include.stack"),
    *("claude_batch", "pydantic", "pyarrow"),
}

ROOMS = [
    Room(path="dags", imports={"airflow.sdk", "claude_batch", "include.dag_defaults"}),
    Room(
        path="plugins/claude_batch",
        imports={*_BELOW_AIRFLOW, "claude_batch"},
        only={"failures.py": {"structlog"}, "pipelines.py": {"include"}, "deadline.py": {"sqlalchemy"}},
    ),
    Room(
        path="plugins/claude_batch/connections",
        imports={*_BELOW_AIRFLOW, "claude_batch.connections"},
        only={"claude_connection.py": {"anthropic", "httpx2"}, "gateways.py": {"botocore"}},
    ),
    Room(
        path="plugins/claude_batch/resolving",
        imports={*_BELOW_AIRFLOW, "claude_batch"},
    ),
    Room(
        path="plugins/claude_batch/forms",
        imports={"airflow", "claude_batch.forms", "claude_batch.pipelines", "include.enrichment"},
        only={"formats.py": {"jsonschema"}},
    ),
    Room(
        path="plugins/claude_batch/synchronous",
        imports={
            *_BELOW_AIRFLOW,
            *(
                f"claude_batch.{name}"
                for name in ("arguments", "connections", "failures", "run_operator", "synchronous")
            ),
        },
    ),
    Room(
        path="plugins/claude_batch/ui",
        imports={*_BELOW_AIRFLOW, "claude_batch.ui", "claude_batch.connections", "claude_batch.failures"},
        only={
            "evaluation.py": {"claude_batch.forms", "claude_batch.pipelines", "claude_batch.run_operator"},
            "pages.py": {"fastapi"},
            "report_page.py": {"fastapi"},
            "evaluation_page.py": {"fastapi"},
            "run_notes.py": {"sqlalchemy"},
        },
    ),
    Room(path="plugins/claude_batch_plugin.py", imports={"airflow.plugins_manager", "claude_batch"}),
    Room(path="include/enrichment", imports=set()),
    *_layers(
        "include/enrichment",
        [
            "runs",
            "storage",
            "documents",
            "requests",
            "cost",
            "answers/schema",
            "answers/evidence",
            "answers/checks/texts",
            "answers/checks",
            "answers",
            "agent",
            "spec/variants",
            "spec",
            "spec/sources",
            "spec/cascade",
            "batches",
            "synchronous",
        ],
        base={"include.enrichment.errors", *_LIBRARIES},
        # Each name is that of one file.
        only={
            "language.py": {"py3langid"},
            "length.py": {"regex"},
            "markdown.py": {"markdown_it"},
            "near_repeats.py": {"numpy"},
            "pattern.py": {"re2"},
            "row_expression.py": {"duckdb"},
            "escalation.py": {"duckdb"},
            "settings.py": {"pydantic_core"},
            "similarity.py": {"rapidfuzz"},
            "sql_expression.py": {"duckdb"},
            "where.py": {"duckdb"},
            "word_search.py": {"ahocorasick_rs"},
        },
    ),
    Room(
        path="include/evaluation",
        imports={
            *("include.enrichment", "include.evaluation", "pandas", "numpy", "scipy", "statsmodels", "krippendorff"),
            *("pyarrow", "pydantic"),
        },
        only={"json_values.py": {"msgspec"}},
    ),
    Room(
        path="include/evaluation/spec",
        imports={
            *("include.enrichment", "include.evaluation.graders", "include.evaluation.options"),
            *("include.evaluation.spec", "pydantic"),
        },
        only={"evaluation_file.py": {"pyarrow"}},
    ),
    Room(
        path="include/evaluation/graders",
        imports={"include.enrichment", "include.evaluation.graders", "include.evaluation.scores", "pydantic"},
        only={
            "registry.py": {"include.evaluation.options"},
            "grader.py": {"pyarrow"},
            "evidence.py": {"include.evaluation.json_values"},
            "sql.py": {"duckdb", "pyarrow"},
        },
    ),
    *_layers(
        "include/evaluation/graders",
        ["values", "structures"],
        base={
            *("include.enrichment", "include.evaluation.graders.grader", "include.evaluation.json_values"),
            *("include.evaluation.scores", "pydantic"),
        },
        only={
            "collection.py": {"rapidfuzz", "scipy"},
            "objects.py": {"numpy", "scipy"},
        },
    ),
    Room(
        path="include/evaluation/judges",
        imports={
            *(
                "include.enrichment",
                "include.evaluation.judges",
                "include.evaluation.cases",
                "include.evaluation.scores",
            ),
            *("include.evaluation.result", "include.evaluation.spec"),
            *("include.evaluation.statistics", "pyarrow"),
        },
    ),
    Room(
        path="include/evaluation/outputs",
        imports={"include.enrichment", "include.evaluation", "pandas", "numpy", "pyarrow"},
    ),
    Room(
        path="include/evaluation/figures",
        imports={
            *(f"include.evaluation.{name}" for name in ("figures", "result", "scores", "spec", "statistics")),
            *("include.enrichment.errors", "include.evaluation.json_values", "numpy", "pandas", "scipy"),
        },
    ),
    Room(
        path="include/evaluation/statistics",
        imports={"include.evaluation.statistics", "numpy", "scipy"},
        only={"agreement.py": {"krippendorff"}, "holm.py": {"statsmodels"}, "proportions.py": {"statsmodels"}},
    ),
    Room(
        path="include/gateways",
        imports={"include.enrichment", "include.gateways", "pydantic", "pyarrow"},
        only={
            "claude.py": {"anthropic", "httpx2"},
            "claude_errors.py": {"anthropic", "httpx2"},
            "claude_responses.py": {"msgspec"},
            "async_claude.py": {"anthropic", "httpx2"},
            "lake.py": {"obstore"},
            "conditional_writes.py": {"obstore"},
        },
    ),
    Room(
        path="include/gateways/synchronous",
        imports={
            *("include.enrichment", "include.gateways.claude_errors", "include.gateways.claude_responses"),
            *("include.gateways.synchronous", "aiolimiter", "anthropic", "httpx2", "msgspec"),
        },
    ),
    Room(
        path="include/gateways/sources",
        imports={
            *("include.enrichment", "include.gateways.disk", "include.gateways.lake", "include.gateways.sources"),
            *("pyarrow", "pydantic"),
        },
        only={
            "postgres_psycopg.py": {"psycopg"},
            "postgres_psycopg2.py": {"psycopg2"},
            "warehouse.py": {"sqlalchemy"},
        },
    ),
    Room(
        path="include/gateways/uploads",
        imports={
            *("include.enrichment", "include.gateways.claude_errors", "include.gateways.claude_responses"),
            *("include.gateways.lake", "include.gateways.ledger_store", "include.gateways.uploads", "pydantic"),
        },
        only={"claude_files.py": {"anthropic", "httpx2"}},
    ),
    Room(
        path="include/gateways/agent",
        imports={
            *("include.enrichment", "include.gateways.agent", "include.gateways.lake"),
            *("include.gateways.synchronous.answerer", "msgspec", "pydantic"),
        },
        only={"answerer.py": {"anthropic", "httpx2"}, "row.py": {"anthropic", "httpx2"}},
    ),
    Room(
        path="include/gateways/documents",
        imports={
            *("include.enrichment", "include.gateways.disk", "include.gateways.lake", "include.gateways.documents"),
            "msgspec",
        },
    ),
    Room(
        path="include/gateways/project",
        imports={"include.gateways.disk", "include.gateways.project"},
    ),
    # What the inspector's child process runs. Nothing else imports the libraries that read documents.
    Room(
        path="include/gateways/documents/inspection",
        imports={"include.enrichment.documents", "include.gateways.documents.inspection", "msgspec"},
        only={
            "image.py": {"PIL"},
            "kind.py": {"puremagic"},
            "page.py": {"pypdfium2"},
            "pdf.py": {"pikepdf", "pypdfium2"},
            "docx.py": {"lxml", "mammoth"},
            "text.py": {"inscriptis", "lxml"},
        },
    ),
    Room(
        path="include/reporting",
        imports={"include.enrichment", "include.reporting", "pyarrow"},
        only={"charts.py": {"matplotlib"}, "page.py": {"jinja2"}},
    ),
    Room(
        path="include/reporting/evaluation",
        imports={
            *("include.evaluation.result", "include.evaluation.scores", "include.reporting.evaluation"),
            *("include.reporting.wording", "numpy", "pandas"),
        },
        only={
            "page.py": {"include.reporting", "jinja2", "markupsafe"},
            "scale.py": {"matplotlib"},
            "word_diff.py": {"rapidfuzz"},
        },
    ),
    Room(path="include/steps", imports={*_BELOW_STEPS, "include.steps"}),
    *(
        Room(
            path=f"include/steps/{folder}",
            imports={*_BELOW_STEPS, "include.steps.files", f"include.steps.{folder}"},
            only={
                **{name: {"duckdb"} for name in ("duckdb_session.py", "decoding.py", "matching.py", "keeping.py")},
                # The retry pass judges the answers that publish would take.
                "failed_checks.py": {"include.steps.publishing"},
                # Whether a pass is asked for the deadline depends on the budgets and on what is in flight.
                "deadline.py": {"include.steps.planning"},
                # A lease is a claim, as that on a batch's chunk is. A warm-up is planned, sent and loaded like a chunk.
                "lease.py": {"include.steps.submitting"},
                "warm_up.py": {"include.steps.load", "include.steps.planning"},
                # What an evaluation would send is what runs would send.
                "forecast.py": {
                    *("include.steps.dry_run", "include.steps.extract"),
                    *("include.steps.extracting", "include.steps.planning"),
                },
            },
        )
        for folder in ("files", "extracting", "planning", "submitting", "asking", "loading", "publishing", "evaluating")
    ),
    # The retry pass judges the answers that publish would take.
    Room(
        path="include/steps/planning/retrying",
        imports={
            *_BELOW_STEPS,
            *("include.steps.files", "include.steps.planning", "include.steps.publishing"),
        },
    ),
    Room(
        path="include/emulator",
        imports={"include.emulator", *_SERVER},
    ),
    *_layers(
        "include/emulator",
        ["billing", "documents", "answers", "faults", "engine", "http"],
        base={"include.emulator.api_errors", "include.emulator.draws", *_SERVER},
        only={"pdf.py": {"pypdfium2"}, "image.py": {"PIL"}},
    ),
    Room(
        path="include/cli",
        imports={*_BELOW_CLI, "include.cli", "include.reporting"},
        only={"demo.py": {"psutil", "httpx2", "yaml"}, "consent.py": {"yaml"}},
    ),
    Room(
        path="include/cli/output",
        imports={*_BELOW_CLI, "include.cli.output", "include.cli.connections", "include.cli.exit_codes"},
        only={"rows_table.py": {"rich"}, "end_of_run.py": {"httpx2"}},
    ),
    Room(
        path="include/cli/foreground",
        imports={*_BELOW_CLI, "include.cli.foreground", "include.cli.output", "include.cli.exit_codes"},
        only={"dag_run.py": {"airflow"}, "unfinished.py": {"psutil"}, "session.py": {"psutil"}},
    ),
    Room(
        path="include/stack",
        imports={"include.stack", "pydantic", "pyarrow"},
        only={
            "airflow_api.py": {"httpx2"},
            "compose_setup.py": {"pandas", "sqlalchemy"},
            "processes.py": {"psutil"},
            "sample_products.py": {"yaml"},
            "supervisor.py": {"supervisor"},
        },
    ),
    Room(
        path="include/stack/sample_invoices",
        imports={"include.stack.sample_invoices", "include.stack.progress", "pyarrow"},
        only={
            "damage.py": {"pikepdf", "pypdfium2", "PIL", "reportlab"},
            "layouts.py": {"reportlab"},
            "page.py": {"reportlab"},
            "sample.py": {"pypdfium2"},
        },
    ),
    # A tools.py is loaded by its path, in the task that acts.
    Room(path="include/pipelines", imports={"airflow.sdk", "claude_batch.connections", "httpx2", "sqlalchemy"}),
    Room(path="include/stack/sample_tickets", imports={"include.stack.sample_tickets"}),
    Room(
        path="include/stack/refunds",
        imports={"include.stack.refunds", "msgspec"},
        only={"__main__.py": {"uvicorn"}, "service.py": {"starlette"}},
    ),
    Room(path="include/dag_defaults.py", imports={"airflow.sdk", "claude_batch"}),
    Room(path="include/__init__.py", imports=set()),
]
_PATHS = {ROOT / room.path for room in ROOMS}

#: Where the tests of a room, and of the rooms within it, are.
MIRRORS = {
    "include/enrichment": "tests/unit/enrichment",
    "include/gateways": "tests/gateways",
    "include/evaluation": "tests/unit/evaluation",
    "include/reporting": "tests/unit/reporting",
    "include/steps": "tests/steps",
    "plugins/claude_batch": "tests/airflow",
}
#: No packages: a tools.py is all the code that one can have.
PIPELINES = {file.parent for file in (ROOT / "include/pipelines").rglob("tools.py")}
PURE = sorted((ROOT / "include/enrichment").rglob("*.py"))
FOLDERS = sorted({file.parent for top in ("include", "plugins") for file in (ROOT / top).rglob("*.py")} - PIPELINES)
MOST_MODULES = 12


def _files(room: Room) -> list[Path]:
    """The files of a room, without those of the rooms within it."""
    path = ROOT / room.path
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*.py") if next(up for up in file.parents if up in _PATHS) == path)


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


def _forbidden(room: Room, file: Path, source: str) -> list[str]:
    return [name for name in _imports(source) if not _covered(name, room.allowed(file))]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.path)
def test_a_room_imports_only_what_it_may(room: Room) -> None:
    assert _files(room), f"{room.path} has no files"
    forbidden = {str(file.relative_to(ROOT)): _forbidden(room, file, file.read_text()) for file in _files(room)}
    assert not {file: names for file, names in forbidden.items() if names}


@pytest.mark.parametrize(
    ("path", "planted"),
    [
        ("dags", "include.steps.load"),
        ("plugins/claude_batch/connections", "claude_batch.operators"),
        ("include/enrichment", "include.enrichment.runs.passes"),
        ("include/enrichment/runs", "include.enrichment.storage.layout"),
        ("include/enrichment/cost", "include.enrichment.answers.outcome"),
        ("include/enrichment/answers/schema", "include.enrichment.answers.table"),
        ("include/enrichment/batches", "include.gateways.lake"),
        ("include/gateways", "include.steps.load"),
        ("include/gateways/sources", "include.gateways.claude"),
        ("include/steps", "claude_batch.operators"),
        ("include/steps/loading", "include.steps.load"),
        ("include/steps/publishing", "include.steps.planning.in_flight"),
        ("include/emulator/billing", "include.emulator.engine.bodies"),
        ("include/cli/output", "include.cli.run"),
        ("include/stack", "include.cli.demo"),
    ],
)
def test_a_planted_arrow_is_found_at_every_depth(path: str, planted: str) -> None:
    room = next(room for room in ROOMS if room.path == path)
    package, _, name = planted.rpartition(".")
    for file in _files(room):
        assert _forbidden(room, file, f"import {planted}") == [planted]
        assert _forbidden(room, file, f"def f():\n    from {package} import {name}") == [planted]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_folder_is_a_room_says_what_it_is_for_and_is_seen_at_a_glance(folder: Path) -> None:
    assert folder in _PATHS or folder == ROOT / "plugins" or folder == ROOT / "include"
    modules = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES
    if (folder / "__init__.py").is_file():
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    else:
        assert folder == ROOT / "plugins"


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
    assert not strays


#: Attributes and modules that tell the time, the environment or a random number, or that reach outside.
_CLOCK_AND_LUCK = {"now", "utcnow", "today", "monotonic", "perf_counter", "environ", "getenv", "uuid1", "uuid4"}
_OUTSIDE = {"os", "time", "random", "secrets", "socket", "subprocess", "urllib", "logging"}
_FILES = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "glob", "iterdir"}
_FILE_MODULES = {"pathlib", "io", "tempfile", "shutil", "glob"}
#: These read files all the same: their pipeline's folder.
_READERS = ("parse_time.py", "prices.py", "pipeline_folder.py", "checks_file.py", "case_reading.py", "tool_reading.py")


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
def test_only_the_readers_of_a_pipeline_and_of_prices_touch_files(file: Path) -> None:
    source = file.read_text()
    assert not (_attributes(source) | _names(source)) & _FILES
    assert not _top_modules(source) & _FILE_MODULES


@pytest.mark.parametrize("room", MIRRORS)
def test_every_module_has_a_test_file_in_its_place(room: str) -> None:
    modules = {file.relative_to(ROOT / room) for file in (ROOT / room).rglob("*.py") if file.stem != "__init__"}
    expected = {ROOT / MIRRORS[room] / file.parent / f"test_{file.name}" for file in modules}
    assert not {str(file.relative_to(ROOT)) for file in expected if not file.is_file()}


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
