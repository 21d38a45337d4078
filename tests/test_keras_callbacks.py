"""Keras' own callbacks do for a GAN what they do for any model; so do the arguments of `fit`."""

import csv
import math

import keras
import numpy as np
import pytest
from conftest import assert_equal, changed, fit, mlp_gan, pictures, points, values
from keras import callbacks, layers, ops
from keras.optimizers import SGD, Adam

import keras_gan
from keras_gan import GAN, losses
from keras_gan.callbacks import LinearDecay

TRAIN_LOGS = ["d_fake", "d_loss", "d_real", "g_loss"]
X = points(16)
HELD_OUT = points(8, seed=1)


@keras.saving.register_keras_serializable("tests")
class Scripted(keras.metrics.Metric):
    """Gives the listed results in turn, one per evaluation of one batch."""

    def __init__(self, script, name="scripted"):
        super().__init__(name=name)
        self.script, self.evaluations = list(script), 0

    def update_state(self, real, generated):
        self.evaluations += 1

    def result(self):
        return self.script[max(self.evaluations, 1) - 1]

    def get_config(self):
        return {"script": self.script, "name": self.name}


@pytest.mark.once
@pytest.mark.parametrize(("direction", "epochs"), [("down", 3), ("up", 2)])
def test_callbacks_know_which_way_a_metric_is_better(direction, epochs, tmp_path):
    scripted = Scripted([3.0, 2.0, 4.0, 1.0])
    scripted._direction = direction
    gan = mlp_gan()
    gan.compile(SGD(1e-3), SGD(1e-3), metrics=[scripted], run_eagerly=True)
    stop = callbacks.EarlyStopping("val_scripted", patience=1)
    keep = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.weights.h5", "val_scripted", save_best_only=True, save_weights_only=True
    )
    reduce = callbacks.ReduceLROnPlateau("val_scripted", factor=0.5, patience=1)
    watch = [stop, keep, reduce]
    history = fit(gan, X, epochs=3, validation_data=HELD_OUT, callbacks=watch)
    assert len(history["d_loss"]) == epochs
    saved = sorted(path.name[0] for path in tmp_path.iterdir())
    assert saved == ["1", "2"][: epochs - 1]
    assert rates(gan)[0] == pytest.approx(5e-4)  # Both saw one epoch without an improvement.
    assert [callback.mode for callback in watch] == ["auto"] * 3  # They stay as the user made them.


def test_keras_asks_for_a_mode_where_it_cannot_know_it(monkeypatch):
    monkeypatch.setattr("keras_gan.engine.keras_internals.training.MetricsList", None)
    scripted = Scripted([1.0, 2.0])
    scripted._direction = "down"
    gan = mlp_gan()
    gan.compile(metrics=[scripted])
    assert gan.metrics[1:] == [scripted]
    with pytest.raises(ValueError, match="mode='min'"):
        stop = callbacks.EarlyStopping("val_scripted")
        fit(gan, X, validation_data=HELD_OUT, callbacks=[stop])
    stop = callbacks.EarlyStopping("val_scripted", mode="min")
    fit(gan, X, validation_data=HELD_OUT, callbacks=[stop])


def test_what_gives_the_directions_holds_no_state():
    distance = keras_gan.metrics.SlicedWassersteinDistance(8)
    gan = keras_gan.create_model("vanilla", (8, 8, 1), metrics=[distance])
    assert [metric.name for metric in gan.metrics[1:]] == [distance.name, "metric_directions"]
    assert len(gan.metrics_variables) == len(gan.step_means.variables) + len(distance.variables)


def test_weights_that_are_not_finite_end_a_validated_training_too():
    gan = keras_gan.create_model(
        "vanilla", (8, 8, 1), metrics=[keras_gan.metrics.SlicedWassersteinDistance(8)]
    )
    gan.generator.set_weights([np.full_like(w, np.nan) for w in gan.generator.get_weights()])
    images = pictures(8)
    with np.errstate(invalid="ignore"):
        history = fit(
            gan, images, epochs=2, validation_data=images, callbacks=[callbacks.TerminateOnNaN()]
        )
    assert len(history["d_loss"]) == 1


class Interrupted(Exception):
    pass


class Recorder(callbacks.Callback):
    """The state of the model and the optimizers at the start and the end of each epoch."""

    def on_train_begin(self, logs=None):
        self.started, self.ended = {}, {}

    def on_epoch_begin(self, epoch, logs=None):
        self.started[epoch] = state(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.ended[epoch] = state(self.model)


def state(gan):
    """All that training changes: both networks, the average, both optimizers."""
    return values(gan.weights) + values(gan.optimizer)


def compiled(script=(), optimizer=Adam, rates=(1e-3, 4e-3), **options):
    gan = mlp_gan(**({"ema_momentum": 0.9, "seed": 1} | options))
    metrics = [Scripted(script)] if script else None
    gan.compile(optimizer(rates[0]), optimizer(rates[1]), metrics=metrics)
    return gan


def rates(gan):
    pair = (gan.optimizer.generator, gan.optimizer.discriminator)
    return [float(ops.convert_to_numpy(side.learning_rate)) for side in pair]


def columns(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_model_checkpoint_whole_model(tmp_path):
    gan, recorder = compiled(), Recorder()
    keep = callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    fit(gan, X, batch_size=8, epochs=2, callbacks=[keep, recorder])
    assert changed(recorder.ended[0], recorder.ended[1])[0]
    for epoch in (0, 1):
        loaded = keras.saving.load_model(tmp_path / f"{epoch + 1}.keras")
        assert_equal(state(loaded), recorder.ended[epoch])
        assert int(loaded.optimizer.iterations) == 2 * (epoch + 1)


def test_model_checkpoint_weights_only(tmp_path):
    gan, recorder = compiled(), Recorder()
    keep = callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    fit(gan, X, batch_size=8, epochs=2, callbacks=[keep, recorder])
    other = compiled(seed=2)
    other.load_weights(tmp_path / "1.weights.h5")
    assert_equal(state(other), recorder.ended[0])


@pytest.mark.once
@pytest.mark.parametrize(
    ("monitor", "suffix"), [("val_d_loss", ".keras"), ("val_scripted", ".weights.h5")]
)
def test_model_checkpoint_keeps_the_best(tmp_path, monitor, suffix):
    gan, recorder, path = compiled(script=[3, 1, 2]), Recorder(), tmp_path / f"best{suffix}"
    weights_only = suffix == ".weights.h5"
    # A discriminator with a large bias is wrong about all real or all generated samples.
    bias = gan.discriminator.layers[-1].bias
    disturb = callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: bias.assign(np.array([[9.0, 0.0, 9.0][epoch]]))
    )
    keep = callbacks.ModelCheckpoint(
        path, monitor=monitor, mode="min", save_best_only=True, save_weights_only=weights_only
    )
    watch = [disturb, keep, recorder]
    history = fit(gan, X, epochs=3, callbacks=watch, validation_data=HELD_OUT)
    assert np.argmin(history[monitor]) == 1
    if weights_only:
        loaded = compiled()
        loaded.load_weights(path)
    else:
        loaded = keras.saving.load_model(path)
    assert_equal(state(loaded), recorder.ended[1])


class Interruption(callbacks.Callback):
    """Stands for a kill after the given number of steps; keeps the state after each."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.states = steps, [None]

    def on_train_batch_end(self, batch, logs=None):
        self.states.append(state(self.model))
        if len(self.states) > self.steps:
            raise Interrupted


@pytest.mark.parametrize(("save_freq", "saved"), [("epoch", 4), (3, 6)])
def test_backup_and_restore(tmp_path, save_freq, saved):
    def backup():
        return callbacks.BackupAndRestore(tmp_path / "backup", save_freq=save_freq)

    # 4 batches an epoch, so the end comes within the second.
    interruption = Interruption(7)
    with pytest.raises(Interrupted):
        fit(compiled(), X, 4, epochs=4, callbacks=[backup(), interruption])

    keras.utils.set_random_seed(9)
    gan, resumed = compiled(), Recorder()
    assert changed(state(gan), interruption.states[saved])[0]
    history = fit(gan, X, 4, epochs=4, callbacks=[backup(), resumed])
    assert list(resumed.started) == [1, 2, 3]
    assert_equal(resumed.started[1], interruption.states[saved])
    assert len(history["d_loss"]) == 3
    assert not (tmp_path / "backup").exists()  # Finished, so no longer needed.


def test_early_stopping_restores_the_best_weights():
    gan, recorder = compiled(script=[3, 1, 2, 2, 2]), Recorder()
    stop = callbacks.EarlyStopping(
        "val_scripted", mode="min", patience=2, restore_best_weights=True
    )
    history = fit(gan, X, epochs=5, callbacks=[recorder, stop], validation_data=HELD_OUT)
    assert history["val_scripted"] == [3, 1, 2, 2]
    weights = values(gan.weights)
    assert_equal(weights, recorder.ended[1][: len(weights)])
    assert changed(weights, recorder.ended[3][: len(weights)])[0]


def test_reduce_lr_on_plateau_moves_both_rates():
    gan = compiled(script=[1, 2, 2, 2])
    reduce = callbacks.ReduceLROnPlateau("val_scripted", mode="min", factor=0.5, patience=1)
    history = fit(gan, X, epochs=3, callbacks=[reduce], validation_data=HELD_OUT)
    np.testing.assert_allclose(history["learning_rate"], [1e-3, 1e-3, 5e-4], rtol=1e-6)
    np.testing.assert_allclose(rates(gan), [2.5e-4, 1e-3], rtol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("part", "factors"),
    [(1.0, [1, 0.75, 0.5, 0.25]), (0.5, [1, 1, 1, 0.5]), (0.3, [1, 1, 1, 1 / 1.2])],
)
def test_rates_fall_in_the_last_part_of_a_training(part, factors):
    gan, seen = compiled(), []
    look = callbacks.LambdaCallback(on_epoch_begin=lambda *_: seen.append(rates(gan)))
    logs = fit(gan, points(4), epochs=4, callbacks=[LinearDecay(part), look])
    np.testing.assert_allclose(seen, np.outer(factors, [1e-3, 4e-3]), rtol=1e-5)
    np.testing.assert_allclose(logs["learning_rate"], np.multiply(factors, 1e-3), rtol=1e-5)
    np.testing.assert_allclose(rates(gan), [1e-3, 4e-3], rtol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("part", [0, -1, 1.5])
def test_only_a_part_of_a_training_can_be_the_last(part):
    with pytest.raises(ValueError, match="part must be in 0…1"):
        LinearDecay(part)


def test_learning_rate_scheduler_scales_the_real_updates():
    # With these losses and real samples of zero, the gradients of the two last biases are
    # constants, so the size of an SGD update shows its learning rate.
    generator = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    means = losses.AdversarialLoss(lambda real, fake: ops.mean(real), lambda fake: ops.mean(fake))
    gan = GAN(generator, discriminator, loss=means)
    gan.compile(SGD(0.1), SGD(0.4))
    slope = ops.convert_to_numpy(discriminator.layers[-1].kernel)[:, 0].copy()
    biases = []
    track = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: biases.append(
            [np.array(net.get_weights()[-1]) for net in (generator, discriminator)]
        )
    )
    planned = [0.1, 0.0, 0.05]
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: planned[epoch])
    x = np.zeros((8, 2), "float32")
    history = fit(gan, x, batch_size=4, epochs=3, callbacks=[schedule, track])
    before = [np.zeros(2), np.zeros(1)]
    for rate, after in zip(planned, biases, strict=True):
        np.testing.assert_allclose(after[0] - before[0], -2 * rate * slope, atol=1e-6)
        np.testing.assert_allclose(after[1] - before[1], [-2 * 4 * rate], atol=1e-6)
        before = after
    np.testing.assert_allclose(history["learning_rate"], planned)
    np.testing.assert_allclose(rates(gan), [0.05, 0.2], rtol=1e-6)


@pytest.mark.once
def test_csv_logger(tmp_path):
    gan, log = compiled(), tmp_path / "log.csv"
    history = fit(gan, X, epochs=2, callbacks=[callbacks.CSVLogger(log)], validation_data=HELD_OUT)
    rows = columns(log)
    assert list(rows[0]) == ["epoch"] + TRAIN_LOGS + [f"val_{name}" for name in TRAIN_LOGS]
    for name in list(rows[0])[1:]:
        np.testing.assert_allclose([float(row[name]) for row in rows], history[name], rtol=1e-6)


@pytest.mark.once
def test_tensorboard(tmp_path):
    pytest.importorskip("tensorflow")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    gan = compiled()
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq="batch")
    history = fit(gan, X, batch_size=8, epochs=2, callbacks=[board], validation_data=HELD_OUT)
    for part, prefix in (("train", ""), ("validation", "val_")):
        events = accumulator.EventAccumulator(str(tmp_path / part)).Reload()
        for name in TRAIN_LOGS:
            scalars = [
                float(np.frombuffer(e.tensor_proto.tensor_content, "float32")[0])
                if e.tensor_proto.tensor_content
                else e.tensor_proto.float_val[0]
                for e in events.Tensors(f"epoch_{name}")
            ]
            np.testing.assert_allclose(scalars, history[prefix + name], rtol=1e-5)


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_terminate_on_nan(side):
    gan, steps = compiled(optimizer=SGD), []
    count = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    broken = getattr(gan, side).trainable_variables[-2]
    broken.assign(np.full(broken.shape, np.nan, "float32"))
    fit(gan, X, batch_size=4, epochs=3, callbacks=[callbacks.TerminateOnNaN(), count])
    assert len(steps) == 1
    with pytest.raises(RuntimeError, match="NaN"):
        fit(gan, X, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])


def test_terminate_on_nan_lets_finite_losses_pass():
    history = fit(compiled(), X, epochs=2, callbacks=[callbacks.TerminateOnNaN()])
    assert len(history["d_loss"]) == 2


@pytest.mark.once
@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: [c], lambda c: [[c]]])
def test_swap_ema_weights_is_refused(wrap):
    gan = compiled()
    before = state(gan)
    with pytest.raises(ValueError, match="ema_momentum"):
        fit(gan, X, callbacks=wrap(callbacks.SwapEMAWeights()))
    assert_equal(state(gan), before)


@pytest.mark.once
def test_lambda_callback_gets_the_logs():
    batches, epochs, tests = [], [], []
    watch = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: batches.append((batch, dict(logs))),
        on_epoch_end=lambda epoch, logs: epochs.append((epoch, dict(logs))),
    )
    watch.on_test_end = lambda logs: tests.append(dict(logs))
    history = fit(compiled(), X, 4, epochs=2, callbacks=[watch], validation_data=HELD_OUT)
    assert [batch for batch, _ in batches] == [0, 1, 2, 3] * 2
    assert [sorted(logs) for _, logs in batches] == [TRAIN_LOGS] * 8
    assert all(math.isfinite(float(v)) for _, logs in batches for v in logs.values())
    assert [logs["d_loss"] for _, logs in epochs] == history["d_loss"]
    assert [logs["val_d_loss"] for _, logs in epochs] == [logs["d_loss"] for logs in tests]
    # The last batch's logs are the epoch's: means so far.
    assert float(batches[-1][1]["g_loss"]) == pytest.approx(history["g_loss"][-1])


@pytest.mark.once
def test_history():
    gan = compiled(script=[1.0, 2.0])
    result = gan.fit(X, epochs=2, verbose=0, validation_data=HELD_OUT)
    assert isinstance(result, callbacks.History)
    names = [*TRAIN_LOGS, *(f"val_{name}" for name in TRAIN_LOGS), "val_scripted"]
    assert sorted(result.history) == sorted(names)
    for series in result.history.values():
        assert [type(value) for value in series] == [float, float]
    assert "gradient_penalty" in fit(compiled(terms=["gradient_penalty"]), X)


@pytest.mark.once
def test_validation_split_is_held_out():
    class Seen(keras.metrics.Metric):
        def update_state(self, real, generated):
            seen.extend(ops.convert_to_numpy(real).tolist())

        def result(self):
            return 0.0

    seen, gan = [], mlp_gan()
    gan.compile(metrics=[Seen()])
    history = fit(gan, X, 4, validation_split=0.25, shuffle=True)
    assert sorted(seen) == sorted(X[12:].tolist())
    assert int(gan.optimizer.iterations) == 3
    assert "val_d_loss" in history


def test_validation_data_gives_what_evaluate_gives():
    gan = compiled(script=[0.5, 0.5])
    history = fit(gan, X, validation_data=HELD_OUT)
    expected = gan.evaluate(HELD_OUT, return_dict=True)
    for name, value in expected.items():
        assert history[f"val_{name}"] == pytest.approx([value], rel=1e-5, abs=1e-6)


@pytest.mark.once
def test_validation_freq():
    history = fit(compiled(), X, epochs=5, validation_data=HELD_OUT, validation_freq=2)
    assert len(history["d_loss"]) == 5
    assert len(history["val_d_loss"]) == 2


def test_initial_epoch_and_steps_per_epoch():
    gan, recorder = compiled(), Recorder()
    fit(gan, X, 4, epochs=5, initial_epoch=3, steps_per_epoch=2, callbacks=[recorder])
    assert list(recorder.started) == [3, 4]
    assert int(gan.optimizer.iterations) == 4
