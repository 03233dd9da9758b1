"""An S3 server for the worlds whose lake is a bucket."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from include.stack.stack import LOOPBACK, free_port

_S3_BOOT_SECONDS = 60


@contextmanager
def s3_server() -> Iterator[str]:
    """Start an S3 server, and yield its endpoint."""
    endpoint = f"http://{LOOPBACK}:{(port := free_port())}"
    command = [sys.executable, "-m", "moto.server", "--host", LOOPBACK, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(server, port)
            yield endpoint
        finally:
            server.kill()


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _S3_BOOT_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((LOOPBACK, port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"The S3 server did not start within {_S3_BOOT_SECONDS} s (status {server.poll()}).")
