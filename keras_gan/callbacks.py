"""Callbacks for GANs: sample grids, a threshold, a learning-rate decay; Keras' own, adapted."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan import engine, events, notebooks
from keras_gan.datasets import ImageFolder
from keras_gan.datasets.batches import SeededBatches
from keras_gan.errors import closest


class SampleGrid(keras.callbacks.Callback):
    """Saves a grid of generated images after each epoch: `epoch_0001.png`, `epoch_0002.png`, ….

    All epochs use the same latents, so the grids show how the same images change. In a notebook,
    the newest grid is also shown below the cell.

    Args:
        folder: The folder for the grids; it is created if missing. None saves no files.
        num: The number of images in a grid.
        seed: The seed of the latents, as in `GAN.generate`.
        tensorboard: A folder for TensorBoard, which gets the grids and the logs of each epoch; None
            for none. Needs the package `tensorboard`, but not TensorFlow, which Keras' own callback
            needs. `tensorboard --logdir FOLDER` opens it.
        show: Whether to show the grids in a notebook.

    Raises:
        ModuleNotFoundError: If `tensorboard` is given and its package is not installed.
        ValueError: If the grids would go nowhere.

    Example:

    >>> gan.fit(images, epochs=5, callbacks=[SampleGrid("samples", num=16)])  # doctest: +SKIP
    """

    writes = True  # Of several processes that train together, only the first one runs it.

    def __init__(
        self,
        folder: str | os.PathLike | None = None,
        num: int = 64,
        seed: int = 0,
        tensorboard: str | os.PathLike | None = None,
        show: bool = True,
    ) -> None:
        super().__init__()
        self.folder, self.num, self.seed = folder if folder is None else Path(folder), num, seed
        self.events = None if tensorboard is None else events.Events(tensorboard)
        self.show = show and notebooks.is_open()
        self.shown: notebooks.Picture | None = None
        if self.folder is None and self.events is None and not self.show:
            raise ValueError("Outside notebooks, SampleGrid needs folder= or tensorboard=.")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.shown = notebooks.Picture() if self.show else None  # Below the cell of this training.

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        from keras_gan.images import sample_grid, save_image  # They need Pillow; models do not.

        grid = sample_grid(self.model, self.num, self.seed)
        if self.events is not None:
            self.events.write(epoch, {k: float(v) for k, v in (logs or {}).items()}, grid)
        if grid is None:
            return
        if self.folder is not None:
            save_image(self.path(epoch), grid)
        if self.shown is not None:
            self.shown.show(grid)

    def path(self, epoch: int) -> Path:
        """Returns the file of an epoch's grid; epochs count from 0."""
        return Path(self.folder or "") / f"epoch_{epoch + 1:04d}.png"


class StopAtThreshold(keras.callbacks.Callback):
    """Stops training once a logged value is small enough.

    Args:
        monitor: The name of a value in the epoch's logs, such as `"val_frechet_distance"`.
        threshold: Training stops after the first epoch whose value is at most this.

    Raises:
        ValueError: After the first epoch (with `validation_freq`, after the first one that is
            validated), if the logs have no value of that name.

    Example:

    >>> stop = StopAtThreshold("val_frechet_distance", 20.0)
    >>> gan.fit(images, epochs=100, validation_data=test, callbacks=[stop])  # doctest: +SKIP
    """

    def __init__(self, monitor: str, threshold: float) -> None:
        super().__init__()
        self.monitor, self.threshold = monitor, threshold
        self.seen = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.seen = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if self.monitor in logs:
            self.seen = True
            if float(logs[self.monitor]) <= self.threshold:
                self.model.stop_training = True
        elif not self.seen and not self._may_come_later(epoch, logs):
            raise ValueError(
                f"There is no {closest(self.monitor, logs)} "
                "Distances need compile(metrics=[…]) and fit(validation_data=…)."
            )

    def _may_come_later(self, epoch, logs):
        """Whether the value may be missing only because validation_freq skipped this epoch."""
        validated = any(name.startswith("val_") for name in logs)
        more_epochs = epoch + 1 < (self.params or {}).get("epochs", 0)
        return self.monitor.startswith("val_") and not validated and more_epochs


class LinearDecay(keras.callbacks.LearningRateScheduler):
    """Lowers both learning rates linearly towards zero in the last part of training.

    They fall once per epoch; if that part has `n` epochs, the last one is trained at `1 / n` of the
    full rates. After each epoch the full rates are restored, so a model saved then resumes at them.

    Args:
        part: The share of the epochs in which the rates fall, above 0 and at most 1.

    Raises:
        ValueError: If `part` is out of range.

    Example:

    >>> gan.fit(images, epochs=60, callbacks=[LinearDecay(1 / 3)])  # doctest: +SKIP
    """

    def __init__(self, part: float) -> None:
        if not 0 < part <= 1:
            raise ValueError(f"part must be in 0…1 (0 excluded); got {part!r}.")
        super().__init__(self._lowered)
        self.part = part

    def _lowered(self, epoch, rate):
        self._full, epochs = rate, self.params["epochs"]
        self._share = min(1.0, (epochs - epoch) / (self.part * epochs))
        return rate * self._share

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        lowered = np.float32(self._full * self._share)
        # Another callback may have lowered it within the epoch: that remains.
        self.model.optimizer.learning_rate = self._full if rate == lowered else rate / self._share


# Fitting Keras' own callbacks to a GAN.


def adapt_callbacks(callbacks: Any, verbose: int | str) -> list[keras.callbacks.Callback]:
    """Returns the callbacks for one `fit` of a GAN: the user's, and those that Keras' own need.

    Args:
        callbacks: None, a callback, a nested list of them, or a `keras.callbacks.CallbackList`.
        verbose: As in `fit`; 0 shows no progress bar.

    Raises:
        ValueError: For `SwapEMAWeights`, which would swap weights that a GAN does not have.
    """
    callbacks = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or [])
    if any(isinstance(callback, keras.callbacks.SwapEMAWeights) for callback in callbacks):
        raise ValueError(
            "SwapEMAWeights needs an average kept by the optimizer, but a GAN averages its "
            "generator itself: use GAN(…, ema_momentum=0.999) instead. generate() and evaluate() "
            "then use that average."
        )
    progress = [] if verbose == 0 else [_Progress()]
    terminators = [c for c in callbacks if isinstance(c, keras.callbacks.TerminateOnNaN)]
    return callbacks + progress + [_pass_losses_to(callback) for callback in terminators]


class _Progress(keras.callbacks.ProgbarLogger):
    # Lets Keras run it in another thread, so that no step waits until the losses are known.
    async_safe = True


def _pass_losses_to(terminate):
    """Returns a callback that gives TerminateOnNaN, which checks only "loss", a GAN's losses."""

    def check(batch, logs):
        terminate.on_batch_end(batch, {"loss": float(logs["d_loss"]) + float(logs["g_loss"])})

    return keras.callbacks.LambdaCallback(on_train_batch_end=check)


class Seeded(keras.callbacks.Callback):
    """Lets the order of the data and, on torch, the noise follow from the model's seed.

    The number of an epoch is that of the epochs trained so far, whatever `fit` they belong to.
    """

    def __init__(self, gan, loader):
        super().__init__()
        self.set_model(gan)
        self.loader = loader if isinstance(loader, (SeededBatches, ImageFolder)) else None
        self.on_epoch_begin(0)  # Keras' worker threads may read ahead before the first epoch.

    def on_train_begin(self, logs=None):
        if self.model.seed is not None:
            engine.seed_noise(self.model.seed, self._updates())

    def on_epoch_begin(self, epoch, logs=None):
        if self.loader is not None:
            self.loader.epoch = self._updates() // len(self.loader)

    def _updates(self) -> int:
        return int(ops.convert_to_numpy(self.model.optimizer.iterations))
