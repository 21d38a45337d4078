"""Training and the bundled presets still give the numbers and images in `data/recorded*`."""

import numpy as np
import pytest
import recorded
from conftest import BACKEND

NUMBERS = recorded.load_numbers()
IMAGES = np.load(recorded.IMAGES)
# Longer than the default tests allow: Inductor takes up to a minute for each variant, so that only
# one per kind of step is compared, and eager steps of JAX and TensorFlow go operation by operation.
COMPILED, EAGER = (
    {"dcgan/compiled", "wgan_gp/compiled"},
    {"dcgan/eager", "lsgan/eager", "vanilla/eager", "wgan_gp/eager", "lsgan/compiled"},
)
FULL = COMPILED if BACKEND == "torch" else EAGER
LEFT_OUT = {"lsgan/compiled", "vanilla/compiled"} if BACKEND == "torch" else set()
RUNS = {f"{variant}/{mode}" for variant in recorded.VARIANTS for mode in recorded.MODES} - LEFT_OUT


@pytest.mark.parametrize(
    "run",
    [pytest.param(run, marks=pytest.mark.full if run in FULL else ()) for run in sorted(RUNS)],
)
def test_training_is_as_recorded(run):
    expected, found = NUMBERS[f"{BACKEND}/{run}"], recorded.train(*run.split("/"))
    assert found.keys() == expected.keys()
    for name in expected.keys() - set(recorded.NETWORKS):
        # For values near 0. The penalty jumps where rounding moves a point across a LeakyReLU's
        # bend: in some steps backends differ by 1e-4.
        atol = 5e-4 if name == "penalty" else 1e-4
        np.testing.assert_allclose(
            found[name], expected[name], rtol=1e-3, atol=atol, err_msg=f"{name} of each step"
        )
    for name in recorded.NETWORKS:
        assert_sums(np.array(found[name]), np.array(expected[name]), name)


def assert_sums(found, expected, network):
    """Allows 1e-3 of a variable's magnitude, but at most 1e-2 of its change."""
    assert found.shape == expected.shape
    _, magnitude, change = np.split(expected, 3, axis=1)
    rounding = 1e-6 * magnitude
    tolerance = np.minimum(1e-3 * magnitude, 1e-2 * change) + rounding
    wrong = np.flatnonzero((abs(found - expected) > tolerance).any(axis=1))
    assert not len(wrong), (
        f"Variables {wrong} of the {network}: sums {found[wrong]}, recorded {expected[wrong]}"
    )


@pytest.mark.parametrize("preset", IMAGES.files)
def test_images_of_presets_are_as_recorded(preset):
    found = recorded.samples(preset)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), IMAGES[preset].astype(int), rtol=0, atol=1)
