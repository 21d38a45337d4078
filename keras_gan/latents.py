"""Latents: walks between them, truncation, the latents of given images, and nearest neighbours."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan import engine
from keras_gan.errors import check_whole
from keras_gan.metrics import get_extractor

BLOCK = 2**24  # Numbers in an array that `nearest` makes, at most.
CANDIDATES = 256  # Random latents among which each projection starts with the best.


def interpolate(a: Any, b: Any, steps: int) -> np.ndarray:
    """Returns latents on the great circle from one to another.

    On the straight line, latents would be shorter than any that the generator was trained on.
    White 2016, arXiv:1609.04468, section 2.1.

    Args:
        a: Latents of one sample, of any shape.
        b: Others of that shape.
        steps: The number of latents, both ends included; at least 2.

    Returns:
        float32 `(steps, *shape)`, for `generate(latents=…)`. Lengths change evenly from that of `a`
        to that of `b`.

    Raises:
        ValueError: For other shapes, fewer steps, or latents that are all 0.
    """
    a, b = (np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(x)), "float64") for x in (a, b))
    if a.shape != b.shape:
        raise ValueError(f"Latents of one shape are needed; got {a.shape} and {b.shape}.")
    if check_whole("steps", steps) < 2:
        raise ValueError("steps must be at least 2: both ends are among them.")
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if not all(lengths):
        raise ValueError("Latents that are all 0 have no direction to start from or to end at.")
    start, end = (x.ravel() / length for x, length in zip((a, b), lengths, strict=True))
    angle = np.arccos(np.clip(start @ end, -1.0, 1.0))
    share = np.linspace(0.0, 1.0, steps)[:, None]
    if np.sin(angle) < 1e-6:  # One direction, or opposite ones, between which any way would do.
        rows = (1 - share) * start + share * end
    else:
        rows = np.sin((1 - share) * angle) * start + np.sin(share * angle) * end
        rows /= np.sin(angle)
    rows *= (1 - share) * lengths[0] + share * lengths[1]
    return rows.reshape(steps, *a.shape).astype("float32")


def walk(stops: Any, steps: int) -> np.ndarray:
    """Returns latents on great circles from each stop to the next, and from the last to the first.

    Args:
        stops: Latents `(n, …)`, at least two.
        steps: Latents from one stop to the next, at least 1.

    Returns:
        float32 `(n * steps, …)`, a walk that can be repeated without a jump.

    Raises:
        ValueError: For fewer stops or steps.
    """
    stops = np.asarray(stops)
    if len(stops) < 2:
        raise ValueError(f"A walk needs at least two stops; got {len(stops)}.")
    check_whole("steps", steps)
    ways = zip(stops, np.roll(stops, -1, axis=0), strict=True)
    return np.concatenate([interpolate(a, b, steps + 1)[:-1] for a, b in ways])


def nearest(samples: Any, images: Any, extractor: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns, for each sample, how far the nearest of other images is, and which one that is.

    A generator that has learned its training images by heart makes samples that are nearer to them
    than real images are that it has not seen. Takes the memory of the arrays and 100 MB.

    Args:
        samples: Generated samples `(n, …)`.
        images: Others of that shape, such as those of the training; read in parts.
        extractor: What `keras_gan.metrics.get_extractor` takes: distances are then of features.
            By default they are of the values, the root of the mean squared difference: of uint8
            images, in grey levels 0…255.

    Returns:
        Distances, float32 `(n,)`, and indices into `images`, `(n,)`.

    Raises:
        ValueError: For samples and images of different shapes, or none.
    """
    samples = np.asarray(samples)
    if samples.shape[1:] != images.shape[1:] or not len(samples) or not len(images):
        raise ValueError(
            f"Samples and images of one shape are needed; got {samples.shape} and {images.shape}."
        )
    rows = _rows_of(samples, extractor)
    distances: np.ndarray = np.full(len(rows), np.inf, "float32")
    indices: np.ndarray = np.zeros(len(rows), "int64")
    size = max(1, BLOCK // max(rows.shape[1], len(rows)))
    for start in range(0, len(images), size):
        others = _rows_of(np.asarray(images[start : start + size]), extractor)
        # |a - b|², of which |a|² is the same for all others.
        squares = (others**2).sum(axis=1) - 2 * rows @ others.T
        best = squares.argmin(axis=1)
        gaps = np.sqrt(((rows - others[best]) ** 2).mean(axis=1))
        closer = gaps < distances
        distances[closer], indices[closer] = gaps[closer], start + best[closer]
    return distances, indices


def _rows_of(images, extractor) -> np.ndarray:
    rows = images if extractor is None else get_extractor(extractor).features(images)
    return rows.reshape(len(rows), -1).astype("float32")


def truncate(gan, latents: Any, psi: float) -> np.ndarray:
    """Returns latents nearer to the mean: typical samples, and less variety.

    Karras et al. 2019, arXiv:1812.04948, appendix B. The mean of the latents of training is 0.

    Args:
        gan: The GAN, for the latents' shape.
        latents: `(n, *latent_shape)`.
        psi: The share of their distance from the mean that is kept, in 0…1; 1 changes nothing.

    Raises:
        ValueError: For latents of another shape, or `psi` out of range.
    """
    latents = np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(latents)), "float32")
    if latents.shape[1:] != gan.latent_shape:
        raise ValueError(f"latents must be (n, *{gan.latent_shape}); got {latents.shape}.")
    if not 0 <= psi <= 1:
        raise ValueError(f"psi must be in 0…1; got {psi!r}.")
    return np.float32(psi) * latents


def project(
    gan,
    images: Any,
    *,
    condition: Any = None,
    steps: int = 300,
    learning_rate: float = 0.05,
    seed: int | None = 0,
    verbose: int = 1,
) -> np.ndarray:
    """Returns latents whose samples come close to given ones, for `generate(latents=…)`.

    Starts from the best of 256 random latents, and follows the gradient of the mean squared
    difference with Adam. Latents are not let become longer than the usual ones, of which the
    generator makes nothing good.

    Args:
        gan: The GAN; its generator takes latents.
        images: Samples `(n, *sample_shape)`, as for `GAN.fit`.
        condition: Of a conditional GAN, as for `GAN.generate`: one, or one for each image.
        steps: Steps of Adam.
        learning_rate: Of Adam, for latents of standard deviation 1.
        seed: Of the latents to start from.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        float32 `(n, *latent_shape)`.

    Raises:
        ValueError: For samples of another shape, a generator without latents, and conditions that
            are missing or do not fit.
    """
    if gan.latent_shape is None:
        raise ValueError("The generator takes no latents; give images to gan.translate.")
    if not engine.TRAINS:
        raise ValueError(f"Keras' {keras.backend.backend()} backend has no gradients to follow.")
    images = np.asarray(images)
    gan.values.check(images)
    target = ops.convert_to_numpy(gan.values.scaled(images))
    if gan.condition is not None:
        condition = gan.condition.chosen(condition, len(images), np.random.default_rng(seed))
    elif condition is not None:
        raise ValueError("This GAN has no condition; leave condition= out.")
    latents = _nearest_of_many(gan, target, condition, seed)
    length = np.sqrt(np.prod(gan.latent_shape))

    truth = ops.convert_to_tensor(target)

    def difference(latents):
        made = gan(latents if condition is None else [latents, condition])
        return _mean_square(ops.cast(made, "float32") - truth)

    gradient = engine.compiled(lambda latents: engine.input_gradient(difference, latents))
    bar = keras.utils.Progbar(check_whole("steps", steps), verbose=verbose)
    mean, square = np.zeros_like(latents), np.zeros_like(latents)
    for step in range(1, steps + 1):
        slope = ops.convert_to_numpy(gradient(ops.convert_to_tensor(latents)))
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope**2
        change = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        latents = (latents - learning_rate * change).astype("float32")
        norms = np.linalg.norm(latents.reshape(len(latents), -1), axis=1)
        shrunk = np.minimum(1.0, length / np.maximum(norms, 1e-12))
        latents *= shrunk.reshape(-1, *(1 for _ in gan.latent_shape)).astype("float32")
        bar.update(step)
    return latents


def _nearest_of_many(gan, target, condition, seed) -> np.ndarray:
    """Returns for each target the one of random latents whose sample is nearest."""
    random = np.random.default_rng(seed)
    drawn = random.standard_normal((CANDIDATES, *gan.latent_shape), dtype="float32")
    flat = target.reshape(len(target), -1)
    chosen = []
    for i, row in enumerate(flat):
        if i == 0 or condition is not None:  # Without a condition, all start from the same ones.
            wanted = None if condition is None else np.repeat(condition[i : i + 1], CANDIDATES, 0)
            made = gan._samples_of(drawn, wanted).reshape(CANDIDATES, -1)
        chosen.append(int(np.argmin(np.square(made - row).sum(axis=1))))
    return drawn[chosen]


def _mean_square(values):
    return ops.mean(ops.square(values), axis=tuple(range(1, len(values.shape))))
