"""TensorFlow: gradient tapes inside the one function that Keras' trainer makes."""

import functools

import keras
import tensorflow as tf

from keras_gan.engine import keras_internals
from keras_gan.engine.scopes import CopiedScope
from keras_gan.engine.sharing import (
    Sharing,
    check_restoring,
    first_devices,
    steps_of,
    without_writers,
)


def value_and_grad(fn, variables):
    """Returns `(loss, aux), gradients` of `fn() -> (loss, aux)` with respect to `variables`.

    What `fn` assigns to variables (statistics, seeds) is kept.
    """
    values = [v.value for v in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        outputs = fn()
    return outputs, tape.gradient(outputs[0], values)


def logits_and_gradient(fn, x):
    """Returns `(logits, aux), gradient` of `fn(x) -> (logits, aux)`, from one pass.

    What `fn` assigns to variables is kept, as if it had been called plainly.

    Args:
        fn: Callable from samples to logits `(batch, …)` and a list of scalars, which may be empty.
        x: Float samples `(batch, …)`.

    Returns:
        What `fn` returns, and the gradient of `sum(logits)` with respect to `x`, of the shape of
        `x`. All of it is differentiable with respect to the weights.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        logits, aux = fn(x)
        total = keras.ops.sum(logits)
    return (logits, aux), _gradient(tape, total, x)


def input_gradient(fn, x):
    """Returns the gradient of `sum(fn(x))` with respect to `x`, itself differentiable.

    What `fn` assigns to variables is forgotten.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape, CopiedScope():
        tape.watch(x)
        total = keras.ops.sum(fn(x))
    return _gradient(tape, total, x)


def _gradient(tape, total, x):
    return tape.gradient(total, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def mean_over_devices(tensors):
    """Returns each replica's share of the mean over the replicas of a `tf.distribute` strategy.

    That is a tensor divided by the number of replicas: Keras' optimizers and metrics sum over them.
    None stays None. On one device, the tensors are returned as they are.
    """
    share = device_share()
    if share == 1.0:
        return tensors
    # scalar_mul, because it takes the sparse gradients of embeddings, too.
    return [None if t is None else tf.math.scalar_mul(share, t) for t in tensors]


def device_share():
    """Returns the share of one replica in a sum over the replicas of a `tf.distribute` strategy."""
    return 1.0 / tf.distribute.get_strategy().num_replicas_in_sync


def agreed(number):
    """Returns a whole number as it is."""
    return number


def apply(optimizer, gradients, variables):
    """Updates `variables`, some or all of those that the optimizer was built with."""
    if not keras_internals.updates_as_adam(optimizer):
        optimizer.apply(gradients, variables)
        return
    # The user's optimizer under another class: all attributes are shared, nothing is assigned.
    fused = object.__new__(_fused(optimizer.__class__))
    object.__setattr__(fused, "__dict__", vars(optimizer))
    fused.apply(gradients, variables)


@functools.cache
def _fused(adam):
    """Returns a subclass of Adam whose `update_step` is one kernel, where Keras' is a dozen."""
    return type(adam)(adam.__name__, (adam,), {"update_step": _adam_step})


def _adam_step(optimizer, gradient, variable, learning_rate):
    if isinstance(gradient, tf.IndexedSlices):
        keras.optimizers.Adam.update_step(optimizer, gradient, variable, learning_rate)
        return
    [mean], [square] = keras_internals.adam_moments(optimizer, [variable])
    numbers = (
        optimizer.iterations + 1, learning_rate,
        optimizer.beta_1, optimizer.beta_2, optimizer.epsilon,
    )  # fmt: skip
    step, rate, beta1, beta2, epsilon = (tf.cast(x, variable.dtype) for x in numbers)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle, m=mean.value.handle, v=square.value.handle,
        beta1_power=beta1**step, beta2_power=beta2**step, lr=rate,
        beta1=beta1, beta2=beta2, epsilon=epsilon, grad=tf.cast(gradient, variable.dtype),
    )  # fmt: skip


def batch_norm(x, scale, offset, epsilon):
    """Returns `x` normalized over all axes but the last, and the means and variances of these.

    Between the replicas of a `tf.distribute` strategy, they are those of the whole batch.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        mean, variance = _moments_of_all(x)
        return (x - mean) * (scale * tf.math.rsqrt(variance + epsilon)) + offset, mean, variance
    empty = tf.zeros((0,))
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=empty, variance=empty, epsilon=epsilon
    )
    count = tf.cast(tf.size(x) // tf.size(mean), variance.dtype)
    return y, mean, variance * (count - 1) / count


def _moments_of_all(x):
    """Returns the means and variances over all axes but the last and over the replicas, whose parts
    may differ in size.
    """
    axes = list(range(len(x.shape) - 1))
    count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    mean = tf.reduce_mean(x, axes)
    square = tf.math.reduce_variance(x, axes) + mean**2
    sums = tf.concat([count * mean, count * square, [count]], axis=0)
    sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)
    mean, square = tf.unstack(tf.reshape(sums[:-1] / sums[-1], (2, -1)))
    return mean, square - mean**2


def compiled(fn):
    """Returns a function of tensors that is traced when it is first called for their shapes."""
    return tf.function(fn)


def normal(shape, seed):
    """Returns standard normal noise, float32; each replica of a strategy draws its own."""
    return tf.random.stateless_normal(shape, _replica_seed(seed))


def uniform(shape, seed):
    """Returns noise that is uniform in 0…1, float32; each replica of a strategy draws its own."""
    return tf.random.stateless_uniform(shape, _replica_seed(seed))


def _replica_seed(seed):
    """Returns the next state of a `SeedGenerator`, which all replicas of a strategy share, with the
    number of the replica mixed in.
    """
    state = tf.cast(seed.next(), "int32")
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return state
    return tf.random.experimental.stateless_fold_in(state, replica.replica_id_in_sync_group)


def seed_noise(seed, step):
    """Does nothing: on TensorFlow, noise follows from the state of the model's `SeedGenerator`."""


def random_states():
    """Returns nothing: on TensorFlow, noise follows from the states of `SeedGenerator`s."""
    return {}


def set_random_states(states):
    """Does nothing: see `random_states`."""


def gather(array, order, start, size):
    """Returns `array[order[start : start + size]]`."""
    return tf.gather(array, order[start : start + size])


def loader(batches, start=0):
    """Returns the batches of a `SeededBatches` of an array, from one on, as a `tf.data.Dataset`.

    Without autotuning: TensorFlow 2.21 waits for its thread at the end of each epoch.
    """
    arrays = [tf.constant(keras.ops.convert_to_numpy(part)) for part in batches.arrays]
    count = tf.TensorSpec((None,), tf.int64)
    # One call of Python for each epoch, when it starts.
    skipped = start * batches.batch_size
    epochs = tf.data.Dataset.from_generator(
        lambda: [batches.numbers()[skipped:]], output_signature=count
    )
    numbers = epochs.flat_map(tf.data.Dataset.from_tensor_slices)
    # The compiler knows the size of batches that are all alike.
    chosen = numbers.batch(batches.batch_size, drop_remainder=batches.all_alike)
    loaded = chosen.map(lambda i: tuple(tf.gather(part, i) for part in arrays)).prefetch(1)
    options = tf.data.Options()
    options.autotune.enabled = False
    # Several processes read all of it, and each takes its part of every batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    counted = tf.data.experimental.assert_cardinality(len(batches) - start)
    return loaded.apply(counted).with_options(options)


def enable_compilation_cache(folder):
    """Raises RuntimeError."""
    raise RuntimeError("TensorFlow has no persistent compilation cache; JAX and torch have.")


def on_devices(count):
    """Lets models that are made inside the block share their batches between devices.

    Args:
        count: The number of devices; None for all. Without GPUs, the CPU is divided into so many.

    Raises:
        ValueError: If there are GPUs, but fewer.
    """
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU" and count is not None:
        [cpu] = tf.config.list_physical_devices("CPU")
        parts = count * [tf.config.LogicalDeviceConfiguration()]
        tf.config.set_logical_device_configuration(cpu, parts)
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    return tf.distribute.MirroredStrategy(first_devices(found, count)).scope()


def device_name():
    """Returns the type of the device that trains, such as `"CPU"`."""
    return tf.config.list_logical_devices()[-1].device_type


def free_memory():
    """Returns None: tf.data feeds this backend, and copies ahead to the device by itself."""
    return


class Trainer(Sharing):
    """Fits `_step(batch) -> logs` to Keras' TensorFlow trainer."""

    @property
    def devices(self):
        """The number of devices that share a batch: the replicas of a `tf.distribute` strategy."""
        return self.distribute_strategy.num_replicas_in_sync

    def check_shares(self, size, rest):
        """Raises ValueError unless each device gets a part of a batch; parts may be unequal."""
        if size < self.devices:
            raise ValueError(too_small(self.devices, f"of {size}"))
        return 0 < rest < self.devices

    @property
    def _is_one_of_several(self):
        """Whether several processes train, of which this one is one (`TF_CONFIG`)."""
        return keras_internals.in_several_processes(self.distribute_strategy)

    @property
    def leads(self):
        """Whether this process prints and writes files: of several, the first one alone."""
        strategy = self.distribute_strategy
        return not self._is_one_of_several or strategy.cluster_resolver.task_id == 0

    def own_callbacks(self, callbacks):
        if not self._is_one_of_several:
            return callbacks
        check_restoring(callbacks)
        return [*(callbacks if self.leads else without_writers(callbacks)), OneDecision()]

    def same_for_all(self, logs):
        """Returns the means over the processes, whose moving averages are of different parts."""
        if not self._is_one_of_several:
            return logs
        means = _of_all(self.distribute_strategy, logs.values()).mean(axis=0)
        return dict(zip(logs, means.tolist(), strict=True))

    def predicted(self, model, inputs):
        if self._is_one_of_several:  # Keras' way is one that all processes have to go together.
            return model(inputs, training=False)
        return super().predicted(model, inputs)

    def _maybe_symbolic_build(self, **options):
        """Builds what is not built; in several processes, where Keras fails, a GAN is built."""
        if not self._is_one_of_several:
            super()._maybe_symbolic_build(**options)

    def _logs(self, logs):
        """Returns logs that Keras can reduce: of several processes, along an axis of their own."""
        return {k: v[None] for k, v in logs.items()} if self._is_one_of_several else logs

    def test_step(self, data):
        return self._logs(super().test_step(data))

    def fit(self, x, *args, steps_per_epoch=None, epochs=1, **kwargs):
        if self._is_one_of_several:
            plan = steps_of(x, steps_per_epoch, self.devices), epochs
            plans = _of_all(self.distribute_strategy, plan)
            if (plans != plans[0]).any():
                raise ValueError(
                    "All processes must make as many steps and epochs (by process: "
                    f"{', '.join(str(row.tolist()) for row in plans.astype(int))})."
                )
        kwargs |= {"steps_per_epoch": steps_per_epoch, "epochs": epochs}
        try:
            return super().fit(x, *args, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            message = too_small(self.devices)
            if message not in str(error):
                raise
            raise ValueError(message) from None
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError) as e:
            if not self._is_one_of_several:
                raise
            raise RuntimeError(
                f"Another of the {self.devices} processes has ended or does not answer. Start them "
                "again to resume what was saved."
            ) from e

    def train_step(self, data):
        batch = self._batch(data)
        if self.devices > 1:
            # The mean over an empty part would be NaN, and so would all weights be.
            some = tf.debugging.assert_positive(tf.shape(batch.samples)[0], too_small(self.devices))
            with tf.control_dependencies([some]):
                batch = batch._replace(samples=tf.identity(batch.samples))
        return self._logs(self._step(batch))


class OneDecision(keras.callbacks.Callback):
    """Lets all processes stop if one of them wants to; the others would wait for it."""

    def on_epoch_end(self, epoch, logs=None):
        votes = _of_all(self.model.distribute_strategy, [self.model.stop_training])
        self.model.stop_training = bool(votes.any())


def _of_all(strategy, numbers):
    """Returns the numbers of all processes, float64 with a row for each."""
    row = tf.constant([[float(number) for number in numbers]], "float64")
    return strategy.gather(strategy.run(lambda: row), axis=0).numpy()


def too_small(devices, size="of the data"):
    return (
        f"A batch {size} has fewer samples than the {devices} devices that share it; give batches "
        f"of at least {devices}, the last one of the data too."
    )
