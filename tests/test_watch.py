"""The watch: it sees trainings made to fail in each way, and does what was asked for."""

import warnings

import keras
import numpy as np
import pytest
from conftest import assert_equal, mlp_gan, numpy, points, values
from keras import layers

from keras_gan import GAN, watch
from keras_gan.watch import Watch


def trained(gan, rates, callbacks, samples=None, epochs=1, optimizer=keras.optimizers.SGD):
    """Fits 50 steps an epoch; returns what was warned of."""
    gan.compile(*map(optimizer, rates))
    samples = points(400) if samples is None else samples
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gan.fit(samples, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks)
    return [str(w.message) for w in told if str(w.message).startswith("Epoch")]


@pytest.mark.parametrize("on_trouble", ["warn", "stop"])
def test_losses_that_are_not_finite_end_the_epoch(on_trouble):
    gan, look = mlp_gan(loss="least_squares"), Watch(on_trouble, every=5)
    [told] = trained(gan, (1e20, 1e20), [look], epochs=3)
    assert "no longer finite" in told and "the training stops" in told
    assert numpy(gan.optimizer.iterations) < 50  # Within the first epoch.
    assert len(look.troubles) == 1


def test_weights_that_are_not_finite():
    class Spoils(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.discriminator.layers[-1].bias.assign([np.inf])

    gan = mlp_gan()
    [told] = trained(gan, (0.01, 0.01), [Spoils(), Watch(every=20)], epochs=2)
    assert "weights" in told and "bias" in told and "stops" in told
    assert numpy(gan.optimizer.iterations) == 50


def test_divergence():
    gan = mlp_gan(loss="wasserstein")
    look = Watch("stop", every=5)
    [told] = trained(gan, (1e5, 1e5), [look], epochs=2, optimizer=keras.optimizers.Adam)
    assert "diverges" in told and "e+" in told
    assert all(np.isfinite(w).all() for w in gan.get_weights())


@pytest.mark.parametrize("loss", ["non_saturating", "hinge", "relativistic", "least_squares"])
def test_a_discriminator_that_wins(loss):
    far = 0.1 * points(400) + 20.0
    gan = mlp_gan(loss=loss, units=16)
    rates = (0.0, 0.02)
    [told] = trained(gan, rates, [Watch(every=10)], far, 6, keras.optimizers.Adam)
    assert "wins outright" in told
    assert numpy(gan.optimizer.iterations) == 300  # It is only a warning.


def collapsing():
    """A GAN whose discriminator does not learn: the generator runs into one corner."""
    generator = keras.Sequential([keras.Input((3,)), layers.Dense(2, "tanh")])
    discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    return GAN(generator, discriminator)


def test_collapse(monkeypatch):
    monkeypatch.setattr(watch, "START", 100)
    told = trained(collapsing(), (10.0, 0.0), [Watch("stop", every=20)], epochs=20)
    assert len(told) == 1 and "collapsed" in told[0] and "times as much as real ones" in told[0]


def test_the_spread_of_samples():
    rows = np.random.default_rng(0).standard_normal((300, 2, 3))
    distances = ((rows[:, None] - rows[None]) ** 2).mean(axis=(2, 3))
    assert watch.spread(rows) == pytest.approx(np.sqrt(distances.sum() / (300 * 299)))
    assert watch.spread(rows[:1]) == 0.0 and watch.spread(0 * rows) == 0.0


class SpoilsOnce(keras.callbacks.Callback):
    """Makes a weight NaN before one step."""

    def __init__(self, epoch, step):
        super().__init__()
        self.when = [epoch, step]

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if [self.epoch, batch] == self.when:
            self.when = None
            self.model.generator.layers[0].bias.assign(4 * [np.nan])


class Remembers(keras.callbacks.Callback):
    """Keeps all weights at the end of each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.__dict__.setdefault("kept", []).append(values(self.model))


def test_rolling_back_to_the_last_good_epoch(monkeypatch):
    gan, remembers, look = mlp_gan(ema_momentum=0.9), Remembers(), Watch("roll_back", every=10)
    told = trained(gan, (0.02, 0.01), [SpoilsOnce(1, 13), look, remembers], epochs=2)
    assert len(told) == 1 and "back to the last good state, with learning rate 0.01" in told[0]
    assert numpy(gan.optimizer.learning_rate) == np.float32(0.01)
    assert numpy(gan.optimizer.discriminator.learning_rate) == np.float32(0.005)
    # The NaN is seen at step 20, and 30 steps of the epoch are left.
    assert numpy(gan.optimizer.iterations) == 50 + 30
    assert all(np.isfinite(w).all() for w in gan.get_weights())
    logs = gan.history.history
    assert np.isfinite(logs["d_loss"]).all() and np.isfinite(logs["g_loss"]).all()


def test_what_is_rolled_back_to():
    gan, remembers, look = mlp_gan(), Remembers(), Watch("roll_back", every=25)
    # Seen after the last step of the epoch.
    trained(gan, (0.02, 0.01), [remembers, SpoilsOnce(1, 40), look], epochs=2)
    good, bad = remembers.kept
    assert np.isnan(np.concatenate([v.ravel() for v in bad])).any()
    assert_equal(values(gan), good)


def test_rolling_back_again_and_again_stops():
    gan, look = mlp_gan(loss="least_squares"), Watch("roll_back", every=5)
    told = trained(gan, (1e20, 1e20), [look], epochs=10)
    assert len(told) == 4 and "the training stops" in told[-1]


def test_a_schedule_cannot_be_rolled_back():
    gan = mlp_gan()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    gan.compile(keras.optimizers.SGD(schedule), keras.optimizers.SGD(schedule))
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        gan.fit(points(8), verbose=0, callbacks=[Watch("roll_back")])


def test_a_healthy_training_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(watch, "START", 10)
    kept = []
    for callbacks in ([], [Watch("roll_back", every=7)]):
        keras.utils.set_random_seed(3)
        gan = mlp_gan(seed=4, ema_momentum=0.9)
        assert trained(gan, (0.05, 0.05), callbacks, epochs=3) == []
        kept.append(values(gan))
    assert_equal(*kept)


def test_an_unknown_action():
    with pytest.raises(ValueError, match="warn, stop, roll_back; got 'pray'"):
        Watch("pray")
