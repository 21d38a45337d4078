"""The training loop, the optimizers, and what callbacks look for."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_gan.engine.keras_internals.lookup import found

VERSION = tuple(int(part) for part in keras.__version__.split(".")[:2])


def _untouched(method):
    return method


# Decorates a method that assigns attributes which Keras is not to track, as Keras' own `compile`
# does: metrics, which would be saved with the model, and lists, which would be wrapped. Without it,
# they are tracked.
no_automatic_dependency_tracking = (
    found("no_automatic_dependency_tracking", "utils.tracking") or _untouched
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
    found("EpochIterator", "trainers.epoch_iterator") or _PublicEpochIterator
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


def in_several_processes(strategy: Any) -> bool:
    """Returns whether a `tf.distribute` strategy is one of several processes.

    In them Keras 3.15 reduces the logs of a step along an axis that scalars lack, and builds models
    from batches that it cannot reduce (keras#20585): `engine.tensorflow.Trainer` goes round both.
    Without TensorFlow's private answer, none is.
    """
    extended = getattr(strategy, "extended", None)
    return bool(getattr(extended, "_in_multi_worker_mode", lambda: False)())


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


# Callbacks.

MetricsList = found("MetricsList", "trainers.compile_utils")


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
