"""Scopes over the values of Keras variables, the same on every backend."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_gan.engine.keras_internals import Scope


class CopiedScope(Scope):
    """A scope that starts from the values of the one around it and keeps changes to itself.

    What is assigned inside is forgotten at its end, unless the caller reads it from `updates`. So
    a penalty's own pass leaves statistics and seeds alone, and traced values do not leak.

    Attributes:
        updates: What was assigned, by the variable's id: `(variable, value)`.
    """

    def __init__(self) -> None:
        super().__init__(collect_losses=True)
        self.updates: dict[int, tuple[keras.Variable, Any]] = {}

    def __enter__(self):
        super().__enter__()
        if self.outer is not None:
            self.state_mapping.update(self.outer.state_mapping)
        return self

    def add_update(self, update):
        super().add_update(update)
        self.updates[id(update[0])] = update


def pure_step(
    step: Callable, groups: Sequence[list], values: Sequence[list], batch
) -> tuple[Any, list[list]]:
    """Runs a stateful step as a pure function of the variables' values.

    Args:
        step: Callable that takes `batch`, reads and assigns Keras variables and returns logs.
        groups: Lists of `keras.Variable`.
        values: Lists of tensors, parallel to `groups`.
        batch: One batch.

    Returns:
        `(logs, new_values)`, the latter parallel to `groups`.
    """
    mapping = zip(itertools.chain(*groups), itertools.chain(*values), strict=True)
    with Scope(state_mapping=mapping) as scope:
        logs = step(batch)
    return logs, [[scope.get_current_value(v) for v in variables] for variables in groups]
