"""DCGAN's convolutional networks, for images of any height, width ≥ 8 and number of channels."""

import math

import keras
from keras import layers

from keras_gan.networks.conditional import joined_latents, joined_map
from keras_gan.networks.layers import LAYOUT, BatchNormalization, check_shape
from keras_gan.networks.sizes import cropped, map_sizes


def conv_generator(
    image_shape, latent_dim=100, filters=64, kernel_size=5, batch_norm=True, condition_shape=None
):
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
        condition_shape: None, or the shape of a condition, such as `(classes,)` of one-hot rows.
            An embedding of it is joined to the latents.

    Returns:
        A `keras.Model` from `(batch, latent_dim)`, or a list of it and the condition, to
        `(batch, height, width, channels)` in −1…1.
    """
    check_shape(image_shape)
    sizes = map_sizes(image_shape)
    widths = [min(filters * 2 ** max(i - 1, 0), 8 * filters) for i in range(len(sizes) + 1)]

    def block(x):
        # Batch normalization has an offset of its own, so the layer before it needs no bias.
        x = BatchNormalization()(x) if batch_norm else x
        return layers.LeakyReLU(0.2)(x)

    def convolution(width, stride, bias):
        return layers.Conv2DTranspose(width, kernel_size, stride, "same", use_bias=bias, **LAYOUT)

    inputs, x = joined_latents(latent_dim, condition_shape)
    x = layers.Dense(math.prod(sizes[-1]) * widths[-1], use_bias=not batch_norm)(x)
    x = block(layers.Reshape((*sizes[-1], widths[-1]))(x))
    x = block(convolution(widths[-2], 1, not batch_norm)(x))
    for (height, width), channels in reversed(list(zip(sizes[:-1], widths[:-2], strict=True))):
        last = (height, width) == sizes[0]
        x = convolution(image_shape[2] if last else channels, 2, last or not batch_norm)(x)
        x = cropped(x, height, width)
        x = x if last else block(x)
    outputs = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="generator")


def conv_discriminator(
    image_shape, filters=64, kernel_size=5, dropout=0.3, batch_norm=False, smallest=8,
    condition_shape=None,
):  # fmt: skip
    """The discriminator of DCGAN for any size: convolutions of stride 2, dense to one logit.

    Args:
        image_shape: `(height, width, channels)`.
        filters: Width of the first map; it doubles with each halving of the size, up to eight
            times.
        kernel_size: Of all convolutions.
        dropout: Rate after each convolution.
        batch_norm: Whether to normalize after each convolution but the first.
        smallest: The maps are halved until their smaller side is this or less.
        condition_shape: None, or the shape of a condition, such as `(classes,)` of one-hot rows.
            An embedding of it is one more channel of the image.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)`, or a list of it and the condition,
        to logits `(batch, 1)`.
    """
    check_shape(image_shape)
    inputs, x = joined_map(image_shape, condition_shape)
    for i in range(len(map_sizes(image_shape, smallest)) - 1):
        norm = batch_norm and i > 0
        width = min(2**i, 8) * filters
        x = layers.Conv2D(width, kernel_size, 2, "same", use_bias=not norm, **LAYOUT)(x)
        x = BatchNormalization()(x) if norm else x
        x = layers.LeakyReLU(0.2)(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    x = layers.Flatten(**LAYOUT)(x)
    return keras.Model(inputs, layers.Dense(1, dtype="float32")(x), name="discriminator")
