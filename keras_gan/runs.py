"""Runs: a training in a folder that can be looked at, loaded and resumed."""

import contextlib
import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gan import states
from keras_gan.callbacks import SampleGrid
from keras_gan.files import WRITING
from keras_gan.locks import locked

Logs = dict[str, Any] | None
MINUTES = 5.0  # Between two states in an epoch.


class Stopped(KeyboardInterrupt):
    """Ends `fit` after a signal, once the run's state is saved.

    Attributes:
        signal: The signal's number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__()
        self.signal = signal


class ResumeError(ValueError):
    """Tells why a folder, a model or data cannot continue a run."""


class Run(keras.callbacks.Callback):
    """Keeps a training in a folder; the same lines, run again, continue where it stopped.

    However the process ends, also by a power cut in the middle of an epoch, the next `fit` with a
    `Run` of the same folder continues from the last state, at most `minutes` old. On a CPU it ends
    with the weights, optimizers, averages, losses and pictures of a run that was never stopped, bit
    for bit. `BackupAndRestore` and `ModelCheckpoint` cannot do that: they save neither the random
    states nor the place in the data nor the means of the epoch so far, repeat the steps of an epoch
    that was interrupted, and `ModelCheckpoint` needs `initial_epoch` besides.

    The folder is a preset. Besides a preset's files (`training.csv` with a row per epoch,
    `curves.png` and `samples.png` among them) it contains the samples of each epoch
    (`samples/epoch_0001.png`, …) and the last two states, `state_0003_000120.state` after 3 epochs
    and 120 steps. If the newest state is damaged, training continues from the one before, with a
    warning. One process at a time writes to the folder.

    If the logs contain a distance (`fit` with `validation_data` and metrics), `best/` is the preset
    of the epoch with the smallest one. An epoch whose losses are not finite is not saved and ends
    the training.

    A state in the middle of an epoch needs data whose order the library knows: arrays, and
    `ImageFolder`. With other data, a run resumes at the start of an epoch: exactly if a
    `keras.utils.PyDataset` or `DataLoader` gives the same batches in each epoch or shuffles with
    the generators of Python, NumPy or torch; not so with `tf.data.Dataset.shuffle`, and generators
    start over. Layers that draw from TensorFlow's own `tf.random` are not resumed exactly either.
    Other callbacks start anew: `EarlyStopping` counts from there.

    Args:
        folder: The run's folder; it is created if missing.
        minutes: The time between two states within an epoch; 0 saves one after each step.
        **metadata: More entries for the preset's `metadata.json`.

    Attributes:
        rows: The logs of all epochs, those before a resume included, with `epoch` (from 1) and
            `seconds`. So does the `History` that `fit` returns.
        failed_epoch: The number, from 1, of the epoch whose losses were not finite, or None.

    Raises:
        ResumeError: From `fit`, before the first step, if the folder contains something else than
            a run that can be resumed, or the model or the data are others than those of the run.
        BlockingIOError: From `fit`, if another process writes to the folder.

    Example:

    >>> run = keras_gan.runs.Run("runs/mine")  # doctest: +SKIP
    >>> gan.fit(images, epochs=20, callbacks=[run])  # doctest: +SKIP
    """

    def __init__(
        self, folder: str | os.PathLike, minutes: float | None = None, **metadata: Any
    ) -> None:
        super().__init__()
        self.folder, self.metadata = Path(folder), metadata
        self.minutes = MINUTES if minutes is None else minutes
        self.grid = SampleGrid(self.folder / "samples", show=False)
        self.rows: list[dict[str, float]] = []
        self.failed_epoch: int | None = None
        self.stop: int | None = None  # The signal after which the training is to end.
        self.stepping = False  # Whether a signal can wait for the end of a step or an epoch.
        self.facts: dict[str, Any] = {"epoch": 0, "step": 0, "data": None}
        self._last: Path | None = None  # The newest state.
        self._loaded: tuple[dict, dict] | None = None  # What is to be continued.
        self._open = False

    # Where the training stands. `keras_gan.resuming` asks for it.

    @contextlib.contextmanager
    def opened(self, gan) -> Iterator[None]:
        """Locks the folder and loads the last state into a model, built and compiled as for it.

        Raises:
            ResumeError, OSError: As the class says.
        """
        if self._open:
            yield
            return
        # Of several processes that train together, the first one writes.
        with locked(self.folder) if gan.leads else contextlib.nullcontext():
            self.set_model(gan)
            try:
                self._open = True
                self._restore(gan)
                yield
            finally:
                self._open, self._loaded = False, None

    @property
    def epochs_done(self) -> int:
        """The number of epochs in the last state."""
        return self.facts["epoch"]

    @property
    def steps_done(self) -> int:
        """The number of steps that have been made of the epoch after these."""
        return self.facts["step"]

    def _restore(self, gan) -> None:
        if gan.leads:
            for leftover in self.folder.rglob(f"{WRITING}*"):  # From a process that was killed.
                shutil.rmtree(leftover, ignore_errors=True)
        self._last, self._loaded = self._newest()
        if self._loaded is None:
            return
        arrays, facts = self._loaded
        self.facts = dict(facts)
        try:
            states.apply(gan, arrays)
        except ValueError as error:
            raise ResumeError(
                f"Cannot resume {self.folder}: {error}. Build the model as when the run was "
                "started, or choose another folder."
            ) from error
        self.rows = list(self.facts["rows"])

    def _newest(self) -> tuple[Path | None, Any]:
        """Returns the newest state that can be read, and its path; None and None for a new run."""
        problems = []
        for path in reversed(self._states()):
            try:
                loaded = states.read(path)
            except (OSError, ValueError) as error:
                problems.append(f"{path.name} cannot be read: {error}")
                continue
            if problems:
                warnings.warn(f"{problems[0]}; resuming from {path.name}.", stacklevel=2)
            return path, loaded
        if problems:
            raise ResumeError(
                f"Cannot resume {self.folder}: {problems[0]}, and there is no other state. Start a "
                "new run in another folder."
            )
        if others := [n for n in ("training.csv", "metadata.json") if (self.folder / n).exists()]:
            raise ResumeError(
                f"Cannot resume {self.folder}: it contains {others[0]}, but no state. Start a new "
                "run in another folder."
            )
        return None, None

    def check_data(self, facts: dict[str, Any] | None) -> None:
        """Raises ResumeError if a resumed run gets other data, or in another order, than before.

        Args:
            facts: What identifies the data and its order, as JSON values; None if it is unknown.
        """
        facts = json.loads(json.dumps(facts))
        before = self.facts["data"]
        if self._loaded is not None and (self.steps_done or before) and facts != before:
            before, facts = before or {}, facts or {}
            changed = [n for n in {**before, **facts} if before.get(n) != facts.get(n)]
            raise ResumeError(
                f"Cannot resume {self.folder}: the {' and the '.join(changed)} of the data changed "
                "since the run was started. Give the same data, or choose another folder."
            )
        self.facts["data"] = facts

    # Epochs.

    def before_epoch(self, loader) -> None:
        """Sets what the other callbacks find when an epoch begins; is called before them all."""
        gan = self.model
        if self._loaded is not None:
            arrays, facts = self._loaded
            states.apply(gan, arrays)
            gan.step_means.reset_state()  # As Keras has done.
            gan.optimizer.ratio = facts["ratio"]
            if facts["begun"]:
                for variable, rate in zip(gan.optimizer.rates(), facts["rates"], strict=True):
                    variable.assign(rate)
                if loader is not None:
                    loader.epoch = facts["data_epoch"]
        # Callbacks change the rates when an epoch begins, and will do so again when it is resumed.
        self.facts["rates"] = [float(rate) for rate in map(_number, gan.optimizer.rates())]
        self.facts["data_epoch"] = getattr(loader, "epoch", None)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch, self._start = epoch, time.perf_counter()
        self._saved = time.monotonic()
        if self._loaded is not None:
            self._show_history()
            self.model.compilation = self.facts["compilation"]
            if self.steps_done == 0:
                self._continue()
        if self._last is None:
            self._save(epoch, 0, begun=True)

    def before_step(self) -> None:
        """Prepares the first step after a resume in the middle of an epoch.

        By now, Keras has started to read the data, for which torch draws a number.
        """
        self.stepping = True
        self._continue()

    def _continue(self) -> None:
        """Undoes what was done since the model was loaded, by other callbacks for example."""
        if self._loaded is not None and self._loaded[1]["begun"]:
            arrays, facts = self._loaded
            states.apply(self.model, arrays)
            self._start -= facts["seconds"]
        self._loaded = None

    def after_step(self, step: int) -> None:
        """Saves a state if it is time; raises `Stopped` after a signal.

        Args:
            step: The number of steps that have been made in this epoch.
        """
        now = time.monotonic()
        due = now - self._saved >= 60 * self.minutes
        if step < self.params["steps"] and (self.stop or due):
            if self._finite():
                self._save(self._epoch, step, begun=True)
            if self.stop:
                raise Stopped(self.stop)

    def _finite(self) -> bool:
        """Returns whether the losses of the epoch so far are finite."""
        return bool(np.isfinite(_number(self.model.step_means.totals)).all())

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if self._finite():  # Logs are not, where a `Watch` has rolled back at the epoch's end.
            means = self.model.step_means.names
            logs = {n: v for n, v in logs.items() if math.isfinite(v) or n not in means}
        if not (self._finite() and all(map(math.isfinite, logs.values()))):
            self.failed_epoch = epoch + 1
            self.model.stop_training = True
            return
        seconds = round(time.perf_counter() - self._start, 3)
        self.rows.append({"epoch": epoch + 1, **logs, "seconds": seconds})
        if self.model.leads:
            random = states.random_states()
            self.grid.set_model(self.model)
            self.grid.on_epoch_end(epoch)
            with self.model.alone():
                self._save_presets()
            states.set_random_states(random)  # Saving builds networks, which draw seeds.
        # This comes last: the epoch counts as done once the state is there.
        self._save(epoch + 1, 0, begun=False)
        self.stepping = False
        if self.stop:
            raise Stopped(self.stop)

    def on_train_end(self, logs: Logs = None) -> None:
        if self._loaded is not None:  # All epochs were done before.
            self._show_history()

    def _show_history(self) -> None:
        """Puts the epochs before a resume into what `fit` returns."""
        for row in self.rows:
            logs = {name: row[name] for name in row if name not in ("epoch", "seconds")}
            self.model.history.on_epoch_end(int(row["epoch"]) - 1, logs)

    # Files.

    def _save_presets(self) -> None:
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
                self.model.save_to_preset(self.folder / "best", self.rows, **facts)
        self.model.save_to_preset(self.folder, self.rows, **facts)

    def _protocol(self, name):
        metrics = {f"val_{metric.name}": metric for metric in self.model.metrics}
        return getattr(metrics.get(name), "protocol", None)

    def _save(self, epoch: int, step: int, begun: bool) -> None:
        """Saves the state after so many epochs and steps, and keeps the last one before it.

        Args:
            epoch: The number of epochs that are done.
            step: The number of steps that are done of the next one.
            begun: Whether the callbacks' `on_epoch_begin` of that epoch has been called.
        """
        gan = self.model
        self._saved = time.monotonic()
        # By all processes: those of TensorFlow add up their means when they are read.
        arrays = states.capture(gan)
        path = self.folder / f"state_{epoch:04d}_{step:06d}.state"
        if not gan.leads:
            self._last = path
            return
        self.facts |= {
            "epoch": epoch,
            "step": step,
            "begun": begun,
            "seconds": time.perf_counter() - self._start,
            "rows": self.rows,
            "ratio": gan.optimizer.ratio,
            "compilation": gan.compilation,
        }
        states.write(path, arrays, self.facts)
        for other in self._states():
            if other not in (path, self._last):
                other.unlink()
        self._last = path

    def _states(self) -> list[Path]:
        """Returns the states, the oldest first."""
        return sorted(self.folder.glob("state_*_*.state"), key=_place)


def _place(state: Path) -> list[int]:
    return [int(part) if part.isdecimal() else 0 for part in state.stem.split("_")[1:]]


def _number(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)
