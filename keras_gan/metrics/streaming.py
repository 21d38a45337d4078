"""The distances as Keras metrics: fed batch by batch, real images against generated ones."""

import hashlib
import inspect
import json
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gan.files import content_key, home, replacing
from keras_gan.metrics import distances
from keras_gan.metrics.extractors import as_uint8, get_extractor
from keras_gan.metrics.summaries import Moments, Projections, Rows, Summary

CACHE_FORMAT = 1  # Raised when the meaning of a cached file changes.

register = keras.saving.register_keras_serializable(package="keras_gan")


def takes_condition(metric) -> bool:
    """Returns whether a metric's `update_state` takes the condition of the images."""
    return "condition" in inspect.signature(metric.update_state).parameters


def content_keys(images, condition=None) -> tuple[str | None, str | None]:
    """Returns a key of images, and one of them with their conditions; None for no arrays."""
    key, other = content_key(images), content_key(condition)
    return key, None if key is None or other is None else f"{key} {other}"


class ImageMetric(keras.metrics.Metric):
    """A running summary of each side, and a distance between the two.

    `update_state(real, generated)` takes images (n, H, W, C), uint8 or floats in −1…1, as arrays or
    tensors, and where an extractor reads them, other samples (n, …); either may be None, and n may
    differ. `result()` is a float or a dict of floats. The work is done on the host, outside any
    compiled function. `begin(real_key, image_shape)` starts an evaluation, for which the extractor
    is fetched if need be; it raises ValueError if samples of that shape cannot be read. The real
    images, all that will be fed before `result()`, may be known by a key: their summary is kept on
    disk and read at the next evaluation instead of computed.
    """

    title: str  # The default name.
    least = 1  # Images that are needed on each side.
    compares = True  # Whether the real images matter.
    _direction = "down"  # For the mode="auto" of callbacks.

    def __init__(self, name=None, extractor=None, **options):
        super().__init__(name=name or self.title)
        self.extractor: Any = None if extractor is None else get_extractor(extractor)
        self.options = options
        self.reset_state()

    def _summary(self) -> Summary:
        """An empty summary of one side."""
        return Rows(self.options.get("max_images"), self.options.get("seed", 0))

    def _rows(self, images) -> np.ndarray:
        """What the summary is fed."""
        return self.extractor.features(images)

    def _measure(self, real, generated):
        """The value, a float or a dict of floats, for two filled summaries."""

    @property
    def protocol(self) -> dict[str, Any]:
        """All that fixes the meaning of the number, for logs and tables."""
        facts = {"metric": self.title, "extractor": getattr(self.extractor, "name", None)}
        facts |= {"resize": getattr(self.extractor, "resize", "none"), **self.options}
        sides = {"num_real": self._real, "num_generated": self._generated}
        return facts | {name: int(side.count) for name, side in sides.items()}

    def reset_state(self) -> None:
        self._real, self._generated = self._summary(), self._summary()
        self._cache: Path | None = None
        self.needs_real = self.compares  # Where it is False, update_state(None, generated) does.
        if self.extractor:
            self.extractor.recent.clear()  # A model may have changed.

    def begin(self, real_key: str | None = None, image_shape: tuple | None = None) -> None:
        self.reset_state()
        if image_shape:
            kind = "uint8" if len(image_shape) == 3 else "float32"
            black = np.zeros((1, *image_shape), kind)
            self.extractor._fitted(black) if self.extractor else as_uint8(black)
        fingerprint = self.extractor.fingerprint() if self.extractor else "none"
        if real_key is None or fingerprint is None or not self.compares:
            return
        facts = [CACHE_FORMAT, real_key, fingerprint, self.title, self.options]
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        self._cache = home() / "statistics" / f"{key}.npz"
        # An absent or damaged file is written again.
        errors = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile)
        with suppress(*errors), self._cache.open("rb") as file, np.load(file) as state:
            self._real.restore(state)
            self.needs_real = False

    def update_state(self, real, generated, sample_weight=None) -> None:
        if real is not None and self.needs_real:
            self._real.update(self._rows(real))
        if generated is not None:
            self._generated.update(self._rows(generated))

    def result(self):
        real, generated = self._real.count, self._generated.count
        if min(real if self.compares else generated, generated) < self.least:
            need = f"{self.name} needs at least {self.least} images on each side"
            raise ValueError(f"{need}; got {real} real and {generated} generated.")
        value = self._measure(self._real, self._generated)
        if self._cache and self.needs_real:
            try:
                with replacing(self._cache) as part:
                    np.savez(part, **self._real.state())
            except OSError as error:  # A full disk or a read-only home costs time, not the score.
                warnings.warn(f"{self.name} could not keep its statistics: {error}", stacklevel=2)
        if isinstance(value, dict) and self.name != self.title:
            return {f"{self.name}_{key}": part for key, part in value.items()}
        return value

    def get_config(self):
        config = {"name": self.name, **self.options}
        if self.extractor:
            config["extractor"] = keras.saving.serialize_keras_object(self.extractor.source)
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


@register
class FrechetDistance(ImageMetric):
    """Squared Fréchet distance between Gaussians that fit the features: FID with `"inception"`.

    The lower the better. Its bias falls with the number of images: compare equal numbers only.
    Memory: one covariance of the features a side. Formula and paper: `frechet_distance`.

    Args:
        extractor: What `get_extractor` takes.
        name: In logs and files.
    """

    title, least = "frechet_distance", 2

    def __init__(self, extractor, name=None):
        super().__init__(name, extractor)

    def _summary(self):
        return Moments()

    def _measure(self, real, generated):
        return distances.frechet_between(real, generated)


@register
class KernelDistance(ImageMetric):
    """Unbiased squared kernel discrepancy of the features: KID with `"inception"`.

    The lower the better, around zero for equal sets whatever their number.
    Formula and paper: `kernel_distance`.

    Args:
        extractor: What `get_extractor` takes.
        subsets: Random subsets to average over.
        subset_size: Images in each; fewer where a side has fewer; None: one estimate from all.
        max_images: Images of each side that are compared, drawn at random; None: all.
        seed: Of both draws.
        name: In logs and files.
    """

    title, least = "kernel_distance", 2

    def __init__(
        self, extractor, subsets=100, subset_size=1000, max_images=10_000, seed=0, name=None
    ):
        sizes = {"subsets": subsets, "subset_size": subset_size, "max_images": max_images}
        super().__init__(name, extractor, seed=seed, **sizes)

    def _measure(self, real, generated):
        options = {key: self.options[key] for key in ("subsets", "subset_size", "seed")}
        return distances.kernel_distance(real.rows(), generated.rows(), **options)


@register
class PrecisionRecall(ImageMetric):
    """`precision`, `recall`, `density` and `coverage` of the features, as one dict.

    The higher the better: precision and density tell of fidelity, recall and coverage of variety.
    Under another `name` the keys are `{name}_precision` and so on, so that two can stand side by
    side. Formulas and papers: `precision_recall`.

    Args:
        extractor: What `get_extractor` takes.
        k: Nearest neighbours that set the radius of the balls.
        max_images: Images of each side that are compared, drawn at random; None: all.
        seed: Of the draw.
        name: In logs and files.
    """

    title, _direction = "precision_recall", "up"

    def __init__(self, extractor, k=5, max_images=10_000, seed=0, name=None):
        self.least = k + 1
        super().__init__(name, extractor, k=k, max_images=max_images, seed=seed)

    def _measure(self, real, generated):
        return distances.precision_recall(real.rows(), generated.rows(), self.options["k"])


@register
class SlicedWassersteinDistance(ImageMetric):
    """Mean Wasserstein-1 distance of the images' own values on random projections.

    The lower the better, in units of pixel values in −1…1. It needs no extractor and sees
    brightness, contrast and layout, not what the images mean. Formula and paper:
    `sliced_wasserstein_distance`.

    Args:
        projections: Random directions; memory is 32 KB and one image of float32 for each.
        seed: Of the directions.
        name: In logs and files.
    """

    title = "sliced_wasserstein_distance"

    def __init__(self, projections=256, seed=0, name=None):
        super().__init__(name, projections=projections, seed=seed)

    def _summary(self):
        return Projections(**self.options)

    def _rows(self, images):
        images = as_uint8(images)
        return images.reshape(len(images), -1).astype("float32") / 127.5 - 1.0

    def _measure(self, real, generated):
        return distances.wasserstein_between(real, generated)


@register
class ClassScore(ImageMetric):
    """`class_score`, `mode_count` and `rarest_class` of the generated images, as one dict.

    The higher the better. With `"inception"` the class score is the Inception Score (of all
    images at once). Real images are not looked at. Formulas and papers: `class_score`.

    Args:
        extractor: What `get_extractor` takes, a classifier.
        min_share: The share of the images that makes a class count as a mode; by default a tenth
            of an even share.
        name: In logs and files.
    """

    title, _direction, compares = "class_score", "up", False

    def __init__(self, extractor, min_share=None, name=None):
        super().__init__(name, extractor, min_share=min_share)

    def _rows(self, images):
        return self.extractor.probabilities(images)

    def _measure(self, real, generated):
        return distances.class_score(generated.rows(), self.options["min_share"])
