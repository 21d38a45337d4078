"""Early, readable errors for bad input."""

import difflib
import numbers
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def closest(name: Any, known: Iterable[str]) -> str:
    """Returns the end of an error about an unknown name: close matches, and all known names.

    >>> print("There is no loss", closest("wassersten", ["hinge", "wasserstein"]))
    There is no loss 'wassersten'; did you mean 'wasserstein'? Known: hinge, wasserstein.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    shown = repr(name) if len(str(name)) < 100 else f"{str(name)[:50]!r}…"
    return f"{shown}{hint} Known: {', '.join(known) or 'none'}."


def check_samples(samples: Any, sample_shape: tuple[int | None, ...]) -> None:
    """Raises an error if training samples have the wrong shape, type or values.

    Warns if all values of float images are ≥ 0: the generator's range is −1…1.

    Args:
        samples: An array or tensor `(n, *sample_shape)`: images as uint8 in 0…255 or floats in
            −1…1; other samples (of any rank but 3) as any finite floats.
        sample_shape: The shape of one sample, as the generator makes it; None for any size.

    Raises:
        ValueError: If there are no samples, if their shape is another one, if they contain NaN or
            infinity, or if float images are out of range.
        TypeError: If images are neither uint8 nor floats, or other samples are no numbers.

    Example:

    >>> check_samples(np.zeros((2, 8, 8), "uint8"), (8, 8, 1))
    Traceback (most recent call last):
    ValueError: The generator makes samples of shape (n, 8, 8, 1); got data of shape (2, 8, 8). \
Resize the data, or build networks for its shape.
    """
    _check_shape(tuple(samples.shape), sample_shape)
    dtype = getattr(samples.dtype, "name", str(samples.dtype)).removeprefix("torch.")
    images = len(sample_shape) == 3
    if "float" not in dtype:
        if images and dtype != "uint8":
            raise TypeError(f"Images are uint8 in 0…255 or floats in −1…1; got {dtype}.")
        if not dtype.startswith(("int", "uint", "bool")):
            raise TypeError(f"Samples are numbers; got {dtype}.")
        return
    low, high = _extremes(samples)
    if not np.isfinite([low, high]).all():
        raise ValueError("The data contains NaN or infinity; remove or fix these samples.")
    if images and (low < -1.001 or high > 1.001):
        raise ValueError(
            f"Float images must lie in −1…1; got values from {low:.4g} to {high:.4g}. "
            "Give uint8 images, or scale them with images / 127.5 - 1."
        )
    if images and low >= 0:
        message = "All values of the float images are ≥ 0; scale 0…1 to −1…1 with 2 * images - 1."
        warnings.warn(message, stacklevel=3)


def _check_shape(shape: tuple[int, ...], sample_shape: tuple[int | None, ...]) -> None:
    """Raises ValueError unless the shape is `(n, *sample_shape)` with n ≥ 1."""
    if shape[:1] == (0,):
        raise ValueError(f"There are no samples in the data: its shape is {shape}.")
    sides = zip(sample_shape, shape[1:], strict=False)
    if len(shape) != len(sample_shape) + 1 or any(want not in (None, got) for want, got in sides):
        expected = "(n, " + ", ".join("any" if d is None else str(d) for d in sample_shape) + ")"
        raise ValueError(
            f"The generator makes samples of shape {expected}; got data of shape {shape}. "
            "Resize the data, or build networks for its shape."
        )


def _extremes(samples: Any) -> tuple[float, float]:
    """Returns the smallest and the largest value; NaN if there is one."""
    # In chunks, so that no copy of the whole data is made.
    starts = range(0, len(samples), 4096)
    chunks = (keras.ops.convert_to_numpy(samples[start : start + 4096]) for start in starts)
    chunks = (chunk.astype("float32", copy=False) for chunk in chunks)
    extremes = [(chunk.min(), chunk.max()) for chunk in chunks]
    return float(np.min(extremes)), float(np.max(extremes))


def check_whole(name: str, value) -> int:
    """Returns a whole number ≥ 1 as an int; raises ValueError for anything else."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (number and float(value).is_integer() and value >= 1):
        raise ValueError(f"{name} must be a whole number ≥ 1; got {value!r}.")
    return int(value)
