"""Scores of a model with all that is needed to trust them: protocol, spread and floor."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_gan.files import content_key
from keras_gan.metrics.streaming import (
    ClassScore,
    FrechetDistance,
    ImageMetric,
    KernelDistance,
    PrecisionRecall,
    SlicedWassersteinDistance,
)

BATCH = 1000


def default_metrics(image_shape, extractor=None) -> list[ImageMetric]:
    """The metrics that make sense for images of a shape.

    Args:
        image_shape: `(height, width, channels)`.
        extractor: What `get_extractor` takes; by default the bundled classifier for `(28, 28, 1)`,
            and for other shapes none, which leaves the sliced Wasserstein distance.
    """
    if extractor is None and tuple(image_shape) == (28, 28, 1):
        extractor = "fashion_mnist_classifier"
    if extractor is None:
        return [SlicedWassersteinDistance()]
    metrics = [FrechetDistance(extractor), KernelDistance(extractor), PrecisionRecall(extractor)]
    if extractor == "fashion_mnist_classifier":
        metrics.append(ClassScore(extractor))
    return [*metrics, SlicedWassersteinDistance()]


def score(metric: ImageMetric, real, others, real_key: str | None = None) -> dict[str, float]:
    """The values of one metric between two arrays of images `(n, H, W, C)`, each with its own n."""
    metric.begin(real_key)
    if metric.needs_real:
        for start in range(0, len(real), BATCH):
            metric.update_state(real[start : start + BATCH], None)
    for start in range(0, len(others), BATCH):
        metric.update_state(None, others[start : start + BATCH])
    value = metric.result()
    return value if isinstance(value, dict) else {metric.name: value}


def report(
    gan,
    real,
    held_out,
    metrics: Sequence[ImageMetric],
    num_images: int = 10_000,
    seeds: Iterable[int] = range(3),
    verbose: int = 1,
) -> dict[str, dict[str, Any]]:
    """Scores generated images against real ones, beside the floor that real images reach.

    Args:
        gan: The model.
        real: uint8 images `(n, H, W, C)` that it was trained on.
        held_out: Other real images of the same kind; None leaves the floor out.
        metrics: Such as `default_metrics` gives.
        num_images: Images to generate for each seed, and to take from `held_out` at most.
        seeds: Of the latents, one evaluation each.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        For each value: `mean` and `std` over the seeds, `floor` (that of the held-out images in
        place of generated ones), and the metric's `protocol` with the seeds.
    """
    key, seeds, runs = content_key(real), list(seeds), []
    bar = keras.utils.Progbar((len(seeds) + 1) * len(metrics), verbose=verbose, unit_name="score")

    def measured(metric, others):
        value = score(metric, real, others, key)
        bar.add(1)
        return value

    for seed in seeds:
        generated = gan.generate(num_images, seed=seed, batch_size=500)
        runs.append([measured(metric, generated) for metric in metrics])
    table = {}
    for index, metric in enumerate(metrics):
        facts = {"protocol": metric.protocol | {"seeds": seeds}}
        floors = {}
        if held_out is not None:
            floors = measured(metric, held_out[:num_images])
            facts["protocol"]["num_floor"] = len(held_out[:num_images])
        for name in runs[0][index]:
            values = [run[index][name] for run in runs]
            table[name] = {"mean": float(np.mean(values)), "std": float(np.std(values)), **facts}
            if floors:
                table[name]["floor"] = floors[name]
    return table
