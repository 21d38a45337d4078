"""The moving average of a generator's weights."""

import contextlib

import keras

from keras_gan.engine.keras_internals import (
    custom_objects,
    register_parameters,
    unsafe_deserialization,
    unset_weights,
    without_tensorflow,
)
from keras_gan.networks import own_classes


def frozen_copy(network: keras.Model) -> keras.Model:
    """Returns a copy of a network with the same weights, which no optimizer trains."""
    own = own_classes(network)
    # Layers of the user's own may make variables from arrays, which cannot wait for their values.
    building = contextlib.nullcontext() if own else unset_weights()
    # The network is the program's own, so Lambda layers and unregistered classes are no danger.
    with unsafe_deserialization(), custom_objects(own):
        with without_tensorflow():
            config = network.get_config()
        with building:
            copy = type(network).from_config(config)
    copy.build(network.input_shape)
    register_parameters(copy)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy
