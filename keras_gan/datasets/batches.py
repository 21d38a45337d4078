"""Batches: what comes from any loader, checked before the training, split, scaled and ordered."""

import copy
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_gan import engine
from keras_gan.errors import check_samples


class Batch(NamedTuple):
    """What one step trains on.

    Attributes:
        samples: Real samples `(batch, …)`.
        condition: What each of them is conditioned on, `(batch, …)`, or None.
    """

    samples: Any
    condition: Any = None


def as_batch(data) -> Batch:
    """Returns the batch in what a loader gives: `x`, `(x,)`, `(x, labels)` or `{name: x, …}`."""
    if isinstance(data, Batch):
        return data
    if isinstance(data, dict):
        data = next(iter(data.values()))
    return Batch(data[0] if isinstance(data, (list, tuple)) else data)


def scaled(samples, sample_shape: tuple):
    """Returns samples as float32; uint8 images (rank 3) are scaled from 0…255 to −1…1."""
    floats = ops.cast(samples, "float32")
    pixels = keras.backend.standardize_dtype(samples.dtype) == "uint8" and len(sample_shape) == 3
    return floats / 127.5 - 1.0 if pixels else floats


def quantized(samples: np.ndarray, sample_shape: tuple) -> np.ndarray:
    """Returns images (rank 3) as uint8, from −1…1 to 0…255, and other samples as they are."""
    if len(sample_shape) != 3:
        return samples
    return np.clip(np.rint(samples * 127.5 + 127.5), 0, 255).astype("uint8")


def split(batch: Batch, steps: int) -> list[Batch]:
    """Splits a batch evenly into one for each discriminator step, and drops what is left over."""
    if steps == 1:
        return [batch]
    size = batch.samples.shape[0]
    known = size is not None
    size = size if known else ops.shape(batch.samples)[0]
    # A last batch smaller than the number of steps serves several of them.
    part = max(size // steps, 1) if known else ops.maximum(size // steps, 1)

    def parts(values):
        if not known or size != part * steps:
            values = ops.take(values, ops.arange(part * steps) % size, axis=0)
        # Strided rather than contiguous parts keep a batch that is sharded over devices local.
        values = ops.reshape(values, (part, steps, *values.shape[1:]))
        return [values[:, i] for i in range(steps)]

    columns = [[None] * steps if values is None else parts(values) for values in batch]
    return [Batch(*row) for row in zip(*columns, strict=True)]


class SeededBatches(keras.utils.PyDataset):
    """Batches of samples in an order that follows from a seed and the number of the epoch alone.

    The order is the same on every backend, and a training that is resumed sees what it would have
    seen. All samples are used once, in a new order, before any comes again.

    Args:
        samples: An array `(n, …)`, or an indexable of batches of one sample, such as an
            `ImageFolder` of batch size 1.
        batch_size: Samples in a batch; at most all of them.
        steps: Batches in an epoch, for epochs that are no whole pass over the samples; the next
            epoch continues where this one ends. By default as many as the samples make.
        seed: Of the order.
        shuffle: Whether there is a new order for each pass over the samples.
        drop_remainder: Whether to leave out the samples that do not fill the last batch of a pass,
            other ones each time, rather than give a smaller batch, which would be compiled anew.
            With `steps` they are left out.
        keep_on_device: Whether to copy an array to the device once, and gather the batches there.

    Attributes:
        epoch: The number of the epoch that is read next, from 0; `GAN.fit` sets it.
    """

    def __init__(
        self,
        samples,
        batch_size: int,
        steps: int | None = None,
        seed: int = 0,
        *,
        shuffle: bool = True,
        drop_remainder: bool = False,
        keep_on_device: bool = False,
    ):
        self.is_array = hasattr(samples, "shape")
        # Threads help where files are read: Pillow decodes in parallel.
        super().__init__(workers=1 if self.is_array else 4)
        self.samples = ops.convert_to_tensor(samples) if keep_on_device else samples
        self.batch_size = min(batch_size, len(samples))
        self.seed, self.shuffle, self.keep_on_device = seed, shuffle, keep_on_device
        whole, rest = divmod(len(samples), self.batch_size)
        self.all_alike = rest == 0 or drop_remainder or steps is not None
        self.per_pass = whole if self.all_alike else whole + 1
        self.steps = steps or self.per_pass
        self.epoch = 0
        self._order: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple:
        pass_number, place = divmod(self.epoch * self.steps + step, self.per_pass)
        order, start = self.order(pass_number), place * self.batch_size
        if self.keep_on_device:
            size = min(self.batch_size, len(self.samples) - start)
            return (engine.gather(self.samples, order, start, size),)
        chosen = order[start : start + self.batch_size]
        if self.is_array:
            return (self.samples[chosen],)
        return (np.concatenate([as_batch(self.samples[int(i)]).samples for i in chosen]),)

    def numbers(self) -> np.ndarray:
        """Returns the numbers of an epoch's samples, int64, in their order."""
        places = [divmod(self.epoch * self.steps + i, self.per_pass) for i in range(self.steps)]
        size = self.batch_size
        return np.concatenate([self.order(p)[i * size : (i + 1) * size] for p, i in places])

    def order(self, pass_number: int):
        """Returns the samples' numbers in the order of one pass over all of them."""
        known, order = self._order
        if known != pass_number:
            order = np.arange(len(self.samples))
            if self.shuffle:
                order = np.random.default_rng([self.seed, pass_number]).permutation(order)
            if self.keep_on_device:
                order = ops.convert_to_tensor(order.astype("int32"))
            self._order = (pass_number, order)
        return order


def fits_on_device(x) -> bool:
    """Returns whether an array takes at most a quarter of one accelerator's free memory."""
    free = engine.free_memory()
    alone = keras.distribution.distribution() is None
    return alone and free is not None and isinstance(x, np.ndarray) and x.nbytes <= free / 4


def check_size(size: int, steps: int) -> None:
    """Raises ValueError for a batch that has no sample for each discriminator step."""
    if size < steps:
        raise ValueError(
            f"A batch of {size} cannot be split over {steps} discriminator steps; give batches of "
            f"at least {steps}, better {steps} × 64."
        )


def checked(x, sample_shape: tuple, steps: int = 1):
    """Returns training data after looking at it: all of an array, one batch of anything else.

    Args:
        x: What `GAN.fit` takes.
        sample_shape: The shape of one sample.
        steps: Discriminator steps that share a batch.

    Returns:
        The data, ready for Keras: lists are arrays, loaders give samples alone.

    Raises:
        ValueError: For no samples, samples of another shape or range, and batches too small.
        TypeError: For what is no data, and samples of a type that cannot be scaled.
    """
    if x is None:
        raise ValueError("There are no samples: x is None.")
    if isinstance(x, (str, int, float)):
        kind = type(x).__name__
        raise TypeError(f"Samples come as an array or a loader of batches; got {kind} {x!r}.")
    if isinstance(x, (list, tuple)):
        x = np.asarray(x)
    if hasattr(x, "shape"):
        check_samples(x, sample_shape)
        return x
    first, x = _peeked(x)
    if first is None:
        raise ValueError("There are no samples in the data: it gives no batch.")
    samples = as_batch(first).samples
    check_samples(samples, sample_shape)
    check_size(len(samples), steps)
    return x


def _peeked(x) -> tuple[Any, Any]:
    """Returns a loader's first batch, None if there is none, and the loader with all of them."""
    if hasattr(x, "collate_fn"):  # A torch DataLoader, whose batches Keras wants as tuples.
        x = copy.copy(x)
        x.collate_fn = partial(_collated, x.collate_fn)
    if hasattr(x, "__getitem__"):  # keras.utils.PyDataset, Grain
        size = x.num_batches if hasattr(x, "num_batches") else len(x)
        return (None if size == 0 else x[0]), x
    iterator = iter(x)
    first = next(iterator, None)
    if iterator is not x or first is None:
        return first, x
    # A generator gives each batch once: put the one looked at back in front. Keras recognizes
    # generators by their type, and wants tuples of them.
    return first, ((as_batch(batch).samples,) for batch in itertools.chain([first], iterator))


def _collated(collate, samples) -> tuple:
    return (as_batch(collate(samples)).samples,)


def held_out(validation_data, sample_shape: tuple, endless_steps: int | None = None):
    """Returns validation data, checked, that can be read once in every epoch.

    Args:
        validation_data: What `GAN.fit` takes.
        sample_shape: The shape of one sample.
        endless_steps: `validation_steps` of `GAN.fit`: a generator may then go on for ever.

    Raises:
        ValueError, TypeError: As `checked`.
    """
    samples = as_batch(validation_data).samples
    if len(getattr(samples, "shape", ())) == len(sample_shape):
        samples = validation_data  # A list of samples.
    if hasattr(samples, "__next__") and endless_steps is None:
        # It gives each batch once, and every epoch is to be compared with the same.
        rows = [ops.convert_to_numpy(as_batch(batch).samples) for batch in samples]
        samples = np.concatenate(rows) if rows else iter(())
    return checked(samples, sample_shape)


def sizes(total: int, batch_size: int) -> Iterator[int]:
    """Yields the sizes of the batches that make a total."""
    for start in range(0, total, batch_size):
        yield min(batch_size, total - start)


def divided(batch: Batch, size) -> tuple[Batch, Batch]:
    """Returns the first `size` samples of a batch, and the others."""
    columns = [(None, None) if v is None else (v[:size], v[size:]) for v in batch]
    head, tail = zip(*columns, strict=True)
    return Batch(*head), Batch(*tail)
