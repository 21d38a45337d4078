"""Presets that ask for too much: other files, absurd sizes, endless reading, weights of no use."""

import os
import warnings

import keras
import numpy as np
import pytest
from conftest import tiny_gan
from keras import layers
from preset_files import (
    CONFIG,
    METADATA,
    WEIGHTS,
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

# Files that are none, and configs that are too much.


def test_special_files_are_not_waited_for(preset):
    """A pipe would be read for ever, /dev/zero until the memory is full."""
    for name in (CONFIG, METADATA, WEIGHTS):
        whole = (preset / name).read_bytes()
        (preset / name).unlink()
        os.mkfifo(preset / name)
        assert f"{name}: it is not a regular file" in refused(preset)
        (preset / name).unlink()
        (preset / name).symlink_to("/dev/zero")
        assert f"{name}: it is not a regular file" in refused(preset)
        (preset / name).unlink()
        (preset / name).write_bytes(whole)
    keras_gan.from_preset(preset)


@pytest.mark.parametrize("name", [CONFIG, METADATA])
def test_the_bytes_that_are_read_are_bounded(preset, name, monkeypatch):
    monkeypatch.setattr(folders, "file_facts", lambda path: pytest.fail("it is hashed"))
    os.truncate(preset / name, 1 << 40)  # Takes no room on the disk.
    assert name in refused(preset)
    with pytest.raises(ValueError, match="more than the 8,388,608 bytes allowed"):
        safety.read_json(preset / name)


@pytest.mark.parametrize("depth", [200, 10_000])
@pytest.mark.parametrize("name", [CONFIG, METADATA])
def test_deep_nesting_is_refused(preset, name, depth):
    text = (preset / name).read_text().rstrip().removesuffix("}")
    text += ', "more": ' + '{"x": [' * depth + "]}" * depth + "}"
    (preset / name).write_text(text)
    if name == CONFIG:
        rehash(preset)
    assert f"{name}: it is nested more than 100 deep" in refused(preset)


def many(layer, count):
    """Puts so many layers into the generator, before the last one."""

    def change(config):
        added = [bait(layer, config={"name": f"more_{i}"}) for i in range(count)]
        generator_layers(config)[-1:-1] = added

    return change


def nested(times, levels):
    """Puts in a network that calls a network several times, which calls another one as often."""
    inner = layers.Identity()
    for level in range(levels):
        inputs = x = keras.Input((3,))
        for _ in range(times):
            x = inner(x)
        inner = keras.Model(inputs, x, name=f"level_{level}")
    network = keras.saving.serialize_keras_object(inner)
    return lambda config: generator_layers(config).insert(1, network)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (many("Flatten", 20_000), "objects"),
        (many("Flatten", 1_000), "layers are called"),
        (nested(10, 3), None),
        (nested(2, 9), None),
    ],
)
def test_configs_that_take_for_ever_to_build_are_refused(preset, change, word, monkeypatch):
    edit(preset / CONFIG, change)
    rehash(preset)
    if word is None:
        monkeypatch.setattr(safety, "MAX_CALLS", 1000)
        word = "layers are called"
    monkeypatch.setattr(folders, "_networks", lambda *_: pytest.fail("they are built"))
    assert word in refused(preset)


def test_absurd_latents_are_refused_before_any_are_drawn(preset):
    """No layer has weights for each of them, so the file of weights is large enough."""
    generator = keras.Sequential(
        [
            keras.Input((2**33,)),
            layers.Reshape((2**20, 2**13)),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, use_bias=False),
            layers.RepeatVector(64),
            layers.Reshape((8, 8, 1)),
        ]
    )
    network = keras.saving.serialize_keras_object(generator)
    edit(preset / CONFIG, gives("generator", lambda: network))
    rehash(preset)
    os.truncate(preset / WEIGHTS, 1 << 20)
    rehash(preset)
    assert "(8589934592,)" in refused(preset)


def test_maps_of_absurd_size_are_refused(preset):
    def change(config):
        generator_layers(config)[-1:-1] = [
            bait("UpSampling2D", config={"name": "up", "size": [2**12, 2**12]}),
            bait("MaxPooling2D", config={"name": "down", "pool_size": [2**12, 2**12]}),
        ]

    edit(preset / CONFIG, change)
    rehash(preset)
    assert "its layer up gives (32768, 32768, 1)" in refused(preset)


def test_arrays_of_absurd_types_are_refused(preset):
    array = {"class_name": "__numpy__", "config": {"value": ["a"] * 100, "dtype": "S1000000000"}}
    edit(preset / CONFIG, gives("loss", lambda: array))
    rehash(preset)
    assert "S1000000000" in refused(preset)


@pytest.mark.parametrize("name", ["", "\0", "no\0name", "x" * 5000, "x/" * 3000, "~nobody/x"])
def test_odd_names_are_unknown(name):
    assert "no preset or folder" in refused(name)


def test_weights_that_are_not_finite_are_refused(preset):
    gan = keras_gan.from_preset(preset)
    for value in ("nan", "inf"):
        bias = next(w for w in gan.ema_generator.weights if w.name == "bias")
        bias.assign(np.full(bias.shape, float(value)))
        gan.save_weights(preset / WEIGHTS)
        rehash(preset)
        assert f"{WEIGHTS}: weights in " in refused(preset)


def test_an_empty_file_of_weights_is_to_blame(preset):
    (preset / WEIGHTS).write_bytes(b"")
    rehash(preset)
    assert f"{WEIGHTS}: it has 0 bytes" in refused(preset)


# Files outside the preset.


def scored(folder, *metrics):
    """Saves a preset with metrics; returns it."""
    gan = tiny_gan()
    gan.compile(metrics=[*metrics, keras_gan.metrics.SlicedWassersteinDistance(4)])
    gan.save_to_preset(folder)
    return folder


@pytest.fixture
def extractor(tmp_path):
    path = tmp_path / "ext.keras"
    keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten()]).save(path)
    return path


def _metrics(config):
    return config["compile_config"]["metrics"]


def test_metrics_that_read_other_files_are_left_out(extractor, tmp_path, monkeypatch):
    distance = keras_gan.metrics.FrechetDistance(str(extractor))
    other = keras_gan.metrics.PrecisionRecall(str(extractor), name="another")
    metrics = [keras.saving.serialize_keras_object(metric) for metric in (distance, other)]
    with pytest.warns(UserWarning, match="left out"):
        folder = scored(tmp_path / "p", distance, other)
    assert "ext.keras" not in (folder / CONFIG).read_text()
    # A stranger's preset may name one all the same.
    edit(folder / CONFIG, lambda config: _metrics(config).extend(metrics))
    rehash(folder)
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("it is opened"))
    for _ in range(2):  # Whether the file is there or not.
        with pytest.warns(UserWarning) as caught:
            gan = keras_gan.from_preset(folder)
        assert ["ext.keras" in str(w.message) for w in caught if w.category is UserWarning] == [
            True
        ]
        names = [metric.name for metric in gan.compiled_distances]
        assert names == ["sliced_wasserstein_distance"]
        extractor.unlink(missing_ok=True)


def test_the_librarys_own_extractors_are_kept(tmp_path):
    distance = keras_gan.metrics.FrechetDistance("fashion_mnist_classifier")
    with warnings.catch_warnings(action="error", category=UserWarning):
        gan = keras_gan.from_preset(scored(tmp_path / "p", distance))
    assert gan.compiled_distances[0].name == "frechet_distance"


@pytest.mark.parametrize("place", ["loss", "terms", "augment"])
def test_a_metric_anywhere_else_opens_no_file(place, extractor, preset, monkeypatch):
    metric = keras.saving.serialize_keras_object(keras_gan.metrics.FrechetDistance(str(extractor)))
    edit(preset / CONFIG, gives(place, lambda: [metric] if place == "terms" else metric))
    rehash(preset)
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("it is opened"))
    assert "ext.keras" in refused(preset)


# Examples, which have no hash.


def examples(path, samples=(4, 8, 8, 1), condition=(4, 2, 2, 1), dtype="float32"):
    np.savez_compressed(path, samples=np.zeros(samples, dtype), condition=np.zeros(condition))
    return path


SHAPES = {"samples": (8, 8, 1), "condition": (2, 2, 1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": (4, 9, 8, 1)}, r"samples are no floats of shape \(n, 8, 8, 1\)"),
        ({"condition": (2, 2)}, r"condition are no floats of shape \(n, 2, 2, 1\)"),
        ({"dtype": "S4"}, "samples are no floats"),
        ({"samples": (10_000, 8, 8, 1)}, "more than examples take"),
    ],
)
def test_examples_are_as_expected(tmp_path, change, message):
    arrays = safety.read_examples(examples(tmp_path / "right.npz"), SHAPES)
    assert arrays["samples"].shape == (4, 8, 8, 1)
    with pytest.raises(ValueError, match=message):
        safety.read_examples(examples(tmp_path / "wrong.npz", **change), SHAPES)


def test_a_pipe_in_place_of_examples_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "examples.npz")
    with pytest.raises(ValueError, match="not a regular file"):
        safety.read_examples(tmp_path / "examples.npz", SHAPES)
