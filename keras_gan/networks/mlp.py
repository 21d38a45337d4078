"""Multilayer perceptrons for images of any size."""

import math

import keras
from keras import layers

from keras_gan.networks.layers import LAYOUT, check_shape


def mlp_generator(image_shape, latent_dim=100, units=(256, 512, 1024)):
    """A multilayer perceptron from latents `(batch, latent_dim)` to images in −1…1."""
    check_shape(image_shape)
    stack = [keras.Input((latent_dim,)), *(layers.Dense(n, activation="relu") for n in units)]
    stack += [layers.Dense(math.prod(image_shape)), layers.Reshape(tuple(image_shape))]
    return keras.Sequential([*stack, layers.Activation("tanh", dtype="float32")], name="generator")


def mlp_discriminator(image_shape, units=(1024, 512, 256), dropout=0.3):
    """A multilayer perceptron from images to logits `(batch, 1)`."""
    check_shape(image_shape)
    stack = [keras.Input(image_shape), layers.Flatten(**LAYOUT)]
    for n in units:
        stack += [layers.Dense(n), layers.LeakyReLU(0.2)]
        stack += [layers.Dropout(dropout)] if dropout else []
    return keras.Sequential([*stack, layers.Dense(1, dtype="float32")], name="discriminator")
