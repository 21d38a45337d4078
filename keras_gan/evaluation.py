"""Evaluation: held-out real samples compared with as many generated ones."""

import os
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan.datasets import batches
from keras_gan.datasets.batches import Batch
from keras_gan.engine.keras_internals import EpochIterator
from keras_gan.metrics.streaming import content_keys, takes_condition

NAMES = ("d_loss", "g_loss", "d_real", "d_fake")


def evaluate(gan, x, y, batch_size: int, steps: int | None, callbacks, seed: int | None):
    """Compares real samples with generated ones, both networks at rest.

    At rest means: no dropout, moving averages used, no terms in the losses.

    Args:
        gan: The model.
        x: Real samples, an array or a loader, checked.
        y: What samples in an array are conditioned on, or None.
        batch_size: Samples per batch of an array.
        steps: The number of batches; None for all.
        callbacks: A `keras.callbacks.CallbackList`, or a function of the number of batches that
            makes one.
        seed: Of the latents, and of conditions that are drawn.

    Returns:
        Floats by name: `d_loss`, `g_loss`, `d_real`, `d_fake`, then the compiled metrics' results.
    """
    iterator = EpochIterator(x, y, batch_size=batch_size, steps_per_epoch=steps)
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks(iterator.num_batches)
    random = np.random.default_rng(seed)
    noise = uniform(random.spawn(1)[0])
    totals, count = np.zeros(len(NAMES)), 0
    begin_metrics(gan, *((x, y) if steps is None else ()))
    callbacks.on_test_begin()
    for step, _, [data] in iterator:
        callbacks.on_test_batch_begin(step)
        batch = batches.as_batch(data, batches.with_data(gan.condition))
        gan.values.check_batch(batch.samples)  # Of a loader, only one batch was looked at.
        if batch.condition is not None:
            gan.condition.check_batch(batch.condition)
        real, condition = prepared(gan, batch, noise)
        generated = gan.sampled(random, len(real), condition)
        totals += len(real) * _compared(gan, real, generated, condition)
        count += len(real)
        images = [gan.values.pictures(side) for side in (real, generated)]
        for metric in gan.compiled_distances:
            known = {"condition": condition} if takes_condition(metric) else {}
            metric.update_state(*images, **known)
        callbacks.on_test_batch_end(step)
    logs = dict(zip(NAMES, totals / count, strict=True))
    for metric in gan.compiled_distances:
        result = metric.result()
        logs.update(result if isinstance(result, dict) else {metric.name: result})
    logs = gan.same_for_all({name: float(value) for name, value in logs.items()})
    callbacks.on_test_end(logs)
    return logs


def prepared(gan, batch: Batch, noise) -> Batch:
    """Returns a batch as the networks get it, see `batches.prepared`, outside a step: in NumPy.

    Args:
        gan: The model.
        batch: What a loader gives.
        noise: What `uniform` returns.
    """
    # Not made a tensor first: with floatx bfloat16, Keras makes float32 of uint8 on JAX.
    ready = batches.prepared(batch, gan.values, gan.condition, noise)
    return ready.map(ops.convert_to_numpy)


def begin_metrics(gan, real=None, condition=None) -> None:
    """Resets the compiled metrics, and fetches what they need.

    Args:
        gan: The model.
        real: All the real samples that will be compared, if they are known as one array: then
            metrics of this library read their statistics from the cache.
        condition: What they are conditioned on, if they are known as one array.
    """
    ours = [metric for metric in gan.compiled_distances if hasattr(metric, "begin")]
    keys = content_keys(real, condition) if ours else (None, None)
    if (gan.values.low, gan.values.high) != (-1.0, 1.0):  # The same data has other values then.
        whole, conditioned = (key and f"{key} in {gan.values}" for key in keys)
        keys = whole, conditioned
    for metric in gan.compiled_distances:
        if metric in ours:
            metric.begin(keys[takes_condition(metric)], gan.sample_shape)
        else:
            metric.reset_state()


def uniform(random: np.random.Generator):
    """Returns a source of uniform noise for conditions, `shape -> floats in 0…1`."""
    return lambda shape: ops.convert_to_tensor(random.random(shape, dtype="float32"))


def _compared(gan, real: np.ndarray, generated: np.ndarray, condition) -> np.ndarray:
    """Returns the losses and mean logits of one batch, in the order of `NAMES`."""
    inputs = [gan.discriminator_inputs(samples, condition) for samples in (real, generated)]
    # Arrays alone: Keras refuses a list of arrays and tensors.
    inputs = keras.tree.map_structure(ops.convert_to_numpy, inputs)
    logits = [gan.predicted(gan.discriminator, batch) for batch in inputs]
    real_logits, fake_logits = map(ops.convert_to_tensor, logits)
    loss = gan.adversarial_loss
    d_loss = loss.discriminator(real_logits, fake_logits)
    g_loss = loss.generator(*([real_logits] if gan.relativistic else []), fake_logits)
    means = [float(ops.mean(ops.cast(batch, "float32"))) for batch in logits]
    return np.array([float(d_loss), float(g_loss), *means])


# Of the real and the generated image that belong to the same condition.
_PAIRWISE = (
    keras.metrics.CosineSimilarity, keras.metrics.LogCoshError, keras.metrics.MeanAbsoluteError,
    keras.metrics.MeanSquaredError, keras.metrics.RootMeanSquaredError,
)  # fmt: skip


def metrics_of(given, condition) -> list[keras.metrics.Metric]:
    """Returns metrics of `(real, generated)`, from objects or Keras' names.

    Args:
        given: What `GAN.compile` takes, or None.
        condition: A `keras_gan.conditions.Condition`, or None.

    Raises:
        ValueError: For metrics of Keras that compare a prediction with its target, of which a GAN
            has none; errors between pairs of images are for conditions that are images.
        TypeError: For what is no metric.
    """
    if isinstance(given, (str, keras.metrics.Metric)):
        given = [given]
    metrics = [keras.metrics.get(metric) for metric in given or []]
    for metric in metrics:
        if not isinstance(metric, keras.metrics.Metric):
            raise TypeError(
                "metrics are keras.metrics.Metric objects whose update_state takes (real, "
                f"generated), such as those of keras_gan.metrics; got {metric!r}."
            )
        of_keras = type(metric).update_state.__module__.split(".")[0] == "keras"
        of_keras &= type(metric) is not keras.metrics.MeanMetricWrapper  # Of a user's function.
        paired = condition is not None and condition.is_image and isinstance(metric, _PAIRWISE)
        if of_keras and not paired:
            raise ValueError(
                f"The metric {metric.name!r} compares predictions with their targets, which "
                "generated samples do not have; use one of keras_gan.metrics."
            )
    return metrics


def can_be_saved(metric: Any) -> bool:
    """Returns whether a metric's configuration fits into a file, and warns if it does not."""
    source = getattr(getattr(metric, "extractor", None), "source", None)
    if source is None or isinstance(source, (str, os.PathLike)):
        return True
    warnings.warn(
        f"The metric {metric.name} is not saved: its extractor was passed as an object. Pass the "
        "path of a .keras file instead.",
        stacklevel=2,
    )
    return False
