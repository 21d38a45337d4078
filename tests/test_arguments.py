"""Networks, names and numbers that do not work get one clear sentence. No backend matters here."""

import keras
import numpy as np
import pytest
from conftest import assert_readable, mlp_gan
from keras import layers

import keras_gan
from keras_gan import GAN, losses, networks, terms
from keras_gan.errors import closest
from keras_gan.optimizers import PairedOptimizer

pytestmark = pytest.mark.once

# Networks.


def dense(inputs, outputs):
    return keras.Sequential([keras.Input((inputs,)), layers.Dense(outputs)])


@pytest.mark.parametrize(
    ("discriminator", "shape"),
    [
        (dense(2, 2), "(batch, 2)"),
        (keras.Sequential([keras.Input((2,)), layers.Reshape((2, 1))]), "(batch, 2, 1)"),
        (keras.Sequential([layers.Dense(3)]), "(batch, 3)"),
    ],
)
def test_discriminator_without_one_logit_per_sample(discriminator, shape):
    with pytest.raises(ValueError) as error:
        GAN(dense(3, 2), discriminator)
    assert_readable(error, "one logit per sample", "(batch, 1)", shape)


@pytest.mark.parametrize(
    ("generator", "discriminator", "words"),
    [
        (dense(3, 2), dense(4, 1), ("(2,)", "(4,)")),
        (networks.mlp_generator((8, 8, 1), 3, (4,)), dense(64, 1), ("(8, 8, 1)", "(64,)")),
        (
            networks.mlp_generator((8, 8, 1), 3, (4,)),
            networks.mlp_discriminator((8, 8, 3), (4,)),
            ("(8, 8, 1)", "(8, 8, 3)"),
        ),
    ],
)
def test_networks_that_do_not_fit_each_other(generator, discriminator, words):
    with pytest.raises(ValueError) as error:
        GAN(generator, discriminator)
    assert_readable(error, *words)


def two_inputs():
    latents, labels = keras.Input((3,)), keras.Input((1,))
    return keras.Model([latents, labels], layers.Dense(2)(layers.Concatenate()([latents, labels])))


def two_outputs():
    latents = keras.Input((3,))
    return keras.Model(latents, [layers.Dense(2)(latents), layers.Dense(1)(latents)])


def two_input_discriminator():
    sample, label = keras.Input((2,)), keras.Input((1,))
    return keras.Model([sample, label], layers.Dense(1)(layers.Concatenate()([sample, label])))


def any_length():
    return keras.Sequential(
        [keras.Input((None, 3)), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    )


class Bare(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("networks_", "word"),
    [
        (lambda: (two_inputs(), dense(2, 1)), "generator"),
        (lambda: (two_outputs(), dense(2, 1)), "generator"),
        (lambda: (dense(3, 2), two_input_discriminator()), "discriminator"),
        (lambda: (Bare(), dense(2, 1)), "generator"),
        (lambda: (keras.Sequential([layers.Dense(2)]), dense(2, 1)), "generator"),
        (lambda: (lambda x: x, dense(2, 1)), "generator"),
        (lambda: (dense(3, 2), None), "discriminator"),
        (lambda: (any_length(), dense(2, 1)), "fixed shape"),
    ],
)
def test_networks_of_another_kind(networks_, word):
    with pytest.raises((ValueError, TypeError)) as error:
        GAN(*networks_())
    assert_readable(error, word)


# Names and numbers.


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: keras_gan.create_model("dcgen"), ValueError, ("'dcgen'", "'dcgan'", "wgan_gp")),
        (lambda: keras_gan.create_model("xyzzy"), ValueError, ("'xyzzy'", "Known", "vanilla")),
        (lambda: keras_gan.create_model(None), ValueError, ("None", "Known", "vanilla")),
        (
            lambda: mlp_gan(loss="wassersten"),
            ValueError,
            ("'wassersten'", "'wasserstein'", "hinge"),
        ),
        (lambda: mlp_gan(loss="lsgan"), ValueError, ("'lsgan'", "least_squares")),
        (lambda: losses.get(None), ValueError, ("None", "hinge")),
        (lambda: losses.get(3), ValueError, ("3", "hinge")),
        (lambda: mlp_gan(terms=["gradient_penalti"]), ValueError, ("'gradient_penalty'",)),
        (lambda: mlp_gan(penalty=10.0), ValueError, ("penalty= is now terms=", "gradient_penalty")),
        (lambda: mlp_gan(terms=[10.0]), ValueError, ("10.0", "gradient_penalty")),
        (lambda: mlp_gan(augment=0.5), ValueError, ("0.5", "uniform")),
        (lambda: terms.GradientPenalty(-1), ValueError, ("-1", "≥ 0")),
        (lambda: terms.GradientPenalty(float("nan")), ValueError, ("nan", "≥ 0")),
        (lambda: keras_gan.from_preset("no_such_preset"), ValueError, ("'no_such_preset'",)),
        (lambda: keras_gan.datasets.load("fashion_mnits"), ValueError, ("'fashion_mnist'",)),
        (lambda: keras_gan.register_model("dcgan", None), ValueError, ("'dcgan'", "another")),
        (
            lambda: PairedOptimizer(*[keras.optimizers.SGD()] * 2),
            ValueError,
            ("an optimizer each",),
        ),
    ],
)
def test_unknown_names(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    assert_readable(error, *words)


@pytest.mark.parametrize("num_samples", [0, -1, 1.5, True, "3", None, float("nan"), float("inf")])
def test_num_samples(num_samples):
    with pytest.raises((ValueError, TypeError)) as error:
        mlp_gan().generate(num_samples)
    assert_readable(error, "num_samples", "≥ 1", str(num_samples))


@pytest.mark.parametrize("momentum", [1.0, 1.5, -0.1, float("nan"), "0.9", True])
def test_ema_momentum(momentum):
    with pytest.raises((ValueError, TypeError)) as error:
        mlp_gan(ema_momentum=momentum)
    assert_readable(error, "ema_momentum", "0…1", str(momentum))


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, None, "2", float("nan")])
def test_discriminator_steps(steps):
    with pytest.raises((ValueError, TypeError)) as error:
        mlp_gan(discriminator_steps=steps)
    assert_readable(error, "discriminator_steps", "≥ 1", str(steps))


@pytest.mark.parametrize(
    "shape", [(7, 8, 1), (8, 8), (8, 8, 0), (8, 8, 1, 1), (28.0, 28, 1), (None, None, 3), 28]
)
@pytest.mark.parametrize("name", ["vanilla", "dcgan"])
def test_image_shape(name, shape):
    with pytest.raises((ValueError, TypeError)) as error:
        keras_gan.create_model(name, image_shape=shape)
    assert_readable(error, "image_shape", "(height, width, channels)", str(shape))


def test_same_optimizer_for_both():
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError) as error:
        mlp_gan().compile(adam, adam)
    assert_readable(error, "each", "same object")


def test_a_subset_of_one():
    with pytest.raises(ValueError, match="at least 2") as error:
        keras_gan.metrics.kernel_distance(np.eye(4), np.eye(4), subset_size=1)
    assert_readable(error, "subset_size", "1")


def test_closest_names():
    assert closest("b", []) == "'b'. Known: none."
    assert closest("aba", ["abc", "zzz"]) == "'aba'; did you mean 'abc'? Known: abc, zzz."
