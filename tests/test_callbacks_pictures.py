"""Sample grids, pictures, and the order of a run's batches."""

import json

import numpy as np
import pytest
from conftest import BACKEND, pictures, python
from PIL import Image

from keras_gan import callbacks, create_model, datasets, files, metrics, runs
from keras_gan import pictures as drawing


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grid_shows_every_image_between_white_gaps(channels):
    images = pictures(7, (8, 10, channels)) // 2
    grid = drawing.image_grid(images, columns=3)
    assert grid.dtype == "uint8"
    assert grid.shape == (28, 34) + ((channels,) if channels > 1 else ())
    cells = grid.reshape(28, 34, channels)
    for i, image in enumerate(images):
        top, left = i // 3 * 10, i % 3 * 12
        np.testing.assert_array_equal(cells[top : top + 8, left : left + 10], image)
    assert (cells[8:10] == 255).all() and (cells[:, 10:12] == 255).all()
    assert (cells[20:, 12:] == 255).all()  # The empty places of the last row.


@pytest.mark.parametrize(
    ("n", "shape", "size"),
    [
        (64, (28, 28, 1), (238, 238)),
        (1, (8, 8, 1), (8, 8)),
        (3, (8, 8, 1), (18, 18)),
        (10, (8, 98, 1), (98, 98)),
    ],
)
def test_grid_is_nearly_square(n, shape, size):
    assert drawing.image_grid(pictures(n, shape)).shape == size


def test_grid_of_other_channels_shows_the_first_with_a_note():
    images = pictures(4, (8, 8, 2))
    with pytest.warns(UserWarning, match="Of the 2 channels only the first is shown"):
        grid = drawing.image_grid(images)
    np.testing.assert_array_equal(grid, drawing.image_grid(images[..., :1]))


@pytest.mark.parametrize("shape", [(8, 8, 1), (0, 8, 8, 1), (4, 8, 8, 0)])
def test_grid_refuses_what_is_no_image(shape):
    with pytest.raises(ValueError, match="one or more images"):
        drawing.image_grid(np.zeros(shape, "uint8"))


def test_grid_refuses_floats():
    with pytest.raises(TypeError, match="uint8"):
        drawing.image_grid(np.zeros((1, 8, 8, 1)))


@pytest.mark.parametrize(
    ("shape", "mode"), [((5, 7), "L"), ((5, 7, 3), "RGB"), ((5, 7, 4), "RGBA")]
)
def test_saved_image_reads_back_the_same(tmp_path, shape, mode):
    image = pictures(1, shape)[0]
    drawing.save_image(tmp_path / "a.png", image)
    with Image.open(tmp_path / "a.png") as read:
        assert read.mode == mode
        np.testing.assert_array_equal(np.asarray(read), image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_what_fails_midway_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("epochs", [1, 50])
@pytest.mark.parametrize("names", [["d_loss", "g_loss", "d_real", "d_fake"], ["d_loss", "penalty"]])
def test_curves_draw_what_there_is(tmp_path, epochs, names):
    rows = [{"epoch": i + 1} | dict.fromkeys(names, 1 / (i + 1)) for i in range(epochs)]
    drawing.save_curves(tmp_path / "curves.png", rows)
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (600, 840, 3)
    assert (pixels[0, 0] == 255).all()
    blue = np.abs(pixels.astype(int) - [0x00, 0x72, 0xB2]).sum(-1) < 10
    assert blue.sum() > 20


@pytest.mark.parametrize("channels", [1, 3])
def test_sample_grid_shows_the_same_latents_after_each_epoch(tmp_path, channels):
    gan = create_model("vanilla", (8, 8, channels))
    grid = callbacks.SampleGrid(tmp_path / "samples", num=5, seed=3)
    gan.fit(pictures(8, (8, 8, channels)), epochs=2, verbose=0, callbacks=[grid])
    assert sorted(p.name for p in grid.folder.iterdir()) == ["epoch_0001.png", "epoch_0002.png"]
    first, last = (np.asarray(Image.open(grid.path(epoch))) for epoch in range(2))
    np.testing.assert_array_equal(last, drawing.image_grid(gan.generate(5, seed=3)))
    assert (first != last).any()


@pytest.mark.parametrize(("threshold", "epochs"), [(9.0, 1), (-1.0, 3)])
def test_training_stops_at_a_threshold(threshold, epochs):
    distance = metrics.SlicedWassersteinDistance(8)
    gan = create_model("vanilla", (8, 8, 1), metrics=[distance])
    stop = callbacks.StopAtThreshold("val_sliced_wasserstein_distance", threshold)
    images = pictures(8, (8, 8, 1))
    options = {"epochs": 3, "verbose": 0, "callbacks": [stop]}
    history = gan.fit(images, validation_data=images, **options).history
    assert len(history["val_sliced_wasserstein_distance"]) == epochs
    with pytest.raises(ValueError, match=r"no 'val_sliced.*Distances need compile"):
        gan.fit(images, **options)
    wrong = callbacks.StopAtThreshold("val_slicd", 1.0)
    with pytest.raises(ValueError, match="no 'val_slicd'"):
        gan.fit(images, validation_data=images, epochs=9, verbose=0, callbacks=[wrong])
    assert len(gan.history.epoch) == 0  # Raised in the first epoch, before History logs it.
    later = gan.fit(images, validation_data=images, validation_freq=2, **options).history
    assert len(later["d_loss"]) == min(2 * epochs, 3)


def test_a_run_with_some_epochs_not_scored_is_resumed(tmp_path):
    images, name = pictures(8, (8, 8, 1)), "val_sliced_wasserstein_distance"
    for epochs in (3, 5):
        gan = create_model("vanilla", (8, 8, 1), metrics=[metrics.SlicedWassersteinDistance(8)])
        run = runs.RunFolder(tmp_path, callbacks.SeededBatches(images, 4))
        options = {"initial_epoch": run.restore(gan), "epochs": epochs, "callbacks": [run]}
        gan.fit(run.batches, validation_data=images, validation_freq=2, verbose=0, **options)
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4, 5]
    assert [name in row for row in run.rows] == [False, True, False, True, False]
    scores = [run.rows[i][name] for i in (1, 3)]
    found = json.loads((tmp_path / "metadata.json").read_text())["scores"][name]
    assert (found["best"], found["final"]) == (min(scores), scores[1])
    best = json.loads((tmp_path / "best" / "metadata.json").read_text())
    assert best["epochs"] == 2 + 2 * scores.index(min(scores))


def test_batches_show_every_image_once_in_each_pass():
    images = np.arange(10, dtype="uint8").reshape(10, 1, 1, 1)
    batches = callbacks.SeededBatches(images, 2, seed=1)
    assert len(batches) == 5
    orders = []
    for batches.epoch in range(2):
        orders.append(np.concatenate([batches[i] for i in range(5)]).ravel().tolist())
        assert sorted(orders[-1]) == list(range(10))
    assert orders[0] != orders[1]
    again = callbacks.SeededBatches(images, 2, seed=1)
    again.epoch = 1  # As in a resumed run.
    assert [int(i) for step in range(5) for i in again[step].ravel()] == orders[1]
    other = callbacks.SeededBatches(images, 2, seed=2)
    assert [int(i) for step in range(5) for i in other[step].ravel()] != orders[0]


def test_short_epochs_continue_where_the_last_one_ended():
    images = np.arange(12, dtype="uint8").reshape(12, 1, 1, 1)
    batches, seen = callbacks.SeededBatches(images, 3, steps=2), []
    for batches.epoch in range(2):
        seen += [int(i) for step in range(2) for i in batches[step].ravel()]
    assert sorted(seen) == list(range(12))


def test_batches_keep_one_size():
    images = pictures(10)
    assert {len(callbacks.SeededBatches(images, 4)[i]) for i in range(2)} == {4}
    assert len(callbacks.SeededBatches(images, 4)) == 2
    assert len(callbacks.SeededBatches(images, 64)[0]) == 10


def test_batches_of_a_folder(tmp_path):
    for i in range(5):
        drawing.save_image(tmp_path / f"{i}.png", np.full((8, 8), 10 * i, "uint8"))
    folder = datasets.open_images(tmp_path, 8, 1, batch_size=1)
    batches = callbacks.SeededBatches(folder, 5)
    assert batches[0].shape == (5, 8, 8, 1)
    assert sorted(batches[0][:, 0, 0, 0]) == [0, 10, 20, 30, 40]


def test_importing_the_library_loads_no_drawing_and_no_command_line():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_gan; "
        "names = 'matplotlib', 'PIL', 'tqdm', 'keras_gan.cli', 'keras_gan.pictures'; "
        "print([name for name in names if name in set(sys.modules) - before])"
    )
    assert python(BACKEND, "-c", code).strip() == "[]"
