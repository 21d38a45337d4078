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
from keras_gan.datasets import batches
from keras_gan.datasets.batches import Batch
from keras_gan.engine.keras_internals import (
    added_losses,
    metric_directions,
    no_automatic_dependency_tracking,
    regularization_losses,
)
from keras_gan.engine.keras_internals import (
    custom_objects as scope_of,
)
from keras_gan.errors import check_whole
from keras_gan.fitting import Fitting
from keras_gan.metrics.means import StepMeans
from keras_gan.networks import with_own_layers
from keras_gan.networks.shapes import gan_shapes
from keras_gan.sampling import Sampling
from keras_gan.saving import Saving
from keras_gan.terms import SIDES, Context, Term, first, get_all
from keras_gan.values import values_of

MEANS = ("d_loss", "g_loss", "d_real", "d_fake")


@keras.saving.register_keras_serializable(package="keras_gan")
class GAN(Fitting, Sampling, Saving, engine.Trainer, keras.Model):
    """A generator and a discriminator, trained against each other by `fit`.

    The discriminator learns to tell real samples from generated ones, the generator to make
    samples that it takes for real (Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1). Calling
    the model calls the generator, so `predict` and `export` do the natural thing.

    Args:
        generator: A built `keras.Model` from latents `(batch, …)` to samples `(batch, …)`. Its
            input gives the latent shape and its output the sample shape. Samples of rank 3 are
            images `(height, width, channels)`; end with tanh. Of a conditional GAN, it takes
            `[latents, condition]`, or a condition that is an image, alone.
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
        value_range: The range `(low, high)` of the samples' values, into which uint8, uint16 and
            int16 data is scaled. By default that of the tanh (−1…1), sigmoid or softmax (0…1) that
            the generator ends in; where it ends in none, it is not known and taken as −1…1.
        condition: What samples are conditioned on, of `keras_gan.conditions`: `Labels`, `Vector`
            or `Images`, which come with the data, or `Downscaled`, `Masked` or `Grayscale`, which
            are computed from the samples. By default it is inferred from the generator's second
            input, if it has one, and the first data.
        discriminator_steps: Discriminator updates per generator update, at least 1. Each batch is
            split evenly over them, so that each sees fresh real samples.
        ema_momentum: None, or the momentum in 0…1 of a moving average of the generator's weights,
            which then serves `generate`, `predict` and `evaluate`. It starts lower, at
            `(1 + t) / (10 + t)` after `t` updates, so that short runs do not show the start.
        seed: Seed of the noise and of the order of the data in training, a whole number ≥ 0; None
            takes one from `keras.utils.set_random_seed`. On torch, a seed sets torch's default
            generator when `fit` starts, since the noise is drawn from it.
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
        value_range: tuple[float, float] | None = None,
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
        self.latent_shape: Any = self.shapes.latents
        self.sample_shape = self.shapes.sample
        self.value_range = value_range
        self.values = values_of(generator, self.sample_shape, value_range)
        self.condition = self.shapes.condition
        if self.condition is not None:
            self.condition.build(self.sample_shape, (self.values.low, self.values.high))
        # One that was inferred is known for sure when the first data has come.
        self.condition_is_given = condition is not None
        # Of a condition that is an image: a few pairs of samples and conditions, kept for people.
        self.examples = None
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
        self._made_frozen = not discriminator.trainable_variables
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
        self.noise = keras.random.SeedGenerator(_noise_seed(seed))
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
        self.compiled_distances = evaluation.metrics_of(metrics, self.condition)
        self._warn_of_new_optimizers()
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
            "value_range": self.value_range,
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
            return keras.saving.deserialize_keras_object(with_own_layers(copy.deepcopy(part)))

        config = dict(config)
        if (penalty := config.pop("penalty", None)) is not None:  # A file from before `terms`.
            config["terms"] = [penalty]
        # The scope also serves the average, which is a copy of the generator.
        with scope_of(custom_objects or {}):
            gan = cls(**{name: built(part) for name, part in config.items()})
        gan._made_frozen = False  # Whoever saved it may have frozen it on purpose.
        return gan

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
        return batches.prepared(batch, self.values, self.condition, self._uniform)

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

    def call(self, inputs, training=False):
        """Returns the generator's samples, those of its moving average outside training.

        Args:
            inputs: Latents, or `[latents, condition]`, or a condition, as the generator takes it.
            training: Whether the networks train.
        """
        network = self.generator if training else self._serving
        if self.condition is None:
            return network(inputs, training=training)
        if self.latent_shape is not None and not isinstance(inputs, (list, tuple)):
            raise ValueError(f"This GAN takes [latents, condition], with {self.condition!r}.")
        latents, condition = (None, inputs) if self.latent_shape is None else inputs
        # A network takes arrays of one kind: tensors, also where Keras gives NumPy's.
        latents = None if latents is None else ops.cast(latents, "float32")
        condition = ops.cast(self.condition.tensor(None, condition, None), "float32")
        return self._generated(latents, condition, network, training)

    def save_to_preset(self, folder, history: Sequence[dict] = (), **metadata) -> None:
        """Writes a preset folder; see `keras_gan.presets.save_to_preset`."""
        from keras_gan.presets import save_to_preset  # That package builds on this module.

        save_to_preset(self, folder, history, **metadata)


def _noise_seed(seed: int | None) -> int | None:
    """Returns the seed of Keras' generator, which takes no more than 31 bits on torch."""
    if seed is None:
        return None
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"seed must be None or a whole number ≥ 0; got {seed!r}.")
    if seed < 2**31:
        return int(seed)
    return int(np.random.SeedSequence(int(seed)).generate_state(1)[0] >> 1)


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
