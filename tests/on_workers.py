"""One of several processes that train together on TensorFlow, for `test_workers.py`.

`on_workers.py CASE NUMBER PORT…` prints what the process has computed, as JSON.
"""

import json
import os
import signal
import subprocess
import sys

CASE, NUMBER, PORTS = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
if len(PORTS) > 1:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in PORTS]}
    os.environ["TF_CONFIG"] = json.dumps(
        {"cluster": cluster, "task": {"type": "worker", "index": NUMBER}}
    )

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from conftest import fit, mlp_gan, pictures, points  # noqa: E402

import keras_gan  # noqa: E402
from keras_gan import create_model, engine, metrics  # noqa: E402

BATCH, COUNT = 16, len(PORTS)
LATENTS = np.random.default_rng(5).standard_normal((BATCH, 3)).astype("float32")
if COUNT > 1:
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=tf.distribute.experimental.CommunicationOptions(timeout_seconds=20)
    )
else:
    strategy = tf.distribute.get_strategy()


def own_part(shape, seed):
    """Returns this process' part of latents that are the same in each step."""
    first = tf.distribute.get_replica_context().replica_id_in_sync_group * shape[0]
    return keras.ops.slice(LATENTS, (first, 0), (BATCH // COUNT, 3))


class Stops(keras.callbacks.Callback):
    """Ends the training after two epochs in the last process alone."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1 and NUMBER == COUNT - 1


def sgd():
    """The losses of 20 steps, and the weights after them."""
    drawn, engine.normal = engine.normal, own_part
    with strategy.scope():
        gan = mlp_gan(terms=[keras_gan.terms.R1(0.1)])
        gan.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
    losses = fit(gan, points(BATCH), BATCH, epochs=20)
    engine.normal = drawn
    return losses, [float(w.sum()) for w in gan.get_weights()]


def run(epochs):
    """A run with scores, and what it leaves."""
    with strategy.scope():
        distance = metrics.SlicedWassersteinDistance(8)
        gan = create_model("dcgan", (8, 8, 1), 0, [distance])
    options = {"validation_data": pictures(80, seed=1), "verbose": 0}
    callbacks = [keras_gan.runs.Run("run")]
    return gan.fit(
        pictures(80), batch_size=40, epochs=epochs, callbacks=callbacks, **options
    ).history


def stopped():
    """One process wants to stop, and only the first one writes."""
    with strategy.scope():
        gan = mlp_gan()
        gan.compile()
    path = f"log_of_{NUMBER}.csv"
    callbacks = [Stops(), keras.callbacks.CSVLogger(path)]
    epochs = len(fit(gan, points(64), 16, epochs=9, callbacks=callbacks)["d_loss"])
    return {"epochs": epochs, "writes": os.path.exists(path), "leads": gan.leads}


class Dies(keras.callbacks.Callback):
    """Ends the last process without a word, or stops it for longer than the others wait."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2 and NUMBER == COUNT - 1:
            if CASE == "stalled":
                subprocess.Popen(["sh", "-c", f"sleep 90; kill -KILL {os.getpid()}"])
                os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGKILL)


def killed():
    """What the others say when one is killed, or does not go on."""
    with strategy.scope():
        gan = mlp_gan()
        gan.compile()
    try:
        fit(gan, points(64), 16, epochs=1000, callbacks=[Dies()])
    except RuntimeError as error:
        return str(error)
    return None


def uneven():
    """What all say where one has more batches."""
    with strategy.scope():
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
os._exit(0)  # TensorFlow may wait for a process that has been killed.
