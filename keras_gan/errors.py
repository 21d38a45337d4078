"""Early, readable errors for bad input."""

import difflib
import numbers
import warnings
from collections.abc import Iterable

import keras
import numpy as np


def closest(name: str, known: Iterable[str]) -> str:
    """Returns `'name'; did you mean …? Known: ….`, the end of a one-line error."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    return f"{name!r}{hint} Known: {', '.join(known) or 'none'}."


def check_samples(samples, sample_shape: tuple[int | None, ...]) -> None:
    """Refuses training samples that could only train badly.

    Args:
        samples: Array `(n, *sample_shape)`: images as uint8 in 0…255 or floats in −1…1; other
            samples (of any rank but that of images) as any finite floats.
        sample_shape: The shape of one sample, as the generator makes it.

    Warns of float images without a negative value, which train half of the generator's range.

    Raises:
        ValueError: For no samples, another shape, NaN or infinity, or images out of range.
        TypeError: For images that are neither uint8 nor float.
    """
    expected = "(n, " + ", ".join("any" if d is None else str(d) for d in sample_shape) + ")"
    shape = tuple(samples.shape)
    if shape[:1] == (0,):
        raise ValueError(f"There are no samples in the data: its shape is {shape}.")
    sides = zip(sample_shape, shape[1:], strict=False)
    if len(shape) != len(sample_shape) + 1 or any(want not in (None, got) for want, got in sides):
        raise ValueError(
            f"The generator makes samples of shape {expected}; got data of shape {shape}. "
            "Resize the data, or build networks for its shape."
        )
    dtype = getattr(samples.dtype, "name", str(samples.dtype)).removeprefix("torch.")
    if "float" not in dtype:
        if dtype != "uint8" and len(sample_shape) == 3:
            raise TypeError(f"Images are uint8 in 0…255 or floats in −1…1; got {dtype}.")
        return
    # In chunks, so that no temporary of the data's size is made; NaN wins min and max.
    starts = range(0, len(samples), 4096)
    chunks = (keras.ops.convert_to_numpy(samples[start : start + 4096]) for start in starts)
    chunks = (chunk.astype("float32", copy=False) for chunk in chunks)
    extremes = [(chunk.min(), chunk.max()) for chunk in chunks]
    low, high = float(np.min(extremes)), float(np.max(extremes))
    if not np.isfinite([low, high]).all():
        raise ValueError("The data holds NaN or infinity; remove or mend those samples.")
    if len(sample_shape) == 3 and (low < -1.001 or high > 1.001):
        raise ValueError(
            f"Float images must lie in −1…1; got values from {low:.4g} to {high:.4g}. "
            "Give uint8 images, or scale them with images / 127.5 - 1."
        )
    if len(sample_shape) == 3 and low >= 0:
        warnings.warn("The float images are all ≥ 0; scale 0…1 with 2 * images - 1.", stacklevel=3)


def check_whole(name: str, value) -> int:
    """Returns a whole number ≥ 1 as an int; raises ValueError for anything else."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (number and float(value).is_integer() and value >= 1):
        raise ValueError(f"{name} must be a whole number ≥ 1; got {value!r}.")
    return int(value)
