"""Draws the pictures of `zoo.tools.quality`: sample grids, a walk through latents, score curves."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from keras_gan.images import image_grid, save_image

TICKS = [0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300]
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#666666")
MARKERS = "os^Dx"


def side_by_side(path, grids, gap=24):
    """Writes grids of equal height next to each other, with white gaps between them."""
    white = np.full((len(grids[0]), gap), 255, "uint8")
    parts = [part for grid in grids for part in (grid, white)][:-1]
    save_image(path, np.concatenate(parts, 1))


def nearest_pairs(path, generated, nearest):
    """Writes a row of generated images above a row of their nearest training images."""
    pairs = np.stack([generated, nearest]).reshape(-1, *generated.shape[1:])
    save_image(path, image_grid(pairs, columns=len(generated)))


def walk(path, gan, stops=6, frames=12, images=32):
    """Writes an animation along great circles: Gaussian latents lie close to a sphere."""
    ends = np.random.default_rng(0).standard_normal((stops, images, *gan.latent_shape))
    angles = np.linspace(0, np.pi / 2, frames, endpoint=False)
    grids = []
    for start, end in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        for angle in angles:
            latents = (np.cos(angle) * start + np.sin(angle) * end).astype("float32")
            samples = gan.predict(latents, verbose=0)
            pixels = np.clip(np.rint(samples * 127.5 + 127.5), 0, 255).astype("uint8")
            grids.append(Image.fromarray(image_grid(pixels, columns=8)))
    grids[0].save(path, save_all=True, append_images=grids[1:], duration=80, loop=0, quality=80)


def curves(path, runs, title):
    """Writes a plot of Fréchet distances against the number of real images seen.

    Args:
        path: The PNG.
        runs: By name, rows with `images` and `val_frechet_distance`. Rows that average several
            trainings also have `low` and `high`, which are drawn as a band.
        title: The plot's title.
    """
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for (name, rows), color, marker in zip(runs.items(), COLORS, MARKERS, strict=False):
        x, y = zip(*((row["images"], row["val_frechet_distance"]) for row in rows), strict=True)
        axes.plot(x, y, marker=marker, markersize=4, color=color, label=name)
        if "low" in rows[0]:
            low, high = zip(*((row["low"], row["high"]) for row in rows), strict=True)
            axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="real images seen", ylabel="Fréchet distance", yscale="log", title=title)
    limits = axes.get_ylim()
    axes.grid(alpha=0.4)
    axes.minorticks_off()
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.set_ylim(*limits)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path)
