from __future__ import annotations

import shutil

from include.gateways.result_store import ResultStore
from include.steps.files.extracted import open_run
from include.steps.planning.retrying.row_answers import RowAnswers
from tests.fixtures.flow import Flow


def test_rows_have_their_answers_each_time_and_a_batch_is_fetched_once(flow: Flow) -> None:
    flow.extract()
    flow.send("main")
    with open_run(flow.lake, flow.folder) as run:
        store = ResultStore(flow.lake, pipeline="tickets")
        batches = store.look_up(run.request_ids).batches
        answers = RowAnswers(run.rows, store)
        ((rows, first, others),) = answers.join(batches, [])
        shutil.rmtree(flow.lake.locate("").rstrip("/") + "/results", ignore_errors=True)
        ((_, second, _),) = answers.join(batches, [])
        assert rows["ticket"].to_pylist() == ["T1", "T2", "T3"]
        assert first == second
        assert first["outcome"].to_pylist() == ["succeeded"] * 3
        assert others.num_rows == 0
        assert {one.request_id for one in answers.requests(run.request_ids)} == {*run.request_ids}
