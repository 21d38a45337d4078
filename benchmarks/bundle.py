"""Makes a bundled preset of finished runs: the best epoch of the best seed, scored, in `zoo/NAME`.

KERAS_BACKEND=tensorflow python -m benchmarks.bundle RUN [RUN …] NAME
"""

import argparse
import csv
import json
import statistics
from pathlib import Path

import h5py

import keras_gan
from keras_gan.files import content_key, file_facts, replacing
from keras_gan.metrics.report import default_metrics, report

NUM_IMAGES, SEEDS = 10_000, range(3)
DRAWS = {
    "fashion_mnist": "grey 28×28 pictures of the ten kinds of clothes in Fashion-MNIST",
    "noto_emoji": "64×64 pictures in the manner of 3,533 of Google's Noto emoji (OFL 1.1)",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of keras-gan train --score")
    parser.add_argument("name", help="of the preset")
    parser.add_argument(
        "--last", action="store_true", help="its last epoch, where scores tell them no longer apart"
    )
    parser.add_argument("--note", help="what else the card should tell of the training")
    options = parser.parse_args()
    told = [json.loads((run / "metadata.json").read_text()) for run in options.runs]
    if len({json.dumps([m["recipe"] | {"seed": 0}, m["data_sha256"]]) for m in told}) > 1:
        parser.error("the runs are of different recipes or data; only their seeds may differ")
    score = next(iter(told[0]["scores"]))
    reached = [metadata["scores"][score]["best"] for metadata in told]
    run, metadata = min(zip(reached, options.runs, told, strict=True), key=lambda run: run[0])[1:]
    with (run / "training.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    # Without the run's metric, and in float32: in half precision backends draw unlike images.
    gan = keras_gan.create_model(
        metadata["variant"], tuple(metadata["image_shape"]), metadata["seed"]
    )
    chosen = run if options.last else run / "best"
    gan.set_weights(keras_gan.from_preset(chosen).get_weights())
    real, held_out = (
        keras_gan.datasets.load(metadata["data"], split) for split in ("train", "test")
    )
    metrics = default_metrics(gan.sample_shape)
    scores = report(gan, real, held_out, metrics, NUM_IMAGES, SEEDS, verbose=1)
    facts = {k: v for k, v in metadata.items() if k not in ("format", "name", "files")}
    alike = [m["scores"][score]["best"] for m in told if m["epochs"] == metadata["epochs"]]
    if len(alike) > 1:
        facts["scores"][score] |= {
            f"mean of {len(alike)} trainings": statistics.mean(alike),
            "their deviation": statistics.stdev(alike),
        }
    facts |= {"scores": facts["scores"] | scores, "licence": "apache-2.0"}
    if not options.last:
        facts["best_epoch"] = json.loads((chosen / "metadata.json").read_text())["epochs"]
    unlike = [m for m in told if m["epochs"] != metadata["epochs"]]
    others = [f"{m['scores'][score]['best']:.3g} in {m['epochs']} epochs" for m in unlike]
    limits = _limits(metadata, len(alike), others, options.note)
    facts |= {"limits": limits, "data_sha256": content_key(real)}
    folder = Path("zoo") / options.name
    gan.save_to_preset(folder, rows, **facts)
    pack(folder)


def pack(folder):
    """Compresses a preset's weights, and keeps of a generator and its average the average alone.

    The wheel holds every preset. Where training goes on, it does so from the average.
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
                new = packed.create_dataset(name, data=item[()], compression="gzip", shuffle=True)
            new.attrs.update(item.attrs)

        loose.visititems(copy)
        if averaged:  # One group under two names: Keras finds both networks.
            packed["generator"] = packed["ema_generator"]
    metadata = json.loads(described.read_text())
    metadata["files"][weights.name] = file_facts(weights)
    with replacing(described) as part:
        part.write_text(json.dumps(metadata, indent=1))


def _limits(metadata, seeds, others, note):
    which = f"{seeds} seeds, of which this is the best" if seeds > 1 else "one seed"
    if others:
        which += f"; others came to {' and '.join(others)}"
    elif seeds == 1 and not note:
        which += "; how far others come is not known"
    return (
        f"It draws {DRAWS[metadata['data']]}, and nothing else. Trained for {metadata['epochs']} "
        f"epochs in {metadata['precision']} from {which}. {f'{note} ' if note else ''}The seconds "
        "are wall time, perhaps beside other work."
    )


if __name__ == "__main__":
    main()
