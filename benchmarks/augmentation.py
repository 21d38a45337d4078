"""Measures whether generated images help to train a classifier.

    KERAS_BACKEND=tensorflow python -m benchmarks.augmentation FOLDER            # or resumes
    KERAS_BACKEND=tensorflow python -m benchmarks.augmentation FOLDER --report   # writes results

First the classification accuracy score of Ravuri & Vinyals 2019 (arXiv:1905.10887): a classifier
trained only on images of `projection_fashion_mnist`, beside one trained on the 60,000 real images.
Then what tutorials promise: with 10 and with 100 real images of each class, a classifier trained on
these alone, on these flipped and shifted, and on these and as many generated ones in each batch, by
a conditional GAN that has seen nothing else (2,500 steps, with `DiffAugment`). All classifiers of a
part see as many batches; accuracy is on the 10,000 real test images after the last one, and no
choice is made by it.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_gan
from keras_gan import augment, datasets
from keras_gan.callbacks import LinearDecay
from keras_gan.conditions import Labels
from keras_gan.presets import get_recipe
from keras_gan.runs import Run

RESULTS = Path(__file__).parent / "results" / "augmentation"
PRESET, CLASSES, SHAPE, BATCH = "projection_fashion_mnist", 10, (28, 28, 1), 100
SEEDS, COUNTS = (0, 1, 2), (10, 100)
SCORE_STEPS, FEW_STEPS = 3000, 1500  # Batches that a classifier sees.
GAN, GAN_STEPS, GENERATED = "projection", 2500, 10_000
KINDS = ("real", "flips and shifts", "with generated")


def classifier():
    """Returns a convolutional network with dropout, for images as floats in −1…1."""
    parts = []
    for filters in (32, 64, 96):
        parts += [layers.Conv2D(filters, 3, padding="same", use_bias=False)]
        parts += [layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D()]
    head = [layers.Flatten(), layers.Dropout(0.4), layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input(SHAPE), *parts, *head])


def flipped_and_shifted(images, random):
    """Returns images of a batch, half of them mirrored, shifted by up to 2 pixels each way."""
    mirrored = random.random(len(images)) < 0.5
    images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    places = random.integers(0, 5, (len(images), 2))
    return np.stack([x[i : i + 28, j : j + 28] for x, (i, j) in zip(padded, places, strict=True)])


class Batches(keras.utils.PyDataset):
    """Batches drawn from several sets in equal parts, images as floats in −1…1."""

    def __init__(self, sets, steps, seed, change=None):
        super().__init__()
        self.sets, self.steps, self.seed, self.change = sets, steps, seed, change

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        random = np.random.default_rng((self.seed, step))
        images, labels = [], []
        for x, y in self.sets:
            chosen = random.integers(0, len(x), BATCH // len(self.sets))
            images.append(x[chosen] if self.change is None else self.change(x[chosen], random))
            labels.append(y[chosen])
        return np.concatenate(images).astype("float32") / 127.5 - 1, np.concatenate(labels)


def accuracy(sets, steps, seed, change=None):
    """Returns the accuracy on the test images of a classifier trained on sets of images."""
    keras.utils.set_random_seed(seed)
    model = classifier()
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(Batches(sets, steps, seed, change), verbose=0)
    images, labels = datasets.load("fashion_mnist", "test", labels=True)
    scaled = images.astype("float32") / 127.5 - 1
    return model.evaluate(scaled, labels, 500, verbose=0, return_dict=True)["accuracy"]


def few(count, seed):
    """Returns as many training images of each class, and their labels."""
    images, labels = datasets.load("fashion_mnist", "train", labels=True)
    random = np.random.default_rng(seed)
    chosen = [random.choice(np.flatnonzero(labels == c), count, False) for c in range(CLASSES)]
    return images[np.concatenate(chosen)], labels[np.concatenate(chosen)]


def generated(gan, count, seed):
    """Returns generated images, as many of each class, and their labels."""
    labels = np.arange(count) % CLASSES
    return gan.generate(count, condition=labels, seed=seed, batch_size=500), labels


def trained(real, folder, seed):
    """Returns a conditional GAN that has seen a few real images; trains it, or what is left."""
    keras.utils.set_random_seed(seed)
    recipe = get_recipe(GAN)
    names = datasets.class_names("fashion_mnist")
    options = {"condition": Labels(names), "augment": augment.DiffAugment("translation,cutout")}
    gan = keras_gan.create_model(GAN, SHAPE, seed, **options)
    callbacks = [LinearDecay(1 / 3), Run(folder)]
    size = min(recipe.batch_size, len(real[0]))
    steps = GAN_STEPS // 5
    gan.fit(*real, size, epochs=5, steps_per_epoch=steps, callbacks=callbacks, verbose=0)
    return gan


def score_measured(kind, seed):
    """Returns the accuracy of a classifier trained on real or on generated images alone."""
    if kind == "real":
        images = datasets.load("fashion_mnist", "train", labels=True)
    else:
        images = generated(keras_gan.from_preset(PRESET), 60_000, seed)
    return accuracy([images], SCORE_STEPS, seed)


def few_measured(kind, count, seed, folder):
    """Returns the accuracy of a classifier trained on a few real images in one of the ways."""
    real = few(count, seed)
    if kind == "with generated":
        gan = trained(real, folder / f"gan-{count}-{seed}", seed)
        return accuracy([real, generated(gan, GENERATED, seed)], FEW_STEPS, seed)
    change = flipped_and_shifted if kind == "flips and shifts" else None
    return accuracy([real], FEW_STEPS, seed, change)


def measure(folder):
    """Measures what is not in `FOLDER/results.json` yet, and returns all of it."""
    path = folder / "results.json"
    folder.mkdir(parents=True, exist_ok=True)
    found = json.loads(path.read_text()) if path.exists() else {}
    todo = [(f"all: {kind}: {seed}", kind, None, seed) for kind in KINDS[::2] for seed in SEEDS]
    for kind in KINDS:
        todo += [(f"{n}: {kind}: {seed}", kind, n, seed) for n in COUNTS for seed in SEEDS]
    for name, kind, count, seed in todo:
        if name not in found:
            if count is None:
                found[name] = score_measured(kind, seed)
            else:
                found[name] = few_measured(kind, count, seed, folder)
            path.write_text(json.dumps(found, indent=1))
        print(f"{name}: {found[name]:.4f}", flush=True)
    return found


def rows(found):
    """Returns `(part, kind, accuracies)` of everything that was measured with all seeds."""
    for part, kinds in (("all", KINDS[::2]), *((str(n), KINDS) for n in COUNTS)):
        for kind in kinds:
            values = [found.get(f"{part}: {kind}: {seed}") for seed in SEEDS]
            if None not in values:
                yield part, kind, values


def table(found):
    """Returns a Markdown table of accuracies, means and deviations over the seeds."""
    lines = ["| real images | trained on | accuracy |", "| --- | --- | --: |"]
    images = {"all": "60,000", **{str(n): f"{n} of each class" for n in COUNTS}}
    for part, kind, values in rows(found):
        label = "generated alone" if (part, kind) == ("all", KINDS[2]) else kind
        mean, spread = statistics.mean(values), statistics.stdev(values)
        lines.append(f"| {images[part]} | {label} | {mean:.4f} ± {spread:.4f} |")
    return "\n".join(lines) + "\n"


def write(folder):
    """Writes the figures, the table and a plot to the results."""
    from matplotlib.figure import Figure

    found = json.loads((folder / "results.json").read_text())
    RESULTS.mkdir(parents=True, exist_ok=True)
    facts = {"keras": keras.version(), "backend": keras.backend.backend()}
    facts |= {"device": keras_gan.engine.device_name(), "accuracy": found}
    (RESULTS / "augmentation.json").write_text(json.dumps(facts, indent=1) + "\n")
    (RESULTS / "augmentation.md").write_text(table(found))
    figure = Figure(figsize=(7, 3), dpi=120, layout="constrained")
    axes = figure.subplots()
    names = [f"{kind}, {part}" for part, kind, _ in rows(found)]
    for place, (_, kind, values) in enumerate(rows(found)):
        color = ("#666666", "#0072b2", "#d55e00")[KINDS.index(kind)]
        axes.barh(place, statistics.mean(values), color=color, alpha=0.5)
        axes.plot(values, [place] * len(values), "o", color=color, markersize=4)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="accuracy on 10,000 real test images", xlim=(0.5, 1))
    axes.invert_yaxis()
    figure.savefig(RESULTS / "augmentation.png")
    print(table(found))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where GANs and figures are kept")
    parser.add_argument("--report", action="store_true", help="write the results so far")
    options = parser.parse_args(arguments)
    if options.report:
        write(options.folder)
    else:
        measure(options.folder)


if __name__ == "__main__":
    sys.exit(main())
