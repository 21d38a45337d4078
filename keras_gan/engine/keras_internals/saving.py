"""Copying, loading and saving networks."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_gan.engine.keras_internals.layers import all_layers
from keras_gan.engine.keras_internals.lookup import found


def serialized_as(name: str, kind: type) -> None:
    """Lets Keras write a class into configs under one of its own names.

    Then a network with layers of this class loads where the library is not installed. Without
    Keras' table of names, the class is written as that of this library.

    Args:
        name: Such as `"keras.layers.Dense"`, of a class that does the same.
        kind: The class.
    """
    names = found("REGISTERED_OBJS_TO_NAMES", "api_export")
    if names is not None:
        names[kind] = name


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


def set_random_seed(seed: int) -> None:
    """Does what `keras.utils.set_random_seed` does, without importing TensorFlow to seed it.

    Before TensorFlow is imported, nothing can have been drawn by it, and on other backends nothing
    is. See `without_tensorflow` for what happens without Keras' stand-in for it.
    """
    with without_tensorflow():
        keras.utils.set_random_seed(seed)


def _lazy_tensorflow():
    """Returns Keras' stand-in for TensorFlow, or None if it has looked for TensorFlow already."""
    try:
        from keras.src.utils.module_utils import tensorflow
    except ImportError:
        return None
    # Through vars(), because an attribute that is missing is looked up in TensorFlow itself.
    return tensorflow if vars(tensorflow).get("_available", True) is None else None


@contextlib.contextmanager
def unset_weights(fill: bool = True) -> Iterator[None]:
    """Builds networks inside the block without running the initializers of their weights.

    For networks whose weights are set right afterwards: on JAX, drawing random ones compiles a
    function for each shape, which takes seconds. Inside the block, variables have a shape but no
    value and take no memory. When it ends, trainable variables become zeros. The others are random
    seeds and running statistics, whose initial values are fixed; they get these. If the block
    raises, its variables stay without values.

    Without Keras' list of uninitialized variables, networks are initialized as usual.

    Args:
        fill: Whether the variables get their values when the block ends. Without, they stay without
            any; and without Keras' list, the block raises NotImplementedError.
    """
    global_state = _global_state()
    if global_state is None or not hasattr(keras.Variable, "_deferred_initialize"):
        if not fill:
            raise NotImplementedError("this version of Keras cannot leave weights without values")
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
    for variable in variables if fill else ():
        if variable.trainable:
            variable._initializer = keras.initializers.Zeros()
        variable._deferred_initialize()


def register_parameters(network: keras.Model) -> None:
    """Registers the variables of a network built under `unset_weights` as torch parameters.

    Keras does so when a layer is built, if its variables have values by then. Without this, they
    are missing from the `state_dict` of the network. On other backends, this does nothing.
    """
    for layer in all_layers(network):
        getattr(layer, "_post_build", lambda: None)()


def global_seed() -> list[keras.Variable]:
    """Returns the state of the generator that `keras.random` uses without a seed.

    Without Keras' function, returns nothing: a resumed run then draws other numbers where a user's
    layer draws them without a seed.
    """
    generator = found("global_seed_generator", "random.seed_generator")
    return [] if generator is None else [generator().state]


def write_weights(model: keras.Model, path: Path) -> None:
    """Writes a model's weights, as `save_weights` does; raises OSError unless they are complete.

    HDF5 is written in memory: on a full disk, its library leaves open files behind that crash the
    process when it ends. Without Keras' functions, it writes to the disk.
    """
    store = found("H5IOStore", "saving.saving_lib")
    save = found("_save_state", "saving.saving_lib")
    content = io.BytesIO()
    try:
        opened = store(content, mode="w")
        save(model, weights_store=opened, assets_store=None, inner_path="", visited_saveables=set())
        opened.close()
    except TypeError:
        model.save_weights(path)
    else:
        path.write_bytes(content.getbuffer())


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
