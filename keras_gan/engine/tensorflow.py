"""TensorFlow: gradient tapes inside the one function that Keras' trainer makes."""

from functools import partial

import keras
import tensorflow as tf

from keras_gan.engine.scopes import CopiedScope


def value_and_grad(fn, variables):
    """Returns `(loss, aux), gradients` of `fn() -> (loss, aux)` with respect to `variables`."""
    values = [v.value for v in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        outputs = fn()
    return outputs, tape.gradient(outputs[0], values)


def input_gradient(fn, x):
    """Returns the gradient of `sum(fn(x))` with respect to `x`, itself differentiable."""
    with tf.GradientTape(watch_accessed_variables=False) as tape, CopiedScope():
        tape.watch(x)
        total = keras.ops.sum(fn(x))
    return tape.gradient(total, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def apply(optimizer, gradients, variables):
    """Updates `variables`, some or all of those that the optimizer was built with."""
    adam = keras.optimizers.Adam.update_step
    if type(optimizer).update_step is adam and not optimizer.amsgrad:
        optimizer.update_step = partial(_adam_step, optimizer)
    optimizer.apply(gradients, variables)


def _adam_step(optimizer, gradient, variable, learning_rate):
    """Keras' own update in one kernel, where Keras makes a dozen passes over the memory."""
    if isinstance(gradient, tf.IndexedSlices):
        return type(optimizer).update_step(optimizer, gradient, variable, learning_rate)
    i, step = optimizer._get_variable_index(variable), optimizer.iterations + 1
    numbers = (step, learning_rate, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon)
    step, rate, beta1, beta2, epsilon = (tf.cast(x, variable.dtype) for x in numbers)
    return tf.raw_ops.ResourceApplyAdam(
        var=variable.handle, m=optimizer._momentums[i].value.handle,
        v=optimizer._velocities[i].value.handle, beta1_power=beta1**step, beta2_power=beta2**step,
        lr=rate, beta1=beta1, beta2=beta2, epsilon=epsilon, grad=tf.cast(gradient, variable.dtype),
    )  # fmt: skip


def batch_norm(x, scale, offset, epsilon):
    """Returns `x` normalized over all axes but the last, and the means and variances of these."""
    empty = tf.zeros((0,))
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=empty, variance=empty, epsilon=epsilon
    )
    count = tf.cast(tf.size(x) // tf.size(mean), variance.dtype)
    return y, mean, variance * (count - 1) / count


normal, uniform = keras.random.normal, keras.random.uniform


def enable_compilation_cache(folder):
    raise RuntimeError("TensorFlow has no persistent compilation cache; JAX and torch have.")


def loader(array, batch_size, shuffle):
    """An array's batches as a `tf.data.Dataset`; Keras is to neither batch nor shuffle them.

    Without autotuning, for whose thread TensorFlow 2.21 was seen to wait at the end of epochs.
    """
    array = tf.constant(keras.ops.convert_to_numpy(array))
    numbers = tf.data.Dataset.range(len(array))
    if shuffle:
        numbers = numbers.shuffle(len(array))
    # Where all are whole, their size is known to the compiler.
    batches = numbers.batch(batch_size, drop_remainder=len(array) % batch_size == 0)
    batches = batches.map(lambda i: (tf.gather(array, i),)).prefetch(1)
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options), None, False


def device_name():
    return tf.config.list_logical_devices()[-1].device_type


def free_memory():
    """None: tf.data feeds this backend, and copies ahead to the device by itself."""
    return


class Trainer:
    """Fits `_step(data) -> logs` to Keras' TensorFlow trainer."""

    def train_step(self, data):
        return self._step(data)
