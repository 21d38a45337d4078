"""The command line: `keras-gan list | train | generate | evaluate | info | download`.

Importing keras fixes its backend. So keras, and all of this library that needs it, is imported
inside the commands, after `--backend` has been read.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import sys
import warnings
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

FRAMEWORKS = ("tensorflow", "torch", "jax")
DEFAULTS = {"seed": 0, "precision": "float32"}


class Stop(Exception):
    """Ends the command with one line: code 2 is for the user to mend, 1 a failed run."""

    def __init__(self, message, code=2):
        super().__init__(" ".join(str(message).split()))
        self.code = code


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit code: 0, 1 (failed), 2 (bad input) or 130 (Ctrl-C)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # For developers, not for users.
        warnings.showwarning = lambda message, *_, **__: _tell(message)
        try:
            args = _parser().parse_args(argv)
            args.run(args)
        except Stop as stop:
            _tell(stop)
            return stop.code
        except KeyboardInterrupt:
            _tell("interrupted.")
            return 130
        except BrokenPipeError:  # As in `keras-gan info DIR | head -1`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
    return 0


# Commands.


def _list(args):
    _start(args.backend)
    from keras_gan import datasets, presets

    print("variants (train):")
    for name in presets.list_models():
        print(f"  {name:<20}{presets.get_recipe(name).paper}")
    print("presets (generate, evaluate, info):", *presets.list_presets(), sep="\n  ")
    print("data sets (--data):", *datasets.list_datasets(), sep="\n  ")


def _train(args):
    folder = Path(args.out or f"runs/{args.variant}")
    with _to_mend():
        options = DEFAULTS | _options(folder, args)
    keras = _start(options.get("backend"), training=True)
    keras.utils.set_random_seed(options["seed"])
    keras.config.set_dtype_policy(options["precision"])
    with _to_mend():
        gan, batches, held_out, options = _prepared(options)
        from keras_gan.callbacks import RunFolder
        from keras_gan.files import replacing

        with replacing(folder / "options.json") as part:
            part.write_text(json.dumps(options, indent=1))
        run = RunFolder(folder, batches, **options)
        done = run.restore(gan)
    if done >= options["epochs"]:
        print(f"{folder} has its {done} epochs already; give a larger --epochs to go on.")
        return
    _fit(gan, run, options, done, held_out)
    print(f"Trained {options['variant']}: the samples are in {folder / 'samples.png'}")


def _options(folder, args):
    """What was given, with what the run in the folder was begun with if it is to be resumed."""
    own = ("run", "out", "resume")
    given = {k: v for k, v in vars(args).items() if v is not None and k not in own}
    path = folder / "options.json"
    if not args.resume:
        if path.exists():
            raise Stop(f"{folder} holds a run already; add --resume, or give another --out.")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Stop(f"{folder} exists and is no run folder; give a new --out.")
        return given
    try:
        saved = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Stop(f"there is nothing to resume in {folder}: {error}.") from error
    if os.path.isabs(saved["data"]):  # A folder, perhaps told another way.
        given["data"] = os.path.abspath(os.path.expanduser(given["data"]))
    for name, value in given.items():
        if name != "epochs" and value != saved.get(name):
            flag = "VARIANT" if name == "variant" else "--" + name.replace("_", "-")
            how = f"with {flag} {saved[name]}, not {value}" if name in saved else f"without {flag}"
            raise Stop(f"{folder} was begun {how}.")
    return saved | given


def _prepared(options):
    """The compiled model, its batches, held-out images, the options with nothing left open."""
    import keras

    from keras_gan import callbacks, datasets, presets
    from keras_gan.files import content_key
    from keras_gan.metrics import report

    variant, data, seed = options["variant"], options["data"], options["seed"]
    recipe = presets.get_recipe(variant)
    images: Any = datasets.open_images(data, options.get("image_size"), batch_size=1, seed=seed)
    shape = getattr(images, "image_shape", None) or images.shape[1:]
    held_out, metrics = None, None
    if options.get("score"):
        held_out = _splits(data, shape, 10_000)[1][:10_000]
        if len(held_out) < 2:
            raise Stop(f"{data} has too few images for --score, which needs at least 4.")
        metrics = report.default_metrics(shape)[:1]
    gan = presets.create_model(variant, tuple(shape), seed, metrics)
    steps = gan.discriminator_steps
    if len(images) < steps:
        raise Stop(f"{data} has {len(images)} images; {variant} needs at least {steps}.")
    size = options.get("batch_size") or recipe.batch_size
    batches = callbacks.SeededBatches(images, size * steps, options.get("steps_per_epoch"), seed)
    if data not in datasets.list_datasets():
        data = os.path.abspath(os.path.expanduser(data))
    resolved = {
        "data": data,
        "data_sha256": content_key(images) or images.fingerprint,
        "num_images": len(images),
        "image_size": shape[:2],
        "image_shape": shape,
        "batch_size": size,
        "epochs": options.get("epochs", recipe.epochs),
        "steps_per_epoch": batches.steps,
        "backend": keras.backend.backend(),
        "paper": recipe.paper,
        "recipe": gan.get_config() | gan.get_compile_config() | {"decay": recipe.decay},
    }
    if options.get("data_sha256", resolved["data_sha256"]) != resolved["data_sha256"]:
        raise Stop(f"{data} no longer holds the images of the run's begin; give a new --out.")
    for network in ("generator", "discriminator"):
        del resolved["recipe"][network]
    return gan, batches, held_out, options | resolved


def _fit(gan, run, options, done, held_out):
    from keras_gan import callbacks, presets

    epochs, recipe = options["epochs"], presets.get_recipe(options["variant"])
    decay = [callbacks.LinearDecay(recipe.decay)] if recipe.decay else []
    # The batches have an order of their own. A bar is for people; a log gets a line per epoch.
    settings = {"epochs": epochs, "initial_epoch": done, "shuffle": False}
    settings["verbose"] = 1 if sys.stdout.isatty() else 2
    try:
        gan.fit(run.batches, callbacks=[*decay, run], validation_data=held_out, **settings)
    except KeyboardInterrupt:
        whole = f"{len(run.rows)} of {epochs} epochs are in {run.folder}"
        raise Stop(f"interrupted; {whole}, and --resume goes on from there.", 130) from None
    except OSError as error:
        raise Stop(f"the run cannot be saved: {error}; mend that and --resume.", 1) from error
    if run.failed_epoch:
        what = f"the losses were no longer finite in epoch {run.failed_epoch}, so training stopped"
        kept = f"{run.folder} keeps the {run.failed_epoch - 1} epochs before it"
        raise Stop(f"{what}; {kept}.", 1)


def _generate(args):
    out = Path(args.out)
    if out.suffix not in ("", ".png", ".npy") and not out.is_dir():
        raise Stop(f"--out is a .png (a grid), a .npy or a folder of images; got {args.out!r}.")
    gan = _open(args)
    images = gan.generate(args.num, seed=args.seed)
    with _to_mend():
        _write_images(out, images)
    print(f"{args.num} images are in {out}")


def _write_images(out, images):
    import numpy as np

    from keras_gan.files import replacing
    from keras_gan.images import image_grid, save_image

    kind = "" if out.is_dir() else out.suffix
    if kind == ".npy":
        with replacing(out) as part:
            np.save(part, images)
    elif kind:
        save_image(out, image_grid(images))
    else:
        files = [out / f"{i:05d}.png" for i in range(len(images))]
        # Scores are computed over all that a folder holds.
        if others := set(out.glob("*")) - set(files):
            raise Stop(f"{out} holds other files, such as {min(others).name}; give a new folder.")
        for path, image in zip(files, images, strict=True):
            save_image(path, image_grid(image[None]))


def _evaluate(args):
    gan = _open(args)
    import keras

    from keras_gan.metrics import report

    with _to_mend():
        count, seeds = args.num_images, range(args.seeds)
        real, held_out = _splits(args.data, gan.sample_shape, count)
        metrics = report.default_metrics(gan.sample_shape, args.extractor)
        scores = report.report(gan, real, held_out, metrics, count, seeds, int(not args.json))
    about = {"preset": args.preset, "data": args.data, "backend": keras.backend.backend()}
    if args.json:
        print(json.dumps(about | {"scores": scores}, indent=1))
        return
    _print_table(about)
    for name, row in scores.items():
        print(f"{name:<28}{row['mean']:.4g} ± {row['std']:.2g}   (real images: {row['floor']:.4g})")
    print(f"{count} generated images, {args.seeds} seeds, against {len(real)} real images.")


def _splits(data, image_shape, limit):
    """Images to compare with, and other real ones: the train and the test split, or two halves.

    Of a folder, which may not fit into memory, at most `limit` images make each half.
    """
    import numpy as np

    from keras_gan import datasets

    size, channels = image_shape[:2], image_shape[2]
    real: Any = datasets.open_images(data, size, channels)
    if isinstance(real, np.ndarray):
        held_out: Any = datasets.open_images(data, size, channels, split="test")
        if not np.array_equal(real[:64], held_out[:64]):  # The bundled set has one split only.
            return real, held_out
    else:
        batches = range(min(len(real), -(-2 * limit // real.batch_size)))
        real = np.concatenate([real[i] for i in batches])[: 2 * limit]
    return real[::2], real[1::2]


def _download(args):
    _start(args.backend)
    from keras_gan import presets

    with _to_mend():
        print(presets.find_preset(args.preset))


def _info(args):
    gan = _open(args, load_weights=False)
    from keras_gan import presets

    metadata = json.loads((presets.find_preset(args.preset) / "metadata.json").read_text())
    about = {
        "preset": args.preset,
        "sample shape": gan.sample_shape,
        "latent shape": gan.latent_shape,
        "generator weights": f"{gan.generator.count_params():,}",
        "discriminator weights": f"{gan.discriminator.count_params():,}",
    }
    _print_table(about | metadata)


# What the commands share.


def _start(backend=None, training=False):
    """Chooses the backend and imports keras on it."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = _backend(backend)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras = importlib.import_module("keras")
    running = keras.backend.backend()
    if backend not in (None, running):
        remedy = f"set KERAS_BACKEND={backend} before it is imported"
        raise Stop(f"keras runs on {running} in this process already, not on {backend}; {remedy}.")
    if training and running not in FRAMEWORKS:
        raise Stop(f"Keras' {running} backend cannot train; use --backend {'|'.join(FRAMEWORKS)}.")
    importlib.import_module("keras_gan.presets")
    return keras


def _backend(wanted):
    """The backend asked for, by option or environment, else the first that is installed."""
    installed = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
    wanted = wanted or os.environ.get("KERAS_BACKEND") or next(iter(installed), None)
    if wanted is None:
        raise Stop("no backend is installed; pip install 'keras-gan[jax]' (or tensorflow, torch).")
    if wanted not in (*FRAMEWORKS, "numpy", "openvino"):
        raise Stop(f"KERAS_BACKEND is {wanted!r}; it must be one of {', '.join(FRAMEWORKS)}.")
    if wanted in FRAMEWORKS and wanted not in installed:
        raise Stop(f"the backend {wanted} is not installed; pip install 'keras-gan[{wanted}]'.")
    return wanted


def _open(args, load_weights=True):
    _start(args.backend)
    from keras_gan import presets

    with _to_mend():
        gan = presets.from_preset(args.preset, load_weights)
    if len(gan.sample_shape) != 3:
        raise Stop(f"{args.preset} makes samples of shape {gan.sample_shape}, which are no images.")
    return gan


def _print_table(rows, indent=0):
    for name, value in rows.items():
        if isinstance(value, dict):
            print(f"{'':{indent}}{name}")
            _print_table(value, indent + 2)
        else:
            value = f"{value:.5g}" if isinstance(value, float) else value
            print(f"{'':{indent}}{name:<24}{value}")


@contextlib.contextmanager
def _to_mend():
    """Turns what bad input raises into one line for the user."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise Stop(error) from error


def _tell(message):
    print(f"keras-gan: {message}", file=sys.stderr)


# The parser.


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message):
        raise Stop(f"{message} (see {self.prog} --help)")


def _parser():
    parser = _Parser(prog="keras-gan", description="Train GANs on images, and generate with them.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    data = {"required": True, "help": "a data set's name, or a folder of images"}

    def command(name, run, help, preset=True):
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        added.add_argument("--backend", choices=FRAMEWORKS, help="default: $KERAS_BACKEND")
        if preset:
            added.add_argument("preset", metavar="PRESET|DIR")
        return added.add_argument

    command("list", _list, "List the variants, the presets and the data sets.", preset=False)

    option = command("train", _train, "Train a variant, into a folder that is a preset.", False)
    option("variant", metavar="VARIANT", help="see keras-gan list")
    option("--data", **data)
    option("--out", help="the run's folder, a new one; default: runs/VARIANT")
    option("--epochs", type=_whole(1), help="default: the recipe's")
    option("--batch-size", type=_whole(1), help="per discriminator step; default: the recipe's")
    option("--steps-per-epoch", type=_whole(1), help="default: all images once")
    option("--image-size", type=_size, help="N or HxW; default: the data set's, 64 for a folder")
    option("--seed", type=_whole(0), help="default: 0")
    option("--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    option("--score", action="store_true", default=None, help="score each epoch, and keep the best")
    option("--resume", action="store_true", help="go on with the run in --out")

    option = command("generate", _generate, "Generate images with a preset or a run.")
    option("--num", type=_whole(1), default=64, help="default: 64")
    option("--seed", type=_whole(0), default=0, help="default: 0")
    option("--out", default="grid.png", help="grid.png (the default), images.npy or a folder")

    option = command("evaluate", _evaluate, "Compare real images with generated ones.")
    option("--data", **data)
    option("--num-images", type=_whole(1), default=10_000, help="to generate; default: 10000")
    option("--seeds", type=_whole(1), default=3, help="how often, with new latents; default: 3")
    option("--extractor", help="inception or a file; default: a classifier for 28x28x1, or none")
    option("--json", action="store_true", help="print JSON")

    command("download", _download, "Fetch a preset (hf://user/repository or https://…).")
    command("info", _info, "Tell what a preset or a run is.")
    return parser


def _whole(minimum):
    def parse(text):
        if not text.isdecimal() or not minimum <= int(text) < 2**32:
            raise ArgumentTypeError(f"must be a whole number of at least {minimum}; got {text!r}")
        return int(text)

    return parse


def _size(text):
    match = re.fullmatch(r"(\d+)(?:[xX×](\d+))?", text)
    if not match:
        raise ArgumentTypeError(f"must be a side or HEIGHTxWIDTH; got {text!r}")
    return [int(side or match[1]) for side in match.groups()]
