"""Named image sets, and a folder of the user's own images, ready for `fit`.

Everything comes as `uint8` images of shape `(n, height, width, channels)`, 0…255, which
`GAN.fit` scales on the device. Nothing here needs TensorFlow.
"""

import glob
import gzip
import hashlib
import io
import os
import warnings
import zlib
from pathlib import Path

import keras
import numpy as np

from keras_gan.errors import closest

_NAMES = ("cifar10", "fashion_mnist", "fashion_mnist_10k", "mnist", "noto_emoji")
_BUNDLED = Path(__file__).with_name("data")
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_EMOJI = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_SPLIT_STEMS = {"train": "train", "test": "t10k"}
# Pillow's own list also has PDF, EPS, HDF5 and films, which nobody means by "my images".
_IMAGE_SUFFIXES = ".avif .bmp .gif .jfif .jp2 .jpeg .jpg .pgm .png .ppm .tif .tiff .webp"


def list_datasets() -> list[str]:
    """The names that `load` and `open_images` know, sorted."""
    return list(_NAMES)


def load(name: str, split="train", labels=False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Loads a named set of images into memory.

    - `"fashion_mnist"`: 60,000 + 10,000 images, 28×28×1. MIT licence, Zalando SE
      (arXiv:1708.07747). Read from Debian's package `dataset-fashion-mnist` where that is
      installed, otherwise through `keras.datasets`.
    - `"fashion_mnist_10k"`: its 10,000 test images, bundled with the library, for work without a
      network. Both splits are the same images.
    - `"mnist"`: 60,000 + 10,000 images, 28×28×1. CC BY-SA 3.0, LeCun and Cortes. Through
      `keras.datasets`.
    - `"cifar10"`: 50,000 + 10,000 images, 32×32×3. Krizhevsky 2009; its authors state no
      licence. Through `keras.datasets`.
    - `"noto_emoji"`: the 3,926 bitmaps of Debian's package `fonts-noto-color-emoji`, 64×64×3, on
      white. OFL 1.1, Google. Every tenth is a test image; as emoji come in skin tones, most have
      near copies in both splits. They have no classes: all labels are 0.

    `keras.datasets` takes its cache, `~/.keras/datasets`, and otherwise downloads. Without a
    network, put there `mnist.npz`, `fashion-mnist/*-ubyte.gz` (four files) or
    `cifar-10-batches-py-target_archive` (its name for `cifar-10-python.tar.gz`).

    Args:
        name: One of `list_datasets()`.
        split: `"train"` or `"test"`.
        labels: Whether to return the class of each image too.

    Returns:
        `uint8` images `(n, height, width, channels)`, 0…255; with `labels=True` the pair of these
        and `uint8` labels `(n,)`, 0…9.

    Raises:
        ValueError: an unknown name or split, or a damaged file.
        OSError: the set is not on this machine and could not be downloaded.

    Example:

    >>> load("fashion_mnist_10k").shape
    (10000, 28, 28, 1)
    """
    if name not in _NAMES:
        raise ValueError(f"No data set is called {closest(name, _NAMES)}")
    if split not in _SPLIT_STEMS:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}.")
    stem = _SPLIT_STEMS[split]
    if name == "fashion_mnist_10k":
        images, classes = _read_idx_pair(_BUNDLED, name)
    elif name == "fashion_mnist" and (_DEBIAN / f"{stem}-images-idx3-ubyte.gz").exists():
        images, classes = _read_idx_pair(_DEBIAN, stem)
    elif name == "noto_emoji":
        images = _read_emoji(_EMOJI, split)
        classes = np.zeros(len(images), "uint8")
    else:
        images, classes = _load_from_keras(name, split)
    return (images, classes) if labels else images


def open_images(
    name_or_folder: str | Path, image_size=None, channels=None, batch_size=64, seed=0, split="train"
) -> "np.ndarray | ImageFolder":
    """Opens training images by the name of a set or the path of a folder.

    A name wins over a folder of the same name; write `./mnist`, or give a `Path`, for the folder.

    Args:
        name_or_folder: One of `list_datasets()`, or a folder of images.
        image_size: Side, or `(height, width)`. Images of another size are centre-cropped and
            resized. Default: a named set's own size; 64 for a folder.
        channels: 1 (grey) or 3 (RGB). Default: a named set's own; 3 for a folder.
        batch_size: Images in a batch of a folder; an array is batched by `fit`.
        seed: Seed of a folder's order; an array is shuffled by `fit`.
        split: `"train"` or `"test"` of a named set. Ignored for a folder, which has no splits.

    Returns:
        For a name, a `uint8` array `(n, height, width, channels)`. For a folder, an
        `ImageFolder`. Both go straight to `fit`.

    Raises:
        ValueError: neither a known name nor a folder, a folder without one good image, an unknown
            split of a named set, or a size or number of channels out of range.
        OSError: a named set could not be downloaded.
    """
    if name_or_folder in _NAMES:
        images, _ = load(str(name_or_folder), split, labels=True)
        size = images.shape[1:3] if image_size is None else image_size
        shape = _image_shape(size, images.shape[3] if channels is None else channels)
        return _reshape(images, shape)
    folder = os.path.expanduser(name_or_folder)
    if not os.path.exists(folder):
        known = closest(folder, _NAMES)
        raise ValueError(f"There is neither a folder nor a data set called {known}")
    size = 64 if image_size is None else image_size
    return ImageFolder(folder, size, 3 if channels is None else channels, batch_size, seed=seed)


class ImageFolder(keras.utils.PyDataset):
    """Batches of the images in a folder and its subfolders, read as they are needed.

    Takes JPEG, PNG, WebP, AVIF, GIF (first frame), BMP, TIFF, JPEG 2000 and PPM of any size and
    mode. Each image is turned upright by its EXIF orientation, put on white where it is
    transparent, cropped around its centre to the target's aspect ratio and resized with an
    antialiasing filter. Hidden files and folders, and files with other endings, are left alone.

    A file that does not decode, truncated ones included, is named in one warning (one from each
    process, with `use_multiprocessing`) and skipped.

    Args:
        folder: The folder, a `str` or a `Path`. Links in it are followed.
        image_size: Side, or `(height, width)`, of the images to deliver.
        channels: 1 (grey) or 3 (RGB).
        batch_size: Images in a batch. The last one of an epoch may be smaller.
        shuffle: Whether to deliver the images in a new order each epoch.
        seed: The orders follow from it, and are the same on every run.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`. Several worker threads help: Pillow decodes in parallel.

    Attributes:
        image_shape: `(height, width, channels)`.
        num_images: Images in an epoch.

    `dataset[i]` is batch `i`: a `uint8` array `(batch, height, width, channels)`, 0…255.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the folder is a file or has not one good image, or an argument is out of range.

    Example:

    >>> images = ImageFolder("photos", image_size=64, workers=4)  # doctest: +SKIP
    >>> gan.fit(images, epochs=5)  # doctest: +SKIP
    """

    def __init__(
        self, folder, image_size=64, channels=3, batch_size=64, shuffle=True, seed=0, **kwargs
    ):
        super().__init__(**kwargs)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        self.folder = os.path.expanduser(folder)
        self.image_shape = _image_shape(image_size, channels)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        # Decoding every file here would cost as much as an epoch, an hour for some folders. So
        # only headers are read, which finds what is no image at all, and files are decoded up to
        # the first good one. What turns out damaged later is replaced as it is met: the number of
        # batches never changes under `fit`.
        self._paths = [path for path in _image_files(self.folder) if _has_image_header(path)]
        self.num_images = len(self._paths)
        self._damaged: set[int] = set()
        self._start_epoch(0)
        self._read(0)  # Fails where not one image is good.

    def __len__(self) -> int:
        return -(-self.num_images // self.batch_size)

    def __getitem__(self, index: int) -> np.ndarray:
        start = range(len(self))[index] * self.batch_size
        numbers = self._order[start : start + self.batch_size]
        return np.stack([self._read(int(number)) for number in numbers])

    def on_epoch_end(self) -> None:
        self._start_epoch(self._epoch + 1)

    @property
    def fingerprint(self) -> str:
        """A hash of the files' names and sizes in bytes."""
        facts = [(os.path.relpath(p, self.folder), os.path.getsize(p)) for p in self._paths]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def _start_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.arange(self.num_images)
        if self.shuffle:
            # From (seed, epoch) and not from a running generator, so that worker processes, which
            # hold copies of this object, agree on the order.
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self._order)

    def _read(self, number: int) -> np.ndarray:
        """The image, or one drawn at random in place of a file that does not decode."""
        # At random, because the next file would be seen far too often after a run of damaged ones.
        # The generator is the file's own, so threads in any order get the same.
        draw = np.random.default_rng([self.seed, self._epoch * self.shuffle, number])
        while len(self._damaged) < self.num_images:
            if number not in self._damaged:
                try:
                    return _read_image(self._paths[number], self.image_shape)
                except Exception as error:  # A damaged file makes Pillow raise nearly anything.
                    self._damaged.add(number)
                    _warn_skipped(self._paths[number], error)
            number = int(draw.integers(self.num_images))
        raise ValueError(
            f"The folder {self.folder!r} has no image that can be read, of {_IMAGE_SUFFIXES}."
        )


def _image_files(folder: str) -> list[str]:
    """Paths of the images under a folder, in an order that does not depend on the disk."""
    if not os.path.exists(folder):
        raise FileNotFoundError(f"The folder of images {folder!r} does not exist.")
    if not os.path.isdir(folder):
        raise ValueError(f"{folder!r} is a file; give the folder that holds the images.")
    suffixes = tuple(_IMAGE_SUFFIXES.split())
    # This follows links and leaves out what is hidden.
    names = glob.iglob("**/*", root_dir=folder, recursive=True)
    return sorted(os.path.join(folder, name) for name in names if name.lower().endswith(suffixes))


def _has_image_header(path: str) -> bool:
    from PIL import Image

    try:
        with Image.open(path):
            return True
    except Exception as error:  # A damaged file makes Pillow raise nearly anything.
        _warn_skipped(path, error)
        return False


def _warn_skipped(path: str, error: Exception) -> None:
    warnings.warn(f"{path} is skipped: it cannot be read as an image ({error}).", stacklevel=3)


def _read_image(path: str, shape: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, six times faster for a photo. Its
        # last row and column are then rounded up: at four times the target or more, that shifts
        # nothing by over a quarter of a pixel.
        side = 4 * max(shape[:2])
        image.draft(None, (side, side))
        return _fit(ImageOps.exif_transpose(image), shape)


def _fit(image, shape: tuple[int, int, int]) -> np.ndarray:
    """A Pillow image of any mode → `uint8 (height, width, channels)`, centre-cropped, resized."""
    from PIL import Image, ImageOps

    height, width, channels = shape
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's `convert` would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257 + 0.5).astype("uint8"))
    elif image.mode == "F":
        raise ValueError("its pixels are floats, whose range is not known; save it with 8 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("L" if channels == 1 else "RGB")
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)).reshape(shape)


def _reshape(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """`uint8 (n, H, W, C)` images of 1 or 3 channels → `uint8 (n, *shape)`."""
    from PIL import Image

    if images.shape[1:] == shape:
        return images
    # Pillow knows a grey image by its missing channel axis.
    pixels = images[..., 0] if images.shape[-1] == 1 else images
    return np.stack([_fit(Image.fromarray(image), shape) for image in pixels])


def _image_shape(image_size: int | tuple[int, ...], channels: int) -> tuple[int, int, int]:
    """`(height, width, channels)`, checked."""
    size = tuple(image_size) if np.iterable(image_size) else (image_size, image_size)
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"image_size must be a side ≥ 1 or (height, width), not {image_size!r}.")
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), not {channels!r}.")
    return (*size, channels)


def _load_from_keras(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `(n, height, width, channels)` and labels `(n,)` of a named set, both `uint8`."""
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a plain Exception for a failed download.
        debian = "install the Debian package dataset-fashion-mnist, "
        raise OSError(
            f"The data set {name!r} could not be loaded through keras.datasets ({error}): "
            f"{debian if name == 'fashion_mnist' else ''}put it into Keras' cache "
            "~/.keras/datasets (see load), or use 'fashion_mnist_10k', which needs no download."
        ) from error
    images, labels = train if split == "train" else test
    if images.ndim == 3:
        images = images[..., np.newaxis]
    elif keras.config.image_data_format() == "channels_first":
        images = np.moveaxis(images, 1, -1)
    return images, labels.reshape(-1)


def _read_emoji(path: Path, split: str) -> np.ndarray:
    """The colour bitmaps of a font's CBDT table, `uint8 (n, 64, 64, 3)`."""
    from fontTools.ttLib import TTFont
    from PIL import Image, ImageOps

    if not path.exists():
        raise OSError(f"noto_emoji needs the font {path}: apt install fonts-noto-color-emoji.")
    with TTFont(path, lazy=True) as font:
        bitmaps = [glyph.imageData for glyph in font["CBDT"].strikeData[0].values()]
    if split == "test":
        bitmaps = bitmaps[::10]
    else:
        del bitmaps[::10]
    images = (Image.open(io.BytesIO(bitmap)).convert("RGBA") for bitmap in bitmaps)
    squares = (ImageOps.pad(image, (max(image.size),) * 2, color="#0000") for image in images)
    return np.stack([_fit(square, (64, 64, 3)) for square in squares])


def _read_idx_pair(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `(n, height, width, 1)` and labels `(n,)` of a pair of gzipped idx files."""
    images = _read_idx(folder / f"{stem}-images-idx3-ubyte.gz", 3)
    labels = _read_idx(folder / f"{stem}-labels-idx1-ubyte.gz", 1)
    if len(images) != len(labels):
        raise ValueError(f"{folder} has {len(images)} {stem} images but {len(labels)} labels.")
    return images[..., np.newaxis], labels


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """A gzipped idx file of unsigned bytes (the format is told at the end of LeCun's MNIST page).

    Four bytes of magic (0, 0, 8 for unsigned bytes, the number of dimensions), each dimension as
    a big-endian 32-bit integer, then the values.
    """
    magic = bytes([0, 0, 8, dimensions])
    with gzip.open(path) as file:
        try:
            content = file.read()
            if (start := content[:4]) != magic:
                raise ValueError(f"it starts with {start.hex() or 'nothing'}, not {magic.hex()}")
            shape = np.frombuffer(content, ">u4", dimensions, offset=4)
            values = np.frombuffer(content, "uint8", offset=4 + 4 * dimensions)
            return values.reshape(shape).copy()  # Writable, as the bytes are not.
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise ValueError(f"{path} is cut short or damaged ({error}); get it anew.") from error
