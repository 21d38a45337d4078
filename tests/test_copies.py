"""Copies of networks are exact and quick to make, also on a Keras that lacks the private names."""

import sys

import keras
import numpy as np
import pytest
from conftest import BACKEND, assert_equal, python, values
from keras import layers, ops

import keras_gan
from keras_gan import GAN
from keras_gan.average import frozen_copy
from keras_gan.engine import keras_internals
from keras_gan.engine.keras_internals import unset_weights


def network():
    stack = [layers.Dense(4), layers.BatchNormalization(), layers.Dropout(0.5, seed=7)]
    return keras.Sequential([keras.Input((3,)), *stack, layers.Dense(2)])


def spread(network):
    """Returns the network with weights that no initializer draws."""
    random = np.random.default_rng(0)
    network.set_weights([random.uniform(1, 2, w.shape) for w in network.get_weights()])
    return network


def without(monkeypatch, module):
    """Makes Keras look like a version that has moved one of its private modules."""
    monkeypatch.setitem(sys.modules, f"keras.src.{module}", None)
    monkeypatch.delattr(f"keras.src.{module}")


@pytest.mark.parametrize("moved", [None, "utils.module_utils", "backend.common.global_state"])
def test_copy(moved, monkeypatch):
    original = spread(network())
    with monkeypatch.context() as patch:
        if moved:
            without(patch, moved)
        copy = frozen_copy(original)
    assert_equal(values(copy), values(original))
    assert not copy.trainable_variables and original.trainable_variables
    x = np.ones((5, 3), "float32")
    assert_equal([copy.predict(x, verbose=0)], [original.predict(x, verbose=0)])
    original.set_weights([0 * w for w in original.get_weights()])
    assert np.all(copy.get_weights()[0] > 0)


class Scaled(layers.Layer):
    """A layer that is not registered, with a variable that is made from an array."""

    def __init__(self, by=2.0, **options):
        super().__init__(**options)
        self.by = by
        self.scale = keras.Variable(np.full((3,), by, "float32"))

    def call(self, x):
        return x * self.scale

    def get_config(self):
        return super().get_config() | {"by": self.by}


OWN_LAYERS = {"a class": lambda: Scaled(3.0), "a lambda": lambda: layers.Lambda(lambda x: 2.0 * x)}


@pytest.mark.parametrize("layer", OWN_LAYERS)
def test_copy_of_a_users_own_layers(layer):
    stack = [keras.Input((3,)), OWN_LAYERS[layer](), layers.Dense(2)]
    generator = spread(keras.Sequential(stack))
    gan = GAN(generator, keras.Sequential([layers.Dense(1)]), ema_momentum=0.5)
    assert_equal(values(gan.ema_generator), values(generator))
    latents = np.ones((2, 3), "float32")
    assert_equal([gan.predict(latents, verbose=0)], [generator.predict(latents, verbose=0)])


def doubled(x):
    return 2.0 * ops.tanh(x)


@pytest.mark.parametrize("how", ["from_config", "load_model"])
def test_custom_objects_reach_the_copy(how, tmp_path):
    own = {"doubled": doubled, "Scaled": Scaled}
    generator = keras.Sequential([keras.Input((3,)), Scaled(), layers.Dense(2, doubled)])
    with keras.saving.custom_object_scope(own):
        gan = GAN(generator, keras.Sequential([layers.Dense(1)]), ema_momentum=0.5)
    gan.save(tmp_path / "gan.keras")
    if how == "from_config":
        loaded = GAN.from_config(gan.get_config(), custom_objects=own)
    else:
        loaded = keras.saving.load_model(tmp_path / "gan.keras", custom_objects=own)
    assert loaded.ema_generator.layers[-1].activation is doubled


def test_a_keras_without_safe_mode_scopes(monkeypatch):
    without(monkeypatch, "saving.serialization_lib")
    with keras_internals.unsafe_deserialization():
        pass


def test_unset_weights():
    with unset_weights():
        built = network()
        assert [v.shape for v in built.weights] == [v.shape for v in network().weights]
    kernel, bias, gamma, beta, mean, variance, *_ = values(built.weights)
    for trainable in (kernel, bias, gamma, beta):
        assert not trainable.any()
    assert not mean.any() and (variance == 1).all()
    seeds = [v for v in built.variables if v.path.endswith("seed_generator_state")]
    assert_equal(values(seeds), [np.array([7, 0])])


def test_unset_weights_after_an_error():
    with pytest.raises(RuntimeError), unset_weights():
        network()
        raise RuntimeError
    with unset_weights():
        built = network()
    assert len(built.get_weights()) == 8
    assert network().get_weights()[0].any()


@pytest.mark.skipif(BACKEND != "torch", reason="torch keeps parameters of its own")
def test_torch_finds_the_parameters(tmp_path):
    gan = keras_gan.create_model("vanilla", (8, 8, 1))
    gan.save_to_preset(tmp_path)
    loaded = keras_gan.from_preset(tmp_path)
    copies = [gan.ema_generator, loaded.generator, loaded.discriminator, loaded.ema_generator]
    for copy in copies:
        assert len(copy.state_dict()) >= len(copy.variables)


@pytest.mark.once
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.full)])
def test_copies_do_not_import_tensorflow(backend, tmp_path):
    """Importing it takes seconds. The last line checks that it is installed and found."""
    code = """
import sys
import keras_gan
from keras.src.utils.module_utils import tensorflow

gan = keras_gan.create_model("vanilla", (8, 8, 1))
gan.save_to_preset("preset")
keras_gan.GAN.from_config(gan.get_config()) if len(sys.argv) > 1 else None
print("tensorflow" in sys.modules, tensorflow._available)
"""
    assert python(backend, "-c", code, cwd=tmp_path).splitlines()[-1] == "False None"
    # Afterwards, Keras finds it again.
    assert python(backend, "-c", code, "own", cwd=tmp_path).splitlines()[-1] == "True True"


def test_tensorflow_that_is_imported_stays_known(monkeypatch):
    module_utils = pytest.importorskip("keras.src.utils.module_utils")
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    monkeypatch.setattr(module_utils.tensorflow, "_available", None)
    with keras_internals.without_tensorflow():
        assert module_utils.tensorflow._available is None


def test_models_of_one_network_average_apart(saved):
    first = keras_gan.from_preset(saved[1])
    before = values(first.ema_generator)
    second = GAN(first.generator, first.discriminator, ema_momentum=0.5)
    assert second.ema_generator is not first.ema_generator
    assert_equal(values(first.ema_generator), before)
    assert_equal(values(second.ema_generator), values(first.generator))
