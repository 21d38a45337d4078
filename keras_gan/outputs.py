"""Writes generated images to files, batch by batch, so that any number of them can be written."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_gan.files import replacing
from keras_gan.images import check_grid, image_grid, save_image
from keras_gan.waiting import Progress


def write_images(out: Path, batches: Iterator[np.ndarray], count: int) -> None:
    """Writes images as one grid, as an array, or as one file each.

    Args:
        out: A `.npy` file for an array; another file for a grid; a folder, or a path without an
            ending, for one PNG per image.
        batches: The images, arrays `(n, height, width, channels)`, as `GAN.generate_batches` gives
            them. It is read once the arguments are checked.
        count: The number of all images.

    Raises:
        ValueError: If the folder contains other files, or the grid would be too large.
    """
    kind = "" if out.is_dir() else out.suffix
    write = {"": _write_files, ".npy": _write_array}.get(kind, _write_grid)
    write(out, _counted(batches, count), count)


def _counted(batches: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    with Progress("Generating images", count) as progress:
        for images in batches:
            yield images
            progress.add(len(images))


def _write_grid(out: Path, batches: Iterator[np.ndarray], count: int) -> None:
    first = next(batches)
    check_grid((count, *first.shape[1:]))
    save_image(out, image_grid(np.concatenate([first, *batches])))


def _write_array(out: Path, batches: Iterator[np.ndarray], count: int) -> None:
    # Not np.lib.format.open_memmap: on a full disk, a write to mapped memory kills the process.
    with replacing(out) as part, part.open("wb") as file:
        first = next(batches)
        facts = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, facts | {"shape": (count, *first.shape[1:])})
        file.write(first.tobytes())
        for images in batches:
            file.write(images.tobytes())


def _write_files(out: Path, batches: Iterator[np.ndarray], count: int) -> None:
    digits = max(5, len(str(count - 1)))

    def name(number: int) -> str:
        return f"{number:0{digits}d}.png"

    def is_ours(path: Path) -> bool:
        number = int(path.stem) if path.stem.isdecimal() else count
        return number < count and path.name == name(number)

    # Tools that compute scores read every file of a folder.
    files = out.iterdir() if out.exists() else ()
    if other := min((path.name for path in files if not is_ours(path)), default=None):
        raise ValueError(f"{out} contains other files, such as {other}; choose a new folder.")
    number = 0
    for images in batches:
        for image in images:
            save_image(out / name(number), image_grid(image[None]))
            number += 1
