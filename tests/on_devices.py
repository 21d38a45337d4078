"""What a number of CPU devices compute, for `test_devices.py`: `on_devices.py COUNT [VARIANT…]`.

With names of variants, only their first steps, into files; see `shared_steps.py`.
"""

import contextlib
import json
import os
import sys

COUNT, VARIANTS = int(sys.argv[1]), sys.argv[2:]
FAST = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
FLAGS = os.environ.get("XLA_FLAGS", FAST)
os.environ["XLA_FLAGS"] = f"{FLAGS} --xla_force_host_platform_device_count={COUNT}"

import keras  # noqa: E402
import numpy as np  # noqa: E402
from conftest import fit, mlp_gan, pictures, points  # noqa: E402

import keras_gan  # noqa: E402
from keras_gan import create_model, engine, metrics  # noqa: E402
from keras_gan.datasets.batches import SeededBatches  # noqa: E402

JAX = keras.backend.backend() == "jax"
BATCH = 32
LATENTS = np.random.default_rng(5).standard_normal((BATCH, 3)).astype("float32")

if JAX:
    strategy = None
    keras.distribution.set_distribution(keras.distribution.DataParallel())
else:
    import tensorflow as tf

    config = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], COUNT * [config]
    )
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(COUNT)])


def drawn():
    """Returns four latents as the devices draw them."""
    seed = keras.random.SeedGenerator(0)
    if JAX:
        return np.asarray(engine.normal((4, 2), seed))
    parts = strategy.run(lambda: engine.normal((4 // COUNT, 2), seed))
    return np.concatenate(strategy.experimental_local_results(parts))


def own_part(shape, seed):
    """Returns the same latents in each step; TensorFlow's replicas take their part of them."""
    first = 0 if JAX else tf.distribute.get_replica_context().replica_id_in_sync_group * shape[0]
    return keras.ops.slice(LATENTS, (first, 0), (BATCH if JAX else BATCH // COUNT, 3))


def trained_with_sgd():
    """Returns the losses of 20 steps of SGD, in which a sum in place of a mean shows."""
    drawn, engine.normal = engine.normal, own_part
    gan = mlp_gan(terms=[keras_gan.terms.R1(0.1)])
    gan.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
    losses = fit(gan, points(BATCH), BATCH, epochs=20)
    engine.normal = drawn
    return losses


def message(call):
    """Returns what an error says, or None without one."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def own(x):
    """Returns this device's part of a whole batch."""
    if JAX:
        return x
    size = x.shape[0] // COUNT
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return keras.ops.slice(x, (replica * size, *[0] * (len(x.shape) - 1)), (size, *x.shape[1:]))


for variant in VARIANTS:
    from shared_steps import first_steps

    scope = strategy.scope if strategy else contextlib.nullcontext
    losses, gradients = first_steps(variant, own, scope=scope)
    np.savez(f"{variant}-{COUNT}.npz", **losses, discriminator=gradients[0], generator=gradients[1])
if VARIANTS:
    sys.exit()

report = {}
keras.utils.set_random_seed(0)
with strategy.scope() if strategy else contextlib.nullcontext():
    report["drawn"] = drawn().tolist()
    report["sgd"] = trained_with_sgd()
    distance = metrics.SlicedWassersteinDistance(8)
    gan = create_model("dcgan", (8, 8, 1), 0, [distance])
report["samples"] = gan.generate(3, seed=0).tolist()
report["fit"] = fit(gan, pictures(80), 40, epochs=2, validation_data=pictures(80, seed=1))
report["num_generated"] = distance.protocol["num_generated"]
if COUNT > 1:
    report["last is too small"] = message(lambda: fit(gan, pictures(33), 32))
    loader = SeededBatches(pictures(33), 32)
    if not JAX:
        loader = tf.data.Dataset.from_tensor_slices(pictures(33)).batch(32)
    report["loader"] = message(lambda: fit(gan, loader))
    report["single"] = message(lambda: fit(gan, pictures(32), 1))
    report["finite"] = bool(all(np.isfinite(w).all() for w in gan.get_weights()))
print(json.dumps(report))
