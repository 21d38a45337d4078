"""What one backend computes, for `test_parity.py` to compare: `train|load FOLDER VARIANT…`.

The other frameworks cannot be imported here, so that a file made on one machine is known to load on
another that has only its own backend.
"""

import dataclasses
import os
import sys
from functools import partial
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")
ME = os.environ["KERAS_BACKEND"]
# Nor scikit-learn, which would look into torch as soon as its name is known.
sys.modules |= {name: None for name in (*BACKENDS, "sklearn") if name != ME}
# XLA as users have it, not as `conftest` sets it: other rounding is what this is to show.
os.environ.setdefault("XLA_FLAGS", "")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from conftest import conditions_of, fit, fixed, generated, needed, numpy, values  # noqa: E402

import keras_gan  # noqa: E402
from keras_gan import engine, presets  # noqa: E402

SHAPE = (20, 18, 2)
SEED, IMAGES = 7, 128  # Whole batches of 64: one compilation.


# Narrow networks: the arithmetic is the same, and three frameworks compile at once.
NARROW = {"vanilla": {"units": (32, 48)}}


def narrow(variant):
    recipe = presets.get_recipe(variant)
    width = NARROW.get(variant, {"filters": 8})
    sides = {
        side: partial(getattr(recipe, side), **width) for side in ("generator", "discriminator")
    }
    return dataclasses.replace(recipe, **sides)


def start(variant, ema_momentum=None):
    """The variant with weights that depend on nothing but their shapes, and no dropout."""
    gan = keras_gan.create_model(
        variant, SHAPE, seed=1, ema_momentum=ema_momentum, **needed(variant)
    )
    random = np.random.default_rng(0)
    for weight in gan.generator.weights + gan.discriminator.weights:
        value = random.standard_normal(weight.shape)
        if len(weight.shape) > 1:
            value *= np.sqrt(2 / np.prod(weight.shape[:-1]))
        else:
            value = 0.1 * value + (weight.name in ("gamma", "moving_variance"))
        weight.assign(value.astype("float32"))
    if ema_momentum is not None:
        gan.ema_generator.set_weights(gan.generator.get_weights())
    for layer in gan.generator.layers + gan.discriminator.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    gan.noise.state.assign(np.array([0, 0]))
    return gan


def fitted(gan, **options):
    """The history of a fit on one batch."""
    size = 8 * gan.discriminator_steps
    images = np.random.default_rng(2).integers(0, 256, (size, *SHAPE), dtype="uint8")
    return fit(gan, images, y=conditions_of(gan, size), **options)


def indexed(prefix, arrays):
    return {f"{prefix}/{i:03}": array for i, array in enumerate(arrays)}


def train(folder, variants):
    for variant in variants:
        results = {}
        gan = start(variant, ema_momentum=0.9)
        results["images"] = generated(gan, IMAGES, SEED)
        for name, losses in fitted(gan, epochs=5).items():
            results[f"adam/{name}"] = losses
        gan.save(folder / f"{variant}-{ME}.keras")
        gan.save_to_preset(folder / f"{variant}-{ME}")
        results["saved images"] = generated(gan, IMAGES, SEED)
        results |= indexed("optimizer", values(gan.optimizer))
        gan = start(variant)
        before = gan.get_weights()
        gan.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))
        fitted(gan, epochs=5)
        results |= indexed("before", before) | indexed("sgd", gan.get_weights())
        np.savez(folder / f"{variant}-{ME}.npz", **results)


def load(folder, variants):
    """Loads what the other backends saved, and goes on with training."""
    for variant in variants:
        for other in set(BACKENDS) - {ME}:
            gan = keras.saving.load_model(folder / f"{variant}-{other}.keras")
            results = indexed("optimizer", values(gan.optimizer))
            results["saved images"] = generated(gan, IMAGES, SEED)
            preset = keras_gan.from_preset(folder / f"{variant}-{other}")
            results["preset images"] = generated(preset, IMAGES, SEED)
            if variant == "wgan_gp":  # Compiling one variant's step is enough.
                fitted(gan)
            results["iterations"] = numpy(gan.optimizer.iterations)
            np.savez(folder / f"{variant}-{other}-on-{ME}.npz", **results)


if __name__ == "__main__":
    presets.recipes._RECIPES.update({name: narrow(name) for name in keras_gan.list_models()})
    engine.normal, engine.uniform = fixed("standard_normal"), fixed("random")
    {"train": train, "load": load}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:])
