"""Trains the generator of a finished run again, without a discriminator, for comparison.

Run from the repository root, with the folder of a translating run:

    KERAS_BACKEND=tensorflow python -m zoo.tools.reconstruction FOLDER/super_resolution-0

The network, rates, batches, average, terms and the number of updates are those of the run. Its
scores after each epoch are in `FOLDER/super_resolution-0-reconstruction/training.csv`; the epoch
with the smallest distance is in `best/` there. Resumes a training that was interrupted.
"""

import argparse
import json
from pathlib import Path

import keras
from keras import layers

from keras_gan import GAN, conditions, datasets, presets
from keras_gan.callbacks import LinearDecay
from keras_gan.datasets.batches import SeededBatches
from keras_gan.metrics.report import conditional_metrics, default_metrics
from keras_gan.runs import Run


def blind_discriminator(shape):
    """Returns a discriminator whose logit does not depend on what it sees.

    The generator gets no gradient from it, so that only the terms of its loss train it.
    """
    zero = layers.Dense(1, use_bias=False, kernel_initializer="zeros", trainable=False)
    return keras.Sequential([keras.Input(shape), layers.Flatten(), zero, layers.Dense(1)])


def twin(options, condition, metrics):
    """Returns the compiled model of a run's options, with a discriminator that sees nothing."""
    recipe, shape = presets.get_recipe(options["variant"]), tuple(options["image_shape"])
    gan = presets.create_model(options["variant"], shape, options["seed"], condition=condition)
    blind = GAN(
        gan.generator,
        blind_discriminator(shape),
        loss=recipe.loss,
        terms=recipe.terms(),
        condition=condition,
        ema_momentum=recipe.ema_momentum,
        seed=options["seed"],
    )
    blind.compile(recipe.generator_optimizer(), recipe.discriminator_optimizer(), metrics=metrics)
    return blind


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a run of keras-gan train")
    folder = parser.parse_args().run
    options = json.loads((folder / "options.json").read_text())
    seed, shape = options["seed"], tuple(options["image_shape"])
    keras.utils.set_random_seed(seed)
    condition = conditions.from_text(options["condition"], None)
    images = datasets.load(options["data"])
    held_out = datasets.load(options["data"], split="test")
    distance, *_ = default_metrics(shape, None)
    scores = conditional_metrics(shape, None, condition, each_class=False)
    gan = twin(options, condition, [distance, *scores])
    batches = SeededBatches(
        images, options["batch_size"], options["steps_per_epoch"], seed, drop_remainder=True
    )
    decay = presets.get_recipe(options["variant"]).decay
    gan.fit(
        batches,
        epochs=options["epochs"],
        validation_data=held_out,
        callbacks=[
            *([LinearDecay(decay)] if decay else []),
            Run(folder.with_name(f"{folder.name}-reconstruction"), data=options["data"]),
        ],
        verbose=2,
    )


if __name__ == "__main__":
    main()
