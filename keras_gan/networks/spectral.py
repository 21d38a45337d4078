"""Spectral normalization: a layer used with its kernel divided by its largest singular value."""

import keras
from keras import layers, ops

from keras_gan.engine.scopes import CopiedScope


@keras.saving.register_keras_serializable(package="keras_gan")
class SpectralNormalization(layers.Wrapper):
    """Calls a layer with its kernel divided by the kernel's largest singular value.

    The value is estimated by one step of power iteration at each call, from a vector that training
    calls update. Miyato et al. 2018, arXiv:1802.05957, algorithm 1. Gradients flow through the
    division. The kernel itself is not assigned to: Keras' layer of this name does so inside the
    pass, which gives the backends different gradients.

    Args:
        layer: A layer with a `kernel` or `embeddings`, such as `Dense`, `Conv2D` or `Embedding`.
            The kernel is taken as a matrix, its last axis by all the others.

    Raises:
        ValueError: When built, for a layer that has neither.
    """

    def __init__(self, layer: layers.Layer, **kwargs):
        # The estimate needs the kernel in full precision; the layer inside casts what it uses.
        super().__init__(layer, autocast=False, **kwargs)

    def build(self, input_shape=None):
        super().build(input_shape)
        self.vector = self.add_weight(
            name="vector",
            shape=(1, self._kernel().shape[-1]),
            initializer="random_normal",
            dtype="float32",
            trainable=False,
        )

    def call(self, inputs, training=False):
        kernel = self._kernel()
        value, vector = largest_singular_value(kernel.value, self.vector.value)
        if training:
            self.vector.assign(vector)
        with CopiedScope() as scope:
            scope.state_mapping[id(kernel)] = kernel.value / ops.cast(value, kernel.dtype)
            return self.layer(inputs)

    def _kernel(self) -> keras.Variable:
        for name in ("kernel", "embeddings"):
            if hasattr(self.layer, name):
                return getattr(self.layer, name)
        raise ValueError(
            "SpectralNormalization takes a layer with a kernel or embeddings, such as Dense or "
            f"Conv2D; {self.layer.name} is a {type(self.layer).__name__}."
        )

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


def largest_singular_value(kernel, vector):
    """Returns an estimate of a kernel's largest singular value, and the vector it comes from.

    Args:
        kernel: Floats `(…, n)`, taken as a matrix `(m, n)`.
        vector: A row `(1, n)`, an earlier estimate of the right singular vector, not 0.

    Returns:
        The value, a float32 scalar that is differentiable with respect to the kernel, with the
        vectors taken as constants; 1 for a kernel of zeros. And the better vector, of length 1.
    """
    matrix = ops.reshape(ops.cast(kernel, "float32"), (-1, kernel.shape[-1]))
    constant = ops.stop_gradient(matrix)
    left = _unit(ops.matmul(vector, ops.transpose(constant)))
    right = _unit(ops.matmul(left, constant))
    value = ops.sum(ops.matmul(left, matrix) * right)
    # A kernel of zeros has no such vector, and would leave one of zeros for ever.
    found = value > 0
    return ops.where(found, value, 1.0), ops.where(found, right, vector)


def _unit(vector):
    return vector / ops.maximum(ops.sqrt(ops.sum(ops.square(vector))), 1e-12)
