"""Opens training images, whether a named set or a folder."""

import os
from pathlib import Path

import numpy as np

from keras_gan.datasets.folders import ImageFolder
from keras_gan.datasets.named import list_datasets, load
from keras_gan.datasets.resizing import ImageSize, image_shape, resize_images
from keras_gan.errors import closest


def open_images(
    name_or_folder: str | Path,
    image_size: ImageSize | None = None,
    channels: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    split: str = "train",
    labels: bool = False,
) -> np.ndarray | tuple[np.ndarray, np.ndarray] | ImageFolder:
    """Opens training images by the name of a set or the path of a folder.

    A name takes precedence over a folder of the same name; write `./mnist`, or pass a `Path`, for
    the folder.

    Args:
        name_or_folder: One of `list_datasets()`, or a folder of images.
        image_size: Side, or `(height, width)`. Images of another size are cropped around their
            centre and resized. Default: a named set's own size; 64 for a folder.
        channels: 1 (grey) or 3 (RGB). Default: a named set's own; 3 for a folder.
        batch_size: Images in a batch of a folder; `fit` splits an array into batches.
        seed: Seed of a folder's order; `fit` shuffles an array.
        split: `"train"` or `"test"` of a named set. Ignored for a folder, which has no splits.
        labels: Whether to return labels too; the subfolders of a folder are then its classes.

    Returns:
        For a name, a `uint8` array `(n, height, width, channels)`, with `labels` a pair of it and
        labels `(n,)`. For a folder, an `ImageFolder`. `fit` takes both.

    Raises:
        ValueError: If it is neither a known name nor a folder, if the folder has no readable
            image, or if the split, the size or the number of channels is not allowed.
        OSError: If a named set could not be downloaded.

    Example:

    >>> open_images("fashion_mnist_10k", image_size=32).shape
    (10000, 32, 32, 1)
    """
    if name_or_folder in list_datasets():
        name = str(name_or_folder)
        images, numbers = load(name, split, labels=True) if labels else (load(name, split), None)
        size = images.shape[1:3] if image_size is None else image_size
        channels = images.shape[3] if channels is None else channels
        images = resize_images(images, image_shape(size, channels))
        return images if numbers is None else (images, numbers)
    folder = os.path.expanduser(name_or_folder)
    if not os.path.exists(folder):
        known = closest(folder, list_datasets())
        raise ValueError(f"There is neither a folder nor a data set called {known}")
    size = 64 if image_size is None else image_size
    channels = 3 if channels is None else channels
    return ImageFolder(folder, size, channels, batch_size, seed=seed, labels=labels)
