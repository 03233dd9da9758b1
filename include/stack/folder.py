"""The stack's folder: where each thing it keeps lies. Nothing is kept anywhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class StackFolder:
    """
    ``.stack`` in the checkout, or wherever ``ENRICHMENT_STACK_DIR`` says. An absolute path names the stack for good.

    :param kept: the subfolder for data that outlives a demo; empty: the next demo deletes its data
    """

    path: Path
    kept: str = ""

    @classmethod
    def of_environment(cls) -> StackFolder:
        """
        The folder of this checkout, made if it is not there; only its owner may look inside, for it holds secrets.
        """
        path = Path(os.environ.get("ENRICHMENT_STACK_DIR") or ROOT / ".stack").resolve()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path=path)

    @property
    def stack_json(self) -> Path:
        """What tells this stack from another: ports, connections, secrets."""
        return self.path / "stack.json"

    @property
    def lock(self) -> Path:
        """Held, by flock, for as long as a demo lives; it contains the demo's pid."""
        return self.path / "lock"

    @property
    def supervisor_conf(self) -> Path:
        """The generated configuration of supervisord."""
        return self.path / "supervisor.conf"

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.path / "logs"

    @property
    def airflow_home(self) -> Path:
        """Airflow's own folder: task logs, the login, and where Postgres does not run the metadata database."""
        return self.path / "airflow"

    @property
    def postgres(self) -> Path:
        """The server of Airflow's metadata database; for root a link into a folder of another user."""
        return self.path / "postgres"

    @property
    def emulator_state(self) -> Path:
        """The batches the emulator knows."""
        return self.path / self.kept / "emulator"

    @property
    def warehouse(self) -> Path:
        """The SQLite file that plays the warehouse."""
        return self.path / self.kept / "warehouse.db"

    @property
    def lake(self) -> Path:
        """The lake of a demo whose data is kept; others have theirs in the S3 server, whose memory dies with it."""
        return self.path / self.kept / "lake"

    @property
    def cache(self) -> Path:
        """Kept from stack to stack: a migrated, empty metadata database for each Airflow version."""
        return self.path / "cache"

    @property
    def runs(self) -> Path:
        """Throw-away Airflow homes of `make run`."""
        return self.path / "runs"

    @property
    def run_lock(self) -> Path:
        """Held, by flock, while a `make run` chooses its run."""
        return self.path / "run.lock"
