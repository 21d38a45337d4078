"""Pairs of images for GANs that make images from images, from folders or side by side in one file.

The layouts are those of pix2pix' data sets (Isola et al. 2016, arXiv:1611.07004).
"""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from keras_gan.datasets.decoding import decode_image, image_files, open_image
from keras_gan.datasets.folders import ImageFolder, with_headers
from keras_gan.datasets.resizing import ImageShape, ImageSize, fit_image, image_shape

HALVES = ("left", "right")


class ImagePairs(ImageFolder):
    """Batches of pairs `(targets, inputs)`: what a GAN makes, and the images it makes that from.

    Reads what `ImageFolder` reads, and skips a pair if one of its files cannot be read. The two
    images of a pair are cropped and resized each for itself, so they should have the same aspect
    ratio.

    Args:
        folder: The folder of the inputs; or one with two subfolders, one of which are the targets;
            or one of images that have both side by side.
        targets: What the GAN is to make: a folder, in which files have the same names as their
            inputs, up to the ending; the name of one of the two subfolders; or `"left"` or
            `"right"`, the half of each image that is the target. `"right"` is pix2pix' direction
            A to B, `"left"` is B to A.
        image_size: Side, or `(height, width)`, of the targets.
        channels: 1 (grey) or 3 (RGB), of the targets.
        input_size: The size of the inputs; by default that of the targets.
        input_channels: The channels of the inputs; by default those of the targets.
        batch_size: Pairs in a batch. The last one of an epoch may be smaller.
        shuffle: Whether to deliver the pairs in a new order each epoch.
        seed: Seed of the orders, which are the same in every run.
        **kwargs: As for `ImageFolder`.

    Attributes:
        image_shape: `(height, width, channels)` of the targets.
        input_shape: `(height, width, channels)` of the inputs.

    `pairs[i]` is batch `i`: two `uint8` arrays `(batch, height, width, channels)`, 0…255.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If files have no partner, or as for `ImageFolder`.

    Example:

    >>> pairs = ImagePairs("facades/train", targets="left", image_size=64)  # doctest: +SKIP
    >>> condition = keras_gan.conditions.Images(pairs.input_shape)  # doctest: +SKIP
    >>> gan = keras_gan.create_model(
    ...     "pix2pix", pairs.image_shape, condition=condition
    ... )  # doctest: +SKIP
    >>> gan.fit(pairs, epochs=20)  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | Path,
        targets: str | Path = "right",
        image_size: ImageSize = 64,
        channels: int = 3,
        *,
        input_size: ImageSize | None = None,
        input_channels: int | None = None,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 0,
        **kwargs: Any,
    ):
        size = image_size if input_size is None else input_size
        self.input_shape = image_shape(size, input_channels or channels)
        self.targets = os.path.expanduser(targets)
        super().__init__(folder, image_size, channels, batch_size, shuffle, seed, **kwargs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        pairs, _ = self._read_batch(index)
        targets, inputs = zip(*pairs, strict=True)
        return np.stack(targets), np.stack(inputs)

    def _found(self) -> list[str]:
        if self.targets in HALVES:
            self._targets = super()._found()
            return self._targets
        inputs, targets = _folders(self.folder, self.targets)
        pairs = with_headers(_matched(inputs, targets), self.image_shape)
        self._targets = [target for _, target in pairs]
        return [path for path, _ in pairs]

    def subset(self, chosen: np.ndarray) -> "ImagePairs":
        """Returns some of the pairs; see `ImageFolder.subset`."""
        part = super().subset(chosen)
        part._targets = [self._targets[i] for i in np.flatnonzero(chosen)]
        return part

    @property
    def fingerprint(self) -> str:
        """A hash of the files' names and sizes in bytes, and of which half is the target."""
        facts = [
            (os.path.relpath(path, self.folder), os.path.getsize(path))
            for path in (*self._paths, *self._targets)
        ]
        half = self.targets if self.targets in HALVES else None
        return hashlib.sha256(repr((half, facts)).encode()).hexdigest()

    def _decoded(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        path, target = self._paths[number], self._targets[number]
        if self.targets not in HALVES:
            return decode_image(target, self.image_shape), decode_image(path, self.input_shape)
        shapes = [self.image_shape, self.input_shape]
        left_first = self.targets == "left"
        halves = _read_halves(path, *(shapes if left_first else shapes[::-1]))
        return halves if left_first else halves[::-1]  # type: ignore[return-value]


def _folders(folder: str, targets: str) -> tuple[str, str]:
    """Returns the folders of the inputs and of the targets."""
    inside = os.path.join(folder, targets)
    if os.path.isabs(targets) or not os.path.isdir(inside):
        if not os.path.isdir(targets):
            raise FileNotFoundError(
                f"The targets {targets!r} are neither a folder, nor one in {folder!r}, nor 'left' "
                "or 'right', the half of images that have inputs and targets side by side."
            )
        return folder, targets
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    others = [name for name in names if not os.path.samefile(os.path.join(folder, name), inside)]
    if len(others) != 1:
        raise ValueError(
            f"A folder of pairs has two subfolders, inputs and targets; {folder!r} has "
            f"{', '.join(names)}."
        )
    return os.path.join(folder, others[0]), inside


def _matched(inputs: str, targets: str) -> list[tuple[str, str]]:
    """Returns the pairs of files of one name in two folders.

    Raises:
        ValueError: If a file has no partner, or more than one.
    """
    sides = []
    for folder in (inputs, targets):
        files = image_files(folder)
        names = [os.path.splitext(os.path.relpath(path, folder))[0] for path in files]
        name, count = Counter(names).most_common(1)[0] if names else ("", 0)
        if count > 1:
            raise ValueError(f"In {folder!r} several images are called {name!r}; keep one.")
        sides.append(dict(zip(names, files, strict=True)))
    first, second = sides
    if alone := sorted(first.keys() ^ second.keys()):
        where = inputs if alone[0] in first else targets
        raise ValueError(
            f"Pairs are files of the same name in {inputs!r} and {targets!r}, but {len(alone)} "
            f"have no partner, such as {alone[0]!r} in {where!r}."
        )
    return [(path, second[name]) for name, path in first.items()]


def _read_halves(path: str, left: ImageShape, right: ImageShape) -> tuple[np.ndarray, np.ndarray]:
    """Decodes a file, and returns its left and its right half in two shapes."""
    from PIL import ImageOps

    whole = (2 * max(*left[:2], *right[:2]), 1, 1)  # The width of both decides.
    with open_image(path, whole) as file:
        image = ImageOps.exif_transpose(file)
    if image.width < 2:
        raise ValueError("it is too narrow to be cut in the middle")
    middle = image.width // 2  # Of an odd width, the column in the middle belongs to no half.
    boxes = (0, 0, middle, image.height), (image.width - middle, 0, image.width, image.height)
    first, second = (image.crop(box) for box in boxes)
    return fit_image(first, left), fit_image(second, right)
