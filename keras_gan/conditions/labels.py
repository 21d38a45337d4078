"""Conditions that are classes or vectors of numbers, and come with the data."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_gan.conditions.base import Condition, check_shape, numpy, register
from keras_gan.errors import check_whole, closest


@register
class Labels(Condition):
    """Classes, given as whole numbers `(n,)` or `(n, 1)`, one-hot rows `(n, classes)` or names.

    Args:
        classes: The number of classes, at least 2, or their names in order.

    Raises:
        ValueError: For fewer than two classes, and names that are no text or not unique.
    """

    def __init__(self, classes: int | Sequence[str]):
        if isinstance(classes, (list, tuple, np.ndarray)):
            names = [str(name) for name in classes]
            if len(set(names)) != len(names):
                raise ValueError(f"The names of classes must be unique; got {names}.")
            self.names: list[str] | None = names
            self.count = len(names)
        else:
            self.names, self.count = None, check_whole("The number of classes", classes)
        if self.count < 2:
            raise ValueError(f"Labels needs at least two classes; got {classes!r}.")
        self.shape = (self.count,)

    @property
    def class_names(self) -> list[str]:
        """The names of the classes; their numbers if they have none."""
        return self.names or [str(number) for number in range(self.count)]

    def number(self, name: Any) -> int:
        """Returns the number of a class.

        Raises:
            ValueError: If no class has this name; the message suggests similar ones.
        """
        if str(name) not in self.class_names:
            raise ValueError(f"Unknown class {closest(str(name), self.class_names)}")
        return self.class_names.index(str(name))

    def prepared(self, values):
        values = super().prepared(values)
        if not ops.is_tensor(values) and values.dtype.kind in "OUST":  # Names.
            known = {name: self.number(name) for name in np.unique(values)}
            values = np.vectorize(known.get, otypes=["int32"])(values)
        return values

    def check(self, values):
        values = numpy(values)
        if values.ndim == 2 and values.shape[1] == self.count:
            rows = values.astype("float32")
            if not (np.isin(rows, (0.0, 1.0)).all() and (rows.sum(axis=1) == 1).all()):
                raise ValueError(
                    f"Rows of {self.count} numbers must be one-hot: one 1, else 0. Other vectors "
                    f"are conditioned on with keras_gan.conditions.Vector({self.count})."
                )
            return
        if values.ndim != 1 and values.shape[1:] != (1,):
            raise ValueError(
                f"Labels of {self.count} classes are whole numbers (n,) or one-hot rows "
                f"(n, {self.count}); got an array of shape {values.shape}."
            )
        self._check_numbers(values)

    def _check_numbers(self, values):
        allowed = f"Labels are whole numbers 0…{self.count - 1}"
        if values.dtype.kind not in "iu":
            raise TypeError(
                f"{allowed}, one-hot rows or names; got {values.dtype}. Convert whole numbers with "
                "labels.astype('int32'); other numbers are conditioned on with "
                "keras_gan.conditions.Vector."
            )
        if values.size == 0:
            return
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= self.count:
            one = low == 1 and high == self.count
            hint = "subtract 1" if one else "number the classes from 0, or give more of them"
            raise ValueError(f"{allowed}; got {low}…{high}: {hint}.")

    def tensor(self, real, values, uniform):
        if len(values.shape) == 2 and values.shape[1] == self.count:
            return ops.cast(values, "float32")
        numbers = ops.reshape(ops.cast(values, "int32"), (-1, 1))
        # Not ops.one_hot, which branches on the values on torch.
        return ops.cast(numbers == ops.arange(self.count, dtype="int32"), "float32")

    def fits(self, shape):
        return shape in (self.shape, (1,), ())

    def as_input(self, tensor, shape):
        if shape == self.shape:
            return tensor
        # An `Embedding` takes the number.
        return ops.reshape(ops.argmax(tensor, axis=-1), (-1, *shape))

    def chosen(self, wanted, size, random):
        if wanted is None:  # Each class as often as the others, give or take one.
            wanted = random.permutation(np.resize(random.permutation(self.count), size or 1))
        return super().chosen(wanted, size, random)

    def _rows(self, wanted):
        values = numpy(self.prepared(wanted))
        whole = values.dtype.kind in "iu"
        if values.ndim in (1, 2) and values.shape[-1] == self.count and not whole:
            return np.atleast_2d(values.astype("float32"))  # Also mixtures of classes.
        values = values.reshape(-1) if values.ndim == 0 else values
        self.check(values)
        return ops.convert_to_numpy(self.tensor(None, ops.convert_to_tensor(values), None))

    def counts(self, values):
        if values is None:
            return f"{self.count} classes: {', '.join(self.class_names)}."
        values = numpy(values)
        rows = values.ndim == 2 and values.shape[1] == self.count
        numbers = values.argmax(1) if rows else values.reshape(-1)
        counts = np.bincount(numbers.astype("int64"), minlength=self.count)
        if missing := [self.class_names[number] for number in np.flatnonzero(counts == 0)]:
            warnings.warn(
                f"No sample is of {', '.join(missing[:12])}, of the {self.count} classes of this "
                "GAN, which it will not learn: number the classes from 0 without gaps.",
                stacklevel=3,
            )
        pairs = zip(self.class_names, counts, strict=True)
        return f"{self.count} classes: {', '.join(f'{name} {count}' for name, count in pairs)}."

    def get_config(self):
        return {"classes": self.names or self.count}


@register
class Vector(Condition):
    """Vectors of numbers `(n, size)`, such as several labels for each sample, or measurements.

    Args:
        size: The length of a vector.
    """

    def __init__(self, size: int):
        self.size = check_whole("The size of a Vector", size)
        self.shape = (self.size,)

    def prepared(self, values):
        values = super().prepared(values)
        return values[:, None] if self.size == 1 and len(values.shape) == 1 else values

    def check(self, values):
        check_shape(self, values)
        values = numpy(values)
        if values.dtype.kind not in "fiub":
            raise TypeError(f"A Vector is made of numbers; got {values.dtype}.")
        if not np.isfinite(values.astype("float32")).all():
            raise ValueError("The conditions contain NaN or infinity; remove or fix these samples.")

    def fits(self, shape):
        return shape == self.shape or (shape == () and self.size == 1)

    def as_input(self, tensor, shape):
        return ops.reshape(tensor, (-1, *shape))

    def get_config(self):
        return {"size": self.size}
