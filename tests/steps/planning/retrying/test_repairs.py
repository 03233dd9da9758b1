from __future__ import annotations

from include.enrichment.answers.repair import repair
from include.gateways.result_store import ResultStore
from include.steps.files.extracted import open_run
from include.steps.planning.retrying.repairs import find_repairs
from include.steps.planning.retrying.row_answers import RowAnswers
from tests.fixtures.flow import Flow


def test_each_invalid_answer_has_a_repair_and_each_invalid_answer_to_that_one_more(flow: Flow) -> None:
    flow.emulator.set_faults([{"kind": "violates_schema", "share": 1.0}])
    flow.extract()
    flow.send("main")
    flow.send("retry")
    with open_run(flow.lake, flow.folder) as run:
        store = ResultStore(flow.lake, pipeline="tickets")
        answers = RowAnswers(run.rows, store)
        repairs, found = find_repairs(store.look_up(run.request_ids), answers, run.pipeline)
        rows = {one.request_id: one for one in answers.requests(run.request_ids)}
    assert [one.depth for one in repairs] == [1, 1, 1, 2, 2, 2]
    assert {one.of for one in repairs} == rows.keys()
    assert found.paid == {one.request.request_id for one in repairs if one.depth == 1}
    first = next(one for one in repairs if one.depth == 1)
    assert first.request.params.startswith(rows[first.of].params[:-20])
    assert first.request != repair(rows[first.of], answer="", complaint="")
