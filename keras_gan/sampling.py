"""Sampling: what a generator makes, for users."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan.errors import check_whole
from keras_gan.values import Values


class NotFinite(ValueError):
    """Raised for a generator whose samples are NaN or infinity."""


class Sampling:
    """The methods of `GAN` that give samples: `generate`, `translate` and `export`."""

    condition: Any
    values: Values
    predicted: Any

    @property
    def _serving(self):
        """The generator outside training: its moving average, if there is one."""
        return self.generator if self.ema_generator is None else self.ema_generator

    def generate(
        self,
        num_samples: int | None = None,
        *,
        condition: Any = None,
        latents: Any = None,
        seed: int | None = None,
        batch_size: int = 64,
        dtype: str | None = None,
    ) -> np.ndarray:
        """Generates samples.

        Args:
            num_samples: How many, at least 1; may be left out with `latents`, or with one
                condition for each sample.
            condition: What to generate: of classes, a name, a number or one-hot row, or one for
                each sample; None draws as many of each class. Of other kinds, one vector or image,
                or one for each sample; for `Masked`, a pair of pictures and holes.
            latents: An array `(num_samples, *latent_shape)` to generate from; by default standard
                normal numbers drawn from `seed`.
            seed: The same seed gives the same samples on every backend, but for rounding; None
                draws new ones at each call.
            batch_size: Samples per call of the generator.
            dtype: None, or `"float32"` for the generator's own values, unscaled.

        Returns:
            A NumPy array `(num_samples, *sample_shape)`: images (rank 3) as uint8 in 0…255, other
            samples as float32.

        Raises:
            ValueError: If `num_samples` or `batch_size` is not a whole number ≥ 1, the latents or
                conditions are of another shape, or the generator gives NaN or infinity.
        """
        parts = self.generate_batches(
            num_samples, condition=condition, latents=latents, seed=seed, batch_size=batch_size,
            dtype=dtype,
        )  # fmt: skip
        return np.concatenate(list(parts))

    def generate_batches(
        self,
        num_samples: int | None = None,
        *,
        condition: Any = None,
        latents: Any = None,
        seed: int | None = None,
        batch_size: int = 64,
        dtype: str | None = None,
    ) -> Iterator[np.ndarray]:
        """Returns an iterator over the batches that `generate` puts together.

        For more samples than fit into the memory. Arguments and errors are those of `generate`;
        arguments are checked at once.

        Returns:
            An iterator of NumPy arrays `(batch_size, *sample_shape)`; the last may be smaller.
        """
        batch_size = check_whole("batch_size", batch_size)
        if dtype not in (None, "float32"):
            raise ValueError(f'dtype must be None or "float32"; got {dtype!r}.')
        random = np.random.default_rng(seed)
        if latents is not None:
            latents = _check_latents(latents, num_samples, self.latent_shape)
            num_samples = len(latents)
        condition = self._chosen(condition, num_samples, random)
        num_samples = (
            len(condition) if num_samples is None and condition is not None else num_samples
        )
        num_samples = check_whole("num_samples", num_samples)

        def generated(start: int) -> np.ndarray:
            part = slice(start, min(start + batch_size, num_samples))
            wanted = None if condition is None else np.array(condition[part])
            if latents is None:
                samples = self.sampled(random, part.stop - start, wanted)
            else:
                samples = self._samples_of(latents[part], wanted)
            return samples if dtype else self.values.pictures(samples)

        return map(generated, range(0, num_samples, batch_size))

    def translate(self, pictures, mask=None, *, seed: int | None = 0, batch_size: int = 64):
        """Returns what becomes of pictures: larger, coloured, repaired, or of the other kind.

        Args:
            pictures: uint8 `(n, height, width, channels)`, or one without the n, of the shape of
                the condition: small pictures for `Downscaled`, grey or coloured ones for
                `Grayscale`, whole ones with a mask for `Masked`.
            mask: For `Masked`: an array `(height, width)`, or one for each picture, not 0 where
                there is something to fill in. Everything else comes back unchanged.
            seed: Of the latents, of a generator that has any.
            batch_size: Pictures per call of the generator.

        Returns:
            uint8 images `(n, *sample_shape)`, or one image for one picture.

        Raises:
            ValueError: For a model that makes nothing of images, and pictures of another shape.
            TypeError: For pictures that are not uint8.
        """
        if self.condition is None or not self.condition.is_image:
            raise ValueError(
                "translate is for models whose condition is an image, such as the variant "
                f"'pix2pix'; the condition of this one is {self.condition!r}."
            )
        pictures = np.asarray(pictures)
        if pictures.dtype != "uint8" or pictures.ndim not in (3, 4):
            raise TypeError(
                "translate takes uint8 pictures (n, height, width, channels); got "
                f"{pictures.dtype} of shape {pictures.shape}."
            )
        many = pictures if pictures.ndim == 4 else pictures[None]
        wanted = self.condition.from_pictures(many, mask)
        images = self.generate(condition=wanted, seed=seed, batch_size=batch_size)
        return images if pictures.ndim == 4 else images[0]

    def _chosen(self, condition, size, random: np.random.Generator) -> np.ndarray | None:
        """Returns the conditions that `generate` is asked for, or None without any."""
        if self.condition is None:
            if condition is not None:
                raise ValueError("This GAN has no condition; generate(n) without condition=.")
            return None
        size = None if size is None else check_whole("num_samples", size)
        # Of a generator of its own, so that the latents are the same for any condition.
        return self.condition.chosen(condition, size, random.spawn(1)[0])

    def sampled(self, random: np.random.Generator, size: int, condition=None) -> np.ndarray:
        """Returns generated samples, float32, from latents that NumPy's generator draws.

        NumPy gives the same latents whatever the backend.

        Args:
            random: NumPy's generator.
            size: The number of samples.
            condition: The conditions `(size, …)`, float32, of a conditional GAN.
        """
        if self.latent_shape is None:
            return self._samples_of(None, condition)
        latents = random.standard_normal((size, *self.latent_shape), dtype=np.float32)
        return self._samples_of(latents, condition)

    def _samples_of(self, latents, condition=None):
        size = len(condition if latents is None else latents)
        # Arrays alone: Keras refuses a list of arrays and tensors.
        inputs = keras.tree.map_structure(
            ops.convert_to_numpy, self.generator_inputs(latents, condition)
        )
        # With TensorFlow's strategies for several devices, Keras gives all that each of them made.
        samples = self.completed(self.predicted(self._serving, inputs)[:size], condition)
        samples = ops.convert_to_numpy(samples).astype("float32")
        if not np.isfinite(samples).all():
            raise NotFinite(
                "The generator gives NaN or infinity: its training has diverged. Start again from "
                "weights saved before, with lower learning rates."
            )
        return samples

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Exports the generator, from its inputs to float samples; like `keras.Model.export`.

        These are latents, `[latents, condition]`, or a condition alone.
        """
        exported, shapes = self._serving, self.shapes
        taken = [s for s in (shapes.latents, shapes.generator_condition) if s is not None]
        if self.condition is not None and self.condition.completes:
            inputs = [keras.Input(shape) for shape in taken]
            samples = self.completed(exported(inputs if len(inputs) > 1 else inputs[0]), inputs[-1])
            exported = keras.Model(inputs if len(inputs) > 1 else inputs[0], samples)
        inputs = [ops.zeros((1, *shape)) for shape in taken]
        exported(inputs if len(inputs) > 1 else inputs[0])  # Some formats need one call before.
        exported.export(filepath, format=format, **kwargs)


def _check_latents(latents, num_samples, latent_shape: tuple) -> np.ndarray:
    latents = np.asarray(ops.convert_to_numpy(latents), "float32")
    size = len(latents) if num_samples is None else check_whole("num_samples", num_samples)
    if latents.shape != (size, *latent_shape) or size == 0:
        expected = f"({'n' if num_samples is None else size}, {', '.join(map(str, latent_shape))})"
        raise ValueError(f"latents must be of shape {expected}; got {latents.shape}.")
    return latents
