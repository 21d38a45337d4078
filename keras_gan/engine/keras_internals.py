"""What the library uses of Keras that Keras does not document.

Each function says why it is needed and what happens on a version of Keras that lacks it.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator

import keras

try:
    from keras.src.trainers.compile_utils import MetricsList
except ImportError:
    MetricsList = None

# Copying and loading networks.


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keeps Keras from importing TensorFlow to serialize objects inside the block.

    Keras asks of every object whether it is a `tf.TensorShape`, and imports TensorFlow to ask,
    which takes seconds. Before TensorFlow is imported, no object can be one.

    Without Keras' `LazyModule`, the block does nothing, and serializing imports TensorFlow where it
    is installed.
    """
    try:
        from keras.src.utils.module_utils import tensorflow
    except ImportError:
        tensorflow = None
    # vars(), because the module's own attributes are looked up in TensorFlow, which imports it.
    undecided = vars(tensorflow).get("_available", False) is None if tensorflow else False
    if not undecided or "tensorflow" in sys.modules:
        yield
        return
    tensorflow._available = False
    try:
        yield
    finally:
        tensorflow._available = None


@contextlib.contextmanager
def unset_weights() -> Iterator[None]:
    """Builds networks without running the initializers of their weights.

    For networks whose weights are set right afterwards: on JAX, drawing random ones compiles a
    function for each shape, which takes seconds. Inside the block, variables have a shape but no
    value and take no memory. At its end, trainable variables become zeros; the others (random
    seeds, running statistics) get their own initial values, which are fixed. If the block raises,
    its variables stay without values.

    Without Keras' list of uninitialized variables, networks are initialized as usual.
    """
    try:
        from keras.src.backend.common import global_state
    except ImportError:
        global_state = None
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


def unsafe_deserialization() -> contextlib.AbstractContextManager:
    """Lets Keras build Lambda layers inside the block, to copy networks of the running program.

    Without Keras' `SafeModeScope`, networks with Lambda layers cannot be copied.
    """
    try:
        from keras.src.saving.serialization_lib import SafeModeScope
    except ImportError:
        return contextlib.nullcontext()
    return SafeModeScope(False)


# Callbacks.


def metric_directions(metrics: Iterable[keras.metrics.Metric]) -> list[keras.metrics.Metric]:
    """Returns what shows `EarlyStopping` and its like which metrics improve by falling or rising.

    With `mode="auto"`, `ModelCheckpoint`, `EarlyStopping` and `ReduceLROnPlateau` look through
    `model.metrics` for lists that Keras' own `compile` makes, and in these for a metric of the
    monitored name with a `_direction`, "up" or "down". A GAN compiles its metrics itself, so it
    adds the list returned here to its `metrics`. The metrics in it carry a name and a direction,
    and no variables: the real ones are not updated or reset twice.

    Without this, those callbacks raise an error that asks for `mode="min"` or `mode="max"`.
    """
    known = [metric for metric in metrics if getattr(metric, "_direction", None) in ("up", "down")]
    if MetricsList is None or not known:
        return []
    return [MetricsList([_Direction(metric) for metric in known], name="metric_directions")]


class _Direction(keras.metrics.Metric):
    def __init__(self, metric):
        super().__init__(name=metric.name)
        self._direction = metric._direction
