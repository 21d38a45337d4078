"""Makes `docs/pictures/samples.png`, the picture at the top: what bundled presets draw, not picked.

Run from the repository root: python docs/top.py.
"""

from pathlib import Path

import numpy as np

import keras_gan
from keras_gan.images import image_grid, save_image

ROWS, SPACE = 8, 16  # Rows of 28×28 images, and pixels between two presets.


def grids():
    gan = keras_gan.from_preset("dcgan_fashion_mnist")
    yield image_grid(gan.generate(6 * ROWS, seed=0), columns=6)
    gan = keras_gan.from_preset("projection_fashion_mnist")
    # A column for each of six classes.
    wanted = np.tile([0, 1, 3, 5, 8, 9], ROWS)
    yield image_grid(gan.generate(condition=wanted, seed=0), columns=6)
    gan = keras_gan.from_preset("inpainting_fashion_mnist")
    samples, given = gan.examples
    made = gan.generate(condition=given, seed=0)
    holes = gan.condition.values.pictures(given)[..., :1]
    truth = gan.values.pictures(samples)
    cells = np.stack([holes, made, truth], axis=1).reshape(-1, 28, 28, 1)
    yield image_grid(cells[: 3 * ROWS], columns=3)


if __name__ == "__main__":
    parts = list(grids())
    white = np.full((len(parts[0]), SPACE), 255, "uint8")
    parts = [piece for part in parts for piece in (part, white)][:-1]
    save_image(Path("docs/pictures/samples.png"), np.concatenate(parts, axis=1))
