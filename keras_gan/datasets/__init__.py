"""Named image sets, and folders of the user's own images or pairs of them, ready for `fit`.

All images are `uint8`, `(n, height, width, channels)`, 0…255; `GAN.fit` scales them on the device.
Nothing here needs TensorFlow.
"""

from keras_gan.datasets.decoding import image_files as image_files
from keras_gan.datasets.decoding import read_image as read_image
from keras_gan.datasets.folders import ImageFolder as ImageFolder
from keras_gan.datasets.named import class_names as class_names
from keras_gan.datasets.named import list_datasets as list_datasets
from keras_gan.datasets.named import load as load
from keras_gan.datasets.opening import open_images as open_images
from keras_gan.datasets.pairs import ImagePairs as ImagePairs
