"""Nothing of a step runs as Python once it is compiled: each variant, every term, augmentation."""

from collections import Counter

import keras
import pytest
from conftest import BACKEND, conditions_of, fit, needed, pictures
from keras import layers
from keras.optimizers import SGD

import keras_gan
from keras_gan import GAN
from keras_gan.augment import AdaptiveAugment, DiffAugment
from keras_gan.presets import get_recipe
from keras_gan.terms import TERMS

ALL = "brightness,saturation,contrast,translation,cutout"
SHAPE = (8, 9, 3)


def everything(variant):
    """The names of all terms that a variant can have: a reconstruction needs pairs."""
    paired = "reconstruction" in {term.name for term in get_recipe(variant).terms()}
    return [name for name in TERMS if paired or name != "reconstruction"]


def python_calls(gan, monkeypatch):
    """Counts the calls of the augmentation and of each term from Python."""
    calls = Counter()
    for part in (gan.augment, *gan.terms.values()):

        def counted(*inputs, name=part.name, call=part.call, **options):
            calls[name] += 1
            return call(*inputs, **options)

        monkeypatch.setattr(part, "call", counted)
    return calls


def assert_compiled(gan, monkeypatch):
    """Later steps call nothing, so the first one has compiled all of it."""
    calls = python_calls(gan, monkeypatch)
    size = 4 * gan.discriminator_steps
    condition = conditions_of(gan, 3 * size)
    images = pictures(3 * size, gan.sample_shape)
    fit(gan, images[:size], y=None if condition is None else condition[:size])
    first = dict(calls)
    assert set(first) == {gan.augment.name, *gan.terms}
    history = fit(gan, images, size, epochs=2, y=condition)
    assert dict(calls) == first
    assert {*gan.terms} <= {*history}


@pytest.mark.skipif(BACKEND != "torch", reason="torch alone may fall back to eager steps")
@pytest.mark.parametrize("variant", keras_gan.list_models())
def test_torch_traces_each_variant_with_all_terms_and_an_augmentation(
    variant, uncompiled, monkeypatch
):
    # A step that falls back warns, which is an error in the tests.
    gan = keras_gan.create_model(
        variant, SHAPE, terms=everything(variant), augment=DiffAugment(ALL), **needed(variant)
    )
    gan.compile(SGD(1e-3), SGD(1e-3), jit_compile=True)
    assert_compiled(gan, monkeypatch)


def test_terms_and_augmentation_are_in_the_compiled_step(uncompiled, monkeypatch):
    generator = keras.Sequential(
        [keras.Input((3,)), layers.Dense(216, "tanh"), layers.Reshape(SHAPE)]
    )
    discriminator = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(4, 3, 2), layers.Flatten(), layers.Dense(1)]
    )
    gan = GAN(generator, discriminator, terms=[*TERMS], augment=AdaptiveAugment(ALL))
    gan.compile(SGD(1e-3), SGD(1e-3), jit_compile=True if BACKEND == "torch" else "auto")
    assert_compiled(gan, monkeypatch)
