"""Feature extractors: what turns images into the rows that distances compare."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan.datasets.named import class_names
from keras_gan.errors import closest
from keras_gan.files import file_facts
from keras_gan.networks import own_classes
from keras_gan.values import Values

DATA = Path(__file__).parents[1] / "data"
# The bundled classifiers, and their classes.
CLASSES = {
    "fashion_mnist_classifier": class_names("fashion_mnist"),
    "noto_emoji": class_names("noto_emoji"),
}
NAMES = (*CLASSES, "inception", "values")
BATCH_SIZE = 64  # Images that a model reads at once, at most.


@dataclass(eq=False)
class Extractor:
    """Features, and class probabilities where there are any, of images.

    Attributes:
        load: Returns the `function`, a `keras.Model` or a callable of float32 images (n, H, W, C)
            in −1…1, or of other samples (n, …) as they are; called once, when that is first asked
            for. The function returns features (n, d), or a dict of `features` and `probabilities`.
            To a model of three channels grey images are given three times.
        name: For protocols.
        source: What `get_extractor` makes this extractor from.
        file_hash: Of the file that the function was read from.
        resize: For protocols: what the function does to the size of the images.
        recent: What was read last; to be cleared when the function may have changed.
    """

    load: Callable[[], Any]
    name: str
    source: Any
    file_hash: str | None = None
    resize: str = "none"
    recent: dict[tuple, dict[str, np.ndarray]] = field(default_factory=dict)
    _padded_size: int = 1

    @cached_property
    def function(self) -> Any:
        return self.load()

    def features(self, images) -> np.ndarray:
        """Features (n, d) of images (n, H, W, C), uint8 or floats in −1…1, or of other samples."""
        return self._read(images)["features"]

    def probabilities(self, images) -> np.ndarray:
        """Class probabilities (n, classes); ValueError if the extractor is no classifier."""
        outputs = self._read(images)
        # A classifier of the user's own may have its probabilities as its only output.
        rows = outputs.get("probabilities", outputs["features"])
        if (rows < 0).any() or not np.allclose(rows.sum(axis=1), 1, atol=1e-2):
            raise ValueError(f"The extractor {self.name!r} is no classifier with a softmax output.")
        return rows

    def fingerprint(self) -> str | None:
        """A hash of the file or of architecture and weights; None for other callables."""
        function = self.function  # Fetched, if it was not yet.
        if self.file_hash or not isinstance(function, keras.Model):
            return self.file_hash
        if own_classes(function):
            return None  # Their code is not in the architecture.
        try:
            digest = hashlib.sha256(function.to_json().encode())
        except (NotImplementedError, TypeError, ValueError):  # A subclass without get_config().
            return None
        for weight in function.get_weights():
            digest.update(weight.tobytes())
        return digest.hexdigest()

    def _read(self, images) -> dict[str, np.ndarray]:
        images = as_read(images)
        # Several metrics ask for the same batch, one after the other; it is read once.
        key = images.shape, hashlib.sha256(np.ascontiguousarray(images).data).digest()
        if key not in self.recent:
            fitted: np.ndarray = self._fitted(images).astype("float32")
            outputs = self._outputs(fitted / 127.5 - 1.0 if images.dtype == "uint8" else fitted)
            shape = outputs["features"].shape
            if len(shape) != 2 or len(images) != shape[0]:
                need = f"{self.name!r} must return features ({len(images)}, d)"
                raise ValueError(f"{need}; got {shape}.")
            if not all(np.isfinite(rows).all() for rows in outputs.values()):
                raise ValueError(f"The extractor {self.name!r} returned NaN or infinity.")
            self.recent = dict([*self.recent.items()][-3:]) | {key: outputs}
        return self.recent[key]

    def _fitted(self, images: np.ndarray) -> np.ndarray:
        """Images of the shape that the model reads; ValueError if they have another."""
        want = getattr(self.function, "input_shape", None) or images.shape
        if len(want) == images.ndim == 4 and want[-1] == 3 and images.shape[-1] == 1:
            images = np.repeat(images, 3, axis=-1)
        shape = images.shape
        if len(want) != len(shape) or any(
            w not in (None, s) for w, s in zip(want, shape, strict=True)
        ):
            need = f"The extractor {self.name!r} reads images of shape {want[1:]}; got {shape[1:]}"
            raise ValueError(f"{need}. Resize the images, or take an extractor for their shape.")
        return images

    def _outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        # Batches of one size, the last one filled up, so that a model is compiled once.
        size = self._padded_size = max(self._padded_size, min(len(images), BATCH_SIZE))
        is_model, parts = isinstance(self.function, keras.Model), []
        for part in (images[start : start + size] for start in range(0, len(images), size)):
            whole = np.resize(part, (size, *part.shape[1:])) if is_model else part
            outputs = (self.function.predict_on_batch if is_model else self.function)(whole)
            outputs = outputs if isinstance(outputs, dict) else {"features": outputs}
            parts.append({k: ops.convert_to_numpy(v)[: len(part)] for k, v in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def as_read(samples) -> np.ndarray:
    """Images as `as_uint8` gives them, and other samples (n, …) as float32 with their own values.

    Raises ValueError for NaN or infinity.
    """
    if len(samples.shape) == 4:
        return as_uint8(samples)
    rows = ops.convert_to_numpy(samples).astype("float32")
    if not np.isfinite(rows).all():
        raise ValueError("The samples contain NaN or infinity; remove or fix them.")
    return rows


def as_uint8(images) -> np.ndarray:
    """Images as a uint8 array (n, H, W, C): floats in −1…1 are rounded to the 256 levels of a file.

    So real images from files and generated floats are measured alike. Takes arrays and tensors;
    raises ValueError for another rank, NaN or values outside −1…1, TypeError for other types.
    """
    images = ops.convert_to_numpy(images)
    if images.ndim != 4:
        raise ValueError(
            f"Images must be (n, height, width, channels); got shape {images.shape}. Compare other "
            "samples by their values, with FrechetDistance('values')."
        )
    if images.dtype == "uint8" and len(images):
        return images
    values = Values(images.shape[1:], (-1.0, 1.0))
    values.check(images)
    if images.dtype.kind in "iub":
        images = ops.convert_to_numpy(values.scaled(images))
    return values.pictures(images.astype("float32"))


def get_extractor(source: Any) -> Extractor:
    """The extractor for a name, a file, a model or a callable.

    Args:
        source: `"fashion_mnist_classifier"` (bundled, grey 28×28), `"noto_emoji"` (bundled, emoji
            of 64×64 in colour), `"inception"` (the FID Inception of 2015; its weights are fetched
            on first use), `"values"` (the samples' own values, for rows, series and volumes), a
            path to a `.keras` file or to Inception weights (`.pth`), a `keras.Model` or a callable
            of float images in −1…1, or an `Extractor`.
    """
    if isinstance(source, Extractor):
        return source
    if isinstance(source, str | Path):
        # Only what is bundled or pinned is kept: a file of the user's may change.
        return (_load if source in NAMES else _load.__wrapped__)(str(source))
    if not callable(source):
        raise TypeError(f"An extractor is a name, a file, a model or a callable; got {source!r}.")
    name = getattr(source, "name", getattr(source, "__name__", "custom"))
    return Extractor(lambda: source, name, source)


def _values(samples: np.ndarray) -> np.ndarray:
    return samples.reshape(len(samples), -1)


@lru_cache
def _load(source: str) -> Extractor:
    if source == "values":
        return Extractor(lambda: _values, source, source, file_hash=source)
    path = DATA / f"{source}.keras" if source in CLASSES else Path(source)
    if source == "inception" or (path.suffix == ".pth" and path.is_file()):
        from keras_gan.metrics import inception

        return inception.extractor(source)
    if path.suffix != ".keras" or not path.is_file():
        raise ValueError(f"There is no such file or extractor: {closest(source, NAMES)}")
    model = keras.saving.load_model(path, compile=False)
    return Extractor(lambda: model, path.stem, source, file_facts(path)["sha256"])
