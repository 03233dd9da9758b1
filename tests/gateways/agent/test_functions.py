"""tools.py is run only by the task that acts, and only if it defines what the run has."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.agent.tool_file import read_tools
from include.enrichment.errors import SpecError
from include.gateways.agent.functions import OutcomeUnknown, Result, load_functions

SOURCE = '''
from __future__ import annotations
from typing import Literal

def count(word: str, letters: list[str], kind: Literal["a", "b"] = "a", most: int | None = None) -> dict[str, object]:
    """Count letters."""
    return {"count": sum(word.count(one) for one in letters), "kind": kind, "most": most}
'''


def write(folder: Path, source: str = SOURCE) -> Path:
    folder = folder / "actions"
    folder.mkdir(exist_ok=True)
    (folder / "tools.py").write_text(source)
    return folder


TOOLS, _ = read_tools(SOURCE, ask_first={"count": False})


def test_a_result_is_json_and_a_default_may_be_left_out(tmp_path: Path) -> None:
    functions = load_functions(write(tmp_path), TOOLS)
    result = functions.call("count", {"word": "banana", "letters": ["a", "n"]}, idempotency_key="")
    assert (result.content, result.is_error) == ('{"count":5,"kind":"a","most":null}', False)


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"word": "x"}, "letters: Missing required argument"),
        ({"word": "x", "letters": [], "kind": "c"}, "kind: Input should be 'a' or 'b'"),
        ({"word": "x", "letters": [], "more": 1}, "more: Unexpected keyword argument"),
    ],
)
def test_input_that_does_not_fit_never_reaches_the_function(
    tmp_path: Path, given: dict[str, object], fact: str
) -> None:
    result = load_functions(write(tmp_path), TOOLS).call("count", given, idempotency_key="")
    assert result.is_error
    assert fact in result.content


def test_another_body_is_used_and_another_definition_is_rejected(tmp_path: Path) -> None:
    load_functions(write(tmp_path, SOURCE.replace("sum(", "1 + sum(")), TOOLS)
    with pytest.raises(SpecError, match="the definition of count is not the one that this run has"):
        load_functions(write(tmp_path, SOURCE.replace("Count letters", "Count")), TOOLS)


def test_a_file_that_cannot_be_run_is_told_without_its_credentials(tmp_path: Path) -> None:
    source = SOURCE + "\nraise OSError('postgresql://reader:hunter2@warehouse')\n"
    with pytest.raises(SpecError, match=r"cannot be run: OSError: postgresql://\*\*\*@warehouse"):
        load_functions(write(tmp_path, source), TOOLS)


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("count = 3", "TypeError: 3 is not a callable object"),
        ("del count", "AttributeError: "),
        ("del Literal", "NameError: name 'Literal' is not defined"),
        ("raise OSError('host=db password=hunter2')", "OSError: host=db password=***"),
        ("""raise OSError({'api_key': "hunter2", 'Authorization': 'Bearer hunter2'})""", "OSError: {'api_key': ***, "),
    ],
)
def test_a_file_whose_tools_cannot_be_called_stops_before_anything_is_sent(
    tmp_path: Path, line: str, fact: str
) -> None:
    with pytest.raises(SpecError) as raised:
        load_functions(write(tmp_path, f"{SOURCE}\n{line}\n"), TOOLS)
    assert f"actions/tools.py: cannot be run: {fact}" in str(raised.value)
    assert "hunter2" not in str(raised.value)


WRITING = '''
def act(*, idempotency_key: str) -> object:
    """Act."""
    keys.append(idempotency_key)
    {body}

keys = []
'''


def act(tmp_path: Path, body: str) -> tuple[Result, list[str]]:
    """The result of a writing tool, and the keys of its calls."""
    source = WRITING.format(body=body)
    functions = load_functions(write(tmp_path, source), read_tools(source, ask_first={"act": False})[0])
    result = functions.call("act", {}, idempotency_key="k")
    return result, functions._functions["act"].__globals__["keys"]


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ("x = []; x.append(x); return x", "The tool has ended, but its result cannot be written as JSON"),
        ("return ['half \\ud800']", "The tool has ended, but its result cannot be written as JSON"),
        ("return 'half \\ud800'", "half ?"),
        ("return None", "null"),
        ("return b'\\xff'", '"/w=="'),
    ],
)
def test_a_writing_tool_whose_result_is_odd_is_not_called_again(tmp_path: Path, body: str, content: str) -> None:
    result, keys = act(tmp_path, body)
    assert result.content.startswith(content)
    assert keys == ["k"]


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt", "BaseException('password=hunter2')"])
def test_a_tool_that_exits_fails_like_any_other(
    tmp_path: Path, error: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("include.gateways.agent.functions._PAUSE_SECONDS", 0)
    with pytest.raises(OutcomeUnknown, match="3 times, and may have acted"):
        act(tmp_path, f"raise {error}")
    assert "hunter2" not in caplog.text
    assert "Tool act raised" in caplog.text


def test_a_long_result_is_cut(tmp_path: Path) -> None:
    result = load_functions(write(tmp_path, SOURCE.replace('"kind": kind', '"kind": "x" * 60_000')), TOOLS)
    content = result.call("count", {"word": "", "letters": []}, idempotency_key="").content
    assert content.endswith("(cut: the result has 60,033 characters)")
