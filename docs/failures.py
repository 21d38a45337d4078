"""Makes the pictures of `docs/diagnose.md`: trainings that fail on purpose, and one that does not.

Run from the repository root: python docs/failures.py. Takes some minutes on two CPU cores.
"""

from pathlib import Path

import keras
import matplotlib
import numpy as np
from keras import layers

import keras_gan
from keras_gan.images import image_grid

matplotlib.use("agg")
import matplotlib.pyplot as plt

PICTURES = Path(__file__).parent / "pictures"
SHAPE = (28, 28, 1)
EVERY = 10  # Steps between two points of a curve.
RECIPE = keras_gan.presets.get_recipe("dcgan")


def checkered_generator():
    """A generator whose kernels of 3 are no multiple of their stride of 2."""
    return keras.Sequential([
        keras.Input((100,)),
        layers.Dense(7 * 7 * 64, activation="relu"),
        layers.Reshape((7, 7, 64)),
        layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="tanh"),
    ])  # fmt: skip


# Name: generator, rates of generator and discriminator, steps.
FAILURES = {
    "healthy": (RECIPE.generator, (2e-4, 2e-4), 1500),
    "collapse": (RECIPE.generator, (5e-3, 2e-5), 400),
    "wins": (RECIPE.generator, (1e-6, 1e-3), 400),
    "diverged": (RECIPE.generator, (0.1, 0.1), 200),
    "checkerboard": (lambda shape: checkered_generator(), (2e-4, 2e-4), 400),
}


class Curves(keras.callbacks.Callback):
    """Keeps the mean losses of every few steps; logs are those of the epoch so far."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_end(self, batch, logs=None):
        count = batch + 1
        if count % EVERY == 0:
            total = count * np.array([logs["d_loss"], logs["g_loss"]])
            before = 0 if count == EVERY else self.total
            self.rows.append((total - before) / EVERY)
            self.total = total


def train(generator, rates, steps):
    keras.utils.set_random_seed(0)
    images = keras_gan.datasets.load("fashion_mnist_10k")
    gan = keras_gan.GAN(generator(SHAPE), RECIPE.discriminator(SHAPE), seed=0)
    gan.compile(*(keras.optimizers.Adam(rate, beta_1=0.5) for rate in rates))
    curves = Curves()
    gan.fit(
        images,
        batch_size=64,
        steps_per_epoch=50,
        epochs=steps // 50,
        verbose=0,
        callbacks=[curves],
    )
    return np.array(curves.rows), gan.generate(64, seed=0)


def draw(path, rows, images):
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), width_ratios=(1, 1.2))
    left.imshow(image_grid(images).squeeze(), cmap="gray", vmin=0, vmax=255)
    left.axis("off")
    steps = EVERY * (1 + np.arange(len(rows)))
    for column, name in enumerate(("d_loss", "g_loss")):
        right.plot(steps, rows[:, column], label=name)
    right.set_xlabel("step")
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, setting in FAILURES.items():
        draw(PICTURES / f"{name}.png", *train(*setting))
        print(name, flush=True)
