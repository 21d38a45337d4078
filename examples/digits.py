"""Speaks digits: a conditional GAN of raw sound, after WaveGAN.

    KERAS_BACKEND=tensorflow python examples/digits.py --out runs/digits

Debian's `espeak-ng` speaks the digits to learn from, in 18 voices, 5 speeds and 5 pitches, half a
second each; others come as WAV files `3_anything.wav` of 8 kHz in the folder `--sounds`. Networks
as in Donahue et al. 2019 (arXiv:1802.04208, appendix D), narrower, with the digit joined to the
latents and projected in the discriminator (Miyato and Koyama 2018, arXiv:1802.05637).
"""

import argparse
import itertools
import json
import subprocess
import wave
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

import keras_gan
from keras_gan.images import image_grid, save_image
from keras_gan.networks import SpectralNormalization

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE, LENGTH, LATENTS = 8000, 4096, 64
VOICES = [f"en-{k}+{v}" for k in ("us", "gb", "gb-scotland") for v in ("m1", "m3", "m7", "f1")]
VOICES += [f"en-us+{v}" for v in ("f2", "f3", "f4", "m2", "m4", "m5")]


def speak(folder):
    """Lets espeak-ng write all digits in all voices into a folder, as WAV files of 8 kHz."""
    folder.mkdir(parents=True)
    for voice, speed, pitch in itertools.product(VOICES, range(200, 300, 20), range(30, 80, 10)):
        for digit, word in enumerate(WORDS):
            command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout"]
            sound = subprocess.run([*command, word], check=True, capture_output=True).stdout
            samples = np.frombuffer(sound[44:], "int16")[:22_050] / 2**15
            # One second at espeak-ng's rate, without what is too high for 8 kHz.
            spectrum = np.fft.rfft(samples, 22_050)[: RATE // 2 + 1]
            name = f"{digit}_{voice}_{speed}_{pitch}.wav"
            write(folder / name, np.fft.irfft(spectrum) * RATE / 22_050)


def write(path, samples):
    """Writes floats in −1…1 as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())


def sounds_of(folder):
    """Returns int16 sounds `(n, 4096, 1)` with equal peaks, and their digits, shuffled."""
    paths = sorted(folder.glob("*.wav"))
    made = np.zeros((len(paths), LENGTH, 1), "int16")
    for row, path in zip(made, paths, strict=True):
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(LENGTH + 400), "<i2").astype("float64")
        loud = np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())[0]
        samples = samples[max(0, loud - 100) :][:LENGTH]  # All begin at the same time.
        row[: len(samples), 0] = samples * (30_000 / np.abs(samples).max())
    order = np.random.default_rng(0).permutation(len(paths))
    return made[order], np.array([int(path.name[0]) for path in paths])[order]


def networks(filters=16):
    """Returns a generator and a discriminator of sounds, both with the digit as second input."""
    latents, wanted = keras.Input((LATENTS,)), keras.Input((10,))
    x = layers.Dense(16 * 8 * filters)(layers.Concatenate()([latents, wanted]))
    x = layers.Reshape((16, 8 * filters))(x)
    for width in (4 * filters, 2 * filters, filters):
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv1DTranspose(width, 25, strides=4, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv1DTranspose(1, 25, strides=4, padding="same", activation="tanh")(x)
    sounds, given = keras.Input((LENGTH, 1)), keras.Input((10,))
    y = sounds
    for width in (filters, 2 * filters, 4 * filters, 8 * filters):
        convolution = layers.Conv1D(width, 25, strides=4, padding="same")
        y = layers.LeakyReLU(0.2)(SpectralNormalization(convolution)(y))
    y = layers.Flatten()(y)
    embedding = layers.Dense(y.shape[-1], use_bias=False)
    product = layers.Dot(1)([y, SpectralNormalization(embedding)(given)])
    logits = layers.Add()([SpectralNormalization(layers.Dense(1))(y), product])
    return keras.Model([latents, wanted], x), keras.Model([sounds, given], logits)


def mel(sounds):
    """Returns log-mel spectra in decibels, `(n, 40, frames)`, of floats in −1…1."""
    layer = layers.MelSpectrogram(256, 64, sampling_rate=RATE, num_mel_bins=40, min_freq=50)
    parts = np.array_split(sounds[..., 0], max(1, len(sounds) // 500))
    return np.concatenate([ops.convert_to_numpy(layer(part)) for part in parts])


def means_of(spectra, digits):
    """Returns the mean spectrum of each digit."""
    return np.stack([spectra[digits == digit].mean(axis=0) for digit in np.unique(digits)])


def listener(spectra, digits, epochs):
    """Returns a classifier of mel spectra."""
    convolutions = [layers.Conv2D(w, 3, strides=2, activation="relu") for w in (16, 32)]
    head = [layers.Flatten(), layers.Dropout(0.3), layers.Dense(10, "softmax")]
    scale = [layers.Reshape((*spectra.shape[1:], 1)), layers.Rescaling(1 / 40, offset=0.5)]
    model = keras.Sequential([*scale, *convolutions, *head])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(spectra, digits, batch_size=64, epochs=epochs, verbose=0)
    return model


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sounds", type=Path, default=Path("runs/sounds"), help="WAV files")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, help="a folder for figures, sounds and a picture")
    options = parser.parse_args(arguments)
    if not options.sounds.exists():
        speak(options.sounds)
    sounds, digits = sounds_of(options.sounds)
    keras.utils.set_random_seed(0)
    gan = keras_gan.GAN(*networks(), loss="hinge", ema_momentum=0.999)
    gan.compile(*(keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.9) for rate in (2e-4, 4e-4)))
    seen = len(sounds) * 4 // 5
    gan.fit(sounds[:seen], digits[:seen], batch_size=64, epochs=options.epochs, verbose=2)

    judge = listener(mel(sounds[:seen] / 2.0**15), digits[:seen], min(20, options.epochs))
    real, asked = sounds[seen:] / 2.0**15, digits[seen:]
    # Noise with the power of the held-out sounds at each frequency, and other phases.
    angles = np.exp(2j * np.pi * np.random.default_rng(0).random((len(real), LENGTH // 2 + 1, 1)))
    noise = np.fft.irfft(np.abs(np.fft.rfft(real, axis=1)) * angles, LENGTH, axis=1)
    made = gan.generate(len(asked), condition=asked, seed=0)
    spectra = {"real": mel(real), "generated": mel(made), "noise of the same spectrum": mel(noise)}
    means = {side: means_of(x, asked) for side, x in spectra.items()}
    seen_means = means_of(mel(sounds[:seen] / 2.0**15), digits[:seen])
    figures = {}
    for side, x in spectra.items():
        right = judge.predict(x, verbose=0).argmax(axis=1) == asked
        gap = np.sqrt(np.mean((means[side] - seen_means) ** 2))
        figures[side] = {"accuracy": float(right.mean()), "mel distance in dB": float(gap)}
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
        firsts = [np.flatnonzero(asked == digit)[0] for digit in np.unique(asked)]
        for digit, row in zip(np.unique(asked), made[firsts], strict=True):
            write(options.out / f"{digit}.wav", row[:, 0])
        pair = [spectra[side][firsts, ::-1, :, None] for side in ("real", "generated")]
        shades = np.clip(128 + 3 * np.concatenate(pair), 0, 255).astype("uint8")
        save_image(options.out / "spectra.png", image_grid(shades, columns=len(firsts)))
    return figures


if __name__ == "__main__":
    main()
