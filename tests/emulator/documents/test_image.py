"""The tokens of images, and images that the API rejects."""

from __future__ import annotations

import struct
import zlib

import pytest

from include.emulator.documents.document import Unreadable
from include.emulator.documents.image import HIGH, STANDARD, image_tokens, read_image
from tests.emulator.conftest import image


@pytest.mark.parametrize(
    ("width", "height", "standard", "high"),
    [
        (1, 1, 1, 1),
        (28, 28, 1, 1),
        (29, 28, 2, 2),
        (1092, 1092, 1521, 1521),
        (1120, 1120, 1521, 1600),  # 40 x 40 patches are too many for older models, 39 x 39 are not
        (1568, 784, 1568, 1568),
        (8000, 28, 56, 92),
        (8000, 8000, 1521, 4761),
    ],
)
def test_a_token_is_a_patch_of_the_image_as_the_model_sees_it(
    width: int, height: int, standard: int, high: int
) -> None:
    for size in ((width, height), (height, width)):
        assert (image_tokens(*size, STANDARD), image_tokens(*size, HIGH)) == (standard, high)


@pytest.mark.parametrize(
    ("format", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("GIF", "image/gif"), ("WEBP", "image/webp")],
)
def test_width_and_height_are_read_from_every_supported_format(format: str, media_type: str) -> None:
    assert read_image(image(30, 20, format), media_type) == (30, 20)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "image cannot be empty"),
        (b"no image", "Could not process image"),
        (image(90, 90)[:60], "Could not process image"),
        (image(format="TIFF"), "Could not process image"),
        (image(format="JPEG"), "Image does not match the provided media type image/png"),
    ],
    ids=["empty", "junk", "cut", "tiff", "jpeg"],
)
def test_what_is_no_such_image_is_rejected(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_image(data, "image/png")
    assert str(caught.value) == message


def test_a_huge_image_is_rejected_without_being_decoded() -> None:
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    with pytest.raises(Unreadable, match="max allowed size: 8000 pixels"):
        read_image(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b""), "image/png")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
