"""What the library uses of Keras that Keras does not document.

Each function says why it is needed and what happens on a version of Keras that lacks it.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import keras

# Copying and loading networks.


def _global_state():
    try:
        from keras.src.backend.common import global_state
    except ImportError:
        return None
    return global_state


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keeps Keras from importing TensorFlow to serialize objects inside the block.

    Keras asks of every object whether it is a `tf.TensorShape`, and imports TensorFlow to ask,
    which takes seconds. Before TensorFlow is imported, no object can be one.

    Without Keras' `LazyModule`, the block changes nothing, and serializing imports TensorFlow where
    it is installed.
    """
    lazy = _lazy_tensorflow()
    if lazy is None or "tensorflow" in sys.modules:
        yield
        return
    lazy._available = False
    try:
        yield
    finally:
        lazy._available = None


def _lazy_tensorflow():
    """Returns Keras' stand-in for TensorFlow, or None if it has looked for TensorFlow already."""
    try:
        from keras.src.utils.module_utils import tensorflow
    except ImportError:
        return None
    # Through vars(), because an attribute that is missing is looked up in TensorFlow itself.
    return tensorflow if vars(tensorflow).get("_available", True) is None else None


@contextlib.contextmanager
def unset_weights() -> Iterator[None]:
    """Builds networks inside the block without running the initializers of their weights.

    For networks whose weights are set right afterwards: on JAX, drawing random ones compiles a
    function for each shape, which takes seconds. Inside the block, variables have a shape but no
    value and take no memory. When it ends, trainable variables become zeros. The others are random
    seeds and running statistics, whose initial values are fixed; they get these. If the block
    raises, its variables stay without values.

    Without Keras' list of uninitialized variables, networks are initialized as usual.
    """
    global_state = _global_state()
    if global_state is None or not hasattr(keras.Variable, "_deferred_initialize"):
        yield
        return
    name = "uninitialized_variables"
    others = global_state.get_global_attribute(name)
    variables: list[keras.Variable] = []
    global_state.set_global_attribute(name, variables)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, others)
    for variable in variables:
        if variable.trainable:
            variable._initializer = keras.initializers.Zeros()
        variable._deferred_initialize()


def register_parameters(network: keras.Model) -> None:
    """Registers the variables of a network built under `unset_weights` as torch parameters.

    Keras does so when a layer is built, if its variables have values by then. Without this, they
    are missing from the `state_dict` of the network. On other backends, this does nothing.
    """
    for layer in network._flatten_layers():
        getattr(layer, "_post_build", lambda: None)()


def custom_objects(objects: dict[str, Any]) -> contextlib.AbstractContextManager:
    """Adds custom objects to those of the enclosing `keras.saving.custom_object_scope`.

    A scope of Keras replaces the enclosing one instead, so that what a user passes to `load_model`
    would be lost. Without Keras' global state, that is what happens here, too.
    """
    global_state = _global_state()
    if global_state is not None:
        objects = global_state.get_global_attribute("custom_objects_scope_dict", {}) | objects
    return keras.saving.custom_object_scope(objects)


def unsafe_deserialization() -> contextlib.AbstractContextManager:
    """Lets Keras build Lambda layers inside the block, to copy networks of the running program.

    Without Keras' `SafeModeScope`, networks with Lambda layers cannot be copied.
    """
    try:
        from keras.src.saving.serialization_lib import SafeModeScope
    except ImportError:
        return contextlib.nullcontext()
    return SafeModeScope(False)
