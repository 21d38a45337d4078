"""Scopes over the values of Keras variables, the same on every backend."""

import itertools

import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope


class CopiedScope(keras.StatelessScope):
    """A scope that starts from the values of the current one and keeps changes to itself.

    Whatever is assigned inside is forgotten at its end, unless the caller reads it back: what a
    pass that only looks (a penalty's) must do to statistics and seeds, and what keeps traced
    values from leaking.

    Attributes:
        updates: What was assigned, by the variable's id: `(variable, value)`.
    """

    def __init__(self):
        super().__init__(collect_losses=True)
        outer = get_stateless_scope()
        if outer is not None:
            self.state_mapping.update(outer.state_mapping)
        self.updates = {}

    def add_update(self, update):
        super().add_update(update)
        self.updates[id(update[0])] = update


def pure_step(step, groups, values, data):
    """Runs a stateful step as a pure function of the variables' values.

    Args:
        step: Callable that takes `data`, reads and assigns Keras variables and returns logs.
        groups: Lists of `keras.Variable`.
        values: Lists of tensors, parallel to `groups`.
        data: One batch.

    Returns:
        `(logs, new_values)`, the latter parallel to `groups`.
    """
    mapping = zip(itertools.chain(*groups), itertools.chain(*values), strict=True)
    with keras.StatelessScope(state_mapping=mapping) as scope:
        logs = step(data)
    return logs, [[scope.get_current_value(v) for v in variables] for variables in groups]
