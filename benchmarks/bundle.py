"""Makes a bundled preset of a finished run: its best epoch, scored, in `zoo/NAME`.

KERAS_BACKEND=tensorflow python -m benchmarks.bundle RUN NAME
"""

import argparse
import csv
import json
from pathlib import Path

import keras_gan
from keras_gan.files import content_key
from keras_gan.metrics.report import default_metrics, report

NUM_IMAGES, SEEDS = 10_000, range(3)
LIMITS = (
    "It draws grey 28×28 pictures of the ten kinds of clothes in Fashion-MNIST and nothing else. "
    "Trained for few epochs, from one seed, and still improving; how far other seeds come is not "
    "known. The seconds are wall time on a machine that did other work too."
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="a folder of keras-gan train --score")
    parser.add_argument("name", help="of the preset")
    options = parser.parse_args()
    metadata = json.loads((options.run / "metadata.json").read_text())
    with (options.run / "training.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    gan = keras_gan.from_preset(options.run / "best")
    gan.compile(gan.optimizer.generator, gan.optimizer.discriminator)  # Without the run's metric.
    best = json.loads((options.run / "best" / "metadata.json").read_text())["epochs"]
    real, held_out = (
        keras_gan.datasets.load(metadata["data"], split) for split in ("train", "test")
    )
    metrics = default_metrics(gan.sample_shape)
    scores = report(gan, real, held_out, metrics, NUM_IMAGES, SEEDS, verbose=1)
    facts = {k: v for k, v in metadata.items() if k not in ("format", "name", "files")}
    facts |= {"scores": facts["scores"] | scores, "best_epoch": best}
    facts |= {"licence": "apache-2.0", "limits": LIMITS, "data_sha256": content_key(real)}
    gan.save_to_preset(Path("zoo") / options.name, rows, **facts)


if __name__ == "__main__":
    main()
