"""What the library uses of Keras that Keras does not document.

Each function says why it is needed, and what happens on a version of Keras that lacks it: the
library then takes the public way, which is slower or does a little less.
"""

import contextlib
import importlib
import io
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras

VERSION = tuple(int(part) for part in keras.__version__.split(".")[:2])


def _found(name: str, *modules: str) -> Any:
    """Returns the object of this name from the first module of `keras.src` that has it, or None."""
    for module in modules:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(f"keras.src.{module}"), name)
    return None


# Scopes, layers and their losses.

_get_stateless_scope = _found("get_stateless_scope", "backend.common.stateless_scope")
_thread = threading.local()


class Scope(keras.StatelessScope):
    """A `keras.StatelessScope` that knows the scope around it.

    A gradient is taken of a pure function, inside a scope of its own. That scope must start from
    the values of the scope around it, and what is assigned inside must end up there.

    Without Keras' function for the open scope, `outer` is the innermost `Scope`. All scopes of a
    train step are of this class; a `keras.StatelessScope` that a user opens around it is not seen.

    Attributes:
        outer: The scope that was open when this one was entered, or None.
    """

    outer: keras.StatelessScope | None = None

    def __enter__(self):
        opened = vars(_thread).setdefault("scopes", [])
        if _get_stateless_scope is not None:
            self.outer = _get_stateless_scope()
        elif opened:
            self.outer = opened[-1]
        opened.append(self)
        return super().__enter__()

    def __exit__(self, *args):
        _thread.scopes.pop()
        return super().__exit__(*args)


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a layer and all layers inside it.

    `keras.Model.layers` lists the outermost ones alone. Without Keras' own list, this follows
    `layers` downwards, and misses layers that are attributes of a layer that is not a model.
    """
    if hasattr(layer, "_flatten_layers"):
        return layer._flatten_layers()
    inner = getattr(layer, "layers", [])
    return [layer, *(found for part in inner for found in all_layers(part))]


def added_losses(network: keras.layers.Layer) -> list:
    """Returns what the layers of a network have added to the loss in its last call.

    These are the losses of `add_loss` and of activity regularizers, without those of the weights'
    regularizers: a network that is called twice in a step decays its weights once. Uses nothing
    private but the order of `network.losses`, in which those of the weights come last.
    """
    losses = network.losses
    return losses[: len(losses) - len(_regularized(network))]


def regularization_losses(network: keras.layers.Layer) -> list:
    """Returns the losses of the regularizers of a network's trainable weights."""
    return [variable.regularizer(variable) for variable in _regularized(network)]


def _regularized(network) -> list[keras.Variable]:
    return [v for v in network.trainable_weights if getattr(v, "regularizer", None) is not None]


def producer(tensor) -> tuple[Any, list]:
    """Returns the layer or operation of a functional model that gives a symbolic tensor, and what
    it was called on.

    Returns `(None, [])` for a tensor that comes from nowhere. So it does without Keras' record,
    and what a network ends in is not known.
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None or getattr(history, "operation", None) is None:
        return None, []
    nodes = getattr(history.operation, "_inbound_nodes", [])
    inputs = nodes[history.node_index].input_tensors if history.node_index < len(nodes) else []
    return history.operation, list(inputs)


# The training loop.


def _untouched(method):
    return method


# Decorates a method that assigns attributes which Keras is not to track, as Keras' own `compile`
# does: metrics, which would be saved with the model, and lists, which would be wrapped. Without it,
# they are tracked.
no_automatic_dependency_tracking = (
    _found("no_automatic_dependency_tracking", "utils.tracking") or _untouched
)


class _PublicEpochIterator:
    """Iterates over one epoch of an array or a loader, as Keras' `EpochIterator` does."""

    def __init__(self, x, batch_size=None, steps_per_epoch=None):
        self.x, self.batch_size = x, batch_size or 32
        self.num_batches = steps_per_epoch
        if self.num_batches is None and hasattr(x, "shape"):
            self.num_batches = -(-len(x) // self.batch_size)
        elif self.num_batches is None and isinstance(x, keras.utils.PyDataset):
            self.num_batches = len(x)

    def __iter__(self):
        for step, data in enumerate(self._batches()):
            if self.num_batches is not None and step >= self.num_batches:
                return
            yield step, step, [data]

    def _batches(self):
        if hasattr(self.x, "shape"):
            starts = range(0, len(self.x), self.batch_size)
            return (self.x[start : start + self.batch_size] for start in starts)
        if isinstance(self.x, keras.utils.PyDataset):
            return (self.x[i] for i in range(len(self.x)))
        return iter(self.x)


# Yields `(first_step, last_step, [data])` for any data that `fit` takes. Without it, arrays,
# `PyDataset`, and whatever can be iterated over are read by a loop of the library's own.
EpochIterator: Any = (
    _found("EpochIterator", "trainers.epoch_iterator") or _PublicEpochIterator
)  # fmt: skip


def scans_steps() -> bool:
    """Returns whether Keras' JAX trainer makes one call of the device of several steps.

    It does from 3.16 on, where its loaders then give stacked batches. Before, Keras loops in
    Python, and the library has a scan of its own.
    """
    return VERSION >= (3, 16)


def keep_jax_state(model: keras.Model, state: Sequence[list]) -> None:
    """Lets a model get its variables' values back when a training on JAX ends with an error.

    While it trains, Keras' JAX trainer takes the values away from the variables. It returns those
    of the last step, and loses all if the first batch cannot be read. Without Keras' attributes,
    they are lost then.

    Args:
        model: The model.
        state: The values: of its trainable variables, others, its optimizer's and its metrics'.
    """
    names = "trainable_variables", "non_trainable_variables", "optimizer_variables"
    model._jax_state = dict(zip((*names, "metrics_variables"), state, strict=True))
    model._jax_state_synced = False


class WithoutDynamo(keras.Model):
    """Keeps Keras' torch trainer from compiling with Dynamo, and lets `"auto"` reach the engine.

    Dynamo would trace Keras' own Python, which takes minutes and makes slower steps. Both names of
    Keras' question are answered: the first is that of 3.15, the second that of 3.16.

    Where Keras asks neither, `predict` is compiled by Dynamo if `jit_compile=True`. Where it does
    not resolve `"auto"` by this method, `"auto"` trains eagerly.

    It is a `keras.Model` so that Python looks here first, also where it is mixed in beside another.
    """

    def _resolve_auto_jit_compile(self):
        return "auto"

    def _should_torch_compile(self):
        return False

    def _use_torch_compile(self):
        return False


# Optimizers.


def built_variables(optimizer: keras.optimizers.Optimizer, otherwise: list) -> list:
    """Returns the variables that an optimizer was built with, in its order.

    `stateless_apply` takes the values of all of them, frozen ones included. Without Keras' list,
    returns `otherwise`: training works as long as no layer is frozen after `compile`.
    """
    return getattr(optimizer, "_trainable_variables", otherwise)


def rate_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Returns the variable of an optimizer's learning rate; None if it follows a schedule.

    Without Keras' attribute, finds it among the optimizer's variables by its name.
    """
    named = (v for v in optimizer.variables if v.name == "learning_rate")
    rate = getattr(optimizer, "_learning_rate", None)
    rate = next(named, None) if rate is None else rate
    return rate if isinstance(rate, keras.Variable) else None


def updates_as_adam(optimizer: keras.optimizers.Optimizer) -> bool:
    """Returns whether `adam_moments` of an optimizer and the formula of Adam make its update.

    False for other optimizers, for `amsgrad`, and where Keras keeps the moments elsewhere. The
    optimizer's own `update_step` is then used, which takes more kernels.
    """
    if type(optimizer).update_step is not keras.optimizers.Adam.update_step or optimizer.amsgrad:
        return False
    names = "_momentums", "_velocities", "_get_variable_index"
    return all(hasattr(optimizer, name) for name in names)


def adam_moments(optimizer: keras.optimizers.Optimizer, variables: Iterable) -> list[list]:
    """Returns Adam's first moments of variables, and the second: see `updates_as_adam`."""
    places = [optimizer._get_variable_index(variable) for variable in variables]
    return [[slot[i] for i in places] for slot in (optimizer._momentums, optimizer._velocities)]


# Keras on torch.


def torch_device() -> str:
    """Returns the device on which Keras makes tensors: `"cpu"`, `"cuda"`, …

    Without Keras' function, makes a tensor and looks where it is.
    """
    get_device = _get_device()
    return str(get_device() if get_device else keras.ops.convert_to_tensor(0.0).device)


@cache
def _get_device():
    return _found("get_device", "backend.torch.core", "backend.torch.ops.core")


def stored_tensors(variables: Iterable[keras.Variable]) -> list:
    """Returns the tensors that hold variables' values.

    `Variable.value` looks for scopes, takes microseconds, and is asked of hundreds of variables in
    every compiled step. It is used where Keras keeps the tensor elsewhere.
    """
    return [v._value if hasattr(v, "_value") else v.value for v in variables]


@contextlib.contextmanager
def replaced_torch_functions(**functions: Any) -> Iterator[dict[str, Any]]:
    """Replaces functions of Keras' torch backend, for tracing.

    Args:
        torch_seed_generator: `seed -> torch.Generator or None`. Keras makes a generator from the
            value of a seed, which in a trace would be a constant: the same noise at every step.
        update_step: `(optimizer, gradients, variables, learning_rate) -> None`. Some of Keras'
            optimizers turn the learning rate into a Python number, another constant.
        cond: `(pred, true_fn, false_fn) -> outputs`. Keras asks in Python, which a trace cannot.
        conv, conv_transpose: With the parameters of `keras.ops.conv` and
            `keras.ops.conv_transpose`. These are for speed: where Keras keeps its own elsewhere,
            they are left out.

    Yields:
        The functions that were replaced, by the same names.

    Raises:
        NotImplementedError: Where one of the first two cannot be replaced. The step runs eagerly.
    """
    nn = "backend.torch.nn", "backend.torch.ops.nn"
    optimizer = _found(
        "TorchParallelOptimizer", "backend.torch.optimizers.torch_parallel_optimizer"
    )
    places = {
        "torch_seed_generator": (_module("backend.torch.random"), "torch_seed_generator"),
        "update_step": (optimizer, "_backend_update_step"),
        "conv": (_module(*nn), "conv"),
        "cond": (_module("backend.torch.core", "backend.torch.ops.core"), "cond"),
        "conv_transpose": (_module(*nn), "conv_transpose"),
    }
    originals = {}
    with contextlib.ExitStack() as stack:
        for name, function in functions.items():
            owner, attribute = places[name]
            original = getattr(owner, attribute, None)
            if original is None and name in ("torch_seed_generator", "update_step"):
                raise NotImplementedError(
                    f"this version of Keras ({keras.__version__}) has no {attribute} to replace"
                )
            if original is not None:
                originals[name] = original
                stack.callback(setattr, owner, attribute, original)
                setattr(owner, attribute, function)
        yield originals


def _module(*names: str) -> Any:
    for name in names:
        with contextlib.suppress(ImportError):
            return importlib.import_module(f"keras.src.{name}")
    return None


# Copying and loading networks.


def serialized_as(name: str, kind: type) -> None:
    """Lets Keras write a class into configs under one of its own names.

    Then a network with layers of this class loads where the library is not installed. Without
    Keras' table of names, the class is written as that of this library.

    Args:
        name: Such as `"keras.layers.Dense"`, of a class that does the same.
        kind: The class.
    """
    names = _found("REGISTERED_OBJS_TO_NAMES", "api_export")
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
    generator = _found("global_seed_generator", "random.seed_generator")
    return [] if generator is None else [generator().state]


def write_weights(model: keras.Model, path: Path) -> None:
    """Writes a model's weights, as `save_weights` does; raises OSError unless they are complete.

    HDF5 is written in memory: on a full disk, its library leaves open files behind that crash the
    process when it ends. Without Keras' functions, it writes to the disk.
    """
    store = _found("H5IOStore", "saving.saving_lib")
    save = _found("_save_state", "saving.saving_lib")
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


# Callbacks.

MetricsList = _found("MetricsList", "trainers.compile_utils")


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


def in_several_processes(strategy: Any) -> bool:
    """Returns whether a `tf.distribute` strategy is one of several processes.

    In them Keras 3.15 reduces the logs of a step along an axis that scalars lack, and builds models
    from batches that it cannot reduce (keras#20585): `engine.tensorflow.Trainer` goes round both.
    Without TensorFlow's private answer, none is.
    """
    extended = getattr(strategy, "extended", None)
    return bool(getattr(extended, "_in_multi_worker_mode", lambda: False)())
