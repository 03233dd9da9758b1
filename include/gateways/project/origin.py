"""Where an evaluation comes from: the git revision of the project, and the files of the pipelines."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from include.gateways.disk import disk_errors, sha256_of

_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Origin:
    """
    The state of some folders.

    :param git_revision: the commit, with ``+`` if one of the folders has changes; None outside a git checkout
    :param file_hashes: the SHA-256 of each file, by the name of its folder and its path in it
    """

    git_revision: str | None
    file_hashes: dict[str, str]


def read_origin(folders: Iterable[Path]) -> Origin:
    """
    Return the state of these folders. Hidden files and compiled Python are not part of it.

    Raises SetupError if a file cannot be read.
    """
    folders = list(folders)
    hashes = {}
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and not any(part.startswith((".", "__")) for part in inside.parts):
                with disk_errors(file):
                    hashes[f"{folder.name}/{inside.as_posix()}"] = sha256_of(file)
    return Origin(git_revision=_git_revision(folders), file_hashes=hashes)


def _git_revision(folders: list[Path]) -> str | None:
    revision = _git(folders[0], "rev-parse", "HEAD")
    if revision is None:
        return None
    changes = _git(folders[0], "status", "--porcelain", "--", *map(str, folders))
    return f"{revision}{'+' if changes else ''}"


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; None if there is no git, no repository or no commit."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
