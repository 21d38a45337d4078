"""The same mathematics on every backend: `parity_run.py` runs on each, and this compares."""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKENDS, python

import keras_gan

pytestmark = pytest.mark.once
# `dcgan`'s networks with labels; and a penalty, with steps of its own.
QUICK = ("cgan", "wgan_gp")
VARIANTS = pytest.mark.parametrize(
    "variant",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.full)
        for name in keras_gan.list_models()
    ],
)
PAIRS = pytest.mark.parametrize(("one", "other"), list(combinations(BACKENDS, 2)))


def on_every_backend(what, folder, request):
    """Runs the script for those variants whose tests are about to run."""
    script = Path(__file__).parent / "parity_run.py"
    tests = [item for item in request.session.items if item.module is request.module]
    names = sorted({test.callspec.params["variant"] for test in tests})
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda backend: python(backend, script, what, folder, *names), BACKENDS))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, request):
    return on_every_backend("train", tmp_path_factory.mktemp("parity"), request)


@pytest.fixture(scope="module")
def loaded(trained, request):
    return on_every_backend("load", trained, request)


def read(folder, name, prefix):
    with np.load(folder / f"{name}.npz") as file:
        found = {key: file[key] for key in file if key.startswith(prefix)}
    assert found
    return found


def assert_same_images(one, other):
    """Off by at most 1 in at most 0.1% of the pixels."""
    assert one.shape == other.shape == (128, 20, 18, 2) and one.dtype == other.dtype == "uint8"
    off = np.abs(one.astype(int) - other.astype(int))
    assert off.max() <= 1 and np.mean(off > 0) <= 1e-3
    assert one.std() > 10


@PAIRS
@VARIANTS
def test_losses_of_five_steps_with_the_recipes_adam(variant, one, other, trained):
    ours, theirs = (read(trained, f"{variant}-{name}", "adam/") for name in (one, other))
    assert ours.keys() == theirs.keys() >= {"adam/d_loss", "adam/g_loss"}
    assert ("adam/gradient_penalty" in ours) == (variant == "wgan_gp")
    # Adam without momentum divides each gradient by its own size alone, rounding errors included.
    rtol = 5e-3 if variant in ("projection", "r3gan", "sngan") else 1e-3
    for name in ours:
        assert len(ours[name]) == 5 and np.ptp(ours[name]) > 1e-4
        # A mean logit near 0 has no relative precision of its own.
        np.testing.assert_allclose(ours[name], theirs[name], rtol=rtol, atol=1e-4, err_msg=name)
    for name in ("adam/d_loss", "adam/g_loss"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=rtol, err_msg=name)


@PAIRS
@VARIANTS
def test_weights_after_five_steps_of_sgd(variant, one, other, trained):
    ours, theirs = (read(trained, f"{variant}-{name}", "sgd/") for name in (one, other))
    before = read(trained, f"{variant}-{one}", "before/")
    # The gradient of an absolute difference, of weight 100, is a sign, which rounding can turn. R1
    # and R2 are of slopes, which jump where a unit turns on.
    atol = 2e-3 if variant in ("pix2pix", "r3gan") else 1e-4
    assert ours.keys() == theirs.keys()
    for key, weight in ours.items():
        np.testing.assert_allclose(weight, theirs[key], rtol=0, atol=atol, err_msg=key)
    moved = [np.abs(w - before[k.replace("sgd", "before")]).max() for k, w in ours.items()]
    assert np.median(moved) > 1e-3


@PAIRS
@VARIANTS
def test_the_same_seed_gives_the_same_images(variant, one, other, trained):
    assert_same_images(*(read(trained, f"{variant}-{b}", "images")["images"] for b in (one, other)))


@pytest.mark.parametrize(("source", "target"), list(permutations(BACKENDS, 2)))
@VARIANTS
def test_a_file_and_a_preset_load_on_the_other_backends(variant, source, target, loaded):
    saved, found = f"{variant}-{source}", f"{variant}-{source}-on-{target}"
    images = read(loaded, saved, "saved images")["saved images"]
    assert_same_images(images, read(loaded, found, "saved images")["saved images"])
    assert_same_images(images, read(loaded, found, "preset images")["preset images"])
    ours, theirs = (read(loaded, name, "optimizer/") for name in (saved, found))
    assert ours.keys() == theirs.keys() and len(ours) > 20
    for key, value in ours.items():
        np.testing.assert_allclose(theirs[key], value, rtol=1e-6, atol=0, err_msg=key)
    assert read(loaded, found, "iterations")["iterations"] == (6 if variant == "wgan_gp" else 5)
