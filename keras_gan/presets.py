"""Recipes and their registry; preset folders: saved models that anyone can load."""

import contextlib
import copy
import csv
import fnmatch
import importlib
import json
import string
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_gan import engine, hub
from keras_gan import metrics as metrics  # Known to Keras by that, where a preset names them.
from keras_gan.errors import closest
from keras_gan.files import file_facts
from keras_gan.gan import GAN

FORMAT = 1  # Of preset folders; raised when an older library could not read a newer folder.
FILES = ("config.json", "model.weights.h5")  # What a model is made from.
# Layers of Keras that run what a file brings with it.
WITH_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__")


@dataclass(frozen=True)
class Recipe:
    """A variant: all that makes one GAN differ from another, as data.

    Attributes:
        paper: Authors, year and arXiv number.
        generator: `image_shape -> keras.Model`.
        discriminator: `image_shape -> keras.Model`.
        loss: Of `GAN`.
        generator_optimizer: `() -> keras.optimizers.Optimizer`.
        discriminator_optimizer: The same.
        batch_size: Real images per discriminator update.
        epochs: How often the command line trains on all images, unless told otherwise.
        penalty: Of `GAN`.
        discriminator_steps: Of `GAN`.
        ema_momentum: Of `GAN`.
        decay: The last part of a training, in 0…1, in which the command line lets the learning
            rates fall linearly towards zero, epoch by epoch.
    """

    paper: str
    generator: Callable[[tuple], keras.Model]
    discriminator: Callable[[tuple], keras.Model]
    loss: Any
    generator_optimizer: Callable[[], keras.optimizers.Optimizer]
    discriminator_optimizer: Callable[[], keras.optimizers.Optimizer]
    batch_size: int
    epochs: int = 40
    penalty: Any = None
    discriminator_steps: int = 1
    ema_momentum: float | None = None
    decay: float = 0.0


_RECIPES: dict[str, Recipe] = {}


def register_model(name: str, recipe: Recipe) -> None:
    """Makes a recipe known to `create_model`, `list_models` and the command line.

    Raises:
        ValueError: If another recipe has the name.
    """
    if _RECIPES.setdefault(name, recipe) is not recipe:
        raise ValueError(f"There is a model named {name!r} already; choose another name.")


def list_models(pattern: str = "*") -> list[str]:
    """The registered variants' names that match a glob, sorted."""
    return sorted(fnmatch.filter(_recipes(), pattern))


def get_recipe(name: str) -> Recipe:
    """Returns a registered recipe.

    Raises:
        ValueError: For an unknown name, with the closest ones.
    """
    if name not in _recipes():
        raise ValueError(f"Unknown model {closest(name, _recipes())}")
    return _RECIPES[name]


def create_model(name: str, image_shape=(28, 28, 1), seed=None, metrics=None, **options) -> GAN:
    """Builds a variant for a size of images and compiles it as its recipe says.

    Args:
        name: One of `list_models()`.
        image_shape: `(height, width, channels)`; height and width of at least 8.
        seed: Of `GAN`. The initial weights follow `keras.utils.set_random_seed`.
        metrics: Of `GAN.compile`.
        **options: Of `GAN`, in place of the recipe's: `loss`, `penalty`, `ema_momentum`, ….

    Raises:
        ValueError: For an unknown name or an impossible shape.
    """
    recipe = get_recipe(name)
    fields = ("loss", "penalty", "discriminator_steps", "ema_momentum")
    options = {field: getattr(recipe, field) for field in fields} | options
    networks = recipe.generator(image_shape), recipe.discriminator(image_shape)
    gan = GAN(*networks, seed=seed, name=name, **options)
    gan.compile(recipe.generator_optimizer(), recipe.discriminator_optimizer(), metrics)
    return gan


def _recipes():
    # The zoo imports this library, so it is loaded when first asked for.
    importlib.import_module("keras_gan.zoo")
    return _RECIPES


def list_presets(pattern: str = "*") -> list[str]:
    """The bundled presets' names that match a glob, sorted."""
    return sorted(fnmatch.filter(_bundled(), pattern))


def _bundled() -> dict[str, Path]:
    zoo = Path(importlib.import_module("keras_gan.zoo").__path__[0])
    return {path.parent.name: path.parent for path in zoo.glob("*/metadata.json")}


def from_preset(name: str | Path, load_weights: bool = True) -> GAN:
    """Loads a saved model, compiled as it was saved.

    A preset never runs code: only Keras' own layers, this library's classes and those that the
    running program has registered with Keras are built.

    Args:
        name: What `find_preset` takes.
        load_weights: Whether to load the weights, or start from new ones.

    Raises:
        ValueError: For an unknown name, and for a folder that is not a preset this version can
            read, or that holds other files than were saved.
        ConnectionError: If it cannot be fetched.
    """
    folder = find_preset(name)
    with _reading(folder / "config.json") as path:
        config = json.loads(path.read_text())
        _refuse_code(config)
        networks = _networks(config["config"], (folder / "model.weights.h5").stat().st_size)
        if load_weights:
            config["config"] |= networks
        compile_config = config.pop("compile_config", None)
        gan = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if not isinstance(gan, GAN):
            raise TypeError(f"it describes no GAN but a {type(gan).__name__}")
    if load_weights:
        with _reading(folder / "model.weights.h5") as path:
            gan.load_weights(path)
    if compile_config:
        with _reading(folder / "config.json"):
            gan.compile_from_config(compile_config)
    return gan


def _refuse_code(config):
    """Raises ValueError where a config would build more than Keras' and registered classes."""
    if isinstance(config, dict):
        kind, module = config.get("class_name"), config.get("module") or "keras"
        # Where Keras looks for them: a function by its name, a class by what it is registered as.
        name = config.get("config" if kind == "function" else "registered_name") or ""
        known = keras.saving.get_registered_object(name)
        plain = module == "builtins" or module.split(".")[0] == "keras"
        if str(kind).split(".")[-1] in WITH_CODE or (kind and not plain and known is None):
            what = name if kind == "function" else kind
            raise ValueError(f"it asks for {module}.{what}, which could run code")
    if isinstance(config, (dict, list)):
        for part in config.values() if isinstance(config, dict) else config:
            _refuse_code(part)


def _networks(config, size):
    """The networks of a config, by name, made for a file's values: with zeros for weights.

    Random ones would be drawn for nothing, which takes JAX seconds to compile.

    Raises:
        ValueError: If they have more weights than a file of that many bytes can hold.
    """
    state = keras.src.backend.common.global_state
    variables: list = []
    state.set_global_attribute("uninitialized_variables", variables)
    try:  # In the scope, variables have a shape, but take no memory yet.
        with keras.StatelessScope(initialize_variables=False):
            generator, average, discriminator = (
                keras.saving.deserialize_keras_object(copy.deepcopy(config[name]))
                for name in ("generator", "generator", "discriminator")
            )
    finally:
        state.set_global_attribute("uninitialized_variables", [])
    count = generator.count_params() + discriminator.count_params()
    if count > size:  # Each takes a byte at the least.
        raise ValueError(f"its networks have {count:,} weights, its file of weights {size:,} bytes")
    for variable in variables:
        if variable.trainable:  # The others are seeds, and statistics that start alike.
            variable._initializer = keras.initializers.Zeros()
        variable._deferred_initialize()
    generator.twin = lambda: average
    return {"generator": generator, "discriminator": discriminator}


@contextlib.contextmanager
def _reading(path):
    """Yields the path; makes one line that names it of whatever its contents raise."""
    try:
        yield path
    except Exception as error:  # Keras raises nearly anything for a damaged config.
        cause: BaseException = error
        while "could not be deserialized properly" in str(cause) and cause.__context__:
            cause = cause.__context__  # What Keras says of it is advice for who wrote the class.
        reason = str(cause).strip().split("\n")[0][:200].rstrip(" .:") or type(cause).__name__
        raise ValueError(f"{path} is missing or broken: {reason}.") from error


def find_preset(name: str | Path) -> Path:
    """The folder of a preset, fetched if need be, with its files as they were saved.

    Args:
        name: A bundled preset's name (`list_presets()`); a folder, as `save_to_preset` and
            `keras-gan train` write; `hf://user/repository[@revision]`, from the Hugging Face Hub;
            or `https://…`, such a folder or one zip archive of it. What is fetched is kept in
            `$KERAS_GAN_HOME` (by default `keras_gan` in Keras' home), and from then on read there.

    Raises:
        ValueError: For an unknown name, with the closest ones, and if a file is missing, was
            changed or cut short, or needs a newer version.
        ConnectionError: If it cannot be fetched.
    """
    text = str(name)
    if text in _bundled():
        folder = _bundled()[text]
    elif text.startswith("hf://"):
        folder = hub.from_hugging_face(text)
    elif text.startswith(("https://", "http://")):
        folder = hub.from_web(text, check_files)
    elif not (folder := Path(name)).exists():
        raise ValueError(f"There is no preset or folder {closest(text, _bundled())}")
    elif not (folder / "metadata.json").exists():
        raise ValueError(f"{name} is no preset folder: it has no metadata.json.")
    check_files(folder)
    return folder


def check_files(folder: Path) -> list[str]:
    """The names of a preset's files; ValueError unless they are those that its metadata tell of."""
    with _reading(folder / "metadata.json") as path:
        metadata = json.loads(path.read_text())
        if metadata["format"] > FORMAT:
            raise ValueError(f"its format {metadata['format']} needs a newer keras-gan")
        expected = {name: metadata["files"][name] for name in FILES}
    for name, facts in expected.items():
        with _reading(folder / name) as path:
            if file_facts(path) != facts:
                raise ValueError("it is not what was saved, but was changed or cut short")
    return list(metadata["files"])


def save_to_preset(
    gan: GAN, folder: str | Path, history: Sequence[dict[str, float]] = (), **metadata
) -> None:
    """Writes a preset: config, weights, metadata, samples and a card, each whole or not at all.

    Other files of the folder stay. The optimizers' state is not kept: use `gan.save` for that.

    Args:
        gan: The model.
        folder: Where to; made if missing.
        history: A row of numbers per epoch, `epoch` among them, for `training.csv` and
            `curves.png`.
        **metadata: More entries of `metadata.json`, JSON values. Those that the card tells of:
            `paper`, `data`, `licence`, `epochs`, `seconds`, `limits`, and `scores`, by name a dict
            of numbers and perhaps its `protocol`.
    """
    from keras_gan import images  # Which nobody needs who only loads.

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as part:
        written = Path(part)
        config = keras.saving.serialize_keras_object(gan)
        (written / "config.json").write_text(json.dumps(config, indent=1))
        bare = GAN.from_config(gan.get_config())
        bare.set_weights(gan.get_weights())
        bare.save_weights(written / "model.weights.h5")
        facts = {"format": FORMAT, "name": folder.name, "backend": keras.backend.backend()}
        facts |= {"versions": _versions(), "device": engine.device_name()} | metadata
        if len(gan.sample_shape) == 3:
            samples = images.image_grid(gan.generate(64, seed=0))
            images.save_image(written / "samples.png", samples)
        if history:
            images.save_curves(written / "curves.png", history)
            with open(written / "training.csv", "w", newline="") as file:
                names = dict.fromkeys(name for row in history for name in row)
                writer = csv.DictWriter(file, list(names))
                writer.writeheader()
                writer.writerows(history)
        (written / "README.md").write_text(_card(facts, history))
        facts["files"] = {path.name: file_facts(path) for path in sorted(written.iterdir())}
        (written / "metadata.json").write_text(json.dumps(facts, indent=1))
        for path in sorted(written.iterdir()):
            path.replace(folder / path.name)


def _versions():
    names = ("keras_gan", "keras", "numpy", keras.backend.backend())
    return {name: sys.modules[name].__version__ for name in names if name in sys.modules}


def _card(facts, history):
    """The preset's README, with the front matter of the Hugging Face Hub."""
    told = {"paper": "none", "data": "not told", "licence": "other", "limits": "Not told."} | facts
    told["curves"] = "![Losses and scores over the epochs](curves.png)" if history else ""
    scores = [
        f"- {name}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items() if k != "protocol")
        for name, values in facts.get("scores", {}).items()
    ]
    told["scores"] = "\n".join(scores) or "Not measured."
    keys = ("epochs", "seconds", "seed", "backend", "device")
    told["training"] = "\n".join(f"- {key}: {facts[key]}" for key in keys if key in facts)
    template = string.Template(Path(__file__).with_name("data").joinpath("card.md").read_text())
    return template.safe_substitute(told)


def upload_preset(uri: str, folder: str | Path) -> None:
    """Uploads a preset folder to `hf://user/repository`, made if missing.

    Raises:
        ValueError: For a folder that is no whole preset.
    """
    files = check_files(Path(folder))
    hub.to_hugging_face(uri, folder, [*files, "metadata.json"])
