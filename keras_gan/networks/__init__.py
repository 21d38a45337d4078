"""Generators and discriminators for images of any size and number of channels."""

from keras_gan.networks.conditional import (
    ConditionalBatchNormalization as ConditionalBatchNormalization,
)
from keras_gan.networks.conv import conv_discriminator as conv_discriminator
from keras_gan.networks.conv import conv_generator as conv_generator
from keras_gan.networks.layers import BatchNormalization as BatchNormalization
from keras_gan.networks.layers import own_classes as own_classes
from keras_gan.networks.layers import with_own_layers as with_own_layers
from keras_gan.networks.mlp import mlp_discriminator as mlp_discriminator
from keras_gan.networks.mlp import mlp_generator as mlp_generator
from keras_gan.networks.resnet import r3_discriminator as r3_discriminator
from keras_gan.networks.resnet import r3_generator as r3_generator
from keras_gan.networks.resnet import sn_discriminator as sn_discriminator
from keras_gan.networks.resnet import sn_generator as sn_generator
from keras_gan.networks.spectral import SpectralNormalization as SpectralNormalization
from keras_gan.networks.unet import patch_discriminator as patch_discriminator
from keras_gan.networks.unet import unet_generator as unet_generator
