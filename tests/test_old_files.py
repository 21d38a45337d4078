"""Files that an earlier version wrote still load, generate the same samples and train on.

In `data/`, version 0.1.0.dev0 wrote `preset_with_penalty` on JAX, with `penalty="gradient_penalty"`
in its config, and `gan_with_penalty/gan.keras` on torch, with `penalty=GradientPenalty(5.0)`.
`samples.npy` holds what they generated then, `next_step.json` the logs of one more step.
"""

import json
from unittest import mock

import keras
import numpy as np
import pytest
from conftest import ROOT, changed, fit, pictures, values
from recorded import given_noise

import keras_gan
from keras_gan import engine

DATA = ROOT / "tests" / "data"


def load_preset():
    return keras_gan.from_preset(DATA / "preset_with_penalty")


def load_model():
    return keras.saving.load_model(DATA / "gan_with_penalty" / "gan.keras")


# How to load it, the penalty's weight, and the generator's updates so far: a preset has no
# optimizers' state.
FILES = {"preset_with_penalty": (load_preset, 10.0, 0), "gan_with_penalty": (load_model, 5.0, 2)}


def next_step(gan):
    """Returns the logs of one step on given images with given noise."""
    optimizers = gan.optimizer.generator, gan.optimizer.discriminator
    normal, uniform = (given_noise(name, optimizers) for name in ("standard_normal", "random"))
    with mock.patch.multiple(engine, normal=normal, uniform=uniform):
        history = fit(gan, pictures(16, seed=1))
    return {name.replace("gradient_", ""): float(value) for name, (value,) in history.items()}


@pytest.mark.parametrize("name", FILES)
def test_old_file_loads_and_trains_on(name):
    load, weight, updates = FILES[name]
    gan = load()
    assert gan.discriminator_steps == 2
    assert int(gan.optimizer.iterations) == updates
    if hasattr(gan, "terms"):
        assert float(gan.terms["gradient_penalty"].weight) == weight
    expected = np.load(DATA / name / "samples.npy").astype(int)
    assert expected.std() > 10
    found = gan.generate(len(expected), seed=0)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), expected, rtol=0, atol=1)
    before = values(gan.generator.weights)
    logs = json.loads((DATA / name / "next_step.json").read_text())
    assert next_step(gan) == pytest.approx(logs, rel=1e-3, abs=1e-4)
    assert all(changed(before, values(gan.generator.weights)))
    assert int(gan.optimizer.iterations) == updates + 1
