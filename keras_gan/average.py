"""The moving average of a generator's weights."""

import contextlib

import keras
from keras import ops

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
    copy.name = f"{network.name}_average"  # So that `summary` shows which is which.
    copy.trainable = False
    return copy


def update(average: keras.Model, network: keras.Model, momentum: float, updates) -> None:
    """Moves an average towards a network.

    Args:
        average: A network that `frozen_copy` made of `network`.
        network: The network.
        momentum: The share of the average that is kept, in 0…1. It starts lower, at
            `(1 + t) / (10 + t)` after `t` updates, so that short runs do not show the start.
        updates: The number of updates of the network so far, a scalar tensor.
    """
    updates = ops.cast(updates, "float32")
    momentum = ops.minimum(momentum, (1.0 + updates) / (10.0 + updates))
    for kept, variable in zip(average.variables, network.variables, strict=True):
        if "float" in keras.backend.standardize_dtype(variable.dtype):
            value = ops.cast(variable.value, kept.dtype)
            kept.assign(value + ops.cast(momentum, kept.dtype) * (kept - value))
        else:  # The state of a random seed.
            kept.assign(variable.value)
