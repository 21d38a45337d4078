"""Finds and decodes image files, which may come from strangers.

Pillow is imported inside the functions, so that `import keras_gan` does not load it.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gan.datasets.resizing import MAX_PIXELS, ImageShape, fit_image
from keras_gan.files import check_regular
from keras_gan.waiting import Progress

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".jfif",
    ".jp2",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
# Pillow chooses the decoder by a file's content, and also has some for PDF, EPS, HDF5 and films:
# an EPS that is named x.png would start Ghostscript.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
MAX_BYTES = 1 << 29  # Of a file: twice 16-bit RGB of the most pixels. Some decoders read it whole.


def image_files(folder: str | os.PathLike) -> list[str]:
    """Returns the paths of the images under a folder, sorted: the disk's own order varies.

    Files are chosen by their endings. Hidden files and folders are left out, and so are pipes and
    devices. Links are followed, but each folder is read once, and none that contains this one: a
    link may lead in a circle.

    Args:
        folder: The folder.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it is a file, or the root of the file system.
    """
    folder = os.fspath(folder)
    if not os.path.exists(folder):
        raise FileNotFoundError(f"The folder of images {folder!r} does not exist.")
    if not os.path.isdir(folder):
        raise ValueError(f"{folder!r} is a file; give the folder that contains the images.")
    if os.path.realpath(folder) == "/":
        raise ValueError(f"{folder!r} is the whole file system; give the folder of the images.")
    return sorted(path for path in _files(folder) if path.lower().endswith(SUFFIXES))


def _files(root: str) -> Iterator[str]:
    """Yields the regular files under a folder that are not hidden, those behind links last."""
    folders, links, unreadable = [root], list[str](), list[str]()
    seen = {_identity(parent) for parent in Path(root).resolve().parents}
    with Progress(f"Looking for images in {root}, files") as progress:
        while folders or links:
            if not folders:  # Last, so that a folder inside goes by its own name.
                links.sort(reverse=True)
                folders.append(links.pop())
            folder = folders.pop()
            try:
                if _identity(folder) in seen:
                    continue
                seen.add(_identity(folder))
                with os.scandir(folder) as entries:
                    visible = [entry for entry in entries if not entry.name.startswith(".")]
            except OSError:
                unreadable.append(folder)
                continue
            for entry in visible:
                with contextlib.suppress(OSError):  # A link that leads to itself.
                    if entry.is_dir():
                        (links if entry.is_symlink() else folders).append(entry.path)
                    elif entry.is_file():
                        yield entry.path
            progress.add(len(visible))
    if unreadable:
        more = f" and {len(unreadable) - 1} other folders" if len(unreadable) > 1 else ""
        warnings.warn(f"{min(unreadable)}{more} cannot be read and are skipped.", stacklevel=4)


def _identity(folder: str | os.PathLike) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino


@contextlib.contextmanager
def open_image(path: str | os.PathLike, shape: ImageShape) -> Iterator[Image.Image]:
    """Yields a file as a Pillow image whose header is read and whose pixels are not yet decoded.

    Args:
        path: The file.
        shape: The shape that the image is wanted in: a large JPEG is then decoded at a part of its
            size.

    Raises:
        ValueError: If it is no regular file, too large, or has more than `MAX_PIXELS` to decode.
        Exception: Nearly any, if its header is damaged or of none of the `FORMATS`.
    """
    from PIL import Image

    if check_regular(path).st_size > MAX_BYTES:
        raise ValueError(f"it has more than the {MAX_BYTES:,} bytes allowed")
    with Image.open(path, formats=_formats()) as image:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, six times faster for a photo. Pillow
        # then rounds its last row and column up: with at least four times the target's size, that
        # shifts the result by at most a quarter of a pixel.
        side = 4 * max(shape[:2])
        image.draft(None, (side, side))
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width}×{height} pixels are more than the {MAX_PIXELS:,} allowed")
        yield image


@cache
def _formats() -> list[str]:
    """Returns those of the formats that this version of Pillow can decode."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def decode_image(path: str | os.PathLike, shape: ImageShape) -> np.ndarray:
    """Returns a file's pixels, `uint8`, in a shape; raises nearly any error for a damaged file."""
    from PIL import ImageOps

    with open_image(path, shape) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return fit_image(image, shape)


def read_image(path: str | os.PathLike, shape: ImageShape) -> np.ndarray:
    """Returns a file's pixels, `uint8`, upright, cropped and resized to a shape.

    Args:
        path: The file, in one of the formats of `ImageFolder`.
        shape: `(height, width, channels)`, with 1 (grey) or 3 (RGB) channels.

    Raises:
        ValueError: If the file cannot be read as an image.
    """
    try:
        return decode_image(path, shape)
    except Exception as error:  # A damaged file makes Pillow raise nearly anything.
        raise ValueError(f"{path} cannot be read as an image: {error}.") from error
