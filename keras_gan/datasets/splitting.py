"""Which images a model is trained on, and which ones its samples are compared with."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_gan.datasets.batches import as_batch
from keras_gan.datasets.folders import ImageFolder
from keras_gan.datasets.opening import open_images
from keras_gan.datasets.resizing import ImageShape

FEWEST = 20  # Images of which some can be held out.


class Labelled(NamedTuple):
    """Images, an array or a folder, and the labels of an array; None for none."""

    images: Any
    labels: np.ndarray | None = None

    def rows(self, chosen: Any) -> "Labelled":
        """Returns the images that a slice or a mask chooses, with their labels."""
        if isinstance(self.images, ImageFolder):
            return Labelled(self.images.subset(chosen))
        labels = None if self.labels is None else self.labels[chosen]
        return Labelled(self.images[chosen], labels)

    def read(self, batches: int | None = None) -> "Labelled":
        """Returns arrays of the first so many batches of a folder, or of all of them."""
        if not isinstance(self.images, ImageFolder):
            return self
        count = len(self.images) if batches is None else min(batches, len(self.images))
        read = [as_batch(self.images[i], conditional=True) for i in range(count)]
        columns = zip(*read, strict=True)
        return Labelled(*(None if c[0] is None else np.concatenate(c) for c in columns))


def open_labelled(data: str | Path, *args: Any, **options: Any) -> Labelled:
    """Returns what `open_images` opens, with the labels of an array if it has any."""
    opened = open_images(data, *args, **options)
    return Labelled(*opened) if isinstance(opened, tuple) else Labelled(opened)


def without_scored(data: str, opened: Labelled, shape: ImageShape, limit: int):
    """Returns what is trained on, and what scores the training.

    The latter is the test split, or else a tenth of the images, of which none is trained on.

    Args:
        data: The name of a data set, or a folder.
        opened: Its images for training, in batches of one if it is a folder.
        shape: The images' shape.
        limit: The most images that score.

    Raises:
        ValueError: If there are too few images to hold some out.
    """
    test = _test_split(data, opened, shape)
    if test is not None:
        return opened, test.rows(slice(limit))
    count = len(opened.images)
    if count < FEWEST:
        raise ValueError(f"{data} has {count} images; to hold some out takes at least {FEWEST}.")
    scored = np.arange(count) % max(10, -(-count // limit)) == 0
    return opened.rows(~scored), opened.rows(scored).read()


def two_splits(data: str, shape: ImageShape, limit: int) -> tuple[Labelled, Labelled]:
    """Returns real images of two kinds: train and test split, or else two halves, without labels.

    A folder may not fit into memory: of its images, each half has at most `limit`.
    """
    opened = open_labelled(data, shape[:2], shape[2])
    test = _test_split(data, opened, shape)
    if test is not None:
        return opened, test
    if isinstance(opened.images, ImageFolder):
        opened = opened.read(-(-2 * limit // opened.images.batch_size)).rows(slice(2 * limit))
    return opened.rows(slice(0, None, 2)), opened.rows(slice(1, None, 2))


def _test_split(data: str, opened: Labelled, shape: ImageShape) -> Labelled | None:
    """Returns the test split of a data set, or None if there is no other one than for training."""
    if isinstance(opened.images, ImageFolder):
        return None
    labels = opened.labels is not None
    test = open_labelled(data, shape[:2], shape[2], split="test", labels=labels)
    return None if np.array_equal(opened.images[:64], test.images[:64]) else test
