"""Loaders: arrays, tables and loaders of other libraries, read and watched in one way."""

import copy
import itertools
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_gan.engine import tf_data
from keras_gan.values import Values


class Batch(NamedTuple):
    """What one step trains on.

    Attributes:
        samples: Real samples `(batch, …)`.
        condition: What each of them is conditioned on, `(batch, …)`, or None.
    """

    samples: Any
    condition: Any = None

    def map(self, fn: Callable[[Any], Any]) -> "Batch":
        """Returns a batch of what a function makes of each part; None stays None."""
        return Batch(*(None if part is None else fn(part) for part in self))


def concatenated(parts: Iterable[Batch]) -> Batch:
    """Returns one batch of several, at least one, whose parts are NumPy arrays or None."""
    columns = zip(*parts, strict=True)
    return Batch(*(None if column[0] is None else np.concatenate(column) for column in columns))


def as_batch(data, conditional: bool = False) -> Batch:
    """Returns the batch in what a loader gives: `x`, `(x,)`, `(x, y)` or `{name: x, name: y}`.

    Args:
        data: What the loader gives.
        conditional: Whether the second part is the samples' condition; otherwise it is dropped.
    """
    if isinstance(data, Batch):
        return data
    parts = tuple(data.values()) if isinstance(data, dict) else data
    if not isinstance(parts, (list, tuple)):
        return Batch(parts)
    return Batch(parts[0], parts[1] if conditional and len(parts) > 1 else None)


def first_batch(x, y) -> tuple[Any, Batch]:
    """Returns samples, or a loader with all of them, and their first batch; an array is one."""
    known = x is None or isinstance(x, (str, int, float, dict)) or hasattr(x, "shape")
    if known or y is not None:
        return x, Batch(x, y)
    first, x = peeked(x, conditional=True)
    return x, Batch(None) if first is None else as_batch(first, conditional=True)


def peeked(x, conditional: bool = False) -> tuple[Any, Any]:
    """Returns a loader's first batch, None if there is none, and the loader with all of them."""
    if hasattr(x, "collate_fn"):  # A torch DataLoader, whose batches Keras wants as tuples.
        x = copy.copy(x)
        x.collate_fn = partial(_collated, x.collate_fn, conditional)
    if hasattr(x, "__getitem__"):  # keras.utils.PyDataset, Grain
        size = x.num_batches if hasattr(x, "num_batches") else len(x)
        return (None if size == 0 else x[0]), x
    iterator = iter(x)
    first = next(iterator, None)
    if iterator is not x or first is None:
        return first, x if first is None else _with_known_ranks(x, first)
    # A generator gives each batch once: put the one looked at back in front. Keras recognizes
    # generators by their type, and wants tuples of them.
    return first, (_tuple(batch, conditional) for batch in itertools.chain([first], iterator))


def _with_known_ranks(x, first):
    """Returns a loader; of a `tf.data.Dataset` of unknown ranks, with those of its first batch.

    What `tf.py_function` and generators give has none, and a compiled step needs them.
    """
    specs = keras.tree.flatten(getattr(x, "element_spec", []))
    if all(getattr(spec.shape, "rank", 0) is not None for spec in specs):
        return x

    def known(*parts):
        pairs = zip(keras.tree.flatten(parts), keras.tree.flatten(first), strict=True)
        for tensor, value in pairs:
            if tensor.shape.rank is None:
                tensor.set_shape((None, *value.shape[1:]))
        return parts if len(parts) > 1 else parts[0]

    return x.map(known)


def known_sizes(x) -> tuple[Any, tuple[int, int]]:
    """Returns a loader with all its batches, the size of the first, and that of the last or 0.

    Of what cannot be indexed, the last batch is only known when it comes.
    """
    x, first = first_batch(x, None)
    last = 0
    if hasattr(x, "__getitem__") and not is_endless(x):
        size = x.num_batches if hasattr(x, "num_batches") else len(x)
        last = len(as_batch(x[size - 1]).samples)
    return x, (len(first.samples), last)


def _collated(collate, conditional: bool, samples) -> tuple:
    return _tuple(collate(samples), conditional)


def _tuple(data, conditional: bool) -> tuple:
    batch = as_batch(data, conditional)
    return tuple(batch) if batch.condition is not None else (batch.samples,)


def as_array(x: Any) -> Any:
    """Returns a table (of pandas or polars) or a list as an array, and anything else as it is.

    Raises:
        ValueError: For a list of samples of several shapes.
    """
    if hasattr(x, "to_numpy"):
        return x.to_numpy()
    if not isinstance(x, (list, tuple)):
        return x
    try:
        return np.asarray(x)
    except ValueError as error:
        shapes = list(dict.fromkeys(np.shape(sample) for sample in x))
        raise ValueError(
            "The list contains samples of several sizes, such as those of shapes "
            f"{' and '.join(map(str, shapes[:2]))}; crop or resize them to one."
        ) from error


def is_on_disk(array: Any) -> bool:
    """Returns whether an array is a memory map, or a view of one."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def is_endless(loader: Any) -> bool:
    """Returns whether a loader says that it has no end."""
    if isinstance(loader, keras.utils.PyDataset):
        return loader.num_batches is None
    return hasattr(loader, "cardinality") and int(loader.cardinality()) == -1  # tf.data


# Watching.


def watched(loader: Any, values: Values, condition: Any) -> Any:
    """Returns a loader that raises where a batch does not fit: its samples, or their conditions.

    Batches of `tf.data` do not pass through Python: TensorFlow checks floats and labels. Other
    loaders that are none of these kinds are returned as they are.

    Args:
        loader: Batches of samples, or of samples and conditions.
        values: Those of the samples.
        condition: A `keras_gan.conditions.Condition` that comes with the data, or None.
    """
    look = partial(_looked_at, values, condition)
    if hasattr(loader, "collate_fn"):  # A torch DataLoader
        loader = copy.copy(loader)
        loader.collate_fn = partial(_collated_and_looked_at, loader.collate_fn, look)
        return loader
    if isinstance(loader, keras.utils.PyDataset):
        return Watched(loader, look)
    if hasattr(loader, "element_spec"):
        images = getattr(condition, "is_image", False)
        bounds = [values.bounds, condition.values.bounds] if images else [values.bounds]
        return tf_data.checked(loader, bounds, getattr(condition, "count", None))
    if hasattr(loader, "map"):  # Grain
        return loader.map(look)
    if hasattr(loader, "__next__"):
        return (look(batch) for batch in loader)
    return loader


def _looked_at(values: Values, condition: Any, data: Any) -> Any:
    """Returns what a loader gives, after a look at it."""
    batch = as_batch(data, conditional=True)
    values.check_batch(batch.samples)
    if condition is not None and batch.condition is not None:
        condition.check_batch(batch.condition)
    return data


def _collated_and_looked_at(collate: Callable, look: Callable, samples: list) -> Any:
    return look(collate(samples))


class Watched(keras.utils.PyDataset):
    """A `PyDataset` whose batches are looked at as they are read."""

    def __init__(self, dataset: keras.utils.PyDataset, look: Callable):
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self.dataset, self.look = dataset, look

    @property
    def num_batches(self) -> int | None:
        return self.dataset.num_batches

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.look(self.dataset[index])

    def on_epoch_begin(self) -> None:
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()
