from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from include.gateways.project.origin import read_origin


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline's folder outside of any git checkout."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    folder = tmp_path / "pipelines" / "tickets"
    (folder / "context").mkdir(parents=True)
    (folder / "user.md").write_text("{{ body }}")
    (folder / "context" / "terms.md").write_text("Terms")
    (folder / ".user.md.swp").write_text("an editor's")
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_each_file_of_the_folder_has_its_hash_and_hidden_files_have_none(folder: Path) -> None:
    origin = read_origin([folder])
    assert origin.git_revision is None
    assert origin.file_hashes == {
        "tickets/context/terms.md": hashlib.sha256(b"Terms").hexdigest(),
        "tickets/user.md": hashlib.sha256(b"{{ body }}").hexdigest(),
    }


def test_the_revision_has_a_plus_once_a_file_of_the_folder_has_changed_or_is_new(folder: Path) -> None:
    git(folder.parent, "init", "-q")
    assert read_origin([folder]).git_revision is None
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-qm", "First")
    head = git(folder.parent, "rev-parse", "HEAD")
    assert read_origin([folder]).git_revision == head
    (folder.parent / "elsewhere.md").write_text("not of the pipeline")
    assert read_origin([folder]).git_revision == head
    (folder / "system.md").write_text("new")
    assert read_origin([folder]).git_revision == f"{head}+"
