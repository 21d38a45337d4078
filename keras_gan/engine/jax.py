"""JAX: the step is a pure function of every variable's value."""

import jax
import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope

from keras_gan.engine.scopes import copied_scope, pure_step


def value_and_grad(fn, variables):
    """Returns `(loss, aux), gradients` of `fn() -> (loss, aux)` with respect to `variables`.

    State that `fn` changes (statistics, seeds) survives in the scope that is open around it.
    """
    outer = get_stateless_scope()

    def pure(values):
        with copied_scope() as scope:
            before = {id(v): value for v, value in zip(variables, values, strict=True)}
            scope.state_mapping.update(before)
            before = dict(scope.state_mapping)
            outputs = fn()
        changes = {k: v for k, v in scope.state_mapping.items() if v is not before.get(k)}
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
        with copied_scope():
            return keras.ops.sum(fn(x))

    return jax.grad(total)(x)


def apply(optimizer, gradients, variables):
    """Updates `variables`, some or all of those that the optimizer was built with."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer.apply(gradients, variables)
        return
    # Loss scaling branches on whether the gradients are finite, and assignments inside a branch
    # would leak traced values: its stateless form hands the new values out.
    values, state = optimizer.stateless_apply(
        [v.value for v in optimizer.variables], gradients, [v.value for v in variables]
    )
    for variable, value in zip(variables + optimizer.variables, values + state, strict=True):
        variable.assign(value)


def normal(shape, seed):
    return keras.random.normal(shape, seed=seed)


def uniform(shape, seed):
    return keras.random.uniform(shape, seed=seed)


class Trainer:
    """Fits `_step(data) -> logs` to Keras' JAX trainer."""

    def train_step(self, state, data):
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        logs, state = pure_step(self._step, groups, state, data)
        return logs, tuple(state)
