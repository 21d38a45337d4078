"""Residual networks for images of any size: with normalization (SNGAN), and without (R3GAN)."""

import math
from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from keras_gan.networks.conditional import conditioned, inputs_of, projected
from keras_gan.networks.layers import LAYOUT, BatchNormalization, check_shape
from keras_gan.networks.sizes import cropped, map_sizes
from keras_gan.networks.spectral import SpectralNormalization


def sn_generator(
    image_shape: tuple[int, int, int],
    latent_dim: int = 128,
    filters: int = 32,
    smallest: int = 8,
    condition_shape: tuple | None = None,
) -> keras.Model:
    """Returns the residual generator of SNGAN for any size.

    Dense to a small map, then a residual block with batch normalization for each doubling, then
    batch normalization, ReLU, a convolution and tanh. Miyato et al. 2018, arXiv:1802.05957,
    table 4.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 8.
        latent_dim: The size of the latent vector.
        filters: The width of the last map; it doubles with each halving of the size, up to eight
            times.
        smallest: The maps start with a smaller side of at most this.
        condition_shape: None, or the shape of a condition, such as `(classes,)` of one-hot rows.
            The normalizations in the blocks then have scales and offsets for it (Miyato and Koyama
            2018, arXiv:1802.05637, section 4).

    Returns:
        A `keras.Model` from `(batch, latent_dim)`, or a list of it and the condition, to
        `(batch, height, width, channels)` in −1…1.
    """
    check_shape(image_shape)
    sizes = map_sizes(image_shape, smallest)
    widths = [min(filters * 2**i, 8 * filters) for i in range(len(sizes))]
    inputs, x, condition = inputs_of((latent_dim,), condition_shape)
    normalize = BatchNormalization if condition is None else partial(conditioned, condition)
    x = layers.Dense(math.prod(sizes[-1]) * widths[-1])(x)
    x = layers.Reshape((*sizes[-1], widths[-1]))(x)
    for size, width in reversed(list(zip(sizes[:-1], widths[:-1], strict=True))):
        x = normalized_block_up(x, width, size, normalize)
    x = layers.ReLU()(BatchNormalization()(x))
    x = layers.Conv2D(image_shape[2], 3, padding="same", **LAYOUT)(x)
    return keras.Model(inputs, layers.Activation("tanh", dtype="float32")(x), name="generator")


def normalized_block_up(
    x, width: int, size: tuple[int, int], normalize: Callable[[], Callable] = BatchNormalization
):
    """Doubles a map by a residual block with normalization before each of its two convolutions.

    Args:
        x: A map `(batch, height, width, channels)`.
        width: Channels of the result.
        size: Height and width of the result: twice those of `x`, or one less.
        normalize: Makes a normalization.
    """
    # A 1×1 convolution commutes with repeating pixels: a quarter of the work before it.
    shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1, **LAYOUT)(x)
    shortcut = cropped(layers.UpSampling2D(**LAYOUT)(shortcut), *size)
    x = layers.ReLU()(normalize()(x))
    x = cropped(layers.UpSampling2D(**LAYOUT)(x), *size)
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, **LAYOUT)(x)
    x = layers.ReLU()(normalize()(x))
    return layers.Add()([shortcut, layers.Conv2D(width, 3, padding="same", **LAYOUT)(x)])


def sn_discriminator(
    image_shape: tuple[int, int, int],
    filters: int = 32,
    smallest: int = 8,
    condition_shape: tuple | None = None,
) -> keras.Model:
    """Returns the residual discriminator of SNGAN: every layer is spectrally normalized.

    A block for each halving, a block that keeps the size, ReLU, the sum over the map, and dense to
    one logit. Miyato et al. 2018, arXiv:1802.05957, table 4.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 8.
        filters: The width of the first map; it doubles with each halving, up to eight times.
        smallest: The maps are halved until their smaller side is at most this.
        condition_shape: None, or the shape of a condition, such as `(classes,)` of one-hot rows,
            by whose projection the logits are then raised (`projected`).

    Returns:
        A `keras.Model` from `(batch, height, width, channels)`, or a list of it and the condition,
        to logits `(batch, 1)`.
    """
    check_shape(image_shape)
    inputs, x, condition = inputs_of(image_shape, condition_shape)
    for i in range(len(map_sizes(image_shape, smallest)) - 1):
        x = spectral_block(x, min(2**i, 8) * filters, halve=True, first=i == 0)
    x = spectral_block(x, x.shape[-1], halve=False)
    x = layers.ReLU()(x)
    # The paper sums over the map: the mean, times the number of places.
    x = layers.Rescaling(float(x.shape[1] * x.shape[2]))(layers.GlobalAveragePooling2D(**LAYOUT)(x))
    logits = SpectralNormalization(layers.Dense(1, use_bias=False, dtype="float32"))(x)
    if condition is not None:
        logits = projected(logits, x, condition)
    return keras.Model(
        inputs, layers.Activation("linear", dtype="float32")(logits), name="discriminator"
    )


def spectral_block(x, width: int, halve: bool, first: bool = False):
    """A residual block of spectrally normalized convolutions; `first` leaves out the first ReLU."""
    shortcut = _halved(x) if halve and first else x
    if x.shape[-1] != width or halve:
        shortcut = spectral_conv(shortcut, width, 1)
    shortcut = shortcut if first or not halve else _halved(shortcut)
    x = x if first else layers.ReLU()(x)
    x = layers.ReLU()(spectral_conv(x, width, 3))
    x = spectral_conv(x, width, 3)
    return layers.Add()([shortcut, _halved(x) if halve else x])


def spectral_conv(x, width: int, kernel_size: int):
    """A spectrally normalized convolution that keeps the size of the map."""
    layer = layers.Conv2D(width, kernel_size, padding="same", use_bias=False, **LAYOUT)
    return SpectralNormalization(layer)(x)


def _halved(x):
    # Odd sides are rounded up, as everywhere here.
    return layers.AveragePooling2D(2, padding="same", **LAYOUT)(x)


def r3_generator(
    image_shape: tuple[int, int, int],
    latent_dim: int = 64,
    filters: int = 64,
    blocks: int = 1,
    smallest: int = 8,
) -> keras.Model:
    """Returns a generator without normalization, in the manner of R3GAN, for any size.

    Dense to a small map; `blocks` residual blocks at each size but the image's own, LeakyReLU, a
    bilinear doubling with a 1×1 convolution between them; a transposed convolution of stride 2 to
    the image; tanh. Huang et al. 2025, arXiv:2501.05441, section 3, with plain 3×3 blocks for their
    grouped ones, which TensorFlow cannot train on a CPU, and none at the full size, where a CPU
    would spend most of its time.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 16.
        latent_dim: The size of the latent vector.
        filters: The width of the map at half the image's size; it doubles with each halving, up to
            eight times.
        blocks: Residual blocks at each size.
        smallest: The maps start with a smaller side of at most this.

    Returns:
        A `keras.Model` from `(batch, latent_dim)` to `(batch, height, width, channels)` in −1…1.
    """
    check_shape(image_shape, smallest=16)
    sizes = map_sizes(image_shape, smallest)
    widths = [min(filters * 2 ** max(i - 1, 0), 8 * filters) for i in range(len(sizes))]
    depth = 2 * blocks * (len(sizes) - 1)
    inputs = keras.Input((latent_dim,))
    x = layers.Dense(math.prod(sizes[-1]) * widths[-1])(inputs)
    x = layers.Reshape((*sizes[-1], widths[-1]))(x)
    for i in range(len(sizes) - 1, 0, -1):
        if i < len(sizes) - 1:
            x = layers.Conv2D(widths[i], 1, use_bias=False, **LAYOUT)(x)
            doubled = layers.UpSampling2D(interpolation="bilinear", **LAYOUT)(x)
            x = cropped(doubled, *sizes[i])
        for _ in range(blocks):
            x = plain_block(x, depth)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Conv2DTranspose(image_shape[2], 4, 2, padding="same", **LAYOUT)(x)
    x = cropped(x, *sizes[0])
    return keras.Model(inputs, layers.Activation("tanh", dtype="float32")(x), name="generator")


def r3_discriminator(
    image_shape: tuple[int, int, int], filters: int = 64, blocks: int = 1, smallest: int = 8
) -> keras.Model:
    """Returns the mirror of `r3_generator`: a strided stem, residual blocks, no normalization.

    The last map is flattened, and dense to one logit. Huang et al. 2025, arXiv:2501.05441,
    section 3.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 16.
        filters: The width of the map at half the image's size; it doubles with each halving, up to
            eight times.
        blocks: Residual blocks at each size.
        smallest: The maps are halved until their smaller side is at most this.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to logits `(batch, 1)`.
    """
    check_shape(image_shape, smallest=16)
    sizes = map_sizes(image_shape, smallest)
    depth = 2 * blocks * (len(sizes) - 1)
    inputs = keras.Input(image_shape)
    x = layers.Conv2D(filters, 4, 2, padding="same", **LAYOUT)(inputs)
    for i in range(1, len(sizes)):
        if i > 1:
            x = layers.AveragePooling2D(2, padding="same", **LAYOUT)(x)
            width = min(filters * 2 ** (i - 1), 8 * filters)
            x = layers.Conv2D(width, 1, use_bias=False, **LAYOUT)(x)
        for _ in range(blocks):
            x = plain_block(x, depth)
    x = layers.LeakyReLU(0.2)(x)
    logits = layers.Dense(1, dtype="float32")(layers.Flatten(**LAYOUT)(x))
    return keras.Model(inputs, logits, name="discriminator")


def plain_block(x, depth: int):
    """A residual block without normalization: two 3×3 convolutions, the second starting at zero.

    The block starts as the identity, so that a deep stack neither explodes nor vanishes without
    normalization. Zhang et al. 2019 (Fixup), arXiv:1901.09321, section 3: the first convolution is
    scaled by the number of residual convolutions to the power −1/4 for blocks of two.

    Args:
        x: A map `(batch, height, width, channels)`.
        depth: The number of convolutions in all residual blocks of the network.
    """
    width = x.shape[-1]
    options = {"padding": "same", **LAYOUT}
    scale = (
        2.0 / (1.0 + 0.2**2) / math.sqrt(depth / 2)
    )  # He's gain for a slope of 0.2, in variance.
    he = keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")
    y = layers.Conv2D(width, 3, kernel_initializer=he, **options)(layers.LeakyReLU(0.2)(x))
    y = layers.Conv2D(width, 3, kernel_initializer="zeros", **options)(layers.LeakyReLU(0.2)(y))
    return layers.Add()([x, y])
