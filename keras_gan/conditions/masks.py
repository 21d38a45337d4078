"""Random masks for inpainting: rectangles and strokes, drawn with `keras.ops` inside the step."""

from collections.abc import Callable

from keras import ops

CORNERS = 4  # Of each stroke, a line of three pieces.


def random_masks(size, image_shape: tuple, rectangles: int, strokes: int, uniform: Callable):
    """Returns masks `(size, height, width, 1)`, float32: 1 in the holes, 0 elsewhere.

    Args:
        size: The number of masks.
        image_shape: `(height, width, …)`.
        rectangles: Rectangles in each mask, with sides of a fifth to a half of the image's.
        strokes: Bent lines in each mask, a twentieth to a tenth of the smaller side wide.
        uniform: `shape -> floats in 0…1`, the source of randomness.
    """
    height, width = image_shape[:2]
    rows = ops.reshape(ops.arange(height, dtype="float32") + 0.5, (1, 1, height, 1))
    columns = ops.reshape(ops.arange(width, dtype="float32") + 0.5, (1, 1, 1, width))
    holes = []
    if rectangles:
        holes.append(_rectangles(size, rows / height, columns / width, rectangles, uniform))
    if strokes:
        side = min(height, width)
        scale = (height / side, width / side)
        holes.append(_strokes(size, rows / side, columns / side, strokes, scale, uniform))
    hole = ops.concatenate([ops.any(kind, axis=1, keepdims=True) for kind in holes], axis=1)
    return ops.cast(ops.expand_dims(ops.any(hole, axis=1), -1), "float32")


def _rectangles(size, rows, columns, count, uniform):
    """Returns which pixels `(size, count, height, width)` lie in rectangles; sides are 0…1."""
    numbers = uniform((size, count, 4))
    top, left, tall, wide = (ops.reshape(numbers[..., i], (-1, count, 1, 1)) for i in range(4))
    tall, wide = 0.2 + 0.3 * tall, 0.2 + 0.3 * wide
    top, left = top * (1.0 - tall), left * (1.0 - wide)
    inside_rows = ops.logical_and(rows >= top, rows < top + tall)
    return ops.logical_and(inside_rows, ops.logical_and(columns >= left, columns < left + wide))


def _strokes(size, rows, columns, count, scale, uniform):
    """Returns which pixels `(size, pieces, height, width)` lie in strokes; the short side is 1."""
    corners = uniform((size, count, CORNERS, 2)) * ops.convert_to_tensor(scale, "float32")
    thickness = 0.025 + 0.025 * uniform((size, count, 1))
    pieces = count * (CORNERS - 1)

    def column(values):
        return ops.reshape(values, (-1, pieces, 1, 1))

    starts, ends = corners[:, :, :-1], corners[:, :, 1:]
    y, x, to_y, to_x = (column(point[..., i]) for point in (starts, ends) for i in range(2))
    to_y, to_x = to_y - y, to_x - x
    # The nearest point of a piece is at this share of its length.
    share = ((rows - y) * to_y + (columns - x) * to_x) / (to_y**2 + to_x**2 + 1e-6)
    share = ops.clip(share, 0.0, 1.0)
    distance = (rows - y - share * to_y) ** 2 + (columns - x - share * to_x) ** 2
    return distance < column(ops.repeat(thickness, CORNERS - 1, axis=2)) ** 2
