"""The progress of a training, in a terminal or a log."""

import os
import sys
import time
from typing import Any

import keras

Logs = dict[str, Any] | None


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
        self._first: int | None = None  # A resumed run may start in the middle of an epoch.
        self._show(f"{self._title()}: starting")

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._first = batch if self._first is None else self._first
        now = time.perf_counter()
        if not self._terminal or now - self._shown < 0.2:
            return
        self._shown = now
        steps = self.params["steps"]
        per_step = (now - self._start) / (batch + 1 - self._first)
        left = per_step * (steps * (self._epochs_left() + 1) - batch - 1)
        self._show(f"{self._title()}: step {batch + 1}/{steps}{_losses(logs)}, {_time(left)} left")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        seconds = time.perf_counter() - self._start
        parts = [f"{self._title()}: {_time(seconds)}{_losses(logs)}"]
        if self._epochs_left() and not self.model.stop_training:
            whole = seconds / (1 - (self._first or 0) / self.params["steps"])
            parts.append(f"{_time(whole * self._epochs_left())} left")
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
