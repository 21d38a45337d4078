"""Trains a small Fashion-MNIST classifier, the feature extractor of the metrics.

Run from the repository root:

    KERAS_BACKEND=tensorflow python -m zoo.tools.train_classifier --out keras_gan/data

writes `fashion_mnist_classifier.keras` (two outputs, `features` and `probabilities`, for images
as floats in −1…1) and its card. The last 5,000 training images are held out to choose the epoch;
the test images are used once, at the end. `--architecture residual --seed 1` trains a second judge
of another design, to check the scores of the first.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import keras
from keras import layers

from keras_gan import datasets

CLASSES, FEATURES = 10, 128
HELD_OUT = 5_000


def load(name, split):
    """Returns a set's images, float32 (n, height, width, channels) in −1…1, and labels (n,)."""
    images, labels = datasets.load(name, split, labels=True)
    return images.astype("float32") / 127.5 - 1.0, labels


def convolution(x, filters, kernel=3, activation="relu"):
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def convnet(x):
    """Applies three convolutions with max-pooling between them."""
    for filters in (32, 64, 96):
        x = layers.MaxPooling2D()(convolution(x, filters))
    return layers.Flatten()(x)


def residual(x):
    """Applies two residual blocks with swish and average pooling, then averages over the image."""
    x = convolution(x, 24, 5, "swish")
    for filters in (48, 96):
        x = layers.AveragePooling2D(2)(x)
        shortcut = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = convolution(convolution(x, filters, 3, "swish"), filters, 3, None)
        x = layers.Activation("swish")(layers.Add()([x, shortcut]))
    return layers.GlobalAveragePooling2D()(x)


ARCHITECTURES = {"convnet": convnet, "residual": residual}


def build(architecture):
    inputs = keras.Input((28, 28, 1), name="images")
    x = layers.Dense(FEATURES, name="penultimate")(ARCHITECTURES[architecture](inputs))
    x = layers.Dropout(0.4)(layers.Activation("relu")(x))
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax", name="probabilities")(x))


def extractor_of(classifier, images, name):
    """Returns the trained classifier with its penultimate layer as a second output.

    Features are taken before the ReLU, which would set half of them to zero and map images unlike
    clothes (noise, blur) among the real ones. They are scaled to mean 0 and variance 1 over
    `images`, so that no few of them dominate the distances.
    """
    penultimate = keras.Model(classifier.input, classifier.get_layer("penultimate").output)
    rows = penultimate.predict(images, batch_size=500, verbose=0).astype("float64")
    scale = layers.BatchNormalization(center=False, scale=False, epsilon=1e-6, name="features")
    features = scale(penultimate.output)
    scale.set_weights([rows.mean(axis=0), rows.var(axis=0)])
    outputs = {"features": features, "probabilities": classifier.output}
    return keras.Model(classifier.input, outputs, name=name)


def train(classifier, images, labels, epochs, batch_size):
    """Trains with Adam and a cosine decay; keeps and returns the best held-out accuracy."""
    steps = epochs * (len(images) - HELD_OUT) // batch_size
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    classifier.compile(
        keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    best = keras.callbacks.EarlyStopping("val_accuracy", patience=epochs, restore_best_weights=True)
    history = classifier.fit(
        images[:-HELD_OUT],
        labels[:-HELD_OUT],
        batch_size,
        epochs,
        validation_data=(images[-HELD_OUT:], labels[-HELD_OUT:]),
        validation_batch_size=500,
        callbacks=[best],
        verbose=2,
    )
    return max(history.history["val_accuracy"])


def card(facts):
    """Returns the card that is distributed with the weights."""
    rows = {
        "Input": "(n, 28, 28, 1), 8-bit images scaled to −1…1",
        "Outputs": f"`features` (n, {FEATURES}), `probabilities` (n, {CLASSES})",
        "Architecture": "`{architecture}` of `zoo/tools/train_classifier.py`, {parameters:,} "
        "parameters; the features are those of its penultimate layer before the ReLU, scaled to "
        "mean 0 and variance 1 over the training images",
        "Test accuracy": "{test_accuracy:.4f} on the 10,000 test images, not used in training",
        "Held-out accuracy": "{held_out_accuracy:.4f} on the last 5,000 training images, used "
        "to choose the epoch",
        "Training": "the first 55,000 training images, {epochs} epochs, batches of {batch_size}, "
        "Adam with a cosine decay from 2e-3, seed {seed}",
        "Made with": "Keras {keras}, {backend}, {seconds:.0f} s on CPU",
        "sha256": "`{sha256}`",
    }
    return f"""# {facts["name"]}

A classifier of Fashion-MNIST, used by `keras_gan.metrics` as a feature extractor for grey 28×28
images. Pass its name, if it is bundled, or its path to `keras_gan.metrics.get_extractor`.

{table(rows, facts)}

Data: Fashion-MNIST, Zalando SE, 2017 (MIT licence, arXiv:1708.07747); this file does not contain
the images. The weights are under the library's licence, Apache-2.0.

Limits: compare distances only with distances in the same features, not with published FIDs, which
use Inception's.
"""


def table(rows, facts):
    """Returns the rows of a card, in whose values the facts are put, as a table of Markdown."""
    lines = (f"| {name} | {value} |" for name, value in rows.items())
    return "\n".join(["| | |", "| --- | --- |", *lines]).format(**facts)


def write(extractor, folder, facts, card):
    """Writes an extractor and its card, and prints the facts.

    Args:
        extractor: The model; its name is that of the files.
        folder: Where to write them.
        facts: What is known of it.
        card: Makes the card's text of these, and of what every extractor has.
    """
    path = folder / f"{extractor.name}.keras"
    extractor.save(path)
    facts = facts | {
        "parameters": extractor.count_params(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".md").write_text(card(facts), encoding="utf-8")
    print(json.dumps(facts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="convnet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--name", default="fashion_mnist_classifier")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    classifier = build(args.architecture)
    started = time.perf_counter()
    images, labels = load("fashion_mnist", "train")
    held_out = train(classifier, images, labels, args.epochs, args.batch_size)
    seconds = time.perf_counter() - started
    extractor = extractor_of(classifier, images, args.name)
    images, labels = load("fashion_mnist", "test")
    _, accuracy = classifier.evaluate(images, labels, batch_size=500, verbose=0)
    facts = {
        "name": args.name,
        "architecture": args.architecture,
        "seed": args.seed,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "held_out_accuracy": held_out,
        "test_accuracy": accuracy,
        "seconds": seconds,
    }
    write(extractor, args.out, facts, card)


if __name__ == "__main__":
    main()
