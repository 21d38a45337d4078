import keras
import numpy as np
import pytest
from conftest import BACKEND, assert_equal, fit, mlp_gan, numpy, points, values
from keras import layers, ops
from keras.optimizers import SGD, Adam, RMSprop

import keras_gan
from keras_gan.networks import SpectralNormalization
from keras_gan.optimizers import PairedOptimizer


def compiled(generator=None, discriminator=None, **options):
    gan = mlp_gan(**options)
    gan.compile(generator or Adam(2e-3, beta_1=0.5), discriminator or Adam(1e-3, beta_1=0.3))
    return gan


def rates(pair):
    return [float(numpy(side.learning_rate)) for side in (pair.generator, pair.discriminator)]


def test_the_rate_is_the_generators_and_scales_both():
    pair = compiled().optimizer
    assert float(numpy(pair.learning_rate)) == pytest.approx(2e-3)
    pair.learning_rate = 4e-4
    assert rates(pair) == pytest.approx([4e-4, 2e-4])


def test_the_ratio_survives_a_rate_of_zero():
    pair = compiled().optimizer
    pair.learning_rate = 0.0
    assert rates(pair) == [0.0, 0.0]
    copy = PairedOptimizer.from_config(pair.get_config())
    for either in (pair, copy):
        either.learning_rate = 0.1
        assert rates(either) == pytest.approx([0.1, 0.05])


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_a_schedules_rate_cannot_be_set(side):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    pair = compiled(**{side: SGD(schedule)}).optimizer
    before = rates(pair)
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        pair.learning_rate = 0.1
    assert rates(pair) == before


def test_schedules_count_each_networks_updates():
    """Two critic updates per step: its schedule runs twice as fast."""
    schedules = [keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.0) for _ in range(2)]
    gan = compiled(*map(SGD, schedules), discriminator_steps=2)
    fit(gan, points(12), batch_size=4)
    assert rates(gan.optimizer) == pytest.approx([0.7, 0.4])


def test_a_rate_of_zero_stops_learning_and_setting_it_back_resumes_it():
    gan = compiled()
    gan.optimizer.learning_rate = 0.0
    before = values(gan.trainable_variables)
    fit(gan, points(8))
    assert_equal(values(gan.trainable_variables), before)
    gan.optimizer.learning_rate = 1e-2
    fit(gan, points(8))
    assert not any(
        np.array_equal(a, b) for a, b in zip(values(gan.trainable_variables), before, strict=True)
    )


@pytest.mark.parametrize("compile_it", {False, keras.backend.backend() == "tensorflow"})
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"amsgrad": True},
        {"weight_decay": 0.1, "clipnorm": 0.5},
        {"gradient_accumulation_steps": 2},
    ],
)
def test_adam_is_the_one_of_the_paper(options, compile_it):
    """Kingma & Ba 2015, arXiv:1412.6980, algorithm 1, with the efficient order of section 2."""
    start = np.random.default_rng(0).standard_normal((3, 2)).astype("float32")
    gradients = np.random.default_rng(1).standard_normal((4, 3, 2)).astype("float32")
    variable = keras.Variable(start)
    adam = Adam(0.01, beta_1=0.4, beta_2=0.9, **options)
    adam.build([variable])
    step = lambda gradient: keras_gan.engine.apply(adam, [gradient], [variable])  # noqa: E731
    if compile_it:  # On the other backends, the whole step is, which test_compiled looks at.
        import tensorflow as tf

        step = tf.function(step, jit_compile=True)
    w, m, v, v_hat = start.astype("float64"), 0.0, 0.0, 0.0
    for gradient in gradients:
        step(keras.ops.convert_to_tensor(gradient))
    every = options.get("gradient_accumulation_steps", 1)
    means = gradients.reshape(-1, every, 3, 2).mean(axis=1)
    for t, gradient in enumerate(means, start=1):
        if norm := options.get("clipnorm"):
            gradient = gradient * min(1.0, norm / np.linalg.norm(gradient))
        w = w * (1 - 0.01 * options.get("weight_decay", 0.0))
        m, v = 0.4 * m + 0.6 * gradient, 0.9 * v + 0.1 * gradient**2
        v_hat = np.maximum(v_hat, v) if "amsgrad" in options else v
        rate = 0.01 * np.sqrt(1 - 0.9**t) / (1 - 0.4**t)
        w = w - rate * m / (np.sqrt(v_hat) + 1e-7)
    np.testing.assert_allclose(numpy(variable), w, rtol=1e-5, atol=1e-6)


def test_one_object_for_both_is_refused():
    adam = Adam()
    with pytest.raises(ValueError, match="an optimizer each"):
        compiled(adam, adam)


def test_config_round_trip():
    pair = PairedOptimizer(Adam(3e-3, beta_1=0.1), SGD(6e-3, momentum=0.7), name="two")
    config = keras.saving.serialize_keras_object(pair)
    copy = keras.saving.deserialize_keras_object(config)
    assert (type(copy), copy.name) == (PairedOptimizer, "two")
    assert rates(copy) == pytest.approx([3e-3, 6e-3])
    assert copy.generator.beta_1 == 0.1 and copy.discriminator.momentum == 0.7


def test_iterations_are_the_generators():
    gan = compiled(discriminator_steps=3)
    fit(gan, points(12), batch_size=6)
    pair = gan.optimizer
    counts = [int(numpy(o.iterations)) for o in (pair, pair.generator, pair.discriminator)]
    assert counts == [2, 2, 6]


def test_each_optimizer_has_the_state_of_its_own_network():
    gan = compiled()
    # Adam: iterations, rate and two moments for each variable.
    for side in ("generator", "discriminator"):
        expected = [v.shape for v in getattr(gan, side).trainable_variables for _ in range(2)]
        state = [v.shape for v in getattr(gan.optimizer, side).variables]
        assert sorted(map(tuple, state)) == sorted([(), (), *map(tuple, expected)])
    assert len({id(v) for v in gan.optimizer.variables}) == 2 * (2 + 2 * 4)


def saved_model(gan, path):
    gan.save(path / "gan.keras")
    return keras.saving.load_model(path / "gan.keras")


def saved_weights(gan, path):
    gan.save_weights(path / "gan.weights.h5")
    copy = compiled(discriminator_steps=2, ema_momentum=0.5)
    copy.load_weights(path / "gan.weights.h5")
    return copy


@pytest.mark.parametrize("saved", [saved_model, saved_weights], ids=[".keras", ".weights.h5"])
def test_a_restored_run_goes_on_as_if_it_had_not_stopped(saved, tmp_path, fixed_noise):
    gan = compiled(discriminator_steps=2, ema_momentum=0.5)
    fit(gan, points(8), batch_size=4, epochs=2)
    copy = saved(gan, tmp_path)
    state = values(gan.optimizer)
    assert sum(bool(np.any(value)) for value in state) >= len(state) - 1
    assert_equal(values(copy.optimizer), state)
    assert int(numpy(copy.optimizer.iterations)) == 4
    assert_equal(values(copy.weights), values(gan.weights))
    copy.noise.state.assign(numpy(gan.noise.state))  # Here the number of draws so far.
    for one in (gan, copy):
        fit(one, points(8, seed=1), batch_size=4)
    assert_equal(values(copy.weights), values(gan.weights), atol=1e-6)
    assert_equal(values(copy.optimizer), values(gan.optimizer), atol=1e-6)


@keras.saving.register_keras_serializable(package="tests")
class Clip(keras.constraints.Constraint):
    """The critic of the original WGAN: all weights within a box (arXiv:1701.07875, algorithm 1)."""

    def __call__(self, w):
        return ops.clip(w, -0.01, 0.01)


@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("optimizer", [RMSprop, Adam])
def test_constraints_hold_after_every_update(optimizer, mode, uncompiled):
    clipped = {"kernel_constraint": Clip(), "bias_constraint": Clip()}
    critic = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(8, "relu", **clipped),
            SpectralNormalization(layers.Dense(4, **clipped)),
            layers.Dense(1, **clipped),
        ]
    )
    gan = keras_gan.GAN(mlp_gan().generator, critic, loss="wasserstein", discriminator_steps=2)
    gan.compile(
        optimizer(5e-3),
        optimizer(5e-3),
        jit_compile=BACKEND == "torch" if mode == "compiled" else False,
        run_eagerly=mode == "eager",
    )
    for _ in range(2):
        fit(gan, points(8))
        largest = [np.abs(w).max() for w in values(critic.trainable_variables)]
        assert max(largest) == pytest.approx(0.01)  # Reached, and no further.
    assert np.abs(gan.generator.get_weights()[0]).max() > 0.02
