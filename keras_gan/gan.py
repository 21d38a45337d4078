"""The GAN class: one adversarial train step, written once for every backend."""

import copy
import itertools
import numbers
import os
import warnings
from functools import partial

import keras
import numpy as np
from keras import ops
from keras.src.trainers.epoch_iterator import EpochIterator
from keras.src.utils.tracking import no_automatic_dependency_tracking

from keras_gan import engine, losses, optimizers, penalties
from keras_gan.average import frozen_copy
from keras_gan.engine import keras_internals
from keras_gan.engine.resident import ResidentArray
from keras_gan.errors import check_samples
from keras_gan.files import content_key


@keras.saving.register_keras_serializable(package="keras_gan")
class GAN(engine.Trainer, keras.Model):
    """A generator and a discriminator, trained against each other by `fit`.

    The discriminator learns to tell real samples from generated ones, the generator to make
    samples that it takes for real (Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1). Calling
    the model calls the generator, so `predict`, `summary` and `export` do the natural thing.

    Args:
        generator: A built `keras.Model` from latents `(batch, …)` to samples `(batch, …)`. Its
            input gives the latent shape and its output the sample shape. Samples of rank 3 are
            images `(height, width, channels)` in −1…1 (end with tanh).
        discriminator: A `keras.Model` from such samples to one logit each, `(batch, 1)`, without a
            sigmoid.
        loss: A name (`minimax`, `non_saturating`, `least_squares`, `wasserstein`, `hinge`) or an
            object like `keras_gan.losses.AdversarialLoss`.
        penalty: None, `"gradient_penalty"`, or an object like
            `keras_gan.penalties.GradientPenalty`.
        discriminator_steps: Discriminator updates per generator update, at least 1. Each batch is
            split evenly over them, so that each sees fresh real samples.
        ema_momentum: None, or the momentum in 0…1 of a moving average of the generator's weights,
            which then serves `generate`, `predict` and `evaluate`. It starts lower, at
            `(1 + t) / (10 + t)` after `t` updates, so that short runs do not show the start.
        seed: Seed of the noise drawn in training on JAX and TensorFlow; None takes one from
            `keras.utils`. On torch, `keras.utils.set_random_seed` sets that noise.

    Raises:
        ValueError: For networks that do not fit each other, and unknown names.
    """

    def __init__(
        self,
        generator,
        discriminator,
        loss="non_saturating",
        penalty=None,
        discriminator_steps=1,
        ema_momentum=None,
        seed=None,
        name=None,
    ):
        super().__init__(name=name)
        self.latent_shape, self.sample_shape = _shapes(generator, discriminator)
        self.discriminator_steps = _check_whole("discriminator_steps", discriminator_steps)
        number = isinstance(ema_momentum, numbers.Real)
        if ema_momentum is not None and not (number and 0 <= ema_momentum < 1):
            raise ValueError(
                f"ema_momentum must be None or in 0…1 (1 excluded); got {ema_momentum!r}."
            )
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_loss = losses.get(loss)
        named = (name for name, known in losses.LOSSES.items() if known is self.adversarial_loss)
        self.loss_config, self.penalty_config = next(named, loss), penalty
        self.penalty = penalties.get(penalty)
        self.ema_momentum = ema_momentum
        self.ema_generator = None if ema_momentum is None else frozen_copy(generator)
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)
        self.step_means = _StepMeans(
            ["d_loss", "g_loss", "d_real", "d_fake"] + ["penalty"] * (self.penalty is not None)
        )
        self._distances = []
        self._trained = None
        self.built = True

    # Compile, and everything Keras keeps of it.

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
            jit_compile: Whether to compile the train step; `"auto"` does on JAX, with
                TensorFlow on GPUs, and with torch where it was measured to be faster.
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
        self._distances = [keras.metrics.get(metric) for metric in metrics or []]
        self._jit_setting = jit_compile

    def get_compile_config(self):
        if not self.compiled:
            return {}
        return {
            "generator_optimizer": optimizers.serialize(self.optimizer.generator),
            "discriminator_optimizer": optimizers.serialize(self.optimizer.discriminator),
            "metrics": [
                keras.saving.serialize_keras_object(metric)
                for metric in self._distances
                if _can_be_saved(metric)
            ],
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
            "penalty": serialize(self.penalty_config),
            "discriminator_steps": self.discriminator_steps,
            "ema_momentum": self.ema_momentum,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        # The scope also serves the average, which is a copy of the generator.
        with keras_internals.custom_objects(custom_objects or {}):
            parts = {
                key: keras.saving.deserialize_keras_object(copy.deepcopy(part))
                for key, part in config.items()
                if isinstance(part, dict)
            }
            return cls(**(config | parts))

    @property
    def metrics(self):
        return [self.step_means, *self._distances]

    @property
    def metrics_names(self):
        return self.step_means.names[:4]  # What every list of results begins with.

    def get_metrics_result(self):
        return self.step_means.result()

    # The train step.

    def make_train_function(self, force=False):
        trained = frozenset(id(variable) for variable in self.trainable_variables)
        force |= trained != self._trained  # What it trains is frozen in the compiled function.
        self._trained = trained
        super().make_train_function(force)

    def _step(self, data, run=lambda update, batch: update(batch)):
        """One adversarial step on a batch of real samples; returns the epoch's means so far.

        `run` makes the updates: an engine may compile one of a kind and run it several times.
        """
        batches = self._split(self._samples(data))
        # Outputs of the discriminator updates are averaged, as if they had been one.
        updates = [run(self._update_discriminator, batch) for batch in batches]
        d_loss, *others = (sum(values) / len(updates) for values in zip(*updates, strict=True))
        (g_loss,) = run(self._update_generator, batches[0])
        self.step_means.update_state([d_loss, g_loss, *others])
        return self.step_means.result()

    def _update_discriminator(self, real):
        real, fake = self._scaled(real), self.generator(self._latents(real), training=True)
        critic = partial(self.discriminator, training=True)
        uniform = partial(engine.uniform, seed=self.noise)

        def objective():
            (real_logits, added), (fake_logits, more) = (
                _with_losses(self.discriminator, batch) for batch in (real, fake)
            )
            loss = self.adversarial_loss.discriminator(real_logits, fake_logits)
            terms = [] if self.penalty is None else [self.penalty(critic, real, fake, uniform)]
            decay = self.discriminator._get_regularization_losses()
            loss = sum(terms + added + more + decay, loss)
            outputs = [loss, losses.mean(real_logits), losses.mean(fake_logits), *terms]
            return self.optimizer.discriminator.scale_loss(loss), outputs

        return self._minimize(objective, self.discriminator, self.optimizer.discriminator)

    def _update_generator(self, real):
        """One update, and that of the average; of the real samples only their number counts."""
        latents = self._latents(real)

        def objective():
            fake, added = _with_losses(self.generator, latents)
            loss = self.adversarial_loss.generator(self.discriminator(fake, training=True))
            loss = sum(added + self.generator._get_regularization_losses(), loss)
            return self.optimizer.generator.scale_loss(loss), [loss]

        outputs = self._minimize(objective, self.generator, self.optimizer.generator)
        if self.ema_generator is not None:
            self._update_average()
        return outputs

    def _minimize(self, objective, network, optimizer):
        variables = network.trainable_variables
        (_, outputs), gradients = engine.value_and_grad(objective, variables)
        if variables:  # A frozen network still plays, but does not learn.
            engine.apply(optimizer, gradients, variables)
        return outputs

    def _update_average(self):
        updates = ops.cast(self.optimizer.iterations, "float32")
        momentum = ops.minimum(self.ema_momentum, (1.0 + updates) / (10.0 + updates))
        pairs = zip(self.ema_generator.variables, self.generator.variables, strict=True)  # type: ignore[union-attr]
        for average, variable in pairs:
            if "float" in keras.backend.standardize_dtype(variable.dtype):
                value = ops.cast(variable.value, average.dtype)
                average.assign(value + ops.cast(momentum, average.dtype) * (average - value))
            else:
                average.assign(variable.value)

    @staticmethod
    def _samples(data):
        """The real samples of a batch as any loader gives it: `x`, `(x, …)`, `{…: x}`."""
        if isinstance(data, dict):
            data = next(iter(data.values()))
        return data[0] if isinstance(data, (list, tuple)) else data

    def _latents(self, real):
        return engine.normal((ops.shape(real)[0], *self.latent_shape), seed=self.noise)

    def _scaled(self, samples):
        floats = ops.cast(samples, "float32")
        pixels = keras.backend.standardize_dtype(samples.dtype) == "uint8"
        return floats / 127.5 - 1.0 if pixels and len(self.sample_shape) == 3 else floats

    def _split(self, real):
        """Splits a batch evenly into one per discriminator step, dropping what is left over."""
        steps = self.discriminator_steps
        if steps == 1:
            return [real]
        batch, shape = ops.shape(real)[0], tuple(real.shape[1:])
        # A last batch smaller than the number of steps serves several of them.
        size = ops.maximum(batch // steps, 1) if real.shape[0] is None else max(batch // steps, 1)
        if real.shape[0] is None or batch != size * steps:
            real = ops.take(real, ops.arange(size * steps) % batch, axis=0)
        # Strided rather than contiguous parts keep a batch that is sharded over devices local.
        real = ops.reshape(real, (size, steps, *shape))
        return [real[:, i] for i in range(steps)]

    # Keras' methods.

    @property
    def _serving(self):
        """The generator outside training: its moving average, if there is one."""
        return self.generator if self.ema_generator is None else self.ema_generator

    def call(self, latents, training=False):
        """Returns the generator's samples, those of its moving average outside training."""
        return (self.generator if training else self._serving)(latents, training=training)

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, *, callbacks=None, validation_split=0.0,
        validation_data=None, shuffle=True, keep_on_device="auto", **kwargs,
    ):  # fmt: skip
        """Trains both networks; like `keras.Model.fit`, with real samples alone.

        Args:
            x: Real samples: an array `(n, *sample_shape)`, images as uint8 in 0…255 or floats in
                −1…1; or a `tf.data.Dataset`, torch `DataLoader`, `keras.utils.PyDataset`, Grain
                loader or generator of such batches (of a tuple, the first element is taken).
            y: Not used: there are no targets.
            batch_size: Samples per step for arrays, split over the discriminator steps: with 5 of
                them, `batch_size=320` gives each 64. Defaults to 32 per discriminator step.
            epochs: As in Keras; so are `callbacks`, `validation_split` and what is not named here.
            validation_data: Held-out real samples, for `evaluate` at the end of each epoch.
            shuffle: Whether to draw a new order of an array at each epoch.
            keep_on_device: Whether an array is copied to the device once and shuffled there, on
                JAX and torch; `"auto"` does so on an accelerator if it takes at most a quarter of
                the free memory.

        Returns:
            A `keras.callbacks.History` with `d_loss` (with the penalty, if any), `g_loss`, the mean
            logits `d_real` and `d_fake`, `penalty`, and `val_…` of all that `evaluate` gives.

        Raises:
            ValueError: Before the first step, for samples that do not fit.
        """
        weights = kwargs.get("sample_weight"), kwargs.get("class_weight")
        if any(given is not None for given in (y, *weights)):
            raise ValueError("A GAN has no targets: give `fit` the real samples alone, without y.")
        if engine.TRAINS and not self.compiled:
            raise ValueError("Call compile() before fit(); it sets the two optimizers.")
        x = self._checked(x)
        if hasattr(x, "shape"):
            batch_size = 32 * self.discriminator_steps if batch_size is None else batch_size
            if not 0 <= validation_split < 1:
                raise ValueError(f"validation_split must be in [0, 1); got {validation_split}.")
            if validation_split and validation_data is None:
                kept = int(len(x) * (1.0 - validation_split))
                x, validation_data, validation_split = x[:kept], x[kept:], 0.0
            _check_batch(min(batch_size, len(x)), self.discriminator_steps)
        if validation_data is not None:
            held_out = self._samples(validation_data)
            if len(getattr(held_out, "shape", ())) == len(self.sample_shape):
                held_out = validation_data  # A list of samples.
            if hasattr(held_out, "__next__") and kwargs.get("validation_steps") is None:
                # It gives each batch once, and every epoch is to be compared with the same.
                held_out = [ops.convert_to_numpy(self._samples(batch)) for batch in held_out]
                held_out = np.concatenate(held_out) if held_out else iter(())
            validation_data = self._checked(held_out, steps=1)
            kwargs.setdefault("validation_batch_size", batch_size)
            self._begin_distances()  # What they need is fetched before the training, not after.
        if keep_on_device is True or (keep_on_device == "auto" and _fits_on_device(x)):
            x = ResidentArray(x, batch_size, shuffle)
        elif engine.loader and hasattr(x, "shape"):
            x, batch_size, shuffle = engine.loader(x, batch_size, shuffle)
        return super().fit(
            x, batch_size=batch_size, epochs=epochs, shuffle=shuffle,
            callbacks=_with_own(callbacks, kwargs.get("verbose", "auto"), self._distances),
            validation_split=validation_split, validation_data=validation_data, **kwargs,
        )  # fmt: skip

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", *, steps=None, callbacks=None,
        return_dict=False, seed=0, **kwargs,
    ):  # fmt: skip
        """Compares held-out real samples with as many generated ones.

        Args:
            x: Real samples, as for `fit`.
            y: Not used.
            batch_size: Samples per batch for arrays; defaults to 64.
            verbose: As in Keras: whether to show a progress bar.
            steps: The number of batches; all by default.
            callbacks: Keras callbacks or a `CallbackList`.
            return_dict: Whether to return a dict rather than a list in its order.
            seed: Seed of the latents; the same seed compares the same latents each time.

        Returns:
            `d_loss` (without penalty), `g_loss`, `d_real` and `d_fake` of the networks at rest
            (no dropout, moving averages used), then the compiled metrics' results.
        """
        if not kwargs.pop("_use_cached_eval_dataset", False):
            x = self._checked(x, steps=1)
        if unknown := [name for name, value in kwargs.items() if value is not None]:
            raise TypeError(f"evaluate does not take {', '.join(unknown)}.")
        batches = EpochIterator(x, batch_size=batch_size or 64, steps_per_epoch=steps)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.callbacks.CallbackList(
                callbacks, add_progbar=verbose != 0, verbose=verbose, model=self, epochs=1,
                steps=batches.num_batches,
            )  # fmt: skip
        random = np.random.default_rng(seed)
        totals, count = np.zeros(4), 0
        self._begin_distances(x if steps is None else None)
        callbacks.on_test_begin()
        for step, _, [data] in batches:
            callbacks.on_test_batch_begin(step)
            real = ops.convert_to_numpy(self._scaled(self._samples(data)))
            generated = self._generated(random, len(real))
            totals += len(real) * self._compare(real, generated)
            count += len(real)
            images = self._quantized(real), self._quantized(generated)
            for metric in self._distances:
                metric.update_state(*images)
            callbacks.on_test_batch_end(step)
        logs = dict(zip(("d_loss", "g_loss", "d_real", "d_fake"), totals / count, strict=True))
        for metric in self._distances:
            result = metric.result()
            logs.update(result if isinstance(result, dict) else {metric.name: result})
        logs = {name: float(value) for name, value in logs.items()}
        callbacks.on_test_end(logs)
        return logs if return_dict else list(logs.values())

    def train_on_batch(self, x, *args, **kwargs):
        return super().train_on_batch(self._checked(x), *args, **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """`evaluate` of one batch."""
        options = {"return_dict": return_dict, "sample_weight": sample_weight}
        return self.evaluate(x, y, batch_size=len(x), verbose=0, **options)

    def _flatten_metrics_in_order(self, logs):
        return [logs[name] for name in self.step_means.names]  # In that of `evaluate`.

    def _begin_distances(self, real=None):
        ours = [metric for metric in self._distances if hasattr(metric, "begin")]
        key = content_key(real) if ours else None  # By which they know it again, if it is whole.
        for metric in self._distances:
            metric.begin(key, self.sample_shape) if metric in ours else metric.reset_state()

    def _compare(self, real, generated):
        """Losses and mean logits of one batch, with both networks at rest."""
        logits = [self.discriminator.predict_on_batch(batch) for batch in (real, generated)]
        real_logits, fake_logits = map(ops.convert_to_tensor, logits)
        d_loss = self.adversarial_loss.discriminator(real_logits, fake_logits)
        g_loss = self.adversarial_loss.generator(fake_logits)
        means = [float(np.mean(batch, dtype="float64")) for batch in logits]
        return np.array([float(d_loss), float(g_loss), *means])

    def generate(self, num_samples, seed=None, batch_size=64):
        """Generates samples.

        Args:
            num_samples: How many, at least 1.
            seed: Same seed, same samples on every backend, but for rounding; None draws new ones at
                each call.
            batch_size: Samples per call of the generator.

        Returns:
            A NumPy array `(num_samples, *sample_shape)`: images (rank 3) as uint8 in 0…255, other
            samples as float32.

        Raises:
            ValueError: If `num_samples` or `batch_size` is not a whole number ≥ 1.
        """
        num_samples = _check_whole("num_samples", num_samples)
        batch_size = _check_whole("batch_size", batch_size)
        random = np.random.default_rng(seed)
        whole, rest = divmod(num_samples, batch_size)
        sizes = [batch_size] * whole + [rest] * (rest > 0)
        return self._quantized(np.concatenate([self._generated(random, size) for size in sizes]))

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Exports the generator, from latents to float samples; like `keras.Model.export`."""
        self._serving(ops.zeros((1, *self.latent_shape)))  # Some formats need one call before.
        self._serving.export(filepath, format=format, **kwargs)

    def save_to_preset(self, folder, history=(), **metadata):
        """Writes a preset folder, as `keras_gan.presets.save_to_preset` tells."""
        from keras_gan.presets import save_to_preset  # That module builds on this one.

        save_to_preset(self, folder, history, **metadata)

    def _generated(self, random, size):
        # NumPy's generator gives the same latents whatever the backend.
        latents = random.standard_normal((size, *self.latent_shape), dtype="float32")
        # With TensorFlow's strategies for several devices, Keras gives all that each of them made.
        samples = self._serving.predict_on_batch(latents)[:size]
        return ops.convert_to_numpy(samples).astype("float32")

    def _quantized(self, samples):
        if len(self.sample_shape) != 3:
            return samples
        return np.clip(np.rint(samples * 127.5 + 127.5), 0, 255).astype("uint8")

    def _checked(self, x, steps=None):
        """Returns `x` after looking at it: all of an array, the first batch of anything else."""
        if x is None:
            raise ValueError("There are no samples: x is None.")
        if isinstance(x, (str, int, float)):
            kind = type(x).__name__
            raise TypeError(f"Samples come as an array or a loader of batches; got {kind} {x!r}.")
        if isinstance(x, (list, tuple)):
            x = np.asarray(x)
        if hasattr(x, "shape"):
            check_samples(x, self.sample_shape)
            return x
        if hasattr(x, "collate_fn"):  # A torch DataLoader, whose batches Keras wants as tuples.
            x = copy.copy(x)
            x.collate_fn = partial(_collated, x.collate_fn)
        if hasattr(x, "__getitem__"):  # keras.utils.PyDataset, Grain
            size = x.num_batches if hasattr(x, "num_batches") else len(x)
            first, rest = (None if size == 0 else x[0]), x
        else:
            iterator = iter(x)
            first, rest = next(iterator, None), x
            # A generator gives each batch once: the one looked at goes back in front. Keras tells
            # generators by their type, and wants tuples of them.
            if iterator is x:
                rest = ((self._samples(batch),) for batch in itertools.chain([first], iterator))
        if first is None:
            raise ValueError("There are no samples in the data: it gives no batch.")
        first = self._samples(first)
        check_samples(first, self.sample_shape)
        _check_batch(len(first), steps or self.discriminator_steps)
        return rest


def _collated(collate, samples):
    return (GAN._samples(collate(samples)),)


def _fits_on_device(x):
    free = engine.free_memory()
    alone = keras.distribution.distribution() is None
    return alone and free is not None and isinstance(x, np.ndarray) and x.nbytes <= free / 4


def _check_batch(size, steps):
    if size < steps:
        raise ValueError(
            f"A batch of {size} cannot be split over {steps} discriminator steps; give batches of "
            f"at least {steps}, better {steps} × 64."
        )


def _with_losses(network, batch):
    """A network's output, and what its layers add to the loss in this one call."""
    network._clear_losses()
    outputs = network(batch, training=True)
    layers = network._flatten_layers()
    return outputs, [loss for layer in layers for loss in layer._get_own_losses()]


def _can_be_saved(metric):
    source = getattr(getattr(metric, "extractor", None), "source", None)
    if source is None or isinstance(source, (str, os.PathLike)):
        return True
    warnings.warn(
        f"The metric {metric.name} is not saved with the model: its extractor is an object, and no "
        "path of a .keras file.",
        stacklevel=2,
    )
    return False


MODES = {"up": "max", "down": "min"}  # Of a metric, and of the callbacks that watch it.


class _Progress(keras.callbacks.ProgbarLogger):
    async_safe = True  # It reads the values in another thread, so that no step waits for them.


def _with_own(callbacks, verbose, metrics=()):
    """The user's callbacks, and those that make them and the progress bar fit for a GAN."""
    callbacks = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or [])
    known = (metric for metric in metrics if getattr(metric, "_direction", None) in MODES)
    modes = {f"val_{metric.name}": MODES[metric._direction] for metric in known}
    for callback in callbacks:  # Keras finds the direction of its own compiled metrics alone.
        if getattr(callback, "mode", None) == "auto":
            callback.mode = modes.get(getattr(callback, "monitor", ""), "auto")
    if any(isinstance(callback, keras.callbacks.SwapEMAWeights) for callback in callbacks):
        raise ValueError(
            "SwapEMAWeights needs an optimizer's own average; a GAN averages its generator "
            "with GAN(…, ema_momentum=0.999), and generate() and evaluate() use that average."
        )
    own = [] if verbose == 0 else [_Progress()]
    # By itself, TerminateOnNaN looks at "loss" alone.
    terminators = [c for c in callbacks if isinstance(c, keras.callbacks.TerminateOnNaN)]
    return callbacks + own + [*map(_watch_for_nan, terminators)]


def _watch_for_nan(terminate):
    def look(batch, logs):
        terminate.on_batch_end(batch, {"loss": float(logs["d_loss"]) + float(logs["g_loss"])})

    return keras.callbacks.LambdaCallback(on_train_batch_end=look)


def _check_whole(name, value):
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (number and float(value).is_integer() and value >= 1):
        raise ValueError(f"{name} must be a whole number ≥ 1; got {value!r}.")
    return int(value)


def _shapes(generator, discriminator):
    """Latent and sample shape, checked against each other."""
    for network, name in ((generator, "generator"), (discriminator, "discriminator")):
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"The {name} must be a keras.Model; got {network!r}.")
    takes, makes = (getattr(generator, side, None) for side in ("input_shape", "output_shape"))
    if not (isinstance(takes, tuple) and isinstance(makes, tuple)) or None in takes[1:]:
        raise ValueError(
            "The generator must take one input, latents of a fixed shape, and give one output; its "
            f"shapes are {takes} and {makes}. Use the functional API, or wrap it as "
            "keras.Sequential([keras.Input(latent_shape), generator])."
        )
    accepted = getattr(discriminator, "input_shape", makes) if discriminator.built else makes
    fits = len(accepted) == len(makes) and all(
        None in pair or pair[0] == pair[1] for pair in zip(accepted, makes, strict=True)
    )
    if not fits:
        raise ValueError(
            f"The generator makes samples of shape {makes[1:]}, but the discriminator takes "
            f"{accepted[1:]}; they must be the same."
        )
    logits = discriminator(keras.KerasTensor(makes, dtype="float32")).shape[1:]
    if tuple(logits) != (1,):
        raise ValueError(
            "The discriminator must give one logit per sample, (batch, 1); "
            f"it gives (batch, {', '.join(map(str, logits))}). End it with Dense(1)."
        )
    return takes[1:], makes[1:]


class _StepMeans(keras.metrics.Metric):
    """Means of several scalars per step, kept in one vector: one update instead of many."""

    def __init__(self, names):
        super().__init__(name="step_means")
        self.names = names
        # The last element counts the steps. It is not a variable of its own, because TensorFlow
        # runs what does not depend on data once more when data of unknown length ends.
        self.totals = self.add_variable((len(names) + 1,), "zeros", name="totals")

    def update_state(self, values):
        self.totals.assign_add(ops.stack([*values, ops.ones_like(values[0])]))

    def result(self):
        means = self.totals[:-1] / ops.maximum(self.totals[-1], 1.0)
        return dict(zip(self.names, ops.unstack(means, num=len(self.names)), strict=True))
