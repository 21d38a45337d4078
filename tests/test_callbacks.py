"""Sample grids and thresholds, and runs that score some epochs."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import pictures
from PIL import Image

from keras_gan import callbacks, create_model, events, metrics, runs
from keras_gan.images import image_grid


@pytest.mark.once
@pytest.mark.parametrize("channels", [1, 3])
def test_sample_grid_shows_the_same_latents_after_each_epoch(tmp_path, channels):
    gan = create_model("vanilla", (8, 8, channels))
    grid = callbacks.SampleGrid(tmp_path / "samples", num=5, seed=3)
    gan.fit(pictures(8, (8, 8, channels)), epochs=2, verbose=0, callbacks=[grid])
    assert sorted(p.name for p in grid.folder.iterdir()) == ["epoch_0001.png", "epoch_0002.png"]
    first, last = (np.asarray(Image.open(grid.path(epoch))) for epoch in range(2))
    np.testing.assert_array_equal(last, image_grid(gan.generate(5, seed=3)))
    assert (first != last).any()


@pytest.mark.once
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


@pytest.mark.once
def test_a_run_with_some_epochs_not_scored_is_resumed(tmp_path):
    images, name = pictures(8, (8, 8, 1)), "val_sliced_wasserstein_distance"
    for epochs in (3, 5):
        gan = create_model("vanilla", (8, 8, 1), metrics=[metrics.SlicedWassersteinDistance(8)])
        run = runs.Run(tmp_path)
        options = {"batch_size": 4, "epochs": epochs, "callbacks": [run], "verbose": 0}
        gan.fit(images, validation_data=images, validation_freq=2, **options)
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4, 5]
    assert [name in row for row in run.rows] == [False, True, False, True, False]
    scores = [run.rows[i][name] for i in (1, 3)]
    found = json.loads((tmp_path / "metadata.json").read_text())["scores"][name]
    assert (found["best"], found["final"]) == (min(scores), scores[1])
    best = json.loads((tmp_path / "best" / "metadata.json").read_text())
    assert best["epochs"] == 2 + 2 * scores.index(min(scores))


@pytest.mark.once
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_and_numbers_in_tensorboard(tmp_path, channels):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    gan = create_model("vanilla", (8, 8, channels))
    grid = callbacks.SampleGrid(num=4, tensorboard=tmp_path)
    images = pictures(8, (8, 8, channels))
    options = {"verbose": 0, "callbacks": [grid], "validation_data": images}
    gan.fit(images, epochs=1, **options)
    logs = gan.fit(images, epochs=2, initial_epoch=1, **options).history
    drawn = []
    for run, name in (("train", "d_loss"), ("validation", "val_d_loss")):
        found = EventAccumulator(str(tmp_path / run))
        found.Reload()
        scalars = found.Scalars("epoch_d_loss")
        assert [scalar.step for scalar in scalars] == [0, 1]
        assert scalars[1].value == pytest.approx(logs[name][0], rel=1e-6)
        assert found.Tags()["images"] == (["samples"] if run == "train" else [])
        drawn = drawn or found.Images("samples")
    picture = np.asarray(Image.open(io.BytesIO(drawn[1].encoded_image_string)))
    np.testing.assert_array_equal(picture, image_grid(gan.generate(4, seed=0)))
    assert (drawn[1].height, drawn[1].width) == picture.shape[:2]


# As PyTorch and JAX users have it, without importing TensorFlow where it is installed.
ALONE = """
import runpy
import sys
import numpy as np

Events = runpy.run_path(sys.argv[1])["Events"]
Events(sys.argv[2]).write(0, {"d_loss": 1.0}, np.zeros((8, 8, 3), "uint8"))
assert "tensorflow" not in sys.modules
"""


@pytest.mark.once
def test_tensorboard_without_tensorflow(tmp_path):
    subprocess.run([sys.executable, "-c", ALONE, events.__file__, tmp_path], check=True)
    assert len(list(tmp_path.glob("train/events.out.tfevents.*"))) == 1


@pytest.mark.once
def test_tensorboard_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
        callbacks.SampleGrid(tensorboard=tmp_path)


@pytest.mark.once
def test_grids_that_go_nowhere():
    with pytest.raises(ValueError, match="folder= or tensorboard="):
        callbacks.SampleGrid()
