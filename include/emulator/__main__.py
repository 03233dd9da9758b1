"""``python -m include.emulator``: start the server, and say in one line that it serves."""

from __future__ import annotations

import argparse
import socket
import sys
from hashlib import sha256
from pathlib import Path

import uvicorn

from include.emulator.engine import faults
from include.emulator.engine.processing import Processing
from include.emulator.engine.store import EVERYWHERE, StateInUse, Store
from include.emulator.http.app import build
from include.emulator.http.server import Server
from include.emulator.http.wire import Protocol

_FAULTS_FILE = "faults-file"


class _Announced(uvicorn.Server):
    """A server that prints its address once connections are accepted."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            sys.stdout.write(f"Emulator of the Message Batches API serves on http://{host}:{port}\n")
            sys.stdout.flush()


def main() -> int:
    """Run until a signal; 2 if the arguments cannot be used."""
    options = _options()
    try:
        store = Store(options.state)
        if options.faults:
            _arm(store, options.faults)
    except (OSError, StateInUse, faults.FaultError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    server = Server(
        store=store,
        processing=Processing(store, options.seed),
        seed=options.seed,
        processing_seconds=options.processing_seconds,
    )
    config = uvicorn.Config(
        build(server),
        host=options.host,
        port=options.port,
        http=Protocol,
        ws="none",
        loop="asyncio",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=600,  # as long as the client's own patience, so that idle connections do not break
        timeout_graceful_shutdown=1,
    )
    _Announced(config).run()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.emulator", description="A stand-in Message Batches API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="directory of everything that outlives the process")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other answers")
    parser.add_argument("--processing-seconds", type=float, default=5.0, help="what a batch takes; 0 ends it at once")
    parser.add_argument("--faults", type=Path, help="JSON or YAML list of faults to begin with")
    return parser.parse_args()


def _arm(store: Store, path: Path) -> None:
    """Put the faults of a file in force, once: a restart does not load what a killed process has already spent."""
    text = path.read_bytes()
    fingerprint = sha256(text).hexdigest()
    if store.note(_FAULTS_FILE) != fingerprint:
        store.set_faults(EVERYWHERE, faults.parse(text))
        store.set_note(_FAULTS_FILE, fingerprint)


if __name__ == "__main__":
    sys.exit(main())
