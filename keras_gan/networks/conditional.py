"""How networks take a condition: joined to latents or images, in normalizations, by projection.

A condition is a row of floats `(batch, n)`: one-hot rows of classes, or any vector. A dense layer
without bias embeds it, which for a one-hot row is to look up the row of its class.
"""

import keras
from keras import layers, ops

from keras_gan.networks.layers import BatchNormalization
from keras_gan.networks.spectral import SpectralNormalization


def inputs_of(shape: tuple, condition_shape: tuple | None):
    """Returns the inputs of a network, as `keras.Model` takes them, and each; None for none.

    Args:
        shape: The shape of the first input.
        condition_shape: The shape of the second one, the condition, or None.

    Returns:
        One input or a list of two; the first one; the second one or None.
    """
    first = keras.Input(shape)
    if condition_shape is None:
        return first, first, None
    second = keras.Input(condition_shape)
    return [first, second], first, second


def joined_latents(latent_dim: int, condition_shape: tuple | None):
    """Returns the inputs of a generator, and the latents, with an embedding of its condition.

    Mirza and Osindero 2014, arXiv:1411.1784, section 3.2.
    """
    inputs, latents, condition = inputs_of((latent_dim,), condition_shape)
    if condition is None:
        return inputs, latents
    # As large as the latents: one number in a hundred would take long to make a difference.
    normal = keras.initializers.RandomNormal(stddev=1.0)
    embedding = layers.Dense(latent_dim, use_bias=False, kernel_initializer=normal)(condition)
    return inputs, layers.Concatenate()([latents, embedding])


def joined_map(image_shape: tuple[int, int, int], condition_shape: tuple | None):
    """Returns the inputs of a discriminator, and the images, with a channel for the condition."""
    inputs, images, condition = inputs_of(image_shape, condition_shape)
    if condition is None:
        return inputs, images
    height, width, _ = image_shape
    normal = keras.initializers.RandomNormal(stddev=1.0)
    embedding = layers.Dense(height * width, use_bias=False, kernel_initializer=normal)(condition)
    return inputs, layers.Concatenate()([images, layers.Reshape((height, width, 1))(embedding)])


def projected(logits, features, condition):
    """Returns logits raised by the product of the features and an embedding of the condition.

    `D(x, y) = ψ(φ(x)) + ⟨e(y), φ(x)⟩`. Miyato and Koyama 2018, arXiv:1802.05637, section 3.

    Args:
        logits: `(batch, 1)`, of the features alone.
        features: `(batch, width)`.
        condition: `(batch, n)`.
    """
    embed = layers.Dense(features.shape[-1], use_bias=False, dtype="float32")
    embedding = SpectralNormalization(embed)(condition)
    product = layers.Dot(axes=1, dtype="float32")([embedding, features])
    return layers.Add(dtype="float32")([logits, product])


def conditioned(condition):
    """Returns a function that normalizes a map with a scale and an offset for its condition."""
    layer = ConditionalBatchNormalization()
    return lambda x: layer([x, condition])


@keras.saving.register_keras_serializable(package="keras_gan")
class ConditionalBatchNormalization(layers.Layer):
    """Normalizes over the batch, then scales and shifts by what follows from a condition.

    For one-hot rows, each class has a scale and an offset of its own. De Vries et al. 2017,
    arXiv:1707.00683; in GANs, Miyato and Koyama 2018, arXiv:1802.05637.

    Args:
        momentum: Of the moving averages, as in Keras' `BatchNormalization`.
        epsilon: Added to the variance.
        **kwargs: As in any layer.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon
        self.normalization = BatchNormalization(
            momentum=momentum, epsilon=epsilon, scale=False, center=False, dtype=self.dtype_policy
        )

    def build(self, input_shape):
        maps, condition = input_shape
        self.normalization.build(maps)
        shape = (condition[-1], maps[-1])
        self.scales = self.add_weight(name="scales", shape=shape, initializer="zeros")
        self.offsets = self.add_weight(name="offsets", shape=shape, initializer="zeros")

    def call(self, inputs, training=None):
        maps, condition = inputs
        scale, offset = (
            ops.reshape(ops.matmul(condition, table), (-1, 1, 1, maps.shape[-1]))
            for table in (self.scales, self.offsets)
        )
        return self.normalization(maps, training=training) * (1.0 + scale) + offset

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum, "epsilon": self.epsilon}
