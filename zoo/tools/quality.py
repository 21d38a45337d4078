"""Measures the bundled presets: scores by two judges, memorised images, the gain of fine-tuning.

Run from the repository root:

    KERAS_BACKEND=tensorflow python -m zoo.tools.quality scores pictures memorised finetune

writes `quality.json`, `quality.md` and pictures into `benchmarks/results/quality/`. The part
`tutorial` trains the DCGAN of TensorFlow's tutorial for comparison, into the run folder that
`--tutorial RUN` names; `scores` and `pictures` include it if they get the same option.
"""

import argparse
import csv
import importlib.metadata
import json
import shutil
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras.optimizers import Adam

import keras_gan
import keras_gan_cli
from keras_gan import datasets, networks
from keras_gan.images import image_grid
from keras_gan.latents import nearest
from keras_gan.metrics import FrechetDistance
from keras_gan.metrics.report import default_metrics, report
from keras_gan.presets import Recipe, register_model
from zoo.tools import pictures

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "quality"
# Trained by `zoo.tools.train_classifier --architecture residual --seed 1`. It only judges: no
# epoch or setting is chosen by it.
SECOND_JUDGE = RESULTS / "second_classifier.keras"
SHAPE = (28, 28, 1)
SHOES = (5, 7, 9)  # Sandal, sneaker, ankle boot.

# TensorFlow's tutorial "Deep Convolutional Generative Adversarial Network", tensorflow.org, as of
# 2024: Adam 1e-4 with Keras' β₁ 0.9, batches of 256, 5×5 kernels, no average.
TUTORIAL = Recipe(
    paper="tensorflow.org/tutorials/generative/dcgan",
    generator=partial(networks.conv_generator, latent_dim=100, filters=64, kernel_size=5),
    discriminator=partial(networks.conv_discriminator, filters=64, kernel_size=5, dropout=0.3),
    loss="non_saturating",
    generator_optimizer=partial(Adam, learning_rate=1e-4),
    discriminator_optimizer=partial(Adam, learning_rate=1e-4),
    batch_size=256,
)
TUTORIAL_IMAGES = 234 * TUTORIAL.batch_size  # Seen in an epoch: 60,000 less the incomplete batch.


def train_tutorial(options):
    """Trains the tutorial's recipe into `--tutorial`; returns the exit code."""
    register_model("tutorial", TUTORIAL)
    arguments = ["--data", "fashion_mnist", "--epochs", str(options.epochs), "--score"]
    if code := keras_gan_cli.main(
        ["train", "tutorial", *arguments, "--out", str(options.tutorial)]
    ):
        return code
    shutil.copy(options.tutorial / "training.csv", options.out / "tutorial.csv")
    return 0


# Scores.


def scores(options, presets):
    """Returns every preset's scores by both judges, with the facts that fix their meaning."""
    train, test = (datasets.load("fashion_mnist", split) for split in ("train", "test"))
    seeds = range(options.seeds)
    rows = {}
    for name, gan, metadata, _ in presets:
        print(name)
        rows[name] = {
            judge: report(gan, train, test, default_metrics(SHAPE, file), options.num_images, seeds)
            for judge, file in (("bundled", None), ("second", str(SECOND_JUDGE)))
        }
        kept = ("epochs", "num_images", "seconds", "backend", "device", "seed", "best_epoch")
        rows[name]["training"] = {key: metadata.get(key) for key in kept}
        rows[name]["training"]["val_frechet_distance"] = metadata["scores"]["val_frechet_distance"]
    backend = keras.backend.backend()
    return {
        "num_generated": options.num_images,
        "seeds": options.seeds,
        "backend": backend,
        "versions": {name: importlib.metadata.version(name) for name in ("keras", backend)},
        "presets": rows,
    }


COLUMNS = {
    "Fréchet": ("bundled", "frechet_distance"),
    "by the second judge": ("second", "frechet_distance"),
    "kernel": ("bundled", "kernel_distance"),
    "precision": ("bundled", "precision"),
    "recall": ("bundled", "recall"),
    "second's precision": ("second", "precision"),
    "second's recall": ("second", "recall"),
    "density": ("bundled", "density"),
    "coverage": ("bundled", "coverage"),
    "rarest class": ("bundled", "rarest_class"),
}
TRAINING = ("epoch, of", "val. Fréchet, best", "final", "time", "on")


def table(results):
    """Returns a Markdown table: a row per preset, then the scores of real images."""
    lines = [
        "| preset | " + " | ".join((*COLUMNS, *TRAINING)) + " |",
        "| --- |" + " --: |" * (len(COLUMNS) + len(TRAINING)),
    ]
    for name, row in results["presets"].items():
        means = [
            f"{row[judge][key]['mean']:.3g} ± {row[judge][key]['std']:.1g}"
            for judge, key in COLUMNS.values()
        ]
        facts = row["training"]
        distance = facts["val_frechet_distance"]
        training = [
            f"{facts['best_epoch'] or facts['epochs']}, {facts['epochs']}",
            f"{distance['best']:.3g}{_over_seeds(distance)}",
            f"{distance['final']:.3g}",
            f"{facts['seconds'] / 60:.0f} min",
            f"{facts['device']}, {facts['backend']}",
        ]
        lines.append(f"| `{name}` | " + " | ".join(means + training) + " |")
    floor = [f"{row[judge][key]['floor']:.3g}" for judge, key in COLUMNS.values()]
    return "\n".join([*lines, "| real test images | " + " | ".join(floor) + " |" * 6, ""])


def _over_seeds(distance):
    means = [f"{value:.3g}" for name, value in distance.items() if name.startswith("mean of")]
    return f" ({means[0]} ± {distance['their deviation']:.2g})" if means else ""


# Memorised images.


def memorised(options, presets):
    """Returns distances to the nearest training images, and logits of seen and unseen images."""
    found = {}
    for name, gan, metadata, _ in presets:
        train, test = (datasets.load(metadata["data"], split) for split in ("train", "test"))
        generated = gan.generate(1000, seed=0, batch_size=500)
        distances, indices = nearest(generated, train)
        of_test, _ = nearest(test[:1000], train)
        picture = options.out / f"nearest_{name}.png"
        pictures.nearest_pairs(picture, generated[:12], train[indices[:12]])
        seen = gan.evaluate(train[: len(test)], return_dict=True, verbose=0)
        unseen = gan.evaluate(test, return_dict=True, verbose=0)
        found[name] = {
            "generated": float(np.median(distances)),
            "test": float(np.median(of_test)),
            "closest_generated": float(distances.min()),
            "closest_test": float(of_test.min()),
            "d_real_train": seen["d_real"],
            "d_real_test": unseen["d_real"],
            "d_fake": unseen["d_fake"],
        }
    return found


# Pictures.


def draw(options, presets):
    bundled = [preset for preset in presets if preset[0] != "tutorial"]
    grids = [image_grid(gan.generate(48, seed=0), columns=6) for _, gan, _, _ in bundled]
    pictures.side_by_side(options.out / "samples.png", grids)
    pictures.walk(options.out / "walk.webp", bundled[0][1])
    runs = {name: rows for name, _, _, rows in bundled}
    if (path := options.out / "tutorial.csv").exists():
        runs["tutorial"] = log(path, TUTORIAL_IMAGES)
    title = "Fréchet distance to 10,000 test images"
    pictures.curves(options.out / "curves.png", runs, title)


# Fine-tuning.


def finetune(options):
    """Trains on shoes alone, from the preset of all clothes and from scratch; returns both curves.

    Both take the same steps on the same images, with `--seeds` trainings each.
    """
    sets = {}
    for split, count in (("train", 6000), ("test", 3000)):
        images, labels = datasets.load("fashion_mnist", split, labels=True)
        sets[split] = images[np.isin(labels, SHOES)][:count]
    preset = keras_gan.from_preset("dcgan_fashion_mnist").get_weights()
    curves = {}
    for start, weights in (("from the preset", preset), ("from scratch", None)):
        runs = [_distances(sets, weights, seed, options.epochs) for seed in range(options.seeds)]
        curves[start] = [
            {
                "images": len(sets["train"]) * epoch,
                "val_frechet_distance": float(np.mean(distances)),
                "low": min(distances),
                "high": max(distances),
            }
            for epoch, distances in enumerate(zip(*runs, strict=True))
        ]
    title = f"Shoes of Fashion-MNIST, 6,000 images, dcgan, {options.seeds} trainings each"
    pictures.curves(options.out / "finetune.png", curves, title)
    return curves


def _distances(sets, weights, seed, epochs):
    """Returns the Fréchet distances before training and after each epoch."""
    keras.utils.set_random_seed(seed)
    metrics = [FrechetDistance("fashion_mnist_classifier")]
    gan = keras_gan.create_model("dcgan", SHAPE, seed=seed, metrics=metrics)
    if weights is not None:
        gan.set_weights(weights)
    before = gan.evaluate(sets["test"], return_dict=True, verbose=0)
    history = gan.fit(sets["train"], batch_size=64, epochs=epochs, validation_data=sets["test"])
    return [before["frechet_distance"], *history.history["val_frechet_distance"]]


# Runs and presets.


def load(name, folder):
    """Returns name, model, metadata and log of a preset, or of a run's best epoch."""
    metadata = json.loads((folder / "metadata.json").read_text())
    best = folder / "best"
    seen = metadata["steps_per_epoch"] * metadata["batch_size"]
    rows = log(folder / "training.csv", seen * metadata["recipe"]["discriminator_steps"])
    return name, keras_gan.from_preset(best if best.exists() else folder), metadata, rows


def log(path, images_per_epoch):
    """Returns the rows of a training's log, each with the number of real images seen so far."""
    with path.open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return [row | {"images": row["epoch"] * images_per_epoch} for row in rows]


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("tutorial", "scores", "pictures", "memorised", "finetune")
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--presets", default="*_fashion_mnist", help="a glob")
    parser.add_argument("--tutorial", type=Path, help="run folder of the tutorial's recipe")
    parser.add_argument("--epochs", type=int, default=8, help="of the tutorial and of fine-tuning")
    parser.add_argument("--num-images", type=int, default=10_000, help="to generate for scores")
    parser.add_argument("--seeds", type=int, default=3, help="of latents, or of fine-tunings")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if "tutorial" in options.parts and not options.tutorial:
        parser.error("the part tutorial needs --tutorial RUN, the folder to train into")
    return options


def main():
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    if "tutorial" in options.parts and (code := train_tutorial(options)):
        return code
    file = options.out / "quality.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    if {"scores", "pictures", "memorised"} & {*options.parts}:
        presets = [load(n, ROOT / "zoo" / n) for n in keras_gan.list_presets(options.presets)]
        if options.tutorial:
            presets.append(load("tutorial", options.tutorial))
    if "scores" in options.parts:
        before = results.get("presets", {})
        results |= scores(options, presets)
        results["presets"] = dict(sorted((before | results["presets"]).items()))
        (options.out / "quality.md").write_text(table(results))
    if "pictures" in options.parts:
        draw(options, presets)
    if "memorised" in options.parts:
        results.setdefault("memorised", {}).update(memorised(options, presets))
    if "finetune" in options.parts:
        results["finetune"] = finetune(options)
    file.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
