"""Conditions: what samples are conditioned on, and in which forms it may be given.

A condition comes with the data (`Labels`, `Vector`, `Images`), or is computed from the samples
inside the train step (`Downscaled`, `Masked`, `Grayscale`). Networks get it as a float32 tensor
`(batch, *condition.shape)`: classes as one-hot rows, so that one network serves labels, mixtures of
them and vectors; a network whose second input is one whole number, for an `Embedding`, gets the
number of the class instead.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan import masks
from keras_gan.errors import check_whole, closest
from keras_gan.values import Range, Values

register = keras.saving.register_keras_serializable(package="keras_gan")


class Condition:
    """What samples are conditioned on; subclasses are registered with Keras to be saved.

    Attributes:
        shape: The shape of one condition, as the networks get it.
        computed: Whether it is a function of the sample, rather than given with the data.
        is_image: Whether it is an image, from which a generator may work alone, without latents.
        completes: Whether `completed` changes anything.
    """

    shape: tuple[int, ...]
    computed = False
    is_image = False
    completes = False

    def build(self, sample_shape: tuple, value_range: Range = (-1.0, 1.0)) -> None:
        """Takes note of the shape of one sample, and of the range of its values.

        Raises:
            ValueError: If samples of that shape cannot have such a condition.
        """

    def prepared(self, values: Any) -> Any:
        """Returns an array of conditions, as the data has it, ready to be batched."""
        return values if ops.is_tensor(values) else np.asarray(values)

    def check(self, values: Any) -> None:
        """Raises an error for conditions, all of the data's or one batch of them, that do not fit.

        Raises:
            ValueError: For other shapes or values.
            TypeError: For other types.
        """

    def check_batch(self, values: Any) -> None:
        """Raises what `check` does, for a batch after the first one of a loader; never warns."""
        self.check(values)

    def tensor(self, real, values, uniform: Callable[[tuple], Any] | None):
        """Returns the conditions of a batch, float32 `(batch, *shape)`, inside the step.

        Args:
            real: The samples, float32, scaled.
            values: What the data gives with them; None for conditions that are computed.
            uniform: `shape -> floats in 0…1`, the source of randomness.
        """
        return ops.cast(values, "float32")

    def fits(self, shape: tuple) -> bool:
        """Returns whether a network's input of some shape takes this condition."""
        return shape == self.shape

    def as_input(self, tensor, shape: tuple):
        """Returns conditions in the form that a network's input of some shape takes."""
        return tensor

    def completed(self, generated, tensor):
        """Returns generated samples with what is known of them from the condition put in."""
        return generated

    def chosen(self, wanted: Any, size: int | None, random: np.random.Generator) -> np.ndarray:
        """Returns the conditions that `generate` is asked for, float32 `(size, *shape)`.

        Args:
            wanted: One condition, one for each sample, or None.
            size: The number of samples; None for as many as there are conditions.
            random: The source of randomness.

        Raises:
            ValueError: For conditions that do not exist, of another shape or number.
        """
        if wanted is None:
            raise ValueError(
                f"Samples of this GAN are conditioned on {self!r}: give condition=, one of shape "
                f"{self.shape} or one for each sample."
            )
        rows = self._rows(wanted)
        size = len(rows) if size is None else size
        if len(rows) not in (1, size):
            raise ValueError(
                f"There are {len(rows)} conditions for {size} samples; give one, or one for each."
            )
        return rows if len(rows) == size else np.broadcast_to(rows, (size, *rows.shape[1:]))

    def _rows(self, wanted) -> np.ndarray:
        """Returns what a user asks for as float32 `(n, *shape)`."""
        rows = _numpy(wanted)
        rows = rows[None] if rows.ndim == len(self.shape) else rows
        self.check(rows)
        return ops.convert_to_numpy(self.tensor(None, rows, None))

    def counts(self, values: Any) -> str:
        """Returns what the data is conditioned on, in a line for people.

        Args:
            values: All conditions of the data, None where they are not known at once.
        """
        return f"Samples are conditioned on {self!r}."

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Condition":
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.get_config().values()))})"


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
        values = _numpy(values)
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
        values = _numpy(self.prepared(wanted))
        whole = values.dtype.kind in "iu"
        if values.ndim in (1, 2) and values.shape[-1] == self.count and not whole:
            return np.atleast_2d(values.astype("float32"))  # Also mixtures of classes.
        values = values.reshape(-1) if values.ndim == 0 else values
        self.check(values)
        return ops.convert_to_numpy(self.tensor(None, ops.convert_to_tensor(values), None))

    def counts(self, values):
        if values is None:
            return f"{self.count} classes: {', '.join(self.class_names)}."
        values = _numpy(values)
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
        _check_shape(self, values)
        values = _numpy(values)
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


class _Image(Condition):
    """A condition that is an image."""

    is_image = True
    value_range: Range = (-1.0, 1.0)

    @property
    def values(self) -> Values:
        """The range of its values."""
        return Values(self.shape, self.value_range)

    def check(self, values):
        _check_shape(self, values)
        self.values.check(values)

    def check_batch(self, values):
        _check_shape(self, values)
        self.values.check_batch(values)

    def tensor(self, real, values, uniform):
        return self.values.scaled(values)

    def from_pictures(self, pictures: np.ndarray, mask: Any) -> Any:
        """Returns what `generate` takes as its condition for what `translate` is given.

        Raises:
            ValueError: For a mask that is missing or not used.
        """
        if mask is not None:
            raise ValueError(f"A mask is for conditions of the kind Masked; this is {self!r}.")
        return pictures


@register
class Images(_Image):
    """Images `(n, *shape)`, uint8 in 0…255 or floats in −1…1: the second half of each pair.

    Args:
        shape: `(height, width, channels)` of one of them.
    """

    def __init__(self, shape: tuple[int, int, int]):
        self.shape = tuple(check_whole("A side of Images", side) for side in shape)
        if len(self.shape) != 3:
            raise ValueError(f"Images are (height, width, channels); got {shape}.")

    def get_config(self):
        return {"shape": list(self.shape)}

    def __repr__(self):
        return f"Images({self.shape})"


class _Computed(_Image):
    """A condition that is computed from the samples, which must be images, with their range."""

    computed = True

    def build(self, sample_shape, value_range=(-1.0, 1.0)):
        self.value_range = value_range
        if len(sample_shape) != 3:
            raise ValueError(f"{self!r} is computed from images; samples are {sample_shape}.")
        self.shape = self._shape(*sample_shape)

    def _shape(self, height: int, width: int, channels: int) -> tuple[int, int, int]:
        raise NotImplementedError

    def tensor(self, real, values, uniform):
        if real is None:  # Given to `generate`, rather than computed.
            return super().tensor(None, values, None)
        return self._computed(real, uniform)

    def _computed(self, real, uniform):
        raise NotImplementedError

    def of_generated(self, samples, tensor):
        """Returns the conditions of generated samples, computed as those they were made from were.

        Args:
            samples: What was generated, float32, scaled.
            tensor: The conditions that they were made from.
        """
        return self._computed(samples, None)


@register
class Downscaled(_Computed):
    """The sample in smaller: the mean of each square of pixels. For super-resolution.

    Args:
        factor: How many times smaller each side is; at least 2, and a divisor of both sides.
    """

    def __init__(self, factor: int):
        self.factor = check_whole("The factor of Downscaled", factor)

    def _shape(self, height, width, channels):
        if self.factor < 2 or height % self.factor or width % self.factor:
            raise ValueError(
                f"Downscaled({self.factor}) does not divide images of {height}×{width}; both sides "
                "must be multiples of the factor, which is at least 2."
            )
        return height // self.factor, width // self.factor, channels

    def _computed(self, real, uniform):
        height, width, channels = self.shape
        shape = (-1, height, self.factor, width, self.factor, channels)
        return ops.mean(ops.reshape(real, shape), axis=(2, 4))

    def get_config(self):
        return {"factor": self.factor}


@register
class Grayscale(_Computed):
    """The brightness of a colour image, `(height, width, 1)`. For colouring.

    The weights of red, green and blue are those of ITU-R BT.601.
    """

    weights = (0.299, 0.587, 0.114)

    def _shape(self, height, width, channels):
        if channels != 3:
            raise ValueError(f"Grayscale() is for images of 3 channels; samples have {channels}.")
        return height, width, 1

    def _computed(self, real, uniform):
        parts = [weight * real[..., i : i + 1] for i, weight in enumerate(self.weights)]
        return sum(parts[1:], parts[0])

    def from_pictures(self, pictures, mask):
        pictures = super().from_pictures(pictures, mask)
        if pictures.shape[-1] != 3:
            return pictures
        return np.asarray(self._computed(self.values.scaled(pictures), None), "float32")


@register
class Masked(_Computed):
    """The sample with holes, and one more channel that is 1 in them. For inpainting.

    Holes are random rectangles and strokes, new ones at each step. Only they are generated: the
    pixels around come back unchanged to the bit.

    Args:
        rectangles: Rectangles in each image.
        strokes: Bent lines in each image.
    """

    completes = True

    def __init__(self, rectangles: int = 1, strokes: int = 2):
        whole = all(isinstance(n, int) and n >= 0 for n in (rectangles, strokes))
        if not whole or rectangles + strokes == 0:
            raise ValueError(
                "Masked needs whole numbers of rectangles and strokes, at least one of them above "
                f"0; got {rectangles!r} and {strokes!r}."
            )
        self.rectangles, self.strokes = rectangles, strokes

    def _shape(self, height, width, channels):
        return height, width, channels + 1

    def _computed(self, real, uniform):
        counts = self.rectangles, self.strokes
        hole = masks.random_masks(ops.shape(real)[0], self.shape, *counts, uniform)
        return ops.concatenate([real * (1.0 - hole), hole], axis=-1)

    def of_generated(self, samples, tensor):
        hole = tensor[..., -1:]  # The same holes.
        return ops.concatenate([samples * (1.0 - hole), hole], axis=-1)

    def completed(self, generated, tensor):
        return ops.where(tensor[..., -1:] > 0.5, ops.cast(generated, "float32"), tensor[..., :-1])

    def from_pictures(self, pictures, mask):
        if mask is None:
            raise ValueError(
                "Give mask=, an array (height, width), or one for each picture, that is not 0 in "
                "the holes to fill."
            )
        return pictures, mask

    def _rows(self, wanted):
        if not (isinstance(wanted, (tuple, list)) and len(wanted) == 2):
            rows = _numpy(wanted)
            wanted = rows[..., :-1], rows[..., -1:] > 0
        pictures, holes = map(_numpy, wanted)
        shape = (*self.shape[:2], self.shape[2] - 1)
        pictures = pictures[None] if pictures.ndim == 3 else pictures
        holes = holes[..., None] if holes.shape[-1:] != (1,) else holes
        holes = np.broadcast_to(holes != 0, (len(pictures), *self.shape[:2], 1))
        if pictures.shape[1:] != shape:
            raise ValueError(
                f"Masked takes a pair of pictures (n, {', '.join(map(str, shape))}) and holes of "
                f"their height and width; got pictures of shape {pictures.shape}."
            )
        values = Values(shape, self.value_range)
        values.check(pictures)
        pixels = ops.convert_to_numpy(values.scaled(pictures))
        return np.concatenate([np.where(holes, 0.0, pixels), holes], -1, dtype="float32")

    def get_config(self):
        return {"rectangles": self.rectangles, "strokes": self.strokes}


def get(identifier: Any) -> Condition | None:
    """Returns the given condition.

    Raises:
        TypeError: For anything but a `Condition` or None.
    """
    if identifier is not None and not isinstance(identifier, Condition):
        raise TypeError(
            "condition is None or an object of keras_gan.conditions, such as Labels(10) or "
            f"Downscaled(4); got {identifier!r}."
        )
    return identifier


def from_text(text: str, class_names: Sequence[str] | int | None) -> Condition:
    """Returns the condition that the command line names: `labels`, `downscaled:4` and so on.

    Args:
        text: `labels`, `downscaled:FACTOR`, `masked` or `grayscale`.
        class_names: The names of the data's classes, or their number; None if it has none.

    Raises:
        ValueError: For anything else, and for labels of data that has no classes.
    """
    kind, _, factor = text.partition(":")
    if kind == "labels" and class_names is None:
        raise ValueError("the data has no classes; give a folder whose subfolders are classes.")
    makers: dict[str, Callable[[], Condition]] = {
        "labels": lambda: Labels(class_names),  # type: ignore[arg-type]
        "downscaled": lambda: Downscaled(int(factor or 4)),
        "masked": Masked,
        "grayscale": Grayscale,
    }
    if kind not in makers:
        raise ValueError(f"There is no condition {closest(kind, makers)}")
    return makers[kind]()


def inferred(shape: tuple) -> Condition:
    """Returns the condition that fits a network's input, as far as its shape shows it."""
    return Images(shape) if len(shape) == 3 else Vector(int(np.prod(shape)))


def refined(shape: tuple, values: Any, classes: int | None, whole: bool) -> Condition:
    """Returns the condition that fits a network's input and the data.

    Args:
        shape: The shape of the input, of rank 1 or 0.
        values: All conditions of the data, or one batch of them.
        classes: The number of classes that the networks know; None where that is not known.
        whole: Whether these are all values of the data, rather than a batch.

    Raises:
        ValueError: For classes that are not numbered from 0 without gaps, or a number of classes
            that a batch does not tell.
    """
    values = _numpy(values)
    width = int(np.prod(shape))
    if values.dtype.kind in "OUST":
        return Labels(sorted(map(str, np.unique(values))))
    rows = values.ndim == 2 and values.shape[1] > 1
    if rows and values.shape[1] == width:
        one_hot = np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()
        return Labels(width) if one_hot else Vector(width)
    if rows or values.dtype.kind not in "iu":
        return Labels(values.shape[1]) if rows and width == 1 else Vector(width)
    if width > 1 or classes:
        return Labels(classes or width)
    if not whole:
        raise ValueError(
            "The number of classes does not follow from the networks nor from one batch; give "
            "condition=keras_gan.conditions.Labels(…)."
        )
    found = np.unique(values)
    if not np.array_equal(found, np.arange(len(found))):
        raise ValueError(
            f"Labels are whole numbers from 0 without gaps; got {found.tolist()[:12]}. Number them "
            "with np.unique(labels, return_inverse=True)[1], or give condition=Labels(…)."
        )
    return Labels(len(found))


def _check_shape(condition: Condition, values: Any) -> None:
    if tuple(values.shape[1:]) != condition.shape:
        expected = ", ".join(map(str, condition.shape))
        hint = ""
        if (*values.shape[1:], 1) == condition.shape and condition.is_image:
            hint = " Add the axis of channels with images[..., None]."
        elif len(values.shape) == 1:
            hint = " Classes, which are whole numbers, are what Labels is for."
        raise ValueError(
            f"The samples are conditioned on {condition!r}, of shape (n, {expected}); got "
            f"conditions of shape {tuple(values.shape)}.{hint}"
        )


def _numpy(values: Any) -> np.ndarray:
    return ops.convert_to_numpy(values) if ops.is_tensor(values) else np.asarray(values)
