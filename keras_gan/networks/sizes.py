"""The sizes of the maps between an image and a small map, for any height and width."""

import math

from keras import layers

from keras_gan.networks.layers import LAYOUT


def map_sizes(image_shape: tuple[int, int, int], smallest: int = 8) -> list[tuple[int, int]]:
    """Returns the sizes of maps, from the image's down, each half of the one before, rounded up.

    The last one is the first whose smaller side is at most `smallest`; there are at least two.

    >>> map_sizes((28, 21, 1))
    [(28, 21), (14, 11), (7, 6)]
    """
    height, width, _ = image_shape
    halvings = max(1, math.ceil(math.log2(min(height, width) / smallest)))
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(halvings + 1)]


def cropped(x, height: int, width: int):
    """Returns a map without the rows and columns that are too many at its end."""
    # Doubling a side that was rounded up gives one row or column too many.
    rows, columns = x.shape[1:3]
    if (rows, columns) == (height, width):
        return x
    return layers.Cropping2D(((0, rows - height), (0, columns - width)), **LAYOUT)(x)
