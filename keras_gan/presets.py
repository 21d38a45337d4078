"""Recipes and their registry; preset folders: saved models that anyone can load."""

import contextlib
import fnmatch
import importlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_gan.errors import closest
from keras_gan.gan import GAN

FORMAT = 1  # Of preset folders; raised when an older library could not read a newer folder.


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
        penalty: Of `GAN`.
        discriminator_steps: Of `GAN`.
        ema_momentum: Of `GAN`.
    """

    paper: str
    generator: Callable[[tuple], keras.Model]
    discriminator: Callable[[tuple], keras.Model]
    loss: Any
    generator_optimizer: Callable[[], keras.optimizers.Optimizer]
    discriminator_optimizer: Callable[[], keras.optimizers.Optimizer]
    batch_size: int
    penalty: Any = None
    discriminator_steps: int = 1
    ema_momentum: float | None = None


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


def create_model(name: str, image_shape=(28, 28, 1), seed=None, **options) -> GAN:
    """Builds a variant for a size of images and compiles it as its recipe says.

    Args:
        name: One of `list_models()`.
        image_shape: `(height, width, channels)`; height and width of at least 8.
        seed: Seed of the noise drawn in training. The initial weights follow
            `keras.utils.set_random_seed`.
        **options: Of `GAN`, in place of the recipe's: `loss`, `penalty`, `ema_momentum`, ….

    Raises:
        ValueError: For an unknown name or an impossible shape.
    """
    recipe = get_recipe(name)
    settings = {
        "loss": recipe.loss,
        "penalty": recipe.penalty,
        "discriminator_steps": recipe.discriminator_steps,
        "ema_momentum": recipe.ema_momentum,
        "name": name,
    }
    gan = GAN(
        recipe.generator(image_shape),
        recipe.discriminator(image_shape),
        seed=seed,
        **(settings | options),
    )
    gan.compile(recipe.generator_optimizer(), recipe.discriminator_optimizer())
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
    return {path.parent.name: path.parent for path in zoo.glob("*/config.json")}


def from_preset(name: str | Path, load_weights: bool = True) -> GAN:
    """Loads a saved model, compiled as it was saved.

    Args:
        name: A bundled preset (`list_presets()`), or a preset folder, such as `save_to_preset` and
            `keras-gan train` write.
        load_weights: Whether to load the weights, or start from new ones.

    Raises:
        ValueError: For an unknown name, or a folder that is not a preset this version can read.
    """
    folder = find_preset(name)
    with _reading(folder / "metadata.json") as path:
        made = int(json.loads(path.read_text())["format"])
    if made > FORMAT:
        raise ValueError(
            f"{folder} has format {made}, and this version reads up to {FORMAT}; "
            "install a newer keras-gan."
        )
    with _reading(folder / "config.json") as path:
        config = json.loads(path.read_text())
        compile_config = config.pop("compile_config", None)
        gan = keras.saving.deserialize_keras_object(config)
        if not isinstance(gan, GAN):
            raise TypeError(f"it describes no GAN but a {type(gan).__name__}")
    if load_weights:
        with _reading(folder / "model.weights.h5") as path:
            gan.load_weights(path)
    if compile_config:
        with _reading(folder / "config.json"):
            gan.compile_from_config(compile_config)
    return gan


@contextlib.contextmanager
def _reading(path):
    """Yields the path; makes one line that names it of whatever its contents raise."""
    try:
        yield path
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        reason = str(error).split("\n")[0][:200].rstrip(" .:")
        raise ValueError(f"{path} is missing or broken: {reason}.") from error


def find_preset(name: str | Path) -> Path:
    """The folder of a bundled preset's name, or the given folder.

    Raises:
        ValueError: If it is neither, with the closest names.
    """
    if str(name) in _bundled():
        return _bundled()[str(name)]
    if (Path(name) / "config.json").is_file():
        return Path(name)
    if Path(name).exists():
        raise ValueError(f"{name} is no preset folder: it has no config.json.")
    raise ValueError(f"There is no preset or folder {closest(str(name), _bundled())}")


def save_to_preset(gan: GAN, folder: str | Path, **metadata) -> None:
    """Writes `config.json`, `model.weights.h5` and `metadata.json`; whole or not at all.

    Other files of the folder stay. The optimizers' state is not kept: use `gan.save` for that.

    Args:
        gan: The model.
        folder: Where to; made if missing.
        **metadata: More entries of `metadata.json`, JSON values.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        config = keras.saving.serialize_keras_object(gan)
        (written / "config.json").write_text(json.dumps(config, indent=1))
        bare = GAN.from_config(gan.get_config())
        bare.set_weights(gan.get_weights())
        bare.save_weights(written / "model.weights.h5")
        metadata = {"format": FORMAT, "keras": keras.__version__} | metadata
        (written / "metadata.json").write_text(json.dumps(metadata, indent=1))
        for file in sorted(written.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(written, ignore_errors=True)
