"""Keras backends that cannot train still predict and generate, the same images as the others."""

import importlib.util
import textwrap

import keras
import numpy as np
import pytest
from conftest import fit, pictures, python

import keras_gan

pytestmark = pytest.mark.once
SHAPE = (16, 16, 1)
SCRIPT = """
    import sys
    import keras, numpy as np
    import keras_gan

    folder = sys.argv[1]
    gans = {
        "vanilla": keras.saving.load_model(f"{folder}/vanilla.keras"),
        "dcgan": keras_gan.from_preset(f"{folder}/dcgan"),
    }
    for name, gan in gans.items():
        latents = np.random.default_rng(0).standard_normal((5, *gan.latent_shape), dtype="float32")
        np.savez(
            f"{folder}/{name}.npz",
            predicted=gan.predict(latents, verbose=0),
            generated=gan.generate(70, seed=3),
        )
    try:
        gan.fit(np.zeros((4, *gan.sample_shape), "uint8"), verbose=0)
    except RuntimeError as error:
        print(error)
"""


def missing(backend):
    return backend != "numpy" and importlib.util.find_spec(backend) is None


def openvino_rounds():
    """Whether it computes in bfloat16 by itself, as it does on CPUs with AMX."""
    import openvino

    precision = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return precision == openvino.Type.bf16


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model file and a preset folder from the running backend, and the models."""
    folder, gans = tmp_path_factory.mktemp("saved"), {}
    for variant in ("vanilla", "dcgan"):
        gans[variant] = gan = keras_gan.create_model(variant, SHAPE, ema_momentum=0.5)
        fit(gan, pictures(8, SHAPE), batch_size=4)
    gans["vanilla"].save(folder / "vanilla.keras")
    gans["dcgan"].save_to_preset(folder / "dcgan")
    return folder, gans


@pytest.mark.parametrize("backend", ["numpy", "openvino"])
def test_predict_and_generate_work_and_fit_says_why_not(backend, saved):
    if missing(backend):
        pytest.skip(f"{backend} is not installed")
    folder, gans = saved
    said = python(backend, "-c", textwrap.dedent(SCRIPT), folder).strip().splitlines()
    [sentence] = [line for line in said if "backend" in line]
    assert backend in sentence and "KERAS_BACKEND" in sentence and "fit" in sentence
    assert len(said) == 1 or backend == "openvino"  # OpenVINO prints remarks of its own.
    for variant, gan in gans.items():
        random = np.random.default_rng(0)
        latents = random.standard_normal((5, *gan.latent_shape), dtype="float32")
        expected, generated = gan.predict(latents, verbose=0), gan.generate(70, seed=3)
        with np.load(folder / f"{variant}.npz") as found:
            off = np.abs(found["generated"].astype(int) - generated.astype(int))
            rounding = backend == "openvino" and openvino_rounds() and 2**-6
            np.testing.assert_allclose(found["predicted"], expected, atol=rounding or 1e-3)
        assert off.max() <= (2 if rounding else 1) and expected.std() > 0.01
        assert rounding or np.mean(off > 0) <= 1e-3


def test_the_running_backend_trains():
    assert keras_gan.engine.TRAINS and keras.backend.backend() in keras_gan.engine.BACKENDS
