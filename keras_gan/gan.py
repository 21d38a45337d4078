"""The GAN class: one adversarial train step, written once for every backend."""

import copy
import numbers
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan import average, conditions, engine, evaluation, losses, optimizers
from keras_gan.callbacks import Seeded, adapt_callbacks
from keras_gan.datasets import batches
from keras_gan.datasets.batches import Batch, SeededBatches
from keras_gan.engine.keras_internals import (
    added_losses,
    metric_directions,
    no_automatic_dependency_tracking,
    regularization_losses,
)
from keras_gan.errors import check_whole
from keras_gan.metrics.means import StepMeans
from keras_gan.networks.shapes import gan_shapes, known_classes
from keras_gan.terms import SIDES, Context, Term, first, get_all

EXAMPLES = 8
MEANS = ("d_loss", "g_loss", "d_real", "d_fake")


@keras.saving.register_keras_serializable(package="keras_gan")
class GAN(engine.Trainer, keras.Model):
    """A generator and a discriminator, trained against each other by `fit`.

    The discriminator learns to tell real samples from generated ones, the generator to make
    samples that it takes for real (Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1). Calling
    the model calls the generator, so `predict` and `export` do the natural thing.

    Args:
        generator: A built `keras.Model` from latents `(batch, …)` to samples `(batch, …)`. Its
            input gives the latent shape and its output the sample shape. Samples of rank 3 are
            images `(height, width, channels)` in −1…1 (end with tanh). Of a conditional GAN, it
            takes `[latents, condition]`, or a condition that is an image, alone.
        discriminator: A `keras.Model` from such samples, or `[samples, condition]`, to logits
            without a sigmoid, one each, `(batch, 1)`, or a map of patches,
            `(batch, height, width, 1)`.
        loss: A name (`minimax`, `non_saturating`, `least_squares`, `wasserstein`, `hinge`,
            `relativistic`) or an object like `keras_gan.losses.AdversarialLoss`.
        terms: What the sides minimise beside the loss: a list of names (`"gradient_penalty"`) and
            `keras_gan.terms.Term` objects. Found by name in `gan.terms`.
        augment: None, or a callable `(samples, uniform) -> samples`, random and differentiable,
            that stands before the discriminator in both updates, for real and generated samples
            alike, and never touches what is generated or evaluated. `uniform(shape)` gives floats
            in 0…1, new ones at each call. A `keras.layers.Layer` with that `call` is saved with
            the model; if it has a method `observe(real_logits)`, that is called once in each
            discriminator update.
        condition: What samples are conditioned on, of `keras_gan.conditions`: `Labels`, `Vector`
            or `Images`, which come with the data, or `Downscaled`, `Masked` or `Grayscale`, which
            are computed from the samples. By default it is inferred from the generator's second
            input, if it has one, and the first data.
        discriminator_steps: Discriminator updates per generator update, at least 1. Each batch is
            split evenly over them, so that each sees fresh real samples.
        ema_momentum: None, or the momentum in 0…1 of a moving average of the generator's weights,
            which then serves `generate`, `predict` and `evaluate`. It starts lower, at
            `(1 + t) / (10 + t)` after `t` updates, so that short runs do not show the start.
        seed: Seed of the noise and of the order of the data in training; None takes one from
            `keras.utils.set_random_seed`. On torch, a seed sets torch's default generator when
            `fit` starts, since the noise is drawn from it.
        name: Of the model.

    Raises:
        ValueError: For networks that do not fit each other, and unknown names.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        loss: str | Any = "non_saturating",
        terms: Sequence[str | Term] | None = None,
        augment: Callable | None = None,
        condition: conditions.Condition | None = None,
        discriminator_steps: int = 1,
        ema_momentum: float | None = None,
        seed: int | None = None,
        name: str | None = None,
        **kwargs,
    ):
        _refuse(kwargs)
        super().__init__(name=name)
        self.shapes = gan_shapes(generator, discriminator, conditions.get(condition))
        self.latent_shape, self.sample_shape = self.shapes.latents, self.shapes.sample
        self.condition = self.shapes.condition
        # One that was inferred is known for sure when the first data has come.
        self.condition_is_given = condition is not None
        # Of a condition that is an image: a few pairs of samples and conditions, kept for people.
        self.examples: Batch | None = None
        self.discriminator_steps = check_whole("discriminator_steps", discriminator_steps)
        number = isinstance(ema_momentum, numbers.Real)
        if ema_momentum is not None and not (number and 0 <= ema_momentum < 1):
            raise ValueError(
                f"ema_momentum must be None or in 0…1 (1 excluded); got {ema_momentum!r}."
            )
        if augment is not None and not callable(augment):
            raise ValueError(
                "augment must be None or a callable (samples, uniform) -> samples; "
                f"got {augment!r}."
            )
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_loss = losses.get(loss)
        self.relativistic = bool(getattr(self.adversarial_loss, "relativistic", False))
        named = (name for name, known in losses.LOSSES.items() if known is self.adversarial_loss)
        self.loss_config = next(named, loss)
        self.terms = {term.name: term for term in get_all(terms, reserved=MEANS)}
        self.augment = augment
        if isinstance(augment, keras.layers.Layer) and not augment.built:
            augment.build((None, *self.sample_shape))
        self.ema_momentum = ema_momentum
        self.ema_generator = None if ema_momentum is None else average.frozen_copy(generator)
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)
        # In the order in which the updates give them.
        sides = {side: [t.name for t in self.terms.values() if t.side == side] for side in SIDES}
        self.step_means = StepMeans([*MEANS, *sides["discriminator"], *sides["generator"]])
        self.compiled_distances: list[Any] = []
        self._trained: frozenset | None = None
        self.built = True

    # Compile, and everything that Keras keeps of it.

    @no_automatic_dependency_tracking
    def compile(
        self,
        generator_optimizer="adam",
        discriminator_optimizer="adam",
        metrics=None,
        jit_compile="auto",
        steps_per_execution=1,
        run_eagerly=False,
    ):
        """Sets the optimizers and the metrics.

        Args:
            generator_optimizer: A `keras.optimizers.Optimizer` or its name. `"adam"` is DCGAN's
                `Adam(2e-4, beta_1=0.5)` (Radford et al. 2015, arXiv:1511.06434, section 4).
            discriminator_optimizer: The same for the discriminator; another object.
            metrics: Metrics of `(real, generated)`, for `evaluate` and `fit(validation_data=…)`:
                `keras.metrics.Metric` objects, such as those of `keras_gan.metrics`. They are fed
                uint8 images, and other samples as float32.
            jit_compile: Whether to compile the train step. `"auto"` does on JAX, on TensorFlow with
                a GPU, and on torch: with a GPU from the first step on, on a CPU once the model has
                made 2,000 generator updates. With torch, what cannot be compiled runs eagerly, with
                a warning.
            steps_per_execution: Steps per call into the compiled function.
            run_eagerly: Whether to run the train step as plain Python, for debugging.
        """
        pair = optimizers.PairedOptimizer(
            optimizers.get(generator_optimizer, self.generator.dtype_policy),
            optimizers.get(discriminator_optimizer, self.discriminator.dtype_policy),
        )
        super().compile(
            optimizer=pair,
            auto_scale_loss=False,
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
            run_eagerly=run_eagerly,
        )
        pair.build_pair(self.generator.trainable_variables, self.discriminator.trainable_variables)
        self.compiled_distances = [keras.metrics.get(metric) for metric in metrics or []]
        self._jit_setting = jit_compile

    def get_compile_config(self):
        if not self.compiled:
            return {}
        serialize = keras.saving.serialize_keras_object
        kept = filter(evaluation.can_be_saved, self.compiled_distances)
        return {
            "generator_optimizer": optimizers.serialize(self.optimizer.generator),
            "discriminator_optimizer": optimizers.serialize(self.optimizer.discriminator),
            "metrics": [serialize(metric) for metric in kept],
            "jit_compile": self._jit_setting,
            "steps_per_execution": self.steps_per_execution,
            "run_eagerly": self.run_eagerly,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "generator": serialize(self.generator),
            "discriminator": serialize(self.discriminator),
            "loss": serialize(self.loss_config),
            "terms": [serialize(term) for term in self.terms.values()],
            "augment": serialize(self.augment),
            "condition": serialize(self.condition) if self.condition_is_given else None,
            "discriminator_steps": self.discriminator_steps,
            "ema_momentum": self.ema_momentum,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        def built(part):
            if isinstance(part, list):
                return [built(element) for element in part]
            if not isinstance(part, dict):
                return part
            return keras.saving.deserialize_keras_object(copy.deepcopy(part))

        config = dict(config)
        if (penalty := config.pop("penalty", None)) is not None:  # A file from before `terms`.
            config["terms"] = [penalty]
        # The scope also serves the average, which is a copy of the generator.
        with keras.saving.custom_object_scope(custom_objects or {}):
            return cls(**{name: built(part) for name, part in config.items()})

    @classmethod
    def from_preset(cls, name, load_weights: bool = True) -> "GAN":
        """Loads a preset; see `keras_gan.from_preset`."""
        from keras_gan import presets  # That package builds on this module.

        return presets.from_preset(name, load_weights)

    @property
    def metrics(self):
        directions = metric_directions(self.compiled_distances)
        return [self.step_means, *self.compiled_distances, *directions]

    @property
    def metrics_names(self):
        return self.step_means.names[: len(MEANS)]  # What every list of results begins with.

    def get_metrics_result(self):
        return self.step_means.result()

    # The train step.

    def make_train_function(self, force=False):
        # Rebuild the compiled function when the set of trainable variables changes.
        trained = frozenset(id(variable) for variable in self.trainable_variables)
        force |= trained != self._trained
        self._trained = trained
        super().make_train_function(force)

    def _batch(self, data) -> Batch:
        """Returns the batch in what a loader gives."""
        return batches.as_batch(data, batches.with_data(self.condition))

    def _step(self, batch: Batch, run=lambda update, part: update(part)):
        """Makes one adversarial step on a batch of real samples; returns the epoch's means so far.

        `run` makes the updates: an engine may compile one of each kind and run it several times.
        """
        parts = batches.split(batch, self.discriminator_steps)
        # Outputs of the discriminator updates are averaged, as if they had been one.
        updates = [run(self._update_discriminator, part) for part in parts]
        d_loss, *d_others = (sum(values) / len(updates) for values in zip(*updates, strict=True))
        g_loss, *g_others = run(self._update_generator, parts[0])
        self.step_means.update_state([d_loss, g_loss, *d_others, *g_others])
        return self.step_means.result()

    def _update_discriminator(self, batch: Batch):
        """Makes one update; returns the loss, the mean logits and the weighted terms."""
        real, condition = self._prepared(batch)
        latents = self._latents(real)
        fake = self._generated(latents, condition)

        def objective():
            judged = partial(self._judged, condition=condition)
            real_logits, real_added, real_gradient = judged(real, need="real_gradient")
            fake_logits, fake_added, fake_gradient = judged(fake, need="fake_gradient")
            observe = getattr(self.augment, "observe", None)
            if observe is not None:
                observe(ops.stop_gradient(real_logits))
            context = Context(
                self._critic(condition), real, fake, real_logits, fake_logits, latents, condition,
                self._uniform, real_gradient, fake_gradient,
            )  # fmt: skip
            values = self._weighted_terms("discriminator", context)
            loss = self.adversarial_loss.discriminator(real_logits, fake_logits)
            loss = sum(
                values + real_added + fake_added + regularization_losses(self.discriminator), loss
            )
            outputs = [loss, losses.mean(real_logits), losses.mean(fake_logits), *values]
            return self.optimizer.discriminator.scale_loss(loss), outputs

        return self._minimize(objective, self.discriminator, self.optimizer.discriminator)

    def _update_generator(self, batch: Batch):
        """Makes one update and that of the average; returns the loss and the weighted terms."""
        real, condition = self._prepared(batch)
        latents = self._latents(real)

        def objective():
            fake = self._generated(latents, condition)
            added = added_losses(self.generator)
            critic = self._critic(condition)
            real_logits = critic(real) if self.relativistic else None
            fake_logits = critic(fake)
            context = Context(
                critic, real, fake, real_logits, fake_logits, latents, condition, self._uniform
            )
            values = self._weighted_terms("generator", context)
            sides = (real_logits, fake_logits) if self.relativistic else (fake_logits,)
            loss = self.adversarial_loss.generator(*sides)
            loss = sum(values + added + regularization_losses(self.generator), loss)
            return self.optimizer.generator.scale_loss(loss), [loss, *values]

        outputs = self._minimize(objective, self.generator, self.optimizer.generator)
        if self.ema_momentum is not None:
            updates = self.optimizer.iterations
            average.update(self.ema_generator, self.generator, self.ema_momentum, updates)
        return outputs

    def _minimize(self, objective, network, optimizer):
        """Updates a network's trainable variables; returns the objective's outputs."""
        variables = network.trainable_variables
        (_, outputs), gradients = engine.value_and_grad(objective, variables)
        averaged = engine.mean_over_devices([*gradients, *outputs])
        gradients, outputs = averaged[: len(variables)], averaged[len(variables) :]
        if variables:  # A frozen network still plays, but does not learn.
            engine.apply(optimizer, gradients, variables)
        return outputs

    def _prepared(self, batch: Batch) -> Batch:
        """Returns a batch as the networks get it."""
        return batches.prepared(batch, self.sample_shape, self.condition, self._uniform)

    def _generated(self, latents, condition, network=None, training=True):
        """Returns samples of a network, by default the generator in training."""
        inputs = self.generator_inputs(latents, condition)
        return self.completed((network or self.generator)(inputs, training=training), condition)

    def generator_inputs(self, latents, condition):
        """Returns what the generator takes for latents and a condition, if there are any."""
        if condition is None:
            return latents
        given = self.condition.as_input(condition, self.shapes.generator_condition)
        return given if self.latent_shape is None else [latents, given]

    def discriminator_inputs(self, samples, condition):
        """Returns what the discriminator takes for samples and their condition, if any."""
        if self.shapes.discriminator_condition is None:
            return samples
        given = self.condition.as_input(condition, self.shapes.discriminator_condition)
        return [samples, given]

    def completed(self, samples, condition):
        """Returns generated samples with what is known of them from the condition put in."""
        return samples if condition is None else self.condition.completed(samples, condition)

    def _critic(self, condition):
        """Returns what losses and terms call: `samples -> logits`, behind the augmentation."""

        def critic(samples):
            if self.augment is not None:
                samples = self.augment(samples, uniform=self._uniform)
            return self.discriminator(self.discriminator_inputs(samples, condition), training=True)

        return critic

    def _judged(self, samples, condition, need: str):
        """Returns logits, what the layers add to the loss, and the samples' gradient if needed."""

        def score(part, condition):
            return self._critic(condition)(part), added_losses(self.discriminator)

        # The whole batch's gradient is only computed if a term sees the whole batch.
        parts = min((t.parts for t in self.terms.values() if need in t.needs), default=None)
        if parts is None:
            return *score(samples, condition), None
        if parts == 1:
            head, tail = Batch(samples, condition), None
        else:
            head, tail = batches.divided(Batch(samples, condition), _part(samples, parts))
        (logits, added), gradient = engine.logits_and_gradient(
            lambda x: score(x, head.condition), head.samples
        )
        if tail is not None:
            rest, more = score(*tail)
            logits, added = ops.concatenate([logits, rest]), added + more
        return logits, added, ops.cast(gradient, "float32")

    def _weighted_terms(self, side: str, context: Context) -> list:
        values = []
        for term in self.terms.values():
            if term.side != side:
                continue
            seen = context
            if term.parts > 1:
                size = _part(context.real, term.parts)
                condition = None if context.condition is None else context.condition[:size]
                seen = first(context, size, self._critic(condition))
            values.append(term.weight * ops.cast(term.call(seen), "float32"))
        return values

    def _latents(self, real):
        if self.latent_shape is None:
            return None
        return engine.normal((ops.shape(real)[0], *self.latent_shape), seed=self.noise)

    def _uniform(self, shape):
        return engine.uniform(shape, seed=self.noise)

    # Keras' methods.

    @property
    def _serving(self):
        """The generator outside training: its moving average, if there is one."""
        return self.generator if self.ema_generator is None else self.ema_generator

    def call(self, inputs, training=False):
        """Returns the generator's samples, those of its moving average outside training.

        Args:
            inputs: Latents, or `[latents, condition]`, or a condition, as the generator takes it.
            training: Whether the networks train.
        """
        network = self.generator if training else self._serving
        if self.condition is None:
            return network(inputs, training=training)
        latents, condition = (None, inputs) if self.latent_shape is None else inputs
        # A network takes arrays of one kind: tensors, also where Keras gives NumPy's.
        latents = None if latents is None else ops.cast(latents, "float32")
        condition = ops.cast(self.condition.tensor(None, condition, None), "float32")
        return self._generated(latents, condition, network, training)

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, *, callbacks=None, validation_split=0.0,
        validation_data=None, shuffle=True, keep_on_device="auto", steps_per_epoch=None, **kwargs,
    ):  # fmt: skip
        """Trains both networks; like `keras.Model.fit`, with samples and what they depend on.

        Args:
            x: Real samples: an array `(n, *sample_shape)`, images as uint8 in 0…255 or floats in
                −1…1; or a `tf.data.Dataset`, torch `DataLoader`, `keras.utils.PyDataset`, Grain
                loader or generator of batches, of samples alone or `(samples, conditions)`.
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
        if not self.compiled:
            raise ValueError("Call compile() before fit(); it sets the two optimizers.")
        x = self._with_known_condition(x, y)
        x, y = self._checked(x, y, self.discriminator_steps)
        if self.condition is not None and kwargs.get("verbose", "auto") != 0:
            print(self.condition.counts(y))
        if hasattr(x, "shape"):
            batch_size = 32 * self.discriminator_steps if batch_size is None else batch_size
            if not 0 <= validation_split < 1:
                raise ValueError(f"validation_split must be in [0, 1); got {validation_split}.")
            if validation_split and validation_data is None:
                kept = int(len(x) * (1.0 - validation_split))
                (x, y), (x_held_out, y_held_out) = batches.divided(Batch(x, y), kept)
                validation_data = x_held_out if y is None else (x_held_out, y_held_out)
                validation_split = 0.0
            batches.check_size(min(batch_size, len(x)), self.discriminator_steps)
            if keep_on_device == "auto":
                keep_on_device = batches.fits_on_device(x, y)
            elif keep_on_device and engine.loader:
                raise ValueError("keep_on_device=True is for JAX and torch; leave it at 'auto'.")
            x = SeededBatches(
                x, batch_size, steps_per_epoch, self._data_seed(), shuffle=shuffle,
                keep_on_device=keep_on_device, condition=y,
            )  # fmt: skip
            steps_per_epoch = None
        elif keep_on_device is True:
            raise ValueError(
                f"keep_on_device=True keeps an array on the device; got {type(x).__name__}. "
                "Leave it at 'auto'."
            )
        if self.condition is not None and self.condition.is_image and self.examples is None:
            x = self._with_examples(x)
        if validation_data is not None:
            steps = kwargs.get("validation_steps")
            validation_data = batches.held_out(
                validation_data, self.sample_shape, self.condition, steps
            )
            kwargs.setdefault("validation_batch_size", batch_size)
            evaluation.begin_metrics(self)  # What they need is fetched before the training.
        seeded = Seeded(self, x)
        if seeded.loader is not None:
            shuffle = False  # They shuffle the samples; Keras would shuffle the batches as well.
        if engine.loader and getattr(x, "is_array", False):
            x = engine.loader(x)
        callbacks = adapt_callbacks(callbacks, kwargs.get("verbose", "auto"))
        return super().fit(
            x, epochs=epochs, shuffle=shuffle, callbacks=[seeded, *callbacks],
            validation_split=validation_split, validation_data=validation_data,
            steps_per_epoch=steps_per_epoch, **kwargs,
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
        if not kwargs.pop("_use_cached_eval_dataset", False):
            x, y = self._checked(x, y)
        if unknown := [name for name, value in kwargs.items() if value is not None]:
            raise TypeError(f"evaluate does not take {', '.join(unknown)}.")
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = partial(_callback_list, self, callbacks, verbose)
        logs = evaluation.evaluate(self, x, y, batch_size or 64, steps, callbacks, seed)
        return logs if return_dict else list(logs.values())

    def _checked(self, x, y=None, steps: int = 1):
        """Returns samples and conditions after looking at them; see `batches.checked`."""
        return batches.checked(x, self.sample_shape, steps, y, self.condition)

    def _with_known_condition(self, x, y):
        """Makes an inferred condition that of the data; returns the samples or their loader."""
        if self.condition is None or self.condition_is_given or self.condition.is_image:
            return x
        x, first = batches.first_batch(x, y)
        if (values := first.condition) is not None:
            shape = self.shapes.generator_condition
            classes = known_classes(self.generator, self.discriminator)
            self.condition = conditions.refined(shape, values, classes, whole=y is not None)
            self.condition_is_given, self._trained = True, None
        return x

    def _with_examples(self, x):
        """Keeps the first samples and their conditions; returns the samples' loader."""
        x, first = batches.first_batch(x, None)
        kept, _ = batches.divided(first, EXAMPLES)
        uniform = evaluation.uniform(np.random.default_rng(0))
        kept = batches.prepared(
            Batch(*(None if part is None else ops.convert_to_tensor(part) for part in kept)),
            self.sample_shape, self.condition, uniform,
        )  # fmt: skip
        self.examples = Batch(*map(ops.convert_to_numpy, kept))
        return x

    def train_on_batch(self, x, y=None, *args, **kwargs):
        x, y = self._checked(self._with_known_condition(x, y), y, self.discriminator_steps)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Evaluates one batch."""
        options = {"return_dict": return_dict, "sample_weight": sample_weight}
        return self.evaluate(x, y, batch_size=len(x), verbose=0, **options)

    def _flatten_metrics_in_order(self, logs):
        return [logs[name] for name in self.step_means.names]  # In that of `evaluate`.

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
            ValueError: If `num_samples` or `batch_size` is not a whole number ≥ 1, or the latents
                or conditions are of another shape.
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
        parts, start = [], 0
        for size in batches.sizes(check_whole("num_samples", num_samples), batch_size):
            part = slice(start, start + size)
            wanted = None if condition is None else condition[part]
            if latents is None:
                parts.append(self.sampled(random, size, wanted))
            else:
                parts.append(self._samples_of(latents[part], wanted))
            start += size
        samples = np.concatenate(parts)
        return samples if dtype else batches.quantized(samples, self.sample_shape)

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
        latents = random.standard_normal((size, *self.latent_shape), dtype="float32")
        return self._samples_of(latents, condition)

    def _samples_of(self, latents, condition=None):
        size = len(condition if latents is None else latents)
        # All of one kind, which Keras wants of the arrays of one network.
        inputs = keras.tree.map_structure(
            ops.convert_to_numpy, self.generator_inputs(latents, condition)
        )
        # With TensorFlow's strategies for several devices, Keras gives all that each of them made.
        samples = self.completed(self._serving.predict_on_batch(inputs)[:size], condition)
        return ops.convert_to_numpy(samples).astype("float32")

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

    def save_to_preset(self, folder, history: Sequence[dict] = (), **metadata) -> None:
        """Writes a preset folder; see `keras_gan.presets.save_to_preset`."""
        from keras_gan.presets import save_to_preset  # That package builds on this module.

        save_to_preset(self, folder, history, **metadata)

    def _data_seed(self) -> int:
        """Returns the seed of the data's order: the one that the noise started from."""
        return int(ops.convert_to_numpy(self.noise.state)[0])


def _callback_list(gan, callbacks, verbose, steps):
    return keras.callbacks.CallbackList(
        callbacks, add_progbar=verbose != 0, verbose=verbose, model=gan, epochs=1, steps=steps
    )


def _part(samples, parts: int):
    """Returns the size of the first of so many parts of a batch, rounded up."""
    size = samples.shape[0]
    return ((ops.shape(samples)[0] if size is None else size) + parts - 1) // parts


def _refuse(arguments: dict) -> None:
    if "penalty" in arguments:
        raise ValueError(
            "penalty= is now terms=, a list of names or objects: terms=['gradient_penalty'] or "
            "terms=[keras_gan.terms.GradientPenalty(10.0)]."
        )
    if arguments:
        raise TypeError(f"GAN does not take {', '.join(arguments)}.")


def _check_latents(latents, num_samples, latent_shape: tuple) -> np.ndarray:
    latents = np.asarray(ops.convert_to_numpy(latents), "float32")
    size = len(latents) if num_samples is None else check_whole("num_samples", num_samples)
    if latents.shape != (size, *latent_shape) or size == 0:
        expected = f"({'n' if num_samples is None else size}, {', '.join(map(str, latent_shape))})"
        raise ValueError(f"latents must be of shape {expected}; got {latents.shape}.")
    return latents
