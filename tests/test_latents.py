"""Latents: interpolation, truncation and projection."""

import numpy as np
import pytest
from conftest import mlp_gan, points, tiny_gan

from keras_gan import create_model, latents
from keras_gan.conditions import Labels


@pytest.mark.once
def test_interpolation_keeps_to_the_sphere():
    a, b = np.random.default_rng(0).standard_normal((2, 4, 3))
    rows = latents.interpolate(a, b, 7)
    assert rows.shape == (7, 4, 3) and rows.dtype == "float32"
    np.testing.assert_allclose(rows[[0, -1]], [a, b], rtol=1e-6)
    flat = rows.reshape(7, -1).astype("float64")
    lengths = np.linalg.norm(flat, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 7), rtol=1e-6)
    cosines = (flat[1:] * flat[:-1]).sum(axis=1) / (lengths[1:] * lengths[:-1])
    np.testing.assert_allclose(np.arccos(cosines), np.arccos(cosines).mean(), rtol=1e-4)
    middle = latents.interpolate([1.0, 0.0], [0.0, 1.0], 3)[1]
    np.testing.assert_allclose(middle, [0.5**0.5, 0.5**0.5], rtol=1e-6)


@pytest.mark.once
def test_interpolation_between_latents_of_one_direction():
    rows = latents.interpolate([1.0, 1.0], [3.0, 3.0], 3)
    np.testing.assert_allclose(rows, [[1, 1], [2, 2], [3, 3]], rtol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0], [1.0, 2.0], 3), "one shape"),
        (([1.0], [2.0], 1), "at least 2"),
        (([0.0], [1.0], 3), "all 0"),
    ],
)
def test_interpolations_that_do_not_work(arguments, words):
    with pytest.raises(ValueError, match=words):
        latents.interpolate(*arguments)


@pytest.mark.once
def test_truncation():
    gan, given = mlp_gan(), points(5, 3)
    np.testing.assert_array_equal(latents.truncate(gan, given, 0.5), given / 2)
    np.testing.assert_array_equal(latents.truncate(gan, given, 1), given)
    for bad, words in (((given, 1.5), "psi"), ((points(5, 2), 0.5), "latents must be")):
        with pytest.raises(ValueError, match=words):
            latents.truncate(gan, *bad)


def test_projection_finds_what_the_generator_makes():
    gan = tiny_gan()
    images = gan.generate(3, seed=5)
    found = latents.project(gan, images, steps=60, verbose=0)
    assert found.shape == (3, *gan.latent_shape) and found.dtype == "float32"
    again = gan.generate(latents=found).astype("float64")
    apart = gan.generate(3, seed=6).astype("float64")
    assert np.abs(again - images).mean() < 0.3 * np.abs(apart - images).mean()
    assert (np.linalg.norm(found, axis=1) < np.sqrt(found.shape[1]) + 1e-3).all()


def test_projection_within_a_class():
    gan = create_model("cgan", (8, 8, 1), condition=Labels(["a", "b"]))
    images = gan.generate(2, condition=["a", "b"], seed=5)
    found = latents.project(gan, images, condition=["a", "b"], steps=3, verbose=0)
    assert found.shape == (2, *gan.latent_shape)


@pytest.mark.once
def test_projections_that_do_not_work():
    gan = mlp_gan()
    with pytest.raises(ValueError, match="shape"):
        latents.project(gan, points(2, 5))
    with pytest.raises(ValueError, match="no condition"):
        latents.project(gan, points(2), condition=1)


@pytest.mark.once
def test_a_walk_comes_back_to_where_it_began():
    stops = np.random.default_rng(0).standard_normal((3, 5)).astype("float32")
    rows = latents.walk(stops, 4)
    assert rows.shape == (12, 5)
    np.testing.assert_allclose(rows[::4], stops, rtol=1e-5)
    again = latents.interpolate(stops[2], stops[0], 5)
    np.testing.assert_allclose(rows[8:], again[:-1], rtol=1e-5)
    with pytest.raises(ValueError, match="at least two stops"):
        latents.walk(stops[:1], 4)


@pytest.mark.once
def test_the_nearest_of_many_images(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype="uint8")
    samples = images[[7, 31, 2]].copy()
    samples[1, 0, 0, 0] = 255 - samples[1, 0, 0, 0]
    gaps = np.abs(samples[1].astype(float) - images[31])
    for limit in (2**24, 48):  # All at once, and three at a time.
        monkeypatch.setattr(latents, "BLOCK", limit)
        distances, indices = latents.nearest(samples, images)
        np.testing.assert_array_equal(indices, [7, 31, 2])
        np.testing.assert_allclose(distances, [0, gaps.max() / 4, 0], rtol=1e-5)
    distances, _ = latents.nearest(samples, images, lambda x: x.reshape(len(x), -1)[:, :2] * 0)
    np.testing.assert_array_equal(distances, 0)
    with pytest.raises(ValueError, match="one shape"):
        latents.nearest(samples, images[:, :3])
