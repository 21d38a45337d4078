"""Counts FLOPs, bytes and memory, and sets the precision, in each framework's own way."""

import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
from keras import ops

from benchmarks.step import jax_state

BACKEND = keras.backend.backend()
if BACKEND == "jax":
    import jax
elif BACKEND == "tensorflow":
    import tensorflow as tf
else:
    import torch
    from torch.utils import _python_dispatch, flop_counter


def on_gpu():
    if BACKEND == "jax":
        return jax.default_backend() == "gpu"
    if BACKEND == "tensorflow":
        return bool(tf.config.list_physical_devices("GPU"))
    return torch.cuda.is_available()


def set_precision(precision):
    """Sets the precision; with float32, no framework may use TensorFloat-32 on its own."""
    bfloat16, tf32 = precision == "bfloat16", precision == "tf32"
    keras.config.set_dtype_policy("mixed_bfloat16" if bfloat16 else "float32")
    if BACKEND == "jax" and not bfloat16:
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "highest")
    elif BACKEND == "tensorflow":
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
    elif BACKEND == "torch":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32


def peak_memory(run):
    """Returns the peak of memory in bytes while `run()` runs.

    On a CPU it is the process's; on a GPU the framework's, since the process started.
    """
    if not on_gpu():
        Path("/proc/self/clear_refs").write_text("5")  # Resets the peak, left by compiling.
    run()
    if not on_gpu():
        return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
    if BACKEND == "jax":
        return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
    if BACKEND == "tensorflow":
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return torch.cuda.max_memory_allocated()


def flops(gan, batch):
    """Returns the floating-point operations of one step, as the framework counts them.

    JAX: XLA's analysis of the whole step before optimization. TensorFlow: its profiler, over the
    operations of the traced step. torch: its registry of formulas, which covers convolutions and
    matrix products only.
    """
    if BACKEND == "jax":
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (jax_state(gan), (batch,))
        )
        # The analysis of what is not compiled yet exists on CPUs alone, and counts the same.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return jax.jit(gan.train_step).lower(*shapes).cost_analysis()["flops"]
    if BACKEND == "tensorflow":
        spec = tf.TensorSpec(batch.shape, batch.dtype)
        graph = (
            tf.function(lambda x: gan._step(gan._batch(x)), autograph=False)
            .get_concrete_function(spec)
            .graph
        )
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    return _torch_flops(lambda: gan._step(gan._batch(ops.convert_to_tensor(batch))))


def _torch_flops(run):
    """Counts like torch's `FlopCounterMode`, whose statistics by module fail on a penalty."""
    counts = []

    class Mode(_python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            formula = flop_counter.flop_registry.get(function._overloadpacket)
            if formula is not None:
                counts.append(formula(*args, **(kwargs or {}), out_val=result))
            return result

    with torch.no_grad(), Mode():
        run()
    return sum(counts)


def least_bytes(gan, batch_size):
    """Returns a lower bound of the bytes that a step moves.

    Counted are the layers with kernels, Adam and the moving average. Each pass of a layer (forward,
    gradient of the weights, gradient of the input) reads two of input, weights and output and
    writes the third; Adam reads four numbers per weight and writes three; the average reads two and
    writes one. Penalties are not counted.
    """
    steps = gan.discriminator_steps
    d_passes, g_passes = steps * 2 * 3 + 2, steps + 3
    total = _pass_bytes(gan.discriminator, batch_size, d_passes, steps * 2)
    total += _pass_bytes(gan.generator, batch_size, g_passes, 1)
    d_weights, g_weights = gan.discriminator.count_params(), gan.generator.count_params()
    return total + 4 * (
        7 * (steps * d_weights + g_weights) + 3 * g_weights * bool(gan.ema_momentum)
    )


def _pass_bytes(network, batch_size, passes, not_needed):
    """Returns the bytes of a network's passes; its first layer has `not_needed` fewer.

    While a network's own weights are trained, no gradient of its input is needed.
    """
    kernels = [layer for layer in network.layers if getattr(layer, "kernel", None) is not None]
    total = 0
    for i, layer in enumerate(kernels):
        width = 2 if layer.compute_dtype == "bfloat16" else 4
        shapes = [layer.input.shape[1:], layer.output.shape[1:]]
        numbers = batch_size * sum(map(math.prod, shapes)) + math.prod(layer.kernel.shape)
        total += width * numbers * (passes - not_needed * (i == 0))
    return total


def ceiling():
    """Returns FLOP/s of a large matrix product and bytes/s of a large copy.

    The product has the precision of Keras' dtype policy.
    """
    dtype = keras.config.dtype_policy().compute_dtype
    n = 8192 if on_gpu() else 1024
    matrix = ops.cast(keras.random.normal((n, n), seed=0), dtype)
    product = _best_seconds(lambda: ops.matmul(matrix, matrix))
    vector = ops.zeros((2**29,)) if on_gpu() else None
    copy = _best_seconds(lambda: vector + 1) if on_gpu() else _best_seconds(_threaded_copy())
    return {"flops": 2 * n**3 / product, "bytes": 2 * 4 * (2**29 if on_gpu() else 2**25) / copy}


def _threaded_copy(numbers=2**25):
    """Returns a function that copies with all cores into memory allocated once.

    The frameworks' own copies allocate their result at each call.
    """
    source, target = np.ones((2, 64, numbers // 64), "float32")
    pool = ThreadPoolExecutor()

    def copy():
        list(pool.map(np.copyto, target, source))
        return target

    return copy


def _best_seconds(run, calls=3, repeats=6):
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            result = run()
        ops.convert_to_numpy(result[..., :1])  # Wait for the result.
        best = min(best, (time.perf_counter() - start) / calls)
    return best
