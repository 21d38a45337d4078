"""What would not fit is refused before it is tried, and what is long comes in parts."""

import random
import re
import tracemalloc
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import (
    BACKEND,
    BACKENDS,
    assert_readable,
    folder_numbers,
    mlp_gan,
    pictures,
    points,
    python,
    tiny_gan,
)
from PIL import Image
from preset_files import METADATA, edit

import keras_gan
import keras_gan_cli
from keras_gan import datasets, engine, images, outputs
from keras_gan.commands import data as command_data
from keras_gan.commands.samples import folder_names
from keras_gan.conditions import Labels
from keras_gan.datasets import ImageFolder, splitting
from keras_gan.datasets.batches import Batch
from keras_gan.metrics import report
from keras_gan.presets import memory

once = pytest.mark.once


# Generating.


@once
@pytest.mark.parametrize("num", [1, 64, 65, 130])
def test_batches_are_the_parts_of_generate(saved, num):
    gan, _ = saved
    parts = list(gan.generate_batches(num, seed=3))
    assert [len(part) for part in parts[:-1]] == [64] * ((num - 1) // 64)
    np.testing.assert_array_equal(np.concatenate(parts), gan.generate(num, seed=3))


@once
@pytest.mark.parametrize("wrong", [{"num_samples": 0}, {"batch_size": 0}, {"dtype": "int8"}])
def test_arguments_are_checked_before_the_first_batch(saved, wrong):
    with pytest.raises(ValueError):
        saved[0].generate_batches(**{"num_samples": 1} | wrong)


@once
@pytest.mark.parametrize("out", ["many", "images.npy", "grid.png"])
def test_many_images_are_those_of_generate(saved, tmp_path, out):
    gan, folder = saved
    arguments = ["generate", str(folder), "--num", "150", "--seed", "3"]
    assert keras_gan_cli.main([*arguments, "--out", str(tmp_path / out)]) == 0
    expected = gan.generate(150, seed=3)
    if out == "many":
        paths = sorted((tmp_path / out).iterdir())
        written = np.stack([np.asarray(Image.open(path)) for path in paths])[..., None]
    elif out == "images.npy":
        written = np.load(tmp_path / out)
    else:
        written, expected = np.asarray(Image.open(tmp_path / out)), images.image_grid(expected)
    np.testing.assert_array_equal(written, expected)


@once
def test_an_array_is_written_as_it_comes(tmp_path):
    batches = (np.full((64, 64, 64, 1), i % 256, "uint8") for i in range(300))
    tracemalloc.start()
    try:
        outputs.write_images(tmp_path / "x.npy", batches, 64 * 300)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 64 * 64 * 64  # The file has 300 times as much.
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert array.shape == (19200, 64, 64, 1)
    assert (array[::64, 0, 0, 0] == np.arange(300) % 256).all()


@once
def test_files_are_written_as_they_come(tmp_path):
    def batches():
        for count in range(3):
            assert len(list(tmp_path.iterdir())) == 2 * count
            yield pictures(2)

    outputs.write_images(tmp_path, batches(), 6)
    assert len(list(tmp_path.iterdir())) == 6


@once
def test_names_of_many_files_stay_in_order(tmp_path):
    outputs.write_images(tmp_path, iter([pictures(2)]), 1_000_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.png", "000001.png"]
    with pytest.raises(ValueError, match=r"other files, such as 000000\.png"):
        outputs.write_images(tmp_path, iter([pictures(2)]), 100)


@once
def test_grids_are_bounded(saved, tmp_path, monkeypatch, capsys):
    command = ["generate", str(saved[1]), "--out", str(tmp_path / "x.png"), "--num"]
    assert keras_gan_cli.main([*command, "2000000"]) == 2
    assert "A grid of 2,000,000 images of 8×8 has more than" in capsys.readouterr().err
    with pytest.raises(ValueError) as error:
        images.image_grid(np.broadcast_to(np.uint8(0), (2**21, 8, 8, 1)))
    assert_readable(error, "write them as .npy or to a folder")
    # A callback shows fewer images instead.
    monkeypatch.setattr(images, "MAX_PIXELS", 4 * 64)
    assert images.sample_grid(saved[0], 64).shape == (18, 18)
    gan = SimpleNamespace(condition=Labels(3), sample_shape=(8, 8, 1))
    assert images.class_grid(gan, 64) == (3, 1)
    monkeypatch.setattr(images, "MAX_PIXELS", 2 * 64)
    assert images.class_grid(gan, 64) == (2, 1)


@once
def test_progress_is_shown_on_stderr(saved, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("keras_gan.waiting.PATIENCE", 0)
    arguments = ["generate", str(saved[1]), "--num", "65", "--out", str(tmp_path / "many")]
    assert keras_gan_cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == f"65 images are in {tmp_path / 'many'}\n"
    assert err == "Generating images: 64 of 65\n"


@once
@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["t-shirt/top", "ankle boot"], ["t-shirt-top", "ankle boot"]),
        (["..", "a/../../b", "~", "/etc"], ["000", "001 a-..-..-b", "002 -", "003 -etc"]),
        (["a/b", "a-b"], ["000 a-b", "001 a-b"]),
        (["x\0y", "é" * 300], ["x-y", "é" * 100]),
    ],
)
def test_folders_of_classes_lie_in_the_folder(classes, expected):
    assert folder_names(classes) == expected


# Sizes.


@pytest.fixture
def small_machine(monkeypatch):
    monkeypatch.setattr(memory, "_host_memory", lambda: 1 << 30)
    monkeypatch.setattr(engine, "free_memory", lambda: None)


@once
@pytest.mark.parametrize("shape", [(4000, 4000, 3), (512, 512, 1)])
def test_networks_that_cannot_fit_are_refused_before_they_are_made(
    shape, small_machine, monkeypatch
):
    values = []
    make = keras.Variable._initialize
    monkeypatch.setattr(
        keras.Variable, "_initialize", lambda self, v: (values.append(v), make(self, v))
    )
    with pytest.raises(ValueError) as error:
        keras_gan.create_model("vanilla", shape)
    assert_readable(error, "To train vanilla on images of", "there are 1 GiB")
    assert not values
    keras_gan.create_model("vanilla", (8, 8, 1))
    assert values


@once
@pytest.mark.parametrize("shape", [(10**6, 10**6, 3), (8, 8, 2**60), (2**63, 2**63, 1)])
def test_absurd_images_are_refused(shape):
    for name in ("dcgan", "vanilla", "r3gan"):
        with pytest.raises(ValueError) as error:
            keras_gan.create_model(name, shape)
        assert_readable(error, "at most 67,108,864 values")


@once
@pytest.mark.parametrize("shape", [28, ("a", 300, 400), (300, 400), None, (8.0, 8.0, 1)])
def test_shapes_that_are_none(shape):
    with pytest.raises(ValueError) as error:
        keras_gan.create_model("vanilla", shape)
    assert_readable(error, "(height, width, channels)")


@once
def test_batches_that_cannot_fit_are_refused(forty, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "_host_memory", lambda: 40 << 20)
    monkeypatch.setattr(engine, "free_memory", lambda: None)
    command = ["train", "vanilla", "--data", str(forty), "--out", str(tmp_path / "run")]
    assert keras_gan_cli.main([*command, "--image-size", "64"]) == 2
    assert "To train vanilla on batches of 40 images of 64×64×3" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@once
@pytest.mark.parametrize("size", ["1000000", "8x99999999"])
def test_absurd_sizes_are_not_blamed_on_the_images(forty, size, capsys):
    arguments = ["train", "vanilla", "--data", str(forty), "--image-size", size]
    assert keras_gan_cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert "image_size must give at most 67,108,864 pixels" in err and err.count("\n") == 1


@once
def test_the_least_that_training_takes():
    gan = tiny_gan()
    weights = gan.generator.count_params() + gan.discriminator.count_params()
    made = (4 + 64) + (4 + 1)  # By the dense layers, of each sample.
    networks = [gan.generator, gan.discriminator]
    assert memory.bytes_needed(networks, 10) == 8 * weights + 4 * 10 * made


# Seeds.


@pytest.mark.parametrize("seed", [2**31 - 1, 2**31, 2**32 - 1, 2**70])
def test_any_seed_trains_on_any_backend(seed):
    noise = []
    for s in (seed, seed - 1, seed):
        gan = mlp_gan(seed=s)
        gan.compile(run_eagerly=True)
        gan.train_on_batch(points(4))
        noise.append(np.asarray(keras.ops.convert_to_numpy(mlp_gan(seed=s).noise.state)))
    assert (noise[0] == noise[2]).all() and (noise[0] != noise[1]).any()


@once
@pytest.mark.parametrize("seed", [-1, 1.5, "1"])
def test_seeds_that_are_none(seed):
    with pytest.raises(ValueError) as error:
        mlp_gan(seed=seed)
    assert_readable(error, "seed must be None or a whole number ≥ 0")


DRAWN = """
import random, sys, keras
from keras_gan.engine.keras_internals import set_random_seed
set_random_seed(7)
noise = keras.ops.convert_to_numpy(keras.random.normal((1,)))
print(float(noise[0]), random.random(), "tensorflow" in sys.modules)
"""


@once
def test_seeding_is_that_of_keras_without_tensorflow():
    keras.utils.set_random_seed(7)
    noise = float(keras.ops.convert_to_numpy(keras.random.normal((1,)))[0])
    expected = [noise, random.random(), BACKEND == "tensorflow"]
    assert python(BACKEND, "-c", DRAWN).split() == [str(value) for value in expected]


@pytest.mark.full
@once
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "tensorflow"])
def test_the_command_imports_no_tensorflow(backend, forty, tmp_path):
    code = """
import sys, keras_gan_cli
assert keras_gan_cli.main(sys.argv[1:]) == 0
print("tensorflow" in sys.modules)
"""
    arguments = ["--data", forty, "--image-size", 8, "--out", tmp_path / "run", "--epochs", 1]
    out = python(backend, "-c", code, "train", "vanilla", *arguments)
    assert out.splitlines()[-1] == "False"


# Scores.


@once
def test_too_few_images_are_refused_before_anything_is_read(monkeypatch, capsys):
    monkeypatch.setattr(command_data, "two_splits", lambda *_: pytest.fail("the images are read"))
    arguments = ["evaluate", "dcgan_fashion_mnist", "--data", "fashion_mnist_10k"]
    assert keras_gan_cli.main([*arguments, "--num-images", "5"]) == 2
    assert "precision_recall needs at least 6 images on each side" in capsys.readouterr().err


@once
def test_too_few_images_are_refused_before_any_is_generated():
    metrics = report.default_metrics((28, 28, 1))
    gan = SimpleNamespace(
        condition=None, generate=lambda *_, **__: pytest.fail("images are generated")
    )
    for sizes in ((5, 9), (9, 5)):
        real, held_out = (pictures(n, (28, 28, 1)) for n in sizes)
        with pytest.raises(ValueError, match="needs at least 6 images on each side"):
            report.report(gan, real, held_out, metrics, 9, verbose=0)


def numbers(images):
    return folder_numbers(np.concatenate([images[i] for i in range(len(images))]))


@once
def test_images_that_score_are_not_trained_on(forty):
    opened = splitting.opened(forty, image_size=8, channels=1, batch_size=1)
    trained, scored = splitting.without_scored(str(forty), opened, 100)
    assert sorted(folder_numbers(scored.samples)) == [0, 10, 20, 30]
    assert sorted(numbers(trained.samples)) == [i for i in range(40) if i % 10]
    trained.samples.epoch = 1
    assert sorted(numbers(trained.samples)) == [i for i in range(40) if i % 10]
    _, fewer = splitting.without_scored(str(forty), opened, 2)
    assert sorted(folder_numbers(fewer.samples)) == [0, 20]


@once
def test_images_that_score_keep_their_classes(forty):
    for i, path in enumerate(sorted(forty.iterdir())):
        (forty / "ab"[i % 2]).mkdir(exist_ok=True)
        path.rename(forty / "ab"[i % 2] / path.name)
    opened = splitting.opened(forty, image_size=8, channels=1, batch_size=1, labels=True)
    trained, scored = splitting.without_scored(str(forty), opened, 100)
    assert len(scored.samples) == 4
    for values, labels in [scored, *(trained.samples[i] for i in range(len(trained.samples)))]:
        assert [number % 2 for number in folder_numbers(values)] == list(labels)


@once
def test_sets_with_one_split_are_divided(monkeypatch):
    values, labels = datasets.load("fashion_mnist_10k", labels=True)
    opened = Batch(values, labels)
    trained, scored = splitting.without_scored("fashion_mnist_10k", opened, 10_000)
    assert len(trained.samples) == len(trained.condition) == 9000
    np.testing.assert_array_equal(scored.samples, values[::10])
    np.testing.assert_array_equal(scored.condition, labels[::10])
    other = values[::-1]
    monkeypatch.setattr(
        splitting, "open_images", lambda *_, labels, **__: (other, labels) if labels else other
    )
    trained, scored = splitting.without_scored("x", Batch(values), 50)
    assert trained.samples is values
    np.testing.assert_array_equal(scored.samples, other[:50])


@once
def test_a_subset_of_a_folder_leaves_it_as_it_is(forty):
    folder = ImageFolder(forty, 8, 1, batch_size=1)
    before = numbers(folder)
    part = folder.subset(np.arange(40) < 3)
    part.on_epoch_end()
    assert sorted(numbers(part)) == [0, 1, 2] and part.num_images == len(part) == 3
    assert numbers(folder) == before and folder.epoch == 0


# What is printed.


@once
def test_presets_do_not_control_the_terminal(preset, capsys):
    clear = "\x1b[2J\x07\r"
    edit(preset / METADATA, lambda metadata: metadata.update({clear: clear, "more": {clear: 1}}))
    assert keras_gan_cli.main(["info", str(preset)]) == 0
    out = capsys.readouterr().out
    assert not re.search(r"[\x1b\x07\r]", out) and r"\x1b[2J\x07\r" in out
    assert keras_gan_cli.main(["info", f"{preset}{clear}"]) == 2
    err = capsys.readouterr().err
    assert not re.search(r"[\x1b\x07\r]", err) and err.count("\n") == 1


@once
def test_long_arguments_are_not_repeated_in_full(capsys):
    assert keras_gan_cli.main(["generate", "x", "--num", "9" * 5000]) == 2
    assert len(capsys.readouterr().err) < 700
