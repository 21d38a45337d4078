"""Generative adversarial networks for Keras 3, on TensorFlow, PyTorch and JAX."""

from keras_gan import datasets, losses, metrics, networks, penalties
from keras_gan.engine import enable_compilation_cache
from keras_gan.gan import GAN
from keras_gan.presets import (
    Recipe,
    create_model,
    from_preset,
    list_models,
    list_presets,
    register_model,
)

__version__ = "0.1.0.dev0"

__all__ = [
    "GAN",
    "Recipe",
    "create_model",
    "datasets",
    "enable_compilation_cache",
    "from_preset",
    "list_models",
    "list_presets",
    "losses",
    "metrics",
    "networks",
    "penalties",
    "register_model",
]
