"""Resuming: `fit` with a `Run`, from the step at which the run stopped."""

import functools
from typing import Any

import keras

from keras_gan import engine
from keras_gan.datasets.loaders import is_on_disk
from keras_gan.files import content_key
from keras_gan.runs import Run

HASHED = 10_000  # Samples of an array, at most, by which it is recognized.


def run_of(callbacks) -> Run | None:
    """Returns the `Run` among the callbacks of `fit`, or None."""
    callbacks = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or [])
    runs = [callback for callback in callbacks if isinstance(callback, Run)]
    if len(runs) > 1:
        raise ValueError("fit takes one Run: a training is kept in one folder.")
    return runs[0] if runs else None


def resumable(fit):
    """Decorates `fit`: with a `Run`, its folder is locked, and its state loaded, before the rest.

    That comes first because the order of the data follows from the seed in the state.
    """

    @functools.wraps(fit)
    def wrapped(self, *args, callbacks=None, **options):
        run = run_of(callbacks)
        if run is None or not self.compiled or not engine.TRAINS:
            return fit(self, *args, callbacks=callbacks, **options)
        if options.get("initial_epoch"):
            raise ValueError("A Run knows the epoch to start from; leave initial_epoch out.")
        with run.opened(self):
            return fit(self, *args, callbacks=callbacks, **options)

    return wrapped


def readable(x, start: int = 0):
    """Returns what Keras reads the batches of samples from, beginning with a batch."""
    if engine.loader and getattr(x, "is_array", False) and not is_on_disk(x.samples):
        return engine.loader(x, start)
    return Rest(x, start) if start else x


def fit_run(gan, fit, run: Run, seeded, x, callbacks: list, epochs: int, **options):
    """Trains from where a run stopped; returns the `History`.

    Args:
        gan: The model.
        fit: The `fit` of `keras.Model`.
        run: The run, opened; one of the callbacks.
        seeded: The callback that sets the order of the data.
        x: The samples or their loader.
        callbacks: Those of the training, without `seeded`.
        epochs: The number of epochs in all.
        **options: More arguments of `fit`.
    """
    loader = seeded.loader
    run.check_data(_facts(loader))
    # A run saves what the others have done. What only shows the progress comes last.
    callbacks = sorted(callbacks, key=lambda c: 2 if _only_shows(c) else int(c is run))
    callbacks = [seeded, _First(run, loader), *callbacks]
    done, start = run.epochs_done, run.steps_done
    if loader is None or done >= epochs:
        return fit(readable(x), epochs=epochs, initial_epoch=done, callbacks=callbacks, **options)
    verbose = options.get("verbose", "auto")
    training = _Training(
        run, callbacks, add_history=True, model=gan, verbose=verbose, epochs=epochs,
        steps=len(loader),
    )  # fmt: skip
    if start:
        training.skipped, training.complete = start, done + 1 == epochs
        loader.epoch = run.facts["data_epoch"]
        gan.optimizer.complete = training.complete
        try:
            rest = readable(x, start)
            fit(rest, epochs=done + 1, initial_epoch=done, callbacks=training, **options)
        finally:
            gan.optimizer.complete = True
        done, training.skipped = done + 1, 0
        if training.complete:
            return gan.history
        training.complete = True
        if gan.stop_training:
            training.on_train_end(training.last_logs)
            return gan.history
        seeded.on_epoch_begin(done)  # Keras may read ahead.
    return fit(readable(x), epochs=epochs, initial_epoch=done, callbacks=training, **options)


def _only_shows(callback) -> bool:
    # Keras may call these from another thread: they cannot change the training.
    return getattr(callback, "async_safe", False)


class _First(keras.callbacks.Callback):
    """Prepares an epoch of a run before the user's callbacks see it."""

    def __init__(self, run: Run, loader):
        super().__init__()
        self.run, self.loader = run, loader

    def on_epoch_begin(self, epoch, logs=None):
        self.run.before_epoch(self.loader)


class _Training(keras.callbacks.CallbackList):
    """The callbacks of a training whose first epoch may have begun in another process.

    Keras' `fit` is then called twice, for the rest of that epoch and for the others. To the
    callbacks it is one training. The run is asked after each step, in the thread of the training.

    Attributes:
        skipped: Steps of the epoch that were made in another process.
        complete: Whether the training ends with this call of `fit`.
    """

    def __init__(self, run: Run, callbacks: list, **options):
        super().__init__(callbacks, **options)
        self.run = run
        self.skipped, self.complete = 0, True
        self._begun, self.last_logs = False, None

    def on_train_begin(self, logs=None):
        if not self._begun:
            super().on_train_begin(logs)
        self._begun = True

    def on_train_end(self, logs=None):
        self.last_logs = logs
        if self.complete:
            super().on_train_end(logs)

    def on_train_batch_begin(self, batch, logs=None):
        self.run.before_step()
        super().on_train_batch_begin(batch + self.skipped, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch + self.skipped, logs)
        self.run.after_step(batch + self.skipped + 1)


class Rest(keras.utils.PyDataset):
    """The batches of a loader from one on: what is left of an epoch."""

    def __init__(self, loader: keras.utils.PyDataset, start: int):
        super().__init__(
            workers=loader.workers,
            use_multiprocessing=loader.use_multiprocessing,
            max_queue_size=loader.max_queue_size,
        )
        self.loader, self.start = loader, start

    def __len__(self) -> int:
        return len(self.loader) - self.start

    def __getitem__(self, index: int):
        return self.loader[self.start + index]


def _facts(loader) -> dict[str, Any] | None:
    """Returns what identifies data and its order, where the library knows it; else None."""
    if loader is None:
        return None
    samples = getattr(loader, "samples", loader)
    fingerprint = getattr(samples, "fingerprint", None)
    if fingerprint is None and hasattr(samples, "shape"):
        chosen = samples[:: -(-len(samples) // HASHED)]
        fingerprint = f"{len(samples)} {content_key(chosen)}"
    return {
        "samples": fingerprint,
        "batch size": loader.batch_size,
        "number of batches": len(loader),
        "shuffling": loader.shuffle,
        "seed": loader.seed,
    }
