"""JAX: the step is a pure function of every variable's value."""

import contextlib
import functools
import itertools

import jax
import keras

from keras_gan.engine import jax_processes as processes
from keras_gan.engine import keras_internals
from keras_gan.engine.scopes import CopiedScope, pure_step
from keras_gan.engine.sharing import Sharing, check_restoring, first_devices, without_writers

# Keras' own are as fast: XLA makes one kernel of a normalization, and arrays need no pipeline.
batch_norm = loader = None


def value_and_grad(fn, variables):
    """Returns `(loss, aux), gradients` of `fn() -> (loss, aux)` with respect to `variables`.

    What `fn` assigns to variables (statistics, seeds) is kept.
    """

    def run(scope, values):
        scope.state_mapping.update(zip(map(id, variables), values, strict=True))
        loss, aux = fn()
        return loss, (loss, aux)

    return _differentiated(run, [v.value for v in variables])


def logits_and_gradient(fn, x):
    """Returns `(logits, aux), gradient` of `fn(x) -> (logits, aux)`, from one pass.

    What `fn` assigns to variables is kept, as if it had been called plainly.

    Args:
        fn: Callable from samples to logits `(batch, …)` and a list of scalars, which may be empty.
        x: Float samples `(batch, …)`.

    Returns:
        What `fn` returns, and the gradient of `sum(logits)` with respect to `x`, of the shape of
        `x`. All of it is differentiable with respect to the weights.
    """

    def run(scope, x):
        logits, aux = fn(x)
        return keras.ops.sum(logits), (logits, aux)

    return _differentiated(run, x)


def _differentiated(run, inputs):
    """Returns the outputs and the gradients of `run(scope, inputs) -> (scalar, outputs)`."""
    changed: list[keras.Variable] = []

    def pure(inputs):
        with CopiedScope() as scope:
            scalar, outputs = run(scope, inputs)
        changed[:] = [variable for variable, _ in scope.updates.values()]
        return scalar, (outputs, [value for _, value in scope.updates.values()])

    (_, (outputs, values)), gradients = jax.value_and_grad(pure, has_aux=True)(inputs)
    for variable, value in zip(changed, values, strict=True):
        variable.assign(value)
    return outputs, gradients


def input_gradient(fn, x):
    """Returns the gradient of `sum(fn(x))` with respect to `x`, itself differentiable.

    What `fn` assigns to variables is forgotten.
    """

    def total(x):
        with CopiedScope():
            return keras.ops.sum(fn(x))

    return jax.grad(total)(x)


def mean_over_devices(tensors):
    """Returns tensors as they are: a mean over a batch that JAX has sharded is over all of it."""
    return tensors


def device_share():
    """Returns 1: a mean over devices is no share of one."""
    return 1.0


def agreed(number):
    """Returns a whole number as it is: processes of JAX must have equal seeds."""
    return number


def apply(optimizer, gradients, variables):
    """Updates `variables`, some or all of those that the optimizer was built with."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer.apply(gradients, variables)
        return
    # Loss scaling branches on whether the gradients are finite, and assignments inside a branch
    # would leak traced values. Its stateless form returns the new values instead. It needs every
    # variable the optimizer was built with; variables frozen since get no gradient.
    given = {id(v): gradient for v, gradient in zip(variables, gradients, strict=True)}
    built = keras_internals.built_variables(optimizer, otherwise=variables)
    state, values = ([v.value for v in group] for group in (optimizer.variables, built))
    values, state = optimizer.stateless_apply(state, [given.get(id(v)) for v in built], values)
    for variable, value in zip(built + optimizer.variables, values + state, strict=True):
        variable.assign(value)


def compiled(fn):
    """Returns a function of tensors that is compiled when it is first called for their shapes."""
    return jax.jit(fn)


def normal(shape, seed):
    """Returns standard normal noise, float32."""
    return keras.random.normal(shape, seed=seed)


def uniform(shape, seed):
    """Returns noise that is uniform in 0…1, float32."""
    return keras.random.uniform(shape, seed=seed)


def seed_noise(seed, step):
    """Does nothing: on JAX, noise follows from the state of the model's `SeedGenerator`."""


def random_states():
    """Returns nothing: on JAX, noise follows from the states of `SeedGenerator`s."""
    return {}


def set_random_states(states):
    """Does nothing: see `random_states`."""


@functools.partial(jax.jit, static_argnums=3)
def gather(array, order, start, size):
    """Returns `array[order[start : start + size]]`, in one call of the device.

    `start` is a value, so that all batches of a size share one compiled function.
    """
    return array[jax.lax.dynamic_slice(order, (start,), (size,))]


def enable_compilation_cache(folder):
    """Keeps compiled steps in `folder`, where the next start of the same training finds them."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@contextlib.contextmanager
def on_devices(count):
    """Lets models that are made inside the block share their batches between devices.

    Args:
        count: The number of devices; None for all.

    Raises:
        ValueError: If there are fewer.
    """
    chosen = first_devices(keras.distribution.list_devices(), count)
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=chosen))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def device_name():
    """Returns the name of the device that trains, such as `"cpu"`."""
    return jax.devices()[0].device_kind


def free_memory():
    """Returns the bytes free on the accelerator, or None on a CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if jax.default_backend() == "cpu" or "bytes_limit" not in stats:
        return None
    return stats["bytes_limit"] - stats["bytes_in_use"]


class Trainer(Sharing):
    """Fits `_step(batch) -> logs` to Keras' JAX trainer."""

    @property
    def leads(self):
        """Whether this process prints and writes files."""
        return jax.process_index() == 0

    @property
    def devices(self):
        """The number of devices that share a batch, by `keras.distribution`."""
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else distribution.num_model_replicas

    @contextlib.contextmanager
    def alone(self):
        shared = keras.distribution.distribution()
        if jax.process_count() > 1:
            keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(shared)

    def predicted(self, model, inputs):
        if jax.process_count() == 1:
            return super().predicted(model, inputs)
        # On this process' copy of the weights: Keras' way is one that all processes go together.
        calls = vars(self).setdefault("_own_calls", {})
        if id(model) not in calls:
            calls[id(model)] = jax.jit(model.stateless_call)
        sides = model.trainable_variables, model.non_trainable_variables
        values = [[v.value.addressable_data(0) for v in side] for side in sides]
        outputs, _ = calls[id(model)](*values, inputs)
        return outputs

    def own_callbacks(self, callbacks):
        if jax.process_count() == 1:
            return callbacks
        check_restoring(callbacks)
        return [
            *(callbacks if self.leads else without_writers(callbacks)),
            processes.OneDecision(),
        ]

    def fit(self, x, *args, **options):
        """Trains; in several processes, each reads whole batches and takes its part of them."""
        if jax.process_count() == 1:
            return super().fit(x, *args, **options)
        processes.check(x, options)
        try:
            return super().fit(processes.OwnParts(x), *args, **options)
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            if not processes.is_of_another(error):
                raise
            raise RuntimeError(
                f"Another of the {jax.process_count()} processes has ended or does not answer. "
                "Start them again to resume what was saved."
            ) from error

    def train_step(self, state, data):
        weights = self.trainable_variables, self.non_trainable_variables
        others = self.optimizer.variables, self.metrics_variables
        logs, state = pure_step(self._step, weights + others, state, self._batch(data))
        return logs, tuple(state)

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        super().make_train_function(force)
        one_by_one = self.steps_per_execution == 1 or self.run_eagerly or not self.jit_compile
        if not one_by_one and not keras_internals.scans_steps():
            self.train_function = self._scanning(self.train_function)
        self.train_function = self._keeping(self.train_function)

    def _keeping(self, run):
        """Returns a train function after whose errors the variables have their values again."""

        def train_function(state, iterator):
            try:
                return run(state, iterator)
            except BaseException:
                # A batch could not be read. After an error in the step itself, they are gone.
                if not any(value.is_deleted() for value in jax.tree.leaves(state)):
                    keras_internals.keep_jax_state(self, state)
                raise

        return train_function

    def _scanning(self, one_by_one):
        """Returns a train function that makes one call of the device of several steps.

        Keras would make a call for each. It still does for what cannot be stacked, as when the last
        batch of an epoch is smaller.
        """
        scan = jax.jit(self._scan, donate_argnums=0)

        def train_function(state, iterator):
            batches = list(itertools.islice(iterator, self.steps_per_execution))
            shapes = {tuple(x.shape for x in jax.tree.leaves(batch)) for batch in batches}
            if len(batches) == self.steps_per_execution and len(shapes) == 1:
                return scan(state, tuple(batches))
            return one_by_one(state, iter(batches))

        return train_function

    def _scan(self, state, batches):
        def step(state, batch):
            logs, state = self.train_step(state, batch)
            return state, logs

        stacked = jax.tree.map(lambda *parts: jax.numpy.stack(parts), *batches)
        state, logs = jax.lax.scan(step, state, stacked)
        return jax.tree.map(lambda values: values[-1], logs), state
