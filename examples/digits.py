"""Speaks digits: a conditional GAN of raw sound, after WaveGAN.

    python examples/digits_sounds.py runs/sounds
    KERAS_BACKEND=tensorflow python examples/digits.py --sounds runs/sounds --out runs/digits

The first command lets espeak-ng make the set. The generator is that of Donahue et al. 2019
(arXiv:1802.04208, appendix D), narrower. The discriminator looks at spectra, as one of those of
UnivNet does (Jang et al. 2021, arXiv:2106.07889), which costs less and shows more in a few minutes
than one of raw sound, and is given the digit by projection (Miyato and Koyama 2018,
arXiv:1802.05637).
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from digits_sounds import LENGTH, RATE, sounds_of, write
from keras import layers, ops

import keras_gan
from keras_gan.images import image_grid, save_image
from keras_gan.networks import SpectralNormalization

LATENTS = 64


def networks(filters=16):
    """Returns a generator and a discriminator of sounds, both with the digit as second input."""
    latents, wanted = keras.Input((LATENTS,)), keras.Input((10,))
    x = layers.Dense(16 * 8 * filters)(layers.Concatenate()([latents, wanted]))
    x = layers.Reshape((16, 8 * filters))(x)
    for width in (4 * filters, 2 * filters, filters, 1):
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv1DTranspose(width, 24, strides=4, padding="same")(x)
    x = layers.Activation("tanh")(x)
    sounds, given = keras.Input((LENGTH, 1)), keras.Input((10,))
    power = layers.STFTSpectrogram("psd", 256, 64, padding="same", trainable=False)(sounds)
    y = 0.2 * ops.log(power + 1e-3)  # What is quieter than that is not heard beside the rest.
    for width, strides in ((64, 1), (64, 2), (128, 2), (128, 2)):
        convolution = layers.Conv1D(width, 4, strides, "same", activation="leaky_relu")
        y = SpectralNormalization(convolution)(y)
    y = layers.Flatten()(y)
    embedded = SpectralNormalization(layers.Dense(y.shape[-1], use_bias=False))(given)
    logits = SpectralNormalization(layers.Dense(1))(y) + layers.Dot(1)([y, embedded])
    return keras.Model([latents, wanted], x), keras.Model([sounds, given], logits)


def mel(sounds):
    """Returns log-mel spectra in decibels, `(n, 40, frames)`, of floats in −1…1."""
    layer = layers.MelSpectrogram(256, 64, sampling_rate=RATE, num_mel_bins=40, min_freq=50)
    parts = np.array_split(sounds[..., 0], max(1, len(sounds) // 500))
    return np.concatenate([ops.convert_to_numpy(layer(part)) for part in parts])


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
    parser.add_argument("--sounds", type=Path, required=True, help="a folder of WAV files")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, help="a folder for figures, sounds and a picture")
    options = parser.parse_args(arguments)
    sounds, digits = sounds_of(options.sounds)
    keras.utils.set_random_seed(0)
    gan = keras_gan.GAN(*networks(), loss="hinge", ema_momentum=0.999)
    gan.compile(*(keras.optimizers.Adam(5e-4, beta_1=0.5, beta_2=0.9) for _ in range(2)))
    count = len(sounds) * 4 // 5
    gan.fit(sounds[:count], digits[:count], batch_size=32, epochs=options.epochs, verbose=2)

    seen = mel(sounds[:count] / 2.0**15)
    judge = listener(seen, digits[:count], min(20, options.epochs))
    real, asked = sounds[count:] / 2.0**15, digits[count:]
    # Noise with the power of the held-out sounds at each frequency, and other phases.
    angles = np.exp(2j * np.pi * np.random.default_rng(0).random((len(real), LENGTH // 2 + 1, 1)))
    noise = np.fft.irfft(np.abs(np.fft.rfft(real, axis=1)) * angles, LENGTH, axis=1)
    made = gan.generate(len(asked), condition=asked, seed=0)
    spectra = {"real": mel(real), "generated": mel(made), "noise of the same spectrum": mel(noise)}
    figures = {}
    for side, x in spectra.items():
        right = judge.predict(x, verbose=0).argmax(axis=1) == asked
        gaps = [x[asked == d].mean(0) - seen[digits[:count] == d].mean(0) for d in np.unique(asked)]
        gap = np.sqrt(np.mean(np.square(gaps)))
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
