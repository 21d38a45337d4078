"""The hand-written loops compute what the library computes, so that comparing speeds is fair."""

import importlib

import keras
import numpy as np
import pytest

import keras_gan
from benchmarks.describe import describe
from keras_gan import engine
from keras_gan.presets import get_recipe

BACKEND = keras.backend.backend()
native = importlib.import_module(f"benchmarks.native_{BACKEND}")


def _constant_noise(shape):
    n = int(np.prod([int(s) for s in shape]))
    # Of numbers for which rounding switches no ReLU on any backend: one changes a loss by 1e-3.
    return np.sin(np.arange(1, n + 1) * 1.1).reshape([int(s) for s in shape]).astype("float32")


def _epsilon_as_in_keras(optimizer, *_):
    """Before a step of torch's Adam: it adds epsilon after the bias correction, Keras before."""
    [group] = optimizer.param_groups
    steps = 1 + max((int(state["step"]) for state in optimizer.state.values()), default=0)
    group["eps"] = 1e-4 / (1 - group["betas"][1] ** steps) ** 0.5


VARIANTS = [name for name in keras_gan.list_models() if not get_recipe(name).conditions]


# The others differ from these in their networks, or in a term.
QUICK = ("dcgan", "wgan_gp")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.full) for n in VARIANTS]
)
def test_same_losses(name, monkeypatch):
    keras.utils.set_random_seed(0)
    gan = keras_gan.create_model(name, (28, 28, 1))
    gan.optimizer.learning_rate = 2e-4  # At larger rates, rounding grows from step to step.
    for side in ("generator", "discriminator"):
        # Adam's first step is the gradient's sign, which rounding decides where it is near 0.
        getattr(gan.optimizer, side).epsilon = 1e-4
    for layer in gan.discriminator.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    device = {"device": keras.ops.zeros(()).device.type} if BACKEND == "torch" else {}
    loop = native.Loop(describe(gan), native.MODES[0], **device)
    if BACKEND == "torch":
        for optimizer in (loop.g_opt, loop.d_opt):
            optimizer.register_step_pre_hook(_epsilon_as_in_keras)
    for source in (engine, loop):
        noise = lambda shape, seed=None: keras.ops.convert_to_tensor(  # noqa: E731
            0.5 + 0.5 * _constant_noise(shape)
        )
        normal = lambda shape, seed=None: keras.ops.convert_to_tensor(_constant_noise(shape))  # noqa: E731
        monkeypatch.setattr(source, "uniform", noise)
        monkeypatch.setattr(source, "normal", normal)
    if BACKEND == "jax":
        loop.normal = lambda key, shape: keras.ops.convert_to_tensor(_constant_noise(shape))
        loop.uniform = lambda key, shape: keras.ops.convert_to_tensor(
            0.5 + 0.5 * _constant_noise(shape)
        )
    random = np.random.default_rng(0)
    for _ in range(3):
        images = random.integers(0, 256, (4 * gan.discriminator_steps, 28, 28, 1), dtype="uint8")
        ours = gan.train_on_batch(images, return_dict=True)
        given = native.turned(images) if BACKEND == "torch" else images
        theirs = loop.step(given)
        np.testing.assert_allclose(
            [float(ours["d_loss"]), float(ours["g_loss"])],
            [float(loss) for loss in theirs],
            rtol=5e-4,
            atol=1e-4,
        )
