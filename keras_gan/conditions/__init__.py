"""Conditions: what samples are conditioned on, and in which forms it may be given.

A condition comes with the data (`Labels`, `Vector`, `Images`), or is computed from the samples
inside the train step (`Downscaled`, `Masked`, `Grayscale`). Networks get it as a float32 tensor
`(batch, *condition.shape)`: classes as one-hot rows, so that one network serves labels, mixtures of
them and vectors; a network whose second input is one whole number, for an `Embedding`, gets the
number of the class instead.
"""

from keras_gan.conditions.base import Condition as Condition
from keras_gan.conditions.choosing import from_text as from_text
from keras_gan.conditions.choosing import get as get
from keras_gan.conditions.choosing import inferred as inferred
from keras_gan.conditions.choosing import refined as refined
from keras_gan.conditions.images import Downscaled as Downscaled
from keras_gan.conditions.images import Grayscale as Grayscale
from keras_gan.conditions.images import Images as Images
from keras_gan.conditions.images import Masked as Masked
from keras_gan.conditions.labels import Labels as Labels
from keras_gan.conditions.labels import Vector as Vector
