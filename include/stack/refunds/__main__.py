"""``python -m include.stack.refunds --port 8091 --file refunds.db``: run the refunds service until a signal."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from include.stack.refunds.service import build
from include.stack.refunds.store import Refunds


def main() -> None:
    """Serve on loopback only."""
    parser = argparse.ArgumentParser(prog="python -m include.stack.refunds", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True, help="the SQLite file of the refunds")
    options = parser.parse_args()
    app = build(Refunds(options.file))
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
