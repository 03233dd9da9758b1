from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from include.enrichment.documents.attachment import Attachment
from include.enrichment.errors import LakeError
from include.gateways.documents.attachment_bytes import AttachmentBytes
from include.gateways.documents.buckets import LocalFolder
from include.gateways.documents.inspector import Inspector
from tests.fixtures.attachments import put
from tests.fixtures.documents import pdf

THREE_PAGES = pdf("a", "b", "c")


@pytest.fixture
def attached(inspector: Inspector, tmp_path: Path) -> AttachmentBytes:
    return AttachmentBytes(LocalFolder(tmp_path), inspector)


def made(folder: Path, inspector: Inspector) -> tuple[Attachment, bytes]:
    """An attachment of which extract sends the first page, and the bytes that it sends."""
    attachment = put(folder, "a.pdf", THREE_PAGES)
    inspector.make(folder / "a.pdf", "pages 1-1", folder / "made")
    sent = (folder / "made").read_bytes()
    digest = sha256(sent).hexdigest()
    changes = {"recipe": "pages 1-1", "sent_bytes": len(sent), "sent_sha256": digest}
    return msgspec.structs.replace(attachment, **changes), sent


def test_an_object_that_is_sent_unchanged_is_read(attached: AttachmentBytes, tmp_path: Path) -> None:
    assert attached.read(put(tmp_path, "a.pdf", THREE_PAGES)) == THREE_PAGES


def test_what_extract_made_of_an_object_is_made_again(
    attached: AttachmentBytes, inspector: Inspector, tmp_path: Path
) -> None:
    attachment, sent = made(tmp_path, inspector)
    assert attached.read(attachment) == sent
    attached.fetch(attachment, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == sent
    assert {path.name for path in tmp_path.iterdir()} == {"a.pdf", "made", "copy"}


def test_an_object_that_has_changed_since_is_not_sent(
    attached: AttachmentBytes, inspector: Inspector, tmp_path: Path
) -> None:
    for attachment in (put(tmp_path, "a.pdf", THREE_PAGES), made(tmp_path, inspector)[0]):
        (tmp_path / "a.pdf").write_bytes(b"other")
        with pytest.raises(LakeError, match=r"a\.pdf has changed since extract read it: 5 bytes .* Clear") as caught:
            attached.read(attachment)
        assert not caught.value.retryable


def test_neither_is_one_that_is_gone(attached: AttachmentBytes, tmp_path: Path) -> None:
    attachment = put(tmp_path, "a.pdf", THREE_PAGES)
    (tmp_path / "a.pdf").unlink()
    with pytest.raises(LakeError, match=r"a\.pdf does not exist.* It was there when extract read it") as caught:
        attached.read(attachment)
    assert not caught.value.retryable


def test_a_library_that_makes_other_bytes_than_at_extract_is_noticed(
    attached: AttachmentBytes, inspector: Inspector, tmp_path: Path
) -> None:
    attachment, _ = made(tmp_path, inspector)
    other = msgspec.structs.replace(attachment, sent_sha256="ab" * 32)
    with pytest.raises(LakeError, match=r"is unchanged, but 'pages 1-1' makes .* libraries were updated") as caught:
        attached.read(other)
    assert not caught.value.retryable


def test_a_document_that_cannot_be_made_again_is_tried_again(attached: AttachmentBytes, tmp_path: Path) -> None:
    impossible = msgspec.structs.replace(put(tmp_path, "a.pdf", THREE_PAGES), recipe="pages 1-9")
    with pytest.raises(LakeError, match=r"prepared again as in extract: the document ends at page 3") as caught:
        attached.read(impossible)
    assert caught.value.retryable
