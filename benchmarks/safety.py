"""Measures what the watch, the checks of a loader's batches and the states of a run cost.

    KERAS_BACKEND=jax python -m benchmarks.safety --out benchmarks/results/safety/jax.json

Each costs less than a training's time differs from one minute to the next, so that two trainings
cannot show it. Their own time is taken instead, inside a training of `dcgan` on 28×28 images, and
divided by that of the whole: per epoch of 60,000 images for the watch, per step for the checks, and
per five minutes, after which `keras-gan train` writes a state.
"""

import argparse
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

BATCH, STEPS = 64, 938  # An epoch of 60,000 images.
EVERY = 300  # Seconds between two states.


class Loader(keras.utils.PyDataset):
    """A loader of a user's own, of float images, each batch of which is checked."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return len(self.images) // BATCH

    def __getitem__(self, index):
        return self.images[index * BATCH : (index + 1) * BATCH]


def timed(owner, name, times):
    """Returns a patch of a method that notes how many seconds each call takes."""
    method = getattr(owner, name)

    def call(*args, **kwargs):
        start = time.perf_counter()
        result = method(*args, **kwargs)
        times.append(time.perf_counter() - start)
        return result

    return mock.patch.object(owner, name, call)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200, help="in each of six epochs")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    images = keras_gan.datasets.load("fashion_mnist_10k")
    images = np.resize(images, (BATCH * options.steps, 28, 28, 1)) / np.float32(127.5) - 1
    gan = keras_gan.create_model("dcgan", (28, 28, 1), seed=0)
    gan.optimizer.iterations.assign(10_000)  # The watch looks at samples after 1,000 updates.
    looks, judged, checks, epochs = [], [], [], []
    with (
        timed(Watch, "_look_at_losses", looks),
        timed(Watch, "_look_at_weights_and_samples", judged),
        timed(Values, "check_batch", checks),
    ):
        for _ in range(6):
            start = time.perf_counter()
            gan.fit(Loader(images), epochs=1, verbose=0, callbacks=[Watch()])
            epochs.append(time.perf_counter() - start)
    writes = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(5):
            start = time.perf_counter()
            states.write(Path(folder) / str(i), states.capture(gan), {})
            writes.append(time.perf_counter() - start)
    step = statistics.median(epochs[1:]) / options.steps
    # The first call of each compiles. A look waits for the steps that are still under way, which
    # is no cost of its own: the cheapest tell what is.
    look, judging = min(looks), statistics.median(judged[1:])
    backend = keras.backend.backend()
    report = {
        "backend": backend,
        "versions": {name: importlib.metadata.version(name) for name in ("keras", backend)},
        "share_of_a_training": {
            "watch": (STEPS / 100 * look + judging) / (STEPS * step),
            "checks": statistics.median(checks) / step,
            "states": statistics.median(writes) / EVERY,
        },
    }
    shares = report["share_of_a_training"]
    shares |= {name: round(share, 5) for name, share in shares.items()}
    print(json.dumps(report))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
