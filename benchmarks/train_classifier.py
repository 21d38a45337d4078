"""Train a small Fashion-MNIST classifier to be the feature extractor of the metrics.

    KERAS_BACKEND=tensorflow python benchmarks/train_classifier.py --out keras_gan/data

writes `fashion_mnist_classifier.keras` (two outputs, `features` and `probabilities`, for images
as floats in −1…1) and its card beside it. The last 5,000 training images are held out and choose
the epoch; the test images are looked at once, at the end. `--architecture residual --seed 1`
trains a second judge that shares nothing with the first, to confirm what the first one says.
"""

import argparse
import gzip
import hashlib
import json
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

CLASSES = 10
HELD_OUT = 5_000


def load(split, folder):
    """Images as float32 (n, 28, 28, 1) in −1…1, and labels (n,)."""
    prefix = {"train": "train", "test": "t10k"}[split]
    images = gzip.decompress((folder / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(images, "uint8", offset=16).reshape(-1, 28, 28, 1)
    return images.astype("float32") / 127.5 - 1.0, np.frombuffer(labels, "uint8", offset=8)


def convolution(x, filters, kernel=3, activation="relu"):
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def convnet(x):
    """Three convolutions with max-pooling between, and a dense layer of 128 features."""
    for filters in (32, 64, 96):
        x = layers.MaxPooling2D()(convolution(x, filters))
    return layers.Dense(128, activation="relu", name="features")(layers.Flatten()(x))


def residual(x):
    """Strided residual blocks with swish, averaged over the image: 96 features, no dense layer."""
    x = convolution(x, 24, 5, "swish")
    for filters in (48, 96):
        x = layers.AveragePooling2D()(x)
        shortcut = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = convolution(convolution(x, filters, 3, "swish"), filters, 3, None)
        x = layers.Activation("swish")(layers.Add()([x, shortcut]))
    return layers.GlobalAveragePooling2D(name="features")(x)


ARCHITECTURES = {"convnet": convnet, "residual": residual}


def build(architecture):
    """A classifier and the extractor that shares its layers."""
    inputs = keras.Input((28, 28, 1), name="images")
    features = ARCHITECTURES[architecture](inputs)
    x = layers.Dropout(0.4)(features)
    probabilities = layers.Dense(CLASSES, activation="softmax", name="probabilities")(x)
    outputs = {"features": features, "probabilities": probabilities}
    return keras.Model(inputs, probabilities), keras.Model(
        inputs, outputs, name=f"fashion_mnist_{architecture}"
    )


def train(classifier, images, labels, epochs, batch_size):
    """Adam with a cosine decay; the epoch with the best held-out accuracy is kept."""
    kept, held_out = slice(None, -HELD_OUT), slice(-HELD_OUT, None)
    steps = epochs * (len(images) - HELD_OUT) // batch_size
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    classifier.compile(
        keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    best = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=epochs, restore_best_weights=True, start_from_epoch=0
    )
    history = classifier.fit(
        images[kept],
        labels[kept],
        batch_size,
        epochs,
        validation_data=(images[held_out], labels[held_out]),
        validation_batch_size=500,
        callbacks=[best],
        verbose=2,
    )
    # Early stopping hands the best weights back only when it stops the run itself.
    if best.best_weights is not None:
        classifier.set_weights(best.best_weights)
    return max(history.history["val_accuracy"])


def card(facts):
    """The README that travels with the weights."""
    return f"""# {facts["name"]}

A classifier of Fashion-MNIST, used by `keras_gan.metrics` as a feature extractor for grey 28×28
images. Read it with `keras_gan.metrics.get_extractor("{facts["name"]}")`.

| | |
| --- | --- |
| Input | (n, 28, 28, 1), 8-bit images scaled to −1…1 |
| Outputs | `features` (n, {facts["features"]}), `probabilities` (n, {CLASSES}) |
| Architecture | `{facts["architecture"]}` of `benchmarks/train_classifier.py`, {facts["parameters"]:,} parameters |
| Test accuracy | {facts["test_accuracy"]:.4f} on the 10,000 test images |
| Held-out accuracy | {facts["held_out_accuracy"]:.4f} on the last {HELD_OUT:,} training images, which chose the epoch |
| Training | the first {60_000 - HELD_OUT:,} training images, {facts["epochs"]} epochs, batches of {facts["batch_size"]}, Adam with a cosine decay from 2e-3, seed {facts["seed"]} |
| Made with | Keras {facts["keras"]}, {facts["backend"]}, {facts["seconds"]:.0f} s on CPU |
| sha256 | `{facts["sha256"]}` |

Data: Fashion-MNIST, Zalando SE, 2017 (MIT licence, arXiv:1708.07747). The images are not part of
this file. The weights are under the library's licence, Apache-2.0.

Limits: distances in these features are comparable only with distances in the same features, not
with published Inception FIDs; the features ignore what does not help to tell ten kinds of clothes
apart.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="convnet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--name", default="fashion_mnist_classifier")
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    classifier, extractor = build(args.architecture)
    started = time.perf_counter()
    held_out = train(classifier, *load("train", args.data), args.epochs, args.batch_size)
    seconds = time.perf_counter() - started
    images, labels = load("test", args.data)
    _, accuracy = classifier.evaluate(images, labels, batch_size=500, verbose=0)
    path = args.out / f"{args.name}.keras"
    extractor.save(path)
    facts = {
        "name": args.name,
        "architecture": args.architecture,
        "seed": args.seed,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "parameters": extractor.count_params(),
        "features": extractor.output["features"].shape[-1],
        "held_out_accuracy": held_out,
        "test_accuracy": accuracy,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "seconds": seconds,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".md").write_text(card(facts), encoding="utf-8")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
