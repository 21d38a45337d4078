"""Pictures for people: grids of samples, and the curves of a training."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_gan.files import replacing

GAP = 2  # Pixels between the images of a grid.
COLORS = ("#0072b2", "#d55e00", "#666666")  # Told apart by the colour-blind too.
CURVES = {
    "loss": {"d_loss": "discriminator", "g_loss": "generator", "penalty": "penalty"},
    "mean logit": {"d_real": "of real images", "d_fake": "of generated images"},
}


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
        raise ValueError(f"A grid takes one or more images (n, h, w, c), not {images.shape}.")
    if images.dtype != "uint8":
        raise TypeError(f"A grid takes uint8 images in 0…255, not {images.dtype}.")
    n, height, width, channels = images.shape
    if channels not in (1, 3, 4):
        warnings.warn(f"Of the {channels} channels only the first is shown, in grey.", stacklevel=2)
        return image_grid(images[..., :1], columns)
    # Square in pixels rather than in images, which matters for long ones.
    columns = columns or min(n, max(1, round((n * (height + GAP) / (width + GAP)) ** 0.5)))
    # White: the gaps below and to the right of each image, and the empty places of the last row.
    cells = np.pad(images, [(0, -n % columns), (0, GAP), (0, GAP), (0, 0)], constant_values=255)
    cells = cells.reshape(-1, columns, *cells.shape[1:]).swapaxes(1, 2)
    grid = cells.reshape(-1, columns * (width + GAP), channels)[:-GAP, :-GAP]
    return grid[..., 0] if channels == 1 else grid


def save_image(path: str | Path, image: np.ndarray) -> None:
    """Writes a picture, as `image_grid` makes it, in the format that the path's ending names."""
    with replacing(path) as part:
        Image.fromarray(image).save(part)


def save_curves(path: str | Path, rows: Sequence[dict[str, float]]) -> None:
    """Draws losses, mean logits and scores over the epochs.

    Args:
        path: Of the picture to write.
        rows: One dict per epoch: `epoch`, and any of `d_loss`, `g_loss`, `penalty`, `d_real`,
            `d_fake` and distances (`val_…distance`).
    """
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's, leaves the user's windows alone.
    named = (name for row in rows for name in row if "distance" in name)
    scores = {name: name.removeprefix("val_") for name in named}
    panels = CURVES | ({"score": scores} if scores else {})
    figure = Figure(figsize=(7, 2.5 * len(panels)), dpi=120, layout="constrained")
    parts = zip(figure.subplots(len(panels), sharex=True), panels.items(), strict=True)
    for axes, (title, curves) in parts:
        for (name, label), color in zip(curves.items(), COLORS, strict=False):
            if points := [(row["epoch"], row[name]) for row in rows if name in row]:
                axes.plot(*zip(*points, strict=True), ".-", color=color, label=label)
                axes.legend()
        axes.set_ylabel(title)
        axes.grid(alpha=0.4)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    with replacing(path) as part:
        figure.savefig(part)
