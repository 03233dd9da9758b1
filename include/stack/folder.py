"""The folder that contains all files of a stack."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class StackFolder:
    """
    ``.stack`` in the checkout, or the folder in ``ENRICHMENT_STACK_DIR``. Its absolute path identifies the stack.

    :param kept: the subfolder for data that outlives a demo; empty: the next demo deletes the data
    """

    path: Path
    kept: str = ""

    @classmethod
    def of_environment(cls) -> StackFolder:
        """
        Return the folder of this checkout, and create it if necessary. Only its owner can read it: it holds secrets.
        """
        path = Path(os.environ.get("ENRICHMENT_STACK_DIR") or ROOT / ".stack").resolve()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path=path)

    @property
    def stack_json(self) -> Path:
        """Ports, connections and secrets of the stack."""
        return self.path / "stack.json"

    @property
    def lock(self) -> Path:
        """A file that a living demo locks with flock. It contains the demo's pid."""
        return self.path / "lock"

    @property
    def supervisor_conf(self) -> Path:
        return self.path / "supervisor.conf"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def airflow_home(self) -> Path:
        """Airflow's home: task logs, the login, and the metadata database if it is SQLite."""
        return self.path / "airflow"

    @property
    def postgres(self) -> Path:
        """The Postgres server of the metadata database. For root it is a link to a folder of another user."""
        return self.path / "postgres"

    @property
    def emulator_state(self) -> Path:
        return self.path / self.kept / "emulator"

    @property
    def warehouse(self) -> Path:
        """The SQLite file that serves as the warehouse."""
        return self.path / self.kept / "warehouse.db"

    @property
    def refunds(self) -> Path:
        """The SQLite file of the refunds service."""
        return self.path / self.kept / "refunds.db"

    @property
    def lake(self) -> Path:
        """The lake of a demo that keeps its data. Other demos have theirs in the memory of the S3 server."""
        return self.path / self.kept / "lake"

    @property
    def cache(self) -> Path:
        """A migrated, empty metadata database for each Airflow version, which all later stacks copy."""
        return self.path / "cache"

    @property
    def runs(self) -> Path:
        """The temporary Airflow homes of `make run`."""
        return self.path / "runs"

    @property
    def run_lock(self) -> Path:
        """A file that `make run` locks with flock while it claims its run."""
        return self.path / "run.lock"


def write_private(path: Path, text: str) -> None:
    """Write a file in one step, readable only by its owner."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
