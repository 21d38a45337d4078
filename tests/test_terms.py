import keras
import numpy as np
import pytest
from conftest import (
    assert_equal,
    fit,
    mlp_gan,
    numpy,
    points,
    stateful,
    value_and_gradients,
    values,
)
from keras import layers, ops

from keras_gan import engine, terms
from keras_gan.networks.resnet import GlobalSumPooling, plain_block
from keras_gan.terms import (
    R1,
    R2,
    Context,
    GradientPenalty,
    LeCam,
    Reconstruction,
    Term,
    gradient_penalty,
)


def batch(shape=(5, 3), seed=0):
    """Real samples, fake samples and ε, as tensors."""
    random = np.random.default_rng(seed)
    epsilon = random.random((shape[0],) + (1,) * (len(shape) - 1), dtype="float32")
    real, fake = random.standard_normal((2, *shape), dtype="float32")
    return [ops.convert_to_tensor(x) for x in (real, fake, epsilon)]


def between(real, fake, epsilon):
    real, fake, epsilon = (np.asarray(numpy(x), "float64") for x in (real, fake, epsilon))
    return epsilon * real + (1 - epsilon) * fake


def uniform(shape):
    return ops.convert_to_tensor(np.random.default_rng(3).random(shape, dtype="float32"))


def context_of(critic, real, fake, source=uniform):
    """The context as the step makes it: logits and slopes of one pass."""
    sides = [engine.logits_and_gradient(lambda x: (critic(x), []), x) for x in (real, fake)]
    (((real_logits, _), real_slope), ((fake_logits, _), fake_slope)) = sides
    return Context(
        critic, real, fake, real_logits, fake_logits, None, None, source, real_slope, fake_slope
    )


def weighted(term, critic, real, fake, source=uniform):
    return term.weight * term.call(context_of(critic, real, fake, source))


def test_linear_critic_in_closed_form():
    """D(x) = w·x + c: penalty (|w| − 1)², derivatives 2 (|w| − 1) w/|w| and 0."""
    critic = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    w = np.array([[0.5], [-2.0], [1.5]], "float32")
    critic.set_weights([w, np.array([0.7])])
    real, fake, epsilon = batch()
    value, (dw, dc) = value_and_gradients(
        lambda: gradient_penalty(critic, real, fake, epsilon), critic.trainable_variables
    )
    norm = np.linalg.norm(w)
    np.testing.assert_allclose(value, (norm - 1) ** 2, rtol=1e-6)
    np.testing.assert_allclose(dw, 2 * (norm - 1) * w / norm, rtol=1e-5)
    # The offset plays no part: its gradient is zero, or None where the framework says so.
    assert dc is None or dc.dtype == object or not np.any(dc)


def test_the_norm_is_each_samples_own():
    """D(x) = |x|²/2 has the gradient x: each sample's norm is known, and the batch's differs."""
    real, fake, epsilon = batch((4, 2, 2, 1))
    at = between(real, fake, epsilon).reshape(4, -1)
    ours = gradient_penalty(
        lambda x: ops.sum(ops.square(x), axis=(1, 2, 3)) / 2, real, fake, epsilon
    )
    expected = np.mean((np.linalg.norm(at, axis=1) - 1) ** 2)
    assert abs(expected - (np.linalg.norm(at) - 1) ** 2) > 0.1
    np.testing.assert_allclose(numpy(ours), expected, rtol=1e-5)


@pytest.mark.parametrize(("epsilon", "taken"), [(1.0, 0), (0.0, 1)], ids=["real", "fake"])
def test_the_ends_of_epsilon(epsilon, taken):
    pair = batch((4, 3))[:2]
    epsilon = ops.full((4, 1), epsilon)
    ours = gradient_penalty(lambda x: ops.sum(ops.square(x), axis=1) / 2, *pair, epsilon)
    norms = np.linalg.norm(numpy(pair[taken]).astype("float64"), axis=1)
    np.testing.assert_allclose(numpy(ours), np.mean((norms - 1) ** 2), rtol=1e-5)


def mlp_penalty(weights, x):
    """The penalty of D(x) = v·tanh(x W + b) + c in float64; ∇D = W (v ⊙ (1 − tanh²))."""
    kernel, bias, v, _ = weights
    slope = (1 - np.tanh(x @ kernel + bias) ** 2) * v[:, 0]
    return np.mean((np.linalg.norm(slope @ kernel.T, axis=1) - 1) ** 2)


def central_differences(fn, arrays, step=1e-5):
    gradients = []
    for array in arrays:
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept, ends = array[index], []
            for sign in (1, -1):
                array[index] = kept + sign * step
                ends.append(fn())
            array[index] = kept
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


def test_second_order_against_finite_differences_in_float64():
    critic = keras.Sequential([keras.Input((3,)), layers.Dense(6, "tanh"), layers.Dense(1)])
    random = np.random.default_rng(5)
    critic.set_weights([random.normal(0, 0.8, w.shape) for w in critic.get_weights()])
    real, fake, epsilon = batch()
    value, gradients = value_and_gradients(
        lambda: gradient_penalty(critic, real, fake, epsilon), critic.trainable_variables[:3]
    )
    weights, x = [w.astype("float64") for w in critic.get_weights()], between(real, fake, epsilon)
    np.testing.assert_allclose(value, mlp_penalty(weights, x), rtol=1e-5)
    expected = central_differences(lambda: mlp_penalty(weights, x), weights[:3])
    assert all(np.abs(g).max() > 0.01 for g in expected)
    assert_equal(gradients, expected, rtol=1e-4, atol=1e-5)


def convolutional():
    """A small critic with a smooth activation, so that finite differences mean something."""
    return keras.Sequential(
        [
            keras.Input((6, 5, 2)),
            layers.Conv2D(4, 3, 2, padding="same", activation="softplus"),
            layers.Conv2D(3, 3, 2, padding="same", activation="tanh"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def attentive():
    pixels = layers.Reshape((30, 2))(inputs := keras.Input((6, 5, 2)))
    x = layers.Dense(4)(pixels)
    x = layers.Flatten()(layers.MultiHeadAttention(2, 3, use_bias=False)(x, x))
    return keras.Model(inputs, layers.Dense(1)(x))


def pooled():
    """Halves a map with odd sides and sums it, as the residual discriminators do."""
    x = layers.Conv2D(4, 3, padding="same", activation="softplus")(inputs := keras.Input((6, 5, 2)))
    for _ in range(2):
        x = layers.AveragePooling2D(2, padding="same")(x)
        x = layers.Add()([x, layers.Conv2D(4, 3, padding="same", activation="tanh")(x)])
    return keras.Model(inputs, layers.Dense(1)(GlobalSumPooling()(x)))


def test_first_order_through_convolutions_against_finite_differences():
    """∇D comes out of the penalty: with one sample it is (|∇D| − 1)², and |∇D| is measurable."""
    critic = convolutional()
    critic.set_weights([4 * w for w in critic.get_weights()])
    real, fake, epsilon = batch((1, 6, 5, 2))
    x = between(real, fake, epsilon)
    ends = [x + sign * 1e-2 * np.eye(60).reshape(60, 6, 5, 2) for sign in (1, -1)]
    high, low = (np.asarray(numpy(critic(end.astype("float32"))), "float64") for end in ends)
    norm = np.linalg.norm((high - low) / 2e-2)
    assert abs(norm - 1) > 0.2
    ours = gradient_penalty(critic, real, fake, epsilon)
    np.testing.assert_allclose(numpy(ours), (norm - 1) ** 2, rtol=1e-2)


@pytest.mark.parametrize(("critic", "scale"), [(convolutional, 3), (attentive, 1), (pooled, 1)])
def test_second_order_through_layers_against_finite_differences(critic, scale):
    """The derivative along the gradient itself is the gradient's squared norm."""
    critic = critic()
    critic.set_weights([scale * w for w in critic.get_weights()])
    inputs = batch((5, 6, 5, 2))
    variables = critic.trainable_variables[:-1]
    _, gradients = value_and_gradients(lambda: gradient_penalty(critic, *inputs), variables)
    start, norm = values(variables), np.sqrt(sum(np.sum(g**2) for g in gradients))
    ends = []
    for sign in (1, -1):
        for variable, value, gradient in zip(variables, start, gradients, strict=True):
            variable.assign(value + sign * 5e-3 * gradient / norm)
        ends.append(float(numpy(gradient_penalty(critic, *inputs))))
    assert norm > 0.1
    assert (ends[0] - ends[1]) / 1e-2 == pytest.approx(norm, rel=1e-2)


def test_a_constant_critic_costs_the_weight_and_breaks_nothing():
    """√ has an infinite slope at 0; a critic flat around x̂ must not put NaN into its weights."""
    critic = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, "relu"), layers.Dense(1, kernel_initializer="zeros")]
    )
    real, fake, _ = batch()
    value, gradients = value_and_gradients(
        lambda: weighted(GradientPenalty(7.0), critic, real, fake), critic.trainable_variables[:3]
    )
    np.testing.assert_allclose(value, 7.0, rtol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_bfloat16_critic_gives_a_float32_penalty():
    critic = keras.Sequential([keras.Input((3,)), layers.Dense(1, dtype="mixed_bfloat16")])
    critic.set_weights([np.array([[0.5], [-2.0], [1.5]]), np.zeros(1)])
    ours = gradient_penalty(critic, *batch())
    assert keras.backend.standardize_dtype(ours.dtype) == "float32"
    np.testing.assert_allclose(numpy(ours), (np.sqrt(6.5) - 1) ** 2, rtol=1e-2)


def test_the_penalty_only_looks():
    """Its pass through the critic moves no statistics and uses up no random numbers."""
    critic = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=1),
            layers.Dense(1),
        ]
    )
    real, fake, epsilon = batch()
    before = values(critic)
    training = lambda x: critic(x, training=True)  # noqa: E731

    def objective():
        return gradient_penalty(training, real, fake, epsilon)

    value, _ = stateful(
        lambda: value_and_gradients(objective, critic.trainable_variables[:2]), critic.variables
    )
    assert np.isfinite(value)
    assert_equal(values(critic), before)
    # The same pass outside a penalty does move them: this test can fail.
    stateful(lambda: training(real), critic.variables)
    moved = [not np.array_equal(a, b) for a, b in zip(values(critic), before, strict=True)]
    assert sum(moved) == 3  # Moving mean, moving variance, the dropout's seed.


def test_the_objects_weight_and_shape_of_epsilon():
    shapes = []

    def half(shape):
        shapes.append(tuple(int(n) for n in shape))
        return ops.full(shapes[-1], 0.5)

    real, fake, _ = batch((4, 2, 2, 1))
    critic = lambda x: 3 * ops.sum(x, axis=(1, 2, 3))  # noqa: E731
    ours = weighted(GradientPenalty(2.5), critic, real, fake, half)
    np.testing.assert_allclose(numpy(ours), 2.5 * (6 - 1) ** 2, rtol=1e-6)
    assert shapes == [(4, 1, 1, 1)]


# R1 and R2.


def slopes_of_an_mlp(weights, x):
    """∇D of D(x) = v·tanh(x W + b) + c, a row for each sample."""
    kernel, bias, v, _ = weights
    return (1 - np.tanh(x @ kernel + bias) ** 2) * v[:, 0] @ kernel.T


@pytest.mark.parametrize(("term", "side"), [(R1, 0), (R2, 1)])
def test_squared_slopes_of_a_linear_critic_in_closed_form(term, side):
    """D(x) = w·x + c: γ/2 |w|², derivatives γ w and 0, whatever the samples."""
    critic = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    w = np.array([[0.5], [-2.0], [1.5]], "float32")
    critic.set_weights([w, np.array([0.7])])
    value, (dw, dc) = value_and_gradients(
        lambda: weighted(term(3.0), critic, *batch()[:2]), critic.trainable_variables
    )
    np.testing.assert_allclose(value, 1.5 * np.sum(w**2), rtol=1e-6)
    np.testing.assert_allclose(dw, 3.0 * w, rtol=1e-5)
    assert dc is None or dc.dtype == object or not np.any(dc)


def test_the_squared_slope_of_a_residual_block_in_closed_form():
    """On positive maps the block is linear, so that R1 is γ/2 |W|², and its gradient γ ∂W W."""
    block = keras.Model(x := keras.Input((1, 1, 3)), plain_block(x, blocks=1))
    critic = keras.Sequential([block, layers.Flatten(), layers.Dense(1)])
    critic.build((None, 1, 1, 3))
    random = np.random.default_rng(0)
    critic.set_weights([random.uniform(0.1, 0.5, w.shape) for w in critic.get_weights()])
    first, _, second, _, last, head, _ = (w.astype("float64") for w in critic.get_weights())
    matrices = [first[0, 0], second[1, 1], last[0, 0], head]

    def penalty():
        a, b, c, v = matrices
        return 0.75 * np.sum(((np.eye(3) + a @ b @ c) @ v) ** 2)

    real = ops.convert_to_tensor(random.uniform(0.1, 1.0, (4, 1, 1, 3)).astype("float32"))
    value, gradients = value_and_gradients(
        lambda: weighted(R1(1.5), critic, real, real), critic.trainable_variables
    )
    np.testing.assert_allclose(value, penalty(), rtol=1e-5)
    ours = [gradients[0][0, 0], gradients[2][1, 1], gradients[4][0, 0], gradients[5]]
    assert_equal(ours, central_differences(penalty, matrices), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("term", "side"), [(R1, 0), (R2, 1)])
def test_squared_slopes_and_their_derivatives_against_differences_in_float64(term, side):
    critic = keras.Sequential([keras.Input((3,)), layers.Dense(6, "tanh"), layers.Dense(1)])
    random = np.random.default_rng(5)
    critic.set_weights([random.normal(0, 0.8, w.shape) for w in critic.get_weights()])
    pair = batch()[:2]
    value, gradients = value_and_gradients(
        lambda: weighted(term(2.5), critic, *pair), critic.trainable_variables[:3]
    )
    weights = [w.astype("float64") for w in critic.get_weights()]
    x = np.asarray(numpy(pair[side]), "float64")

    def penalty():
        return 1.25 * np.mean(np.sum(slopes_of_an_mlp(weights, x) ** 2, axis=1))

    np.testing.assert_allclose(value, penalty(), rtol=1e-5)
    expected = central_differences(penalty, weights[:3])
    assert all(np.abs(g).max() > 0.01 for g in expected)
    assert_equal(gradients, expected, rtol=1e-4, atol=1e-5)


def test_the_squared_slope_is_summed_over_a_sample_and_averaged_over_samples():
    """D(x) = |x|²/2 has the gradient x, of images and maps of logits alike."""
    real, fake, _ = batch((4, 2, 3, 2))
    for critic in (
        lambda x: ops.sum(ops.square(x), axis=(1, 2, 3)) / 2,
        lambda x: ops.sum(ops.square(x), axis=3, keepdims=True) / 2,
    ):
        ours = weighted(R1(1.0), critic, real, fake)
        expected = np.mean(np.sum(numpy(real).astype("float64") ** 2, axis=(1, 2, 3))) / 2
        np.testing.assert_allclose(numpy(ours), expected, rtol=1e-5)


# Reconstruction.


@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 5, 2)])
def test_reconstruction_and_its_derivative_in_closed_form(shape):
    """The mean of |x − G|, whose derivative is the sign over the number of all values."""
    real, fake = np.random.default_rng(0).standard_normal((2, *shape), dtype="float32")
    term, made, given = Reconstruction(3.0), keras.Variable(fake), ops.convert_to_tensor(real)
    value, [gradient] = value_and_gradients(
        lambda: term.weight * term.call(Context(None, given, made.value, *[None] * 5)), [made]
    )
    np.testing.assert_allclose(value, 3.0 * np.abs(real - fake).mean(), rtol=1e-6)
    np.testing.assert_allclose(gradient, 3.0 * np.sign(fake - real) / real.size, rtol=1e-5)
    half = ops.cast(ops.convert_to_tensor(fake), "bfloat16")
    rounded = term.call(Context(None, given, half, *[None] * 5))
    assert keras.backend.standardize_dtype(rounded.dtype) == "float32"


# LeCam.


def lecam(term, real, fake):
    tensors = (ops.convert_to_tensor(np.array(x, "float32")[:, None]) for x in (real, fake))
    real, fake = tensors
    return term.call(Context(None, None, None, real, fake, None, None, None))


def test_lecam_in_closed_form_over_some_updates():
    """E[max(0, D(x) − α_F)²] + E[max(0, α_R − D(G(z)))²], the averages those of before."""
    term, random = LeCam(momentum=0.75, start=2), np.random.default_rng(0)
    averages = np.zeros(2)
    for update in range(5):
        real, fake = random.normal([1.0, -0.5], 1.0, (6, 2)).T
        expected = np.mean(np.maximum(0, real - averages[1]) ** 2)
        expected += np.mean(np.maximum(0, averages[0] - fake) ** 2)
        value = stateful(lambda real=real, fake=fake: lecam(term, real, fake), term.variables)
        np.testing.assert_allclose(numpy(value), expected if update >= 2 else 0.0, rtol=1e-5)
        means = np.array([real.mean(), fake.mean()])
        averages = means if update == 0 else 0.75 * averages + 0.25 * means
        held = [float(numpy(v.value)) for v in (term.real_mean, term.fake_mean, term.updates)]
        np.testing.assert_allclose(held, [*averages, update + 1], rtol=1e-5)


def test_the_derivative_of_lecam_takes_the_averages_as_constants():
    term = LeCam(start=0)
    stateful(lambda: lecam(term, [0.2, -0.4], [0.1, -0.9]), term.variables)  # Averages −0.1, −0.4.
    logits = keras.Variable(np.array([[1.0, -2.0, 0.5], [0.3, 2.0, -1.0]], "float32"))

    def objective():
        return lecam_of(term, logits.value)

    def lecam_of(term, pair):
        real, fake = (ops.reshape(pair[i], (3, 1)) for i in (0, 1))
        return term.call(Context(None, None, None, real, fake, None, None, None))

    _, [gradient] = stateful(lambda: value_and_gradients(objective, [logits]), term.variables)
    real, fake = numpy(logits.value)
    expected = 2 / 3 * np.array([np.maximum(0, real + 0.4), -np.maximum(0, -0.1 - fake)])
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    # The test can fail: through the averages, the derivative would be another.
    assert abs(expected[0].sum()) > 0.1 and abs(expected[1].sum()) > 0.1


@pytest.mark.parametrize("options", [{"momentum": 1.0}, {"momentum": -0.1}, {"start": -1}])
def test_settings_of_lecam_out_of_range(options):
    with pytest.raises(ValueError, match="momentum must be in 0…1"):
        LeCam(**options)


def test_a_model_with_all_terms_is_saved_and_resumed(tmp_path, fixed_noise):
    names = ["gradient_penalty", "r1", "r2", "lecam"]
    gan = mlp_gan(terms=[*names[:3], LeCam(0.5, momentum=0.9, start=1)], seed=1)
    gan.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
    history = fit(gan, points(12), 4)
    assert all(history[name][0] > 0 for name in names)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert list(loaded.terms) == names
    for name in names:
        assert loaded.terms[name].get_config() == gan.terms[name].get_config()
        assert_equal(values(loaded.terms[name]), values(gan.terms[name]))
    for model in (gan, loaded):
        model.noise.state.assign(np.array([0, 0]))
        fit(model, points(12), 4)
    assert float(numpy(loaded.terms["lecam"].updates.value)) == 6
    assert_equal(values(loaded.discriminator), values(gan.discriminator), rtol=1e-5, atol=1e-6)


def test_registry():
    assert terms.get("gradient_penalty").weight == 10.0
    assert terms.get("gradient_penalty") is not terms.get("gradient_penalty")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(GradientPenalty(3.0, fraction=1 / 4, name="slope"))
    )
    assert isinstance(copy, GradientPenalty)
    assert (float(copy.weight), copy.parts, copy.name) == (3.0, 4, "slope")
    for wrong in ("gradient_penalti", 10.0, lambda critic: critic):
        with pytest.raises(ValueError, match="gradient_penalty"):
            terms.get(wrong)
    with pytest.raises(TypeError, match="list of names or terms"):
        terms.get_all("gradient_penalty")
    with pytest.raises(ValueError, match="'gradient_penalty' is taken"):
        terms.get_all(["gradient_penalty", GradientPenalty(1.0)])
    with pytest.raises(ValueError, match="'d_loss' is taken"):
        terms.get_all([GradientPenalty(name="d_loss")], reserved=["d_loss"])


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_weights_out_of_range(weight):
    with pytest.raises(ValueError, match="≥ 0"):
        GradientPenalty(weight)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.5, -1.0])
def test_fractions_that_are_not_one_kth(fraction):
    with pytest.raises(ValueError, match="1/k"):
        GradientPenalty(fraction=fraction)


@pytest.mark.parametrize(
    ("side", "needs"),
    [("both", ()), ("generator", ("real_gradient",)), ("discriminator", ("gradient",))],
)
def test_terms_that_ask_for_what_there_is_not(side, needs):
    kind = type("Odd", (Term,), {"side": side, "needs": needs})
    with pytest.raises(ValueError, match="must have a side"):
        terms.get(kind())
