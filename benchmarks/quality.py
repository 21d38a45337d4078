"""How good the zoo's presets are: scores by two judges, pictures, and what fine-tuning saves.

    KERAS_BACKEND=tensorflow python -m benchmarks.quality scores pictures memorised finetune

writes `quality.json`, `quality.md` and pictures into `results/quality/`. `tutorial RUN` trains the
plain tutorial's DCGAN for comparison, into a run folder; `scores` and `pictures` take it up from
there with `--tutorial RUN`.
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
from matplotlib.figure import Figure
from PIL import Image

import keras_gan
import keras_gan_cli
from keras_gan import datasets, networks
from keras_gan.images import image_grid, save_image
from keras_gan.metrics import FrechetDistance
from keras_gan.metrics.report import default_metrics, report
from keras_gan.presets import Recipe, register_model

RESULTS = Path(__file__).parent / "results" / "quality"
# Trained by `train_classifier.py --architecture residual --seed 1`; picks nothing, judges only.
SECOND = RESULTS / "second_classifier.keras"
SHAPE = (28, 28, 1)
TICKS = [0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300]
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


def tutorial(options):
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
    """Every preset before both judges."""
    train, test = (datasets.load("fashion_mnist", split) for split in ("train", "test"))
    rows = {}
    for name, gan, metadata, _ in presets:
        print(name)
        seeds = range(options.seeds)
        judges = {"bundled": None, "second": str(SECOND)}
        rows[name] = {
            judge: report(gan, train, test, default_metrics(SHAPE, file), options.num_images, seeds)
            for judge, file in judges.items()
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


def nearest(images, others):
    """The root mean square distance of each image's pixels, in 0…255, to the nearest other."""
    a, b = (x.reshape(len(x), -1).astype("float32") for x in (images, others))
    squares = (b**2).sum(axis=1) - 2 * a @ b.T  # But for what does not tell the others apart.
    indices = squares.argmin(axis=1)
    return np.sqrt(((a - b[indices]) ** 2).mean(axis=1)), indices


def memorised(options, presets):
    """Generated images beside their nearest training images, and logits of images not seen."""
    found = {}
    for name, gan, metadata, _ in presets:
        train, test = (datasets.load(metadata["data"], split) for split in ("train", "test"))
        generated = gan.generate(1000, seed=0, batch_size=500)
        distances, indices = nearest(generated, train)
        of_test, _ = nearest(test[:1000], train)
        pairs = np.stack([generated[:12], train[indices[:12]]]).reshape(-1, *gan.sample_shape)
        save_image(options.out / f"nearest_{name}.png", image_grid(pairs, columns=12))
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


def table(results):
    """Markdown: a row per preset, then the floor that real images reach."""
    columns = {
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
    training = ("epoch, of", "val. Fréchet, best", "final", "time", "on")
    lines = ["| preset | " + " | ".join((*columns, *training)) + " |"]
    lines.append("| --- |" + " --: |" * (len(columns) + len(training)))
    for name, row in results["presets"].items():
        cells = [
            f"{row[judge][key]['mean']:.3g} ± {row[judge][key]['std']:.1g}"
            for judge, key in columns.values()
        ]
        facts = row["training"]
        distance = facts["val_frechet_distance"]
        cells += [
            f"{facts['best_epoch'] or facts['epochs']}, {facts['epochs']}",
            f"{distance['best']:.3g}{_others(distance)}",
            f"{distance['final']:.3g}",
            f"{facts['seconds'] / 60:.0f} min",
            f"{facts['device']}, {facts['backend']}",
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    floor = [f"{row[judge][key]['floor']:.3g}" for judge, key in columns.values()]
    return "\n".join([*lines, "| real test images | " + " | ".join(floor) + " |" * 6, ""])


def _others(distance):
    means = [f"{v:.3g}" for name, v in distance.items() if name.startswith("mean of")]
    return f" ({means[0]} ± {distance['their deviation']:.2g})" if means else ""


# Pictures.


def pictures(options, presets):
    zoo = [gan for name, gan, _, _ in presets if name != "tutorial"]
    tiles = [image_grid(gan.generate(48, seed=0), columns=6) for gan in zoo]
    save_image(options.out / "samples.png", _side_by_side(tiles))
    walk(options.out / "walk.webp", presets[0][1])
    curves = {name: rows for name, _, _, rows in presets if name != "tutorial"}
    if (path := options.out / "tutorial.csv").exists():
        curves["tutorial"] = log(path, 234 * TUTORIAL.batch_size)  # 234 steps are an epoch.
    draw(options.out / "curves.png", curves, "Fréchet distance to 10,000 test images")


def _side_by_side(tiles, gap=24):
    white = [np.full((len(tiles[0]), gap), 255, "uint8")] * len(tiles)
    return np.concatenate(
        [part for pair in zip(tiles, white, strict=True) for part in pair][:-1], 1
    )


def walk(path, gan, stops=6, frames=12, images=32):
    """An animated picture of latents that go round on the sphere, where Gaussian ones lie."""
    ends = np.random.default_rng(0).standard_normal((stops, images, *gan.latent_shape))
    angles = np.linspace(0, np.pi / 2, frames, endpoint=False)
    grids = []
    for start, end in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        for angle in angles:
            latents = (np.cos(angle) * start + np.sin(angle) * end).astype("float32")
            samples = gan.predict(latents, verbose=0)
            shades = np.clip(np.rint(samples * 127.5 + 127.5), 0, 255).astype("uint8")
            grids.append(Image.fromarray(image_grid(shades, columns=8)))
    grids[0].save(path, save_all=True, append_images=grids[1:], duration=80, loop=0, quality=80)


def draw(path, curves, title):
    """Fréchet distances against the number of real images seen, a curve for each run's rows.

    Rows of several runs have their mean, and their range in `low` and `high`.
    """
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    colors = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#666666")
    for (name, rows), color, mark in zip(curves.items(), colors, "os^Dx", strict=False):
        x, y = zip(*((row["images"], row["val_frechet_distance"]) for row in rows), strict=True)
        axes.plot(x, y, marker=mark, markersize=4, color=color, label=name)
        if "low" in rows[0]:
            low, high = zip(*((row["low"], row["high"]) for row in rows), strict=True)
            axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="real images seen", ylabel="Fréchet distance", yscale="log", title=title)
    low, high = axes.get_ylim()
    axes.grid(alpha=0.4)
    axes.minorticks_off()
    axes.set_yticks(TICKS, TICKS)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path)


# Fine-tuning.


def finetune(options):
    """Shoes alone, from the preset of all clothes and from scratch, with the same steps."""
    sets = {}
    for split, count in (("train", 6000), ("test", 3000)):
        images, labels = datasets.load("fashion_mnist", split, labels=True)
        sets[split] = images[np.isin(labels, SHOES)][:count]
    preset = keras_gan.from_preset("dcgan_fashion_mnist").get_weights()
    curves = {}
    for start in ("from the preset", "from scratch"):
        runs = []
        for seed in range(options.seeds):
            keras.utils.set_random_seed(seed)
            metrics = [FrechetDistance("fashion_mnist_classifier")]
            gan = keras_gan.create_model("dcgan", SHAPE, seed=seed, metrics=metrics)
            if start == "from the preset":
                gan.set_weights(preset)
            before = gan.evaluate(sets["test"], return_dict=True, verbose=0)
            history = gan.fit(
                sets["train"], batch_size=64, epochs=options.epochs, validation_data=sets["test"]
            ).history
            runs.append([before["frechet_distance"], *history["val_frechet_distance"]])
        curves[start] = [
            {"images": len(sets["train"]) * i, "val_frechet_distance": float(np.mean(scores))}
            | {"low": min(scores), "high": max(scores)}
            for i, scores in enumerate(zip(*runs, strict=True))
        ]
    title = f"Shoes of Fashion-MNIST, 6,000 images, dcgan, {options.seeds} trainings each"
    draw(options.out / "finetune.png", curves, title)
    return curves


def load(name, folder):
    metadata = json.loads((folder / "metadata.json").read_text())
    best = folder / "best"
    seen = metadata["steps_per_epoch"] * metadata["batch_size"]
    rows = log(folder / "training.csv", seen * metadata["recipe"]["discriminator_steps"])
    return name, keras_gan.from_preset(best if best.exists() else folder), metadata, rows


def log(path, images):
    """The rows of a training's log, with the real images seen, of which an epoch has `images`."""
    with path.open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return [row | {"images": row["epoch"] * images} for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("tutorial", "scores", "pictures", "memorised", "finetune")
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--presets", default="*_fashion_mnist", help="a glob")
    parser.add_argument("--tutorial", type=Path, help="the tutorial's run folder")
    parser.add_argument("--epochs", type=int, default=8, help="of the tutorial, of fine-tuning")
    parser.add_argument("--num-images", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if "tutorial" in options.parts and tutorial(options):
        return 1
    file = options.out / "quality.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    if {"scores", "pictures", "memorised"} & {*options.parts}:
        folder = Path("zoo")
        presets = [load(n, folder / n) for n in keras_gan.list_presets(options.presets)]
        if options.tutorial:
            presets.append(load("tutorial", options.tutorial))
    if "scores" in options.parts:
        before = results.get("presets", {})
        results |= scores(options, presets)
        results["presets"] = dict(sorted((before | results["presets"]).items()))
        (options.out / "quality.md").write_text(table(results))
    if "pictures" in options.parts:
        pictures(options, presets)
    if "memorised" in options.parts:
        results.setdefault("memorised", {}).update(memorised(options, presets))
    if "finetune" in options.parts:
        results["finetune"] = finetune(options)
    file.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
