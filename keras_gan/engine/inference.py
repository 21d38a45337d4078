"""Keras backends without gradients (numpy, openvino): `predict` and `generate` work, `fit` not."""

import keras


def _refuse(*args, **kwargs):
    raise RuntimeError(
        f"Keras' {keras.backend.backend()} backend cannot compute gradients, which fit needs; "
        "set KERAS_BACKEND to tensorflow, torch or jax before importing keras."
    )


normal, uniform = keras.random.normal, keras.random.uniform
value_and_grad = input_gradient = apply = enable_compilation_cache = _refuse
batch_norm = loader = None  # Only training needs them.


class Trainer:
    fit = _refuse


def device_name():
    return "cpu"


def free_memory():
    return None
