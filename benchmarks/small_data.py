"""Trains on few images, with and without augmentation, and scores the results.

    KERAS_BACKEND=tensorflow python -m benchmarks.small_data FOLDER            # trains, or resumes
    KERAS_BACKEND=tensorflow python -m benchmarks.small_data FOLDER --report   # writes the results

Each training sees a fixed part of Fashion-MNIST's training images for 5,000 generator updates,
whatever the number of images; every 500 updates it is compared with the 10,000 test images by the
bundled classifier, which chooses the best look. A second classifier, which no training has seen,
judges that look and the last one. The recipe's rate is tuned first, on 600 images without
augmentation. `--only WORD…` trains those whose names contain all of the words.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras.optimizers import Adam

import keras_gan
from keras_gan import augment, datasets
from keras_gan.callbacks import LinearDecay
from keras_gan.images import image_grid
from keras_gan.latents import nearest
from keras_gan.metrics import FrechetDistance
from keras_gan.metrics.report import default_metrics, report
from keras_gan.presets import get_recipe
from keras_gan.runs import Run
from zoo.tools import pictures
from zoo.tools.quality import SECOND_JUDGE, SHAPE

RESULTS = Path(__file__).parent / "results" / "small_data"
LOOKS, STEPS = 10, 500  # Looks at a training, and generator updates between two of them.
AUGMENTS = {
    "none": lambda: None,
    "DiffAugment": lambda: augment.DiffAugment("translation,cutout"),
    # The paper's speed takes p to 1 in 500,000 images; these trainings see 320,000.
    "AdaptiveAugment": lambda: augment.AdaptiveAugment("translation,cutout", images=50_000),
}


class Cell(NamedTuple):
    """One training of the table."""

    variant: str
    images: int
    augment: str = "none"
    seed: int = 0
    rate: float | None = None  # Of both networks; None for the recipe's.

    @property
    def name(self):
        rate = f"-{self.rate:g}" if self.rate else ""
        return f"{self.variant}-{self.images}-{self.augment}{rate}-{self.seed}"


TUNING = [Cell("dcgan", 600, rate=rate) for rate in (2e-4, 4e-4)]
# `AdaptiveAugment` needs logits with a zero, which relativistic losses do not have.
CELLS = [
    *TUNING,
    *(Cell("dcgan", 600, kind, seed) for seed in (0, 1) for kind in AUGMENTS),
    *(Cell("r3gan", 600, kind) for kind in ("none", "DiffAugment")),
    *(Cell("dcgan", 6000, kind, seed) for seed in (0, 1) for kind in AUGMENTS),
]


def subset(count):
    """Returns as many training images, spread evenly over the set's order; uint8."""
    images = datasets.load("fashion_mnist", "train")
    return images[np.linspace(0, len(images) - 1, count).astype(int)]


def train(cell, folder):
    """Trains a cell, or what is left of it."""
    keras.utils.set_random_seed(cell.seed)
    recipe = get_recipe(cell.variant)
    metrics = [FrechetDistance("fashion_mnist_classifier")]
    options = {"augment": AUGMENTS[cell.augment]()}
    gan = keras_gan.create_model(cell.variant, SHAPE, cell.seed, metrics, **options)
    if cell.rate:
        adam = [Adam(cell.rate, beta_1=0.5) for _ in range(2)]
        gan.compile(*adam, metrics=metrics)
    gan.fit(
        subset(cell.images),
        batch_size=recipe.batch_size,
        steps_per_epoch=STEPS,
        epochs=LOOKS,
        validation_data=datasets.load("fashion_mnist", "test"),
        callbacks=[LinearDecay(recipe.decay), Run(folder, **cell._asdict())],
        verbose=0,
    )


def rows(folder):
    """Returns the looks at a training so far, of `training.csv`."""
    path = folder / "training.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def judged(preset, cell):
    """Returns the scores of a preset by both classifiers, and how near it is to what it has seen.

    `nearest` is the median distance of 1,000 samples to the nearest training image, in grey
    levels; `nearest_test` is that of as many test images.
    """
    gan = keras_gan.from_preset(str(preset))
    seen, test = subset(cell.images), datasets.load("fashion_mnist", "test")
    train = datasets.load("fashion_mnist", "train")[:10_000]
    found = {}
    for judge, file in (("bundled", None), ("second", str(SECOND_JUDGE))):
        scores = report(gan, test, train, default_metrics(SHAPE, file), 10_000, [0], verbose=0)
        for name in ("frechet_distance", "precision", "recall"):
            found[f"{judge} {name}"] = scores[name]["mean"]
    found["nearest"] = float(np.median(nearest(gan.generate(1000, seed=0), seen)[0]))
    found["nearest_test"] = float(np.median(nearest(test[:1000], seen)[0]))
    return found


def results(folder):
    """Returns what is known of the finished cells, by name; scores are kept beside the runs."""
    found = {}
    for cell in CELLS:
        run = folder / cell.name
        looks = rows(run)
        if len(looks) < LOOKS:
            continue
        kept = run / "judged.json"
        if not kept.exists():
            scores = {"best": judged(run / "best", cell), "final": judged(run, cell)}
            kept.write_text(json.dumps(scores, indent=1))
        distances = [look["val_frechet_distance"] for look in looks]
        best = int(np.argmin(distances))
        found[cell.name] = cell._asdict() | json.loads(kept.read_text())
        found[cell.name] |= {"distances": distances, "best_step": STEPS * (best + 1)}
    return found


def table(found):
    """Returns a Markdown table of results."""
    head = ("variant", "images", "augmentation", "rate", "seed", "best", "at step", "final")
    head += ("second judge, best", "final", "precision", "recall", "nearest", "test images'")
    lines = [f"| {' | '.join(head)} |", "| --- |" * 1 + " --- |" + " --- |" + " --: |" * 11]
    for row in found.values():
        best, final, looks = row["best"], row["final"], row["distances"]
        values = [f"{min(looks):.2f}", row["best_step"], f"{looks[-1]:.2f}"]
        values += [f"{side['second frechet_distance']:.2f}" for side in (best, final)]
        values += [f"{best[f'second {name}']:.2f}" for name in ("precision", "recall")]
        values += [f"{best[name]:.1f}" for name in ("nearest", "nearest_test")]
        rate = f"{row['rate']:g}" if row["rate"] else "recipe's"
        first = [row["variant"], row["images"], row["augment"], rate, row["seed"]]
        lines.append(f"| {' | '.join(map(str, first + values))} |")
    return "\n".join(lines) + "\n"


def write(folder):
    """Writes the table, curves and grids of all finished trainings to the results."""
    found = results(folder)
    RESULTS.mkdir(parents=True, exist_ok=True)
    facts = {"keras": keras.version(), "backend": keras.backend.backend()}
    facts["device"] = keras_gan.engine.device_name()
    facts["runs"] = found
    (RESULTS / "small_data.json").write_text(json.dumps(facts, indent=1) + "\n")
    (RESULTS / "small_data.md").write_text(table(found))
    curves, grids = {}, []
    for name, row in found.items():
        if row["seed"] or row["rate"]:
            continue
        steps = [STEPS * (look + 1) for look in range(LOOKS)]
        curves[name.removesuffix("-0")] = [
            {"images": step * get_recipe(row["variant"]).batch_size, "val_frechet_distance": value}
            for step, value in zip(steps, row["distances"], strict=True)
        ]
        gan = keras_gan.from_preset(str(folder / name / "best"))
        grids.append(image_grid(gan.generate(24, seed=0), columns=3))
    pictures.curves(RESULTS / "curves.png", curves, "Fréchet distance to 10,000 test images")
    pictures.side_by_side(RESULTS / "samples.png", grids)
    print(table(found))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the trainings are kept")
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of trainings")
    parser.add_argument("--report", action="store_true", help="write the results so far")
    options = parser.parse_args(arguments)
    if options.report:
        return write(options.folder)
    for cell in CELLS:
        if not all(word in cell.name for word in options.only):
            continue
        if len(rows(options.folder / cell.name)) < LOOKS:
            train(cell, options.folder / cell.name)
        distances = [look["val_frechet_distance"] for look in rows(options.folder / cell.name)]
        print(f"{cell.name}: best {min(distances):.2f}, last {distances[-1]:.2f}", flush=True)
    return None


if __name__ == "__main__":
    sys.exit(main())
