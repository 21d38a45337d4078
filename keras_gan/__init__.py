"""Generative adversarial networks for Keras 3, on TensorFlow, PyTorch and JAX."""

from keras_gan import augment as augment
from keras_gan import callbacks as callbacks
from keras_gan import conditions as conditions
from keras_gan import datasets as datasets
from keras_gan import latents as latents
from keras_gan import losses as losses
from keras_gan import metrics as metrics
from keras_gan import networks as networks
from keras_gan import runs as runs
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

__version__ = "0.1.0.dev0"
