"""Fitting and evaluating: from what users give to batches in Keras' loop."""

import contextlib
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan import conditions, engine, evaluation, resuming
from keras_gan.callbacks import Seeded, adapt_callbacks
from keras_gan.datasets import batches
from keras_gan.datasets.batches import Batch, SeededBatches
from keras_gan.datasets.hugging_face import Rows, is_hugging_face
from keras_gan.datasets.loaders import as_array, first_batch, known_sizes, watched
from keras_gan.errors import check_whole
from keras_gan.networks.shapes import known_classes
from keras_gan.sampling import NotFinite
from keras_gan.values import Values
from keras_gan.watch import show_data

EXAMPLES = 8
COUNTS = ("validation_steps", "validation_batch_size")  # Options of `fit` besides the named ones.


class Fitting:
    """The methods of `GAN` that take data: `fit`, `evaluate` and their like."""

    condition: Any
    condition_is_given: bool
    examples: Batch | None
    values: Values
    _made_frozen: bool  # Whether the discriminator was, when the model was made.

    @resuming.resumable
    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, *, callbacks=None, validation_split=0.0,
        validation_data=None, shuffle=True, keep_on_device="auto", steps_per_epoch=None, **kwargs,
    ):  # fmt: skip
        """Trains both networks; like `keras.Model.fit`, with samples and what they depend on.

        Args:
            x: Real samples: an array `(n, *sample_shape)`, uint8, uint16 or int16, which are scaled
                into the range of the generator, or floats, those of images in that range (−1…1 if
                it ends in tanh); a list, or a table of pandas or polars; a `datasets.Dataset` of
                Hugging Face with a column of images; or a `tf.data.Dataset`, torch `DataLoader`,
                `keras.utils.PyDataset`, Grain loader or generator of batches, of samples alone or
                `(samples, conditions)`. A memory map stays on disk.
            y: What samples in an array are conditioned on, for a `condition` that comes with the
                data: labels `(n,)` or one-hot rows `(n, classes)`, vectors or images.
            batch_size: Samples per step for arrays, split over the discriminator steps: with 5 of
                them, `batch_size=320` gives each 64. Defaults to 32 per discriminator step.
            epochs: As in Keras; so are `callbacks`, `validation_split`, `steps_per_epoch` and what
                is not named here.
            validation_data: Held-out real samples, for `evaluate` at the end of each epoch, with
                their conditions as a pair, or a loader of batches of both.
            shuffle: Whether to draw a new order of an array at each epoch. The order follows from
                the seed and the number of epochs trained, on every backend.
            keep_on_device: Whether an array is copied to the device once and gathered there, on
                JAX and torch; `"auto"` does so on an accelerator if it takes at most a quarter of
                the free memory.

        Returns:
            A `keras.callbacks.History` with `d_loss` and `g_loss` (terms included), the mean
            logits `d_real` and `d_fake`, each term, weighted, under its name, and `val_…` of all
            that `evaluate` returns.

        Raises:
            ValueError: Before the first step, for samples that do not fit.
        """
        if any(kwargs.get(name) is not None for name in ("sample_weight", "class_weight")):
            raise ValueError("A GAN has no targets, and so no weights of samples or classes.")
        if not engine.TRAINS:
            super().fit()  # Raises: the backend has no gradients.
        self._check_ready()
        if not self.leads:
            kwargs["verbose"] = 0
        batch_size, steps_per_epoch = _counts(
            batch_size=batch_size, steps_per_epoch=steps_per_epoch
        )
        names = [name for name in COUNTS if name in kwargs]
        kwargs |= zip(names, _counts(**{name: kwargs[name] for name in names}), strict=True)
        if is_hugging_face(x):
            size = 32 * self.discriminator_steps if batch_size is None else batch_size
            x = self._rows(x, size, steps_per_epoch, shuffle=shuffle)
            steps_per_epoch = None
        x = self._with_known_condition(as_array(x), y)
        x, y = self._checked(x, y, self.discriminator_steps)
        if self.condition is not None:
            line = self.condition.counts(y)
            if kwargs.get("verbose", "auto") != 0:
                print(line)
        if hasattr(x, "shape"):
            if validation_split and validation_data is None:
                (x, y), validation_data = _held_out(Batch(x, y), validation_split)
                validation_split = 0.0
            batch_size = 32 * self.discriminator_steps if batch_size is None else batch_size
            batch_size = min(batch_size, len(x))
            x = self._batches_of(x, y, batch_size, steps_per_epoch, shuffle, keep_on_device)
            steps_per_epoch = None
        elif keep_on_device is True:
            raise ValueError(
                f"keep_on_device=True keeps an array on the device; got {type(x).__name__}. "
                "Leave it at 'auto'."
            )
        elif self.devices > 1:
            x, sizes = known_sizes(x)
            if self.check_shares(*sizes):
                self.check_shares(sizes[1], 0)  # Only of an array can it be left out.
        if self.condition is not None and self.condition.is_image and self.examples is None:
            x = self._with_examples(x)
        if is_hugging_face(validation_data):
            validation_data = self._rows(validation_data, batch_size, shuffle=False)
        if validation_data is not None:
            steps = kwargs.get("validation_steps")
            validation_data = batches.held_out(validation_data, self.values, self.condition, steps)
            kwargs.setdefault("validation_batch_size", batch_size)
            evaluation.begin_metrics(self)  # What they need is fetched before the training.
        callbacks = self.own_callbacks(adapt_callbacks(callbacks, kwargs.get("verbose", "auto")))
        x = show_data(callbacks, x)
        seeded = Seeded(self, x)
        # Ours shuffle the samples; Keras would shuffle the batches as well. Of those that it cannot
        # shuffle it would say so, which nobody has asked for.
        of_keras = isinstance(x, keras.utils.PyDataset) and x.num_batches is not None
        shuffle = shuffle and of_keras and seeded.loader is None
        if not getattr(x, "is_array", False):  # Of loaders, only the first batch was looked at.
            given = self.condition if batches.with_data(self.condition) else None
            x = watched(x, self.values, given)
        options = dict(
            epochs=epochs, shuffle=shuffle, validation_split=validation_split,
            validation_data=validation_data, steps_per_epoch=steps_per_epoch, **kwargs,
        )  # fmt: skip
        if run := resuming.run_of(callbacks):
            return resuming.fit_run(self, super().fit, run, seeded, x, callbacks, **options)
        return super().fit(resuming.readable(x), callbacks=[seeded, *callbacks], **options)

    def _check_ready(self) -> None:
        """Raises ValueError unless the model can be trained."""
        if not self.compiled:
            raise ValueError("Call compile() before fit(); it sets the two optimizers.")
        if self._made_frozen and not self.discriminator.trainable_variables:
            raise ValueError(
                "The discriminator has no trainable weights, so it would learn nothing: set "
                "discriminator.trainable = True, or add a layer that learns, and compile() again."
            )

    def _batches_of(self, x, y, batch_size, steps, shuffle, keep_on_device) -> SeededBatches:
        """Returns the batches of an array, after checking that the devices can share them."""
        batches.check_size(batch_size, self.discriminator_steps)
        drop_remainder = self.check_shares(batch_size, 0 if steps else len(x) % batch_size)
        if keep_on_device == "auto":
            keep_on_device = batches.fits_on_device(x, y)
        elif keep_on_device and engine.loader:
            raise ValueError("keep_on_device=True is for JAX and torch; leave it at 'auto'.")
        return SeededBatches(
            x, batch_size, steps, self._data_seed(), shuffle=shuffle,
            drop_remainder=drop_remainder, keep_on_device=keep_on_device, condition=y,
        )  # fmt: skip

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", *, steps=None, callbacks=None,
        return_dict=False, seed=0, **kwargs,
    ):  # fmt: skip
        """Compares held-out real samples with as many generated ones.

        Args:
            x: Real samples, as for `fit`.
            y: What samples in an array are conditioned on, as for `fit`.
            batch_size: Samples per batch for arrays; defaults to 64.
            verbose: As in Keras: whether to show a progress bar.
            steps: The number of batches; all by default.
            callbacks: Keras callbacks or a `CallbackList`.
            return_dict: Whether to return a dict rather than a list in its order.
            seed: Seed of the latents; the same seed compares the same latents each time.

        Returns:
            `d_loss` and `g_loss` (without terms), `d_real` and `d_fake` of the networks at rest
            (no dropout, moving averages used), then the compiled metrics' results.
        """
        within_fit = kwargs.pop("_use_cached_eval_dataset", False)
        batch_size, steps = _counts(batch_size=batch_size, steps=steps)
        if is_hugging_face(x):
            x = self._rows(x, batch_size, shuffle=False)
        if not within_fit:
            x, y = self._checked(x, y)
        if unknown := [name for name, value in kwargs.items() if value is not None]:
            raise TypeError(f"evaluate does not take {', '.join(unknown)}.")
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = partial(_callback_list, self, callbacks, verbose)
        try:
            with self.together() if within_fit else contextlib.nullcontext():
                logs = evaluation.evaluate(self, x, y, batch_size or 64, steps, callbacks, seed)
        except NotFinite:
            if not within_fit:
                raise
            names = [*evaluation.NAMES, *(metric.name for metric in self.compiled_distances)]
            logs = dict.fromkeys(names, float("nan"))  # Callbacks of `fit` see it, and may stop.
        return logs if return_dict else list(logs.values())

    def _rows(self, dataset, batch_size: int | None, steps: int | None = None, *, shuffle: bool):
        """Returns the batches of a `datasets.Dataset`, in an order of their own."""
        rows = Rows(dataset, self.sample_shape, batches.with_data(self.condition))
        return SeededBatches(rows, batch_size or 64, steps, self._data_seed(), shuffle=shuffle)

    def _checked(self, x, y=None, steps: int = 1):
        """Returns samples and conditions after looking at them; see `batches.checked`."""
        return batches.checked(x, self.values, steps, y, self.condition)

    def _with_known_condition(self, x, y):
        """Makes an inferred condition that of the data; returns the samples or their loader."""
        if self.condition is None or self.condition_is_given or self.condition.is_image:
            return x
        x, first = first_batch(x, y)
        if (values := first.condition) is not None:
            shape = self.shapes.generator_condition
            classes = known_classes(self.generator, self.discriminator)
            self.condition = conditions.refined(shape, values, classes, whole=y is not None)
            self.condition_is_given, self._trained = True, None
        return x

    def _with_examples(self, x):
        """Keeps the first samples and their conditions; returns the samples' loader."""
        x, first = first_batch(x, None)
        kept, _ = batches.divided(first, EXAMPLES)
        noise = evaluation.uniform(np.random.default_rng(0))
        self.examples = evaluation.prepared(self, kept, noise)
        return x

    def train_on_batch(self, x, y=None, *args, **kwargs):
        x = self._with_known_condition(as_array(x), y)
        x, y = self._checked(x, y, self.discriminator_steps)
        self.check_shares(len(x), 0)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Evaluates one batch."""
        options = {"return_dict": return_dict, "sample_weight": sample_weight}
        return self.evaluate(x, y, batch_size=len(x), verbose=0, **options)

    def _flatten_metrics_in_order(self, logs):
        return [logs[name] for name in self.step_means.names]  # In that of `evaluate`.

    def _data_seed(self) -> int:
        """Returns the seed of the data's order: the one that the noise started from."""
        return engine.agreed(int(ops.convert_to_numpy(self.noise.state)[0]))


def _counts(**options: Any) -> list[int | None]:
    """Returns options; raises ValueError for one that is neither None nor a whole number ≥ 1."""
    return [None if value is None else check_whole(name, value) for name, value in options.items()]


def _held_out(data: Batch, share: float) -> tuple[Batch, Any]:
    """Returns the first samples, and the last ones, a share of all, as `validation_data`."""
    if not 0 <= share < 1:
        raise ValueError(f"validation_split must be in [0, 1); got {share}.")
    kept, held_out = batches.divided(data, int(len(data.samples) * (1.0 - share)))
    return kept, held_out.samples if held_out.condition is None else tuple(held_out)


def _callback_list(gan, callbacks, verbose, steps):
    return keras.callbacks.CallbackList(
        callbacks, add_progbar=verbose != 0, verbose=verbose, model=gan, epochs=1, steps=steps
    )
