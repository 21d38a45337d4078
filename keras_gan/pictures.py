"""Pictures for people: grids of samples, their film through the epochs, the curves."""

import contextlib
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

GAP = 2  # Pixels between the images of a grid.
# A film of a long run stays small enough for a web page: frames and longer side.
MAX_FRAMES, MAX_FRAME_SIDE = 60, 512
COLORS = ("#0072b2", "#d55e00", "#666666")  # Told apart by the colour-blind too.


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Puts images side by side, row by row, with white gaps between them.

    Args:
        images: `uint8 (n, height, width, channels)`.
        columns: Images in a row. By default as many as make the grid nearly square.

    Returns:
        One `uint8` picture: `(H, W)` for 1 channel, `(H, W, channels)` for 3 (RGB) and 4 (RGBA).
        Of any other number of channels the first is shown in grey, with a warning.

    Raises:
        ValueError: For anything but one or more images.
        TypeError: For images that are not uint8.

    Example:

    >>> image_grid(np.zeros((4, 28, 28, 1), "uint8")).shape
    (58, 58)
    """
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            "A grid takes one or more images (n, height, width, channels); "
            f"got an array of shape {images.shape}."
        )
    if images.dtype != "uint8":
        raise TypeError(f"A grid takes uint8 images in 0…255; got {images.dtype}.")
    if images.shape[3] not in (1, 3, 4):
        channels = images.shape[3]
        warnings.warn(f"Of the {channels} channels only the first is shown, in grey.", stacklevel=2)
        images = images[..., :1]
    n, height, width, channels = images.shape
    if columns is None:
        # Square in pixels rather than in images, which matters for long ones.
        columns = min(n, max(1, round(math.sqrt(n * (height + GAP) / (width + GAP)))))
    rows = -(-n // columns)
    cells = np.full((rows * columns, height + GAP, width + GAP, channels), 255, "uint8")
    cells[:n, :height, :width] = images
    cells = cells.reshape(rows, columns, height + GAP, width + GAP, channels).swapaxes(1, 2)
    grid = cells.reshape(rows * (height + GAP), columns * (width + GAP), channels)
    grid = grid[:-GAP, :-GAP]
    return grid[..., 0] if channels == 1 else grid


def save_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes a picture, as `image_grid` makes it, in the format that the path's ending names."""
    from PIL import Image

    with replacing(path) as part:
        Image.fromarray(image).save(part)


def save_animation(path: str | os.PathLike, pictures: Sequence[str | os.PathLike]) -> None:
    """Writes a GIF that shows picture files one after the other and rests on the last.

    Of more than 60, evenly spread ones are taken, with the first and the last. Pictures of more
    than 512 pixels are scaled down.
    """
    from PIL import Image

    chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), MAX_FRAMES)).round()
    frames = []
    for i in chosen.astype(int):
        with Image.open(pictures[i]) as picture:
            frame = picture.convert("L" if picture.mode == "L" else "RGB")
        frame.thumbnail((MAX_FRAME_SIDE, MAX_FRAME_SIDE))
        frames.append(frame if frame.mode == "L" else frame.quantize())
    pauses = [150] * (len(frames) - 1) + [2000]  # Milliseconds.
    with replacing(path) as part:
        frames[0].save(part, save_all=True, append_images=frames[1:], duration=pauses, loop=0)


def save_curves(path: str | os.PathLike, rows: Sequence[dict[str, float]]) -> None:
    """Draws losses and mean logits over the epochs.

    Args:
        path: Of the picture to write.
        rows: One dict per epoch: `epoch`, and any of `d_loss`, `g_loss`, `penalty`, `d_real`,
            `d_fake`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # A figure of its own, not pyplot's, leaves the user's settings and windows alone. It brings
    # its own background, since a page around it may be light or dark.
    figure = Figure(figsize=(7, 5), dpi=120, facecolor="white")
    figure.subplots_adjust(left=0.11, right=0.97, bottom=0.1, top=0.97, hspace=0.1)
    panels = {
        "loss": {"d_loss": "discriminator", "g_loss": "generator", "penalty": "penalty"},
        "mean logit": {"d_real": "of real images", "d_fake": "of generated images"},
    }
    epochs = [row["epoch"] for row in rows]
    for axes, (title, curves) in zip(figure.subplots(2, sharex=True), panels.items(), strict=True):
        for (name, label), color in zip(curves.items(), COLORS, strict=False):
            if name in rows[-1]:
                values = [row[name] for row in rows]
                marker = "o" if len(rows) < 40 else None
                axes.plot(epochs, values, color=color, label=label, marker=marker, markersize=3)
        axes.set_ylabel(title)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels()
    with replacing(path) as part:
        figure.savefig(part)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a path beside `path` to write to, which takes its place once written whole."""
    path = Path(path)
    part = path.with_name(f".part-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
