"""Image sets known by name: bundled, from Debian's packages, or through `keras.datasets`."""

import gzip
import zlib
from pathlib import Path
from typing import Literal, overload

import keras
import numpy as np

from keras_gan.datasets import emoji
from keras_gan.errors import closest

_NAMES = ("cifar10", "fashion_mnist", "fashion_mnist_10k", "mnist", "noto_emoji")
_BUNDLED = Path(__file__).parents[1] / "data"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_SPLIT_STEMS = {"train": "train", "test": "t10k"}


def list_datasets() -> list[str]:
    """Returns the names that `load` and `open_images` know, sorted.

    >>> list_datasets()
    ['cifar10', 'fashion_mnist', 'fashion_mnist_10k', 'mnist', 'noto_emoji']
    """
    return list(_NAMES)


_FASHION = [
    "t-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
]  # fmt: skip
_CIFAR = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip
_CLASSES = {
    "cifar10": _CIFAR,
    "fashion_mnist": _FASHION,
    "fashion_mnist_10k": _FASHION,
    "mnist": [str(digit) for digit in range(10)],
    "noto_emoji": list(emoji.GROUPS),
}


def class_names(name: str) -> list[str]:
    """Returns the names of a set's classes, in the order of its labels.

    >>> class_names("fashion_mnist")[:3]
    ['t-shirt/top', 'trouser', 'pullover']

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in _CLASSES:
        raise ValueError(f"No data set is called {closest(name, _NAMES)}")
    return list(_CLASSES[name])


@overload
def load(name: str, split: str = ..., labels: Literal[False] = ...) -> np.ndarray: ...


@overload
def load(
    name: str, split: str = ..., *, labels: Literal[True]
) -> tuple[np.ndarray, np.ndarray]: ...


def load(
    name: str, split: str = "train", labels: bool = False
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Loads a named set of images into memory.

    - `"fashion_mnist"`: 60,000 + 10,000 images, 28×28×1. MIT licence, Zalando SE
      (arXiv:1708.07747). Read from Debian's package `dataset-fashion-mnist` if it is installed,
      otherwise loaded through `keras.datasets`.
    - `"fashion_mnist_10k"`: its 10,000 test images, bundled with the library, for work without a
      network. Both splits are the same images.
    - `"mnist"`: 60,000 + 10,000 images, 28×28×1. CC BY-SA 3.0, LeCun and Cortes. Loaded through
      `keras.datasets`.
    - `"cifar10"`: 50,000 + 10,000 images, 32×32×3. Krizhevsky 2009; its authors state no
      licence. Loaded through `keras.datasets`.
    - `"noto_emoji"`: 3,878 bitmaps of Debian's package `fonts-noto-color-emoji`, 64×64×3, on
      white. OFL 1.1, Google. Every tenth emoji is in the test split, with all its skin tones and
      genders. Its nine classes are the groups of Unicode's list of emoji, which is read from
      Debian's package `unicode-data`; the images alone do not need it. More than half of them are
      people.

    `keras.datasets` reads from its cache, `~/.keras/datasets`, and otherwise downloads. Without a
    network, put the files into the cache: `mnist.npz`, `fashion-mnist/*-ubyte.gz` (four files) or
    `cifar-10-batches-py-target_archive` (its name for `cifar-10-python.tar.gz`).

    Args:
        name: One of `list_datasets()`.
        split: `"train"` or `"test"`.
        labels: Whether to return the class of each image too.

    Returns:
        `uint8` images `(n, height, width, channels)`, 0…255; with `labels=True`, a pair of these
        images and `uint8` labels `(n,)`, 0…9.

    Raises:
        ValueError: If the name or the split is unknown, or a file is damaged.
        OSError: If the set is not on this machine and could not be downloaded.

    Example:

    >>> load("fashion_mnist_10k").shape
    (10000, 28, 28, 1)
    """
    if name not in _NAMES:
        raise ValueError(f"No data set is called {closest(name, _NAMES)}")
    if split not in _SPLIT_STEMS:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}.")
    if name == "noto_emoji":
        images, classes = emoji.load(split, labels)
    else:
        images, classes = _load_pair(name, split)
    return images if classes is None or not labels else (images, classes)


def _load_pair(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images `(n, height, width, channels)` and labels `(n,)`, both `uint8`."""
    stem = _SPLIT_STEMS[split]
    if name == "fashion_mnist_10k":
        return _read_idx_pair(_BUNDLED, name)
    if name == "fashion_mnist" and (_DEBIAN / f"{stem}-images-idx3-ubyte.gz").exists():
        return _read_idx_pair(_DEBIAN, stem)
    return _load_from_keras(name, split)


def _load_from_keras(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns `uint8` images `(n, height, width, channels)` and labels `(n,)`."""
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a plain Exception for a failed download.
        debian = "install the Debian package dataset-fashion-mnist, "
        raise OSError(
            f"The data set {name!r} could not be loaded through keras.datasets ({error}): "
            f"{debian if name == 'fashion_mnist' else ''}put its files into Keras' cache "
            "~/.keras/datasets (see load), or use 'fashion_mnist_10k', which needs no download."
        ) from error
    images, labels = train if split == "train" else test
    if images.ndim == 3:
        images = images[..., np.newaxis]
    elif keras.config.image_data_format() == "channels_first":
        images = np.moveaxis(images, 1, -1)
    return images, labels.reshape(-1)


def _read_idx_pair(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads images `(n, height, width, 1)` and labels `(n,)` from a pair of gzipped idx files."""
    images = _read_idx(folder / f"{stem}-images-idx3-ubyte.gz", 3)
    labels = _read_idx(folder / f"{stem}-labels-idx1-ubyte.gz", 1)
    if len(images) != len(labels):
        raise ValueError(f"{folder} has {len(images)} {stem} images but {len(labels)} labels.")
    return images[..., np.newaxis], labels


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Reads a gzipped idx file of unsigned bytes.

    Such a file contains four bytes of magic (0, 0, 8 for unsigned bytes, the number of
    dimensions), each dimension as a big-endian 32-bit integer, then the values. The format is
    described at the end of LeCun's MNIST page, http://yann.lecun.com/exdb/mnist.
    """
    magic = bytes([0, 0, 8, dimensions])
    with gzip.open(path) as file:
        try:
            content = file.read()
            if (start := content[:4]) != magic:
                raise ValueError(f"it starts with {start.hex() or 'nothing'}, not {magic.hex()}")
            shape = np.frombuffer(content, ">u4", dimensions, offset=4)
            values = np.frombuffer(content, "uint8", offset=4 + 4 * dimensions)
            return values.reshape(shape).copy()  # The bytes are read-only; the copy is writable.
        except (OSError, EOFError, ValueError, zlib.error) as error:
            message = f"{path} is truncated or damaged ({error}); download it again."
            raise ValueError(message) from error
