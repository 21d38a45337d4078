"""Differentiable augmentation: random changes of the images that the discriminator sees.

An augmentation is given to `GAN(augment=…)`. It stands before the discriminator in both updates, for
real and generated images alike, so that the discriminator cannot memorise few images and the
generator does not learn the changes.

The functions below take images `(batch, height, width, channels)` in −1…1 and
`uniform: shape -> floats in 0…1`, draw a change for each image, and return the changed images.
"""

import keras
from keras import ops

from keras_gan.errors import closest


def brightness(images, uniform):
    """Returns images with a number in −0.5…0.5 added to each of them."""
    return images + (_one_per_image(images, uniform) - 0.5)


def saturation(images, uniform):
    """Returns images whose distance from grey is multiplied by a factor in 0…2.

    Grey is the mean of a pixel's channels, so images of one channel stay as they are.
    """
    grey = ops.mean(images, axis=3, keepdims=True)
    return grey + (images - grey) * (2.0 * _one_per_image(images, uniform))


def contrast(images, uniform):
    """Returns images whose distance from their mean is multiplied by a factor in 0.5…1.5."""
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * (_one_per_image(images, uniform) + 0.5)


def translation(images, uniform):
    """Returns images shifted by up to an eighth of each side; what comes in is 0, mid-grey."""
    batch = ops.shape(images)[0]
    height, width, channels = images.shape[1:]
    row, inside_rows = _shifted(height, batch, uniform)
    column, inside_columns = _shifted(width, batch, uniform)
    # One gather of all pixels of the batch, as rows of a matrix.
    first = ops.reshape(ops.arange(batch, dtype="int32") * (height * width), (batch, 1, 1))
    places = first + ops.expand_dims(row, 2) * width + ops.expand_dims(column, 1)
    pixels = ops.take(ops.reshape(images, (-1, channels)), ops.reshape(places, (-1,)), axis=0)
    inside = ops.expand_dims(inside_rows, 2) * ops.expand_dims(inside_columns, 1)
    return ops.reshape(pixels, (-1, height, width, channels)) * ops.expand_dims(inside, 3)


def cutout(images, uniform):
    """Returns images with a rectangle of half of each side set to 0; it may stand over the edge."""
    batch = ops.shape(images)[0]
    height, width = images.shape[1:3]
    rows, columns = (_hole(size, batch, uniform) for size in (height, width))
    hole = ops.expand_dims(rows, 2) * ops.expand_dims(columns, 1)
    return images * (1.0 - ops.expand_dims(hole, 3))


def _one_per_image(images, uniform):
    return uniform((ops.shape(images)[0], 1, 1, 1))


def _shifted(size: int, batch, uniform):
    """Returns where each row comes from, int32 `(batch, size)`, and 1 where that is inside."""
    reach = int(size / 8 + 0.5)
    shift = ops.floor(uniform((batch, 1)) * (2 * reach + 1)) - reach
    source = ops.expand_dims(ops.arange(size, dtype="float32"), 0) + shift
    inside = ops.cast((source >= 0) & (source <= size - 1), "float32")
    return ops.cast(ops.clip(source, 0, size - 1), "int32"), inside


def _hole(size: int, batch, uniform):
    """Returns 1 for the rows `(batch, size)` of a hole that is centred on any of them."""
    length = int(size / 2 + 0.5)
    centre = ops.floor(uniform((batch, 1)) * (size + 1 - length % 2))
    row = ops.expand_dims(ops.arange(size, dtype="float32"), 0) - (centre - length // 2)
    return ops.cast((row >= 0) & (row < length), "float32")


CHANGES = {
    "brightness": brightness,
    "saturation": saturation,
    "contrast": contrast,
    "translation": translation,
    "cutout": cutout,
}


@keras.saving.register_keras_serializable(package="keras_gan")
class DiffAugment(keras.layers.Layer):
    """Differentiable augmentation of images `(height, width, channels)` in −1…1.

    Each change is drawn anew for each image, at each call. Zhao et al. 2020, arXiv:2006.10738, with
    the strengths of their code. For few images they take all changes, for full data sets none or
    few: augmentation costs quality where data is plenty. Grey images have no saturation.

    Args:
        policy: Names out of `brightness`, `saturation`, `contrast`, `translation` and `cutout`,
            separated by commas; they are made in this order.

    Raises:
        ValueError: For an unknown name, and for samples that are no images.
    """

    def __init__(self, policy: str = "translation,cutout", name: str | None = None):
        super().__init__(name=name, dtype="float32")
        self.policy = policy
        names = [part.strip() for part in policy.split(",")]
        for unknown in (name for name in names if name not in CHANGES):
            raise ValueError(f"Unknown augmentation {closest(unknown, CHANGES)}")
        self.changes = [CHANGES[name] for name in names]

    def build(self, input_shape):
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                "DiffAugment is for images (height, width, channels) of one size; the generator "
                f"makes samples of shape {tuple(input_shape[1:])}."
            )
        super().build(input_shape)

    def call(self, samples, uniform):
        for change in self.changes:
            samples = change(samples, uniform)
        return samples

    def get_config(self):
        return {"policy": self.policy, "name": self.name}


@keras.saving.register_keras_serializable(package="keras_gan")
class AdaptiveAugment(DiffAugment):
    """`DiffAugment` with a probability that follows the discriminator's overfitting.

    Each change is made to each image with the probability `p`. After every discriminator update `p`
    moves by `batch / images`: up where the mean sign of the real logits, averaged over about four
    updates, is above the target, down where it is below, within 0…1. A discriminator that is sure
    of all real images is about to memorise them. Karras et al. 2020, arXiv:2006.06676, section 3.

    Args:
        policy: Of `DiffAugment`.
        target: The mean sign of the real logits to keep, in −1…1; the paper's value is 0.6.
        images: The number of real images in which `p` can go from 0 to 1. The paper's 500,000 are
            too slow for trainings of a few hundred thousand images.
        name: Of the layer.

    Attributes:
        p: The probability, a variable that is saved and resumed with the model.
    """

    def __init__(
        self,
        policy: str = "translation,cutout",
        target: float = 0.6,
        images: int = 500_000,
        name: str | None = None,
    ):
        super().__init__(policy, name)
        if not -1 < target < 1 or not images >= 1:
            raise ValueError(
                f"target must be in −1…1 and images at least 1; got {target!r} and {images!r}."
            )
        self.target, self.images = target, images
        self.p = self._state("p")
        self.sign = self._state("sign")

    def _state(self, name: str) -> keras.Variable:
        return self.add_weight(name=name, shape=(), initializer="zeros", trainable=False)

    def call(self, samples, uniform):
        for change in self.changes:
            draw = uniform((ops.shape(samples)[0], 1, 1, 1))
            samples = ops.where(draw < self.p.value, change(samples, uniform), samples)
        return samples

    def observe(self, real_logits):
        """Moves `p`; called once in each discriminator update."""
        logits = ops.cast(real_logits, "float32")
        sign = self.sign + 0.25 * (ops.mean(ops.sign(logits)) - self.sign)
        step = ops.cast(ops.shape(logits)[0], "float32") / self.images
        self.p.assign(ops.clip(self.p + ops.sign(sign - self.target) * step, 0.0, 1.0))
        self.sign.assign(sign)

    def get_config(self):
        return super().get_config() | {"target": self.target, "images": self.images}
