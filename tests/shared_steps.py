"""The steps of the zoo's variants on one device or on several, with the same data and noise.

For `on_devices.py` and `on_ranks.py`, which say how a device gets its part of a whole batch.
"""

import contextlib

import keras
import numpy as np
from conftest import conditions_of, fit
from keras import ops

from keras_gan import engine, list_models, presets

BATCH = 8


def noise(distribution, part):
    """Noise whose n-th draw is row n of a table, of which each device takes its part."""
    tables = {}

    def draw(shape, seed):
        rest = tuple(shape[1:])
        if rest not in tables:
            random = np.random.default_rng(len(rest))
            tables[rest] = getattr(random, distribution)((256, BATCH, *rest), dtype="float32")
        call = ops.cast(seed.state[1], "int32") % 256
        seed.state.assign(seed.state + ops.cast([0, 1], seed.state.dtype))
        return part(ops.take(ops.convert_to_tensor(tables[rest]), call, axis=0))

    return draw


def first_steps(variant, part, ordered=lambda x, steps: x, scope=contextlib.nullcontext):
    """Returns the losses of 20 steps as the recipe has them, and the gradients of a first step.

    Args:
        variant: The name of a recipe.
        part: `x -> x`, what this device gets of a whole batch of noise.
        ordered: `(x, updates) -> x`. Puts samples into the order in which each of a step's updates
            sees on all devices what it sees on one.
        scope: Returns what makes a model on the devices.

    Returns:
        The losses by name, and the gradients `(n,)` of the discriminator and of the generator.
    """
    import parity_run  # It hides the other frameworks from the process.

    presets.recipes._RECIPES.update({name: parity_run.narrow(name) for name in list_models()})
    engine.normal, engine.uniform = noise("standard_normal", part), noise("random", part)

    def fitted(gan, epochs):
        size = BATCH * gan.discriminator_steps
        images = np.random.default_rng(2).integers(0, 256, (size, *parity_run.SHAPE), dtype="uint8")
        steps, y = gan.discriminator_steps, conditions_of(gan, size)
        y = None if y is None else ordered(y, steps)
        return fit(gan, ordered(images, steps), size, y=y, epochs=epochs)

    def gradient(side):
        """The change of the weights in a step of SGD, the other network at rest."""
        rates = {"generator": 0.0, "discriminator": 0.0} | {side: 1.0}
        with scope():
            gan = parity_run.start(variant)
            gan.discriminator_steps = 1
            gan.compile(*(keras.optimizers.SGD(rate) for rate in rates.values()))
        before = weights(getattr(gan, side))
        fitted(gan, 1)
        return before - weights(getattr(gan, side))

    with scope():
        gan = parity_run.start(variant)
    for optimizer in (gan.optimizer.discriminator, gan.optimizer.generator):
        optimizer.epsilon = 1e-3  # With less, Adam makes steps of the rounding of zeros.
    losses = fitted(gan, 20)
    return losses, [gradient(side) for side in ("discriminator", "generator")]


def weights(network):
    """Returns the trainable weights of a network, `(n,)`."""
    values = [ops.convert_to_numpy(variable.value) for variable in network.trainable_variables]
    return np.concatenate([np.ravel(value) for value in values])


def assert_same_steps(folder, variant, count):
    """What several devices have written into a folder is what one has."""
    one, several = (np.load(folder / f"{variant}-{n}.npz") for n in (1, count))
    for name in one:
        if name in ("discriminator", "generator"):
            error = np.linalg.norm(several[name] - one[name]) / np.linalg.norm(one[name])
            assert error < 1e-5, (variant, name, error)
        else:
            assert len(one[name]) == 20 and np.ptp(one[name]) > 1e-3
            # R1 and R2 are of slopes, which jump where a unit turns on: rounding grows with them.
            steps = slice(10 if variant == "r3gan" else 20)
            np.testing.assert_allclose(
                several[name][steps], one[name][steps], rtol=1e-2, atol=1e-3,
                err_msg=f"{variant}: {name}",
            )  # fmt: skip
