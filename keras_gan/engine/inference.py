"""Keras backends without gradients (NumPy, OpenVINO): `generate` works, `fit` raises."""

import keras

from keras_gan.engine.sharing import Sharing


def _refuse(*args, **kwargs):
    raise RuntimeError(
        f"Keras' {keras.backend.backend()} backend cannot compute gradients, which fit needs; "
        "set KERAS_BACKEND to tensorflow, torch or jax before importing keras."
    )


class Trainer(Sharing):
    fit = _refuse


value_and_grad = input_gradient = logits_and_gradient = apply = _refuse
mean_over_devices = device_share = agreed = seed_noise = enable_compilation_cache = _refuse
random_states = set_random_states = compiled = on_devices = _refuse
batch_norm = loader = None  # Only training needs them.


def normal(shape, seed):
    return keras.random.normal(shape, seed=seed)


def uniform(shape, seed):
    return keras.random.uniform(shape, seed=seed)


def gather(array, order, start, size):
    return keras.ops.take(array, order[start : start + size], axis=0)


def device_name():
    return "cpu"


def free_memory():
    return None
