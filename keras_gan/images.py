"""Images for people to look at: grids of samples, and curves of a training."""

import itertools
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_gan.datasets.resizing import MAX_PIXELS
from keras_gan.files import replacing

ANIMATED = (".webp", ".gif", ".png")
GAP = 2  # Pixels between the images of a grid.
# Okabe and Ito's colours, which colour-blind people can distinguish, and a grey.
COLORS = ("#0072b2", "#d55e00", "#666666", "#009e73", "#cc79a7", "#e69f00")
LOSSES = {"d_loss": "discriminator", "g_loss": "generator"}
LOGITS = {"d_real": "of real images", "d_fake": "of generated images"}
NOT_DRAWN = {"epoch", "seconds", "learning_rate"}


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Puts images side by side, row by row, with white gaps between them.

    Args:
        images: `uint8 (n, height, width, channels)`.
        columns: Images in a row. By default as many as make the grid nearly square.

    Returns:
        One `uint8` image: `(H, W)` for 1 channel, `(H, W, channels)` for 3 (RGB) and 4 (RGBA).
        For any other number of channels, a warning is given and the first one is shown in grey.

    Raises:
        ValueError: If `images` is not an array of one or more images, or the grid is too large.
        TypeError: If the images are not uint8.

    Example:

    >>> image_grid(np.zeros((4, 28, 28, 1), "uint8")).shape
    (58, 58)
    """
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"A grid takes one or more images (n, h, w, c), not {images.shape}.")
    if images.dtype != "uint8":
        raise TypeError(f"A grid takes uint8 images in 0…255, not {images.dtype}.")
    check_grid(images.shape)
    n, height, width, channels = images.shape
    if channels not in (1, 3, 4):
        warnings.warn(f"Of the {channels} channels only the first is shown, in grey.", stacklevel=2)
        return image_grid(images[..., :1], columns)
    # Nearly square in pixels, which is not the same as in images if these are long or wide.
    columns = columns or min(n, max(1, round((n * (height + GAP) / (width + GAP)) ** 0.5)))
    # White is below and to the right of each image, and in the empty places of the last row.
    cells = np.pad(images, [(0, -n % columns), (0, GAP), (0, GAP), (0, 0)], constant_values=255)
    cells = cells.reshape(-1, columns, *cells.shape[1:]).swapaxes(1, 2)
    grid = cells.reshape(-1, columns * (width + GAP), channels)[:-GAP, :-GAP]
    return grid[..., 0] if channels == 1 else grid


def check_grid(shape: tuple[int, ...]) -> None:
    """Raises ValueError if a grid of images `(n, height, width, channels)` is too large to look at.

    >>> check_grid((1_000_000, 28, 28, 1))
    Traceback (most recent call last):
    ValueError: A grid of 1,000,000 images of 28×28 has more than 67,108,864 pixels; make fewer \
images, or write them as .npy or to a folder.
    """
    n, height, width, _ = shape
    if n * height * width > MAX_PIXELS:
        raise ValueError(
            f"A grid of {n:,} images of {height}×{width} has more than {MAX_PIXELS:,} pixels; make "
            "fewer images, or write them as .npy or to a folder."
        )


def sample_grid(gan, num: int = 64, seed: int = 0) -> np.ndarray | None:
    """Returns a grid of what a model makes, or None if it makes no images of their own.

    Of a model conditioned on classes, a row for each class, with its name, and the same latents in
    each row; of one conditioned on images, a row for each of its examples: what it is given, what
    it makes of it, and the sample it came from. Of large images there are fewer.

    Args:
        gan: A `keras_gan.GAN`.
        num: Images in the grid; a row has at least 8 for classes.
        seed: Of the latents, as in `GAN.generate`.
    """
    condition = gan.condition
    if len(gan.sample_shape) != 3:
        return None
    if condition is None:
        return image_grid(gan.generate(min(num, _most(gan)), seed=seed))
    if condition.is_image:
        return None if gan.examples is None else _translations(gan, seed)
    if not hasattr(condition, "class_names"):
        return None  # Which vectors make sense is not known.
    count, columns = class_grid(gan, num)
    rows = [gan.generate(columns, condition=number, seed=seed) for number in range(count)]
    return _named(image_grid(np.concatenate(rows), columns), condition.class_names[:count])


def class_grid(gan, num: int) -> tuple[int, int]:
    """Returns the number of classes and of samples of each in `sample_grid(gan, num)`."""
    classes = gan.condition.count
    count = min(classes, _most(gan))
    return count, min(max(8, num // classes), max(1, _most(gan) // count))


def _most(gan) -> int:
    """Returns the most images of a model that a grid may have, at least one."""
    height, width, _ = gan.sample_shape
    return max(1, MAX_PIXELS // (height * width))


def _translations(gan, seed: int) -> np.ndarray:
    samples, condition = (part[: max(1, _most(gan) // 3)] for part in gan.examples)
    made = gan.generate(condition=condition, seed=seed)
    shape = made.shape[1:]
    given, real = gan.condition.values.pictures(condition), gan.values.pictures(samples)
    cells = [_of_shape(given, shape), made, _of_shape(real, shape)]
    return image_grid(np.stack(cells, axis=1).reshape(-1, *shape), columns=3)


def _of_shape(images: np.ndarray, shape: tuple) -> np.ndarray:
    """Returns images of a shape, with the nearest pixels."""
    enough = images.shape[-1] >= shape[2]
    images = images[..., : shape[2]] if enough else np.repeat(images[..., :1], shape[2], -1)
    rows, columns = (
        np.arange(shape[axis]) * images.shape[axis + 1] // shape[axis] for axis in (0, 1)
    )
    return images[:, rows][:, :, columns]


def _named(grid: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns a grid with a name to the left of each row, as large as the row's height allows."""
    height = (len(grid) + GAP) // len(names)
    font = ImageFont.load_default(min(12.0, max(6.0, 0.6 * height)))
    width = round(max(font.getlength(name) for name in names)) + 2 * GAP
    margin = Image.new("L", (width, len(grid)), 255)
    draw = ImageDraw.Draw(margin)
    for row, name in enumerate(names):
        draw.text((GAP, row * height + height / 2), name, fill=0, font=font, anchor="lm")
    column = np.asarray(margin)
    column = column if grid.ndim == 2 else np.repeat(column[..., None], grid.shape[2], -1)
    return np.concatenate([column, grid], axis=1)


def save_image(path: str | Path, image: np.ndarray) -> None:
    """Writes an image to a file, in the format that the path's ending names.

    Args:
        path: The file. If it exists, it is replaced once the image is complete.
        image: `uint8`, `(height, width)` (grey) or `(height, width, 3 or 4)` (RGB or RGBA), such
            as `image_grid` returns.

    Raises:
        ValueError: If the ending is not one of an image format.
    """
    with replacing(path) as part:
        Image.fromarray(image).save(part)


def save_animation(path: str | Path, frames: Iterable[np.ndarray], milliseconds: int = 80) -> None:
    """Writes images as an animation that repeats, in the format that the path's ending names.

    Args:
        path: A `.webp`, `.gif` or `.png` file. If it exists, it is replaced once it is complete.
        frames: As for `save_image`, all of one shape.
        milliseconds: How long each of them is shown.

    Raises:
        ValueError: For another ending.
    """
    if Path(path).suffix not in ANIMATED:
        raise ValueError(f"An animation is one of {', '.join(ANIMATED)}; got {path}.")
    first, *others = (Image.fromarray(frame) for frame in frames)
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": others,
        "duration": milliseconds,
        "loop": 0,
    }
    with replacing(path) as part:
        first.save(part, **options)


def save_curves(path: str | Path, rows: Sequence[dict[str, float]]) -> None:
    """Draws losses, mean logits and scores over the epochs.

    Args:
        path: The image file to write.
        rows: One dict per epoch: `epoch`, and any of `d_loss`, `g_loss`, `d_real`, `d_fake`,
            distances (names with `distance`) and the terms that were added to a loss (all other
            names but `seconds`, `learning_rate` and those that start with `val_`).
    """
    from matplotlib.figure import Figure

    panels = _panels(dict.fromkeys(name for row in rows for name in row))
    # Made without pyplot, the figure leaves the user's windows alone.
    figure = Figure(figsize=(7, 2.5 * len(panels)), dpi=120, layout="constrained")
    parts = zip(figure.subplots(len(panels), sharex=True), panels.items(), strict=True)
    for axes, (title, curves) in parts:
        for (name, label), color in zip(curves.items(), itertools.cycle(COLORS)):
            if points := [(row["epoch"], row[name]) for row in rows if name in row]:
                axes.plot(*zip(*points, strict=True), ".-", color=color, label=label)
                axes.legend()
        axes.set_ylabel(title)
        axes.grid(alpha=0.4)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    with replacing(path) as part:
        figure.savefig(part)


def _panels(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Returns the curves of each panel, by the panel's title: a label for each name.

    >>> _panels(["epoch", "d_loss", "gradient_penalty", "val_frechet_distance"])["loss"]
    {'d_loss': 'discriminator', 'g_loss': 'generator', 'gradient_penalty': 'gradient penalty'}
    """
    scores = {name: name.removeprefix("val_") for name in names if "distance" in name}
    known = NOT_DRAWN | LOSSES.keys() | LOGITS.keys() | scores.keys()
    others = (name for name in names if name not in known and not name.startswith("val_"))
    terms = {name: name.replace("_", " ") for name in others}
    panels = {"loss": LOSSES | terms, "mean logit": LOGITS}
    return panels | ({"score": scores} if scores else {})
