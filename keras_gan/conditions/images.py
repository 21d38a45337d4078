"""Conditions that are images: given with the data, or computed from the samples in the step."""

from typing import Any

import numpy as np
from keras import ops

from keras_gan.conditions import masks
from keras_gan.conditions.base import Condition, check_shape, numpy, register
from keras_gan.errors import check_whole
from keras_gan.values import Range, Values


class _Image(Condition):
    """A condition that is an image."""

    is_image = True
    value_range: Range = (-1.0, 1.0)

    @property
    def values(self) -> Values:
        """The range of its values."""
        return Values(self.shape, self.value_range)

    def check(self, values):
        check_shape(self, values)
        self.values.check(values)

    def check_batch(self, values):
        check_shape(self, values)
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
            rows = numpy(wanted)
            wanted = rows[..., :-1], rows[..., -1:] > 0
        pictures, holes = map(numpy, wanted)
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
