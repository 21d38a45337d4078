"""Spectral normalization: a layer whose kernel has a largest singular value of 1."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="keras_gan")
class SpectralNormalization(layers.Wrapper):
    """Divides a linear layer by the largest singular value of its kernel.

    The value is estimated by one step of power iteration in each training call, from a vector that
    is kept. Miyato et al. 2018, arXiv:1802.05957, algorithm 1. The kernel itself is never assigned
    to: Keras' own layer does so inside the pass, and its gradient then depends on the backend.

    Args:
        layer: A layer that is linear in its `kernel`, such as `Dense` or `Conv2D`, without bias and
            activation. The kernel's last axis is one side of the matrix, all others the other side.
        use_bias: Whether to add a bias, one number for each unit of the last axis, after dividing.

    Raises:
        ValueError: For a layer with a bias or an activation.
    """

    def __init__(self, layer: layers.Layer, use_bias: bool = True, **kwargs):
        super().__init__(layer, **kwargs)
        linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
        if getattr(layer, "use_bias", False) or not linear:
            raise ValueError(
                f"SpectralNormalization takes a layer without bias and activation; {layer.name} has "
                "one. Give it use_bias=False: the bias is added here, after dividing."
            )
        self.use_bias = use_bias

    def build(self, input_shape=None):
        super().build(input_shape)
        options = {"dtype": "float32", "autocast": False}
        self.vector = self.add_weight(
            name="vector", shape=(1, self.layer.kernel.shape[-1]), initializer="random_normal",
            trainable=False, **options,
        )  # fmt: skip
        if self.use_bias:
            units = self.layer.compute_output_shape(input_shape)[-1]
            self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")

    def call(self, inputs, training=False):
        outputs = self.layer(inputs)
        outputs = outputs / ops.cast(self._largest_value(training), outputs.dtype)
        return outputs + ops.cast(self.bias, outputs.dtype) if self.use_bias else outputs

    def _largest_value(self, training):
        """Returns the estimate, a float32 scalar; in training, keeps the better vector."""
        kernel = ops.cast(self.layer.kernel, "float32")
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        still = ops.stop_gradient(matrix)
        left = _unit(ops.matmul(self.vector.value, ops.transpose(still)))
        right = _unit(ops.matmul(left, still))
        if training:
            self.vector.assign(right)
        return ops.sum(ops.matmul(left, matrix) * right)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return super().get_config() | {"use_bias": self.use_bias}


def _unit(vector):
    return vector / (ops.sqrt(ops.sum(ops.square(vector))) + 1e-12)
