"""One of several processes that train together on torch, for `test_ranks.py`.

`on_ranks.py CASE RANK COUNT PORT [VARIANT…]` prints what the process has computed, as JSON.
"""

import datetime
import json
import os
import signal
import subprocess
import sys

CASE, RANK, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": sys.argv[4], "WORLD_SIZE": str(COUNT)}

import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from conftest import fit, mlp_gan, pictures, points  # noqa: E402

import keras_gan  # noqa: E402
from keras_gan import engine  # noqa: E402
from keras_gan.engine.sharing import Sharing  # noqa: E402

BATCH, LATENT = 16, 3
TABLE = np.random.default_rng(5).standard_normal((BATCH, 128)).astype("float32")

if COUNT > 1:
    timeout = datetime.timedelta(seconds=20)
    torch.distributed.init_process_group("gloo", rank=RANK, world_size=COUNT, timeout=timeout)


def own_part(shape, seed):
    """Returns this process' part of latents that are the same in each step."""
    return torch.as_tensor(TABLE[RANK::COUNT, : shape[1]])


def sgd(gan, x, **options):
    """The losses of 20 steps of SGD on one batch, and the weights after them."""
    engine.normal = own_part
    gan.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05), **options)
    losses = fit(gan, x, BATCH, epochs=20)
    return {"losses": losses, "weights": [float(w.sum()) for w in gan.get_weights()]}


def perceptrons(**options):
    terms = [keras_gan.terms.R1(0.1), keras_gan.terms.LeCam(0.1, start=1)]
    return sgd(mlp_gan(terms=terms, ema_momentum=0.9), points(BATCH), **options)


def compiled():
    return perceptrons(jit_compile=True)


def convolutions():
    """Batch normalization under a penalty of the second order."""
    recipe = keras_gan.presets.get_recipe("dcgan")
    gan = keras_gan.GAN(
        recipe.generator((8, 8, 1), filters=8),
        recipe.discriminator((8, 8, 1), filters=8),
        terms=[keras_gan.terms.R1(0.1)],
    )
    return sgd(gan, pictures(BATCH))


class Overridden(keras_gan.GAN):
    """Takes each process' part of a batch once, in the step that it calls."""

    def train_step(self, data):
        return super().train_step(data)


def overridden():
    gan = mlp_gan()
    return sgd(Overridden(gan.generator, gan.discriminator), points(BATCH))


def noise():
    """Each rank draws its own; seeds of models that have none differ as well."""
    gan = mlp_gan()
    gan.compile()
    fit(gan, points(BATCH))
    return {
        "drawn": np.asarray(engine.normal((2, 2), gan.noise)).tolist(),
        "seed": gan._data_seed(),
    }


def decisions():
    """One rank stops; the other one does, too. Only the first one writes."""

    class Stops(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1 and RANK == 1

    gan = mlp_gan()
    gan.compile()
    log = keras.callbacks.CSVLogger(f"log_of_{RANK}.csv")
    epochs = len(gan.fit(points(64), batch_size=16, epochs=9, callbacks=[Stops(), log]).epoch)
    return {"epochs": epochs, "writes": os.path.exists(f"log_of_{RANK}.csv")}


def evaluated():
    """Scores in a training, and how many rows each call of a network has had here."""
    rows = []
    predicted = Sharing.predicted

    def watched(self, model, inputs):
        rows.append(len(inputs))
        return predicted(self, model, inputs)

    Sharing.predicted = watched
    gan = mlp_gan(ema_momentum=0.9)
    engine.normal = own_part
    sgd = keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05)
    gan.compile(*sgd, metrics=[keras_gan.metrics.FrechetDistance("values")])
    history = fit(gan, points(BATCH), BATCH, validation_data=points(21, seed=1))
    alone = gan.evaluate(points(21, seed=1), verbose=0)
    return {"history": history, "rows": rows, "alone": alone}


def resumed(totals=(1, 3)):
    """A run of one epoch, and then of three: the processes read one state, and one writes."""
    epochs = []
    for total in totals:
        gan = mlp_gan(ema_momentum=0.9)
        gan.compile()
        run = keras_gan.runs.Run("run")
        gan.fit(points(64), batch_size=16, epochs=total, callbacks=[run], verbose=0)
        epochs.append(len(run.rows))
    weights = [float(w.sum()) for w in gan.get_weights()]
    drawn = np.asarray(engine.normal((2, 2), gan.noise)).tolist()
    return {
        "epochs": epochs,
        "weights": weights,
        "drawn": drawn,
        "updates": int(gan.optimizer.iterations),
    }


def gone_on():
    """That run, with another number of processes."""
    return resumed(totals=(4,))


def errors():
    gan = mlp_gan()
    gan.compile()

    def generator(number):
        for seed in range(number):
            yield points(16, seed=seed)

    def of_rank(x, **options):
        try:
            gan.fit(x, verbose=0, **options)
        except ValueError as error:
            return str(error)
        return None

    return {
        "indivisible": of_rank(points(15), batch_size=15),
        "last": of_rank(points(33), batch_size=16),
        "unequal": of_rank(points(16 * (1 + RANK)), batch_size=16),
        "other data": of_rank(points(16, seed=RANK), batch_size=16),
        "generator": of_rank(generator(3)),
        "works": of_rank(points(16), batch_size=16),
    }


def killed():
    class Dies(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if RANK == 1 and batch == 3:
                if CASE == "stalled":  # For longer than the others wait.
                    subprocess.Popen(["sh", "-c", f"sleep 60; kill -KILL {os.getpid()}"])
                    os.kill(os.getpid(), signal.SIGSTOP)
                os.kill(os.getpid(), signal.SIGKILL)

    gan = mlp_gan()
    gan.compile()
    try:
        fit(gan, points(160), 16, callbacks=[Dies()])
    except RuntimeError as error:
        return {"error": str(error)}
    return {}


stalled = killed


def variants():
    """The first steps of each variant that is named; see `shared_steps.py`."""
    from shared_steps import first_steps

    def ordered(x, updates):  # A process takes every COUNT-th sample, and so does an update of it.
        parts = x.reshape(-1, COUNT, updates, *x.shape[1:])
        return np.ascontiguousarray(parts.swapaxes(1, 2)).reshape(x.shape)

    for variant in sys.argv[5:]:
        losses, [discriminator, generator] = first_steps(variant, lambda x: x[RANK::COUNT], ordered)
        if RANK == 0:
            path = f"{variant}-{COUNT}.npz"
            np.savez(path, **losses, discriminator=discriminator, generator=generator)


keras.utils.set_random_seed(0)
print(json.dumps(globals()[CASE]()))
