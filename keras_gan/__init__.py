"""Generative adversarial networks for Keras 3, on TensorFlow, PyTorch and JAX."""

import sys
from pathlib import PurePath

__version__ = "0.1.0.dev0"

# Importing keras fixes the backend, which the command line does only after it has read --backend.
# Anywhere else all is imported at once, so that Keras knows the classes and can load saved models.
_run = PurePath(sys.argv[0] if sys.argv else "").name
if _run not in ("keras-gan", "keras-gan.exe") and (_run != "-m" or __name__ not in sys.orig_argv):
    from keras_gan import datasets as datasets
    from keras_gan import losses as losses
    from keras_gan import metrics as metrics
    from keras_gan import networks as networks
    from keras_gan import terms as terms
    from keras_gan.engine import enable_compilation_cache as enable_compilation_cache
    from keras_gan.gan import GAN as GAN
    from keras_gan.presets import Recipe as Recipe
    from keras_gan.presets import create_model as create_model
    from keras_gan.presets import from_preset as from_preset
    from keras_gan.presets import list_models as list_models
    from keras_gan.presets import list_presets as list_presets
    from keras_gan.presets import register_model as register_model
    from keras_gan.presets import upload_preset as upload_preset
