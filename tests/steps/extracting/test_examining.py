"""examining.py: objects are read once, ahead, and what is wrong with one is not an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.enrichment.documents.document import Stored
from include.enrichment.errors import LakeError
from include.gateways.documents.buckets import LocalFolder
from include.gateways.documents.inspector import Inspector
from include.gateways.lake import Withheld
from include.steps.extracting import examining
from include.steps.extracting.examining import Examiner, open_examiner
from tests.fixtures.documents import pdf


class Folder(LocalFolder):
    """A folder of documents that counts what is fetched."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.fetched: Counter[str] = Counter()

    def write(self, name: str, data: bytes) -> str:
        """The URI of a new file."""
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def fetch(self, uri: str, path: Path, *, most_bytes: int | None = None) -> Stored:
        self.fetched[Path(uri).name] += 1
        if uri.endswith("down"):
            raise LakeError("The store failed.")
        if uri.endswith("archived"):
            raise Withheld("", why="it is in an archive")
        return super().fetch(uri, path, most_bytes=most_bytes)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def examiner(folder: Folder, inspector: Inspector) -> Iterator[Examiner]:
    with open_examiner(folder, inspector) as examiner:
        yield examiner


def test_an_object_is_read_and_inspected(examiner: Examiner, folder: Folder) -> None:
    found = examiner.begin(uri := folder.write("a.pdf", data := pdf("one", "two"))).result()
    assert (found.stored.uri, found.stored.size_bytes) == (uri, len(data)) if found.stored else False
    assert [page.text for page in found.inspected.pages] == ["one", "two"]
    assert found.made("") == (len(data), found.stored.sha256 if found.stored else "")


def test_what_a_recipe_makes_is_made_once(
    examiner: Examiner, folder: Folder, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = examiner.begin(folder.write("a.pdf", data := pdf("one", "two"))).result()
    size, sha256 = found.made("pages 2-2")
    assert (size, sha256) != (len(data), found.made("")[1])
    monkeypatch.delattr(type(inspector), "make")
    assert found.made("pages 2-2") == (size, sha256)


def test_what_is_wrong_with_an_object_is_told(
    examiner: Examiner, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examining, "MAX_OBJECT_BYTES", 3)
    uris = [
        "/etc/passwd",
        str(folder.folder / "missing.pdf"),
        folder.write("empty.pdf", b""),
        folder.write("a", b"abcd"),
        f"{folder.folder}/archived",
    ]
    problems = [str(examiner.begin(uri).result().inspected.problem) for uri in uris]
    assert problems[0].startswith("cannot be read: '/etc/passwd' names no object")
    assert problems[1:] == [
        f"does not exist, or is a folder: {uris[1]}",
        "is empty (0 bytes)",
        "has 4 bytes; the API takes 3",
        f"cannot be read: it is in an archive: {uris[4]}",
    ]


def test_an_error_of_the_store_is_raised(examiner: Examiner, folder: Folder) -> None:
    with pytest.raises(LakeError, match="store failed"):
        examiner.begin(str(folder.folder / "down")).result()


def test_the_copies_in_use_and_the_last_few_are_kept(examiner: Examiner, folder: Folder) -> None:
    uris = [folder.write(f"{number}.txt", b"abc") for number in range(12)]
    found = [examiner.begin(uri).result() for uri in uris]
    examiner.forget({uris[0]})
    assert [one.path.exists() for one in found] == [True, *[False] * 3, *[True] * 8]
    for uri in (uris[0], uris[1], uris[11]):
        examiner.begin(uri).result()
    assert folder.fetched == Counter({f"{number}.txt": 1 for number in range(12)}) + Counter({"1.txt": 1})


def test_nothing_is_left_of_the_copies(folder: Folder, inspector: Inspector) -> None:
    with open_examiner(folder, inspector) as examiner:
        path = examiner.begin(folder.write("a.txt", b"abc")).result().path
        assert path.exists()
    assert not path.parent.exists()
