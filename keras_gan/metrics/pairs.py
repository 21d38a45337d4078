"""Scores of GANs that make images from images: pixel by pixel against the true ones.

The metrics are fed `update_state(real, generated, condition)`, row by row: what the i-th image was
made from, and what it should have been.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan.metrics.extractors import as_uint8

register = keras.saving.register_keras_serializable(package="keras_gan")


def psnr(real, generated) -> np.ndarray:
    """Returns the peak signal-to-noise ratio of each image, in decibels; infinite for equal ones.

    10 · log₁₀(255² / mean squared difference of the grey levels).

    Args:
        real: The true images (n, H, W, C), uint8 or floats in −1…1.
        generated: The images to compare with them, of the same shape.
    """
    return _decibels(_squares(real, generated))


def ssim(real, generated) -> np.ndarray:
    """Returns the structural similarity of each image, −1…1; 1 for equal ones.

    Wang et al. 2004 (doi:10.1109/TIP.2003.819861), with a Gaussian window of 11 pixels; of images
    with a smaller side, the largest odd number that fits. Colours are compared one by one.

    Args:
        real: The true images (n, H, W, C), uint8 or floats in −1…1.
        generated: The images to compare with them, of the same shape.
    """
    real, generated = _sides(real, generated)
    side = min(11, *real.shape[1:3])
    values = ops.image.ssim(
        ops.convert_to_tensor(real.astype("float32")),
        ops.convert_to_tensor(generated.astype("float32")),
        max_val=255.0,
        filter_size=side - 1 + side % 2,
        data_format="channels_last",
    )
    return ops.convert_to_numpy(values).astype("float64")


def _squares(real, generated) -> np.ndarray:
    """Returns each image's mean squared difference of the grey levels."""
    real, generated = _sides(real, generated)
    return ((real - generated) ** 2).mean(axis=(1, 2, 3))


def _decibels(squares):
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / np.asarray(squares, "float64"))


def _sides(real, generated) -> tuple[np.ndarray, np.ndarray]:
    """Returns two sets of images as grey levels 0…255, float64."""
    real, generated = (as_uint8(images).astype("float64") for images in (real, generated))
    if real.shape != generated.shape:
        raise ValueError(
            "Images are compared with the true ones one by one, and must be of one shape; got "
            f"{generated.shape} for {real.shape}."
        )
    return real, generated


class PairMetric(keras.metrics.Metric):
    """A mean over pairs of a true image and the one that a generator made in its place.

    The work is done on the host, outside any compiled function, as in `ImageMetric`.
    """

    title: str  # The default name.
    paired = True  # Real and generated images belong together, row by row.
    least, compares = 1, False  # As in `ImageMetric`.
    _direction = "up"  # For the mode="auto" of callbacks.

    def __init__(self, name=None):
        super().__init__(name=name or self.title)
        self.reset_state()

    def _values(self, real, generated, condition) -> np.ndarray:
        """Returns what is averaged, a number for each image."""
        raise NotImplementedError

    @property
    def protocol(self) -> dict[str, Any]:
        """All that fixes the meaning of the number, for logs and tables."""
        return {"metric": self.title, "num_generated": self.count}

    def reset_state(self) -> None:
        self.total, self.count = 0.0, 0

    def begin(self, real_key: str | None = None, image_shape: tuple | None = None) -> None:
        self.reset_state()

    def update_state(self, real, generated, condition=None, sample_weight=None) -> None:
        values = self._values(real, generated, condition)
        self.total += float(np.sum(values))
        self.count += len(values)

    def result(self):
        if not self.count:
            raise ValueError(f"{self.name} needs at least one pair of images.")
        return self.total / self.count

    def get_config(self):
        return {"name": self.name}


@register
class PSNR(PairMetric):
    """Peak signal-to-noise ratio of all images together, in decibels: see `psnr`.

    The higher the better. It is that of the squared difference's mean over all images, because the
    mean of the images' ratios would be infinite as soon as one image is met exactly. Blurred images
    score well; read it beside a Fréchet distance. Of images that are repaired (`Masked`), the
    pixels that were known count too.
    """

    title = "psnr"

    def _values(self, real, generated, condition):
        return _squares(real, generated)

    def result(self):
        return float(_decibels(super().result()))


@register
class SSIM(PairMetric):
    """Mean of the images' structural similarities, −1…1: see `ssim`. The higher the better."""

    title = "ssim"

    def _values(self, real, generated, condition):
        return ssim(real, generated)


@register
class ConditionError(PairMetric):
    """How far images, put through the condition again, are from what they were made from.

    The root of the mean square, in grey levels 0…255: of a small image and the enlarged one made
    small again, of a grey image and the brightness of the coloured one. The lower the better. It is
    no more than rounding, about 0.3, for a generator that adds only what was missing.

    Args:
        condition: The GAN's condition, one that is computed from the samples.
        value_range: The range of the condition's values, as the networks get it.
        name: In logs and files.

    Raises:
        ValueError: For a condition that comes with the data.
    """

    title, _direction = "condition_error", "down"

    def __init__(self, condition, value_range=(-1.0, 1.0), name=None):
        super().__init__(name)
        if not condition.computed:
            raise ValueError(
                "ConditionError is for conditions that are computed from the samples, such as "
                f"Downscaled(4); got {condition!r}."
            )
        # Another object: the one in a model is built for the model's samples.
        self.condition = type(condition).from_config(condition.get_config())
        self.value_range = tuple(value_range)

    def _values(self, real, generated, condition):
        if condition is None:
            raise ValueError(f"{self.name} needs what the images were made from, the condition.")
        low, high = self.value_range
        given = ops.cast(ops.convert_to_tensor(condition), "float32")
        images = as_uint8(generated)
        self.condition.build(images.shape[1:], self.value_range)
        samples = ops.convert_to_tensor(images.astype("float32") * ((high - low) / 255) + low)
        again = ops.convert_to_numpy(self.condition.of_generated(samples, given))
        difference = (again - ops.convert_to_numpy(given)) * (255 / (high - low))
        return (difference.astype("float64") ** 2).mean(axis=(1, 2, 3))

    def result(self):
        return float(np.sqrt(super().result()))

    @property
    def protocol(self):
        return super().protocol | {"condition": repr(self.condition)}

    def get_config(self):
        condition = keras.saving.serialize_keras_object(self.condition)
        return {"condition": condition, "value_range": list(self.value_range), "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))
