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


def score(
    metrics: Sequence[ImageMetric], real, others, real_key: str | None = None
) -> list[dict[str, float]]:
    """Each metric's values between two arrays of images `(n, H, W, C)`, each with its own n."""
    for metric in metrics:
        metric.begin(real_key)
    # All metrics see a batch before the next one comes: an extractor that they share reads it once.
    for start in range(0, len(real), BATCH):
        for metric in metrics:
            metric.update_state(real[start : start + BATCH], None)
    for start in range(0, len(others), BATCH):
        for metric in metrics:
            metric.update_state(None, others[start : start + BATCH])
    values = {metric: metric.result() for metric in metrics}
    return [v if isinstance(v, dict) else {metric.name: v} for metric, v in values.items()]


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
    bar = keras.utils.Progbar(len(seeds) + (held_out is not None), verbose=verbose)
    for seed in seeds:
        generated = gan.generate(num_images, seed=seed, batch_size=500)
        runs.append(score(metrics, real, generated, key))
        bar.add(1)
    protocols = [metric.protocol | {"seeds": seeds} for metric in metrics]
    all_floors: list[dict[str, float]] = [{} for _ in metrics]
    if held_out is not None:
        all_floors = score(metrics, real, held_out[:num_images], key)
        bar.add(1)
        for protocol in protocols:
            protocol["num_floor"] = len(held_out[:num_images])
    table = {}
    for index, (protocol, floors) in enumerate(zip(protocols, all_floors, strict=True)):
        facts = {"protocol": protocol}
        for name in runs[0][index]:
            values = [run[index][name] for run in runs]
            table[name] = {"mean": float(np.mean(values)), "std": float(np.std(values)), **facts}
            if floors:
                table[name]["floor"] = floors[name]
    return table
