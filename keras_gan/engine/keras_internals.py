"""Everything private of Keras that the library uses: why, and what happens without it."""

from collections.abc import Iterable

import keras

try:
    from keras.src.trainers.compile_utils import MetricsList
except ImportError:
    MetricsList = None


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
