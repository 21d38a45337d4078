"""Invents English words, letter by letter: a Wasserstein GAN with gradient penalty on one-hot rows.

    KERAS_BACKEND=jax python examples/words.py --out runs/words

Needs a list of words, one in a line: Debian's package `wamerican` brings /usr/share/dict/words.
The networks are those of Gulrajani et al. 2017 (arXiv:1704.00028, section 5.4), narrower.
"""

import argparse
import json
import string
from collections import Counter
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_gan

LETTERS = "." + string.ascii_lowercase  # The dot fills words up.
LENGTH, LATENTS = 10, 64


def words_of(path):
    """Returns the words of 3 to 10 lower-case letters of a file, shuffled."""
    words = sorted({w for w in Path(path).read_text().split() if 3 <= len(w) <= LENGTH})
    words = [w for w in words if set(w) <= set(LETTERS[1:])]
    np.random.default_rng(0).shuffle(words)
    return words


def one_hot(words):
    """Returns words as float32 rows of zeros and ones, `(n, 10, 27)`."""
    numbers = [[LETTERS.index(letter) for letter in w.ljust(LENGTH, ".")] for w in words]
    return np.eye(len(LETTERS), dtype="float32")[numbers]


def spelled(samples):
    """Returns the most likely letters of generated samples, as words."""
    return ["".join(LETTERS[i] for i in row).rstrip(".") for row in samples.argmax(axis=-1)]


def distance(words, others, n):
    """Returns the Jensen-Shannon distance of two lists' n-grams, in bits to the power 1/2, 0…1."""
    counts = []
    for some in (words, others):
        padded = [f".{w}." for w in some]
        counts.append(Counter(w[i : i + n] for w in padded for i in range(len(w) - n + 1)))
    p, q = (np.array([c[gram] for gram in counts[0] | counts[1]]) / c.total() for c in counts)
    middle = (p + q) / 2
    entropy = [-(x[x > 0] * np.log2(x[x > 0])).sum() for x in (middle, p, q)]
    return float(np.sqrt(max(0.0, entropy[0] - (entropy[1] + entropy[2]) / 2)))


def residual(x, filters):
    """Adds two convolutions to `x`, so that the letters of a word know of each other."""
    y = layers.Conv1D(filters, 5, padding="same")(layers.ReLU()(x))
    y = layers.Conv1D(filters, 5, padding="same")(layers.ReLU()(y))
    return layers.Add()([x, y])


def networks(filters=64):
    """Returns the generator, which ends in a softmax over the letters, and the critic."""
    latents = keras.Input((LATENTS,))
    x = layers.Reshape((LENGTH, filters))(layers.Dense(LENGTH * filters)(latents))
    for _ in range(3):
        x = residual(x, filters)
    generator = keras.Model(latents, layers.Conv1D(len(LETTERS), 1, activation="softmax")(x))
    rows = keras.Input((LENGTH, len(LETTERS)))
    x = layers.Conv1D(filters, 1)(rows)
    for _ in range(3):
        x = residual(x, filters)
    return generator, keras.Model(rows, layers.Dense(1)(layers.Flatten()(x)))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--words", default="/usr/share/dict/words", help="a file of words")
    parser.add_argument("--steps", type=int, default=3000, help="generator updates")
    parser.add_argument("--out", type=Path, help="a folder for figures and words")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)
    words = words_of(options.words)
    held_out, seen = words[: len(words) // 5], words[len(words) // 5 :]

    gan = keras_gan.GAN(
        *networks(),
        loss="wasserstein",
        terms=[keras_gan.terms.GradientPenalty(10)],
        discriminator_steps=5,
        ema_momentum=0.999,
    )
    gan.compile(*(keras.optimizers.Adam(3e-4, beta_1=0.5, beta_2=0.9) for _ in range(2)))
    steps = min(500, options.steps)
    epochs = options.steps // steps
    gan.fit(one_hot(seen), batch_size=320, steps_per_epoch=steps, epochs=epochs, verbose=2)

    made = spelled(gan.generate(len(held_out), seed=0))
    random = np.random.default_rng(0)
    shuffled = ["".join(random.permutation(list(w))) for w in held_out]
    sides, figures = {"generated": made, "training words": seen, "shuffled letters": shuffled}, {}
    for side, some in sides.items():
        figures[side] = {f"{n}-grams": distance(some, held_out, n) for n in range(1, 5)}
    figures["share of generated words that"] = {
        "are in the list": float(np.isin(made, words).mean()),
        "repeat another": 1 - len(set(made)) / len(made),
    }
    print(json.dumps(figures, indent=1), *made[:40])
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
        (options.out / "words.txt").write_text("\n".join(made) + "\n")
    return figures


if __name__ == "__main__":
    main()
