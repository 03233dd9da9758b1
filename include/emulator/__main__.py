"""``python -m include.emulator``: start the server, and print its address."""

from __future__ import annotations

import argparse
import socket
import sys
from hashlib import sha256
from pathlib import Path

import uvicorn

from include.emulator.engine.processing import Processing
from include.emulator.engine.store import StateInUse, Store
from include.emulator.faults import fault_list
from include.emulator.faults.armed_faults import EVERYWHERE
from include.emulator.http.app import build
from include.emulator.http.server import Server
from include.emulator.http.wire import Protocol

_FAULTS_FILE = "faults-file"


class _AnnouncedServer(uvicorn.Server):
    """A server that prints its address once it accepts connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            sys.stdout.write(f"The Message Batches API emulator is listening on http://{host}:{port}\n")
            sys.stdout.flush()


def main() -> int:
    """Run until a signal, and return the exit status: 2 if the arguments are invalid."""
    options = _options()
    try:
        store = Store(options.state)
        if options.faults:
            _arm(store, options.faults)
    except (OSError, StateInUse, fault_list.FaultError) as error:
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
        timeout_keep_alive=600,  # as long as the client's own timeout, so that idle connections do not break
        timeout_graceful_shutdown=1,
    )
    _AnnouncedServer(config).run()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.emulator", description="Emulate the Message Batches API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free port")
    parser.add_argument("--state", type=Path, required=True, help="directory for everything that outlives the process")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other answers")
    parser.add_argument(
        "--processing-seconds", type=float, default=5.0, help="how long a batch takes; 0 ends it at once"
    )
    parser.add_argument("--faults", type=Path, help="JSON or YAML list of faults to arm at the first start")
    return parser.parse_args()


def _arm(store: Store, path: Path) -> None:
    """Arm the faults of a file once: a restart does not arm again what a killed process has already used up."""
    text = path.read_bytes()
    fingerprint = sha256(text).hexdigest()
    if store.note(_FAULTS_FILE) != fingerprint:
        store.faults.replace(EVERYWHERE, fault_list.parse(text))
        store.set_note(_FAULTS_FILE, fingerprint)


if __name__ == "__main__":
    sys.exit(main())
