"""Generative adversarial networks for Keras 3, on TensorFlow, PyTorch and JAX."""

import sys
from pathlib import PurePath

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
    "upload_preset",
]

# Importing keras fixes the backend, which the command line does only after it has read --backend.
# Anywhere else all is imported at once, so that Keras knows the classes and can load saved models.
if PurePath(sys.argv[0] if sys.argv else "").stem not in ("keras-gan", "-m"):
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
        upload_preset,
    )
