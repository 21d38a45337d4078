"""The means of a step's losses over an epoch."""

import keras
from keras import ops

from keras_gan import engine


class StepMeans(keras.metrics.Metric):
    """Means of several scalars per step, kept in one vector: one update instead of many."""

    def __init__(self, names: list[str]):
        super().__init__(name="step_means")
        self.names = names
        # The last element counts the steps. It is not a variable of its own, because TensorFlow
        # runs what does not depend on data once more when data of unknown length ends.
        self.totals = self.add_variable((len(names) + 1,), "zeros", name="totals")

    def update_state(self, values):
        # TensorFlow sums over replicas, whose values are shares of the mean: the count is one too.
        step = engine.device_share() * ops.ones_like(values[0])
        self.totals.assign_add(ops.stack([*values, step]))

    def result(self):
        means = self.totals[:-1] / ops.maximum(self.totals[-1], 1.0)
        return dict(zip(self.names, ops.unstack(means, num=len(self.names)), strict=True))
