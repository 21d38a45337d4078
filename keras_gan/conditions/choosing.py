"""Which condition is meant: by an object, on the command line, or by networks and data."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_gan.conditions.base import Condition, numpy
from keras_gan.conditions.images import Downscaled, Grayscale, Images, Masked
from keras_gan.conditions.labels import Labels, Vector
from keras_gan.errors import closest


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
    values = numpy(values)
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
