"""index.py: which batches a file of the index speaks for, and when another is due."""

from __future__ import annotations

from include.enrichment.storage.compaction import compaction_groups, covered_batches, index_id


class TestSpokenFor:
    def test_a_file_speaks_for_the_batches_whose_results_are_as_they_were(self) -> None:
        assert covered_batches({"b1": "x", "b2": "y", "b3": "z"}, [{"b1": "x", "b2": "changed"}]) == [{"b1"}]

    def test_it_says_nothing_of_results_that_are_gone(self) -> None:
        assert covered_batches({"b1": "x"}, [{"b1": "x", "gone": "y"}]) == [{"b1"}]

    def test_of_several_files_one_speaks_for_a_batch(self) -> None:
        stored = {"b1": "x", "b2": "y", "b3": "z"}
        assert covered_batches(stored, [{"b1": "x"}, {"b1": "x", "b2": "y"}, {"b2": "y"}]) == [{"b1"}, {"b2"}, set()]

    def test_a_file_that_is_out_of_date_does_not_keep_another_from_speaking(self) -> None:
        assert covered_batches({"b1": "new"}, [{"b1": "old"}, {"b1": "new"}]) == [set(), {"b1"}]


class TestDue:
    def test_few_small_batches_wait_for_others(self) -> None:
        assert list(compaction_groups({f"b{number}": 1 for number in range(99)})) == []
        assert list(compaction_groups({})) == []

    def test_each_hundred_is_worth_a_file_and_the_rest_waits(self) -> None:
        names = [f"b{number}" for number in range(250)]
        assert list(compaction_groups(dict.fromkeys(names, 1))) == [names[:100], names[100:200]]

    def test_fewer_are_worth_one_where_they_are_large(self) -> None:
        assert list(compaction_groups({"b1": 200_000_000, "b2": 56_000_000, "b3": 1})) == [["b1", "b2"]]


def test_a_file_is_known_by_the_results_that_it_is_made_of() -> None:
    assert index_id({"b1": "x", "b2": "y"}) == index_id({"b2": "y", "b1": "x"})
    assert len({index_id({"b1": "x"}), index_id({"b1": "y"}), index_id({"b2": "x"}), index_id({})}) == 4
