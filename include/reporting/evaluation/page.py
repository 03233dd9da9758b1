"""The report of an evaluation: one self-contained HTML file that reaches no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from include.evaluation.result import EvaluationResult
from include.evaluation.scores import Scores
from include.reporting import wording as amounts
from include.reporting.evaluation import wording
from include.reporting.evaluation.cases import OUTCOMES, SHOWN_OUTCOMES, Case, Outcome, choose_cases
from include.reporting.evaluation.charts import colours, comparison_charts, gate_charts, interval_charts
from include.reporting.evaluation.cost_chart import COST_HEIGHT, MOST_CHARACTERS, PER_CASES, cost_charts, cost_per_cases
from include.reporting.evaluation.tables import confusion_tables, group_tables

_FOLDER = Path(__file__).parent
#: What a reader calls the outcomes of a case.
_OUTCOME_WORDS: dict[Outcome, str] = {
    "worse": "worse than the baseline",
    "better": "better than the baseline",
    "wrong": "wrong",
    "unscored": "unscored",
    "flickering": "samples differ",
    "right": "right",
    "missing": "no expected value",
}
#: The class of report.css with the colours of an outcome.
_OUTCOME_TONES: dict[Outcome, str] = {
    "worse": "fail",
    "better": "pass",
    "wrong": "inconclusive",
    "unscored": "none",
    "flickering": "none",
}


def render_report(result: EvaluationResult, scores: Scores) -> bytes:
    """
    Render the page as UTF-8: the verdict first, then the figures, then the cases to read, worst first.

    All texts of cases and answers are data and are escaped. The page's policy lets the browser run only this script
    and apply only this style, each known by its SHA-256. The size is bounded: see cases.py for the number of cases.
    """
    style, script = (_FOLDER / "report.css").read_text("utf-8"), (_FOLDER / "report.js").read_text("utf-8")
    read = choose_cases(result, scores)
    page = _template().render(
        result=result,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        headline=wording.headline(result),
        cost_line=wording.cost_line(result),
        gate=gate_charts(result),
        charts=interval_charts(result),
        comparisons=comparison_charts(result),
        cost_charts=cost_charts(result),
        cost_height=COST_HEIGHT,
        label_characters=MOST_CHARACTERS,
        per_cases=PER_CASES,
        groups=group_tables(result),
        confusions=confusion_tables(result),
        colours=colours(result),
        read=read,
        all_outcomes=OUTCOMES,
        outcomes=SHOWN_OUTCOMES,
        outcome_words=_OUTCOME_WORDS,
        outcome_tones=_OUTCOME_TONES,
        group_values=_group_values(result, read.cases),
        verdict_word=result.verdict.capitalize() if result.gate else "No gate",
        verdict_tone=result.verdict if result.gate else "none",
        confidence=f"{100 * result.confidence:.3g}\u00a0%",
        judged=any(one.judge_usd is not None for one in result.variants),
        cost_per_cases=cost_per_cases,
    )
    return page.encode("utf-8", "replace")


def _policy(style: str, script: str) -> str:
    """Return the content security policy: this style, this script, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _group_values(result: EvaluationResult, cases: Sequence[Case]) -> dict[str, list[str]]:
    """Return the groups of the cases on the page, by column."""
    columns = dict.fromkeys(one.by for one in result.metrics if one.by is not None)
    return {column: sorted({case.about.get(column, "") for case in cases}) for column in columns}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(amounts, name) for name in ("usd", "share", "count", "tokens")}
    environment.filters |= {
        name: getattr(wording, name)
        for name in ("score", "difference", "difference_interval", "p_value", "variant_name")
    }
    return environment.get_template("report.html")


def _shown(value: object) -> object:
    """Make a text showable, whatever part of the result it is. Markup is made by the template itself."""
    return wording.showable(value) if type(value) is str else value
