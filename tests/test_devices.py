"""Several devices: the same training as one, and errors before the first step."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import python
from shared_steps import assert_same_steps

import keras_gan

SCRIPT = Path(__file__).with_name("on_devices.py")
pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=["jax", "tensorflow"])
def reports(request):
    """What one device computed, and what two did."""
    run = lambda count: python(request.param, SCRIPT, count, cwd=SCRIPT.parent)  # noqa: E731
    with ThreadPoolExecutor() as pool:
        one, two = (json.loads(text.splitlines()[-1]) for text in pool.map(run, (1, 2)))
    return request.param, one, two


def test_gradients_are_averaged(reports):
    _, one, two = reports
    for name, losses in one["sgd"].items():
        assert len(losses) == 20 and np.ptp(losses) > 1e-3
        np.testing.assert_allclose(two["sgd"][name], losses, rtol=1e-5, atol=1e-6, err_msg=name)


def test_each_device_draws_its_own_noise(reports):
    _, one, two = reports
    assert len({tuple(row) for row in two["drawn"]}) == len(one["drawn"]) == 4


def test_fit_and_evaluate(reports):
    backend, one, two = reports
    assert one["samples"] == two["samples"]
    assert one["num_generated"] == two["num_generated"] == 80
    for name, values in two["fit"].items():
        assert len(values) == 2 and np.isfinite(values).all()
        if backend == "jax":  # On TensorFlow, replicas draw other noise than one device.
            np.testing.assert_allclose(values, one["fit"][name], rtol=1e-4, atol=1e-5)


def test_batches_that_devices_cannot_share(reports):
    backend, _, two = reports
    assert two["finite"]
    if backend == "jax":
        assert two["last is too small"].startswith("ValueError: A batch of 1 cannot be shared")
    else:
        assert two["last is too small"] is None  # It is left out.
    assert "batch of 1" in two["single"] and "2 devices" in two["single"]
    assert "2 devices that share it" in two["loader"] or "shared equally" in two["loader"]


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("backend", "count", "variants"),
    [
        ("jax", 2, keras_gan.list_models()),
        ("jax", 4, ["dcgan"]),
        ("tensorflow", 2, ["dcgan", "wgan_gp", "projection"]),
        ("tensorflow", 4, ["dcgan"]),
    ],
)
def test_the_steps_of_the_zoo_are_those_of_one_device(backend, count, variants, tmp_path):
    """Batch normalization is over the whole batch, and a penalty's gradient goes through it."""
    for devices in (1, count):
        python(backend, SCRIPT, devices, *variants, cwd=tmp_path)
    for variant in variants:
        assert_same_steps(tmp_path, variant, count)


@pytest.mark.full
def test_a_generator_is_divided_between_devices(tmp_path):
    script = SCRIPT.with_name("on_mesh.py")
    one, four = (
        json.loads(python("jax", script, *mesh, cwd=tmp_path).splitlines()[-1])
        for mesh in ((1, 1), (2, 2))
    )
    for name, losses in one["losses"].items():
        np.testing.assert_allclose(four["losses"][name], losses, rtol=1e-3, atol=1e-4)
    # The kernels of four layers, of the average too, and the two moments of each.
    assert four["divided"] == {"generator": 4, "average": 4, "moments": 8, "discriminator": 0}
