"""The kill points that money and rows hang on; `make chaos` plays all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kill_points.api_troubles import TROUBLES, Trouble
from tests.chaos.kill_points.invariants import Outcome
from tests.chaos.kill_points.pipelines import ATTACHED, BETTER, CASCADE, RICH, UPLOADED, VARIED
from tests.chaos.kill_points.place import Timing
from tests.chaos.kill_points.scenarios import (
    MENDABLE,
    PATH,
    RELOAD,
    cleared,
    killed_at,
    loaded_again,
    no_longer_kept,
    race,
    taken_over,
    troubled,
    writes_of,
)
from tests.chaos.kill_points.step_process import CREATE, DELETE_FILE, UPLOAD, Moment
from tests.chaos.kill_points.world import World
from tests.fixtures.emulator import Emulator, EmulatorProcess
from tests.fixtures.s3 import Bucket

#: A canary, and one chunk more.
_ROWS = 13
#: A create that is alive, or arrives after its process has died, is not given up however busy the machine is. Nobody
#: waits for so long where the batch is found.
_UNHURRIED = Timing(create_window=60.0, listing_lag=1.0)
_QUICK = [trouble for trouble in TROUBLES if trouble.name in ("reset after the create", "result lines missing once")]


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> dict[str, int]:
    """Which of a run's writes is the main chunk's, by what it writes."""
    world = World(tmp_path_factory.mktemp("undisturbed") / "world", emulator_process.workspace(), rows=_ROWS)
    return {kind: number for number, kind in enumerate(writes_of(world), start=1)}


def new_world(tmp_path: Path, emulator: Emulator, timing: Timing | None = None) -> World:
    return World(tmp_path / "world", emulator, rows=_ROWS, timing=timing)


def all_is_well(outcome: Outcome) -> None:
    assert not outcome.problems
    assert (outcome.rows_lost, outcome.billed_twice, outcome.orphans) == (0, 0, 0)


def test_nothing_is_written_between_the_writes_of_a_submit_or_a_load(numbers: dict[str, int]) -> None:
    """A process that dies after one of them thus leaves what one leaves that dies before the next."""
    for step in (PATH[:3], PATH[3:]):
        assert [numbers[kind] - numbers[step[0]] for kind in step] == [*range(len(step))]


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        *((kind, "before") for kind in PATH),
        (PATH[2], "after"),
        (PATH[-1], "after"),
        ("tables", "before"),
        ("tables", "after"),
    ],
)
def test_a_process_killed_at_a_write_that_matters_costs_nothing(
    tmp_path: Path, emulator: Emulator, numbers: dict[str, int], kind: str, moment: Moment
) -> None:
    all_is_well(killed_at(new_world(tmp_path, emulator), {numbers[kind]: moment}))


@pytest.mark.parametrize(("at", "moment"), [*((at, "before") for at in RELOAD), (RELOAD[-1], "after")])
def test_a_load_killed_while_it_books_more_than_the_one_before_leaves_the_books_right(
    tmp_path: Path, emulator: Emulator, at: str, moment: Moment
) -> None:
    all_is_well(loaded_again(new_world(tmp_path, emulator), at=at, moment=moment))


def test_a_create_that_arrives_after_its_process_has_died_is_adopted(
    tmp_path: Path, emulator: Emulator, numbers: dict[str, int]
) -> None:
    all_is_well(killed_at(new_world(tmp_path, emulator, _UNHURRIED), {numbers[CREATE]: "late"}))
    assert len(emulator.batches_made()) == 2


def test_a_run_on_s3_that_is_killed_over_and_over_ends_as_one_that_is_not(
    tmp_path: Path, emulator: Emulator, s3_bucket: Bucket, numbers: dict[str, int]
) -> None:
    world = World(tmp_path / "world", emulator, rows=_ROWS, lake=s3_bucket.uri, s3=s3_bucket.endpoint_url)
    all_is_well(killed_at(world, {numbers["canary"]: "after", numbers["create"]: "after", numbers["raw"] + 5: "after"}))


@pytest.mark.parametrize("trouble", _QUICK, ids=lambda trouble: trouble.name)
def test_a_fault_of_the_api_costs_nothing_and_touches_no_other_program(
    tmp_path: Path, emulator: Emulator, trouble: Trouble
) -> None:
    world = new_world(tmp_path, emulator, trouble.timing)
    all_is_well(troubled(world, trouble, at=1))
    assert world.foreign_batches()


def test_two_runs_of_a_partition_at_once_make_one_batch_for_each_chunk(tmp_path: Path, emulator: Emulator) -> None:
    all_is_well(race(new_world(tmp_path, emulator, _UNHURRIED), runs=2, seed=None))


@pytest.fixture(scope="session")
def rich_numbers(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> dict[str, int]:
    """Which of the writes of a run with every feature is the retry pass's, by what it writes."""
    folder = tmp_path_factory.mktemp("undisturbed") / "world"
    world = World(folder, emulator_process.workspace(), rows=_ROWS, kind=RICH)
    return {kind: number for number, kind in enumerate(writes_of(world, faults=MENDABLE), start=1)}


@pytest.mark.parametrize(
    ("kind", "moment"),
    [("retry-repairs", "after"), (CREATE, "after"), ("samples", "before"), ("samples", "after"), ("tables", "after")],
)
def test_for_each_samples_checks_keep_and_carry_change_none_of_it(
    tmp_path: Path, emulator: Emulator, rich_numbers: dict[str, int], kind: str, moment: Moment
) -> None:
    world = World(tmp_path / "world", emulator, rows=_ROWS, kind=RICH)
    all_is_well(killed_at(world, {rich_numbers[kind]: moment}, faults=MENDABLE))


@pytest.fixture(scope="session")
def varied_numbers(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> dict[str, int]:
    """Which of the writes of a run of variants is the last of its kind."""
    world = World(tmp_path_factory.mktemp("undisturbed") / "world", emulator_process.workspace(), rows=9, kind=VARIED)
    return {kind: number for number, kind in enumerate(writes_of(world), start=1)}


@pytest.mark.parametrize(("kind", "moment"), [("open", "before"), ("open", "after"), (CREATE, "after")])
def test_variants_of_which_two_share_their_requests_change_none_of_it(
    tmp_path: Path, emulator: Emulator, varied_numbers: dict[str, int], kind: str, moment: Moment
) -> None:
    world = World(tmp_path / "world", emulator, rows=9, kind=VARIED)
    all_is_well(killed_at(world, {varied_numbers[kind]: moment}))


@pytest.fixture(scope="session")
def cascade_numbers(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> dict[str, int]:
    """Which of the writes of a run that escalates is the last of its kind, that of the retry pass."""
    world = World(tmp_path_factory.mktemp("undisturbed") / "world", emulator_process.workspace(), rows=9, kind=CASCADE)
    return {kind: number for number, kind in enumerate(writes_of(world), start=1)}


@pytest.mark.parametrize(("kind", "moment"), [("open", "before"), (CREATE, "after"), ("tables", "after")])
def test_a_cascade_that_is_killed_pays_no_answer_of_either_model_twice(
    tmp_path: Path, emulator: Emulator, cascade_numbers: dict[str, int], kind: str, moment: Moment
) -> None:
    world = World(tmp_path / "world", emulator, rows=9, kind=CASCADE)
    all_is_well(killed_at(world, {cascade_numbers[kind]: moment}))


@pytest.fixture(scope="session")
def attached_numbers(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> dict[str, int]:
    """Which of the writes of a run that sends documents is the main chunk's, by what it writes."""
    folder = tmp_path_factory.mktemp("undisturbed") / "world"
    world = World(folder, emulator_process.workspace(), rows=_ROWS, kind=ATTACHED)
    return {kind: number for number, kind in enumerate(writes_of(world), start=1)}


@pytest.mark.parametrize("moment", ["during", "after"])
def test_documents_that_are_read_while_they_are_sent_change_none_of_it(
    tmp_path: Path, emulator: Emulator, attached_numbers: dict[str, int], moment: Moment
) -> None:
    world = World(tmp_path / "world", emulator, rows=_ROWS, kind=ATTACHED)
    all_is_well(killed_at(world, {attached_numbers[CREATE]: moment}))


def test_two_runs_at_once_repair_each_answer_that_fails_a_check_once(tmp_path: Path, emulator: Emulator) -> None:
    all_is_well(race(World(tmp_path / "world", emulator, rows=_ROWS, timing=_UNHURRIED, kind=RICH), runs=2, seed=None))


def overlapping(tmp_path: Path, emulator: Emulator) -> World:
    """A world in which the second run takes over what the first has planned and not sent."""
    return World(tmp_path / "world", emulator, rows=23)


@pytest.fixture(scope="session")
def takeover(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> dict[str, int]:
    """Which writes of the second run take over, by what they write: "withdrawn", and the "open" that follows it."""
    undisturbed = overlapping(tmp_path_factory.mktemp("undisturbed"), emulator_process.workspace())
    all_is_well(taken_over(undisturbed))
    kinds = [line.split()[0] for line in undisturbed.writes("manual__2")]
    withdrawn = kinds.index("withdrawn") + 1
    return {"withdrawn": withdrawn, "open": kinds.index("open", withdrawn) + 1}


@pytest.mark.parametrize("kind", ["withdrawn", "open"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_dies_while_it_takes_over_what_another_has_not_sent_costs_nothing(
    tmp_path: Path, emulator: Emulator, takeover: dict[str, int], kind: str, moment: Moment
) -> None:
    all_is_well(taken_over(overlapping(tmp_path, emulator), kills={"manual__2": {takeover[kind]: moment}}))


@pytest.fixture(scope="session")
def samples_deleted(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> int:
    """Which write of a run that publishes all answers deletes the samples of one that published the better ones."""
    undisturbed = better(tmp_path_factory.mktemp("undisturbed"), emulator_process.workspace())
    all_is_well(no_longer_kept(undisturbed))
    return [line.startswith("delete publish") for line in undisturbed.writes("manual__2")].index(True) + 1


def better(tmp_path: Path, emulator: Emulator) -> World:
    return World(tmp_path / "world", emulator, rows=_ROWS, kind=BETTER)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_publish_that_is_killed_as_it_deletes_the_samples_of_an_earlier_one_leaves_none(
    tmp_path: Path, emulator: Emulator, samples_deleted: int, moment: Moment
) -> None:
    all_is_well(no_longer_kept(better(tmp_path, emulator), kills={samples_deleted: moment}))


def test_a_cleared_extract_sends_the_changed_rows_only(tmp_path: Path, emulator: Emulator) -> None:
    all_is_well(cleared(new_world(tmp_path, emulator), sent=1))


@pytest.fixture(scope="session")
def upload_numbers(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> dict[str, int]:
    """Which of the writes of a run with documents is the last of its kind."""
    undisturbed = sharing(tmp_path_factory.mktemp("undisturbed"), emulator_process.workspace())
    return {kind: number for number, kind in enumerate(writes_of(undisturbed), start=1)}


def sharing(tmp_path: Path, emulator: Emulator) -> World:
    """A world whose requests share documents, in a canary and one chunk more."""
    return World(tmp_path / "world", emulator, rows=8, kind=UPLOADED)


@pytest.mark.parametrize(
    ("kind", "moment"),
    [("uploading", "after"), (UPLOAD, "after"), ("deleting", "after"), (DELETE_FILE, "after")],
)
def test_a_process_killed_around_an_upload_or_a_deletion_leaves_no_file_that_nobody_knows(
    tmp_path: Path, emulator: Emulator, upload_numbers: dict[str, int], kind: str, moment: Moment
) -> None:
    world = sharing(tmp_path, emulator)
    all_is_well(killed_at(world, {upload_numbers[kind]: moment}))
    assert len(emulator.files_uploaded()) == len(world.tickets())


def test_two_runs_at_once_leave_no_file(tmp_path: Path, emulator: Emulator) -> None:
    world = World(tmp_path / "world", emulator, rows=8, timing=_UNHURRIED, kind=UPLOADED)
    all_is_well(race(world, runs=2, seed=None))
