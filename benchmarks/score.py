"""Measures what scoring 10,000 generated images costs, compared with an epoch of `dcgan`.

KERAS_BACKEND=jax python -m benchmarks.score
"""

import argparse
import importlib.metadata
import json
import statistics
import time
from pathlib import Path

import keras

import keras_gan
from keras_gan.datasets.batches import Batch
from keras_gan.metrics import FrechetDistance
from keras_gan.metrics.report import score

NUM, ROUNDS, STEPS = 10_000, 3, 20


def generated(gan):
    return Batch(gan.generate(NUM, seed=0, batch_size=500))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json-out", help="file for the results")
    options = parser.parse_args()
    images = keras_gan.datasets.load("fashion_mnist")
    gan = keras_gan.create_model("dcgan", seed=0)
    metric = FrechetDistance("fashion_mnist_classifier")
    part, real = images[: 64 * STEPS], Batch(images[:NUM])
    sides = {
        "epoch": lambda: gan.fit(part, batch_size=64, verbose=0),
        "score": lambda: score([metric], real, generated(gan)),
        "score, real side known": lambda: score(
            [metric], real, generated(gan), keys=("benchmark", None)
        ),
    }
    times = {name: [] for name in sides}
    for round_number in range(ROUNDS + 1):  # The first one compiles and is not counted.
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if round_number:
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    medians["epoch"] *= len(images) / len(part)
    shares = {name: value / medians["epoch"] for name, value in medians.items()}
    for name, value in shares.items():
        print(f"{name:24s} {value:.3f} of an epoch of {len(images)} images")
    if options.json_out:
        backend = keras.backend.backend()
        about = {"backend": backend, "device": keras_gan.engine.device_name()}
        about["versions"] = {name: importlib.metadata.version(name) for name in ("keras", backend)}
        Path(options.json_out).write_text(json.dumps(about | {"share_of_epoch": shares}, indent=1))


if __name__ == "__main__":
    main()
