"""Measures what the watch, the checks of a loader's batches and a saved state cost a training.

    KERAS_BACKEND=jax python -m benchmarks.safety --out benchmarks/results/safety/jax.json

Epochs of `dcgan` on 28×28 images with and without, in turns; the ratio of the medians is what
counts. A state is written as often as `keras-gan train` does, every five minutes, so that its cost
is the time of one write against five minutes.
"""

import argparse
import contextlib
import importlib.metadata
import json
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import keras
import numpy as np

import keras_gan
from keras_gan import states
from keras_gan.values import Values
from keras_gan.watch import Watch

BATCH, STEPS = 64, 150
EVERY = 300  # Seconds between two states.


class Loader(keras.utils.PyDataset):
    """Batches of images from a loader of a user's own, each of which is checked."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return len(self.images) // BATCH

    def __getitem__(self, index):
        return self.images[index * BATCH : (index + 1) * BATCH]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    images = keras_gan.datasets.load("fashion_mnist_10k")[: BATCH * STEPS]
    floats = images / np.float32(127.5) - 1
    gan = keras_gan.create_model("dcgan", (28, 28, 1), seed=0)

    def seconds(data, callbacks=(), checked=True):
        unchecked = mock.patch.object(Values, "check_batch", lambda self, samples: None)
        with contextlib.nullcontext() if checked else unchecked:
            start = time.perf_counter()
            gan.fit(data, batch_size=None if isinstance(data, Loader) else BATCH, verbose=0,
                    callbacks=list(callbacks))  # fmt: skip
            return time.perf_counter() - start

    sides = {
        "plain": lambda: seconds(images),
        "watch": lambda: seconds(images, [Watch()]),
        "loader, unchecked": lambda: seconds(Loader(floats), checked=False),
        "loader": lambda: seconds(Loader(floats)),
    }
    times = {name: [] for name in sides}
    for round_ in range(options.rounds + 1):
        # In another order each time, so that what one leaves behind weighs on all.
        for name in [*sides][:: 1 if round_ % 2 else -1]:
            taken = sides[name]()
            if round_:  # The first one compiles.
                times[name].append(taken)
        print(round_, {name: round(values[-1], 2) for name, values in times.items() if values})
    with tempfile.TemporaryDirectory() as folder:
        writes = []
        for i in range(5):
            start = time.perf_counter()
            states.write(Path(folder) / str(i), states.capture(gan), {})
            writes.append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    backend = keras.backend.backend()
    report = {
        "backend": backend,
        "versions": {name: importlib.metadata.version(name) for name in ("keras", backend)},
        "rounds": options.rounds,
        "steps": STEPS,
        "watch": medians["watch"] / medians["plain"],
        "checks": medians["loader"] / medians["loader, unchecked"],
        "state": 1 + statistics.median(writes) / EVERY,
    }
    report = {k: round(v, 4) if isinstance(v, float) else v for k, v in report.items()}
    print(json.dumps(report))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
