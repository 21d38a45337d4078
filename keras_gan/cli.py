"""The command line: `keras-gan list | train | generate | evaluate | info`.

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
import tempfile
import warnings
from pathlib import Path

FRAMEWORKS = ("tensorflow", "torch", "jax")
EPOCHS = 20
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# What TensorFlow logs while it starts although told not to: information, and that there is no GPU.
_CHATTER = re.compile(r"I\d{4} |WARNING: All log messages before absl|E\d{4} .*cuInit.*\(303\)")


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
    _start()
    from keras_gan import datasets, presets

    models = {name: presets.get_recipe(name).paper for name in presets.list_models()}
    for title, names in (
        ("variants (train)", models),
        ("presets (generate, evaluate, info)", dict.fromkeys(presets.list_presets(), "")),
        ("data sets (--data)", dict.fromkeys(datasets.list_datasets(), "")),
    ):
        print(f"{title}:")
        for name, note in names.items():
            print(f"  {name:<20}{note}".rstrip())


def _train(args):
    folder = Path(args.out)
    saved = _saved_options(folder, args)
    keras = _start(args.backend or saved.get("backend"), training=True)
    options = saved | {name: value for name, value in vars(args).items() if value is not None}
    seed, precision = options.get("seed", 0), options.get("precision", "float32")
    _quietly(lambda: (keras.utils.set_random_seed(seed), keras.ops.ones(1)))  # Wakes the device.
    keras.config.set_dtype_policy(precision)

    from keras_gan import callbacks, presets

    with _to_mend():
        recipe = presets.get_recipe(options["variant"])
        images, data = _training_images(options["data"], options.get("image_size"), seed)
        shape = list(getattr(images, "image_shape", None) or images.shape[1:])
        gan = presets.create_model(options["variant"], image_shape=shape, seed=seed)
        if len(images) < gan.discriminator_steps:
            raise Stop(
                f"{data} has {len(images)} images; {options['variant']} needs at least "
                f"{gan.discriminator_steps}, one for each discriminator step."
            )
    batch_size = options.get("batch_size") or recipe.batch_size
    batches = callbacks.SeededBatches(
        images, batch_size * gan.discriminator_steps, options.get("steps_per_epoch"), seed
    )
    resolved = {
        "variant": options["variant"],
        "paper": recipe.paper,
        "data": data,
        "num_images": len(images),
        "image_shape": shape,
        "image_size": shape[:2],
        "epochs": options.get("epochs", EPOCHS),
        "batch_size": batch_size,
        "steps_per_epoch": batches.steps,
        "seed": seed,
        "precision": precision,
        "backend": keras.backend.backend(),
        "recipe": _resolved_recipe(gan),
        "versions": _versions(),
    }
    run = callbacks.RunFolder(folder, batches, seed, metadata=resolved)
    with _to_mend():
        folder.mkdir(parents=True, exist_ok=True)
        with callbacks.replacing(folder / "options.json") as part:
            part.write_text(json.dumps(resolved, indent=1))
        done = run.restore(gan)
    if done >= resolved["epochs"]:
        print(f"{folder} has its {done} epochs already; give a larger --epochs to go on.")
        return
    _fit(gan, run, resolved["epochs"], done, callbacks.ProgressBar(batches.batch_size, done))
    print(f"Trained {options['variant']}: the samples are in {folder / 'samples.png'}")


def _fit(gan, run, epochs, done, bar):
    # The order is the batches' own. What is told comes from the bar, after the folder is written.
    settings = {"epochs": epochs, "initial_epoch": done, "shuffle": False, "verbose": 0}
    try:
        gan.fit(run.batches, callbacks=[run, bar], **settings)
    except KeyboardInterrupt:
        bar.close()
        whole = f"{len(run.rows)} of {epochs} epochs are in {run.folder}"
        raise Stop(f"interrupted; {whole}, and --resume goes on from there.", 130) from None
    except OSError as error:
        bar.close()
        raise Stop(f"the run cannot be saved: {error}; mend that and --resume.", 1) from error
    if run.failed_epoch:
        raise Stop(
            f"the losses were no longer finite in epoch {run.failed_epoch}, so training stopped; "
            f"{run.folder} keeps the {run.failed_epoch - 1} epochs before it.",
            1,
        )


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

    from keras_gan.pictures import image_grid, replacing, save_image

    kind = "" if out.is_dir() else out.suffix
    (out.parent if kind else out).mkdir(parents=True, exist_ok=True)
    if kind == ".npy":
        with replacing(out) as part:
            np.save(part, images)
        return
    files = (
        {out: images}
        if kind
        else {out / f"{i:05d}.png": images[i : i + 1] for i in range(len(images))}
    )
    # Scores are computed over all that a folder holds.
    if not kind and (others := set(out.iterdir()) - set(files)):
        raise Stop(f"{out} holds other files, such as {min(others).name}; give a new folder.")
    for path, part in files.items():
        save_image(path, image_grid(part))


def _evaluate(args):
    gan = _open(args)
    import keras

    from keras_gan import datasets

    height, width, channels = gan.sample_shape
    with _to_mend():
        images = datasets.open_images(args.data, (height, width), channels)
    num_images = min(args.num_images, getattr(images, "num_images", None) or len(images))
    report = {
        "preset": args.preset,
        "data": args.data,
        "num_images": num_images,
        "seed": args.seed,
        "backend": keras.backend.backend(),
    }
    report |= gan.evaluate(
        _first(images, num_images), steps=-(-num_images // 64), return_dict=True, seed=args.seed
    )
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        _print_table(report)


def _first(images, number, batch_size=64):
    """Batches of the first images of an array or an `ImageFolder`, with a progress bar."""
    from tqdm import tqdm

    for start in tqdm(range(0, number, batch_size), unit="batch", disable=None, leave=False):
        size = min(batch_size, number - start)
        if hasattr(images, "shape"):
            yield (images[start : start + size],)
        else:
            yield (images[start // batch_size][:size],)


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
    """Chooses the backend, imports keras quietly and returns it."""
    if "keras" in sys.modules:
        running = sys.modules["keras"].backend.backend()
        if backend not in (None, running):
            raise Stop(
                f"keras runs on {running} in this process already, not on {backend}; "
                f"set KERAS_BACKEND={backend} before it is imported."
            )
    else:
        os.environ["KERAS_BACKEND"] = running = _backend(backend)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
        _quietly(lambda: importlib.import_module("keras_gan.presets"))
    if training and running not in FRAMEWORKS:
        raise Stop(f"Keras' {running} backend cannot train; use --backend {'|'.join(FRAMEWORKS)}.")
    return importlib.import_module("keras")


def _backend(wanted):
    """The backend asked for, else that of Keras' settings if installed, else the first that is."""
    installed = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
    wanted = wanted or os.environ.get("KERAS_BACKEND")
    if not wanted:
        if not installed:
            raise Stop(
                "no backend is installed; pip install 'keras-gan[jax]', [torch] or [tensorflow]."
            )
        # Keras writes tensorflow into its settings by itself, so they do not prove a choice.
        configured = _configured_backend()
        return configured if configured in installed else installed[0]
    if wanted not in (*FRAMEWORKS, "numpy", "openvino"):
        raise Stop(f"KERAS_BACKEND is {wanted!r}; it must be one of {', '.join(FRAMEWORKS)}.")
    if wanted in FRAMEWORKS and wanted not in installed:
        raise Stop(f"the backend {wanted} is not installed; pip install 'keras-gan[{wanted}]'.")
    return wanted


def _configured_backend():
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    try:
        return json.loads((Path(home) / "keras.json").read_text()).get("backend")
    except (OSError, ValueError):
        return None


def _quietly(start):
    """Calls `start` and holds back what the frameworks chatter to stderr meanwhile.

    Keras loads TensorFlow, where there is one, for any backend, and late: on the first config.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        os.dup2(log.fileno(), 2)
        try:
            return start()
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            log.seek(0)
            sys.stderr.writelines(line for line in log if not _CHATTER.match(line))


def _open(args, load_weights=True):
    _start(args.backend)
    from keras_gan import presets

    with _to_mend():
        gan = _quietly(lambda: presets.from_preset(args.preset, load_weights))
    if len(gan.sample_shape) != 3:
        raise Stop(f"{args.preset} makes samples of shape {gan.sample_shape}, which are no images.")
    return gan


def _saved_options(folder, args):
    """The options of the run in the folder that `--resume` goes on with; {} for a new run."""
    path = folder / "options.json"
    if not args.resume:
        if path.exists():
            raise Stop(f"{folder} holds a run already; add --resume, or give another --out.")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Stop(f"{folder} exists and is no run folder; give a new --out.")
        return {}
    try:
        saved = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Stop(f"there is nothing to resume in {folder}: {error}.") from error
    given = {name: value for name, value in vars(args).items() if name in saved}
    for name, value in given.items():
        same = [None, saved[name]]
        if name == "data" and os.path.abspath(os.path.expanduser(value)) == saved[name]:
            same.append(value)  # A folder, told another way.
        if name != "epochs" and value not in same:
            option = "VARIANT" if name == "variant" else "--" + name.replace("_", "-")
            raise Stop(f"{folder} was begun with {option} {saved[name]}, not {value}.")
    return saved


def _training_images(data, image_size, seed):
    """Images that can be taken one by one, and their name or absolute folder."""
    from keras_gan import datasets

    images = datasets.open_images(data, image_size and tuple(image_size), batch_size=1, seed=seed)
    named = data in datasets.list_datasets()
    return images, data if named else os.path.abspath(os.path.expanduser(data))


def _resolved_recipe(gan):
    config = gan.get_config() | gan.get_compile_config()
    parts = ("loss", "penalty", "discriminator_steps", "ema_momentum")
    return {k: config[k] for k in (*parts, "generator_optimizer", "discriminator_optimizer")}


def _versions():
    import numpy

    import keras_gan

    modules = {name: sys.modules[name] for name in ("keras", *FRAMEWORKS) if name in sys.modules}
    return {
        "keras_gan": keras_gan.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": numpy.__version__,
    } | {name: module.__version__ for name, module in modules.items()}


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
    except (ValueError, TypeError, OSError) as error:
        raise Stop(error) from error


def _tell(message):
    print(f"keras-gan: {message}", file=sys.stderr)


# The parser.


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Stop(f"{message} (see {self.prog} --help)")


def _parser():
    parser = _Parser(
        prog="keras-gan",
        description="Train GANs on images, and generate with them.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name, run, help):
        added = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    def backend(command):
        command.add_argument("--backend", choices=FRAMEWORKS, help="default: $KERAS_BACKEND")

    command("list", _list, "List the variants, the presets and the data sets.")

    train = command("train", _train, "Train a variant on images, into a folder that is a preset.")
    train.add_argument("variant", metavar="VARIANT", help="see keras-gan list")
    train.add_argument("--data", required=True, help="a data set's name, or a folder of images")
    train.add_argument("--out", required=True, help="the run's folder, a new one")
    train.add_argument("--epochs", type=_whole(1), help=f"default: {EPOCHS}")
    train.add_argument(
        "--batch-size", type=_whole(1), help="per discriminator step; default: the recipe's"
    )
    train.add_argument("--steps-per-epoch", type=_whole(1), help="default: all images once")
    train.add_argument(
        "--image-size", type=_size, help="N or HxW; default: the data set's, 64 for a folder"
    )
    train.add_argument("--seed", type=_whole(0), help="default: 0")
    train.add_argument("--precision", choices=PRECISIONS, help="default: float32")
    train.add_argument("--resume", action="store_true", help="go on with the run in --out")
    backend(train)

    generate = command("generate", _generate, "Generate images with a preset or a run.")
    generate.add_argument("preset", metavar="PRESET|DIR")
    generate.add_argument("--num", type=_whole(1), default=64, help="default: 64")
    generate.add_argument("--seed", type=_whole(0), default=0, help="default: 0")
    generate.add_argument(
        "--out", default="grid.png", help="grid.png (the default), images.npy or a folder"
    )
    backend(generate)

    evaluate = command("evaluate", _evaluate, "Compare real images with generated ones.")
    evaluate.add_argument("preset", metavar="PRESET|DIR")
    evaluate.add_argument("--data", required=True, help="a data set's name, or a folder of images")
    evaluate.add_argument("--num-images", type=_whole(1), default=10_000, help="default: 10000")
    evaluate.add_argument("--seed", type=_whole(0), default=0, help="of the latents; default: 0")
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    backend(evaluate)

    info = command("info", _info, "Tell what a preset or a run is.")
    info.add_argument("preset", metavar="PRESET|DIR")
    backend(info)
    return parser


def _whole(minimum):
    def parse(text):
        if not text.isdecimal() or not minimum <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {minimum}; got {text!r}"
            )
        return int(text)

    return parse


def _size(text):
    match = re.fullmatch(r"(\d+)(?:[xX×](\d+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"must be a side or HEIGHTxWIDTH; got {text!r}")
    return [int(side or match[1]) for side in match.groups()]
