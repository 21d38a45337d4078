"""Scores of a model with all that is needed to trust them: protocol, spread and floor."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_gan.files import content_key
from keras_gan.metrics import streaming

BATCH = 1000
Metrics = Sequence[streaming.ImageMetric]


def default_metrics(image_shape, extractor=None) -> list[streaming.ImageMetric]:
    """The metrics that make sense for images of a shape.

    Args:
        image_shape: `(height, width, channels)`.
        extractor: What `get_extractor` takes; by default the bundled classifier for `(28, 28, 1)`,
            and for other shapes none, which leaves the sliced Wasserstein distance.
    """
    if extractor is None and tuple(image_shape) == (28, 28, 1):
        extractor = "fashion_mnist_classifier"
    kinds: list = []
    if extractor is not None:
        kinds = [streaming.FrechetDistance, streaming.KernelDistance, streaming.PrecisionRecall]
    if extractor == "fashion_mnist_classifier":
        kinds.append(streaming.ClassScore)
    return [*(kind(extractor) for kind in kinds), streaming.SlicedWassersteinDistance()]


def score(metrics: Metrics, real, others, real_key: str | None = None) -> list[dict[str, float]]:
    """Each metric's values between two arrays of images `(n, H, W, C)`, each with its own n."""
    for metric in metrics:
        metric.begin(real_key)
    # All metrics see a batch before the next one comes: an extractor that they share reads it once.
    for start in range(0, max(len(real), len(others)), BATCH):
        sides = [x[start : start + BATCH] if start < len(x) else None for x in (real, others)]
        for metric in metrics:
            metric.update_state(*sides)
    values = {metric: metric.result() for metric in metrics}
    return [v if isinstance(v, dict) else {metric.name: v} for metric, v in values.items()]


def check_counts(metrics: Metrics, generated: int, real: int | None = None) -> None:
    """Raises ValueError if there are too few images for one of the metrics.

    Args:
        metrics: Such as `default_metrics` gives.
        generated: The number of generated images, or of others that are scored in their place.
        real: The number of real images; None if it is not known.
    """
    for metric in metrics:
        known = [generated, *([real] if real is not None and metric.compares else [])]
        if min(known) < metric.least:
            raise ValueError(
                f"{metric.name} needs at least {metric.least} images on each side; got "
                f"{' and '.join(map(str, known))}."
            )


def report(
    gan, real, held_out, metrics: Metrics, num_images: int = 10_000, seeds=range(3), verbose=1
) -> dict[str, dict[str, Any]]:
    """Scores generated images against real ones, beside the floor that real images reach.

    Args:
        gan: The model.
        real: uint8 images `(n, H, W, C)` that it was trained on.
        held_out: Other real images of the same kind.
        metrics: Such as `default_metrics` gives.
        num_images: Images to generate for each seed, and to take from `held_out` at most.
        seeds: Of the latents, one evaluation each.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        For each value: `mean` and `std` over the seeds, `floor` (that of the held-out images in
        place of generated ones), and the metric's `protocol` with the seeds.
    """
    held_out = held_out[:num_images]
    check_counts(metrics, min(num_images, len(held_out)), len(real))  # Before it takes long.
    key, seeds = content_key(real), list(seeds)
    bar = keras.utils.Progbar(len(seeds) + 1, verbose=verbose)
    runs = [score(metrics, real, held_out, key)]
    bar.add(1)
    for seed in seeds:
        generated = gan.generate(num_images, seed=seed, batch_size=500)
        runs.append(score(metrics, real, generated, key))
        bar.add(1)
    table = {}
    for metric, floors, *scores in zip(metrics, *runs, strict=True):
        protocol = metric.protocol | {"seeds": seeds, "num_floor": len(held_out)}
        for name, floor in floors.items():
            values = [run[name] for run in scores]
            table[name] = {"mean": float(np.mean(values)), "std": float(np.std(values))}
            table[name] |= {"protocol": protocol, "floor": floor}
    return table
