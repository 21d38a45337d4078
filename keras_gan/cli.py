"""The command `keras-gan`: chooses what is to be done, and ends errors in one line.

`keras_gan_cli` reads the arguments and imports this module once Keras' backend is set.
"""

import json
import sys
from argparse import Namespace

import keras

from keras_gan import conditions, datasets, presets
from keras_gan.commands import data
from keras_gan.commands.common import CommandError, errors_in_one_line, open_preset
from keras_gan.commands.demo import demo
from keras_gan.commands.samples import generate, translate
from keras_gan.commands.train import train
from keras_gan.metrics.report import check_counts, default_metrics, report
from keras_gan_cli import printable


def run(args: Namespace) -> int:
    """Runs a command; returns its exit code.

    Args:
        args: What `keras_gan_cli.build_parser()` makes of the arguments, with `program`, the words
            that start the command; and, for `train`, the dict `options`.
    """
    commands = {
        "list": list_all,
        "train": train,
        "generate": generate,
        "translate": translate,
        "evaluate": evaluate,
        "demo": demo,
        "download": download,
        "info": info,
    }
    try:
        commands[args.command](args)
    except CommandError as error:
        print(f"keras-gan: {error}", file=sys.stderr)
        return error.code
    return 0


# List.


def list_all(args: Namespace) -> None:
    """Prints the names of the variants, presets and data sets."""
    print("variants (train):")
    for name in presets.list_models():
        print(f"  {name:<20}{presets.get_recipe(name).paper}")
    print("presets (generate, evaluate, info):", *presets.list_presets(), sep="\n  ")
    print("data sets (--data):", *datasets.list_datasets(), sep="\n  ")


# Evaluate.


def evaluate(args: Namespace) -> None:
    """Prints the scores of generated images, beside those that real images reach."""
    gan = open_preset(args.preset)
    if isinstance(gan.condition, conditions.Vector):
        raise CommandError(
            f"{args.preset} is conditioned on {gan.condition!r}, which no folder gives; score it "
            "in Python with keras_gan.metrics."
        )
    with errors_in_one_line():
        count, seeds, shape = args.num_images, range(args.seeds), gan.sample_shape
        extractor = args.extractor or data.extractor_of(args.data, shape)
        metrics = default_metrics(shape, extractor, gan.condition)
        check_counts(metrics, count)  # Before anything that takes long.
        real, held_out = data.splits(args.data, shape, count, gan.condition, args.targets)
        scores = report(gan, real, held_out, metrics, count, seeds, verbose=int(not args.json))
    about = {"preset": args.preset, "data": args.data, "backend": keras.backend.backend()}
    if args.json:
        print(json.dumps(about | {"scores": scores}, indent=1))
        return
    _print_table(about)
    width = max(map(len, scores)) + 2
    for name, row in scores.items():
        floor = "∞" if row["floor"] is None else f"{row['floor']:.4g}"
        print(f"{name:<{width}}{row['mean']:.4g} ± {row['std']:.2g}   (real images: {floor})")
    if gan.condition is not None and gan.condition.is_image:
        count = min(count, len(held_out.samples))
    print(f"{count} generated images, {args.seeds} seeds, against {len(real.samples)} real images.")


# Download and info.


def download(args: Namespace) -> None:
    """Downloads a preset, unless it is there already, and prints its folder."""
    with errors_in_one_line():
        print(presets.find_preset(args.preset))


def info(args: Namespace) -> None:
    """Prints the shapes and sizes of a model, and its metadata."""
    gan = open_preset(args.preset, load_weights=False)
    metadata = json.loads((presets.find_preset(args.preset) / "metadata.json").read_text())
    about = {
        "preset": args.preset,
        "sample shape": gan.sample_shape,
        "latent shape": gan.latent_shape,
        "condition": gan.condition,
        "generator weights": f"{gan.generator.count_params():,}",
        "discriminator weights": f"{gan.discriminator.count_params():,}",
    }
    _print_table(about | metadata)


def _print_table(rows, indent=0):
    for name, value in rows.items():
        if isinstance(value, dict):
            print(f"{'':{indent}}{printable(name)}")
            _print_table(value, indent + 2)
        else:
            value = f"{value:.5g}" if isinstance(value, float) else str(value)
            print(f"{'':{indent}}{printable(name):<24}{printable(value, 10_000)}")
