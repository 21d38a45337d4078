"""Makes time series with a recurrent pair of networks, and tries to tell them from real ones.

    KERAS_BACKEND=jax python examples/series.py --out runs/series

The series are the sines of Yoon et al. 2019 ("Time-series Generative Adversarial Networks"), as
their code has them: 24 steps of 5 columns, `sin(f t + p)`, each with a frequency f and a phase p of
its own in 0…0.1. Their discriminative score is the accuracy, less one half, of a recurrent
classifier that was trained to tell generated series from real ones, on series that it has not seen:
0 is perfect, 0.5 is hopeless. The distance is the sliced Wasserstein distance of the values.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_gan
from keras_gan.metrics import sliced_wasserstein_distance

LENGTH, COLUMNS, LATENTS = 24, 5, 16


def sines(count, seed):
    """Returns series in −1…1, float32 `(count, 24, 5)`."""
    random = np.random.default_rng(seed)
    frequency, phase = random.uniform(0, 0.1, (2, count, 1, COLUMNS))
    return np.sin(frequency * np.arange(LENGTH).reshape(1, -1, 1) + phase).astype("float32")


def networks(units):
    """Returns a generator and a discriminator of gated recurrent units."""
    latents = keras.Input((LATENTS,))
    x = layers.RepeatVector(LENGTH)(latents)
    for _ in range(2):
        # The states before the first step come from the latents: they decide where a series begins.
        x = layers.GRU(units, return_sequences=True)(x, layers.Dense(units, "tanh")(latents))
        x = layers.Concatenate()([x, layers.RepeatVector(LENGTH)(latents)])
    x = layers.Dense(units, "relu")(x)
    generator = keras.Model(latents, layers.Dense(COLUMNS, "tanh")(x))
    series = keras.Input((LENGTH, COLUMNS))
    # A series is smooth: what is wrong with one shows in its slopes, which are small.
    slopes = layers.ZeroPadding1D((1, 0))(20.0 * (series[:, 1:] - series[:, :-1]))
    x = layers.GRU(units, return_sequences=True)(layers.Concatenate()([series, slopes]))
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GRU(units)(x)])
    return generator, keras.Model(series, layers.Dense(1)(x))


def discriminative_score(real, others, epochs, seed=0):
    """Returns how well a classifier tells other series from real ones, 0…0.5."""
    keras.utils.set_random_seed(seed)
    x, y = np.concatenate([real, others]), np.repeat([1.0, 0.0], [len(real), len(others)])
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = np.split(order, [len(x) // 5])
    inputs = keras.Input((LENGTH, COLUMNS))
    model = keras.Model(inputs, layers.Dense(1)(layers.GRU(32)(inputs)))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(x[train], y[train], batch_size=128, epochs=epochs, verbose=0)
    right = (model.predict(x[test], verbose=0)[:, 0] > 0) == y[test]
    return float(abs(right.mean() - 0.5))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=3000, help="generator updates")
    parser.add_argument("--count", type=int, default=5000, help="series on each side of a score")
    parser.add_argument("--out", type=Path, help="a folder for figures and a picture")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)
    # The slope of an eighth of each batch is enough to hold the discriminator back, and cheaper.
    slope = keras_gan.terms.R1(0.2, fraction=1 / 8)
    gan = keras_gan.GAN(*networks(48), terms=[slope], ema_momentum=0.999)
    rates = keras.optimizers.schedules.CosineDecay(1e-3, options.steps)
    gan.compile(*(keras.optimizers.Adam(rates, beta_1=0.5) for _ in range(2)))
    steps = min(500, options.steps)
    length = {"steps_per_epoch": steps, "epochs": options.steps // steps, "verbose": 2}
    gan.fit(sines(20_000, seed=0), batch_size=128, **length)
    real, made = sines(options.count, seed=1), gan.generate(options.count, seed=0)
    random = np.random.default_rng(0)
    # Each column and time step has the right values, but they belong to different series.
    torn = random.permuted(sines(options.count, seed=2), axis=0)
    # Noise with the power of real series at each frequency, and other phases.
    power = np.abs(np.fft.rfft(sines(options.count, seed=3), axis=1))
    angles = np.exp(2j * np.pi * random.random(power.shape))
    noise = np.fft.irfft(power * angles, LENGTH, axis=1).astype("float32")
    sides = {"generated": made, "real": sines(options.count, seed=4)}
    sides |= {"independent steps": torn, "noise of the same spectrum": noise}
    epochs = 20 if options.steps > 500 else 1
    figures = {}
    for side, x in sides.items():
        distance = sliced_wasserstein_distance(*(y.reshape(len(y), -1) for y in (real, x)))
        score = discriminative_score(real, x, epochs)
        figures[side] = {"discriminative score": score, "distance": distance}
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
        draw(options.out / "series.png", {"real": real[:4], "generated": made[:4]})
    return figures


def draw(path, sides):
    """Draws a row of series for each side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), dpi=120, layout="constrained")
    axes = figure.subplots(len(sides), 4, sharex=True, sharey=True)
    for row, (side, series) in zip(axes, sides.items(), strict=True):
        row[0].set_ylabel(side)
        for plot, values in zip(row, series, strict=True):
            plot.plot(values)
    figure.savefig(path)


if __name__ == "__main__":
    main()
