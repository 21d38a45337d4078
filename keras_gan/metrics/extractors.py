"""Feature extractors: what turns images into the rows that distances compare."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan.errors import check_samples, closest
from keras_gan.metrics.files import sha256_of

NAMES = ("fashion_mnist_classifier", "inception")


@dataclass(eq=False)
class Extractor:
    """Features, and class probabilities where there are any, of images.

    Attributes:
        function: A `keras.Model` or a callable of float32 images (n, H, W, C) in −1…1, or 0…255
            with `imagenet`. Returns features (n, d), or a dict of `features` and `probabilities`.
        name: For protocols.
        source: What `get_extractor` makes this extractor from.
        imagenet: Whether it reads 0…255 in three channels; grey images are repeated.
        resize: For protocols: what the function does to the size of the images.
        batch_size: Images that are read at once, at most.
        file_hash: Of the file that the function was read from.
    """

    function: Any
    name: str
    source: Any
    imagenet: bool = False
    resize: str = "none"
    batch_size: int = 256
    file_hash: str | None = None
    _padded_size: int = 1
    _recent: dict[tuple, dict[str, np.ndarray]] = field(default_factory=dict)

    def features(self, images) -> np.ndarray:
        """Features (n, d) of images (n, H, W, C), uint8 or floats in −1…1."""
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
        if self.file_hash or not isinstance(self.function, keras.Model):
            return self.file_hash
        try:
            digest = hashlib.sha256(self.function.to_json().encode())
        except (NotImplementedError, TypeError, ValueError):  # A subclass without get_config().
            return None
        for weight in self.function.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)).tobytes())
        return digest.hexdigest()

    def forget(self) -> None:
        """Drops what is remembered of recent images, as the model may have changed."""
        self._recent.clear()

    def _read(self, images) -> dict[str, np.ndarray]:
        images = as_uint8(images)
        # Several metrics ask for the same batch, one after the other; it is read once.
        key = (images.shape, hashlib.sha256(np.ascontiguousarray(images)).digest())
        if key not in self._recent:
            outputs = self._checked(self._outputs(self._prepared(images)), len(images))
            self._recent = dict([*self._recent.items()][-3:]) | {key: outputs}
        return self._recent[key]

    def _prepared(self, images: np.ndarray) -> np.ndarray:
        if self.imagenet and images.shape[-1] == 1:
            images = np.repeat(images, 3, axis=-1)
        want = getattr(self.function, "input_shape", None) or (None,) * 4
        fits = len(want) == 4 and all(
            w in (None, s) for w, s in zip(want, images.shape, strict=True)
        )
        if not fits:
            raise ValueError(
                f"The extractor {self.name!r} reads images of shape {want[1:]}; got "
                f"{images.shape[1:]}. Resize the images, or take an extractor for their shape."
            )
        images = images.astype("float32")
        return images if self.imagenet else images / 127.5 - 1.0

    def _outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        # Batches of one size, the last one padded, so that a model is compiled once.
        size = self._padded_size = max(self._padded_size, min(len(images), self.batch_size))
        is_model = isinstance(self.function, keras.Model)
        parts = []
        for part in (images[start : start + size] for start in range(0, len(images), size)):
            padded = np.pad(part, [(0, size - len(part))] + 3 * [(0, 0)]) if is_model else part
            outputs = (self.function.predict_on_batch if is_model else self.function)(padded)
            outputs = outputs if isinstance(outputs, dict) else {"features": outputs}
            parts.append({k: ops.convert_to_numpy(v)[: len(part)] for k, v in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _checked(self, outputs: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        shape = outputs["features"].shape
        if len(shape) != 2 or shape[0] != count:
            raise ValueError(f"{self.name!r} must return features ({count}, d); got {shape}.")
        if not all(np.isfinite(rows).all() for rows in outputs.values()):
            raise ValueError(f"The extractor {self.name!r} returned NaN or infinity.")
        return outputs


def as_uint8(images) -> np.ndarray:
    """Images as a uint8 array (n, H, W, C): floats in −1…1 are rounded to the 256 levels of a file.

    So real images from files and generated floats are measured alike. Takes arrays and tensors;
    raises ValueError for another rank, NaN or values outside −1…1, TypeError for other types.
    """
    images = ops.convert_to_numpy(images)
    if images.ndim != 4:
        raise ValueError(f"Images must be (n, height, width, channels); got shape {images.shape}.")
    check_samples(images, images.shape[1:])
    if images.dtype == "uint8":
        return images
    return np.clip(np.rint(images.astype("float32") * 127.5 + 127.5), 0, 255).astype("uint8")


def get_extractor(source: Any) -> Extractor:
    """The extractor for a name, a file, a model or a callable.

    Args:
        source: `"fashion_mnist_classifier"` (bundled, grey 28×28), `"inception"` (the FID Inception
            of 2015; its weights are fetched on first use), a path to a `.keras` file or to
            Inception weights (`.pth`), a `keras.Model` or a callable of float images in −1…1, or an
            `Extractor`.
    """
    if isinstance(source, Extractor):
        return source
    if isinstance(source, str | Path):
        # Only what is bundled or pinned is kept: a file of the user's may change.
        return (_load if source in NAMES else _load.__wrapped__)(str(source))
    if not callable(source):
        raise TypeError(f"An extractor is a name, a file, a model or a callable; got {source!r}.")
    return Extractor(source, getattr(source, "name", getattr(source, "__name__", "custom")), source)


@lru_cache
def _load(source: str) -> Extractor:
    path = Path(source)
    if source == "inception" or (path.suffix == ".pth" and path.is_file()):
        from keras_gan.metrics.inception import load_inception

        return load_inception(source)
    if source in NAMES:
        path = Path(__file__).parents[1] / "data" / f"{source}.keras"
    elif path.suffix != ".keras" or not path.is_file():
        raise ValueError(f"There is no such file or extractor: {closest(source, NAMES)}")
    model = keras.saving.load_model(path, compile=False)
    return Extractor(model, path.stem, source, file_hash=sha256_of(path))
