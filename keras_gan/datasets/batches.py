"""Batches: what comes from any loader, checked before the training, split, scaled and ordered."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan import engine
from keras_gan.datasets.loaders import (
    Batch,
    as_array,
    as_batch,
    concatenated,
    is_endless,
    is_on_disk,
    peeked,
)
from keras_gan.values import Values

# More validation data than this from a generator is taken for endless: 4 GiB, or so many batches.
LARGEST, MOST_BATCHES = 2**32, 20_000
_ENDLESS = (
    "The validation data does not end: give validation_steps=, the number of batches to compare "
    "with, or an array."
)


def with_data(condition) -> bool:
    """Returns whether a condition (`keras_gan.conditions`, or None) comes with the data."""
    return condition is not None and not condition.computed


def prepared(batch: Batch, values: Values, condition, uniform) -> Batch:
    """Returns a batch as the networks get it: float32, scaled, with the samples' condition.

    Args:
        batch: What a loader gives.
        values: Those of the samples.
        condition: A `keras_gan.conditions.Condition`, or None.
        uniform: `shape -> floats in 0…1`, the source of randomness.
    """
    real = values.scaled(batch.samples)
    if condition is None:
        return Batch(real)
    return Batch(real, condition.tensor(real, batch.condition, uniform))


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
            other ones each time. A smaller batch would be compiled separately.
            With `steps` they are left out.
        keep_on_device: Whether to copy an array to the device once, and gather the batches there.
        condition: With an array, another one `(n, …)` of what each sample is conditioned on. An
            indexable gives it with the samples.

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
        condition=None,
    ):
        self.is_array = hasattr(samples, "shape")
        # Threads help where files are read: Pillow decodes in parallel.
        super().__init__(workers=1 if self.is_array else 4)
        keep = _on_device if keep_on_device else lambda array: array
        self.samples = keep(samples)
        self.condition = None if condition is None else keep(condition)
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
            return tuple(engine.gather(part, order, start, size) for part in self.arrays)
        chosen = order[start : start + self.batch_size]
        if self.is_array:
            return tuple(part[chosen] for part in self.arrays)
        rows = (as_batch(self.samples[int(i)], conditional=True) for i in chosen)
        return tuple(part for part in concatenated(rows) if part is not None)

    @property
    def arrays(self) -> list:
        """The samples, and what they are conditioned on, if anything."""
        return [part for part in (self.samples, self.condition) if part is not None]

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
                order = _on_device(order.astype("int32"))
            self._order = (pass_number, order)
        return order


def fits_on_device(*arrays) -> bool:
    """Returns whether arrays take at most a quarter of one accelerator's free memory."""
    free = engine.free_memory()
    given = [array for array in arrays if array is not None]
    alone = keras.distribution.distribution() is None
    in_memory = all(isinstance(array, np.ndarray) and not is_on_disk(array) for array in given)
    if not alone or free is None or not in_memory:
        return False
    return sum(array.nbytes for array in given) <= free / 4


def check_size(size: int, steps: int) -> None:
    """Raises ValueError for a batch that has no sample for each discriminator step."""
    if size < steps:
        raise ValueError(
            f"A batch of {size} cannot be split over {steps} discriminator steps; give batches of "
            f"at least {steps}, better {steps} × 64."
        )


def checked(x, values: Values, steps: int = 1, y=None, condition=None):
    """Returns training data after looking at it: all of an array, one batch of anything else.

    Args:
        x: What `GAN.fit` takes.
        values: Those of the samples.
        steps: Discriminator steps that share a batch.
        y: What `GAN.fit` takes with an array `x`.
        condition: A `keras_gan.conditions.Condition`, or None.

    Returns:
        The data, ready for Keras, and `y`: lists are arrays, loaders give samples, and conditions
        where these come with the data, alone.

    Raises:
        ValueError: For no samples, samples of another shape or range, and batches too small; for
            conditions that are missing, too many or do not fit.
        TypeError: For what is no data, and samples of a type that cannot be scaled.
    """
    if x is None:
        raise ValueError("There are no samples: x is None.")
    if isinstance(x, (str, int, float, dict)):
        got = f"{type(x).__name__} {str(x)[:80]!r}"
        raise TypeError(f"Samples come as an array or a loader of batches; got {got}.")
    x = as_array(x)
    if hasattr(x, "shape"):
        return x, _checked_pair(x, y, values, condition)
    if y is not None:
        raise ValueError(
            "A loader gives conditions with its batches, as (samples, y); leave y out."
        )
    first, x = peeked(x, with_data(condition))
    if first is None:
        raise ValueError("There are no samples in the data: it gives no batch.")
    samples, second = as_batch(first, conditional=True)
    if second is not None and with_data(condition) and getattr(x, "is_array", False):
        condition.check(x.condition)  # `SeededBatches` of an array knows all of them.
    if not with_data(condition):
        _refuse_pairs(second, values.shape, condition)
        second = None
    _checked_pair(samples, second, values, condition)
    check_size(len(samples), steps)
    return x, None


def _checked_pair(samples, y, values: Values, condition):
    """Returns `y` as an array, None for none, after looking at samples and their conditions."""
    if not with_data(condition):
        if y is not None:
            if condition is not None:
                raise ValueError(
                    f"{condition!r} is computed from the samples; give them alone, without y."
                )
            raise ValueError(
                "This GAN has no condition: give the samples alone, without y. To train on labels, "
                "create a conditional variant, such as 'cgan', with condition=Labels(…)."
            )
        values.check(samples)
        return None
    if y is None:
        raise ValueError(
            f"Samples of this GAN are conditioned on {condition!r}: give fit(samples, conditions), "
            "or batches of both."
        )
    y = condition.prepared(y)
    shapes = tuple(samples.shape[1:]), tuple(y.shape[1:])
    if shapes == (condition.shape, values.shape) and values.shape != condition.shape:
        raise ValueError(
            f"The pair is the wrong way round: samples of shape {values.shape} come first, what "
            f"they are conditioned on, of shape {condition.shape}, comes second."
        )
    values.check(samples)
    condition.check(y)
    if len(samples) != len(y):
        raise ValueError(
            f"There are {len(samples)} samples, but {len(y)} conditions; give one each."
        )
    return y


def _refuse_pairs(second, sample_shape: tuple, condition) -> None:
    """Warns of a second half of a loader's batches, which is not used; raises for images."""
    if second is None:
        return
    if condition is not None:
        warnings.warn(
            f"The data gives pairs, of which only the samples are used: {condition!r} is computed "
            "from them.",
            stacklevel=4,
        )
        return
    if tuple(getattr(second, "shape", ()))[1:] == sample_shape:
        raise ValueError(
            "The data gives pairs whose second half is shaped like the samples, but this GAN has "
            "no condition: give the samples alone, or condition=keras_gan.conditions.Images(shape)."
        )
    warnings.warn(
        "The data gives labels with the samples, which this GAN does not use; a conditional one, "
        "such as the variant 'cgan', does.",
        stacklevel=4,
    )


def held_out(validation_data, values: Values, condition=None, endless_steps: int | None = None):
    """Returns validation data, checked, that can be read once in every epoch, and its conditions.

    Args:
        validation_data: What `GAN.fit` takes.
        values: Those of the samples.
        condition: A `keras_gan.conditions.Condition`, or None.
        endless_steps: `validation_steps` of `GAN.fit`: a generator may then be endless.

    Raises:
        ValueError, TypeError: As `checked`; for batches that do not end.
    """
    conditional = with_data(condition)
    samples, y = as_batch(validation_data, conditional=True)
    if len(getattr(samples, "shape", ())) == len(values.shape):
        samples, y = validation_data, None  # A list of samples.
    if endless_steps is None and is_endless(samples):
        raise ValueError(_ENDLESS)
    if hasattr(samples, "__next__") and endless_steps is None:
        samples, y = _collected(samples, conditional)
    return checked(samples, values, y=y, condition=condition)


def _collected(generator, conditional: bool) -> tuple:
    """Returns all that a generator gives, as arrays.

    It gives each batch once, and every epoch is to be compared with the same.
    """
    rows: list[Batch] = []
    size = 0
    for data in generator:
        rows.append(as_batch(data, conditional).map(ops.convert_to_numpy))
        size += rows[-1].samples.nbytes
        if size > LARGEST or len(rows) > MOST_BATCHES:
            raise ValueError(_ENDLESS)
    return concatenated(rows) if rows else (iter(()), None)


def _on_device(array):
    # The type is given: with floatx bfloat16, Keras makes float32 of uint8 on JAX.
    return ops.convert_to_tensor(array, keras.backend.standardize_dtype(array.dtype))


def divided(batch: Batch, size) -> tuple[Batch, Batch]:
    """Returns the first `size` samples of a batch, and the others."""
    return batch.map(lambda part: part[:size]), batch.map(lambda part: part[size:])
