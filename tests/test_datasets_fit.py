"""A folder of images given to Keras' own loops, on each backend."""

import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import folder_numbers

from keras_gan.datasets import ImageFolder


class Mean(keras.Model):
    """The smallest model that trains on images alone."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(initializer="ones")

    def call(self, images):
        return self.scale * keras.ops.mean(keras.ops.cast(images, "float32"), axis=(1, 2, 3)) / 255

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)


class RecordingFolder(ImageFolder):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.epochs = [[]]

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        self.epochs[-1].append((index, folder_numbers(batch)))
        return batch

    def on_epoch_end(self):
        super().on_epoch_end()
        self.epochs.append([])


@pytest.mark.parametrize("workers", [1, 3])
def test_fit_from_a_folder(forty, workers):
    folder = RecordingFolder(forty, 8, 1, batch_size=16, workers=workers)
    model = Mean()
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    history = model.fit(folder, epochs=3, verbose=0).history["loss"]
    assert len(history) == 3 and history[0] > history[1] > history[2]
    # Keras reads some batches more, to build the model: with workers, it may be an epoch.
    orders = [dict(epoch) for epoch in folder.epochs if len(dict(epoch)) == len(folder)]
    assert len(orders) >= 3
    flat = [order[0] + order[1] + order[2] for order in orders]
    assert all(sorted(order) == list(range(40)) for order in flat)
    assert len(set(map(tuple, flat))) == len(flat)


def test_a_resumed_fit_reads_what_it_would_have_read(forty):
    read = []
    for start in (0, 2):
        folder = RecordingFolder(forty, 8, 1, batch_size=16)
        set_epoch = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs, folder=folder: setattr(folder, "epoch", epoch)
        )
        model = Mean()
        model.compile(optimizer="sgd")
        # Without shuffle=False, Keras shuffles the batches by Python's own generator.
        options = {"initial_epoch": start, "epochs": 4, "shuffle": False, "verbose": 0}
        model.fit(folder, callbacks=[set_epoch], **options)
        read.append([epoch for epoch in folder.epochs if len(epoch) == len(folder)][-2:])
    assert len(read[0]) == 2 and read[0] == read[1]


def test_evaluate_and_predict_from_a_folder(forty):
    folder = ImageFolder(forty, 8, 1, batch_size=16, shuffle=False)
    model = Mean()
    model.compile()
    means = model.predict(folder, verbose=0)
    np.testing.assert_allclose(means, 6 * np.arange(40) / 255, rtol=1e-5)
    assert math.isclose(model.evaluate(folder, verbose=0), means.mean(), rel_tol=0.1)


ITERATE = """
import sys
from keras_gan import datasets
print(sum(len(batch) for batch in datasets.ImageFolder(sys.argv[1], 8)), *sys.modules)
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow is the backend")
def test_no_tensorflow_is_needed(forty):
    output = subprocess.run(
        [sys.executable, "-c", ITERATE, forty],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert output[0] == "40" and keras.backend.backend() in output
    assert "tensorflow" not in output
