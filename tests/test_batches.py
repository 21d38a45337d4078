"""The order of the library's own batches."""

import numpy as np
import pytest
from conftest import pictures

from keras_gan import datasets
from keras_gan.datasets.batches import SeededBatches
from keras_gan.images import save_image

pytestmark = pytest.mark.once


def test_batches_show_every_image_once_in_each_pass():
    images = np.arange(10, dtype="uint8").reshape(10, 1, 1, 1)
    batches = SeededBatches(images, 2, seed=1)
    assert len(batches) == 5
    orders = []
    for batches.epoch in range(2):
        orders.append(np.concatenate([batches[i][0] for i in range(5)]).ravel().tolist())
        assert sorted(orders[-1]) == list(range(10))
    assert orders[0] != orders[1]
    again = SeededBatches(images, 2, seed=1)
    again.epoch = 1  # As in a resumed run.
    assert [int(i) for step in range(5) for i in again[step][0].ravel()] == orders[1]
    other = SeededBatches(images, 2, seed=2)
    assert [int(i) for step in range(5) for i in other[step][0].ravel()] != orders[0]


def test_short_epochs_continue_where_the_last_one_ended():
    images = np.arange(12, dtype="uint8").reshape(12, 1, 1, 1)
    batches, seen = SeededBatches(images, 3, steps=2), []
    for batches.epoch in range(2):
        seen += [int(i) for step in range(2) for i in batches[step][0].ravel()]
    assert sorted(seen) == list(range(12))


def test_batches_keep_one_size():
    images = pictures(10)
    batches = SeededBatches(images, 4, drop_remainder=True)
    assert [len(batches[i][0]) for i in range(len(batches))] == [4, 4]
    batches = SeededBatches(images, 4)
    assert [len(batches[i][0]) for i in range(len(batches))] == [4, 4, 2]
    assert len(SeededBatches(images, 64, drop_remainder=True)[0][0]) == 10


def test_batches_of_a_folder(tmp_path):
    for i in range(5):
        save_image(tmp_path / f"{i}.png", np.full((8, 8), 10 * i, "uint8"))
    folder = datasets.open_images(tmp_path, 8, 1, batch_size=1)
    batches = SeededBatches(folder, 5)
    assert batches[0][0].shape == (5, 8, 8, 1)
    assert sorted(batches[0][0][:, 0, 0, 0]) == [0, 10, 20, 30, 40]
