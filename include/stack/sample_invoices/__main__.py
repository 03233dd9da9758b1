"""`python -m include.stack.sample_invoices FOLDER` writes the sample into a new folder."""

from __future__ import annotations

import sys
from pathlib import Path

from pyarrow.fs import LocalFileSystem

from include.stack.progress import say
from include.stack.sample_invoices.sample import put_sample

if __name__ == "__main__":
    (folder,) = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    say(
        f"{put_sample(LocalFileSystem(), folder)} documents are in {folder}/inbox, their true values in {folder}/truth."
    )
