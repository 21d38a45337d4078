"""The commands of `keras-gan`: list, train, generate, translate, evaluate, download and info.

`keras_gan_cli` reads the arguments and imports this module once Keras' backend is set.
"""

import contextlib
import json
import math
import os
import re
import shlex
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import keras

from keras_gan import command_data, conditions, datasets, engine, presets
from keras_gan.callbacks import LinearDecay
from keras_gan.conditions import Images, Labels
from keras_gan.datasets.batches import Batch, SeededBatches
from keras_gan.datasets.splitting import opened, without_scored
from keras_gan.engine.keras_internals import set_random_seed, without_tensorflow
from keras_gan.files import content_key, replacing
from keras_gan.gan import GAN
from keras_gan.images import check_grid, class_grid, image_grid, sample_grid, save_image
from keras_gan.metrics.report import check_counts, conditional_metrics, default_metrics, report
from keras_gan.outputs import write_images
from keras_gan.presets import memory
from keras_gan.progress import TimeLeft
from keras_gan.runs import ResumeError, Run, Stopped
from keras_gan.watch import Watch
from keras_gan_cli import printable

SCORED = 10_000  # Held-out images for `train --score`, at most.


class CommandError(Exception):
    """Ends the command with one line; the code is 2 for bad input and 1 for a failed run."""

    def __init__(self, message: object, code: int = 2) -> None:
        super().__init__(" ".join(str(message).split()))
        self.code = code


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
        "download": download,
        "info": info,
    }
    try:
        commands[args.command](args)
    except CommandError as error:
        print(f"keras-gan: {error}", file=sys.stderr)
        return error.code
    return 0


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Turns the exceptions that bad input raises into CommandError."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise CommandError(error) from error


# List.


def list_all(args: Namespace) -> None:
    """Prints the names of the variants, presets and data sets."""
    print("variants (train):")
    for name in presets.list_models():
        print(f"  {name:<20}{presets.get_recipe(name).paper}")
    print("presets (generate, evaluate, info):", *presets.list_presets(), sep="\n  ")
    print("data sets (--data):", *datasets.list_datasets(), sep="\n  ")


# Train.


def train(args: Namespace) -> None:
    """Trains a variant and saves it to a folder after each epoch; resumes what is there."""
    folder, options = args.out, args.options
    if not engine.TRAINS:
        raise CommandError(
            f"Keras' {keras.backend.backend()} backend cannot train; "
            f"use --backend {'|'.join(engine.BACKENDS)}."
        )
    with contextlib.ExitStack() as stack:
        if options.get("devices"):
            count = None if options["devices"] == "all" else int(options["devices"])
            with _errors_in_one_line():
                stack.enter_context(engine.on_devices(count))
        set_random_seed(options["seed"])
        keras.config.set_dtype_policy(options["precision"])
        signals = stack.enter_context(_Signals())
        with _errors_in_one_line():
            gan, batches, held_out, options = _prepare(options)
            run = signals.run = Run(folder, **options)
            stack.enter_context(run.opened(gan))
            if gan.leads:
                _write_options(folder, options, args.resume)
        epochs = options["epochs"]
        if run.epochs_done >= epochs:
            print(
                f"{folder} already has {run.epochs_done} epochs; give a larger --epochs to train "
                "longer."
            )
            return
        shape = "×".join(map(str, gan.sample_shape))
        print(f"Training {args.variant} on {options['num_images']} images of {shape}.", flush=True)
        _fit(gan, run, batches, held_out, options, Watch(args.on_trouble.replace("-", "_")))
        print(f"Trained {args.variant}: {epochs} epochs, samples in {folder / 'samples.png'}")
        _print_next_steps(args, epochs, gan)


def _write_options(folder, options, resumed):
    if not resumed and (folder / "options.json").exists():
        raise CommandError(f"another process has started a run in {folder}.")
    with replacing(folder / "options.json", durable=True) as part:
        part.write_text(json.dumps(options, indent=1))


class _Signals:
    """Lets Ctrl-C, SIGTERM and SIGHUP end a training when its state is saved, as `Stopped`.

    That is after the step that is being made; after the last one of an epoch, when the epoch has
    been validated. The second signal ends it at once, and so does the first one where there is
    nothing to save.
    """

    NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows lacks the last one.

    def __init__(self):
        self.run: Run | None = None
        self.process, self.before = os.getpid(), {}

    def __enter__(self):
        if threading.current_thread() is not threading.main_thread():
            return self  # Python sets handlers in the main thread only.
        for number in [getattr(signal, name) for name in self.NAMES if hasattr(signal, name)]:
            if signal.getsignal(number) != signal.SIG_IGN:  # As under nohup.
                self.before[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _received(self, number, frame):
        if os.getpid() != self.process:  # A worker of a loader, which inherited this.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self.run is not None and self.run.stepping and self.run.stop is None:
            self.run.stop = number
        else:
            raise Stopped(number)


def _prepare(options):
    """Returns the compiled model, its batches, the held-out images or None, and all options.

    The options are those given, completed with the recipe's and with facts about the data.
    """
    variant, data, seed = options["variant"], options["data"], options["seed"]
    recipe = presets.get_recipe(variant)
    kind = options.get("condition") or ("labels" if Labels in recipe.conditions else None)
    pairs = options.get("targets")
    if pairs is not None and (kind or Images not in recipe.conditions):
        raise CommandError(
            "--targets is for variants that are trained on pairs, such as pix2pix, without "
            "--condition; leave one of them out."
        )
    if recipe.conditions and kind is None and pairs is None:
        raise CommandError(
            f"{variant} needs --condition downscaled:4, masked or grayscale, or --targets for a "
            "folder of pairs."
        )
    # Single images: SeededBatches chooses which ones go together.
    reading = {"image_size": options.get("image_size"), "batch_size": 1, "seed": seed}
    if pairs is None:
        reading["labels"] = kind == "labels"
    images, labels = opened(data, pairs, **reading)
    condition = command_data.condition_of(kind, data, images)
    shape = tuple(getattr(images, "image_shape", None) or images.shape[1:])
    facts = _data_facts(options, images, shape)
    held_out = metrics = None
    if options.get("score"):
        extractor = command_data.extractor_of(data, shape)
        distance, *_ = default_metrics(shape, extractor)
        metrics = [distance, *conditional_metrics(shape, extractor, condition, each_class=False)]
        (images, labels), scored = without_scored(data, Batch(images, labels), SCORED)
        check_counts(metrics[:1], len(scored.samples))
        held_out = scored.samples if scored.condition is None else tuple(scored)
    gan = presets.create_model(variant, shape, seed, metrics, condition)
    steps = gan.discriminator_steps
    if len(images) < steps:
        raise CommandError(f"{data} has {len(images)} images; {variant} needs at least {steps}.")
    size = options.get("batch_size") or recipe.batch_size
    batches = SeededBatches(
        images, size * steps, options.get("steps_per_epoch"), seed, drop_remainder=True,
        condition=labels,
    )  # fmt: skip
    gan.check_shares(batches.batch_size, 0)
    batch = (
        batches.batch_size // steps // gan.devices
    )  # Fewer than asked for, if there are not so many images.
    needed = memory.bytes_needed([gan.generator, gan.discriminator], batch)
    memory.check_memory(variant, shape, needed, batch)
    resolved = {
        **facts,
        "num_images": len(images),
        "batch_size": size,
        "epochs": options.get("epochs", recipe.epochs),
        "steps_per_epoch": batches.steps,
        "backend": keras.backend.backend(),
        "paper": recipe.paper,
        "recipe": _settings(gan) | {"decay": recipe.decay},
    }
    return gan, batches, held_out, options | resolved


def _data_facts(options, images, shape):
    """Returns what identifies the data, after checking that a resumed run gets the same images."""
    data = options["data"]
    if data not in datasets.list_datasets():
        data = os.path.abspath(os.path.expanduser(data))
    sha256 = content_key(images) or images.fingerprint
    if options.get("data_sha256", sha256) != sha256:
        raise CommandError(
            f"the images in {data} have changed since the run started; start a new run in another "
            "folder with --out."
        )
    return {
        "data": data,
        "data_sha256": sha256,
        "num_images": len(images),
        "image_size": shape[:2],
        "image_shape": shape,
    }


def _settings(gan):
    """Returns the model's and the optimizers' settings, without the networks' layers."""
    with without_tensorflow():
        settings = gan.get_config() | gan.get_compile_config()
    return {k: v for k, v in settings.items() if k not in ("generator", "discriminator")}


def _fit(gan: GAN, run: Run, batches, held_out, options, watch: Watch):
    epochs, recipe = options["epochs"], presets.get_recipe(options["variant"])
    decay = [LinearDecay(recipe.decay)] if recipe.decay else []
    progress = TimeLeft(run.folder / "samples.png")
    try:
        gan.fit(
            batches,
            epochs=epochs,
            validation_data=held_out,
            callbacks=[*decay, watch, run, progress],
            verbose=0,
        )
    except KeyboardInterrupt as error:
        progress.clear()
        number = getattr(error, "signal", signal.SIGINT)
        how = (
            "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        )
        saved = f"{len(run.rows)} of {epochs} epochs are in {run.folder}"
        message = f"{how}; {saved}; add --resume to continue."
        raise CommandError(message, 128 + number) from None
    except ResumeError as error:
        raise CommandError(error) from error
    except OSError as error:
        progress.clear()
        raise CommandError(
            f"the run cannot be saved: {error}; fix this, then add --resume to continue.", 1
        ) from error
    if run.failed_epoch:
        raise CommandError(
            f"training stopped: the losses were no longer finite in epoch {run.failed_epoch}; "
            f"{run.folder} contains the {run.failed_epoch - 1} epochs before it.",
            1,
        )
    if len(run.rows) < epochs:
        raise CommandError(
            f"training stopped: {watch.troubles[-1]}; {run.folder} contains {len(run.rows)} "
            "epochs. Lower the learning rates, or try another variant.",
            1,
        )


def _print_next_steps(args, epochs, gan):
    """Prints commands to try after a training, ready to copy."""
    data, out = shlex.quote(args.data), shlex.quote(str(args.out))
    train_again = f"{args.program} train {shlex.quote(args.variant)}"
    for option in ("condition", "targets"):
        given = getattr(args, option)
        train_again += f" --{option} {shlex.quote(given)}" if given else ""
    score = f"{args.program} evaluate {out} --data {data}"
    score += f" --targets {shlex.quote(args.targets)}" if args.targets else ""
    steps = {"Generate more images": f"{args.program} generate {out} --num 100 --out more.png"}
    if gan.condition is not None and gan.condition.is_image:
        translated = f"{args.program} translate {out} FOLDER --out translated"
        steps = {"Translate a folder of images": translated}
    steps |= {
        "Score them against real images": score,
        "Train longer": f"{train_again} --data {data} --out {out} --epochs {2 * epochs} --resume",
        "Train on a folder of your own images": f"{train_again} --data FOLDER --out runs/mine",
    }
    print("\nWhat to try next:")
    for title, command in steps.items():
        print(f"\n  # {title}\n  {command}")


# Generate.


def generate(args: Namespace) -> None:
    """Writes generated images as one grid, as an array, or as one file each."""
    gan = _open(args.preset)
    with _errors_in_one_line():
        if args.per_class:
            count = _write_classes(gan, args)
        elif args.label is None and args.out.suffix == ".png" and gan.condition is not None:
            count = _write_grid(gan, args)
        else:
            wanted = {} if args.label is None else {"condition": _class_of(gan, args.label)}
            count = args.num
            write_images(args.out, gan.generate_batches(count, seed=args.seed, **wanted), count)
    print(f"{count} images are in {args.out}")


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
    labels, count = _labels(gan), args.per_class
    for number, name in enumerate(_folder_names(labels.class_names)):
        batches = gan.generate_batches(count, condition=number, seed=args.seed)
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)  # A dot in its name is no ending then.
        write_images(folder, batches, count)
    return count * labels.count


def _folder_names(classes):
    """Returns a name of a folder for each class: a preset's author may call one `..`."""
    names = [re.sub(r"[^\w .+()-]", "-", name)[:100].strip(". ") for name in classes]
    usual = "" not in names and len(set(names)) == len(names)
    return names if usual else [f"{i:03d} {name}".strip() for i, name in enumerate(names)]


def _labels(gan) -> Labels:
    if not isinstance(gan.condition, Labels):
        raise CommandError("this model knows no classes; leave out --class and --per-class.")
    return gan.condition


def _class_of(gan, text: str) -> int:
    """Returns the number of a class that is given by its name or number."""
    labels = _labels(gan)
    if text.isdecimal() and text not in labels.class_names and int(text) < labels.count:
        return int(text)
    return labels.number(text)


# Translate.


def translate(args: Namespace) -> None:
    """Writes what a model makes of images: one for one, or a folder for a folder."""
    gan = _open(args.preset)
    with _errors_in_one_line():
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


# Evaluate.


def evaluate(args: Namespace) -> None:
    """Prints the scores of generated images, beside those that real images reach."""
    gan = _open(args.preset)
    if isinstance(gan.condition, conditions.Vector):
        raise CommandError(
            f"{args.preset} is conditioned on {gan.condition!r}, which no folder gives; score it "
            "in Python with keras_gan.metrics."
        )
    with _errors_in_one_line():
        count, seeds, shape = args.num_images, range(args.seeds), gan.sample_shape
        extractor = args.extractor or command_data.extractor_of(args.data, shape)
        metrics = default_metrics(shape, extractor, gan.condition)
        check_counts(metrics, count)  # Before anything that takes long.
        real, held_out = command_data.splits(args.data, shape, count, gan.condition, args.targets)
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
    with _errors_in_one_line():
        print(presets.find_preset(args.preset))


def info(args: Namespace) -> None:
    """Prints the shapes and sizes of a model, and its metadata."""
    gan = _open(args.preset, load_weights=False)
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


def _open(preset, load_weights=True):
    """Returns the model of a preset; it must generate images."""
    with _errors_in_one_line():
        gan = presets.from_preset(preset, load_weights)
    if len(gan.sample_shape) != 3:
        raise CommandError(f"{preset} generates samples of shape {gan.sample_shape}, not images.")
    return gan


def _print_table(rows, indent=0):
    for name, value in rows.items():
        if isinstance(value, dict):
            print(f"{'':{indent}}{printable(name)}")
            _print_table(value, indent + 2)
        else:
            value = f"{value:.5g}" if isinstance(value, float) else str(value)
            print(f"{'':{indent}}{printable(name):<24}{printable(value, 10_000)}")
