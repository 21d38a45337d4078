"""Runs: a training in a folder that can be looked at, loaded and resumed."""

import csv
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gan import presets
from keras_gan.callbacks import SampleGrid
from keras_gan.datasets.batches import SeededBatches
from keras_gan.engine.keras_internals import set_random_seed
from keras_gan.files import replacing
from keras_gan.gan import GAN

Logs = dict[str, Any] | None


class RunFolder(keras.callbacks.Callback):
    """Saves a run after each epoch, in a folder that can be looked at, loaded and resumed.

    The folder is a preset. Besides a preset's files (`training.csv` with a row per epoch,
    `curves.png` and `samples.png` among them) it contains the samples of each epoch
    (`samples/epoch_0001.png`, …) and `state_0001.weights.h5`: the whole model and its optimizers
    after the epoch of that number. The randomness of each epoch depends only on the seed and the
    epoch's number, so a resumed run repeats an uninterrupted one.

    If the logs contain a distance (`fit` with `validation_data` and metrics), `best/` is the preset
    of the epoch with the smallest one. An epoch whose losses are not finite is not saved and ends
    the training.

    Args:
        folder: The run's folder; it is created if missing.
        batches: What `fit` is given as `x`.
        **metadata: More entries for the preset's `metadata.json`.

    Attributes:
        rows: The logs of all epochs, those before a resume included, with `epoch` (from 1) and
            `seconds`.
        failed_epoch: The number, from 1, of the epoch whose losses were not finite, or None.

    Example:

    >>> run = RunFolder("runs/mine", SeededBatches(images, 64))  # doctest: +SKIP
    >>> done = run.restore(gan)  # doctest: +SKIP
    >>> gan.fit(
    ...     run.batches, epochs=9, initial_epoch=done, shuffle=False, callbacks=[run]
    ... )  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike, batches: SeededBatches, **metadata: Any) -> None:
        super().__init__()
        self.folder, self.batches, self.metadata = Path(folder), batches, metadata
        self.grid = SampleGrid(self.folder / "samples")
        self.rows: list[dict[str, float]] = []
        self.failed_epoch: int | None = None

    def restore(self, gan: GAN) -> int:
        """Loads the state after the last saved epoch; returns the number of epochs done.

        Args:
            gan: The model, built and compiled as for the run.

        Returns:
            The `initial_epoch` for `fit`; 0, with the model unchanged, if no epoch was saved.
        """
        for leftover in self.folder.rglob(".writing-*"):  # From a process that was killed.
            shutil.rmtree(leftover, ignore_errors=True)
        states = self._states()
        if not states:
            return 0
        gan.load_weights(states[-1])
        done = _epoch_of(states[-1])
        # A process killed before it saved the state may have written the row already.
        self.rows = _read_rows(self.folder / "training.csv")[:done]
        return done

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.batches.epoch = epoch
        _reseed(self.model, self.batches.seed, epoch)
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not all(map(math.isfinite, logs.values())):
            self.failed_epoch = epoch + 1
            self.model.stop_training = True
            return
        seconds = round(time.perf_counter() - self._start, 3)
        self.rows.append({"epoch": epoch + 1, **logs, "seconds": seconds})
        self.grid.set_model(self.model)
        self.grid.on_epoch_end(epoch)
        self._save_presets()
        self._save_state(epoch)

    def _save_presets(self):
        """Saves the model as a preset, and in best/ too if it is the best one so far."""
        last = self.rows[-1]
        seconds = round(sum(row["seconds"] for row in self.rows), 3)
        facts = self.metadata | {"epochs": last["epoch"], "seconds": seconds}
        name = next((name for row in self.rows for name in row if "distance" in name), None)
        if name:
            scored = [row for row in self.rows if name in row]  # validation_freq skips epochs.
            best = min(scored, key=lambda row: row[name])
            scores = {"best": best[name], "final": scored[-1][name]}
            facts["scores"] = {name: scores | {"protocol": self._protocol(name)}}
            if best is last:
                presets.save_to_preset(self.model, self.folder / "best", self.rows, **facts)
        presets.save_to_preset(self.model, self.folder, self.rows, **facts)

    def _protocol(self, name):
        metrics = {f"val_{metric.name}": metric for metric in self.model.metrics}
        return getattr(metrics.get(name), "protocol", None)

    def _save_state(self, epoch):
        """Saves the whole model. This comes last: the epoch counts as done once the file is there.

        `replacing` moves the finished file into place, so a killed process leaves no half of one.
        """
        older = self._states()
        with replacing(self.folder / f"state_{epoch + 1:04d}.weights.h5") as part:
            self.model.save_weights(part)
        for path in older:
            path.unlink()

    def _states(self):
        return sorted(self.folder.glob("state_*.weights.h5"), key=_epoch_of)


def _epoch_of(state):
    return int(state.name.removeprefix("state_").partition(".")[0])


def _read_rows(path):
    with open(path, newline="") as file:
        rows = [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
    return [row | {"epoch": int(row["epoch"])} for row in rows]


def _reseed(model, *entropy: int) -> None:
    """Makes all randomness of training from here on depend only on the given numbers."""

    def seed(*more):
        return np.random.SeedSequence([*entropy, *more]).generate_state(2)

    # The generators of PyTorch, NumPy and Python …
    set_random_seed(int(seed()[0]))
    # … and those of Keras, whose states weights files lack. Some are int32, hence 31 bits.
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for i, state in enumerate(states):
        state.assign(seed(i) >> 1)


class TimeLeft(keras.callbacks.Callback):
    """Prints a line per epoch: its losses, the time left in all, and where the samples are.

    On a terminal it also shows the current epoch's progress, in a line that it overwrites.

    Args:
        samples: The path of the samples' picture.
    """

    async_safe = True  # Keras may run it in another thread: no step waits until losses are known.

    def __init__(self, samples: str | os.PathLike) -> None:
        super().__init__()
        self.samples = samples
        self._terminal = sys.stdout.isatty()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch, self._start, self._shown = epoch, time.perf_counter(), 0.0
        self._show(f"{self._title()}: starting")

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        now = time.perf_counter()
        if not self._terminal or now - self._shown < 0.2:
            return
        self._shown = now
        steps = self.params["steps"]
        done = (batch + 1) / steps
        left = (now - self._start) / done * (self._epochs_left() + 1 - done)
        self._show(f"{self._title()}: step {batch + 1}/{steps}{_losses(logs)}, {_time(left)} left")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        seconds = time.perf_counter() - self._start
        parts = [f"{self._title()}: {_time(seconds)}{_losses(logs)}"]
        if self._epochs_left() and not self.model.stop_training:
            parts.append(f"{_time(seconds * self._epochs_left())} left")
        parts.append(f"samples: {self.samples}")
        self.clear()
        print(", ".join(parts), flush=True)

    def clear(self) -> None:
        """Clears the line that shows the current epoch's progress."""
        self._show("")

    def _title(self):
        return f"Epoch {self._epoch + 1}/{self.params['epochs']}"

    def _epochs_left(self):
        return self.params["epochs"] - self._epoch - 1

    def _show(self, line):
        """Replaces the last line of a terminal."""
        if self._terminal:
            print(f"\r\x1b[K{line}", end="", flush=True)


def _losses(logs):
    names = [name for name in logs or {} if name in ("d_loss", "g_loss") or "distance" in name]
    return "".join(f", {name} {float(logs[name]):.4g}" for name in names)


def _time(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
