"""`keras-gan generate` and `keras-gan translate`: images from a preset, into files."""

import math
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from keras_gan import conditions, datasets
from keras_gan.commands.common import CommandError, errors_in_one_line, open_preset
from keras_gan.conditions import Labels
from keras_gan.images import (
    check_grid,
    class_grid,
    image_grid,
    sample_grid,
    save_animation,
    save_image,
)
from keras_gan.latents import walk
from keras_gan.outputs import write_images
from keras_gan.waiting import Progress

STOPS, FRAMES = 6, 12  # Of a walk: latents that it passes, and frames from one to the next.


def generate(args: Namespace) -> None:
    """Writes generated images as one grid, as an array, or as one file each."""
    gan = open_preset(args.preset)
    with errors_in_one_line():
        if args.walk is not None:
            _write_walk(gan, args)
            return
        if args.per_class:
            count = _write_classes(gan, args)
        elif args.label is None and args.out.suffix == ".png" and gan.condition is not None:
            count = _write_grid(gan, args)
        else:
            wanted = {} if args.label is None else {"condition": class_of(gan, args.label)}
            count = args.num
            write_images(args.out, gan.generate_batches(count, seed=args.seed, **wanted), count)
    print(f"{count} images are in {args.out}")


def _write_walk(gan, args):
    """Writes an animation: each image of a grid walks from one of its latents to the next."""
    if gan.latent_shape is None:
        raise CommandError(f"{args.preset} makes images from others; use keras-gan translate.")
    check_grid((args.num, *gan.sample_shape))
    wanted: dict[str, Any] = {}
    if args.label is not None:
        wanted = {"condition": class_of(gan, args.label)}
    elif isinstance(gan.condition, Labels):
        wanted = {"condition": np.arange(args.num) % gan.condition.count}
    random = np.random.default_rng(args.seed)
    stops = random.standard_normal((STOPS, args.num, *gan.latent_shape), dtype="float32")
    paths = np.stack([walk(stops[:, i], FRAMES) for i in range(args.num)], axis=1)
    with Progress("Generating frames", len(paths)) as progress:

        def frames():
            for latents in paths:
                yield image_grid(gan.generate(latents=latents, **wanted))
                progress.add(1)

        save_animation(args.walk, frames())
    print(f"A walk of {len(paths)} frames is in {args.walk}")


def _write_grid(gan, args):
    """Writes a grid of a conditional model, a row for each class; returns the number of images."""
    check_grid((args.num, *gan.sample_shape))
    grid = sample_grid(gan, args.num, args.seed)
    if grid is None or gan.condition.is_image:
        raise CommandError(f"{args.preset} makes images from others; use keras-gan translate.")
    save_image(args.out, grid)
    return math.prod(class_grid(gan, args.num))


def _write_classes(gan, args):
    """Writes so many images of each class into a subfolder each; returns their number."""
    if args.out.suffix:
        raise CommandError("--per-class writes a folder for each class: give --out FOLDER.")
    labels, count = labels_of(gan), args.per_class
    for number, name in enumerate(folder_names(labels.class_names)):
        batches = gan.generate_batches(count, condition=number, seed=args.seed)
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)  # A dot in its name is no ending then.
        write_images(folder, batches, count)
    return count * labels.count


def folder_names(classes):
    """Returns a name of a folder for each class: a preset's author may call one `..`."""
    names = [re.sub(r"[^\w .+()-]", "-", name)[:100].strip(". ") for name in classes]
    usual = "" not in names and len(set(names)) == len(names)
    return names if usual else [f"{i:03d} {name}".strip() for i, name in enumerate(names)]


def labels_of(gan) -> Labels:
    if not isinstance(gan.condition, Labels):
        raise CommandError("this model knows no classes; leave out --class and --per-class.")
    return gan.condition


def class_of(gan, text: str) -> int:
    """Returns the number of a class that is given by its name or number."""
    labels = labels_of(gan)
    if text.isdecimal() and text not in labels.class_names and int(text) < labels.count:
        return int(text)
    return labels.number(text)


# Translate.


def translate(args: Namespace) -> None:
    """Writes what a model makes of images: one for one, or a folder for a folder."""
    gan = open_preset(args.preset)
    with errors_in_one_line():
        if gan.condition is None or not gan.condition.is_image:
            raise CommandError(f"{args.preset} makes nothing of images; use keras-gan generate.")
        shape, masked = gan.condition.shape, isinstance(gan.condition, conditions.Masked)
        shape = (*shape[:2], shape[2] - 1) if masked else shape
        many = args.images.is_dir()
        paths = [Path(p) for p in datasets.image_files(args.images)] if many else [args.images]
        mask = args.mask and datasets.read_image(str(args.mask), (*shape[:2], 1))[..., 0] > 127
        if not paths:
            raise CommandError(f"{args.images} contains no images.")
        for path in paths:
            image = gan.translate(datasets.read_image(str(path), shape), mask)
            name = path.with_suffix(".png").name
            save_image(args.out / name if many else args.out, image_grid(image[None]))
    print(f"{len(paths)} images are in {args.out}")
