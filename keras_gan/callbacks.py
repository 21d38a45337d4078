"""What stock Keras callbacks lack: sample grids, and a folder that a run can go on from."""

import csv
import math
import os
import shutil
import time
from pathlib import Path

import keras
import numpy as np

from keras_gan import presets
from keras_gan.errors import closest
from keras_gan.files import replacing
from keras_gan.images import image_grid, save_image


class SampleGrid(keras.callbacks.Callback):
    """Writes a grid of generated images after each epoch: `epoch_0001.png`, `epoch_0002.png`, ….

    The latents are the same in each epoch, so that the pictures show one set of images change.

    Args:
        folder: Where to; made if missing.
        num: Images in a grid.
        seed: Of their latents, as in `GAN.generate`.

    Example:

    >>> gan.fit(images, epochs=5, callbacks=[SampleGrid("samples", num=16)])  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike, num: int = 64, seed: int = 0):
        super().__init__()
        self.folder, self.num, self.seed = Path(folder), num, seed

    def on_epoch_end(self, epoch, logs=None):
        save_image(self.path(epoch), image_grid(self.model.generate(self.num, seed=self.seed)))

    def path(self, epoch: int) -> Path:
        """The picture of an epoch, counted from 0."""
        return self.folder / f"epoch_{epoch + 1:04d}.png"


class SeededBatches(keras.utils.PyDataset):
    """Batches whose order follows from a seed and the number of the epoch alone.

    So it is the same on every backend, and a run that is resumed sees what it would have seen.
    All images are used once, in a new order, before any comes again; those that do not fill the
    last batch are left out, other ones each time, because a smaller batch would be compiled anew.

    Args:
        images: `uint8` array `(n, height, width, channels)`, or an `ImageFolder` of batch size 1.
        batch_size: Images in a batch.
        steps: Batches in an epoch; default: as many as the images make.
        seed: Of the order.

    Attributes:
        epoch: The number of the epoch that is read next, from 0; for a callback to set.
    """

    def __init__(self, images, batch_size: int, steps: int | None = None, seed: int = 0):
        # Threads help where files are read: Pillow decodes in parallel.
        super().__init__(workers=1 if hasattr(images, "shape") else 4)
        self.images, self.seed, self.epoch = images, seed, 0
        self.batch_size = min(batch_size, len(images))
        self.steps = steps or len(images) // self.batch_size
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> np.ndarray:
        per_pass = len(self.images) // self.batch_size
        turn, place = divmod(self.epoch * self.steps + step, per_pass)
        known, order = self._order
        if known != turn:
            order = np.random.default_rng([self.seed, turn]).permutation(len(self.images))
            self._order = (turn, order)
        chosen = order[place * self.batch_size :][: self.batch_size]
        if hasattr(self.images, "shape"):
            return self.images[chosen]
        return np.concatenate([self.images[int(i)] for i in chosen])


class StopAtThreshold(keras.callbacks.Callback):
    """Ends the training as soon as a value is small enough.

    Args:
        monitor: A value of the epoch's logs, such as `"val_frechet_distance"`.
        threshold: Training ends after the first epoch with a value of at most this.

    Example:

    >>> stop = StopAtThreshold("val_frechet_distance", 20.0)
    >>> gan.fit(images, epochs=100, validation_data=test, callbacks=[stop])  # doctest: +SKIP
    """

    def __init__(self, monitor: str, threshold: float):
        super().__init__()
        self.monitor, self.threshold = monitor, threshold
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.seen = False

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        # With validation_freq it may come in a later epoch.
        later = self.monitor.startswith("val_") and not any(n.startswith("val_") for n in logs)
        if self.monitor in logs:
            self.seen = True
            self.model.stop_training |= float(logs[self.monitor]) <= self.threshold
        elif not self.seen and not (later and epoch + 1 < (self.params or {}).get("epochs", 0)):
            need = "Distances need compile(metrics=[…]) and fit(validation_data=…)."
            raise ValueError(f"There is no {closest(self.monitor, logs)} {need}")


class LinearDecay(keras.callbacks.LearningRateScheduler):
    """Lets the learning rates fall linearly towards zero in the last part of a training.

    They fall from epoch to epoch, to an `n`th in the last one if that part has `n` epochs. After
    each epoch they are what they were before, so that a model saved then learns at its full rate.

    Args:
        part: The last part of the epochs, in 0…1 (0 excluded).

    Raises:
        ValueError: For another `part`.

    Example:

    >>> gan.fit(images, epochs=60, callbacks=[LinearDecay(1 / 3)])  # doctest: +SKIP
    """

    def __init__(self, part: float):
        if not 0 < part <= 1:
            raise ValueError(f"part must be in 0…1 (0 excluded); got {part!r}.")
        super().__init__(self._lowered)
        self.part = part

    def _lowered(self, epoch, rate):
        self._full, epochs = rate, self.params["epochs"]
        return rate * min(1.0, (epochs - epoch) / (self.part * epochs))

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.model.optimizer.learning_rate = self._full


class RunFolder(keras.callbacks.Callback):
    """Keeps a run in a folder that, after every epoch, can be looked at, loaded and resumed.

    It is a preset folder, with `training.csv` (a row per epoch), `curves.png` and `samples.png`;
    and `samples/epoch_0001.png` and so on, and `state_0001.weights.h5`, the whole model with its
    optimizers after that epoch. All randomness of an epoch follows from the seed and the epoch's
    number, so that a resumed run repeats an uninterrupted one. Where the rows hold a distance
    (`fit` with `validation_data` and metrics), `best/` is the preset of the epoch with the
    smallest. An epoch whose losses are not finite is not kept and ends the training; `failed_epoch`
    then is its number, from 1.

    Args:
        folder: Where to; made if missing.
        batches: What `fit` is given.
        metadata: More entries for the preset's `metadata.json`.
    """

    def __init__(self, folder: str | os.PathLike, batches: SeededBatches, **metadata):
        super().__init__()
        self.folder, self.batches, self.metadata = Path(folder), batches, metadata
        self.grid = SampleGrid(self.folder / "samples")
        self.rows: list[dict[str, float]] = []
        self.failed_epoch: int | None = None

    def restore(self, gan) -> int:
        """Brings a compiled model to the end of the last whole epoch; returns the epochs done."""
        for left_over in self.folder.rglob(".writing-*"):
            shutil.rmtree(left_over, ignore_errors=True)  # Of a process that was killed.
        if not (states := self._states()):
            return 0
        gan.load_weights(states[-1])
        done = _epoch(states[-1])
        with open(self.folder / "training.csv", newline="") as file:
            # A run can have ended between writing a row and writing the state.
            rows = list(csv.DictReader(file))[:done]
        numbers = ({name: float(value) for name, value in row.items() if value} for row in rows)
        self.rows = [row | {"epoch": int(row["epoch"])} for row in numbers]
        return done

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch
        _reseed(self.model, self.batches.seed, epoch)
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not all(map(math.isfinite, logs.values())):
            self.failed_epoch = epoch + 1
            self.model.stop_training = True
            return
        seconds = round(time.perf_counter() - self._began, 3)
        self.rows.append({"epoch": epoch + 1, **logs, "seconds": seconds})
        self.grid.set_model(self.model)
        self.grid.on_epoch_end(epoch)
        self._write_presets(epoch)
        # Last of all, in one move: this is what makes the epoch count as done.
        older = self._states()
        with replacing(self.folder / f"state_{epoch + 1:04d}.weights.h5") as part:
            self.model.save_weights(part)
        for path in older:
            path.unlink()

    def _write_presets(self, epoch):
        seconds = round(sum(row["seconds"] for row in self.rows), 3)
        facts = self.metadata | {"epochs": epoch + 1, "seconds": seconds}
        name = next((name for row in self.rows for name in row if "distance" in name), None)
        if name:
            scored = [row for row in self.rows if name in row]  # Not all, with validation_freq.
            best = min(scored, key=lambda row: row[name])
            facts["scores"] = {name: {"best": best[name], "final": scored[-1][name]}}
            # That of the first metric, after the means of the losses.
            facts["scores"][name]["protocol"] = getattr(self.model.metrics[1], "protocol", None)
            if best is self.rows[-1]:
                presets.save_to_preset(self.model, self.folder / "best", self.rows, **facts)
        presets.save_to_preset(self.model, self.folder, self.rows, **facts)

    def _states(self):
        return sorted(self.folder.glob("state_*.weights.h5"), key=_epoch)


def _epoch(state):
    return int(state.name.removeprefix("state_").partition(".")[0])


def _reseed(model, *entropy: int) -> None:
    """Makes all randomness of training follow from the given numbers from here on."""
    draw = lambda *more: np.random.SeedSequence([*entropy, *more]).generate_state(2)  # noqa: E731
    # PyTorch's and Python's own generators, …
    keras.utils.set_random_seed(int(draw()[0]))
    # … and Keras', whose states no weights file holds. 31 bits, because some are int32.
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for i, state in enumerate(states):
        state.assign(draw(i) >> 1)
