"""
junit.xml: the gate and the metrics as CI servers show test results.

The format has no schema of its own. This follows what GitHub, GitLab and Jenkins read:
https://github.com/testmoapp/junitxml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from include.evaluation.result import EvaluationResult, GateDecision, Metric

#: Characters that XML 1.0 does not allow, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(result: EvaluationResult) -> bytes:
    """
    Return the file: a suite with a test for each condition of the gate, and a suite for each metric.

    A condition that fails is a failure, unless it only warns. One that is inconclusive is skipped: it is neither right
    nor wrong. The tests of the metrics always pass. They are there for their numbers.
    """
    root = ET.Element("testsuites", {"name": f"{result.pipeline} {result.partition}"})
    _suite(root, "gate", result, [_condition(decision) for decision in result.gate])
    whole = [metric for metric in result.metrics if metric.by is None]
    for name in dict.fromkeys(metric.metric for metric in whole):
        _suite(root, f"metric {name}", result, [_measured(metric) for metric in whole if metric.metric == name])
    for attribute in ("tests", "failures", "skipped"):
        root.set(attribute, str(sum(int(suite.get(attribute, "0")) for suite in root)))
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _suite(root: ET.Element, name: str, result: EvaluationResult, tests: Iterable[ET.Element]) -> None:
    suite = ET.SubElement(root, "testsuite", {"name": _clean(name)})
    suite.set("timestamp", f"{result.evaluated_at:%Y-%m-%dT%H:%M:%S}")
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(result).items():
        ET.SubElement(properties, "property", {"name": key, "value": _clean(value)})
    suite.extend(tests)
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))


def _properties(result: EvaluationResult) -> dict[str, str]:
    return {
        "evaluation": result.evaluation_id,
        "run": result.run_id,
        "git_revision": result.git_revision or "unknown",
        "models": ", ".join(dict.fromkeys(variant.model for variant in result.variants)),
        "answers": "simulated" if result.simulated else "Claude",
        "verdict": result.verdict,
    }


def _condition(decision: GateDecision) -> ET.Element:
    name = f"{decision.metric}: {decision.variant} against {decision.baseline}"
    test = ET.Element("testcase", {"classname": "gate", "name": _clean(name)})
    if decision.verdict == "fail" and decision.on == "fail":
        ET.SubElement(test, "failure", {"type": "gate", "message": _clean(decision.why)}).text = _clean(decision.why)
    elif decision.verdict == "inconclusive":
        ET.SubElement(test, "skipped", {"message": _clean(f"inconclusive: {decision.why}")})
    ET.SubElement(test, "system-out").text = _clean(
        decision.why
        if decision.verdict == "pass"
        else f"{decision.verdict}{' (only a warning)' if decision.on == 'warn' else ''}: {decision.why}"
    )
    return test


def _measured(metric: Metric) -> ET.Element:
    test = ET.Element("testcase", {"classname": _clean(metric.metric), "name": _clean(metric.variant)})
    value = "no case has a score" if metric.value is None else f"{metric.value:.4f}"
    interval = "" if metric.low is None or metric.high is None else f" [{metric.low:.4f}, {metric.high:.4f}]"
    counts = f"{metric.cases:,} cases, {metric.missing:,} missing, {metric.skipped:,} skipped"
    ET.SubElement(test, "system-out").text = f"{value}{interval}, {counts}, {metric.unscored:,} unscored"
    return test


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
