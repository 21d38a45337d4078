"""A recurrent pair that learns sines; `test_toys.py` has perceptrons that learn Gaussians."""

import keras
import numpy as np
from conftest import BACKEND, fit
from keras import layers
from keras.optimizers import Adam

from keras_gan import GAN

# On a busy machine "auto" would start to compile on torch, which takes longer than these runs.
JIT = BACKEND != "torch"

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
