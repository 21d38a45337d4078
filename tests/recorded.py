"""Records what training and the bundled presets compute, for `test_recorded.py` to compare with.

`python tests/recorded.py` trains each variant on the backend that KERAS_BACKEND names and replaces
that backend's lines in `data/recorded.json`. `python tests/recorded.py images` generates samples
from the bundled presets and writes `data/recorded_images.npz`. Record again only if a change of
the results is intended.

Noise, images and initial weights come from NumPy, so that all backends compute the same numbers
but for rounding.
"""

import json
import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np
from conftest import values
from keras import ops

import keras_gan
from keras_gan import engine, presets

NUMBERS = Path(__file__).parent / "data" / "recorded.json"
IMAGES = NUMBERS.with_name("recorded_images.npz")
VARIANTS = ("dcgan", "lsgan", "vanilla", "wgan_gp")
MODES = ("eager", "compiled")
NETWORKS = ("generator", "discriminator", "ema_generator")
SHAPE = (28, 28, 1)
STEPS = 10
BATCH = 8  # Images per discriminator update.


def tamed_optimizers(variant):
    """Returns the recipe's two optimizers with a larger ε, and for `wgan_gp` with lower rates.

    Adam with its usual ε divides tiny gradients by their own size, which turns rounding errors
    into whole steps: after ten of them, losses differed by 1% to 7% between backends. With these
    settings, d_loss and g_loss differ by at most 1e-4 between all backends, eager and compiled.
    """
    recipe = presets.get_recipe(variant)
    factor = 0.1 if variant == "wgan_gp" else 1.0
    return [
        type(optimizer).from_config(
            optimizer.get_config()
            | {"epsilon": 0.1, "learning_rate": factor * float(optimizer.learning_rate)}
        )
        for optimizer in (recipe.generator_optimizer(), recipe.discriminator_optimizer())
    ]


def given_noise(distribution, optimizers):
    """Returns a replacement of the engine's noise that draws row n of a NumPy table in update n.

    The optimizers' iterations give n: a compiled step reads these variables each time it runs.
    """
    tables = {}

    def draw(shape, seed=None):
        size, rest = shape[0], tuple(shape[1:])
        if rest not in tables:
            random = np.random.default_rng(len(rest))
            rows = (6 * STEPS, BATCH, *rest)  # At most 5 + 1 updates a step.
            tables[rest] = getattr(random, distribution)(rows, dtype="float32")
        update = sum(ops.cast(optimizer.iterations, "int32") for optimizer in optimizers)
        return ops.take(ops.convert_to_tensor(tables[rest]), update, axis=0)[:size]

    return draw


def set_initial_weights(gan):
    """Assigns weights that depend only on their order and shapes."""
    random = np.random.default_rng(0)
    for weight in gan.generator.weights + gan.discriminator.weights:
        value = random.standard_normal(weight.shape)
        if len(weight.shape) > 1:
            value *= np.sqrt(2 / np.prod(weight.shape[:-1]))
        else:
            value = 0.1 * value + (weight.name in ("gamma", "moving_variance"))
        weight.assign(value.astype("float32"))
    gan.ema_generator.set_weights(values(gan.generator.weights))


def all_weights(gan):
    return {name: values(getattr(gan, name).weights) for name in NETWORKS}


def compile_options(mode):
    if mode == "eager":
        return {"run_eagerly": True, "jit_compile": False}
    return {"jit_compile": keras.backend.backend() != "tensorflow"}  # There, a graph.


def train(variant, mode):
    """Trains a variant for ten steps, in float32, and summarizes the losses and weights.

    Args:
        variant: A name of `VARIANTS`.
        mode: `"eager"` or `"compiled"`.

    Returns:
        `d_loss`, `g_loss`, `d_real`, `d_fake` and, if there is one, `penalty`: a list of one number
        per step; and for each network a list of `sums` per variable.
    """
    gan = keras_gan.create_model(variant, SHAPE)
    set_initial_weights(gan)
    start = all_weights(gan)
    optimizers = tamed_optimizers(variant)
    gan.compile(*optimizers, **compile_options(mode))
    size = BATCH * gan.discriminator_steps
    images = np.random.default_rng(2).integers(0, 256, (STEPS, size, *SHAPE), dtype="uint8")
    normal, uniform = (given_noise(name, optimizers) for name in ("standard_normal", "random"))
    numbers = {}
    with mock.patch.multiple(engine, normal=normal, uniform=uniform):
        for batch in images:
            # The logs are means over an epoch: an epoch of one batch gives the step's own.
            history = gan.fit(batch, batch_size=size, shuffle=False, verbose=0).history
            for name, (value,) in history.items():
                name = {"gradient_penalty": "penalty"}.get(name, name)
                numbers.setdefault(name, []).append(float(value))
    for name, weights in all_weights(gan).items():
        numbers[name] = [sums(*pair) for pair in zip(weights, start[name], strict=True)]
    return numbers


def sums(weight, start):
    """Returns the sums of a variable's values, of their magnitudes and of their changes' ones."""
    weight, start = weight.astype("float64"), start.astype("float64")
    return [float(array.sum()) for array in (weight, abs(weight), abs(weight - start))]


def load_numbers():
    return json.loads(NUMBERS.read_text())


def record_numbers():
    """Writes one line for each variant and mode; those of other backends stay."""
    numbers = load_numbers() if NUMBERS.exists() else {}
    for variant in VARIANTS:
        for mode in MODES:
            entry = keras.tree.map_structure(lambda x: float(f"{x:.7g}"), train(variant, mode))
            numbers[f"{keras.backend.backend()}/{variant}/{mode}"] = entry
    lines = (f"{json.dumps(key)}: {json.dumps(numbers[key])}" for key in sorted(numbers))
    NUMBERS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def samples(preset):
    return keras_gan.from_preset(preset).generate(16, seed=0)


def record_images():
    np.savez_compressed(IMAGES, **{name: samples(name) for name in keras_gan.list_presets()})


if __name__ == "__main__":
    if sys.argv[1:] == ["images"]:
        record_images()
    else:
        record_numbers()
