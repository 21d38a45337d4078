"""PyTorch: autograd, eager."""

import keras
import torch

from keras_gan.engine.scopes import copied_scope


def value_and_grad(fn, variables):
    """Returns `(loss, aux), gradients` of `fn() -> (loss, aux)` with respect to `variables`."""
    with torch.enable_grad():
        outputs = fn()
        gradients = torch.autograd.grad(
            outputs[0], [v.value for v in variables], allow_unused=True
        )
    return keras.tree.map_structure(torch.detach, outputs), list(gradients)


def input_gradient(fn, x):
    """Returns the gradient of `sum(fn(x))` with respect to `x`, itself differentiable."""
    with torch.enable_grad(), copied_scope():
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(
            keras.ops.sum(fn(x)), x, create_graph=True, materialize_grads=True, allow_unused=True
        )
    return gradient


def apply(optimizer, gradients, variables):
    """Updates `variables`, some or all of those that the optimizer was built with."""
    optimizer.apply(gradients, variables)


# Keras' own random ops seed a new generator from a host integer at every call: a wait for the
# device, and a constant once traced. The framework's default generator is neither.
def normal(shape, seed):
    return torch.randn(shape, device=keras.src.backend.torch.core.get_device())


def uniform(shape, seed):
    return torch.rand(shape, device=keras.src.backend.torch.core.get_device())


class Trainer:
    """Fits `_step(data) -> logs` to Keras' torch trainer."""

    def _should_torch_compile(self):
        # Keras would hand its own Python to Dynamo, which takes minutes and ends up slower.
        return False

    def train_step(self, data):
        with torch.no_grad():
            return self._step(data)
