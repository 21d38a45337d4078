"""Makes rows of a table with columns of several kinds, and trains a classifier on them.

    KERAS_BACKEND=jax python examples/table.py --out runs/table

The table is scikit-learn's, of 442 people with diabetes: sex, age, eight measurements, and whether
the illness went on more than for most. Each number is made normal by its rank, each category is a
softmax, as in CTGAN (Xu et al. 2019, arXiv:1907.00503); the outcome is the condition. Classifiers
are tested on people that neither they nor the GAN have seen. Needs scikit-learn.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import QuantileTransformer

import keras_gan

SEX, OUTCOMES, LATENTS = 1, 2, 16


class Table:
    """The way from rows of a table to what the networks see, and back."""

    def __init__(self, rows):
        self.categories = np.unique(rows[:, SEX])
        self.scaler = QuantileTransformer(n_quantiles=100, output_distribution="normal")
        self.scaler.fit(np.delete(rows, SEX, axis=1))

    def encoded(self, rows):
        sex = rows[:, SEX, None] == self.categories
        numbers = self.scaler.transform(np.delete(rows, SEX, axis=1)) / 3
        return np.concatenate([numbers, sex], axis=1).astype("float32")

    def decoded(self, samples):
        sex = self.categories[samples[:, -len(self.categories) :].argmax(axis=1)]
        numbers = self.scaler.inverse_transform(3 * samples[:, : -len(self.categories)])
        return np.insert(numbers, SEX, sex, axis=1)


def networks(numbers, categories, units=128):
    """Returns a generator and a critic of rows, both with the outcome as second input."""
    latents, wanted = keras.Input((LATENTS,)), keras.Input((OUTCOMES,))
    x = layers.Concatenate()([latents, wanted])
    for _ in range(2):
        x = layers.Dense(units, "relu")(x)
    parts = [layers.Dense(numbers)(x), layers.Dense(categories, "softmax")(x)]
    generator = keras.Model([latents, wanted], layers.Concatenate()(parts))
    rows, given = keras.Input((numbers + categories,)), keras.Input((OUTCOMES,))
    x = layers.Concatenate()([rows, given])
    for _ in range(2):
        x = layers.Dense(units, "leaky_relu")(x)
    return generator, keras.Model([rows, given], layers.Dense(1)(x))


def trained(samples, outcomes, steps):
    """Returns a GAN that was trained on encoded rows and their outcomes."""
    gan = keras_gan.GAN(
        *networks(samples.shape[1] - 2, 2),
        loss="wasserstein",
        terms=[keras_gan.terms.GradientPenalty(10)],
        condition=keras_gan.conditions.Labels(["slower", "faster"]),
        discriminator_steps=5,
        ema_momentum=0.99,
    )
    gan.compile(*(keras.optimizers.Adam(5e-4, beta_1=0.5, beta_2=0.9) for _ in range(2)))
    gan.fit(samples, outcomes, batch_size=320, steps_per_epoch=steps, verbose=0)
    return gan


def accuracy(rows, outcomes, test, seed):
    """Returns the share of test rows that a forest, trained on other rows, puts right."""
    forest = RandomForestClassifier(300, min_samples_leaf=3, random_state=seed)
    return float(forest.fit(rows, outcomes).score(*test))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=2000, help="generator updates")
    parser.add_argument("--splits", type=int, default=10, help="of the table, a GAN for each")
    parser.add_argument("--out", type=Path, help="a folder for figures and rows")
    options = parser.parse_args(arguments)
    rows, progress = load_diabetes(return_X_y=True, scaled=False)
    outcomes = (progress > np.median(progress)).astype("int32")
    found = {"real rows": [], "generated rows": [], "independent columns": []}
    for seed in range(options.splits):
        keras.utils.set_random_seed(seed)
        random = np.random.default_rng(seed)
        test, train = np.split(random.permutation(len(rows)), [len(rows) // 3])
        held_out = rows[test], outcomes[test]
        table = Table(rows[train])
        gan = trained(table.encoded(rows[train]), outcomes[train], options.steps)
        wanted = random.choice(outcomes[train], 2000)
        made = table.decoded(gan.generate(len(wanted), condition=wanted, seed=seed))
        shuffled = np.stack([random.permutation(column) for column in rows[train].T], axis=1)
        found["real rows"].append(accuracy(rows[train], outcomes[train], held_out, seed))
        found["generated rows"].append(accuracy(made, wanted, held_out, seed))
        found["independent columns"].append(accuracy(shuffled, outcomes[train], held_out, seed))
    figures = {side: {"mean": np.mean(x), "values": x} for side, x in found.items()}
    gap = np.corrcoef(made.T) - np.corrcoef(rows[test].T)
    figures["correlations' error"] = float(np.abs(gap).mean())
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
        np.savetxt(options.out / "rows.csv", made, fmt="%.4g", delimiter=",")
    return figures


if __name__ == "__main__":
    main()
