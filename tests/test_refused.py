"""What would be wrong without a word is refused, or warned of, in a sentence."""

import keras
import numpy as np
import pytest
from conftest import (
    BACKEND,
    assert_equal,
    assert_readable,
    changed,
    fit,
    mlp_gan,
    pictures,
    points,
    tiny_gan,
    values,
)
from keras import layers, ops
from keras.optimizers import Adam

import keras_gan
from keras_gan import GAN
from keras_gan.conditions import Images

once = pytest.mark.once


def network(inputs, *more):
    return keras.Sequential([keras.Input((inputs,)), *more])


def generator():
    return network(3, layers.Dense(2))


# Discriminators.


def two_outputs():
    x = keras.Input((2,))
    return keras.Model(x, [layers.Dense(1)(x), layers.Dense(10)(x)])


@once
@pytest.mark.parametrize(
    ("discriminator", "words"),
    [
        (lambda: network(2, layers.Dense(1, "sigmoid")), ("sigmoid", "logits")),
        (lambda: network(2, layers.Dense(1), layers.Activation("sigmoid")), ("sigmoid",)),
        (lambda: network(2, layers.Dense(1, "softmax")), ("softmax", "logits")),
        (lambda: network(2, network(2, layers.Dense(1, "sigmoid"))), ("sigmoid",)),
        (two_outputs, ("2 outputs", "'projection'")),
        (lambda: [network(2, layers.Dense(1))] * 2, ("discriminator", "keras.Model")),
    ],
)
def test_discriminators_that_give_no_logits(discriminator, words):
    with pytest.raises(ValueError) as error:
        GAN(generator(), discriminator())
    assert_readable(error, *words)


@once
def test_a_discriminator_that_cannot_learn():
    frozen = network(2, layers.Dense(1))
    frozen.trainable = False
    for discriminator in (frozen, network(2, layers.Lambda(lambda x: x[:, :1]))):
        gan = GAN(generator(), discriminator)
        gan.compile()
        with pytest.raises(ValueError) as error:
            gan.fit(points(8), verbose=0)
        assert_readable(error, "no trainable weights", "compile()")
    frozen.trainable = True
    gan = GAN(generator(), frozen)
    gan.compile()
    assert np.isfinite(fit(gan, points(8))["d_loss"]).all()


@once
def test_a_discriminator_that_was_frozen_on_purpose_stays_so_in_files(tmp_path):
    gan = mlp_gan()
    gan.discriminator.trainable = False
    gan.compile()
    fit(gan, points(8))
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    assert not again.discriminator.trainable_variables
    fit(again, points(8))


@once
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (4, 5, 5)])
def test_channels_first(shape):
    size = int(np.prod(shape))
    sides = (
        network(3, layers.Dense(size), layers.Reshape(shape)),
        keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(1)]),
    )
    with pytest.raises(ValueError) as error:
        GAN(*sides)
    assert_readable(error, str(shape), "Permute((2, 3, 1))", "Permute((3, 1, 2))")


@once
def test_the_way_out_of_channels_first():
    first, last = (3, 8, 8), (8, 8, 3)
    sides = (
        network(3, layers.Dense(192, "tanh"), layers.Reshape(first), layers.Permute((2, 3, 1))),
        keras.Sequential(
            [keras.Input(last), layers.Permute((3, 1, 2)), layers.Flatten(), layers.Dense(1)]
        ),
    )
    gan = GAN(*sides)
    gan.compile()
    fit(gan, pictures(4, last))
    assert gan.values.known
    assert gan.generate(2, seed=0).shape == (2, *last)


# Numbers of samples and steps.


@once
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "a"])
def test_counts_that_are_none(value):
    gan, rows = mlp_gan(), points(8)
    gan.compile()
    for name in ("batch_size", "steps_per_epoch", "validation_steps", "validation_batch_size"):
        with pytest.raises(ValueError) as error:
            gan.fit(rows, validation_data=rows, verbose=0, **{name: value})
        assert_readable(error, f"{name} must be a whole number ≥ 1; got {value!r}")
    for name in ("batch_size", "steps"):
        with pytest.raises(ValueError) as error:
            gan.evaluate(rows, verbose=0, **{name: value})
        assert_readable(error, f"{name} must be a whole number ≥ 1; got {value!r}")


# Metrics.


def mean_gap(real, generated):
    return ops.abs(ops.mean(real) - ops.mean(generated))


@once
@pytest.mark.parametrize(
    ("metrics", "kind", "words"),
    [
        (["accuracy"], ValueError, ("'accuracy'", "keras_gan.metrics")),
        ("accuracy", ValueError, ("'accuracy'",)),
        ([keras.metrics.BinaryAccuracy()], ValueError, ("'binary_accuracy'",)),
        (["mse"], ValueError, ("'mean_squared_error'",)),
        ([lambda real, generated: 0.0], TypeError, ("keras.metrics.Metric", "(real, generated)")),
    ],
)
def test_metrics_that_mean_nothing(metrics, kind, words):
    with pytest.raises(kind) as error:
        mlp_gan().compile(metrics=metrics)
    assert_readable(error, *words)


@once
def test_metrics_that_mean_something():
    mlp_gan().compile(metrics=[keras.metrics.MeanMetricWrapper(mean_gap)])
    gan = keras_gan.create_model("pix2pix", (8, 8, 1), condition=Images((8, 8, 1)))
    gan.compile(metrics=["mse"])
    with pytest.raises(ValueError, match="accuracy"):
        gan.compile(metrics=["accuracy"])


# A train step of one's own.


class Noisy(GAN):
    calls = 0

    def train_step(self, *args):
        type(self).calls += 1
        return super().train_step(*args)


def test_an_overridden_train_step_is_run():
    Noisy.calls = 0
    gan = Noisy(generator(), network(2, layers.Dense(1)))
    gan.compile()
    before = values(gan.trainable_variables)
    assert np.isfinite(fit(gan, points(8), 4)["d_loss"]).all()
    assert Noisy.calls
    assert all(changed(before, values(gan.trainable_variables)))


@pytest.mark.skipif(BACKEND != "torch", reason="TensorFlow and JAX compile it")
@pytest.mark.filterwarnings("default:Noisy overrides train_step")
def test_an_overridden_train_step_is_not_compiled_on_torch():
    gan = Noisy(generator(), network(2, layers.Dense(1)))
    gan.compile(jit_compile=True)
    with pytest.warns(UserWarning, match="Noisy overrides train_step"):
        fit(gan, points(8), 4)


# Files.


@once
@pytest.mark.parametrize("name", ["gan.h5", "gan.hdf5"])
def test_files_of_old_formats(name, tmp_path):
    gan = mlp_gan()
    gan.compile()
    with pytest.raises(ValueError) as error:
        gan.save(tmp_path / name)
    assert_readable(error, name, ".keras", "save_weights")
    gan.save_weights(tmp_path / "gan.weights.h5")
    gan.generator.save(tmp_path / "generator.h5")


def trained(tmp_path):
    gan = mlp_gan()
    gan.compile(Adam(0.01), Adam(0.01))
    fit(gan, points(16), 4)
    gan.save_weights(tmp_path / "state.weights.h5")
    return gan


def test_a_training_resumes_from_weights_loaded_after_compile(tmp_path, recwarn):
    gan, other = trained(tmp_path), mlp_gan()
    other.compile(Adam(0.01), Adam(0.01))
    other.load_weights(tmp_path / "state.weights.h5")
    assert_equal(values(gan.optimizer), values(other.optimizer))
    for side in ("generator", "discriminator"):
        assert_equal(values(getattr(gan, side)), values(getattr(other, side)))
    assert not [w for w in recwarn.list if "optimizers" in str(w.message)]


@once
def test_weights_loaded_before_compile_are_warned_of(tmp_path, recwarn):
    trained(tmp_path)
    other = mlp_gan()
    other.load_weights(tmp_path / "state.weights.h5")
    with pytest.warns(UserWarning, match=r"start anew: .*state.weights.h5 .*after compile\(\)"):
        other.compile()
    bare, again = mlp_gan(), mlp_gan()
    bare.save_weights(tmp_path / "bare.weights.h5")
    again.load_weights(tmp_path / "bare.weights.h5")
    recwarn.clear()
    again.compile()
    again.compile()
    assert not recwarn.list


class Twice(layers.Layer):
    def call(self, x):
        return 2 * x


@once
def test_a_preset_that_could_not_be_loaded_is_not_written(tmp_path):
    gan = GAN(network(3, Twice(), layers.Dense(2)), network(2, layers.Dense(1)))
    gan.compile()
    with pytest.raises(ValueError) as error:
        gan.save_to_preset(tmp_path / "preset")
    assert_readable(error, "Twice", "register_keras_serializable")


# Weights that are NaN.


def diverged():
    gan = tiny_gan()
    kernel = gan.ema_generator.weights[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    return gan


@once
def test_a_generator_that_gives_nan(tmp_path):
    gan = diverged()
    for use in (
        lambda: gan.generate(2, seed=0),
        lambda: gan.generate(2, seed=0, dtype="float32"),
        lambda: gan.evaluate(pictures(4), verbose=0),
    ):
        with pytest.raises(ValueError) as error:
            use()
        assert_readable(error, "The generator gives NaN", "diverged")
    with pytest.raises(ValueError) as error:
        gan.save_to_preset(tmp_path / "preset")
    assert_readable(error, "NaN or infinity")
    assert not [*(tmp_path / "preset").iterdir()]


@once
def test_a_training_that_diverges_shows_it_to_callbacks():
    """An error would come before callbacks can stop."""
    gan = mlp_gan()
    gan.compile(metrics=[keras_gan.metrics.FrechetDistance("values")])
    spoil = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: gan.generator.weights[0].assign(np.full((3, 4), np.nan))
    )
    watch = [spoil, keras.callbacks.TerminateOnNaN()]
    history = fit(gan, points(8), epochs=3, validation_data=points(8), callbacks=watch)
    assert np.isnan(history["val_frechet_distance"]).all()
    assert np.isnan(history["val_g_loss"]).all()
    assert len(history["d_loss"]) == 1
