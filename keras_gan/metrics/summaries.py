"""Running summaries of one side of a comparison, fed batch by batch with rows (n, d).

The state that is worth keeping is in public attributes, numbers or arrays.
"""

from typing import Any

import numpy as np


class Summary:
    """What all running summaries share: a count of rows, and a state that can be saved."""

    count = 0

    def update(self, rows):
        """Takes in rows (n, d), n ≥ 1, and returns itself."""

    def state(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def restore(self, state) -> None:
        """Takes back what `state` gave, from a summary with the same arguments."""
        vars(self).update({name: value[()] for name, value in state.items()})


class Moments(Summary):
    """Count, mean (d,) and scatter (d, d) of rows, in float64.

    The scatter is the sum of outer products of deviations from the mean. Two sets are merged
    after Chan, Golub & LeVeque (1979), which subtracts means before it squares: nothing cancels,
    however far from zero the features lie.
    """

    mean = scatter = np.zeros(())

    def update(self, rows):
        rows = np.asarray(rows, "float64")
        mean, total = rows.mean(axis=0), self.count + len(rows)
        shift = mean - self.mean
        # The shift between the means enters as one more deviation, so that one product does all.
        weighted_shift = shift * np.sqrt(self.count * len(rows) / total)
        deviations = np.vstack([rows - mean, weighted_shift])
        self.scatter = self.scatter + deviations.T @ deviations
        self.mean = self.mean + shift * (len(rows) / total)
        self.count = total
        return self

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance (d, d); needs two rows."""
        return self.scatter / (self.count - 1)


class Rows(Summary):
    """The rows themselves, in float32; at most `size` of them, drawn at random, are given out."""

    def __init__(self, size: int | None = None, seed: int = 0) -> None:
        self._parts: list[np.ndarray] = []
        self._size, self._seed = size, seed

    def update(self, rows):
        self._parts.append(np.asarray(rows, "float32"))
        self.count += len(rows)
        return self

    def rows(self) -> np.ndarray:
        rows = np.concatenate(self._parts)
        if self._size is None or len(rows) <= self._size:
            return rows
        return rows[np.random.default_rng(self._seed).choice(len(rows), self._size, replace=False)]

    def state(self):
        return {"count": self.count, "rows": self.rows()}

    def restore(self, state):
        self.count, self._parts = state["count"][()], [state["rows"]]


class Projections(Summary):
    """Histograms of rows in −1…1 projected on random unit vectors, one histogram for each vector.

    At the edges of the bins the distribution functions are exact, however many rows came.
    """

    bins = 4096
    # Over the directions, a projection of values in −1…1 has a standard deviation of at most 1.
    reach = 6.0

    def __init__(self, projections: int = 256, seed: int = 0) -> None:
        self.counts: np.ndarray = np.zeros((projections, self.bins), "int64")
        self._seed = seed

    def update(self, rows):
        if not self.count:
            random = np.random.default_rng(self._seed)
            self._axes = random.standard_normal((rows.shape[1], len(self.counts)), "float32")
            self._axes /= np.linalg.norm(self._axes, axis=0)
        bins = (rows @ self._axes + self.reach) * (self.bins / (2 * self.reach))
        bins = np.clip(bins, 0, self.bins - 1).astype("int64")
        np.add.at(self.counts, (np.arange(len(self.counts)), bins), 1)
        self.count, self.size = self.count + len(rows), rows.shape[1]
        return self
