"""JAX: the step is a pure function of every variable's value."""

import itertools

import jax
import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope

from keras_gan.engine.scopes import CopiedScope, pure_step


def value_and_grad(fn, variables):
    """Returns `(loss, aux), gradients` of `fn() -> (loss, aux)` with respect to `variables`.

    State that `fn` changes (statistics, seeds) survives in the scope that is open around it.
    """
    outer = get_stateless_scope()

    def pure(values):
        with CopiedScope() as scope:
            scope.state_mapping.update(zip(map(id, variables), values, strict=True))
            outputs = fn()
        changes = {key: value for key, (_, value) in scope.updates.items()}
        return outputs[0], (outputs, changes)

    (_, (outputs, changes)), gradients = jax.value_and_grad(pure, has_aux=True)(
        [v.value for v in variables]
    )
    if changes:
        if outer is None:
            raise RuntimeError("On JAX, code that changes variables needs a keras.StatelessScope.")
        outer.state_mapping.update(changes)
    return outputs, gradients


def input_gradient(fn, x):
    """Returns the gradient of `sum(fn(x))` with respect to `x`, itself differentiable."""

    def total(x):
        with CopiedScope():
            return keras.ops.sum(fn(x))

    return jax.grad(total)(x)


def apply(optimizer, gradients, variables):
    """Updates `variables`, some or all of those that the optimizer was built with."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer.apply(gradients, variables)
        return
    # Loss scaling branches on whether the gradients are finite, and assignments inside a branch
    # would leak traced values: its stateless form hands the new values out.
    # It takes all that the optimizer was built with: what was frozen since has no gradient.
    given = {id(v): gradient for v, gradient in zip(variables, gradients, strict=True)}
    built = optimizer._trainable_variables
    state, values = ([v.value for v in group] for group in (optimizer.variables, built))
    values, state = optimizer.stateless_apply(state, [given.get(id(v)) for v in built], values)
    for variable, value in zip(built + optimizer.variables, values + state, strict=True):
        variable.assign(value)


# Keras' own is as fast: XLA makes one kernel of a normalization, and arrays need no pipeline.
batch_norm = loader = None


normal, uniform = keras.random.normal, keras.random.uniform


def enable_compilation_cache(folder):
    """Keeps compiled steps in `folder`, so that the next start of the same training finds them."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def device_name():
    return jax.devices()[0].device_kind


def free_memory():
    """Bytes free on the accelerator, or None on a CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if jax.default_backend() == "cpu" or "bytes_limit" not in stats:
        return None
    return stats["bytes_limit"] - stats["bytes_in_use"]


class Trainer:
    """Fits `_step(data) -> logs` to Keras' JAX trainer."""

    def train_step(self, state, data):
        weights = self.trainable_variables, self.non_trainable_variables
        others = self.optimizer.variables, self.metrics_variables
        logs, state = pure_step(self._step, weights + others, state, data)
        return logs, tuple(state)

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        super().make_train_function(force)
        if self.steps_per_execution == 1 or self.run_eagerly or not self.jit_compile:
            return
        # Keras only loops in Python here; a scan over the batches is one call of the device.
        one_by_one, scan = self.train_function, jax.jit(self._scan, donate_argnums=0)

        def train_function(state, iterator):
            batches = list(itertools.islice(iterator, self.steps_per_execution))
            shapes = {tuple(x.shape for x in jax.tree.leaves(batch)) for batch in batches}
            if len(batches) == self.steps_per_execution and len(shapes) == 1:
                return scan(state, tuple(batches))
            return one_by_one(state, iter(batches))

        self.train_function = train_function

    def _scan(self, state, batches):
        def step(state, batch):
            logs, state = self.train_step(state, batch)
            return state, logs

        stacked = jax.tree.map(lambda *parts: jax.numpy.stack(parts), *batches)
        state, logs = jax.lax.scan(step, state, stacked)
        return jax.tree.map(lambda values: values[-1], logs), state
