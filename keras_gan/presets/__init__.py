"""Variants by name, and presets: saved models in folders that anyone can load.

`recipes` describes the variants and builds them; `folders` finds, loads and saves presets; `safety`
refuses presets that could do harm; `card` writes their READMEs; `hub` downloads and uploads them.
"""

from keras_gan.presets.folders import check_files as check_files
from keras_gan.presets.folders import find_preset as find_preset
from keras_gan.presets.folders import from_preset as from_preset
from keras_gan.presets.folders import list_presets as list_presets
from keras_gan.presets.folders import save_to_preset as save_to_preset
from keras_gan.presets.folders import upload_preset as upload_preset
from keras_gan.presets.recipes import Recipe as Recipe
from keras_gan.presets.recipes import create_model as create_model
from keras_gan.presets.recipes import get_recipe as get_recipe
from keras_gan.presets.recipes import list_models as list_models
from keras_gan.presets.recipes import register_model as register_model
