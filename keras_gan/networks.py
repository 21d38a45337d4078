"""Generators and discriminators for images of any height, width ≥ 8 and number of channels.

Images, and the maps inside, are `(height, width, channels)` whatever
`keras.config.image_data_format()` says, so that data, weights and files are the same.
"""

import math

import keras
from keras import layers, ops

from keras_gan import engine

# Wherever Keras is set to channels first, too: Flatten would reorder the pixels there, and
# TensorFlow has no such convolutions on a CPU.
LAYOUT = {"data_format": "channels_last"}


def mlp_generator(image_shape, latent_dim=100, units=(256, 512, 1024)):
    """A multilayer perceptron from latents `(batch, latent_dim)` to images in −1…1."""
    _check_shape(image_shape)
    stack = [keras.Input((latent_dim,)), *(layers.Dense(n, activation="relu") for n in units)]
    stack += [layers.Dense(math.prod(image_shape)), layers.Reshape(tuple(image_shape))]
    return keras.Sequential([*stack, layers.Activation("tanh", dtype="float32")], name="generator")


def mlp_discriminator(image_shape, units=(1024, 512, 256), dropout=0.3):
    """A multilayer perceptron from images to logits `(batch, 1)`."""
    _check_shape(image_shape)
    stack = [keras.Input(image_shape), layers.Flatten(**LAYOUT)]
    for n in units:
        stack += [layers.Dense(n), layers.LeakyReLU(0.2)]
        stack += [layers.Dropout(dropout)] if dropout else []
    return keras.Sequential([*stack, layers.Dense(1, dtype="float32")], name="discriminator")


@keras.saving.register_keras_serializable(package="keras_gan")
class BatchNormalization(layers.BatchNormalization):
    """Keras' layer, which trains on maps with the framework's own kernel where that is faster.

    Ioffe and Szegedy 2015, arXiv:1502.03167.
    """

    def call(self, inputs, training=None, mask=None):
        plain = self.scale and self.center and not (self.renorm or self.synchronized)
        plain = plain and len(inputs.shape) == 4 and self.axis == -1
        if not (training and self.trainable and plain and engine.batch_norm):
            return super().call(inputs, training=training, mask=mask)
        x, gamma, beta = (ops.cast(v, "float32") for v in (inputs, self.gamma, self.beta))
        y, mean, variance = engine.batch_norm(x, gamma, beta, self.epsilon)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            value = moving.value
            moving.assign(value + (new - value) * (1.0 - self.momentum))
        return ops.cast(y, self.compute_dtype)


def conv_generator(image_shape, latent_dim=100, filters=64, kernel_size=5, batch_norm=True):
    """The generator of DCGAN for any size.

    Dense to a small map, a transposed convolution that keeps its size, then one of stride 2 per
    doubling; batch normalization and LeakyReLU between, tanh at the end. At 28×28 with the
    defaults: 7×7×256, then 128, 64 and the image's channels.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: Size of the latent vector.
        filters: Width of the map before the image; it doubles with each halving of the size, up to
            eight times.
        kernel_size: Of all convolutions.
        batch_norm: Whether to normalize between the layers.

    Returns:
        A `keras.Model` from `(batch, latent_dim)` to `(batch, height, width, channels)` in −1…1.
    """
    _check_shape(image_shape)
    sizes = _sizes(image_shape)
    widths = [min(filters * 2 ** max(i - 1, 0), 8 * filters) for i in range(len(sizes) + 1)]

    def block(x):
        # Batch normalization has an offset of its own, so the layer before it needs no bias.
        x = BatchNormalization()(x) if batch_norm else x
        return layers.LeakyReLU(0.2)(x)

    def convolution(width, stride, bias):
        return layers.Conv2DTranspose(width, kernel_size, stride, "same", use_bias=bias, **LAYOUT)

    inputs = keras.Input((latent_dim,))
    x = layers.Dense(math.prod(sizes[-1]) * widths[-1], use_bias=not batch_norm)(inputs)
    x = block(layers.Reshape((*sizes[-1], widths[-1]))(x))
    x = block(convolution(widths[-2], 1, not batch_norm)(x))
    for (height, width), channels in reversed(list(zip(sizes[:-1], widths[:-2], strict=True))):
        last = (height, width) == sizes[0]
        x = convolution(image_shape[2] if last else channels, 2, last or not batch_norm)(x)
        x = _cropped(x, height, width)
        x = x if last else block(x)
    outputs = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="generator")


def conv_discriminator(
    image_shape, filters=64, kernel_size=5, dropout=0.3, batch_norm=False, smallest=8
):
    """The discriminator of DCGAN for any size: convolutions of stride 2, dense to one logit.

    Args:
        image_shape: `(height, width, channels)`.
        filters: Width of the first map; it doubles with each halving of the size, up to eight
            times.
        kernel_size: Of all convolutions.
        dropout: Rate after each convolution.
        batch_norm: Whether to normalize after each convolution but the first.
        smallest: The maps are halved until their smaller side is this or less.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to logits `(batch, 1)`.
    """
    _check_shape(image_shape)
    x = inputs = keras.Input(image_shape)
    for i in range(len(_sizes(image_shape, smallest)) - 1):
        norm = batch_norm and i > 0
        width = min(2**i, 8) * filters
        x = layers.Conv2D(width, kernel_size, 2, "same", use_bias=not norm, **LAYOUT)(x)
        x = BatchNormalization()(x) if norm else x
        x = layers.LeakyReLU(0.2)(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    x = layers.Flatten(**LAYOUT)(x)
    return keras.Model(inputs, layers.Dense(1, dtype="float32")(x), name="discriminator")


def _sizes(image_shape, smallest=8):
    """Map sizes from the image's down, halved (rounded up) until the smaller side is `smallest`."""
    height, width, _ = image_shape
    halvings = max(1, math.ceil(math.log2(min(height, width) / smallest)))
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(halvings + 1)]


def _cropped(x, height, width):
    # Doubling a side that was rounded up gives one row or column too many.
    rows, columns = x.shape[1:3]
    if (rows, columns) == (height, width):
        return x
    return layers.Cropping2D(((0, rows - height), (0, columns - width)), **LAYOUT)(x)


def _check_shape(image_shape):
    shape = tuple(image_shape) if isinstance(image_shape, (tuple, list)) else ()
    whole = len(shape) == 3 and all(isinstance(n, int) for n in shape)
    if not whole or min(shape[:2]) < 8 or shape[2] < 1:
        raise ValueError(
            "image_shape must be (height, width, channels), whole numbers with height and width "
            f"of at least 8 and at least 1 channel; got {image_shape}."
        )


def own_classes(network):
    """The classes of a network's layers whose code is the user's, by name."""

    def is_known(kind):
        return kind.__module__.split(".")[0] in ("keras", "keras_gan") and kind != layers.Lambda

    kinds = map(type, network._flatten_layers())
    return {kind.__name__: kind for kind in kinds if not is_known(kind)}
