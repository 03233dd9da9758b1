from __future__ import annotations

from xml.etree import ElementTree as ET

from include.evaluation.outputs.junit import junit_xml
from tests.fixtures.evaluations import make_decision, make_metric, make_result


def test_a_condition_that_fails_is_a_failure_and_an_inconclusive_one_is_skipped() -> None:
    gate = [
        make_decision(),
        make_decision(verdict="fail", why="At best 3 points lower."),
        make_decision(verdict="fail", on="warn", why="At best 4 points lower."),
        make_decision(verdict="inconclusive", why="400 more cases would decide."),
    ]
    root = ET.fromstring(junit_xml(make_result(gate=gate, verdict="fail")))
    suite = root.find("testsuite[@name='gate']")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        **{"tests": "4", "failures": "1", "errors": "0", "skipped": "1"}
    }
    assert [failure.get("message") for failure in suite.iter("failure")] == ["At best 3 points lower."]
    assert [skip.get("message") for skip in suite.iter("skipped")] == ["inconclusive: 400 more cases would decide."]
    outputs = [output.text for output in suite.iter("system-out")]
    assert outputs[2] == "fail (only a warning): At best 4 points lower."
    assert (root.get("tests"), root.get("failures")) == ("5", "1")


def test_each_metric_is_a_suite_with_its_variants_and_without_its_groups() -> None:
    metrics = [
        make_metric(),
        make_metric(variant="candidate", value=None, low=None, high=None, cases=0, unscored=3),
        make_metric(by="shelf", group="toys"),
    ]
    suite = ET.fromstring(junit_xml(make_result(metrics=metrics))).find("testsuite[@name='metric topic']")
    assert suite is not None
    assert {test.get("name"): test.findtext("system-out") for test in suite.iter("testcase")} == {
        "current": "0.6667 [0.2000, 0.9400], 3 cases, 0 missing, 0 skipped, 0 unscored",
        "candidate": "no case has a score, 0 cases, 0 missing, 0 skipped, 3 unscored",
    }


def test_simulated_answers_are_never_shown_as_claudes() -> None:
    for simulated, said in ((True, "simulated"), (False, "Claude")):
        root = ET.fromstring(junit_xml(make_result(simulated=simulated)))
        assert {each.get("value") for each in root.iterfind(".//property[@name='answers']")} == {said}


def test_a_text_that_xml_does_not_allow_is_escaped_or_replaced() -> None:
    hostile = "]]></testsuite> \x00\x1b\ufffe & \"'"
    root = ET.fromstring(junit_xml(make_result(gate=[make_decision(variant=hostile, why=hostile)])))
    (test,) = root.iterfind("testsuite[@name='gate']/testcase")
    assert test.findtext("system-out") == "]]></testsuite> \ufffd\ufffd\ufffd & \"'"
