"""Helpers to compare, edit and break presets."""

import json

import keras
import numpy as np
import pytest
from conftest import assert_equal, values

import keras_gan
from keras_gan import files

CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"


def images(gan):
    """Returns a few samples, without compiling anything."""
    latents = np.random.default_rng(0).standard_normal((4, *gan.latent_shape), "float32")
    return keras.ops.convert_to_numpy(gan(latents))


def assert_same(gan, other):
    assert_equal(values(gan.weights), values(other.weights))
    np.testing.assert_allclose(images(gan), images(other), rtol=0, atol=1e-6)


def assert_same_networks(gan, other):
    """A changed config may leave networks out, but those that there are keep their weights."""
    for network in ("generator", "discriminator", "ema_generator"):
        if getattr(gan, network) is not None:
            assert_equal(*(values(getattr(one, network).weights) for one in (gan, other)))


def refused(name, error=ValueError):
    """Returns the error message of a preset that is refused, which must be one line."""
    with pytest.raises(error) as caught:
        keras_gan.from_preset(name)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert len(message) < 700
    return message


def edit(path, change):
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))


def rehash(folder):
    """Makes the metadata match the files as they are now."""
    facts = {name: files.file_facts(folder / name) for name in (CONFIG, WEIGHTS)}
    edit(folder / METADATA, lambda metadata: metadata.update(files=facts))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def config(gan):
    """Returns the configuration as it is read back from JSON, which has no tuples."""
    return json.loads(json.dumps([gan.get_config(), gan.get_compile_config()]))


# Changes of a config.


def bait(name, *, module="keras.layers", config=None, registered_name=None, **more):
    """Returns the config of an object."""
    config = {"name": "bait"} if config is None else config
    entries = {"module": module, "class_name": name, "config": config}
    return {**entries, "registered_name": registered_name, **more}


def generator_layers(config):
    return config["config"]["generator"]["config"]["layers"]


def gives(key, value):
    return lambda config: config["config"].update({key: value()})
