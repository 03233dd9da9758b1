"""Images: their size and orientation, and their upright and smaller copies."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from include.enrichment.documents.recipe import parse_recipe
from include.gateways.documents.inspection.image import inspect_image, make_image
from include.gateways.documents.inspection.problem import Problem
from tests.fixtures.documents import image


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "object"
    path.write_bytes(data)
    return path


def _made(folder: Path, data: bytes, media_type: str, recipe: str) -> Image.Image:
    make_image(_file(folder, data), media_type, parse_recipe(recipe), folder / "out")
    return Image.open(io.BytesIO((folder / "out").read_bytes()))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("recipe", ["upright", "upright {}x{}"])
def test_an_image_is_sent_as_it_is_shown(tmp_path: Path, orientation: int, recipe: str) -> None:
    """The black corner is where a camera held that way has it."""
    data = image("JPEG", (90, 60), orientation=orientation)
    found = inspect_image(_file(tmp_path, data), "image/jpeg")
    assert found.orientation == orientation
    assert found.pixels == ((90, 60) if orientation < 5 else (60, 90))
    half = (found.pixels[0] // 2, found.pixels[1] // 2)
    made = _made(tmp_path, data, "image/jpeg", recipe.format(*half))
    assert made.size == (half if "x" in recipe else found.pixels)
    right, low = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    grey = made.convert("L").resize((2, 2), Image.Resampling.BOX).tobytes()
    assert grey.index(min(grey)) == 2 * low + right
    assert made.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(
    ("kind", "mode", "made"),
    [
        ("PNG", "RGB", "PNG"),
        ("PNG", "RGBA", "PNG"),
        ("PNG", "P", "PNG"),
        ("PNG", "1", "PNG"),
        ("PNG", "I;16", "PNG"),
        ("JPEG", "L", "JPEG"),
        ("JPEG", "CMYK", "JPEG"),
        ("GIF", "P", "PNG"),
        ("WEBP", "RGBA", "WEBP"),
    ],
)
def test_an_image_of_any_colours_is_made_smaller(tmp_path: Path, kind: str, mode: str, made: str) -> None:
    file = io.BytesIO()
    Image.new("L", (60, 40), 200).convert(mode).save(file, kind)
    copy = _made(tmp_path, file.getvalue(), f"image/{kind.lower()}", "30x20")
    assert (copy.format, copy.size) == (made, (30, 20))
    # Of 16 bits a pixel, 200 is nearly black; of one bit, a pattern of black and white.
    brightness, exactness = {"I;16": (0, 1), "1": (200, 60)}.get(mode, (200, 3))
    assert copy.convert("L").getpixel((15, 10)) == pytest.approx(brightness, abs=exactness)


def test_of_an_animation_the_first_frame_is_made_smaller(tmp_path: Path) -> None:
    file = io.BytesIO()
    frames = [Image.new("L", (60, 40), brightness) for brightness in (0, 255)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    copy = _made(tmp_path, file.getvalue(), "image/gif", "30x20")
    assert copy.convert("L").getpixel((15, 10)) == 0


def test_the_same_bytes_are_made_every_time(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        source = _file(tmp_path, image(kind))
        for name in ("first", "second"):
            make_image(source, f"image/{kind.lower()}", parse_recipe("30x20"), tmp_path / name)
        assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def _huge_png(width: int, height: int) -> bytes:
    def part(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(99))) + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "data", "problem"),
    [
        ("png", image("PNG", (500, 500))[:900], "is broken as image/png: image file is truncated"),
        ("jpeg", image("JPEG", (500, 500))[:-500], "is broken as image/jpeg: image file is truncated"),
        ("gif", image("GIF", (500, 500))[:-100], "is broken as image/gif: image file is truncated"),
        ("webp", image("WEBP", (500, 500))[:-50], "is broken as image/webp: "),
        ("png", image()[:20], "is broken as image/png: "),
        ("png", _huge_png(300, 300), "is broken as image/png: image file is truncated"),
        (
            "png",
            _huge_png(40_000, 40_000),
            "has 40,000 × 40,000 pixels, 1,600 million; at most 128 million are decoded",
        ),
    ],
)
def test_an_image_that_cannot_be_decoded_is_a_problem(tmp_path: Path, kind: str, data: bytes, problem: str) -> None:
    with pytest.raises(Problem) as raised:
        inspect_image(_file(tmp_path, data), f"image/{kind}")
    assert str(raised.value).startswith(problem)
