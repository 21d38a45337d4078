"""Scores of GANs with classes: whether the class that was asked for is seen, and how good each is.

Both metrics are fed the classes with the images, `update_state(real, generated, condition)`: whole
numbers `(n,)` or one-hot rows `(n, classes)`, which serve both sides; a side may be None.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_gan.metrics import distances
from keras_gan.metrics.streaming import ImageMetric, register
from keras_gan.metrics.summaries import Moments, Summary


class Answers(Summary):
    """Counts, (classes, classes): how often an image of one class was taken for each of them."""

    counts: np.ndarray = np.zeros((), "int64")

    def update(self, rows, classes=None):
        """Takes in probabilities (n, classes) and the classes (n,) that were asked for."""
        if not self.count:
            self.counts = np.zeros((rows.shape[1],) * 2, "int64")
        np.add.at(self.counts, (classes, rows.argmax(axis=1)), 1)
        self.count += len(rows)
        return self


class ByClass(Summary):
    """A summary for each class.

    Args:
        make: Makes an empty one.
    """

    def __init__(self, make: Callable[[], Summary]) -> None:
        self._make = make
        self._parts: dict[int, Summary] = {}

    def update(self, rows, classes=None):
        """Takes in rows (n, d) and their classes (n,)."""
        for number in np.unique(classes):
            part = self._parts.setdefault(int(number), self._make())
            part.update(rows[classes == number])
        self.count += len(rows)
        return self

    def of(self, number: int) -> Any:
        """Returns the summary of one class; an empty one for a class without rows."""
        return self._parts.get(number) or self._make()

    def numbers(self) -> set[int]:
        """Returns the classes that there are rows of."""
        return set(self._parts)

    def state(self):
        states = {number: part.state() for number, part in self._parts.items()}
        rows = {
            f"{number} {name}": v for number, part in states.items() for name, v in part.items()
        }
        return {"count": self.count} | rows

    def restore(self, state):
        states: dict[int, dict[str, Any]] = {}
        for key, value in state.items():
            number, _, name = key.partition(" ")
            if name:
                states.setdefault(int(number), {})[name] = value
        self._parts = {number: self._make() for number in states}
        for number, part in self._parts.items():
            part.restore(states[number])
        self.count = state["count"][()]


class ClassMetric(ImageMetric):
    """What the metrics of this module share."""

    def __init__(self, extractor, class_names: Sequence[str] | None = None, name=None):
        names = None if class_names is None else list(class_names)
        super().__init__(name, extractor, class_names=names)

    def update_state(  # type: ignore[override]
        self, real, generated, condition=None, sample_weight=None
    ) -> None:
        sides = [(real, self._real, self.needs_real), (generated, self._generated, True)]
        for images, summary, needed in sides:
            if images is not None and needed:
                rows = self._rows(images)
                summary.update(rows, self._classes(condition, rows))  # type: ignore[call-arg]

    def _classes(self, condition, rows) -> np.ndarray:
        """Returns the numbers (n,) of the classes that a condition stands for."""
        if condition is None:
            raise ValueError(
                f"{self.name} needs the class of each image: update_state(real, generated, "
                "condition), which a GAN conditioned on Labels gives."
            )
        given = ops.convert_to_numpy(condition)
        numbers = given.argmax(axis=1) if given.ndim == 2 and given.shape[1] > 1 else given
        numbers = numbers.reshape(-1).astype("int64")
        if len(numbers) != len(rows):
            raise ValueError(f"{self.name} got {len(rows)} images, but {len(numbers)} classes.")
        return numbers

    def _with_classes(self, name: str, values: dict[int, float]) -> dict[str, float]:
        """Returns the values of single classes under their names, if these are known."""
        names = self.options["class_names"] or []
        return {f"{name}_{names[number]}": v for number, v in values.items() if number < len(names)}


@register
class ClassAccuracy(ClassMetric):
    """How often a classifier sees the class that was asked for in the generated images, 0…1.

    `class_accuracy` is the share of all images, `balanced_class_accuracy` the mean of the classes'
    shares, which counts a rare class as much as a frequent one; with `class_names` there is
    `class_accuracy_{name}` for each. The higher the better, up to what real images reach: a
    classifier errs too. A generator can reach more than real images by making easy ones alone; read
    it beside `ClassFrechetDistance`. Real images are not looked at.

    Args:
        extractor: What `get_extractor` takes, a classifier of the GAN's classes in their order.
        class_names: The names of the classes, to report each of them; by default only the means.
        name: In logs and files.

    Raises:
        ValueError: If the classifier has another number of classes than the condition.
    """

    title, _direction, compares = "class_accuracy", "up", False

    def _summary(self):
        return Answers()

    def _rows(self, images):
        return self.extractor.probabilities(images)

    def _classes(self, condition, rows):
        numbers = super()._classes(condition, rows)
        known, given = rows.shape[1], tuple(condition.shape[1:])
        if given not in ((), (1,), (known,)) or numbers.max() >= known:
            asked = given[0] if given and given[0] > 1 else f"{numbers.max() + 1} or more"
            raise ValueError(
                f"The extractor {self.extractor.name!r} knows {known} classes, the GAN {asked}; "
                "give a classifier of the GAN's own classes."
            )
        return numbers

    def _measure(self, real, generated):
        asked = generated.counts.sum(axis=1)
        right = generated.counts.diagonal()
        shares = {int(number): right[number] / asked[number] for number in np.flatnonzero(asked)}
        means = {
            self.title: right.sum() / asked.sum(),
            f"balanced_{self.title}": np.mean([*shares.values()]),
        }
        values = means | self._with_classes(self.title, shares)
        return {name: float(value) for name, value in values.items()}


@register
class ClassFrechetDistance(ClassMetric):
    """Mean of the Fréchet distances between real and generated images of each class.

    The lower the better: it is large for a generator that ignores the class, and for one that makes
    the same image again and again within a class, neither of which the distance over all classes
    need show. With Inception's features it is known as intra-FID (Miyato & Koyama 2018,
    arXiv:1802.05637, section 4). As each class has few images, its bias is larger than that of the
    distance over all: compare equal numbers only. Memory: one covariance per class and side.

    Classes with fewer than two images on either side are left out, with a warning.

    Args:
        extractor: What `get_extractor` takes.
        class_names: The names of the classes, to report `class_frechet_distance_{name}` of each; by
            default only the mean.
        name: In logs and files.
    """

    title, least = "class_frechet_distance", 2

    def _summary(self):
        return ByClass(Moments)

    def _measure(self, real, generated):
        values, few = {}, []
        for number in sorted(real.numbers() | generated.numbers()):
            sides = real.of(number), generated.of(number)
            if min(side.count for side in sides) < self.least:
                few.append(number)
            else:
                values[number] = distances.frechet_between(*sides)
        if not values:
            raise ValueError(f"{self.name} needs at least 2 images of a class on each side.")
        if few:
            names = self.options["class_names"] or range(max(few) + 1)
            left_out = ", ".join(str(names[number]) for number in few)
            warnings.warn(
                f"{self.name} leaves out classes with fewer than 2 images on a side: {left_out}.",
                stacklevel=2,
            )
        mean = {self.title: float(np.mean([*values.values()]))}
        return mean | self._with_classes(self.title, values)
