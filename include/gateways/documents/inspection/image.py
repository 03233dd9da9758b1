"""Images: their size and orientation, and their upright and smaller copies, by Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from include.enrichment.documents.document import Inspected
from include.enrichment.documents.recipe import Recipe, media_type_made
from include.gateways.documents.inspection.problem import Problem

#: More pixels are not decoded: with four bytes each, they are half of the memory that a child process has.
MOST_PIXELS = 128_000_000
#: Pillow's own limit is above that. Ours has the numbers that a person needs.
Image.MAX_IMAGE_PIXELS = None
_EXIF_ORIENTATION = 0x0112
#: From here on width and height are exchanged.
_TURNED = 5
_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "image/jpeg": {"quality": 90, "subsampling": 0, "optimize": False},
    "image/png": {"compress_level": 6},
    "image/webp": {"quality": 90, "method": 4},
}
#: The modes that each format can have. Others become RGB, or RGBA if they are transparent.
_MODES = {"image/jpeg": ("L", "RGB"), "image/png": ("L", "LA", "RGB", "RGBA"), "image/webp": ("RGB", "RGBA")}


def inspect_image(path: Path, media_type: str) -> Inspected:
    """Return the size and orientation of an image. Raises Problem if its first frame cannot be decoded."""
    with _opened(path, media_type) as image:
        orientation = _orientation(image)
        width, height = image.size
        image.draft("RGB", (width // 8, height // 8))  # a JPEG is read to its end all the same, but much faster
        _decode(image, media_type)
        pixels = (height, width) if orientation >= _TURNED else (width, height)
        return Inspected(media_type=media_type, pixels=pixels, orientation=orientation)


def make_image(path: Path, media_type: str, recipe: Recipe, out: Path) -> None:
    """
    Make the upright or smaller copy of an image's first frame, the same bytes every time.

    Raises Problem if the image cannot be decoded.
    """
    made = media_type_made(media_type, str(recipe))
    with _opened(path, media_type) as image:
        turned = recipe.upright and _orientation(image) >= _TURNED
        size = (recipe.size[1], recipe.size[0]) if recipe.size and turned else recipe.size
        if size:
            image.draft(None, size)
        _decode(image, media_type)
        copy = _in_mode(image, made)
        if size:
            copy = copy.resize(size, Image.Resampling.LANCZOS)
        if recipe.upright:
            copy = ImageOps.exif_transpose(copy)
        copy.info.clear()  # colour profile, EXIF and comments: Claude does not read them
        copy.save(out, _FORMATS[made], **_OPTIONS[made])


def _opened(path: Path, media_type: str) -> Image.Image:
    try:
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(path, formats=[_FORMATS[media_type]])
    except (OSError, ValueError, SyntaxError) as error:
        _raise_for_disk(error)
        raise Problem(f"is broken as {media_type}: {error}") from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        image.close()
        raise Problem(
            f"has {width:,} × {height:,} pixels, {width * height / 1e6:,.0f} million;"
            f" at most {MOST_PIXELS / 1e6:,.0f} million are decoded"
        )
    return image


def _decode(image: Image.Image, media_type: str) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):
            image.load()
    except (OSError, ValueError, SyntaxError, IndexError, EOFError) as error:
        _raise_for_disk(error)
        raise Problem(f"is broken as {media_type}: {error}") from error


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block, on which Pillow raises anything: shown as it is stored
        return 1
    return orientation if orientation in range(1, 9) else 1


def _in_mode(image: Image.Image, media_type: str) -> Image.Image:
    if image.mode in _MODES[media_type]:
        return image.copy()
    if image.mode == "1":  # black or white: a smaller copy needs the greys between
        return image.convert("L")
    if image.mode.startswith("I;16"):  # 16 bits a pixel: Pillow would cut, not scale
        return image.convert("I").point(lambda value: value / 256).convert("L")
    transparent = "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa")
    return image.convert("RGBA" if transparent and media_type != "image/jpeg" else "RGB")


def _raise_for_disk(error: BaseException) -> None:
    """Raise the error if the disk failed. For a broken image, Pillow raises OSError too, but without a number."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
