"""Spectral normalization against NumPy's singular values, on every backend."""

import keras
import numpy as np
import pytest
from conftest import assert_equal, fit, numpy, pictures, stateful, value_and_gradients, values
from keras import layers, ops
from keras.optimizers import SGD

from keras_gan import GAN, engine
from keras_gan.networks import SpectralNormalization
from keras_gan.networks.spectral import largest_singular_value

SHAPE = (6, 5, 2)
LAYERS = {
    "dense": lambda: layers.Dense(7, activation="tanh"),
    "conv": lambda: layers.Conv2D(4, 3, 2, padding="same", activation="softplus"),
    "transposed": lambda: layers.Conv2DTranspose(3, 4, 2, padding="same", use_bias=False),
}
EACH = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def images(n=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *SHAPE), dtype="float32")


def network(layer, units=1):
    inputs = [keras.Input(SHAPE), SpectralNormalization(layer), layers.Flatten()]
    return keras.Sequential([*inputs, layers.Dense(units)])


def train_calls(net, times):
    for _ in range(times):
        stateful(lambda: net(images(), training=True), net.variables)


def matrix(layer):
    kernel = numpy(layer.kernel.value)
    return kernel.reshape(-1, kernel.shape[-1]).astype("float64")


def effective(layer, wrapped):
    """The kernel that the layer is called with: its own, times the ratio of two outputs."""
    x = images()
    if hasattr(layer, "activation"):
        layer.activation = keras.activations.linear
    ratio = np.vdot(numpy(wrapped(x)), numpy(layer(x))) / np.vdot(numpy(layer(x)), numpy(layer(x)))
    np.testing.assert_allclose(numpy(wrapped(x)), ratio * numpy(layer(x)), atol=1e-5)
    return ratio * matrix(layer)


@EACH
def test_the_largest_singular_value_is_1_after_some_calls(make):
    layer = make()
    net = network(layer)
    layer.kernel.assign(7.0 * layer.kernel)
    train_calls(net, 60)
    singular = np.linalg.svd(effective(layer, net.layers[0]), compute_uv=False)
    assert singular[0] == pytest.approx(1.0, rel=1e-3)
    assert singular[1] < 0.99


@EACH
def test_each_training_call_makes_one_step_of_power_iteration(make):
    layer = make()
    net = network(layer)
    wrapper, kernel = net.layers[0], values([layer.kernel])
    vector = numpy(wrapper.vector.value)[0].astype("float64")
    for _ in range(2):
        left = matrix(layer) @ vector
        left /= np.linalg.norm(left)
        vector = matrix(layer).T @ left
        value = np.linalg.norm(vector)
        vector /= value
        x = images()
        train_calls(net, 1)
        np.testing.assert_allclose(numpy(wrapper.vector.value)[0], vector, atol=1e-5)
        # The kernel is divided by the value found in the same call.
        estimate, _ = largest_singular_value(layer.kernel.value, wrapper.vector.value)
        assert float(numpy(estimate)) >= value * (1 - 1e-5)
    assert_equal(values([layer.kernel]), kernel)  # Divided in the call, never assigned to.
    before = values(net.variables)
    stateful(lambda: net(x, training=False), net.variables)
    assert_equal(values(net.variables), before)


@EACH
def test_the_gradient_is_orthogonal_to_the_kernel(make):
    """⟨gradient, kernel⟩ is 0, since scaling a kernel changes nothing."""
    layer = make()
    net = network(layer)
    train_calls(net, 1)

    def objective():
        return ops.mean(ops.square(net(images(), training=False) - 1.0))

    value, gradients = value_and_gradients(objective, net.trainable_variables)
    names = [id(v) for v in net.trainable_variables]
    gradient, kernel = gradients[names.index(id(layer.kernel))], numpy(layer.kernel.value)
    assert np.abs(gradient).max() > 1e-3
    assert abs(np.sum(gradient * kernel)) < 1e-5 * np.linalg.norm(gradient) * np.linalg.norm(kernel)
    layer.kernel.assign(2.0 * kernel)
    assert float(numpy(objective())) == pytest.approx(float(value), rel=1e-5)


def test_gradients_against_differences_with_the_vectors_held():
    """f(W / uᵀWv) with constant u and v, in float64: the paper, equation 12."""
    layer = layers.Dense(4, use_bias=False)
    net = keras.Sequential([keras.Input((3,)), SpectralNormalization(layer)])
    x, slope = np.random.default_rng(0).standard_normal((2, 5, 4)).astype("float32")
    x = x[:, :3]
    stateful(lambda: net(x, training=True), net.variables)
    w, v = matrix(layer), numpy(net.layers[0].vector.value)[0].astype("float64")
    u = w @ v
    u /= np.linalg.norm(u)
    v = w.T @ u / np.linalg.norm(w.T @ u)

    def f(w):
        return np.sum(np.tanh(x @ w / (u @ w @ v)) * slope)

    _, [gradient] = value_and_gradients(
        lambda: ops.sum(ops.multiply(ops.tanh(net(x, training=True)), slope)),
        net.trainable_variables,
    )
    for index in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[index] = 1e-6
        expected = (f(w + step) - f(w - step)) / 2e-6
        assert gradient[index] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_the_squared_slope_and_its_derivative_against_differences():
    """R1 of v·tanh(x W / (uᵀWv)) with constant u and v: the kernel's second order."""
    layer, head = layers.Dense(4, use_bias=False), layers.Dense(1, use_bias=False)
    net = keras.Sequential(
        [keras.Input((3,)), SpectralNormalization(layer), layers.Activation("tanh"), head]
    )
    x = np.random.default_rng(0).standard_normal((5, 3), dtype="float32")
    w, slope = matrix(layer), matrix(head)[:, 0]
    right = numpy(net.layers[0].vector.value)[0].astype("float64")
    left = w @ right / np.linalg.norm(w @ right)
    right = w.T @ left / np.linalg.norm(w.T @ left)

    def penalty(w):
        normalized = w / (left @ w @ right)
        gradient = ((1 - np.tanh(x @ normalized) ** 2) * slope) @ normalized.T
        return np.mean(np.sum(gradient**2, axis=1))

    def objective():
        (_, _), gradient = engine.logits_and_gradient(lambda x: (net(x, training=True), []), given)
        return ops.mean(ops.sum(ops.square(gradient), axis=1))

    given = ops.convert_to_tensor(x)
    value, [gradient] = stateful(
        lambda: value_and_gradients(objective, [layer.kernel]), net.variables
    )
    np.testing.assert_allclose(value, penalty(w), rtol=1e-5)
    for index in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[index] = 1e-6
        expected = (penalty(w + step) - penalty(w - step)) / 2e-6
        assert gradient[index] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert abs(np.sum(gradient * w)) < 1e-4 * np.linalg.norm(gradient) * np.linalg.norm(w)


def test_a_kernel_of_zeros_stays_one_and_recovers():
    layer = layers.Dense(4, kernel_initializer="zeros")
    net = keras.Sequential([keras.Input((3,)), SpectralNormalization(layer)])
    x = np.ones((2, 3), "float32")
    stateful(lambda: net(x, training=True), net.variables)
    assert_equal([numpy(net(x))], [np.zeros((2, 4))])
    layer.kernel.assign(np.diag([5.0, 1.0, 1.0, 1.0])[:3])
    for _ in range(20):
        stateful(lambda: net(x, training=True), net.variables)
    np.testing.assert_allclose(numpy(net(x))[0], [1.0, 0.2, 0.2, 0.0], atol=1e-4)


def test_embeddings_and_layers_without_a_kernel():
    embedding = layers.Embedding(5, 3)
    net = keras.Sequential([keras.Input((1,), dtype="int32"), SpectralNormalization(embedding)])
    for _ in range(30):
        stateful(lambda: net(np.arange(5)[:, None], training=True), net.variables)
    rows = numpy(net(np.arange(5)[:, None]))[:, 0]
    assert np.linalg.svd(rows, compute_uv=False)[0] == pytest.approx(1.0, rel=1e-3)
    with pytest.raises(ValueError, match="is a Flatten"):
        keras.Sequential([keras.Input(SHAPE), SpectralNormalization(layers.Flatten())])


@pytest.fixture
def mixed(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param.removeprefix("mixed_")
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("mixed", ["mixed_bfloat16", "mixed_float16"], indirect=True)
def test_mixed_precision_estimates_in_float32(mixed):
    inner = [layers.Conv2D(4, 3, dtype="float32"), layers.Conv2D(4, 3)]
    nets = [keras.Sequential([keras.Input(SHAPE), SpectralNormalization(one)]) for one in inner]
    # The kernel's size is no matter, even where half precision has no numbers for it.
    nets[1].set_weights([1e6 * w for w in nets[0].get_weights()])
    outputs = []
    for net in nets:
        stateful(lambda net=net: net(images(), training=True), net.variables)
        outputs.append(net(images()))
        assert net.outputs[0].dtype == keras.backend.standardize_dtype(outputs[-1].dtype)
    assert keras.backend.standardize_dtype(outputs[1].dtype) == mixed
    vectors = [numpy(net.layers[0].vector.value) for net in nets]
    np.testing.assert_allclose(*vectors, atol=1e-5)
    np.testing.assert_allclose(*(numpy(ops.cast(y, "float32")) for y in outputs), atol=0.02)


def spectral_gan():
    generator = keras.Sequential(
        [keras.Input((3,)), layers.Dense(64, "tanh"), layers.Reshape((8, 8, 1))]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            SpectralNormalization(layers.Conv2D(4, 3, 2)),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            SpectralNormalization(layers.Dense(1)),
        ]
    )
    return GAN(generator, discriminator, loss="hinge", terms=["r1"], seed=1)


def test_a_model_is_saved_and_resumed_with_its_vectors(tmp_path, fixed_noise):
    gan = spectral_gan()
    gan.compile(SGD(0.1), SGD(0.1))
    fit(gan, pictures(8), 4)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert_equal(values(loaded.discriminator), values(gan.discriminator))
    for model in (gan, loaded):
        model.noise.state.assign(np.array([0, 0]))
        fit(model, pictures(8), 4)
    assert_equal(values(loaded), values(gan), rtol=1e-4, atol=1e-6)
    gan.save_to_preset(tmp_path / "preset")
    from_preset = GAN.from_preset(str(tmp_path / "preset"))
    assert_equal(values(from_preset.discriminator), values(gan.discriminator))
