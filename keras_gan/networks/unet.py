"""Networks from images to images: a U-Net, and a discriminator of patches (pix2pix)."""

import math

import keras
from keras import layers, ops

from keras_gan.networks.layers import LAYOUT, check_shape
from keras_gan.networks.sizes import cropped, map_sizes


def unet_generator(
    image_shape: tuple[int, int, int],
    condition_shape: tuple[int, int, int],
    filters: int = 64,
    dropout: float = 0.5,
    smallest: int = 4,
) -> keras.Model:
    """Returns a U-Net for images of any size of at least 8×8.

    Convolutions of stride 2 down to a small map, transposed ones up again, each joined with the map
    of its size from the way down, and at last with the condition itself. Instance normalization,
    which does the same in training and at rest, for any batch size. Isola et al. 2016,
    arXiv:1611.07004, section 6.1.1.

    Args:
        image_shape: `(height, width, channels)` of the images that it makes.
        condition_shape: The same of those that it starts from. They are resized first if they are
            of another size.
        filters: The width of the first map; it doubles with each halving, up to eight times.
        dropout: Rate in the three smallest maps on the way up.
        smallest: The maps are halved until their smaller side is at most this.

    Returns:
        A `keras.Model` from conditions to `(batch, height, width, channels)` in −1…1.
    """
    check_shape(image_shape)
    sizes = map_sizes(image_shape, smallest)
    inputs = keras.Input(condition_shape)
    x = _resized(inputs, *image_shape[:2])
    skips = []
    for i in range(len(sizes) - 1):
        skips.append(x)
        x = layers.LeakyReLU(0.2)(x) if i else x
        x = _conv(x, min(2**i, 8) * filters, 2, normalize=i > 0)
    for i in reversed(range(len(sizes) - 1)):
        width = min(2 ** max(i - 1, 0), 8) * filters
        x = layers.Conv2DTranspose(width, 4, 2, "same", use_bias=False, **LAYOUT)(layers.ReLU()(x))
        x = _instance_norm(cropped(x, *sizes[i]))
        x = layers.Dropout(dropout)(x) if dropout and i >= max(1, len(sizes) - 4) else x
        x = layers.Concatenate()([x, skips[i]])
    x = layers.Conv2D(image_shape[2], 3, padding="same", **LAYOUT)(layers.ReLU()(x))
    return keras.Model(inputs, layers.Activation("tanh", dtype="float32")(x), name="generator")


def patch_discriminator(
    image_shape: tuple[int, int, int],
    condition_shape: tuple[int, int, int],
    filters: int = 64,
) -> keras.Model:
    """Returns a discriminator that judges each patch of an image, beside its condition.

    Up to three convolutions of stride 2 while the smaller side is 8 or more, then two of stride 1:
    at 256×256, each logit sees the 70×70 pixels of the paper. Isola et al. 2016, arXiv:1611.07004,
    section 6.1.2.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 8.
        condition_shape: The same of the condition, which is resized if it is of another size.
        filters: The width of the first map; it doubles with each layer, up to eight times.

    Returns:
        A `keras.Model` from `[images, conditions]` to logits `(batch, height, width, 1)`.
    """
    check_shape(image_shape)
    images, condition = keras.Input(image_shape), keras.Input(condition_shape)
    x = layers.Concatenate()([images, _resized(condition, *image_shape[:2])])
    halvings = min(3, int(math.log2(min(image_shape[:2]) / 4)))
    for i in range(halvings + 1):
        x = _conv(x, min(2**i, 8) * filters, 2 if i < halvings else 1, normalize=i > 0)
        x = layers.LeakyReLU(0.2)(x)
    logits = layers.Conv2D(1, 4, padding="same", dtype="float32", **LAYOUT)(x)
    return keras.Model([images, condition], logits, name="discriminator")


def _conv(x, width: int, stride: int, normalize: bool):
    x = layers.Conv2D(width, 4, stride, "same", use_bias=not normalize, **LAYOUT)(x)
    return _instance_norm(x) if normalize else x


def _instance_norm(x):
    return layers.GroupNormalization(groups=-1, epsilon=1e-5)(x)


def _resized(x, height: int, width: int):
    """Returns images of another size, bilinearly, and images of that size as they are."""
    rows, columns = x.shape[1:3]
    if (rows, columns) == (height, width):
        return x
    if height % rows == 0 and width % columns == 0:
        factors = (height // rows, width // columns)
        return layers.UpSampling2D(factors, interpolation="bilinear", **LAYOUT)(x)
    return Resize(height, width)(x)


@keras.saving.register_keras_serializable(package="keras_gan")
class Resize(layers.Layer):
    """Resizes maps `(batch, height, width, channels)` bilinearly.

    Keras' own layer needs TensorFlow, whatever the backend.

    Args:
        height: Height of the result.
        width: Width of the result.
    """

    def __init__(self, height: int, width: int, **kwargs):
        super().__init__(**kwargs)
        self.size = height, width

    def call(self, inputs):
        return ops.image.resize(
            inputs, self.size, interpolation="bilinear", data_format="channels_last"
        )

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self):
        return super().get_config() | {"height": self.size[0], "width": self.size[1]}
