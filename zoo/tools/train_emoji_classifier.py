"""Trains a small classifier of Noto's emoji, a feature extractor for small colour images.

Run from the repository root:

    KERAS_BACKEND=tensorflow python -m zoo.tools.train_emoji_classifier --out keras_gan/data

writes `noto_emoji.keras` (two outputs, `features` and `probabilities`, for images 64×64×3 as floats
in −1…1) and its card. Emoji in the test split, with all their skin tones and genders, are not seen
in training; nothing is chosen by them.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_gan import datasets
from zoo.tools.train_classifier import convolution, extractor_of, load, table, write

NAME, SHAPE, FEATURES = "noto_emoji", (64, 64, 3), 128
NAMES = datasets.class_names(NAME)


def build():
    """Returns a classifier of four convolutions at half the resolution."""
    inputs = keras.Input(SHAPE, name="images")
    x = layers.AveragePooling2D(2)(inputs)
    for filters in (24, 48, 64, 96):
        x = layers.MaxPooling2D()(convolution(x, filters))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    x = layers.Dense(FEATURES, name="penultimate")(x)
    x = layers.Dropout(0.4)(layers.Activation("relu")(x))
    return keras.Model(inputs, layers.Dense(len(NAMES), "softmax", name="probabilities")(x))


def train(classifier, images, labels, epochs, batch_size):
    """Trains with Adam and a cosine decay on varied images, all classes of equal weight."""
    varied = keras.Sequential([
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(0.1, 0.1, fill_mode="constant", fill_value=1.0),
        layers.RandomZoom(0.15, fill_mode="constant", fill_value=1.0),
    ])  # fmt: skip
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, classifier(varied(inputs)))
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * (len(images) // batch_size))
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"],
        jit_compile=False,
    )  # fmt: skip
    counts = np.bincount(labels, minlength=len(NAMES))
    weights = dict(enumerate(len(labels) / len(NAMES) / counts))
    model.fit(images, labels, batch_size, epochs, class_weight=weights, verbose=2)


def accuracies(classifier, images, labels):
    """Returns the share of right answers within each class."""
    answers = classifier.predict(images, batch_size=500, verbose=0).argmax(axis=1)
    return [float(np.mean(answers[labels == number] == number)) for number in range(len(NAMES))]


def card(facts):
    """Returns the card that is distributed with the weights."""
    each = ", ".join(f"{name} {share:.2f}" for name, share in facts["accuracies"].items())
    rows = {
        "Input": "(n, 64, 64, 3), 8-bit images scaled to −1…1",
        "Outputs": f"`features` (n, {FEATURES}), `probabilities` (n, {len(NAMES)})",
        "Architecture": "`zoo/tools/train_emoji_classifier.py`, {parameters:,} parameters; the "
        "features are those of its penultimate layer before the ReLU, scaled to mean 0 and "
        "variance 1 over the training images",
        "Balanced accuracy": "{balanced_accuracy:.3f}, the mean over the classes, on {test_images} "
        f"images of emoji of which no variant was seen in training: {each}",
        "Training": "{images:,} images, {epochs} epochs, batches of {batch_size}, Adam with a "
        "cosine decay from 3e-3, seed {seed}; flips, shifts and zooms; classes of equal weight",
        "Made with": "Keras {keras}, {backend}, {seconds:.0f} s on CPU",
        "sha256": "`{sha256}`",
    }
    return f"""# {NAME}

A classifier of emoji into the nine groups of Unicode's list, used by `keras_gan.metrics` as a
feature extractor for small colour images of the same kind. Pass its name to
`keras_gan.metrics.get_extractor`.

{table(rows, facts)}

Data: Noto Emoji, Google (OFL 1.1), and the groups of Unicode's `emoji-test.txt`; this file contains
neither. The weights are under the library's licence, Apache-2.0.

Limits: the groups overlap in what they look like (a symbol may show an object), so that real images
are not always recognised; compare with the floor that real images reach. Compare distances only
with distances in the same features. For photographs take `"inception"`.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    classifier = build()
    started = time.perf_counter()
    images, labels = load(NAME, "train")
    train(classifier, images, labels, args.epochs, args.batch_size)
    seconds = time.perf_counter() - started
    extractor = extractor_of(classifier, images, NAME)
    test_images, test_labels = load(NAME, "test")
    shares = accuracies(classifier, test_images, test_labels)
    facts = {
        "seed": args.seed,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "images": len(images),
        "test_images": len(test_images),
        "accuracies": dict(zip(NAMES, shares, strict=True)),
        "balanced_accuracy": float(np.mean(shares)),
        "seconds": seconds,
    }
    write(extractor, args.out, facts, card)


if __name__ == "__main__":
    main()
