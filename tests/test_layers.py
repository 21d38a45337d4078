"""Layers that take a condition, against closed forms and finite differences in NumPy."""

import keras
import numpy as np
import pytest
from conftest import numpy, stateful, value_and_gradients
from keras import ops

from keras_gan.networks import ConditionalBatchNormalization
from keras_gan.networks.conditional import projected

ROWS = np.eye(2, dtype="float32")[[0, 1, 0, 1, 1]]


def maps(n=5, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2, 3, 4), dtype="float32")


def normalized(x, epsilon):
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(variance + epsilon)


def test_gradients_of_conditional_normalization():
    """Of the tables in closed form, of the maps by differences in float64."""
    layer = ConditionalBatchNormalization(epsilon=1e-2)
    x, slope = maps().astype("float64"), maps(seed=1).astype("float64")
    layer.build([x.shape, ROWS.shape])
    random = np.random.default_rng(2)
    scales, offsets = random.standard_normal((2, 2, 4))
    layer.scales.assign(scales)
    layer.offsets.assign(offsets)

    def f(x):
        scale, offset = ((ROWS @ table)[:, None, None] for table in (scales, offsets))
        return np.sum((normalized(x, 1e-2) * (1 + scale) + offset) * slope)

    given, rows = keras.Variable(x.astype("float32")), ops.convert_to_tensor(ROWS)
    along = ops.convert_to_tensor(slope.astype("float32"))
    by = [layer.scales, layer.offsets, given]
    value, gradients = stateful(
        lambda: value_and_gradients(
            lambda: ops.sum(layer([given.value, rows], training=True) * along), by
        ),
        layer.variables,
    )
    assert float(value) == pytest.approx(f(x), rel=1e-4)
    of_scales = ROWS.T @ np.sum(slope * normalized(x, 1e-2), axis=(1, 2))
    np.testing.assert_allclose(gradients[0], of_scales, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradients[1], ROWS.T @ slope.sum(axis=(1, 2)), rtol=1e-4, atol=1e-4)
    for _ in range(4):
        direction = random.standard_normal(x.shape)
        expected = (f(x + 1e-5 * direction) - f(x - 1e-5 * direction)) / 2e-5
        assert np.sum(gradients[2] * direction) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_projection_adds_the_product_of_features_and_class():
    logits, features, rows = (keras.Input((n,)) for n in (1, 4, 2))
    network = keras.Model([logits, features, rows], projected(logits, features, rows))
    embedding = next(layer for layer in network.layers if hasattr(layer, "vector"))
    given = [*np.random.default_rng(0).standard_normal((2, 5, 4), dtype="float32"), ROWS]
    given[0] = given[0][:, :1]
    for _ in range(30):
        stateful(lambda: network(given, training=True), network.variables)
    table = numpy(embedding.layer.kernel.value)
    table = table / np.linalg.svd(table, compute_uv=False)[0]
    expected = given[0][:, 0] + np.sum(given[1] * (ROWS @ table), axis=1)
    np.testing.assert_allclose(numpy(network(given))[:, 0], expected, rtol=1e-3, atol=1e-4)
