"""tf.data, which feeds every backend: what is done to its batches is TensorFlow's own work."""

from typing import Any


def with_checked_labels(dataset: Any, count: int) -> Any:
    """Returns a `tf.data.Dataset` that raises InvalidArgumentError for labels that do not exist.

    Args:
        dataset: Batches of samples and labels, as pairs or dicts; others are left as they are.
        count: The number of classes; labels are 0…count − 1, or one-hot rows.
    """
    import tensorflow as tf  # Imported already by whoever made the data set.

    def checked(*parts: Any) -> Any:
        batch = parts[0] if len(parts) == 1 else parts
        values = list(batch.values()) if isinstance(batch, dict) else list(parts)
        if len(values) < 2 or not values[1].dtype.is_integer:
            return batch
        labels = tf.cast(values[1], tf.int64)
        known = tf.reduce_all((labels >= 0) & (labels < count))
        message = f"Labels are whole numbers 0…{count - 1}; a batch has"
        check = tf.debugging.Assert(known, [message, values[1]], summarize=64)
        with tf.control_dependencies([check]):
            values[1] = tf.identity(values[1])
        return dict(zip(batch, values, strict=True)) if isinstance(batch, dict) else tuple(values)

    return dataset.map(checked)
