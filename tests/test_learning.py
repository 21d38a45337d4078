"""Small GANs that learn: every loss on a ring of Gaussians, and a recurrent pair on sines."""

import keras
import numpy as np
import pytest
from conftest import BACKEND, LOSSES, fit
from keras import layers
from keras.optimizers import Adam

from keras_gan import GAN
from keras_gan.terms import GradientPenalty

# On a busy machine "auto" would start to compile on torch, which takes longer than these runs.
JIT = BACKEND != "torch"
WIDTH = 0.1  # Standard deviation of each mode; the ring's radius is 1, its modes 0.77 apart.

# Learning rates of generator and discriminator, samples per discriminator update, steps. On this
# ring saturating minimax needs nothing special: with 8 modes in reach, the discriminator does not
# win early. Hinge leaves modes out unless the discriminator is the faster one. Wasserstein needs
# several critic steps; a λ of 10 would hold the critic so flat that 400 steps do not suffice.
DEFAULT = {"rates": (1e-3, 2e-3), "batch": 256, "steps": 700, "options": {}}
SETTINGS = {
    "hinge": {"rates": (7e-4, 3e-3)},
    "wasserstein": {
        "rates": (2.5e-3, 2.5e-3),
        "batch": 128,
        "steps": 400,
        "options": {"terms": [GradientPenalty(0.1)], "discriminator_steps": 3},
    },
}


def centres():
    angles = 2 * np.pi * np.arange(8) / 8
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def ring(n, seed=0):
    random = np.random.default_rng(seed)
    noise = WIDTH * random.standard_normal((n, 2))
    return (centres()[random.integers(0, 8, n)] + noise).astype("float32")


def modes_found(samples):
    """Modes with at least 1% of the samples within 3 standard deviations of their centre."""
    distances = np.linalg.norm(samples[:, None] - centres(), axis=-1)
    return int(np.sum(np.mean(distances < 3 * WIDTH, axis=0) >= 0.01))


def perceptron(inputs, outputs, units=64):
    hidden = [layer for _ in range(2) for layer in (layers.Dense(units), layers.LeakyReLU(0.2))]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs)])


def test_the_measure_tells_a_ring_from_a_heap():
    assert modes_found(ring(2000)) == 8
    assert modes_found(ring(2000)[:1] + np.zeros((2000, 1))) == 1
    assert modes_found(0.2 * ring(2000)) == 0


def train_on_ring(loss):
    settings = DEFAULT | SETTINGS.get(loss, {})
    gan = GAN(
        perceptron(8, 2), perceptron(2, 1), loss=loss, ema_momentum=0.99, **settings["options"]
    )
    optimizers = (Adam(rate, beta_1=0.5, beta_2=0.9) for rate in settings["rates"])
    gan.compile(*optimizers, jit_compile=JIT)
    batch = settings["batch"] * gan.discriminator_steps
    fit(gan, ring(batch * settings["steps"] // 4), batch_size=batch, epochs=4)
    return gan.generate(2000, seed=1, batch_size=2000)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_finds_the_modes_of_a_ring(loss):
    samples = train_on_ring(loss)
    assert modes_found(samples) >= 7
    # And most samples lie on modes; 3 standard deviations hold 99% of the real ones.
    distances = np.linalg.norm(samples[:, None] - centres(), axis=-1).min(axis=1)
    assert np.mean(distances < 3 * WIDTH) > 0.4


LENGTH, PERIODS = 12, 2


def sines(n, seed=0):
    """Sines of one frequency and any phase, `(n, LENGTH, 1)`."""
    phase = np.random.default_rng(seed).random((n, 1, 1))
    time = np.arange(LENGTH).reshape(1, -1, 1) / LENGTH
    return np.sin(2 * np.pi * (PERIODS * time + phase)).astype("float32")


def purity(sequences):
    """The share of the spectrum's power that lies at the sines' frequency, and that power."""
    power = np.abs(np.fft.rfft(sequences[..., 0], axis=1)) ** 2
    return power[:, PERIODS].sum() / power.sum(), power[:, PERIODS].mean()


def test_recurrent_networks_learn_sines():
    generator = keras.Sequential(
        [
            keras.Input((3,)),
            layers.RepeatVector(LENGTH),
            layers.GRU(24, return_sequences=True),
            layers.Dense(1),
        ]
    )
    discriminator = keras.Sequential([keras.Input((LENGTH, 1)), layers.GRU(24), layers.Dense(1)])
    gan = GAN(generator, discriminator, loss="least_squares", ema_momentum=0.95)
    gan.compile(Adam(5e-3, beta_1=0.5), Adam(5e-3, beta_1=0.5), jit_compile=JIT)
    before, _ = purity(gan.generate(200, seed=1))
    fit(gan, sines(64 * 100), batch_size=64, epochs=3)
    made = gan.generate(200, seed=1)
    after, power = purity(made)
    _, real_power = purity(sines(200))
    assert made.shape == (200, LENGTH, 1)
    assert before < 0.3 and after > 0.7
    assert 0.3 < power / real_power < 2
