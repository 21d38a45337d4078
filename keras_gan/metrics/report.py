"""Scores of a model with all that is needed to trust them: protocol, spread and floor."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_gan.conditions import Condition, Labels
from keras_gan.datasets.batches import Batch, as_batch, divided, with_data
from keras_gan.evaluation import prepared, uniform
from keras_gan.metrics import classes, pairs, streaming
from keras_gan.metrics.extractors import CLASSES, get_extractor
from keras_gan.metrics.streaming import content_keys, takes_condition

BATCH = 1000
Metrics = Sequence[streaming.ImageMetric | pairs.PairMetric]


def default_metrics(image_shape, extractor=None, condition: Condition | None = None) -> list[Any]:
    """Returns the metrics that make sense for images of a shape, and of a condition.

    Args:
        image_shape: `(height, width, channels)`.
        extractor: What `get_extractor` takes; by default the bundled classifier for `(28, 28, 1)`,
            and for other shapes none, which leaves the sliced Wasserstein distance.
        condition: What the samples are conditioned on: classes are also scored one by one, images
            from images pixel by pixel.
    """
    extractor = _extractor(image_shape, extractor)
    kinds: list = []
    if extractor is not None:
        kinds = [streaming.FrechetDistance, streaming.KernelDistance, streaming.PrecisionRecall]
    if extractor in CLASSES:
        kinds.append(streaming.ClassScore)
    metrics = [*(kind(extractor) for kind in kinds), streaming.SlicedWassersteinDistance()]
    return metrics + conditional_metrics(image_shape, extractor, condition)


def conditional_metrics(
    image_shape, extractor=None, condition: Condition | None = None, each_class: bool = True
) -> list[Any]:
    """Returns those of `default_metrics` that look at what samples are conditioned on.

    Args:
        image_shape, extractor, condition: As for `default_metrics`.
        each_class: Whether to report each class, rather than their means alone.
    """
    extractor = _extractor(image_shape, extractor)
    if condition is None:
        return []
    if isinstance(condition, Labels):
        names = condition.class_names if each_class else None
        kinds: list = [] if extractor is None else [classes.ClassFrechetDistance]
        if extractor is not None and _knows(extractor, condition):
            kinds.insert(0, classes.ClassAccuracy)
        return [kind(extractor, names) for kind in kinds]
    if not condition.is_image:
        return []
    value_range = getattr(condition, "value_range", (-1.0, 1.0))
    again = [pairs.ConditionError(condition, value_range)] if condition.computed else []
    return [pairs.PSNR(), pairs.SSIM(), *again]


def _extractor(image_shape, extractor):
    grey = extractor is None and tuple(image_shape) == (28, 28, 1)
    return "fashion_mnist_classifier" if grey else extractor


def _knows(extractor, condition: Labels) -> bool:
    """Returns whether an extractor is a classifier of a condition's classes."""
    if extractor in CLASSES and condition.names is not None:
        return condition.names == CLASSES[extractor]
    function = get_extractor(extractor).function
    outputs = getattr(function, "output", None)
    found = outputs.get("probabilities") if isinstance(outputs, dict) else None
    return found is not None and found.shape[-1] == condition.count


def score(
    metrics: Metrics, real: Batch, others: Batch, truth=None, keys=(None, None)
) -> list[dict[str, float]]:
    """Returns each metric's values between two sets of images, each with its own n.

    Args:
        metrics: What to measure.
        real: Real images `(n, H, W, C)` with their conditions, if any.
        others: The images to compare with them.
        truth: For images made from images, what each of `others` should have been.
        keys: `content_keys` of the real images, under which their statistics are kept.
    """
    for metric in metrics:
        metric.begin(keys[takes_condition(metric)])
    # All metrics see a batch before the next one comes: an extractor that they share reads it once.
    for start in range(0, max(len(real.samples), len(others.samples)), BATCH):
        one, other = (Batch(*(_part(column, start) for column in side)) for side in (real, others))
        for metric in metrics:
            _update(metric, one, other, _part(truth, start))
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


def _part(column, start: int):
    """Returns a batch of an array; None of none, and behind its end."""
    return None if column is None or start >= len(column) else column[start : start + BATCH]


def _update(metric, real: Batch, others: Batch, truth) -> None:
    if getattr(metric, "paired", False):
        if others.samples is not None:
            metric.update_state(truth, *others)
    elif takes_condition(metric):  # The two sides may be of different classes.
        for images, side in ((real.samples, 0), (others.samples, 1)):
            if images is not None:
                both = (images, None) if side == 0 else (None, images)
                metric.update_state(*both, condition=(real, others)[side].condition)
    else:
        metric.update_state(real.samples, others.samples)


def report(
    gan, real, held_out, metrics: Metrics, num_images: int = 10_000, seeds=range(3), verbose=1
) -> dict[str, dict[str, Any]]:
    """Scores generated images against real ones, beside the floor that real images reach.

    Classes to generate are drawn from those of the real images. Of a model that makes images from
    images, those that `held_out` images are conditioned on are translated, and compared with these.

    Args:
        gan: The model.
        real: uint8 images `(n, H, W, C)` that it was trained on; of a condition that comes with the
            data, a pair of images and conditions.
        held_out: Other real images of the same kind.
        metrics: Such as `default_metrics` gives.
        num_images: Images to generate for each seed, and to take from `held_out` at most.
        seeds: Of the latents, one evaluation each.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        For each value: `mean` and `std` over the seeds, `floor` (that of the held-out images in
        place of generated ones; None where it is infinite), and the metric's `protocol` with the
        seeds.
    """
    condition, seeds = gan.condition, list(seeds)
    real = _given(condition, real)
    held_out, _ = divided(_given(condition, held_out), num_images)
    truth = None
    if condition is not None and condition.is_image:
        truth = held_out.samples
        held_out = _computed(gan, held_out) if condition.computed else held_out
    keys = content_keys(*real)
    check_counts(metrics, min(num_images, len(held_out.samples)), len(real.samples))
    bar = keras.utils.Progbar(len(seeds) + 1, verbose=verbose)
    runs = [score(metrics, real, held_out, truth, keys)]
    bar.add(1)
    for seed in seeds:
        wanted = held_out.condition if truth is not None else _drawn(real, num_images, seed)
        size = num_images if truth is None else None
        generated = gan.generate(size, condition=wanted, seed=seed, batch_size=500)
        runs.append(score(metrics, real, Batch(generated, wanted), truth, keys))
        bar.add(1)
    table: dict[str, dict[str, Any]] = {}
    for metric, floors, *scores in zip(metrics, *runs, strict=True):
        protocol = metric.protocol | {"seeds": seeds, "num_floor": len(held_out.samples)}
        for name, floor in floors.items():
            values = [run[name] for run in scores if name in run]
            if not values:  # A class of which none was generated.
                continue
            table[name] = {
                "mean": float(np.mean(values)),
                "std": float(np.std(values)),
                "protocol": protocol,
                "floor": floor if math.isfinite(floor) else None,
            }
    return table


def _given(condition, side) -> Batch:
    """Returns images, and the conditions that the data has, as `generate` takes them."""
    images, given = as_batch(side, conditional=with_data(condition))
    return Batch(images, None if given is None else condition.prepared(given))


def _computed(gan, images: Batch) -> Batch:
    """Returns images with the conditions that are computed from them."""
    noise, parts = uniform(np.random.default_rng(0)), []
    for start in range(0, len(images.samples), BATCH):
        batch = Batch(images.samples[start : start + BATCH])
        parts.append(prepared(gan, batch, noise).condition)
    return Batch(images.samples, np.concatenate(parts))


def _drawn(real: Batch, size: int, seed: int):
    """Returns conditions as frequent as those of the real images; None for none."""
    if real.condition is None:
        return None
    random = np.random.default_rng([seed, len(real.condition)])
    chosen = random.choice(len(real.condition), size, replace=size > len(real.condition))
    return real.condition[chosen]
