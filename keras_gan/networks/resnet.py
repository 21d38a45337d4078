"""Residual networks for images of any size: with normalization (SNGAN), and without (R3GAN).

They are narrower than in the papers, and the most expensive convolutions of these are replaced by
cheaper ones, so that 28×28 images train on a CPU.
"""

import math
from collections.abc import Callable
from functools import partial

import keras
from keras import layers, ops

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
        latent_dim: Size of the latent vector.
        filters: Width of the last map; it doubles with each halving of the size, up to eight times.
        smallest: The first map's smaller side is this or less.
        condition_shape: None, or the shape of a condition, such as `(classes,)` of one-hot rows.
            The normalizations in the blocks then have scales and offsets for it (Miyato and Koyama
            2018, arXiv:1802.05637, section 4).

    Returns:
        A `keras.Model` from `(batch, latent_dim)`, or a list of it and the condition, to
        `(batch, height, width, channels)` in −1…1.
    """
    check_shape(image_shape)
    sizes = map_sizes(image_shape, smallest)
    widths = _widths(filters, len(sizes))
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
    x = layers.ReLU()(normalize()(x))
    # The paper repeats pixels before this convolution, for four times the work.
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, **LAYOUT)(x)
    x = layers.ReLU()(normalize()(x))
    x = layers.Conv2D(width, 3, padding="same", **LAYOUT)(_doubled(x, size))
    return layers.Add()([_doubled(shortcut, size), x])


def _doubled(x, size: tuple[int, int], interpolation: str = "nearest"):
    return cropped(layers.UpSampling2D(interpolation=interpolation, **LAYOUT)(x), *size)


def sn_discriminator(
    image_shape: tuple[int, int, int],
    filters: int = 16,
    smallest: int = 8,
    condition_shape: tuple | None = None,
) -> keras.Model:
    """Returns the residual discriminator of SNGAN: every layer is spectrally normalized.

    A block for each halving, a block that keeps the size, ReLU, the sum over the map, and dense to
    one logit. Miyato et al. 2018, arXiv:1802.05957, table 4.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 8.
        filters: Width at the image's size; it doubles with each halving, up to eight times.
        smallest: The maps are halved until their smaller side is this or less.
        condition_shape: None, or the shape of a condition, such as `(classes,)` of one-hot rows,
            whose product with the features is then added to the logits (`projected`).

    Returns:
        A `keras.Model` from `(batch, height, width, channels)`, or a list of it and the condition,
        to logits `(batch, 1)`.
    """
    check_shape(image_shape)
    widths = _widths(filters, len(map_sizes(image_shape, smallest)))
    inputs, x, condition = inputs_of(image_shape, condition_shape)
    for i, width in enumerate(widths[1:]):
        x = spectral_block(x, width, halve=True, first=i == 0)
    x = spectral_block(x, widths[-1], halve=False)
    x = layers.ReLU()(x)
    x = GlobalSumPooling()(x)
    logits = SpectralNormalization(layers.Dense(1, dtype="float32"))(x)
    if condition is not None:
        logits = projected(logits, x, condition)
    return keras.Model(inputs, logits, name="discriminator")


def spectral_block(x, width: int, halve: bool, first: bool = False):
    """A residual block of two spectrally normalized convolutions.

    Args:
        x: A map `(batch, height, width, channels)`.
        width: Channels of the result.
        halve: Whether to halve the map; odd sides are rounded up.
        first: Whether `x` are images, which take no ReLU; they are widened to half of `width`.
    """
    shortcut = _halved(x) if halve else x
    if halve or x.shape[-1] != width:
        shortcut = spectral_conv(shortcut, width, 1)
    hidden = width // 2 if first else x.shape[-1]
    x = x if first else layers.ReLU()(x)
    x = layers.ReLU()(spectral_conv(x, hidden, 3))
    # The paper's 3×3 convolution and average pooling are a 4×4 convolution of stride 2, too, of
    # which this one learns all weights, at less than half the work.
    x = spectral_conv(x, width, 4, strides=2) if halve else spectral_conv(x, width, 3)
    return layers.Add()([shortcut, x])


def spectral_conv(x, width: int, kernel_size: int, strides: int = 1):
    """A spectrally normalized convolution, which keeps the size of the map at stride 1."""
    layer = layers.Conv2D(width, kernel_size, strides, padding="same", **LAYOUT)
    return SpectralNormalization(layer)(x)


def _halved(x):
    # Odd sides are rounded up, as everywhere here.
    return layers.AveragePooling2D(2, padding="same", **LAYOUT)(x)


def r3_generator(
    image_shape: tuple[int, int, int],
    latent_dim: int = 64,
    filters: int = 32,
    blocks: int = 1,
    smallest: int = 4,
) -> keras.Model:
    """Returns a generator without normalization, after R3GAN's, for any size.

    Dense to a small map; residual blocks at each size but the image's own, with a 1×1 convolution
    and a bilinear doubling between sizes; a transposed convolution of stride 2 to the image; tanh.
    Huang et al. 2025, arXiv:2501.05441, section 3. Theirs has blocks at the full size too, where a
    CPU would spend most of its time.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 8.
        latent_dim: Size of the latent vector.
        filters: Width of the map at half the image's size; it doubles with each halving, up to
            eight times.
        blocks: Residual blocks at each size.
        smallest: The first map's smaller side is this or less.

    Returns:
        A `keras.Model` from `(batch, latent_dim)` to `(batch, height, width, channels)` in −1…1.
    """
    check_shape(image_shape)
    sizes = map_sizes(image_shape, smallest)[1:]
    widths = _widths(filters, len(sizes))
    inputs = keras.Input((latent_dim,))
    x = layers.Dense(math.prod(sizes[-1]) * widths[-1])(inputs)
    x = layers.Reshape((*sizes[-1], widths[-1]))(x)
    for size, width in reversed(list(zip(sizes, widths, strict=True))):
        if size != sizes[-1]:
            x = layers.Conv2D(width, 1, use_bias=False, **LAYOUT)(x)
            x = _doubled(x, size, "bilinear")
        for _ in range(blocks):
            x = plain_block(x, blocks * len(sizes))
    x = layers.LeakyReLU(0.2)(x)
    x = layers.Conv2DTranspose(image_shape[2], 4, 2, padding="same", **LAYOUT)(x)
    x = cropped(x, *image_shape[:2])
    return keras.Model(inputs, layers.Activation("tanh", dtype="float32")(x), name="generator")


def r3_discriminator(
    image_shape: tuple[int, int, int], filters: int = 32, blocks: int = 1, smallest: int = 4
) -> keras.Model:
    """Returns the mirror of `r3_generator`: no normalization, and dense to one logit at the end.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 8.
        filters: Width of the map at half the image's size; it doubles with each halving, up to
            eight times.
        blocks: Residual blocks at each size.
        smallest: The maps are halved until their smaller side is this or less.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to logits `(batch, 1)`.
    """
    check_shape(image_shape)
    widths = _widths(filters, len(map_sizes(image_shape, smallest)) - 1)
    inputs = keras.Input(image_shape)
    x = layers.Conv2D(filters, 4, 2, padding="same", **LAYOUT)(inputs)
    for i, width in enumerate(widths):
        if i > 0:
            x = layers.Conv2D(width, 1, use_bias=False, **LAYOUT)(_halved(x))
        for _ in range(blocks):
            x = plain_block(x, blocks * len(widths))
    x = layers.LeakyReLU(0.2)(x)
    logits = layers.Dense(1, dtype="float32")(layers.Flatten(**LAYOUT)(x))
    return keras.Model(inputs, logits, name="discriminator")


def plain_block(x, blocks: int):
    """A residual block without normalization: 1×1, 3×3 and 1×1 convolutions.

    The last one starts at zero and so the block as the identity; the others start smaller the more
    blocks there are. A deep stack then neither explodes nor vanishes without normalization. Zhang
    et al. 2019 (Fixup), arXiv:1901.09321, section 3, with three convolutions in each block. R3GAN's
    3×3 convolution is wider and grouped, which TensorFlow cannot train on a CPU.

    Args:
        x: A map `(batch, height, width, channels)`.
        blocks: The number of such blocks in the network.
    """
    width = x.shape[-1]
    # He's variance for LeakyReLU with slope 0.2, times the square of Fixup's blocks^(−1/4).
    variance = 2.0 / (1.0 + 0.2**2) / math.sqrt(blocks)
    he = keras.initializers.VarianceScaling(variance, "fan_in", "truncated_normal")
    y = layers.Conv2D(width, 1, kernel_initializer=he, **LAYOUT)(x)
    y = layers.LeakyReLU(0.2)(y)
    y = layers.Conv2D(width, 3, padding="same", kernel_initializer=he, **LAYOUT)(y)
    y = layers.LeakyReLU(0.2)(y)
    y = layers.Conv2D(width, 1, use_bias=False, kernel_initializer="zeros", **LAYOUT)(y)
    return layers.Add()([x, y])


def _widths(filters: int, sizes: int) -> list[int]:
    """Returns the widths of maps, from the largest map down."""
    return [filters * min(2**i, 8) for i in range(sizes)]


@keras.saving.register_keras_serializable(package="keras_gan")
class GlobalSumPooling(layers.Layer):
    """Sums maps `(batch, height, width, channels)` over their places: `(batch, channels)`."""

    def call(self, inputs):
        return ops.sum(inputs, axis=(1, 2))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])
