"""Layers and checks that the networks share.

Images, and the maps inside, are `(height, width, channels)` whatever
`keras.config.image_data_format()` says, so that data, weights and files are the same.
"""

import math
from typing import Any

import keras
from keras import layers, ops

from keras_gan import engine
from keras_gan.engine.keras_internals import all_layers, serialized_as

# Also where Keras is set to channels first: Flatten would reorder the pixels there, and TensorFlow
# has no such convolutions on a CPU.
LAYOUT = {"data_format": "channels_last"}
MAX_VALUES = 1 << 26  # Of an image: 4096×4096 in colour are fewer.


@keras.saving.register_keras_serializable(package="keras_gan")
class BatchNormalization(layers.BatchNormalization):
    """Keras' layer, trained with the framework's own kernel where that is faster.

    On several devices, it normalizes over the whole batch on every backend.

    Ioffe and Szegedy 2015, arXiv:1502.03167.
    """

    def call(self, inputs, training=None, mask=None):
        plain = not (self.renorm or self.synchronized)
        plain = plain and self.axis in (-1, len(inputs.shape) - 1) and mask is None
        if not (training and self.trainable and plain and engine.batch_norm):
            return super().call(inputs, training=training, mask=mask)
        x, width = ops.cast(inputs, "float32"), inputs.shape[-1]
        if len(inputs.shape) != 4:
            x = ops.reshape(x, (-1, 1, 1, width))
        gamma = ops.cast(self.gamma, "float32") if self.scale else ops.ones((width,))
        beta = ops.cast(self.beta, "float32") if self.center else ops.zeros((width,))
        y, mean, variance = engine.batch_norm(x, gamma, beta, self.epsilon)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            value = moving.value
            moving.assign(value + (new - value) * (1.0 - self.momentum))
        return ops.cast(ops.reshape(y, ops.shape(inputs)), self.compute_dtype)


# Files name Keras' layer, so that a generator of the zoo loads where this library is not installed.
serialized_as("keras.layers.BatchNormalization", BatchNormalization)


def with_own_layers(config: Any) -> Any:
    """Returns a network's config with this library's layers in place of Keras' that do the same."""
    if isinstance(config, (list, tuple)):
        return [with_own_layers(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {name: with_own_layers(part) for name, part in config.items()}
    if (config.get("module"), config.get("class_name")) == ("keras.layers", "BatchNormalization"):
        config |= {"registered_name": keras.saving.get_registered_name(BatchNormalization)}
        config |= {"module": BatchNormalization.__module__}
    return config


def check_shape(image_shape: tuple[int, int, int], smallest: int = 8) -> None:
    """Raises ValueError unless the shape is that of images of at least a size, 8×8 by default."""
    shape = tuple(image_shape) if isinstance(image_shape, (tuple, list)) else ()
    whole = len(shape) == 3 and all(isinstance(n, int) for n in shape)
    if not whole or min(shape[:2]) < smallest or shape[2] < 1:
        raise ValueError(
            "image_shape must be (height, width, channels), whole numbers with height and width "
            f"of at least {smallest} and at least 1 channel; got {image_shape}."
        )
    if math.prod(shape) > MAX_VALUES:
        raise ValueError(
            f"image_shape must have at most {MAX_VALUES:,} values in all; got {image_shape}."
        )


def own_classes(network: keras.Model) -> dict[str, type]:
    """Returns the classes of a network's layers whose code is the user's, by name."""

    def is_known(kind):
        return kind.__module__.split(".")[0] in ("keras", "keras_gan") and kind != layers.Lambda

    kinds = map(type, all_layers(network))
    return {kind.__name__: kind for kind in kinds if not is_known(kind)}
