"""Which images a model is trained on, and which ones its samples are compared with."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_gan.datasets.folders import ImageFolder
from keras_gan.datasets.loaders import Batch, as_batch, concatenated
from keras_gan.datasets.named import list_datasets
from keras_gan.datasets.opening import open_images
from keras_gan.datasets.pairs import ImagePairs

FEWEST = 20  # Images of which some can be held out.


def opened(data: str | Path, targets: str | None = None, **options: Any) -> Batch:
    """Returns images, an array or a folder; with an array its labels, if they are asked for.

    Args:
        data: The name of a set, or a folder.
        targets: For pairs, which of the images are made from the others; see `ImagePairs`.
        **options: As for `open_images`, or `ImagePairs`.

    Raises:
        ValueError: As these do, and for pairs of a named set.
    """
    if targets is None:
        images = open_images(data, **options)
        return Batch(*images) if isinstance(images, tuple) else Batch(images)
    if data in list_datasets():
        raise ValueError(f"{data} has no pairs; give a folder of inputs with --targets.")
    known = {name: value for name, value in options.items() if value is not None}
    return Batch(ImagePairs(data, targets, **known))


def without_scored(data: str, images: Batch, limit: int) -> tuple[Batch, Batch]:
    """Returns what is trained on, and what scores the training.

    The latter is the test split, or else a tenth of the images, of which none is trained on.

    Args:
        data: The name of a data set, or a folder.
        images: Its images for training, in batches of one if it is a folder.
        limit: The most images that score.

    Raises:
        ValueError: If there are too few images to hold some out.
    """
    test = _test_split(data, images)
    if test is not None:
        return images, _rows(test, slice(limit))
    folder = isinstance(images.samples, ImageFolder)
    count = images.samples.num_images if folder else len(images.samples)
    if count < FEWEST:
        raise ValueError(f"{data} has {count} images; to hold some out takes at least {FEWEST}.")
    scored = np.arange(count) % max(10, -(-count // limit)) == 0
    return _rows(images, ~scored), _read(_rows(images, scored))


def two_splits(data: str, images: Batch, limit: int) -> tuple[Batch, Batch]:
    """Returns real images of two kinds: train and test split, or else two halves.

    A folder may not fit into memory: of its images, each half has at most `limit`.

    Args:
        data: The name of a data set, or a folder.
        images: Its images for training.
        limit: The most images that are needed.
    """
    test = _test_split(data, images)
    if test is not None:
        return images, test
    if isinstance(images.samples, ImageFolder):
        images = _read(images, -(-2 * limit // images.samples.batch_size))
        images = _rows(images, slice(2 * limit))
    return _rows(images, slice(0, None, 2)), _rows(images, slice(1, None, 2))


def _test_split(data: str, images: Batch) -> Batch | None:
    """Returns the test split of a data set, or None if there is no other one than for training."""
    if isinstance(images.samples, ImageFolder):
        return None
    height, width, channels = images.samples.shape[1:]
    labels = images.condition is not None
    size = {"image_size": (height, width), "channels": channels}
    test = opened(data, split="test", labels=labels, **size)
    return None if np.array_equal(images.samples[:64], test.samples[:64]) else test


def _rows(images: Batch, chosen: Any) -> Batch:
    """Returns the images that a slice or a mask chooses, with what belongs to them."""
    if isinstance(images.samples, ImageFolder):
        return Batch(images.samples.subset(chosen))
    return images.map(lambda part: part[chosen])


def _read(images: Batch, batches: int | None = None) -> Batch:
    """Returns arrays of the first so many batches of a folder, or of all of them."""
    folder = images.samples
    if not isinstance(folder, ImageFolder):
        return images
    count = len(folder) if batches is None else min(batches, len(folder))
    return concatenated(as_batch(folder[i], conditional=True) for i in range(count))
