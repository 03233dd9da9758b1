"""compaction.py: which batches an index file covers, and when another file is due."""

from __future__ import annotations

from include.enrichment.storage.compaction import compaction_groups, covered_batches, index_id


class TestCoveredBatches:
    def test_a_file_covers_batches_whose_results_are_unchanged(self) -> None:
        assert covered_batches({"b1": "x", "b2": "y", "b3": "z"}, [{"b1": "x", "b2": "changed"}]) == [{"b1"}]

    def test_it_does_not_cover_deleted_results(self) -> None:
        assert covered_batches({"b1": "x"}, [{"b1": "x", "gone": "y"}]) == [{"b1"}]

    def test_only_the_first_of_several_files_covers_a_batch(self) -> None:
        stored = {"b1": "x", "b2": "y", "b3": "z"}
        assert covered_batches(stored, [{"b1": "x"}, {"b1": "x", "b2": "y"}, {"b2": "y"}]) == [{"b1"}, {"b2"}, set()]

    def test_an_outdated_file_does_not_hide_a_current_one(self) -> None:
        assert covered_batches({"b1": "new"}, [{"b1": "old"}, {"b1": "new"}]) == [set(), {"b1"}]


class TestCompactionGroups:
    def test_a_few_small_batches_wait_for_more(self) -> None:
        assert list(compaction_groups({f"b{number}": 1 for number in range(99)})) == []
        assert list(compaction_groups({})) == []

    def test_each_hundred_batches_make_a_file_and_the_rest_waits(self) -> None:
        names = [f"b{number}" for number in range(250)]
        assert list(compaction_groups(dict.fromkeys(names, 1))) == [names[:100], names[100:200]]

    def test_fewer_batches_make_a_file_if_they_are_large(self) -> None:
        assert list(compaction_groups({"b1": 200_000_000, "b2": 56_000_000, "b3": 1})) == [["b1", "b2"]]


def test_the_id_of_a_file_depends_on_its_results_in_any_order() -> None:
    assert index_id({"b1": "x", "b2": "y"}) == index_id({"b2": "y", "b1": "x"})
    assert len({index_id({"b1": "x"}), index_id({"b1": "y"}), index_id({"b2": "x"}), index_id({})}) == 4
