"""tf.data, which feeds every backend: what is done to its batches is TensorFlow's own work."""

from typing import Any

Range = tuple[float, float]


def checked(dataset: Any, bounds: list[Range], count: int | None = None) -> Any:
    """Returns a `tf.data.Dataset` that raises InvalidArgumentError for a batch that does not fit.

    Args:
        dataset: Batches of samples, or of samples and conditions, as tuples or dicts.
        bounds: The least and largest float of samples and, where these are images, of conditions.
        count: The number of classes, where labels are the conditions: whole numbers 0…count − 1,
            or one-hot rows.
    """
    import tensorflow as tf  # Imported already by whoever made the data set.

    def with_checks(*parts: Any) -> Any:
        batch: Any = parts[0] if len(parts) == 1 else parts
        is_dict = isinstance(batch, dict)
        values = list(batch.values()) if is_dict else list(parts)
        checks = []
        for value, (low, high) in zip(values, bounds, strict=False):
            if value.dtype.is_floating:
                numbers = tf.cast(value, tf.float32)
                # No comparison holds for NaN.
                fits = tf.reduce_all((numbers >= low) & (numbers <= high))
                text = f"The floats of a batch are NaN or infinite, or not in {low:g}…{high:g}"
                checks.append(tf.debugging.Assert(fits, [text]))
        if count is not None and len(values) > 1 and values[1].dtype.is_integer:
            labels = tf.cast(values[1], tf.int64)
            known = tf.reduce_all((labels >= 0) & (labels < count))
            text = f"Labels are whole numbers 0…{count - 1}; a batch has"
            checks.append(tf.debugging.Assert(known, [text, values[1]], summarize=64))
        if not checks:
            return batch
        with tf.control_dependencies(checks):
            values[0] = tf.identity(values[0])
        if is_dict:
            return dict(zip(batch, values, strict=True))
        return tuple(values) if len(parts) > 1 else values[0]

    return dataset.map(with_checks)
