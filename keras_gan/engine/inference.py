"""Keras backends without gradients (numpy, openvino): `predict` and `generate` work, `fit` not."""

import keras


class Trainer:
    def fit(self, *args, **kwargs):
        _refuse("fit")


def _refuse(what):
    raise RuntimeError(
        f"Keras' {keras.backend.backend()} backend cannot compute gradients, which {what} needs; "
        "set KERAS_BACKEND to tensorflow, torch or jax before importing keras."
    )


def value_and_grad(fn, variables):
    _refuse("value_and_grad")


def input_gradient(fn, x):
    _refuse("input_gradient")


def apply(optimizer, gradients, variables):
    _refuse("apply")


def enable_compilation_cache(folder):
    _refuse("a cache of compiled train steps")


def loader(array, batch_size, shuffle):
    return array, batch_size, shuffle  # Keras' own way to feed arrays.


def device_name():
    return "cpu"


def free_memory():
    return None


batch_norm = None  # Only training needs it.


def normal(shape, seed):
    return keras.random.normal(shape, seed=seed)


def uniform(shape, seed):
    return keras.random.uniform(shape, seed=seed)
