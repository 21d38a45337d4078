"""An array that lives on the device for a whole `fit`, and is shuffled there."""

import math

import keras
from keras import ops
from keras.src.trainers.data_adapters.data_adapter import DataAdapter


class ResidentArray(DataAdapter):
    """Feeds Keras' JAX and torch trainers from the device's own memory.

    Args:
        array: Samples `(n, …)`, any array.
        batch_size: Samples per batch; the last one may be smaller.
        shuffle: Whether to draw a new order at each epoch.

    Raises:
        ValueError: For data that is no array, and on TensorFlow, which tf.data feeds.
    """

    def __init__(self, array, batch_size, shuffle):
        if keras.backend.backend() == "tensorflow" or not hasattr(array, "shape"):
            raise ValueError(
                "keep_on_device=True keeps arrays on the device, with JAX and torch; got "
                f"{type(array).__name__} on {keras.backend.backend()}. Leave it at 'auto'."
            )
        self.array = ops.convert_to_tensor(array)
        self._batch_size = batch_size
        self.seed = keras.random.SeedGenerator() if shuffle else None

    def _batches(self):
        size = len(self.array)
        order = ops.arange(size)
        if self.seed is not None:
            order = keras.random.shuffle(order, seed=self.seed)
        for start in range(0, size, self._batch_size):
            yield (_batch(self.array, order, start, min(self._batch_size, size - start)),)

    get_numpy_iterator = get_jax_iterator = get_torch_dataloader = _batches

    @property
    def num_batches(self):
        return math.ceil(len(self.array) / self._batch_size)


def _batch(array, order, start, size):
    # ops.slice takes its start as a value, where indexing would compile anew for each.
    return ops.take(array, ops.slice(order, (start,), (size,)), axis=0)


if keras.backend.backend() == "jax":  # One call for the host, where Keras makes several.
    import jax

    _batch = jax.jit(_batch, static_argnums=3)
