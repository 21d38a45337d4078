"""What the frameworks count, or let one set, in ways of their own: FLOPs, memory, precision."""

import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
from keras import ops

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
    """float32 means just that: no framework may turn to TensorFloat-32 by itself."""
    bfloat16, tf32 = precision == "bfloat16", precision == "tf32"
    keras.config.set_dtype_policy("mixed_bfloat16" if bfloat16 else "float32")
    if BACKEND == "jax" and not bfloat16:
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "highest")
    elif BACKEND == "tensorflow":
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
    elif BACKEND == "torch":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32


def peak_memory(run):
    """Bytes at the peak of `run()`: the process's on a CPU; on a GPU the framework's, so far."""
    if not on_gpu():
        Path("/proc/self/clear_refs").write_text("5")  # Forgets the peak of compiling.
    run()
    if not on_gpu():
        return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
    if BACKEND == "jax":
        return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
    if BACKEND == "tensorflow":
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return torch.cuda.max_memory_allocated()


def flops(gan, batch):
    """Floating-point operations of one step, as the framework counts them.

    JAX: XLA's analysis of the step before it is optimized, everything included. TensorFlow: its
    profiler, by the operations of the traced step. torch: its registry of formulas, convolutions
    and matrix products alone.
    """
    if BACKEND == "jax":
        state = gan._get_jax_state(
            trainable_variables=True,
            non_trainable_variables=True,
            optimizer_variables=True,
            metrics_variables=True,
        )
        return jax.jit(gan.train_step).lower(state, (batch,)).cost_analysis()["flops"]
    if BACKEND == "tensorflow":
        spec = tf.TensorSpec(batch.shape, batch.dtype)
        graph = tf.function(gan._step, autograph=False).get_concrete_function(spec).graph
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    return _torch_flops(lambda: gan._step(ops.convert_to_tensor(batch)))


def _torch_flops(run):
    """What `FlopCounterMode` gives, less its account by module, which no penalty gets through."""
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
    """Bytes that a step moves even if all but the layers with kernels cost nothing.

    Each of their passes (forward, gradient of the weights, gradient of the input) reads two of
    input, weights and output and writes the third; Adam reads four numbers per weight and writes
    three; the moving average reads two and writes one. Penalties are left out.
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
    """The first layer needs no gradient of its input where the network's own weights learn."""
    kernels = [layer for layer in network.layers if getattr(layer, "kernel", None) is not None]
    total = 0
    for i, layer in enumerate(kernels):
        width = 2 if layer.compute_dtype == "bfloat16" else 4
        shapes = [layer.input.shape[1:], layer.output.shape[1:]]
        numbers = batch_size * sum(map(math.prod, shapes)) + math.prod(layer.kernel.shape)
        total += width * numbers * (passes - not_needed * (i == 0))
    return total


def ceiling():
    """FLOP/s of a large matrix product and bytes/s of a large copy, at the policy's precision."""
    dtype = keras.config.dtype_policy().compute_dtype
    n = 8192 if on_gpu() else 1024
    matrix = ops.cast(keras.random.normal((n, n), seed=0), dtype)
    product = _best_seconds(lambda: ops.matmul(matrix, matrix))
    vector = ops.zeros((2**29,)) if on_gpu() else None
    copy = _best_seconds(lambda: vector + 1) if on_gpu() else _best_seconds(_threaded_copy())
    return {"flops": 2 * n**3 / product, "bytes": 2 * 4 * (2**29 if on_gpu() else 2**25) / copy}


def _threaded_copy(numbers=2**25):
    """A copy by all cores into memory that is there already; frameworks allocate it anew."""
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
        ops.convert_to_numpy(result[..., :1])  # Waits.
        best = min(best, (time.perf_counter() - start) / calls)
    return best
