"""Crops and resizes images of any size and mode to one shape.

Pillow is imported inside the functions, so that `import keras_gan` does not load it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

ImageSize = int | Iterable[int]  # A side, or (height, width).
ImageShape = tuple[int, int, int]  # (height, width, channels)
# Of an image, decoded or wanted: 8192×8192. Decoding so many takes up to 800 MB of memory.
MAX_PIXELS = 1 << 26


def image_shape(image_size: ImageSize, channels: int) -> ImageShape:
    """Returns `(height, width, channels)`; raises ValueError unless they are allowed."""
    size = tuple(image_size) if isinstance(image_size, Iterable) else (image_size, image_size)
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"image_size must be a side ≥ 1 or (height, width), not {image_size!r}.")
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"image_size must give at most {MAX_PIXELS:,} pixels; {size[0]}×{size[1]} are more."
        )
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), not {channels!r}.")
    return (*size, channels)


def fit_image(image: Image.Image, shape: ImageShape) -> np.ndarray:
    """Converts a Pillow image of any mode to a `uint8` array of a shape.

    Transparent pixels become white. The image is cropped around its centre to the shape's aspect
    ratio and resized with an antialiasing filter.

    Args:
        image: The image.
        shape: `(height, width, channels)`, with 1 (grey) or 3 (RGB) channels.

    Returns:
        `uint8` array `(height, width, channels)`, 0…255.

    Raises:
        ValueError: If the pixels are floats.
    """
    from PIL import Image, ImageOps

    height, width, channels = shape
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's `convert` would clip at 255.
        values = np.asarray(image).clip(0, 65535).astype("float32")
        values /= 257
        values += 0.5
        image = Image.fromarray(values.astype("uint8"))
    elif image.mode == "F":
        raise ValueError("its pixels are floats of unknown range; save it with 8 bits per channel")
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")  # Without a copy.
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)).reshape(shape)


def resize_images(images: np.ndarray, shape: ImageShape) -> np.ndarray:
    """Crops and resizes `uint8` images `(n, H, W, 1 or 3)` to `uint8 (n, *shape)`."""
    from PIL import Image

    if images.shape[1:] == shape:
        return images
    # Pillow takes a grey image without a channel axis.
    pixels = images[..., 0] if images.shape[-1] == 1 else images
    return np.stack([fit_image(Image.fromarray(image), shape) for image in pixels])
