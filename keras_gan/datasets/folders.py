"""A folder of images of any size as batches of one shape, decoded as they are needed."""

import glob
import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gan.datasets.resizing import ImageShape, ImageSize, fit_image, image_shape

# Pillow also reads PDF, EPS, HDF5 and films, which are rarely meant as training images.
_SUFFIXES = (
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


class ImageFolder(keras.utils.PyDataset):
    """Batches of the images in a folder and its subfolders, decoded as they are needed.

    Reads JPEG, PNG, WebP, AVIF, GIF (first frame), BMP, TIFF, JPEG 2000 and PPM of any size and
    mode. Each image is rotated upright according to its EXIF orientation, put on white where it is
    transparent, cropped around its centre to the target's aspect ratio and resized with an
    antialiasing filter. Hidden files and folders, and files with other endings, are ignored.

    A file that cannot be decoded, or only partly, is skipped and named in one warning (one from
    each process, with `use_multiprocessing`). It is left out of all epochs if its header shows
    this; otherwise another image, drawn at random, takes its place.

    Args:
        folder: The folder. Links in it are followed.
        image_size: Side, or `(height, width)`, of the images to deliver.
        channels: 1 (grey) or 3 (RGB).
        batch_size: Images in a batch. The last one of an epoch may be smaller.
        shuffle: Whether to deliver the images in a new order each epoch.
        seed: Seed of the orders, which are the same in every run.
        labels: Whether the folder's subfolders are classes: then batches are pairs of images and
            the numbers of their classes.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`. Several worker threads help: Pillow decodes in parallel.

    Attributes:
        image_shape: `(height, width, channels)`.
        num_images: Images in an epoch.
        class_names: The names of the subfolders, sorted, with `labels`; otherwise None.
        epoch: The epoch that is read, from 0. The order follows from it and the seed alone: after
            `folder.epoch = 3`, batches are those of the fourth epoch, as in a run that was not
            interrupted. `on_epoch_end` moves on to the next epoch.

    `dataset[i]` is batch `i`: a `uint8` array `(batch, height, width, channels)`, 0…255; with
    `labels`, a pair of it and an `int32` array `(batch,)`.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If the folder is a file or has no readable image, or an argument is not allowed.

    Example:

    >>> images = ImageFolder("photos", image_size=64, workers=4)  # doctest: +SKIP
    >>> gan.fit(images, epochs=5)  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | Path,
        image_size: ImageSize = 64,
        channels: int = 3,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 0,
        labels: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        self.folder = os.path.expanduser(folder)
        self.image_shape = image_shape(image_size, channels)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        # Decoding every file here would take as long as an epoch, an hour for some folders. So only
        # the headers are read, and one image is decoded. A file that turns out to be damaged later
        # is replaced, not left out, because the number of batches must not change during `fit`.
        self._paths = self._found()
        self.num_images = len(self._paths)
        self.class_names: list[str] | None = None
        if labels:
            self.class_names, self._labels = _classes(self._paths, self.folder)
        self._damaged: set[int] = set()
        self.epoch = 0
        self._read(0)  # Raises ValueError if no image is readable.

    def _found(self) -> list[str]:
        """Returns the paths of the images that may be readable, sorted."""
        return [path for path in image_files(self.folder) if has_image_header(path)]

    def __len__(self) -> int:
        return -(-self.num_images // self.batch_size)

    def __getitem__(self, index: int) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        images, numbers = self._read_batch(index)
        if self.class_names is None:
            return np.stack(images)
        return np.stack(images), self._labels[list(numbers)]

    def _read_batch(self, index: int) -> tuple[tuple, tuple]:
        """Returns what the files of a batch contain, and the numbers of these files."""
        start = range(len(self))[index] * self.batch_size
        numbers = self._order[start : start + self.batch_size]
        images, read = zip(*(self._read(int(number)) for number in numbers), strict=True)
        return images, read

    @property
    def epoch(self) -> int:
        """The epoch that is read, from 0; setting it sets the order."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, not {epoch}.")
        self._epoch = epoch
        self._order = np.arange(self.num_images)
        if self.shuffle:
            # A new generator for each epoch: worker processes have copies of this object, which
            # must agree on the order, and a resumed run must get the order of its epoch.
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self._order)

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch; Keras calls it."""
        self.epoch += 1

    @property
    def fingerprint(self) -> str:
        """A hash of the files' names and sizes in bytes."""
        facts = [(os.path.relpath(p, self.folder), os.path.getsize(p)) for p in self._paths]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def _decoded(self, number: int) -> Any:
        """Returns the image with a number."""
        return read_image(self._paths[number], self.image_shape)

    def _read(self, number: int) -> tuple[Any, int]:
        """Returns the image with a number, or a random one if it cannot be decoded, and which."""
        # Not the next file, which would be seen far too often after several damaged ones in a row.
        # Each file has its own generator, so that threads draw the same in any order.
        draw = np.random.default_rng([self.seed, self.epoch * self.shuffle, number])
        while len(self._damaged) < self.num_images:
            if number not in self._damaged:
                try:
                    return self._decoded(number), number
                except Exception as error:  # A damaged file makes Pillow raise nearly anything.
                    self._damaged.add(number)
                    _warn_skipped(self._paths[number], error)
            number = int(draw.integers(self.num_images))
        raise ValueError(
            f"The folder {self.folder!r} has no image that can be read. The names of images must "
            f"end in {', '.join(_SUFFIXES)}."
        )


def image_files(folder: str) -> list[str]:
    """Returns the paths of the images under a folder, sorted: the disk's own order varies."""
    if not os.path.exists(folder):
        raise FileNotFoundError(f"The folder of images {folder!r} does not exist.")
    if not os.path.isdir(folder):
        raise ValueError(f"{folder!r} is a file; give the folder that contains the images.")
    # `glob` follows links and leaves out hidden files.
    names = glob.iglob("**/*", root_dir=folder, recursive=True)
    return sorted(os.path.join(folder, name) for name in names if name.lower().endswith(_SUFFIXES))


def _classes(paths: list[str], folder: str) -> tuple[list[str], np.ndarray]:
    """Returns the names of a folder's subfolders, and the number of that of each image."""
    parts = [os.path.relpath(path, folder).split(os.sep) for path in paths]
    loose = [part[0] for part in parts if len(part) == 1]
    if loose:
        raise ValueError(
            f"With labels, each subfolder of {folder!r} is a class, but {loose[0]} and "
            f"{len(loose) - 1} other images lie in none; move them into one."
        )
    names = sorted({part[0] for part in parts})
    return names, np.array([names.index(part[0]) for part in parts], "int32")


def has_image_header(path: str) -> bool:
    """Returns whether Pillow recognizes a file; warns if not."""
    from PIL import Image  # Not loaded by `import keras_gan`.

    try:
        with Image.open(path):
            return True
    except Exception as error:  # A damaged file makes Pillow raise nearly anything.
        _warn_skipped(path, error)
        return False


def _warn_skipped(path: str, error: Exception) -> None:
    warnings.warn(f"{path} is skipped: it cannot be read as an image ({error}).", stacklevel=3)


def read_image(path: str, shape: ImageShape) -> np.ndarray:
    """Decodes a file to a `uint8` array of a shape."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, six times faster for a photo. Pillow
        # then rounds its last row and column up: with at least four times the target's size, that
        # shifts the result by at most a quarter of a pixel.
        side = 4 * max(shape[:2])
        image.draft(None, (side, side))
        return fit_image(ImageOps.exif_transpose(image), shape)
