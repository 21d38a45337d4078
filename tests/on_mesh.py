"""A generator divided over a mesh of four CPU devices on JAX, for `test_devices.py`.

`on_mesh.py ROWS COLUMNS` prints the losses, and how the weights and their moments lie.
"""

import json
import os
import sys

ROWS, COLUMNS = map(int, sys.argv[1:])
FAST = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{FAST} --xla_force_host_platform_device_count={ROWS * COLUMNS}"

import keras  # noqa: E402
from conftest import fit, pictures  # noqa: E402

import keras_gan  # noqa: E402

mesh = keras.distribution.DeviceMesh((ROWS, COLUMNS), ("batch", "model"))
layout = keras.distribution.LayoutMap(mesh)
layout["^(?!discriminator).*dense.*kernel"] = (None, "model")
keras.distribution.set_distribution(
    keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
)
keras.utils.set_random_seed(0)
gan = keras_gan.create_model("vanilla", (8, 8, 1), seed=0)
losses = fit(gan, pictures(32), epochs=3)
sides = {"generator": gan.generator.weights, "average": gan.ema_generator.weights}
sides |= {"moments": gan.optimizer.variables, "discriminator": gan.discriminator.weights}
divided = {
    side: sum("model" in getattr(v.value.sharding, "spec", ()) for v in variables)
    for side, variables in sides.items()
}
print(json.dumps({"losses": losses, "divided": divided}))
