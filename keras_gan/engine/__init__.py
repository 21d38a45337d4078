"""What differs between the frameworks, behind the same few names.

`Trainer` is a mixin for `keras.Model` that fits the one train step to what Keras expects of
`train_step` on the backend at hand and compiles it. `value_and_grad`, `input_gradient`, `apply`,
`normal` and `uniform` are what the step is written with, `batch_norm` what the networks are; the
other names serve what is around it. `batch_norm` and `loader` are None where Keras' own are as
fast. One module is imported, the one of the backend that Keras runs on.
"""

import importlib

import keras

BACKENDS = ("jax", "tensorflow", "torch")

_backend = keras.backend.backend()
_module = importlib.import_module(
    f"keras_gan.engine.{_backend if _backend in BACKENDS else 'inference'}"
)

TRAINS = _backend in BACKENDS


def __getattr__(name):
    return getattr(_module, name)
