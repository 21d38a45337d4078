"""Trains a tiny GAN for many steps, and measures whether memory, files and step time stay flat.

    KERAS_BACKEND=jax python -m benchmarks.endurance --out benchmarks/results/endurance/jax.json

The training uses all that may pile up: batch normalization, a term, a moving average, validation
with a metric, a `Watch`, and a `Run` that saves states, presets and pictures. Needs Linux.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_gan
from keras_gan.metrics import SlicedWassersteinDistance
from keras_gan.runs import Run
from keras_gan.watch import Watch

SHAPE = (8, 8, 1)
BATCH, EPOCH = 16, 1000  # Samples in a step, steps in an epoch.
GROWTH = (
    0.02  # Of memory between the third fifth of the training, when heaps are full, and the last.
)


class Meter(keras.callbacks.Callback):
    """Measures the process after the steps of each epoch, before anything is saved."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 < EPOCH:
            return
        float(logs["d_loss"])  # Waits for the step.
        wall, cpu = time.perf_counter() - self.start[0], time.process_time() - self.start[1]
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        row = {
            "memory_mib": pages * os.sysconf("SC_PAGESIZE") / 2**20,
            "open_files": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "milliseconds": 1e3 * wall / EPOCH,
            "cpu_milliseconds": 1e3 * cpu / EPOCH,
        }
        self.rows.append({name: round(value, 3) for name, value in row.items()})


def build():
    """Returns a compiled GAN of a few hundred weights."""
    keras.utils.set_random_seed(0)
    generator = keras.Sequential([
        keras.Input((8,)), layers.Dense(16), layers.BatchNormalization(), layers.ReLU(),
        layers.Dense(64, "tanh"), layers.Reshape(SHAPE),
    ])  # fmt: skip
    discriminator = keras.Sequential([
        keras.Input(SHAPE), layers.Conv2D(4, 3, strides=2), layers.LeakyReLU(), layers.Flatten(),
        layers.Dense(1),
    ])  # fmt: skip
    gan = keras_gan.GAN(generator, discriminator, terms=["r1"], ema_momentum=0.99, seed=0)
    rates = keras.optimizers.Adam(1e-4, 0.5), keras.optimizers.Adam(1e-4, 0.5)
    gan.compile(*rates, metrics=[SlicedWassersteinDistance(8)])
    return gan


def measure(steps):
    """Returns the meter's rows of a training of so many steps."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4096, *SHAPE), dtype="uint8")
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder:
        build().fit(
            images, batch_size=BATCH, steps_per_epoch=EPOCH, epochs=steps // EPOCH, verbose=0,
            validation_data=images[:64], callbacks=[meter, Watch(), Run(folder)],
        )  # fmt: skip
    return meter.rows


def summary(rows):
    """Returns the medians of the third fifth of an endurance run, and those of the last one."""
    fifth = max(1, len(rows) // 5)
    parts = {"middle": rows[2 * fifth : 3 * fifth] or rows, "late": rows[-fifth:]}
    return {
        part: {name: statistics.median(row[name] for row in some) for name in rows[0]}
        for part, some in parts.items()
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50_000, help="default: 50,000")
    parser.add_argument("--out", type=Path, help="a .json file for the figures")
    args = parser.parse_args(arguments)
    backend = keras.backend.backend()
    rows = measure(max(args.steps, EPOCH))
    found = summary(rows)
    versions = {name: importlib.metadata.version(name) for name in ("keras", backend)}
    facts = {"backend": backend, "steps": EPOCH * len(rows), "versions": versions}
    facts |= {"device": keras_gan.engine.device_name(), "summary": found, "rows": rows}
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"{'':<18}{'middle':>12}{'late':>12}")
    for name, middle in found["middle"].items():
        print(f"{name:<18}{middle:>12g}{found['late'][name]:>12g}")
    grown = found["late"]["memory_mib"] > (1 + GROWTH) * found["middle"]["memory_mib"]
    return int(grown or found["late"]["open_files"] > found["middle"]["open_files"])


if __name__ == "__main__":
    sys.exit(main())
