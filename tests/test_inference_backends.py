"""Keras backends that cannot train still predict and generate, the same images as the others."""

import importlib.util
import textwrap

import keras
import numpy as np
import pytest
from conftest import fit, pictures, python

import keras_gan

pytestmark = pytest.mark.cross
SHAPE = (16, 16, 1)
SCRIPT = """
    import sys
    import keras, numpy as np
    import keras_gan

    folder, saved = sys.argv[1:]
    path = f"{folder}/{saved}"
    gan = keras.saving.load_model(path) if saved.endswith(".keras") else keras_gan.from_preset(path)
    latents = np.random.default_rng(0).standard_normal((5, *gan.latent_shape), dtype="float32")
    np.savez(
        f"{folder}/{keras.backend.backend()}.npz",
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


@pytest.mark.parametrize("saved", ["gan.keras", "preset"])
@pytest.mark.parametrize("variant", ["vanilla", "dcgan"])
@pytest.mark.parametrize("backend", ["numpy", "openvino"])
def test_predict_and_generate_work_and_fit_says_why_not(backend, variant, saved, tmp_path):
    if missing(backend):
        pytest.skip(f"{backend} is not installed")
    gan = keras_gan.create_model(variant, SHAPE, ema_momentum=0.5)
    fit(gan, pictures(8, SHAPE), batch_size=4)
    gan.save(tmp_path / "gan.keras")
    gan.save_to_preset(tmp_path / "preset")
    said = python(backend, "-c", textwrap.dedent(SCRIPT), tmp_path, saved).strip().splitlines()
    [sentence] = [line for line in said if "backend" in line]
    assert backend in sentence and "KERAS_BACKEND" in sentence and "fit" in sentence
    assert len(said) == 1 or backend == "openvino"  # OpenVINO prints remarks of its own.
    latents = np.random.default_rng(0).standard_normal((5, *gan.latent_shape), dtype="float32")
    with np.load(tmp_path / f"{backend}.npz") as found:
        expected = gan.predict(latents, verbose=0)
        np.testing.assert_allclose(found["predicted"], expected, atol=1e-3)
        off = np.abs(found["generated"].astype(int) - gan.generate(70, seed=3).astype(int))
    assert off.max() <= 1 and np.mean(off > 0) <= 1e-3 and expected.std() > 0.01


def test_the_running_backend_trains():
    assert keras_gan.engine.TRAINS and keras.backend.backend() in keras_gan.engine.BACKENDS
