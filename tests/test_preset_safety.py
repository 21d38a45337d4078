"""Malicious and damaged presets are refused, or loaded exactly as they were saved."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import hypothesis
import keras
import pytest
from conftest import mlp_gan
from hypothesis import strategies as st
from keras import layers
from preset_files import (
    CONFIG,
    METADATA,
    WEIGHTS,
    assert_same,
    assert_same_networks,
    bait,
    edit,
    generator_layers,
    gives,
    refused,
    rehash,
)

import keras_gan
from keras_gan.presets import folders, safety

pytestmark = pytest.mark.once

# Malicious presets.


def function(module, name, **more):
    return bait("function", module=module, config=name, **more)


def a_lambda():
    with warnings.catch_warnings(action="ignore"):  # About lambdas being unsafe.
        return keras.saving.serialize_keras_object(lambda x: os.system("true") or x)


def lambda_layer(**changes):
    layer = layers.Lambda(lambda x: os.system("true") or x, output_shape=(64,), name="bait")
    return keras.saving.serialize_keras_object(layer) | changes


def adds(layer):
    return lambda config: generator_layers(config).insert(2, layer())


def activates(activation):
    def change(config):
        dense = next(x for x in generator_layers(config) if x["class_name"] == "Dense")
        dense["config"]["activation"] = activation()

    return change


def compiles(key, value):
    return lambda config: config["compile_config"].update({key: value()})


HARM = {
    "Lambda": adds(lambda_layer),
    "Lambda by another path": adds(
        lambda: lambda_layer(module="keras", class_name="layers.Lambda")
    ),
    "Lambda from the source": adds(
        lambda: lambda_layer(module="keras.src.layers.core.lambda_layer", registered_name="Lambda")
    ),
    "Lambda of a path": adds(lambda: bait("Lambda", config={"function": "os.system"})),
    "TFSMLayer": adds(lambda: bait("TFSMLayer", config={"filepath": "/tmp/model", "name": "bait"})),
    "TorchModuleWrapper": adds(
        lambda: bait("TorchModuleWrapper", config={"module": "x", "name": "bait"})
    ),
    "JaxLayer": adds(lambda: bait("JaxLayer", config={"call_fn": "f", "name": "bait"})),
    "a lambda": activates(a_lambda),
    "os.system": activates(lambda: function("os", "system")),
    "os.system under our name": activates(
        lambda: function("os", "system", registered_name="keras_gan>GAN")
    ),
    "os.system by its path alone": activates(lambda: "os.system"),
    "exec": activates(lambda: function("builtins", "exec")),
    "a module with code": adds(lambda: bait("Layer", module="bait_module")),
    "a module with code, as keras": adds(lambda: bait("Layer", module="keras.bait_module")),
    "keras' own get_file": activates(lambda: function("keras.utils", "get_file")),
    "Popen for a loss": gives(
        "loss", lambda: bait("Popen", module="subprocess", config={"args": ["true"]})
    ),
    "a lambda for a penalty": gives("penalty", a_lambda),
    "os.system for a metric": compiles("metrics", lambda: [function("os", "system")]),
    "Popen for an optimizer": compiles(
        "generator_optimizer", lambda: bait("Popen", module="subprocess", config={"args": ["true"]})
    ),
    "code in the weights' place": lambda config: config.update(a_lambda()),
}


# These are named as if they were Keras' own; Keras looks for them there, and finds nothing to call.
LEFT_TO_KERAS = {
    "os.system by its path alone",
    "exec",
    "a module with code, as keras",
    "keras' own get_file",
}


@pytest.mark.parametrize("case", sorted({*HARM} - LEFT_TO_KERAS))
def test_code_is_seen_before_keras_reads_the_config(case, preset):
    config = json.loads((preset / CONFIG).read_text())
    HARM[case](config)
    with pytest.raises(ValueError, match="which could run code"):
        safety.refuse_code(config)


@pytest.mark.parametrize("case", HARM)
def test_code_is_refused_and_not_run(case, preset, monkeypatch, tmp_path):
    (tmp_path / "bait_module.py").write_text("import os; os.system('true')")
    monkeypatch.syspath_prepend(str(tmp_path))
    config_of_bait = json.loads((preset / CONFIG).read_text())
    HARM[case](config_of_bait)
    (preset / CONFIG).write_text(json.dumps(config_of_bait))
    rehash(preset)
    run = []
    monkeypatch.setattr(os, "system", run.append)
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda self, *args, **more: run.append(args))
    message = refused(preset)
    assert str(preset / CONFIG) in message
    assert "os.system" not in case or "system" in message
    assert not run
    assert "bait_module" not in sys.modules


def test_registered_classes_are_built(saved, preset):
    """Classes that the running program has registered are allowed."""

    @keras.saving.register_keras_serializable("tests")
    class Same(layers.Layer):
        def call(self, inputs):
            return inputs

    same = keras.saving.serialize_keras_object(Same(name="same"))
    edit(preset / CONFIG, adds(lambda: same))
    rehash(preset)
    assert_same(keras_gan.from_preset(preset), saved[0])


def test_layers_of_absurd_size_take_no_memory(preset):
    def widen(config):
        first, second = [x for x in generator_layers(config) if x["class_name"] == "Dense"]
        first["config"]["units"] = second["build_config"]["input_shape"][1] = 10**11

    edit(preset / CONFIG, widen)
    rehash(preset)
    assert "weights" in refused(preset)


# Damage.


def cut(name, share=0.5):
    def damage(folder):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(share * len(whole))])

    return damage


def other_weights(folder):
    mlp_gan().save_weights(folder / WEIGHTS)


DAMAGES = {
    "config cut short": (cut(CONFIG), CONFIG),
    "config empty": (cut(CONFIG, 0), CONFIG),
    "config is a list": (lambda f: (f / CONFIG).write_text("[]"), CONFIG),
    "config of another class": (
        lambda f: (f / CONFIG).write_text(
            json.dumps(keras.saving.serialize_keras_object(layers.Dense(1)))
        ),
        CONFIG,
    ),
    "config without networks": (
        lambda f: edit(f / CONFIG, lambda c: c["config"].pop("generator")),
        CONFIG,
    ),
    "config without class": (
        lambda f: edit(f / CONFIG, lambda c: c.pop("class_name")),
        CONFIG,
    ),
    "unknown class": (
        lambda f: edit(f / CONFIG, lambda c: c.update(class_name="Nope", registered_name="Nope")),
        CONFIG,
    ),
    "bytes, no text": (lambda f: (f / CONFIG).write_bytes(b"\xff\xfe\x00"), CONFIG),
    "no config": (lambda f: (f / CONFIG).unlink(), CONFIG),
    "metadata cut short": (cut(METADATA), METADATA),
    "no metadata": (lambda f: (f / METADATA).unlink(), METADATA),
    "metadata is a list": (lambda f: (f / METADATA).write_text("[]"), METADATA),
    "no format": (lambda f: (f / METADATA).write_text("{}"), "format"),
    "format is a word": (
        lambda f: edit(f / METADATA, lambda m: m.update(format="one")),
        "format",
    ),
    "newer format": (
        lambda f: edit(f / METADATA, lambda m: m.update(format=folders.FORMAT + 1)),
        "newer keras-gan",
    ),
    "weights cut short": (cut(WEIGHTS), WEIGHTS),
    "weights empty": (cut(WEIGHTS, 0), WEIGHTS),
    "weights are text": (
        lambda f: (f / WEIGHTS).write_text("<html>"),
        WEIGHTS,
    ),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), WEIGHTS),
    "weights of another model": (other_weights, WEIGHTS),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_broken_preset(damage, preset):
    break_it, word = DAMAGES[damage]
    break_it(preset)
    message = refused(preset)
    assert str(preset) in message
    assert word in message


OTHER_VALUES = (
    [None, True, 0, -1, 3, 1.5, "", "relu", "os.system", "Dense", "Lambda", "keras", "float64"]
    + [[], {}, [4, 4], [[None, 3]], {"class_name": "Dense"}, {"class_name": "Add", "config": {}}]
    + ["\0", "é\n", "x" * 300, 10**400, {"class_name": "__lambda__", "config": {"value": "x"}}]
)


def places(entries):
    """Returns every `(container, key)` of a JSON document."""
    found = []
    keys = entries.keys() if isinstance(entries, dict) else range(len(entries))
    for key in keys:
        found.append((entries, key))
        if isinstance(entries[key], (dict, list)):
            found += places(entries[key])
    return found


def mutate_json(path, where, how, value):
    try:
        entries = json.loads(path.read_text())
    except (ValueError, RecursionError):  # Damaged by an earlier mutation.
        return
    all_places = places(entries) if isinstance(entries, (dict, list)) else []
    if not all_places:
        return
    container, key = all_places[int(where * (len(all_places) - 1))]
    if how == "replaced":
        container[key] = value
    else:
        old = container.pop(key)
        if how == "renamed" and isinstance(container, dict):
            container[f"{key}s"] = old
    path.write_text(json.dumps(entries))


def mutate_bytes(path, where, how, value):
    body = bytearray(path.read_bytes())
    place = int(where * (len(body) - 1))
    if how == "cut":
        body = body[:place]
    elif body:
        body[place] ^= value
    path.write_bytes(body)


fraction = st.floats(0, 1)
json_mutations = st.tuples(
    st.just(mutate_json),
    st.sampled_from([CONFIG, CONFIG, METADATA]),
    fraction,
    st.sampled_from(["removed", "renamed", "replaced", "replaced"]),
    st.sampled_from(OTHER_VALUES),
)
byte_mutations = st.tuples(
    st.just(mutate_bytes),
    st.sampled_from([CONFIG, WEIGHTS, METADATA]),
    fraction,
    st.sampled_from(["cut", "flipped"]),
    st.integers(1, 255),
)


@hypothesis.settings(max_examples=40, derandomize=True, deadline=None, database=None)
@hypothesis.given(
    mutations=st.lists(json_mutations | byte_mutations, min_size=1, max_size=2),
    consistent=st.booleans(),
)
def test_damaged_presets_are_right_or_refused(saved, mutations, consistent):
    """They load as saved or raise one line; even with new hashes, the weights stay the same."""
    gan, original = saved
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(original, Path(parent) / "preset"))
        for mutate, name, *how in mutations:
            # Other weights with a matching hash are a valid preset of another model.
            if not (consistent and name == WEIGHTS):
                mutate(folder / name, *how)
        if consistent:
            (folder / METADATA).write_bytes((original / METADATA).read_bytes())
            rehash(folder)
        try:
            loaded = keras_gan.from_preset(folder)
        except ValueError as error:
            assert str(folder) in str(error)
            assert "\n" not in str(error)
            assert len(str(error)) < 700
            return
        if not consistent:
            assert_same(loaded, gan)
        assert_same_networks(loaded, gan)
