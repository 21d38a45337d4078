"""Distances between two sets of rows: pure functions, in float64 NumPy.

`real` and `generated` are arrays (n, d): the features of n images, each side with its own n. All
raise ValueError, in one sentence, for features that are not finite, do not match, or are too few.
"""

import numpy as np

from keras_gan.metrics.summaries import Moments, Projections

BLOCK = 1024  # Rows of a pairwise matrix that are held at once, to bound the memory.


def frechet_distance(real, generated) -> float:
    """Squared Fréchet distance between the Gaussians that fit the two sets.

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½), with unbiased covariances. Heusel et al. 2017
    (arXiv:1706.08500), eq. 6; with Inception features it is known as FID.
    """
    return frechet_between(*(Moments().update(x) for x in checked(real, generated, least=2)))


def frechet_between(real: Moments, generated: Moments) -> float:
    """`frechet_distance` of sets that are known by their moments."""
    # With Σ = FFᵀ, tr(Σ₁Σ₂)^½ is the sum of the singular values of F₁ᵀF₂. Unlike the square root
    # of a product it stays accurate when the covariances are singular: no root of a rounding error.
    overlap = np.linalg.norm(_root(real.covariance).T @ _root(generated.covariance), "nuc")
    shift = real.mean - generated.mean
    spread = np.trace(real.covariance) + np.trace(generated.covariance)
    return max(float(shift @ shift + spread - 2 * overlap), 0.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    """F with FFᵀ = covariance, with as many columns as its rank."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo("float64").eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def kernel_distance(real, generated, subsets=100, subset_size: int | None = 1000, seed=0) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy; it may be slightly negative.

    The kernel is (x·y/d + 1)³. Bińkowski et al. 2018 (arXiv:1801.01401); with Inception features
    it is known as KID. The mean over random subsets, no larger than the smaller side, or one
    estimate from all rows with `subset_size=None`.
    """
    real, generated = checked(real, generated, least=2)
    if subset_size is not None and subset_size < 2:
        raise ValueError(f"subset_size must be at least 2, or None; got {subset_size}.")
    size = min(subset_size or len(real), len(real), len(generated))
    if subset_size is None or size == len(real) == len(generated):
        return _discrepancy(real, generated)
    draw = np.random.default_rng(seed).choice
    pairs = ([x[draw(len(x), size, False)] for x in (real, generated)] for _ in range(subsets))
    return float(np.mean([_discrepancy(x, y) for x, y in pairs]))


def _discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    own = 0.0  # Over the pairs of different rows.
    for rows in (x, y):
        same = ((rows * rows).mean(axis=1) + 1) ** 3
        own += (_kernel_sum(rows, rows) - same.sum()) / (len(rows) * (len(rows) - 1))
    return float(own - 2 * _kernel_sum(x, y) / (len(x) * len(y)))


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of the kernel over all pairs."""
    starts = range(0, len(x), BLOCK)
    kernels = (x[start : start + BLOCK] @ y.T / x.shape[1] + 1 for start in starts)
    return sum((kernel * kernel * kernel).sum() for kernel in kernels)


def precision_recall(real, generated, k: int = 5) -> dict[str, float]:
    """How much of the generated set lies among the real one, and the other way round.

    A set's manifold is the union of balls around its rows that reach to the k-th nearest
    neighbour. `precision`: share of generated rows inside the real manifold; `recall`: share of
    real rows inside the generated one (Kynkäänniemi et al. 2019, arXiv:1904.06991). `density`: real
    balls around a generated row, divided by k (may exceed 1); `coverage`: share of real balls with
    a generated row inside (Naeem et al. 2020, arXiv:2002.09797).
    """
    if k < 1:
        raise ValueError(f"k, the number of nearest neighbours, must be at least 1; got {k}.")
    real, generated = checked(real, generated, least=k + 1)
    real, generated = real - real.mean(axis=0), generated - real.mean(axis=0)
    balls_around_generated, covered = _balls(real, generated, k)
    balls_around_real, _ = _balls(generated, real, k)
    return {
        "precision": float(np.mean(balls_around_generated > 0)),
        "recall": float(np.mean(balls_around_real > 0)),
        "density": float(np.mean(balls_around_generated) / k),
        "coverage": float(np.mean(covered)),
    }


def _balls(centres: np.ndarray, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """How many balls each point lies in, and whether each ball holds a point."""
    counts: np.ndarray = np.zeros(len(points), "int64")
    held = []
    for start in range(0, len(centres), BLOCK):
        block = centres[start : start + BLOCK]
        distances = _squared_distances(block, centres)
        np.fill_diagonal(distances[:, start:], np.inf)  # A centre is no neighbour of its own.
        reach = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
        inside = _squared_distances(block, points) <= reach
        counts += inside.sum(axis=0)
        held.append(inside.any(axis=1))
    return counts, np.concatenate(held)


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances (n, m); zero where they are within rounding of it, as for copies."""
    size = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    distances = size - 2 * (x @ y.T)
    distances[distances < 1e-12 * size] = 0
    return distances


def sliced_wasserstein_distance(real, generated, projections=256, seed=0) -> float:
    """Mean Wasserstein-1 distance of the two sets projected on random directions.

    The rows are flattened images in −1…1; directions have unit length, so that the distance is in
    units of a pixel's value at any image size. Bonneel et al. 2015 (doi:10.1007/s10851-014-0506-3).
    """
    sides = checked(real, generated, least=1)
    return wasserstein_between(*(Projections(projections, seed).update(rows) for rows in sides))


def wasserstein_between(real: Projections, generated: Projections) -> float:
    """`sliced_wasserstein_distance` of images that are known by their projections."""
    if real.size != generated.size:
        sizes = f"{real.size} and {generated.size} values"
        raise ValueError(f"Real and generated images must be of one size; got {sizes} each.")
    # On a line, the distance is the area between the two distribution functions.
    first, second = (side.counts.cumsum(axis=1) / side.count for side in (real, generated))
    return float(np.abs(first - second).sum(axis=1).mean() * (2 * real.reach / real.bins))


def class_score(probabilities, min_share: float | None = None) -> dict[str, float]:
    """How surely, and over how many classes, a classifier reads the generated images.

    `class_score`: exp(mean KL(p(y|x) ‖ p(y))) over all images at once, 1…classes, known as the
    Inception Score with Inception's classes (Salimans et al. 2016, arXiv:1606.03498).
    `mode_count`: classes that hold at least `min_share` of the images (default: a tenth of an even
    share). `rarest_class`: the share of the least frequent class.

    Args:
        probabilities: (n, classes), rows that sum to 1.
        min_share: 0…1, or None.
    """
    (rows,) = checked(probabilities, least=1)
    shares = np.bincount(rows.argmax(axis=1), minlength=rows.shape[1]) / len(rows)
    divergence = rows * (np.log(np.maximum(rows, 1e-300)) - np.log(rows.mean(axis=0) + 1e-300))
    least = 0.1 / len(shares) if min_share is None else min_share
    return {
        "class_score": float(np.exp(divergence.sum(axis=1).mean())),
        "mode_count": float((shares >= least).sum()),
        "rarest_class": float(shares.min()),
    }


def checked(*sets, least: int) -> list[np.ndarray]:
    """The sets as float64 (n, d); ValueError if they cannot be compared."""
    rows = [np.asarray(rows, "float64") for rows in sets]
    shapes = " and ".join(str(side.shape) for side in rows)
    if any(side.ndim != 2 for side in rows) or len({side.shape[1] for side in rows}) > 1:
        raise ValueError(f"Features must be (images, features), equal in features; got {shapes}.")
    if min(len(side) for side in rows) < least:
        raise ValueError(f"At least {least} images are needed on each side; got features {shapes}.")
    if not all(np.isfinite(side).all() for side in rows):
        raise ValueError("The features hold NaN or infinity: look at what the extractor was fed.")
    return rows
