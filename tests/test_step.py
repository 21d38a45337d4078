import keras
import numpy as np
import pytest
from conftest import (
    BACKEND,
    LOSSES,
    assert_equal,
    changed,
    fit,
    in_modes,
    mlp_gan,
    numpy,
    pictures,
    points,
    values,
)
from keras import layers, ops
from keras.optimizers import SGD, Adam

from keras_gan import GAN, metrics, networks
from keras_gan.datasets.batches import SeededBatches
from keras_gan.terms import GradientPenalty, Term

# How `fit` can run the step: each compiler is its own way to go wrong. "auto" is jit_compile=True
# on JAX, and jit_compile=False, a graph, on TensorFlow's CPU; on torch it begins with plain Python.
MODES = {
    "eager": {"run_eagerly": True, "jit_compile": False},
    "auto": {},
    "jit off": {"jit_compile": False},
    "jit on": {"jit_compile": True},
}
MODES.pop("jit on" if BACKEND == "jax" else "jit off")
ALL_MODES = in_modes(MODES)
# Inductor takes some 20 s for the smallest step.
QUICK = [name for name in MODES if name != "jit on" or BACKEND == "tensorflow"]
QUICK_MODES = in_modes({name: MODES[name] for name in QUICK})


def sgd_gan(rate=0.1, mode=None, **options):
    gan = mlp_gan(**options)
    gan.compile(SGD(rate), SGD(rate), **(mode or {}))
    return gan


# Who moves whom.


@QUICK_MODES
def test_a_discriminator_update_leaves_the_generator_alone(mode):
    gan = sgd_gan(mode=mode, terms=["gradient_penalty"])
    gan._update_generator = lambda real: [ops.zeros(())]
    generator, discriminator = values(gan.generator), values(gan.discriminator)
    fit(gan, points(8))
    assert_equal(values(gan.generator), generator)
    assert all(changed(values(gan.discriminator), discriminator)[:-1])


@QUICK_MODES
def test_a_generator_update_leaves_the_discriminator_alone(mode):
    gan = sgd_gan(mode=mode)
    gan._update_discriminator = lambda real: [ops.zeros(())] * 3
    generator, discriminator = values(gan.generator), values(gan.discriminator)
    fit(gan, points(8))
    assert_equal(values(gan.discriminator), discriminator)
    assert all(changed(values(gan.generator), generator))


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_a_frozen_network_plays_but_does_not_learn(frozen):
    gan = mlp_gan()
    getattr(gan, frozen).trainable = False
    gan.compile(SGD(0.1), SGD(0.1))
    before = [values(network) for network in (gan.generator, gan.discriminator)]
    fit(gan, points(8))
    after = [values(network) for network in (gan.generator, gan.discriminator)]
    moved = [any(changed(a, b)) for a, b in zip(after, before, strict=True)]
    assert moved == [frozen != "generator", frozen != "discriminator"]


# The arithmetic of one step.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# Derivatives with respect to each real logit, each fake logit, and each of the generator's.
SLOPES = {
    "minimax": (lambda r: -sigmoid(-r), sigmoid, lambda f: -sigmoid(f)),
    "non_saturating": (lambda r: -sigmoid(-r), sigmoid, lambda f: -sigmoid(-f)),
    "least_squares": (lambda r: r - 1, lambda f: f, lambda f: f - 1),
    "wasserstein": (lambda r: -1 + 0 * r, lambda f: 1 + 0 * f, lambda f: -1 + 0 * f),
    "hinge": (lambda r: -1.0 * (r < 1), lambda f: 1.0 * (f > -1), lambda f: -1 + 0 * f),
}


def linear_step(a, b, w, c, real, latents, loss, weight, rates):
    """One step of x = a z + b against D = w x + c, from the derivatives on paper."""
    d_real, d_fake, g_fake = SLOPES[loss]
    fake = a * latents[0] + b
    real_slope, fake_slope = d_real(w * real + c), d_fake(w * fake + c)
    # The penalty of a linear critic: weight · (|w| − 1)².
    dw = np.mean(real_slope * real) + np.mean(fake_slope * fake)
    dw += weight * 2 * (abs(w) - 1) * np.sign(w)
    dc = np.mean(real_slope) + np.mean(fake_slope)
    w, c = w - rates[1] * dw, c - rates[1] * dc
    # The generator meets the discriminator as it is after its update, with new latents.
    slope = g_fake(w * (a * latents[1] + b) + c) * w
    a, b = a - rates[0] * np.mean(slope * latents[1]), b - rates[0] * np.mean(slope)
    return a, b, w, c


@pytest.mark.parametrize(
    ("loss", "weight", "mode"),
    [(loss, 0, "auto") for loss in LOSSES] + [("least_squares", 3.0, mode) for mode in MODES],
)
def test_one_step_is_the_one_on_paper(loss, weight, mode, fixed_noise):
    generator = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    discriminator = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    gan = GAN(generator, discriminator, loss=loss, terms=[GradientPenalty(weight)])
    start = (0.8, -0.3, 1.4, 0.2)
    gan.compile(SGD(0.2), SGD(0.1), **MODES[mode])
    gan.generator.set_weights([np.array([[0.8]]), np.array([-0.3])])
    gan.discriminator.set_weights([np.array([[1.4]]), np.array([0.2])])
    real = points(6, sample=1) + 1
    # Draws of a step: latents, ε, latents.
    gan.noise.state.assign(np.array([0, 0]))
    table = np.random.default_rng(1).standard_normal((64, 64, 1), dtype="float32")
    latents = table[[0, 2], :6].astype("float64")
    fit(gan, real)
    expected = linear_step(*start, real.astype("float64"), latents, loss, weight, (0.2, 0.1))
    ours = [w.item() for w in gan.generator.get_weights() + gan.discriminator.get_weights()]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_uint8_and_the_equal_floats_are_one(fixed_noise):
    images, histories = pictures(8), []
    for x in (images, images / np.float32(127.5) - 1):
        keras.utils.set_random_seed(3)
        gan = GAN(*image_networks())
        gan.noise.state.assign(np.array([0, 0]))
        gan.compile(SGD(0.1), SGD(0.1))
        histories.append(fit(gan, x, batch_size=4, epochs=2))
    assert histories[0].keys() == histories[1].keys()
    for name, history in histories[0].items():
        np.testing.assert_allclose(history, histories[1][name], rtol=1e-5, err_msg=name)


def image_networks(shape=(8, 8, 1)):
    generator = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(int(np.prod(shape)), "tanh"),
            layers.Reshape(shape),
        ]
    )
    discriminator = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(1)])
    return generator, discriminator


@ALL_MODES
def test_history_holds_means_over_the_epochs_steps(mode, fixed_noise):
    x, histories = points(12), []
    for stepwise in (False, True):
        keras.utils.set_random_seed(3)
        gan = sgd_gan(mode=mode, terms=["gradient_penalty"], seed=5)
        gan.noise.state.assign(np.array([0, 0]))
        if stepwise:
            steps = [fit(gan, x[i : i + 4]) for i in (0, 4, 8)]
            histories.append({name: [step[name][0] for step in steps] for name in steps[0]})
        else:
            histories.append(fit(gan, x, batch_size=4))
    epoch, steps = histories
    assert set(epoch) == {"d_loss", "g_loss", "d_real", "d_fake", "gradient_penalty"}
    for name, mean in epoch.items():
        assert np.std(steps[name]) > 1e-4
        np.testing.assert_allclose(mean[0], np.mean(steps[name]), rtol=1e-5, err_msg=name)


# Batch normalization.


def normalized_gan(momentum, generator_bias, **options):
    """Networks whose batch statistics are known: everything that comes in is a constant."""
    constant = {
        "kernel_initializer": "zeros",
        "bias_initializer": keras.initializers.Constant(generator_bias),
    }
    generator = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(1, **constant),
            layers.BatchNormalization(momentum=momentum, name="norm"),
            layers.Dense(1, bias_initializer="ones"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((1,)),
            layers.BatchNormalization(momentum=momentum, name="norm"),
            layers.Dense(1),
        ]
    )
    return GAN(generator, discriminator, **options)


@pytest.mark.parametrize(
    ("steps", "terms", "mode"),
    [(1, [], "auto"), (2, [], "auto")] + [(2, ["gradient_penalty"], mode) for mode in MODES],
)
def test_statistics_move_once_per_forward_pass(steps, terms, mode):
    """With a batch variance of 0 the moving variance is momentum ^ passes.

    The generator passes once per discriminator update and once per generator update; the
    discriminator twice per update of its own (real, then fake) and once for the generator. The
    penalty's pass leaves no trace. Means tell the order: real 2, fake 1, and so on.
    """
    momentum, batches = 0.9, 3
    gan = normalized_gan(momentum, 3.0, discriminator_steps=steps, terms=terms)
    gan.compile(SGD(0.0), SGD(0.0), **MODES[mode])
    fit(gan, np.full((4 * steps * batches, 1), 2.0, "float32"), batch_size=4 * steps)
    passes = batches * (steps + 1)
    norm = gan.generator.get_layer("norm")
    np.testing.assert_allclose(numpy(norm.moving_variance), momentum**passes, rtol=1e-5)
    np.testing.assert_allclose(numpy(norm.moving_mean), 3 * (1 - momentum**passes), rtol=1e-5)
    norm = gan.discriminator.get_layer("norm")
    seen = ([2.0, 1.0] * steps + [1.0]) * batches
    mean = 0.0
    for value in seen:
        mean = momentum * mean + (1 - momentum) * value
    np.testing.assert_allclose(numpy(norm.moving_variance), momentum ** len(seen), rtol=1e-5)
    np.testing.assert_allclose(numpy(norm.moving_mean), mean, rtol=1e-5)


# Noise.


class Recorder(layers.Layer):
    """Passes its input on and keeps the first row of each training call's."""

    def build(self, shape):
        options = {"trainable": False, "initializer": "zeros"}
        self.rows = self.add_weight(shape=(32, shape[-1]), name="rows", **options)
        self.calls = self.add_weight(shape=(), name="calls", **options)

    def call(self, x, training=False):
        if training:
            slot = ops.cast(ops.expand_dims(ops.arange(32), 1), "float32") == self.calls
            self.rows.assign(ops.where(slot, ops.stop_gradient(x[:1]), self.rows.value))
            self.calls.assign_add(1.0)
        return x


class Halving(layers.Layer):
    """Multiplies by what it halves in each pass, as other layers do with their estimates."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(), initializer="ones", trainable=False)

    def call(self, x, training=False):
        outputs = x * self.factor
        if training:
            self.factor.assign(self.factor / 2)
        return outputs


@ALL_MODES
def test_a_layer_may_assign_what_its_gradient_needs(mode):
    dense = lambda size, **options: layers.Dense(1, kernel_initializer=size, **options)  # noqa: E731
    generator = keras.Sequential([keras.Input((2,)), dense("zeros", bias_initializer="ones")])
    discriminator = keras.Sequential([keras.Input((1,)), dense("ones", use_bias=False), Halving()])
    gan = GAN(generator, discriminator, loss="wasserstein")
    gan.compile(SGD(0.1), SGD(0.1), **mode)
    fit(gan, np.full((4, 1), 3.0, "float32"))
    # Real samples are 3 and pass first, generated ones are 1; a generator's step is the third pass.
    weight = 1 - 0.1 * (1 * 1 / 2 - 3 * 1)
    bias = 1 + 0.1 * weight / 4
    found = [*discriminator.get_weights(), generator.get_weights()[1]]
    assert [float(np.squeeze(x)) for x in found] == pytest.approx([weight, 1 / 8, bias], rel=1e-6)


@ALL_MODES
def test_noise_is_new_at_every_draw_step_and_epoch(mode):
    recorder = Recorder()
    gan = mlp_gan(seed=5)
    gan = GAN(
        keras.Sequential([keras.Input((3,)), recorder, gan.generator]),
        gan.discriminator,
        discriminator_steps=2,
        seed=5,
    )
    gan.compile(SGD(0.01), SGD(0.01), **mode)
    fit(gan, points(8), batch_size=4, epochs=2)
    fit(gan, points(8), batch_size=4)  # Another fit, perhaps another compilation.
    draws = 3 * (2 + 1) * 2  # Epochs, draws per step, steps.
    assert float(numpy(recorder.calls)) == draws
    rows = numpy(recorder.rows)[:draws]
    assert len(np.unique(np.round(rows, 5))) == rows.size
    # Of 54 standard normal numbers: nothing is stuck, scaled or shifted.
    assert abs(rows.mean()) < 0.6 and 0.6 < rows.std() < 1.4


@ALL_MODES
def test_dropout_is_new_at_every_step(mode):
    recorder, generator = Recorder(), mlp_gan().generator
    discriminator = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(6, kernel_initializer="zeros", bias_initializer="ones"),
            layers.Dropout(0.5),
            recorder,
            layers.Dense(1),
        ]
    )
    gan = GAN(generator, discriminator)
    gan.compile(SGD(0.0), SGD(0.0), **mode)
    fit(gan, points(16), batch_size=2)
    rows = numpy(recorder.rows)[:24]
    assert set(np.unique(rows)) == {0.0, 2.0}
    assert len(np.unique(rows, axis=0)) > 8  # Of 64 patterns, 24 times.


@in_modes({name: MODES[name] for name in ("eager", "auto")})
def test_epsilon_of_the_penalty_is_new_at_every_step(mode):
    """ε shows in the points between real 1 and fake 0 at which the critic is looked at."""
    seen = keras.Variable(np.zeros((8, 4)), dtype="float32", trainable=False, name="seen")
    count = keras.Variable(0.0, dtype="float32", trainable=False, name="count")

    def call(self, context):
        epsilon = context.uniform((4, 1))
        slot = ops.cast(ops.expand_dims(ops.arange(8), 1), "float32") == count
        seen.assign(ops.where(slot, ops.reshape(epsilon, (1, 4)), seen.value))
        count.assign_add(1.0)
        return 0.0 * ops.mean(context.critic(context.real))

    probe = type("Probe", (Term,), {"call": call})()
    gan = mlp_gan(terms=[probe])
    gan.probe = [seen, count]
    gan.compile(SGD(0.0), SGD(0.0), **mode)
    fit(gan, points(32), batch_size=4)
    epsilon = numpy(seen)
    assert len(np.unique(epsilon)) == 32
    assert epsilon.min() >= 0 and epsilon.max() <= 1 and np.ptp(epsilon) > 0.7


# Which real samples each update sees.


class Census(layers.Layer):
    """Passes its input on and counts how often each of the samples 0…n−1 came by."""

    def __init__(self, n, **options):
        super().__init__(**options)
        self.n = n

    def build(self, shape):
        self.seen = self.add_weight(
            shape=(self.n,), name="seen", initializer="zeros", trainable=False
        )

    def call(self, x, training=False):
        if training:
            labels = ops.cast(ops.expand_dims(ops.arange(self.n), 0), "float32")
            hits = ops.cast(ops.abs(ops.stop_gradient(x[:, :1]) - labels) < 0.25, "float32")
            self.seen.assign_add(ops.sum(hits, axis=0))
        return x


def counted_gan(n, mode=None, **options):
    """A generator far from all samples, so that only the real ones are counted."""
    census = Census(n)
    generator = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(
                1, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(-99)
            ),
        ]
    )
    discriminator = keras.Sequential([keras.Input((1,)), census, layers.Dense(1)])
    gan = GAN(generator, discriminator, **options)
    gan.compile(SGD(0.0), SGD(0.0), **(mode or {}))
    return gan, census


def numbered(n):
    return np.arange(n, dtype="float32").reshape(n, 1)


@pytest.mark.parametrize(
    ("steps", "terms", "mode"),
    [(1, [], "auto"), (5, [], "auto")] + [(5, ["gradient_penalty"], mode) for mode in QUICK],
)
def test_an_epoch_shows_each_real_sample_once(steps, terms, mode):
    gan, census = counted_gan(40, MODES[mode], discriminator_steps=steps, terms=terms)
    fit(gan, numbered(40), batch_size=20, shuffle=True)
    np.testing.assert_array_equal(numpy(census.seen), np.ones(40))


def test_each_discriminator_update_gets_its_own_share(monkeypatch):
    gan, _ = counted_gan(12, MODES["eager"], discriminator_steps=3)
    shares, update = [], gan._update_discriminator

    def recorded(batch):
        shares.append(sorted(numpy(batch.samples)[:, 0].astype(int).tolist()))
        return update(batch)

    gan._update_discriminator = recorded
    fit(gan, numbered(12))
    assert [len(share) for share in shares] == [4, 4, 4]
    assert sorted(np.concatenate(shares)) == list(range(12))


@in_modes({name: MODES[name] for name in ("eager", "auto")})
@pytest.mark.parametrize(
    ("n", "batch", "steps", "lost"),
    [(10, 4, 1, []), (13, 5, 2, [4, 9, 12]), (21, 10, 5, [])],
    ids=["last batch smaller", "batch not divisible", "last batch below the steps"],
)
def test_left_over_samples(n, batch, steps, lost, mode):
    """Nothing is lost but what does not divide; a last batch below the steps is used for all."""
    gan, census = counted_gan(n, mode, discriminator_steps=steps)
    fit(gan, numbered(n), batch_size=batch)
    seen = numpy(census.seen)
    assert np.flatnonzero(seen == 0).tolist() == lost
    assert seen.sum() == {10: 10, 13: 10, 21: 20 + 5}[n]


# The moving average.


@in_modes({name: MODES[name] for name in ("eager", "auto")})
@pytest.mark.parametrize("momentum", [0.3, 0.999])
def test_ema_is_its_recursion(momentum, mode):
    """avg ← m avg + (1 − m) w with m = min(momentum, (1 + t) / (10 + t)) after update t."""
    gan = sgd_gan(rate=0.5, mode=mode, ema_momentum=momentum)
    average = values(gan.generator)
    assert_equal(values(gan.ema_generator), average)
    for t in range(1, 6):
        fit(gan, points(8, seed=t))
        now, m = values(gan.generator), min(momentum, (1 + t) / (10 + t))
        average = [m * a + (1 - m) * w for a, w in zip(average, now, strict=True)]
        assert_equal(values(gan.ema_generator), average, rtol=1e-5, atol=1e-6)
    assert max(np.abs(a - w).max() for a, w in zip(average, now, strict=True)) > 1e-3


def test_ema_follows_the_statistics_too():
    gan = normalized_gan(0.5, 3.0, ema_momentum=0.0)
    gan.compile(SGD(0.1), SGD(0.1))
    fit(gan, np.full((8, 1), 2.0, "float32"), batch_size=4)
    assert_equal(values(gan.ema_generator.weights), values(gan.generator.weights), atol=1e-6)
    mean = gan.ema_generator.get_layer("norm").moving_mean
    assert float(numpy(mean)[0]) > 1.0


def test_generate_and_predict_use_the_average():
    gan = sgd_gan(rate=0.5, ema_momentum=0.999)
    fit(gan, points(64), batch_size=8)
    latents = points(4, sample=3)
    expected = numpy(gan.ema_generator(latents))
    assert np.abs(expected - numpy(gan.generator(latents))).max() > 1e-3
    np.testing.assert_allclose(gan.predict(latents, verbose=0), expected, atol=1e-5)
    drawn = np.random.default_rng(1).standard_normal((4, 3), dtype="float32")
    np.testing.assert_allclose(gan.generate(4, seed=1), numpy(gan.ema_generator(drawn)), atol=1e-5)


# The networks' own extras.


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_layers_own_losses_count_once(network, fixed_noise):
    """With a regularizer r(w) the network's reported loss rises by r, the other's not at all."""
    histories = []
    for strength in (0.0, 0.7):
        keras.utils.set_random_seed(3)
        gan = mlp_gan()
        layer = getattr(gan, network).layers[0]
        layer.kernel.regularizer = keras.regularizers.L2(strength) if strength else None
        penalty = strength * np.sum(np.square(layer.get_weights()[0]))
        gan.noise.state.assign(np.array([0, 0]))
        gan.compile(SGD(0.0), SGD(0.0))
        histories.append(fit(gan, points(8)))
    rise = {name: histories[1][name][0] - histories[0][name][0] for name in histories[0]}
    own = {"generator": "g_loss", "discriminator": "d_loss"}[network]
    assert rise.pop(own) == pytest.approx(penalty, rel=1e-4)
    assert list(rise.values()) == pytest.approx([0] * len(rise), abs=1e-6)


def test_several_steps_per_execution_are_the_same_steps(fixed_noise):
    weights = []
    for per_execution in (1, 3):
        keras.utils.set_random_seed(3)
        gan = mlp_gan()
        gan.noise.state.assign(np.array([0, 0]))
        gan.compile(Adam(0.01), Adam(0.01), steps_per_execution=per_execution)
        fit(gan, points(24), batch_size=4)
        weights.append(gan.get_weights())
    assert_equal(*weights, atol=1e-5)


def test_the_names_are_those_that_every_list_of_results_begins_with():
    gan = mlp_gan(loss="wasserstein", terms=["gradient_penalty"])
    gan.compile("sgd", "sgd", metrics=[metrics.FrechetDistance("values")])
    assert {*gan.metrics_names} < {*fit(gan, points(8))}
    assert len(gan.train_on_batch(points(8))) == 5
    told = gan.evaluate(points(8), verbose=0)
    named = gan.evaluate(points(8), verbose=0, return_dict=True)
    assert gan.metrics_names == list(named)[:4]
    np.testing.assert_allclose(told, list(named.values()), rtol=1e-5)


def test_uint8_is_scaled_whatever_the_default_dtype():
    sides = networks.mlp_generator((8, 8, 1), 3, (4,)), networks.mlp_discriminator((8, 8, 1), (4,))
    gan = GAN(*sides)
    gan.compile()
    images = pictures(8)
    expected = gan.evaluate(images, verbose=0)
    try:
        keras.config.set_floatx("bfloat16")
        found = gan.evaluate(images, verbose=0)
        [kept] = SeededBatches(images, 8, keep_on_device=True)[0]
    finally:
        keras.config.set_floatx("float32")
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)
    assert keras.backend.standardize_dtype(kept.dtype) == "uint8"


def test_whole_floats_are_numbers_of_samples():
    gan = mlp_gan()
    expected = gan.generate(3, seed=0, batch_size=2)
    assert_equal([gan.generate(3.0, seed=0, batch_size=2.0)], [expected])
