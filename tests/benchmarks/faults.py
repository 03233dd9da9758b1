"""The faults that the peer meets: how each is caused, and which settings of the peer bear on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.benchmarks.peer_airflow import PeerAirflow
from tests.fixtures.emulator import Emulator

DAY_SECONDS = 86_400
SLOW_SECONDS = 20
#: Disturbs a running case; called repeatedly until it returns True.
Meddle = Callable[[PeerAirflow, str, Emulator], bool]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """
    One fault.

    :param armed: the emulator's faults, armed before the run
    :param disturb: disturbs the run from outside
    :param second: whether the same rows run a second time, and when
    :param alone: it affects everything that runs, so no other case may run
    :param strict: whether the peer has settings against it, and is measured with them too
    """

    name: str
    title: str
    armed: Sequence[Mapping[str, Any]] = ()
    disturb: Meddle | None = None
    second: Literal["no", "at once", "after"] = "no"
    alone: bool = False
    strict: bool = False


def _kill_worker(airflow: PeerAirflow, dag_id: str, emulator: Emulator) -> bool:
    """Kill the task's process after its batch is made and before the response to the create arrives."""
    return bool(emulator.batches_made()) and airflow.kill_worker(dag_id)


def _not_found_on_retry(airflow: PeerAirflow, dag_id: str, emulator: Emulator) -> bool:
    """Arm one 404 after the failed download, before the retry looks for its batch."""
    if not called(emulator, "/results"):
        return False
    emulator.set_faults([{"kind": "not_found", "on": "retrieve", "times": 1}])
    return True


def _past_expiry(airflow: PeerAirflow, dag_id: str, emulator: Emulator) -> bool:
    """Move the API's clock by 24 hours when the run waits."""
    if not airflow.waits(dag_id):
        return False
    emulator.advance_clock(DAY_SECONDS + 60)
    return True


def called(emulator: Emulator, ending: str) -> set[str]:
    """Return the called paths of the batch API with this ending."""
    paths = {call["path"].split("?")[0] for call in emulator.log()["calls"]}
    return {path for path in paths if path.endswith(ending)}


FAULTS = (
    Fault(name="none", title="none (control)"),
    Fault(
        name="create_answer_lost",
        title="response to the create lost",
        armed=[{"kind": "reset_after_create", "times": 1}],
        strict=True,
    ),
    Fault(
        name="create_500",
        title="500 after the batch was made",
        armed=[{"kind": "http_error", "on": "create", "status": 500, "created": True, "times": 1}],
        strict=True,
    ),
    Fault(
        name="create_529",
        title="529 after the batch was made",
        armed=[{"kind": "http_error", "on": "create", "status": 529, "created": True, "times": 1}],
        strict=True,
    ),
    Fault(
        name="worker_killed",
        title="worker killed between create and record",
        armed=[{"kind": "slow", "on": "create", "seconds": SLOW_SECONDS, "times": 1}],
        disturb=_kill_worker,
        strict=True,
    ),
    Fault(
        name="not_found_waiting",
        title="one 404 while it waits",
        armed=[{"kind": "not_found", "on": "retrieve", "times": 1}],
    ),
    Fault(
        name="not_found_retrying",
        title="one 404 when a retry looks for its batch",
        armed=[{"kind": "cut_results", "at": "mid_line", "times": 1}],
        disturb=_not_found_on_retry,
        strict=True,
    ),
    Fault(
        name="results_cut_in_line",
        title="download cut inside a line",
        armed=[{"kind": "cut_results", "at": "mid_line", "times": 1}],
    ),
    Fault(
        name="results_cut_after_line",
        title="download cut after a line",
        armed=[{"kind": "cut_results", "at": "line_boundary", "times": 1}],
        strict=True,
    ),
    Fault(
        name="expired",
        title="batch expired, 30 % unfinished",
        armed=[
            {"kind": "duration", "seconds": DAY_SECONDS + 3600, "times": 1},
            {"kind": "unfinished", "share": 0.3, "times": 1},
        ],
        disturb=_past_expiry,
        strict=True,
    ),
    Fault(name="two_at_once", title="two runs of the same rows at once", second="at once"),
    Fault(name="run_again", title="the same rows run again", second="after"),
    Fault(
        name="queue_full",
        title="429 on the create, twice",
        armed=[{"kind": "http_error", "on": "create", "status": 429, "retry_after": 1, "times": 2}],
    ),
    Fault(
        name="triggerer_restarted",
        title="triggerer restarted while it waits",
        armed=[{"kind": "duration", "seconds": 3600, "times": 1}],
        alone=True,
    ),
)
