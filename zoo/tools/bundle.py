"""Makes a bundled preset, `zoo/NAME`, from finished runs: the best epoch of the best seed, scored.

Run from the repository root:

    KERAS_BACKEND=tensorflow python -m zoo.tools.bundle RUN [RUN …] NAME
"""

import argparse
import csv
import json
import statistics
from pathlib import Path

import h5py

import keras_gan
from keras_gan.conditions import Labels
from keras_gan.files import content_key, file_facts, replacing
from keras_gan.metrics.report import default_metrics, report

ZOO = Path(__file__).parents[1]
NUM_IMAGES, SEEDS = 10_000, range(3)
DRAWS = {
    "fashion_mnist": "grey 28×28 images of the ten kinds of clothes in Fashion-MNIST",
    "noto_emoji": "64×64 images in the style of 3,533 of Google's Noto emoji (OFL 1.1)",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of keras-gan train --score")
    parser.add_argument("name", help="the preset's name")
    parser.add_argument(
        "--last", action="store_true", help="take the last epoch instead of the best one"
    )
    parser.add_argument("--note", help="a sentence on the training, for the card")
    options = parser.parse_args()
    runs = [json.loads((run / "metadata.json").read_text()) for run in options.runs]
    if len({json.dumps([m["recipe"] | {"seed": 0}, m["data_sha256"]]) for m in runs}) > 1:
        parser.error("the runs have different recipes or data; only their seeds may differ")
    score = next(iter(runs[0]["scores"]))
    best = min(range(len(runs)), key=lambda i: runs[i]["scores"][score]["best"])
    folder, metadata = options.runs[best], runs[best]
    chosen = folder if options.last else folder / "best"
    gan = model_of(metadata, chosen)
    labels = isinstance(gan.condition, Labels)
    real, held_out = (
        keras_gan.datasets.load(metadata["data"], split, labels=labels)
        for split in ("train", "test")
    )
    metrics = default_metrics(gan.sample_shape, condition=gan.condition)
    scores = report(gan, real, held_out, metrics, NUM_IMAGES, SEEDS, verbose=1)
    facts = {k: v for k, v in metadata.items() if k not in ("format", "name", "files")}
    facts["scores"] = metadata["scores"] | scores
    facts["scores"][score] |= over_seeds(metadata, runs, score)
    facts["limits"] = limits(metadata, runs, score, options.note)
    images = real[0] if labels else real
    facts |= {"licence": "apache-2.0", "data_sha256": content_key(images)}
    if not options.last:
        facts["best_epoch"] = json.loads((chosen / "metadata.json").read_text())["epochs"]
    preset = ZOO / options.name
    gan.save_to_preset(preset, training_log(folder), **facts)
    pack(preset)


def model_of(metadata, folder):
    """Returns a run's model, without its metric, and in float32: backends agree on its images."""
    trained = keras_gan.from_preset(folder)
    gan = keras_gan.create_model(
        metadata["variant"], tuple(metadata["image_shape"]), metadata["seed"],
        condition=trained.condition,
    )  # fmt: skip
    gan.set_weights(trained.get_weights())
    gan.examples = trained.examples
    return gan


def training_log(run):
    with (run / "training.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def over_seeds(metadata, runs, score):
    """Returns mean and deviation of the best score of all runs that are as long as this one."""
    best = [m["scores"][score]["best"] for m in runs if m["epochs"] == metadata["epochs"]]
    if len(best) < 2:
        return {}
    return {
        f"mean of {len(best)} trainings": statistics.mean(best),
        "their deviation": statistics.stdev(best),
    }


def limits(metadata, runs, score, note):
    """Returns the card's paragraph on what the preset generates and what it was chosen from."""
    same = [m for m in runs if m["epochs"] == metadata["epochs"]]
    others = [m for m in runs if m["epochs"] != metadata["epochs"]]
    seeds = f"the best of {len(same)} seeds" if len(same) > 1 else "one seed"
    text = (
        f"It generates {DRAWS[metadata['data']]}, and nothing else. Trained for "
        f"{metadata['epochs']} epochs in {metadata['precision']}: {seeds}."
    )
    if others:
        reached = [f"{m['scores'][score]['best']:.3g} in {m['epochs']} epochs" for m in others]
        text += f" Other seeds reached {' and '.join(reached)}."
    elif len(same) == 1 and not note:
        text += " How much other seeds would differ is not known."
    if note:
        text += f" {note}"
    return f"{text} The seconds are wall time, possibly shared with other work."


def pack(folder):
    """Compresses a preset's weights and keeps only the average of an averaged generator.

    Every wheel contains all bundled presets, so their size matters. Fine-tuning starts from the
    average.
    """
    weights, described = folder / "model.weights.h5", folder / "metadata.json"
    with replacing(weights) as part, h5py.File(weights) as loose, h5py.File(part, "w") as packed:
        averaged = "ema_generator" in loose

        def copy(name, item):
            if averaged and name.split("/")[0] == "generator":
                return
            if isinstance(item, h5py.Group):
                new = packed.create_group(name)
            else:
                # HDF5 compresses no scalars.
                how = {"compression": "gzip", "shuffle": True} if item.shape else {}
                new = packed.create_dataset(name, data=item[()], **how)
            new.attrs.update(item.attrs)

        loose.visititems(copy)
        if averaged:  # Keras looks for both networks: a second name for the same group.
            packed["generator"] = packed["ema_generator"]
    metadata = json.loads(described.read_text())
    metadata["files"][weights.name] = file_facts(weights)
    with replacing(described) as part:
        part.write_text(json.dumps(metadata, indent=1))


if __name__ == "__main__":
    main()
