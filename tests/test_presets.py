"""Presets: written, found, loaded and used."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKEND, assert_equal, changed, fit, mlp_gan, pictures, tiny_gan, values
from PIL import Image
from preset_files import (
    CONFIG,
    METADATA,
    WEIGHTS,
    config,
    contents,
    refused,
)

import keras_gan
from keras_gan import GAN, conditions, files, presets
from keras_gan.images import sample_grid
from keras_gan.presets import folders
from keras_gan.presets.card import write_card
from zoo.tools import bundle

FILES = ["README.md", CONFIG, METADATA, WEIGHTS, "samples.png"]

# Written and loaded.


SPELLINGS = [
    keras_gan.from_preset,
    GAN.from_preset,
]


@pytest.mark.parametrize("load", SPELLINGS, ids=["function", "classmethod"])
def test_round_trip(load, saved):
    gan, folder = saved
    for name in (folder, str(folder)):
        loaded = load(name)
        assert type(loaded) is GAN
        assert_equal(values(loaded.weights), values(gan.weights))
        assert config(loaded) == config(gan)
        np.testing.assert_array_equal(loaded.generate(3, seed=1), gan.generate(3, seed=1))
    before = values(loaded.weights)
    fit(loaded, pictures(8))
    assert any(changed(before, values(loaded.weights)))


@pytest.mark.parametrize("load", SPELLINGS, ids=["function", "classmethod"])
def test_without_weights(load, saved):
    gan, folder = saved
    loaded = load(folder, load_weights=False)
    assert config(loaded) == config(gan)
    # Random kernels, and an average that starts from them.
    assert_equal(values(loaded.ema_generator), values(loaded.generator))
    assert not np.allclose(loaded.generator.get_weights()[0], 0)
    assert any(changed(values(loaded.weights), values(gan.weights)))


def test_what_is_written(tmp_path):
    history = [{"epoch": i, "d_loss": 1.0, "g_loss": 0.5} for i in (1, 2)]
    scores = {"frechet_distance": {"mean": 1.5, "floor": 0.25, "protocol": {"num_images": 10}}}
    tiny_gan().save_to_preset(tmp_path, history, note="a test", scores=scores, paper="Us 2026")
    assert sorted(contents(tmp_path)) == sorted([*FILES, "curves.png", "training.csv"])
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    metadata = json.loads((tmp_path / METADATA).read_text())
    assert metadata["format"] == folders.FORMAT
    assert metadata["note"] == "a test"
    assert set(metadata["files"]) == {*contents(tmp_path)} - {METADATA}
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "$" not in card
    for part in ("- paper: Us 2026", "- frechet_distance: mean 1.5, floor 0.25\n", "(curves.png)"):
        assert part in card


@pytest.mark.once
@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (None, ["pipeline_tag: unconditional-image-generation", "gan.generate(64, seed=0)"]),
        (conditions.Labels(["a hat", "bag"]), ["pipeline_tag: other", 'condition="a hat"']),
        (conditions.Vector(3), ["pipeline_tag: other", "condition=vector"]),
        (conditions.Downscaled(2), ["pipeline_tag: image-to-image", "gan.translate(pictures)"]),
    ],
)
def test_the_card_says_how_a_model_is_used(condition, words):
    text = write_card({"name": "mine"}, curves=False, condition=condition)
    assert all(word in text for word in words)


@pytest.mark.once
def test_the_card_of_a_score_without_a_floor():
    scores = {"psnr": {"final": 20.5, "floor": None, "protocol": "10,000 images"}}
    text = write_card({"name": "mine", "scores": scores}, curves=False)
    assert "- psnr: final 20.5\n" in text


def test_uncompiled_preset(tmp_path):
    mlp_gan().save_to_preset(tmp_path)
    assert not keras_gan.from_preset(tmp_path).compiled


def test_saving_again_replaces_the_preset_and_keeps_other_files(preset):
    (preset / "card.md").write_text("mine")
    (preset / "grids").mkdir()
    (preset / "grids" / "1.png").write_bytes(b"png")
    other = tiny_gan(loss="hinge")
    other.save_to_preset(preset)
    loaded = keras_gan.from_preset(preset)
    assert loaded.get_config()["loss"] == "hinge"
    assert_equal(values(loaded.weights), values(other.weights))
    assert (preset / "card.md").read_text() == "mine"
    assert (preset / "grids" / "1.png").read_bytes() == b"png"
    assert not list(preset.glob(".writing*"))


def full_disk(*args, **options):
    raise OSError(28, "No space left on device")


BREAKS = {
    "config and metadata": (Path, "write_text"),
    "weights": (Path, "write_bytes"),
    "moving": (os, "rename"),
}


@pytest.mark.parametrize("breaks", BREAKS)
@pytest.mark.parametrize("existed", [False, True])
def test_full_disk_leaves_the_folder_as_it_was(breaks, existed, preset, tmp_path, monkeypatch):
    folder = preset if existed else tmp_path / "new"
    before = contents(folder) if existed else {}
    with monkeypatch.context() as patch:
        patch.setattr(*BREAKS[breaks], full_disk)
        with pytest.raises(OSError, match="No space left"):
            tiny_gan(loss="hinge").save_to_preset(folder)
    left = contents(folder) if folder.exists() else {}
    assert left == before
    assert not folder.exists() or sorted(p.name for p in folder.iterdir()) == sorted(before)


def test_metadata_that_is_no_json_leaves_the_folder_as_it_was(preset):
    before = contents(preset)
    with pytest.raises(TypeError):
        tiny_gan().save_to_preset(preset, note=object())
    assert contents(preset) == before


# Found.


def test_unknown_name_tells_the_closest(preset, monkeypatch):
    bundled = {f"{name}_fashion_mnist": preset for name in ("dcgan", "wgan_gp", "vanilla")}
    monkeypatch.setattr(folders, "_bundled", lambda: bundled)
    message = refused("dcgan_fashion_mnst")
    assert "did you mean 'dcgan_fashion_mnist'" in message
    assert "wgan_gp_fashion_mnist" in message


def test_a_folder_that_is_no_preset():
    assert "'no/such/folder'" in refused("no/such/folder")
    assert "not a preset folder" in refused(Path(__file__).parent)


def test_presets_by_name(preset, monkeypatch):
    monkeypatch.setattr(folders, "_bundled", lambda: {"tiny": preset, "other": preset})
    assert keras_gan.list_presets() == ["other", "tiny"]
    assert keras_gan.list_presets("t*") == ["tiny"]
    assert keras_gan.from_preset("tiny").sample_shape == (8, 8, 1)
    assert "'tiny'" in refused("tyni")


# Used.


def test_fit_starts_from_both_networks(saved):
    gan = keras_gan.from_preset(saved[1])
    before = {name: values(getattr(gan, name).weights) for name in ("generator", "discriminator")}
    for name, weights in before.items():
        assert_equal(weights, values(getattr(saved[0], name).weights))
    fit(gan, pictures(8), 4)
    for name, weights in before.items():
        after = values(getattr(gan, name).weights)
        assert all(changed(weights, after))
        assert_equal(weights, after, atol=0.1)  # After two small steps.


def run_onnx(path, latents):
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: latents})[0]


def run_saved_model(path, latents):
    import tensorflow as tf

    model = tf.saved_model.load(path)  # Keeps its variables alive.
    return model.serve(latents)


def run_litert(path, latents):
    import tensorflow as tf

    with warnings.catch_warnings(action="ignore"):  # About moving to another package.
        interpreter = tf.lite.Interpreter(path)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, latents.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, latents)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


# The formats that Keras exports to on each backend, and the packages they need.
EXPORTS = {
    ("onnx", "torch"): (run_onnx, ".onnx", ["onnx", "onnxscript"]),
    ("onnx", "tensorflow"): (run_onnx, ".onnx", ["tf2onnx"]),
    ("onnx", "jax"): (run_onnx, ".onnx", ["jax2onnx", "flax"]),
    ("tf_saved_model", "tensorflow"): (run_saved_model, "", []),
    ("tf_saved_model", "jax"): (run_saved_model, "", ["tensorflow"]),
    ("litert", "tensorflow"): (run_litert, ".tflite", []),
}


@pytest.mark.parametrize("format", [kind for kind, backend in EXPORTS if backend == BACKEND])
def test_exported_generator_makes_the_same_images(format, saved, tmp_path):
    run, suffix, packages = EXPORTS[format, BACKEND]
    for package in packages:
        pytest.importorskip(package)
    gan = keras_gan.from_preset(saved[1])
    expected = gan.generate(5, seed=0)
    path = str(tmp_path / f"generator{suffix}")
    gan.export(path, format=format, verbose=False)
    latents = np.random.default_rng(0).standard_normal((5, 3), "float32")
    images = np.rint((np.asarray(run(path, latents)) + 1) * 127.5)
    assert expected.std() > 10
    np.testing.assert_allclose(images, expected.astype("float32"), atol=1)


OLD = Path(__file__).parent / "data" / "preset_format_1"


def test_packing_keeps_the_average_and_the_discriminator(saved, preset):
    bundle.pack(preset)
    gan, packed = saved[0], keras_gan.from_preset(preset)
    kept = {"generator": "ema_generator", "ema_generator": "ema_generator"}
    for name, source in (kept | {"discriminator": "discriminator"}).items():
        weights = (getattr(owner, n).get_weights() for owner, n in ((packed, name), (gan, source)))
        for found, expected in zip(*weights, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", keras_gan.list_presets())
def test_bundled(name):
    folder = presets.find_preset(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12 << 20
    metadata = json.loads((folder / METADATA).read_text())
    told = {"variant", "data", "data_sha256", "licence", "limits", "paper", "recipe", "scores"}
    assert told <= metadata.keys() and metadata["name"] == name
    for file, facts in metadata["files"].items():
        assert files.file_facts(folder / file) == facts
    samples = sample_grid(keras_gan.from_preset(name))
    with Image.open(folder / "samples.png") as committed:
        distance = np.asarray(committed).astype("int16") - samples
    # A few pixels may round differently.
    assert abs(distance).max() <= 1 and (distance != 0).mean() < 1e-3


def test_old_preset_still_loads():
    """It was saved by version 0.1.0 on JAX; later versions must read it on every backend."""
    gan = keras_gan.from_preset(OLD)
    expected = np.load(OLD / "samples.npy")
    found = gan.generate(len(expected), seed=0)
    assert found.dtype == expected.dtype == np.uint8
    assert expected.std() > 10
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)
    assert gan.compiled
    assert json.loads((OLD / METADATA).read_text())["format"] == 1
