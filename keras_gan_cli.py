"""The command `keras-gan`: reads the arguments, sets Keras' backend, then runs `keras_gan.cli`.

Importing keras fixes its backend. So this module lies beside the package and imports it only when
`--backend` is known. Help and usage errors need neither keras nor NumPy, and appear at once.
"""

import argparse
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

FRAMEWORKS = ("tensorflow", "torch", "jax")
INFERENCE_ONLY = ("numpy", "openvino")
DEFAULTS = {"seed": 0, "precision": "float32"}


class UsageError(Exception):
    """A mistake in the arguments, or a backend that cannot be used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: The arguments after the command's name; those of this process by default.

    Returns:
        The exit code: 0 for success, 1 for a run that failed, 2 for bad input, 130 after Ctrl-C,
        and of `train`, 143 after SIGTERM and 129 after SIGHUP.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # These are for developers.
        warnings.showwarning = lambda message, *_, **__: _print_error(message)
        try:
            return _run(argv)
        except UsageError as error:
            _print_error(" ".join(str(error).split()))
            return 2
        except KeyboardInterrupt as error:
            number = getattr(error, "signal", signal.SIGINT)
            how = "interrupted" if number == signal.SIGINT else f"ended by signal {number}"
            _print_error(f"{how}.")
            return 128 + number
        except BrokenPipeError:  # As in `keras-gan info DIR | head -1`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1


def _run(argv):
    args = build_parser().parse_args(argv)
    args.program = _program()
    if args.command == "train":
        args.out = Path(args.out or f"runs/{args.variant}")
        args.options = run_options(args)
        args.backend = args.options.get("backend")
    set_backend(args.backend)
    if args.command == "train" and args.options.get("devices"):
        if os.environ["KERAS_BACKEND"] == "torch" and not _is_worker():
            return _run_workers(args.options["devices"], argv)
        _divide_cpu(args.options["devices"])
    from keras_gan import cli  # Not earlier: this imports keras.

    return cli.run(args)


def _is_worker():
    """Returns whether `torchrun` has started this process, as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _run_workers(devices, argv):
    """Runs the same command in a process for each device; returns the exit code."""
    count = "auto" if devices == "all" else devices
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [sys.executable, *launcher, "-m", "keras_gan_cli"]
    given = sys.argv[1:] if argv is None else map(str, argv)
    return subprocess.call([*command, *given], env=os.environ | {"OMP_NUM_THREADS": "1"})


def _divide_cpu(devices):
    """Lets JAX take a CPU for several devices; it does not do so by itself."""
    if devices != "all" and "XLA_FLAGS" not in os.environ:
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"


def _print_error(message):
    print(f"keras-gan: {printable(str(message))}", file=sys.stderr)


def printable(text: str, longest: int = 600) -> str:
    r"""Returns a text without what would control a terminal, and with its middle left out if long.

    Names and metadata of presets come from strangers.

    >>> printable("\x1b[2Jblank")
    '\\x1b[2Jblank'
    """
    text = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return text if len(text) <= longest else f"{text[: longest - 200]} … {text[-190:]}"


def _program():
    """Returns the words that start this command, for the commands that `train` suggests."""
    if shutil.which("keras-gan"):
        return "keras-gan"
    if Path(sys.argv[0]).stem == "keras-gan":  # In an environment that is not activated.
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m keras_gan_cli"


# The backend.


def set_backend(wanted: str | None) -> None:
    """Sets the backend that keras will use when it is imported.

    Args:
        wanted: A backend's name, or None for `choose_backend`'s choice.

    Raises:
        UsageError: If that backend is unknown or not installed, or if this process has already
            imported keras on another one.
    """
    keras = sys.modules.get("keras")
    if keras is None:
        os.environ["KERAS_BACKEND"] = choose_backend(wanted)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    elif wanted not in (None, running := keras.backend.backend()):
        raise UsageError(
            f"keras already runs on {running} in this process, not on {wanted}; "
            f"set KERAS_BACKEND={wanted} before keras is imported."
        )


def choose_backend(wanted: str | None) -> str:
    """Returns `wanted`, else `$KERAS_BACKEND`, else the first backend that is installed.

    Raises:
        UsageError: If that backend is unknown or not installed, or if none is.
    """
    installed = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
    wanted = wanted or os.environ.get("KERAS_BACKEND") or next(iter(installed), None)
    if wanted is None:
        raise UsageError(
            "no backend is installed; pip install 'keras-gan[jax]' (or tensorflow, torch)."
        )
    if wanted not in FRAMEWORKS + INFERENCE_ONLY:
        raise UsageError(f"KERAS_BACKEND is {wanted!r}; it must be one of {', '.join(FRAMEWORKS)}.")
    if wanted in FRAMEWORKS and wanted not in installed:
        raise UsageError(
            f"the backend {wanted} is not installed; pip install 'keras-gan[{wanted}]'."
        )
    return wanted


# The options of a run, new or resumed.


def run_options(args: Namespace) -> dict[str, Any]:
    """Returns the options of `train`: those given, on top of those of the run that is resumed.

    Raises:
        UsageError: If the folder is not empty and `--resume` is missing, or if the run cannot be
            resumed: there is none, or it was started with other options.
    """
    own = ("command", "program", "out", "resume", "on_trouble")
    given = {k: v for k, v in vars(args).items() if v is not None and k not in own}
    if "targets" in given:
        given["targets"] = _whole_path(given["data"], given["targets"])
    if _is_worker() and not args.resume:  # What starts the workers has looked at the folder.
        return DEFAULTS | given
    if not args.resume:
        try:
            _require_empty(args.out)
        except OSError as error:
            raise UsageError(str(error)) from error
        return DEFAULTS | given
    try:
        saved = _checked_options(json.loads((args.out / "options.json").read_text()))
    except OSError as error:
        raise UsageError(f"there is nothing to resume in {args.out}: {error}.") from error
    except (ValueError, UsageError) as error:
        raise UsageError(
            f"cannot resume {args.out}: its options.json is damaged: {error}."
        ) from error
    if os.path.isabs(saved["data"]):  # A folder; it may have been given as a relative path.
        given["data"] = os.path.abspath(os.path.expanduser(given["data"]))
    for name, value in given.items():
        if name in ("epochs", "devices") or value == saved.get(name):
            continue
        flag = "VARIANT" if name == "variant" else "--" + name.replace("_", "-")
        how = f"with {flag} {saved[name]}, not {value}" if name in saved else f"without {flag}"
        raise UsageError(f"cannot resume {args.out}: it was started {how}.")
    return DEFAULTS | saved | given


def _checked_options(saved) -> dict[str, Any]:
    """Returns the options in a run's folder, which are read as if they had been typed.

    Raises:
        UsageError: For those that the command does not take.
    """
    if not isinstance(saved, dict) or not {"variant", "data"} <= saved.keys():
        raise UsageError("it does not contain the options of a run")
    size = saved.get("image_size")
    typed = saved | {"image_size": "x".join(map(str, size)) if isinstance(size, list) else size}
    names = "data backend condition epochs batch_size steps_per_epoch image_size seed precision"
    given = [(name, typed[name]) for name in names.split() if typed.get(name) is not None]
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given]
    parsed = vars(build_parser().parse_args(["train", str(saved["variant"]), *flags]))
    return saved | {name: parsed[name] for name, _ in given} | {"variant": parsed["variant"]}


def _whole_path(data, targets):
    """Returns the path of a folder of targets, and what is inside the data as it is."""
    inside = targets in ("left", "right") or os.path.isdir(os.path.join(data, targets))
    path = os.path.abspath(os.path.expanduser(targets))
    return path if os.path.isdir(path) and not inside else targets


def _require_empty(folder):
    if (folder / "options.json").exists():
        raise UsageError(
            f"{folder} already contains a run; add --resume, or choose another folder with --out."
        )
    # Hidden files are left by a run that was killed before it started.
    if folder.exists() and (
        not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir())
    ):
        raise UsageError(f"{folder} exists and is not a run folder; choose a new one with --out.")


# The arguments.


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands; on a mistake it raises UsageError."""
    parser = _Parser(prog="keras-gan", description="Train GANs on images and generate new ones.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add_command(name, help):
        command = commands.add_parser(name, help=help, description=f"{help}.")
        command.add_argument(
            "--backend",
            choices=FRAMEWORKS,
            help="default: $KERAS_BACKEND, or else the first one that is installed",
        )
        return command

    add_command("list", "List the variants, presets and data sets")
    _add_train_options(add_command("train", "Train a variant and save it to a folder").add_argument)
    for name, help, add_options in (
        ("generate", "Generate images with a preset or run", _add_generate_options),
        (
            "translate",
            "Enlarge, colour or repair images, as the model does",
            _add_translate_options,
        ),
        ("evaluate", "Compare generated images with real ones", _add_evaluate_options),
        ("demo", "Show a page in the browser to play with a preset", _add_demo_options),
        ("download", "Download a preset (hf://user/repository or https://…)", None),
        ("info", "Show information about a preset or run", None),
    ):
        command = add_command(name, help)
        command.add_argument("preset", metavar="PRESET", help="a preset's name, folder or address")
        if add_options:
            add_options(command.add_argument)
    return parser


DATA = {"required": True, "metavar": "NAME|FOLDER", "help": "a data set or a folder of images"}


TARGETS = {
    "metavar": "FOLDER|left|right",
    "help": "for pairs: the images to make from those in --data, files of the same names; or one "
    "of two subfolders of --data; or the half of images that have both side by side",
}


def _add_train_options(option):
    option("variant", metavar="VARIANT", help="the kind of GAN; `keras-gan list` shows them")
    option("--data", **DATA)
    option(
        "--condition",
        type=_condition,
        metavar="KIND",
        help="what a conditional variant depends on: labels (subfolders are classes), "
        "downscaled:4, masked or grayscale",
    )
    option("--targets", **TARGETS)
    option("--out", metavar="FOLDER", help="where to save the run; default: runs/VARIANT")
    option("--epochs", type=_whole_number(1), metavar="N", help="default: the variant's")
    option(
        "--batch-size",
        type=_whole_number(1),
        metavar="N",
        help="real images per discriminator step; default: the variant's",
    )
    option(
        "--steps-per-epoch",
        type=_whole_number(1),
        metavar="N",
        help="default: enough to use each image once",
    )
    option(
        "--image-size",
        type=_image_size,
        metavar="SIZE",
        help="N or HEIGHTxWIDTH; default: the data set's own, 64 for a folder",
    )
    option("--seed", type=_whole_number(0), metavar="N", help="default: 0")
    option(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        help="default: float32",
    )
    option(
        "--score",
        action="store_true",
        default=None,
        help="score the samples after each epoch, and keep the best epoch in best/; of data "
        "without a test split, a tenth scores and is not trained on",
    )
    option("--resume", action="store_true", help="continue the run in --out")
    option(
        "--devices",
        type=_devices,
        metavar="N|all",
        help="share each batch between so many devices of this machine; default: 1",
    )
    option(
        "--on-trouble",
        choices=("warn", "stop", "roll-back"),
        default="warn",
        help="what to do when the training diverges or collapses, or the discriminator wins "
        "outright; default: warn",
    )


def _add_generate_options(option):
    option("--num", type=_whole_number(1), default=64, metavar="N", help="images; default: 64")
    option("--seed", type=_whole_number(0), default=0, metavar="N", help="default: 0")
    option(
        "--out",
        type=_image_output,
        default=Path("grid.png"),
        metavar="FILE|FOLDER",
        help="a .png for a grid, a .npy for an array, or a folder for one file per image; "
        "default: grid.png",
    )
    option(
        "--walk",
        type=_animation,
        metavar="FILE",
        help="write an animated walk through the latents instead: a .webp, .gif or .png",
    )
    option("--class", dest="label", metavar="NAME|NUMBER", help="of a model that knows classes")
    option(
        "--per-class",
        type=_whole_number(1),
        metavar="N",
        help="N images of each class, in a subfolder of --out for each",
    )


def _add_demo_options(option):
    option(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; default: 127.0.0.1, which only this machine reaches",
    )
    option("--port", type=_whole_number(0), help="default: the first free one from 7860")


def _add_translate_options(option):
    option("images", type=Path, metavar="IMAGE|FOLDER", help="an image, or a folder of images")
    option("--mask", type=Path, metavar="IMAGE", help="white where a repairing model is to draw")
    option("--out", type=Path, required=True, metavar="FILE|FOLDER", help="a .png, or a folder")


def _add_evaluate_options(option):
    option("--data", **DATA)
    option("--targets", **TARGETS)
    option(
        "--num-images",
        type=_whole_number(1),
        default=10_000,
        metavar="N",
        help="images to generate; default: 10000",
    )
    option(
        "--seeds",
        type=_whole_number(1),
        default=3,
        metavar="N",
        help="number of repetitions, each with other latents; default: 3",
    )
    option(
        "--extractor",
        metavar="NAME|FILE",
        help="what computes the features: inception, or a .keras file; "
        "default: the bundled classifiers for 28x28x1 images and noto_emoji, none for others",
    )
    option("--json", action="store_true", help="print JSON, with the protocol of each score")


def _whole_number(minimum: int) -> Callable[[str], int]:
    def parse(text):
        if not text.isdecimal() or not minimum <= int(text) < 2**32:
            raise ArgumentTypeError(f"must be a whole number of at least {minimum}; got {text!r}")
        return int(text)

    return parse


def _devices(text):
    return "all" if text == "all" else _whole_number(1)(text)


def _condition(text):
    if not re.fullmatch(r"labels|masked|grayscale|downscaled:\d+", text):
        raise ArgumentTypeError(
            f"must be labels, downscaled:FACTOR, masked or grayscale; got {text!r}"
        )
    return text


def _image_size(text):
    match = re.fullmatch(r"(\d+)(?:[xX×](\d+))?", text)
    if not match:
        raise ArgumentTypeError(f"must be N or HEIGHTxWIDTH; got {text!r}")
    return [int(side or match[1]) for side in match.groups()]


def _image_output(text):
    path = Path(text)
    if path.suffix not in ("", ".png", ".npy") and not path.is_dir():
        raise ArgumentTypeError(f"must be a .png, a .npy or a folder; got {text!r}")
    return path


def _animation(text):
    if Path(text).suffix not in (".webp", ".gif", ".png"):
        raise ArgumentTypeError(f"must be a .webp, .gif or .png; got {text!r}")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
