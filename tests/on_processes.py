"""One of several processes that train together on JAX, for `test_workers.py`.

`on_processes.py CASE NUMBER PORT…` prints what the process has computed, as JSON; of the ports, one
for each process, the first is used.
"""

import json
import os
import signal
import subprocess
import sys

CASE, NUMBER, PORTS = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
COUNT = len(PORTS)

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

if COUNT > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    addresses = ",".join(f"127.0.0.1:{port}" for port in PORTS)
    if CASE == "stalled":  # As Keras does, with a limit of seconds.
        jax.distributed.initialize(
            f"127.0.0.1:{PORTS[0]}", COUNT, NUMBER, heartbeat_timeout_seconds=15
        )
    else:
        keras.distribution.initialize(addresses, COUNT, NUMBER)
keras.distribution.set_distribution(
    keras.distribution.DataParallel(auto_shard_dataset=False)
    if COUNT > 1
    else keras.distribution.DataParallel()
)

from conftest import fit, mlp_gan, pictures, points  # noqa: E402

import keras_gan  # noqa: E402
from keras_gan import create_model, engine, metrics  # noqa: E402

BATCH = 16
LATENTS = np.random.default_rng(5).standard_normal((BATCH, 3)).astype("float32")


class Stops(keras.callbacks.Callback):
    """Ends the training after two epochs in the last process alone."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1 and NUMBER == COUNT - 1


class Dies(keras.callbacks.Callback):
    """Ends the last process without a word, or stops it for longer than the others wait."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2 and NUMBER == COUNT - 1:
            if CASE == "stalled":
                subprocess.Popen(["sh", "-c", f"sleep 90; kill -KILL {os.getpid()}"])
                os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGKILL)


def sgd():
    """The losses of 20 steps, and the weights after them."""
    drawn, engine.normal = engine.normal, lambda shape, seed: keras.ops.convert_to_tensor(LATENTS)
    gan = mlp_gan(terms=[keras_gan.terms.R1(0.1)])
    gan.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
    losses = fit(gan, points(BATCH), BATCH, epochs=20)
    engine.normal = drawn
    return losses, [float(np.asarray(w).sum()) for w in gan.get_weights()]


def run(epochs):
    """A run with scores, and what it leaves."""
    gan = create_model("dcgan", (8, 8, 1), 0, [metrics.SlicedWassersteinDistance(8)])
    options = {"validation_data": pictures(80, seed=1), "verbose": 0}
    options |= {"batch_size": 40, "epochs": epochs, "callbacks": [keras_gan.runs.Run("run")]}
    return gan.fit(pictures(80), **options).history


def stopped():
    """One process wants to stop, and only the first one writes."""
    gan = mlp_gan()
    gan.compile()
    path = f"log_of_{NUMBER}.csv"
    callbacks = [Stops(), keras.callbacks.CSVLogger(path)]
    epochs = len(fit(gan, points(64), 16, epochs=9, callbacks=callbacks)["d_loss"])
    return {"epochs": epochs, "writes": os.path.exists(path), "leads": gan.leads}


def killed():
    """What the others say when one is killed, or does not go on."""
    gan = mlp_gan()
    gan.compile()
    try:
        fit(gan, points(64), 16, epochs=1000, callbacks=[Dies()])
    except RuntimeError as error:
        return str(error)
    return None


def uneven():
    """What all say where one has more batches."""
    gan = mlp_gan()
    gan.compile()
    try:
        fit(gan, points(64 + 16 * NUMBER), 16)
    except ValueError as error:
        return str(error)
    return None


keras.utils.set_random_seed(0)
if CASE == "together":
    report = {"sgd": sgd(), "run": run(2), "stopped": stopped()}
elif CASE == "resumed":
    report = {"run": run(3)}
elif CASE == "uneven":
    report = {"uneven": uneven()}
else:
    report = {CASE: killed()}
print(json.dumps(report), flush=True)
if CASE in ("killed", "stalled"):
    os._exit(0)  # JAX would wait for the process that has been killed.
