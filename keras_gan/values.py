"""Values: the range of samples, the check of data, its scaling into the range, and the way back."""

import warnings
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan.engine.keras_internals import producer

Range = tuple[float, float]

# Whole numbers that are scaled, and the ends of their types.
SCALED = {"uint8": (0, 255), "uint16": (0, 65_535), "int16": (-32_768, 32_767)}
CHUNK = 2**22  # Values that are looked at at once, so that no copy of the whole data is made.
SLACK = 5e-4  # How far floats may lie out of the range, as a share of it: they were rounded.
LARGEST = float(np.finfo("float32").max)

_ENDS = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0)}
# Keras' layers and operations that only move or copy values.
_MOVES = {
    "CenterCrop", "Cropping1D", "Cropping2D", "Cropping3D", "Flatten", "Identity", "InputLayer",
    "Permute", "RepeatVector", "Reshape", "UpSampling1D", "UpSampling2D", "UpSampling3D",
    "Concatenate", "ExpandDims", "Flip", "GetItem", "Moveaxis", "Squeeze", "Stack", "Swapaxes",
    "Transpose",
}  # fmt: skip
_WRAPPERS = {"SpectralNormalization", "TimeDistributed"}  # They give what the layer inside gives.


class Values:
    """The range of the values in samples of one shape.

    Args:
        shape: The shape of one sample; None for a side of any length. Of rank 3, samples are images
            `(height, width, channels)`; of rank 1, rows of a table.
        value_range: `(low, high)`; None where it is not known, which is then taken as −1…1.

    Attributes:
        known: Whether the range is known.
    """

    def __init__(self, shape: tuple[int | None, ...], value_range: Range | None = None):
        self.shape = tuple(shape)
        self.known = value_range is not None
        self.low, self.high = value_range or (-1.0, 1.0)
        self._warned = False
        self._seen: tuple = (None, False)  # The last batch's shape and type; are they floats?

    @property
    def are_images(self) -> bool:
        return len(self.shape) == 3

    @property
    def bounds(self) -> Range:
        """The smallest and the largest float that samples may have."""
        if not self.are_images:
            return -LARGEST, LARGEST
        slack = SLACK * (self.high - self.low)
        return self.low - slack, self.high + slack

    def scaled(self, samples):
        """Returns samples as a float32 tensor: uint8, uint16 and int16 scaled into the range.

        Rows of a table, booleans and floats keep their values. Works inside a compiled step.

        Raises:
            TypeError: For whole numbers of another type, unless they are rows of a table.
        """
        floats = ops.cast(samples, "float32")
        dtype = keras.backend.standardize_dtype(samples.dtype)
        if "int" not in dtype or len(self.shape) < 2:
            return floats
        if keras.backend.backend() == "torch" and dtype == "int32":
            dtype = "uint16"  # Keras makes int32 tensors of it on torch.
        if dtype not in SCALED:
            raise TypeError(self._kinds(dtype))
        bottom, top = SCALED[dtype]
        unit = (top - bottom) / (self.high - self.low)
        return floats / unit + (self.low - bottom / unit)

    def pictures(self, samples: np.ndarray) -> np.ndarray:
        """Returns images as uint8 in 0…255, rounded and clipped, and other samples as they are."""
        if not self.are_images:
            return samples
        unit = 255 / (self.high - self.low)
        return np.clip(np.rint(samples * unit - self.low * unit), 0, 255).astype("uint8")

    # The check of data.

    def check(self, samples: Any) -> None:
        """Raises an error if samples have the wrong shape, type or values.

        Warns of values that have the right type, but probably not the right scale.

        Args:
            samples: An array or tensor `(n, *shape)`: uint8, uint16 or int16, which are scaled from
                the ends of their type; booleans; or finite floats, those of images in the range.
                Rows of a table may be whole numbers of any type, which keep their values.

        Raises:
            ValueError: If there are no samples, if their shape is another one, if they contain NaN
                or infinity, or if float images are out of range.
            TypeError: For other types.

        Example:

        >>> Values((8, 8, 1)).check(np.zeros((2, 8, 8), "uint8"))
        Traceback (most recent call last):
        ValueError: The generator makes samples of shape (n, 8, 8, 1); got data of shape \
(2, 8, 8). Add the axis of channels with images[..., None].
        """
        dtype = self._checked_type(samples)
        if dtype in SCALED and len(self.shape) > 1:
            self._warn_of_whole(samples, dtype)
        else:
            self._warn_of_floats(*self._checked_floats(samples))

    def check_batch(self, samples: Any) -> None:
        """Raises what `check` does, for a batch after the first one of a loader; never warns.

        The values of a batch that is on an accelerator already are not looked at.
        """
        kind = samples.shape[1:], samples.dtype
        if kind != self._seen[0] or len(samples) == 0:
            self._seen = kind, "float" in self._checked_type(samples)
        if self._seen[1] and _is_on_host(samples):
            self._checked_floats(samples)

    def _checked_type(self, samples) -> str:
        """Returns the type of samples, after checking it and the shape."""
        _check_shape(tuple(samples.shape), self.shape)
        dtype = getattr(samples.dtype, "name", str(samples.dtype)).removeprefix("torch.")
        whole = dtype in SCALED or ("int" in dtype and len(self.shape) == 1)
        if not (whole or "float" in dtype or dtype == "bool"):
            raise TypeError(self._kinds(dtype))
        return dtype

    def _kinds(self, dtype: str) -> str:
        kind = "Images" if self.are_images else f"Samples of shape {self.shape}"
        if len(self.shape) < 2:
            return f"Samples are numbers; got {dtype}."
        return (
            f"{kind} are uint8, uint16 or int16, which are scaled, or floats in {self}; got "
            f"{dtype}. Pixels in 0…255 become uint8 with images.astype('uint8')."
        )

    def _warn_of_whole(self, samples, dtype: str) -> None:
        if not self.known and not self._warned:
            self._warned = True
            warnings.warn(
                f"The range of the generator's values is not known, so {dtype} samples are scaled "
                "to −1…1: end the generator with tanh or sigmoid, or give GAN(…, value_range=…).",
                stacklevel=3,
            )
        if _is_zeros_and_ones(samples):
            warnings.warn(
                f"The {dtype} samples are nothing but 0 and 1, which are scaled as "
                f"{SCALED[dtype][0]}…{SCALED[dtype][1]} to {self}: multiply masks by "
                f"{SCALED[dtype][1]}, or give floats.",
                stacklevel=3,
            )

    def _checked_floats(self, samples) -> Range:
        """Returns the smallest and the largest value, after checking them."""
        low, high = _extremes(samples)
        bottom, top = self.bounds
        if not (bottom <= low and high <= top):  # Nor are comparisons with NaN true.
            if not np.isfinite([low, high]).all():
                raise ValueError("The data contains NaN or infinity; remove or fix these samples.")
            unit = 255 if high > 1.001 or low < -1.001 else 2
            how = _formula(unit, self.low, self.high) if unit == 255 else "(images + 1) / 2"
            other = "" if self.known else ", or give GAN(…, value_range=(low, high))"
            raise ValueError(
                f"Float images must lie in {self}; got values from {low:.4g} to {high:.4g}. "
                f"Give uint8 images, or scale them with {how}{other}."
            )
        return low, high

    def _warn_of_floats(self, low: float, high: float) -> None:
        slack = SLACK * (self.high - self.low)
        if self.known and (low < self.low - slack or high > self.high + slack):
            warnings.warn(
                f"The generator makes values in {self}, but the samples have values from "
                f"{low:.4g} to {high:.4g}: scale them, or end the generator without an activation.",
                stacklevel=3,
            )
        elif self.are_images and low >= 0 and self.low < 0:
            warnings.warn(
                f"All values of the float images are ≥ 0; scale 0…1 to {self} with "
                f"{_formula(1, self.low, self.high)}.",
                stacklevel=3,
            )

    def __str__(self) -> str:
        return f"{self.low:g}…{self.high:g}".replace("-", "−")


def values_of(generator, shape: tuple, value_range: Any = None) -> Values:
    """Returns the values of a generator's samples.

    Args:
        generator: A `keras.Model`.
        shape: The shape of one sample.
        value_range: `(low, high)`, or None to look back from the generator's output.

    Raises:
        ValueError: For a range that is none, or that the generator's last activation cannot reach.
    """
    found = output_range(generator)
    if value_range is None:
        return Values(shape, found)
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"value_range is None or (low, high), such as (0, 1); got {value_range}.")
    if found is not None and (low < found[0] or high > found[1]):
        raise ValueError(
            f"value_range is {Values(shape, (low, high))}, but the generator ends in an activation "
            f"whose values lie in {Values(shape, found)}."
        )
    return Values(shape, (low, high))


def output_range(network: Any) -> Range | None:
    """Returns the range of a network's output, None where it is not known."""
    return _ENDS.get(last_activation(network) or "")


def last_activation(network: Any) -> str | None:
    """Returns the bounded activation that a network ends in: tanh, sigmoid, softmax, or None.

    Looks back from the output through layers that only move or copy values, and into networks
    inside the network.

    Args:
        network: A `keras.Model`; None is returned unless it is a functional or sequential one.
    """
    return _activation_of(network.outputs[0], {}) if _is_graph(network) else None


def _is_graph(layer) -> bool:
    """Returns whether a layer is a functional or sequential model with one output."""
    return len(getattr(layer, "outputs", None) or []) == 1 and _is_of_keras(layer)


def _activation_of(tensor, given: dict[int, Any]) -> str | None:
    """Returns the activation that a symbolic tensor comes from.

    Args:
        tensor: The tensor.
        given: What to ask for the inputs of the model that the tensor is inside of.
    """
    if id(tensor) in given:
        return given[id(tensor)]()
    layer, inputs = producer(tensor)
    if _is_graph(layer):
        asked = (partial(_activation_of, one, given) for one in inputs)
        inner = dict(zip(map(id, layer.inputs), asked, strict=False))
        return _activation_of(layer.outputs[0], inner)
    if not _is_of_keras(layer):
        return None
    kind = type(layer).__name__
    if kind in _WRAPPERS:
        return last_activation(layer.layer) or _own_activation(layer.layer)
    nearest = getattr(layer, "interpolation", "nearest") == "nearest"
    if not (kind in _MOVES and nearest and inputs):
        return _own_activation(layer)
    found, *others = (_activation_of(one, given) for one in inputs)
    return found if all(other == found for other in others) else None


def _own_activation(layer) -> str | None:
    activation, kind = getattr(layer, "activation", None), type(layer).__name__
    for name in _ENDS if _is_of_keras(layer) else ():
        # The name is that of the layer Softmax, and of what `keras.ops.tanh` makes in a model.
        if activation is getattr(keras.activations, name) or kind.lower() == name:
            return name
    return None


def _is_of_keras(layer) -> bool:
    """Returns whether the code that computes a layer's output is Keras' or this library's."""
    module = getattr(getattr(type(layer), "call", None), "__module__", None) or ""
    return module.split(".")[0] in ("keras", "keras_gan")


def _check_shape(shape: tuple[int, ...], sample_shape: tuple[int | None, ...]) -> None:
    """Raises ValueError unless the shape is `(n, *sample_shape)` with n ≥ 1."""
    if shape[:1] == (0,):
        raise ValueError(f"There are no samples in the data: its shape is {shape}.")
    if _fits(shape[1:], sample_shape) and shape:
        return
    how = "Resize the data, or build networks for its shape."
    if _fits((*shape[1:], 1), sample_shape) and shape:
        how = "Add the axis of channels with images[..., None]."
    elif len(shape) == 4 and _fits((*shape[2:], shape[1]), sample_shape):
        how = "The channels come first: move the axis to the end with images.transpose(0, 2, 3, 1)."
    expected = "(n, " + ", ".join("any" if d is None else str(d) for d in sample_shape) + ")"
    raise ValueError(
        f"The generator makes samples of shape {expected}; got data of shape {shape}. {how}"
    )


def _fits(shape: tuple, wanted: tuple) -> bool:
    return len(shape) == len(wanted) and all(
        want in (None, got) for got, want in zip(shape, wanted, strict=True)
    )


def _chunks(samples: Any):
    """Yields all samples, some at a time, as NumPy arrays."""
    step = max(1, CHUNK // max(1, int(np.prod(samples.shape[1:]))))
    for start in range(0, len(samples), step):
        yield ops.convert_to_numpy(samples[start : start + step])


def _is_on_host(samples: Any) -> bool:
    if isinstance(samples, np.ndarray):
        return True
    return "cpu" in str(getattr(samples, "device", "cpu")).lower()


def _extremes(samples: Any) -> Range:
    """Returns the smallest and the largest value; NaN if there is one."""
    if isinstance(samples, np.ndarray) and samples.size <= CHUNK:  # A loader's, at each step.
        return float(samples.min()), float(samples.max())
    chunks = (chunk.astype("float32", copy=False) for chunk in _chunks(samples))
    extremes = [(chunk.min(), chunk.max()) for chunk in chunks]
    return float(np.min(extremes)), float(np.max(extremes))


def _is_zeros_and_ones(samples: Any) -> bool:
    """Returns whether whole numbers are nothing but 0 and 1, and both of them."""
    found: set[int] = set()
    for chunk in _chunks(samples):  # The first one decides, but for masks.
        found |= {int(chunk.min()), int(chunk.max())}
        if found - {0, 1}:
            return False
    return found == {0, 1}


def _formula(top: int, low: float, high: float) -> str:
    """Returns how to scale 0…top to a range.

    >>> _formula(255, -1.0, 1.0), _formula(1, -1.0, 1.0), _formula(255, 0.0, 1.0)
    ('images / 127.5 - 1', '2 * images - 1', 'images / 255')
    """
    unit = top / (high - low)
    scale = f"images / {unit:g}" if unit >= 1 else f"{1 / unit:g} * images"
    return scale + (f" {'-' if low < 0 else '+'} {abs(low):g}" if low else "")
