"""Recipes: what makes one variant differ from another, and how to build a variant by its name."""

import fnmatch
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_gan.conditions import Condition, Downscaled, Labels
from keras_gan.errors import closest
from keras_gan.gan import GAN
from keras_gan.networks.layers import check_shape
from keras_gan.presets import memory


@dataclass(frozen=True)
class Recipe:
    """A variant, as data.

    Attributes:
        paper: Authors, year and arXiv number.
        generator: Builds the generator: `image_shape -> keras.Model`; of a conditional variant,
            `(image_shape, condition_shape=…) -> keras.Model`.
        discriminator: Builds the discriminator, in the same way.
        loss: The `loss` of `GAN`.
        generator_optimizer: Makes the generator's optimizer: `() -> keras.optimizers.Optimizer`.
        discriminator_optimizer: Makes the discriminator's optimizer.
        batch_size: Real images per discriminator update.
        epochs: Passes over the data that the command line trains for by default.
        terms: Makes the `terms` of `GAN`, new ones for each model: `() -> list`.
        augment: None, or what makes the `augment` of `GAN`, a new one for each model.
        discriminator_steps: The `discriminator_steps` of `GAN`.
        ema_momentum: The `ema_momentum` of `GAN`.
        decay: The final fraction of the training, in 0…1, over which the command line lowers the
            learning rates linearly towards zero, once per epoch.
        conditions: The kinds of `keras_gan.conditions` that a conditional variant takes; none for
            one that is not.
    """

    paper: str
    generator: Callable[..., keras.Model]
    discriminator: Callable[..., keras.Model]
    loss: Any
    generator_optimizer: Callable[[], keras.optimizers.Optimizer]
    discriminator_optimizer: Callable[[], keras.optimizers.Optimizer]
    batch_size: int
    epochs: int = 40
    terms: Callable[[], list] = list
    augment: Callable[[], Any] | None = None
    discriminator_steps: int = 1
    ema_momentum: float | None = None
    decay: float = 0.0
    conditions: tuple[type[Condition], ...] = ()


_RECIPES: dict[str, Recipe] = {}
_EXAMPLES = {Labels: "Labels(10)", Downscaled: "Downscaled(4)"}


def register_model(name: str, recipe: Recipe) -> None:
    """Makes a recipe available to `create_model`, `list_models` and the command line.

    Raises:
        ValueError: If another recipe has this name.
    """
    if _RECIPES.setdefault(name, recipe) is not recipe:
        raise ValueError(f"A model named {name!r} is already registered; choose another name.")


def list_models(pattern: str = "*") -> list[str]:
    """Returns the names of the registered variants that match a glob, sorted.

    >>> list_models("wgan*")
    ['wgan_gp']
    """
    return sorted(fnmatch.filter(_recipes(), pattern))


def get_recipe(name: str) -> Recipe:
    """Returns a registered recipe.

    >>> get_recipe("wgan_gp").discriminator_steps
    5

    Raises:
        ValueError: If no variant has this name; the message suggests similar ones.
    """
    if name not in _recipes():
        raise ValueError(f"Unknown model {closest(name, _recipes())}")
    return _RECIPES[name]


def create_model(
    name: str,
    image_shape: tuple[int, int, int] = (28, 28, 1),
    seed: int | None = None,
    metrics: Sequence[keras.metrics.Metric] | None = None,
    condition: Condition | None = None,
    **options: Any,
) -> GAN:
    """Builds a variant for images of one shape, compiled as its recipe says.

    Args:
        name: One of `list_models()`.
        image_shape: `(height, width, channels)`; height and width must be at least 8.
        seed: The `seed` of `GAN`. For the initial weights, call `keras.utils.set_random_seed`.
        metrics: The `metrics` of `GAN.compile`.
        condition: The `condition` of `GAN`, for conditional variants.
        **options: Arguments of `GAN` that override the recipe's, such as `loss`, `terms`,
            `augment` or `ema_momentum`.

    Raises:
        ValueError: If the name is unknown, the shape is invalid or needs more memory than there is,
            or the variant takes no such condition, or needs one.
    """
    recipe = get_recipe(name)
    _check_condition(name, recipe, condition)
    check_shape(image_shape)
    fields = ("loss", "discriminator_steps", "ema_momentum")
    defaults = {field: getattr(recipe, field) for field in fields}
    defaults |= {"terms": recipe.terms(), "augment": recipe.augment and recipe.augment()}
    shapes = {}
    if condition is not None:
        condition.build(image_shape)
        shapes = {"condition_shape": condition.shape}

    def build() -> tuple[keras.Model, keras.Model]:
        return recipe.generator(image_shape, **shapes), recipe.discriminator(image_shape, **shapes)

    memory.check_recipe(name, image_shape, build)
    networks = build()
    options = defaults | options
    gan = GAN(*networks, condition=condition, seed=seed, name=name, **options)
    gan.compile(recipe.generator_optimizer(), recipe.discriminator_optimizer(), metrics)
    return gan


def _check_condition(name: str, recipe: Recipe, condition: Condition | None) -> None:
    kinds = ", ".join(kind.__name__ for kind in recipe.conditions)
    if not recipe.conditions and condition is not None:
        known = [
            name for name, other in _recipes().items() if isinstance(condition, other.conditions)
        ]
        raise ValueError(
            f"{name} has no condition; variants conditioned on {condition!r}: "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    if recipe.conditions and not isinstance(condition, recipe.conditions):
        got = "none was given" if condition is None else f"got {condition!r}"
        raise ValueError(
            f"{name} needs condition=, one of keras_gan.conditions ({kinds}), such as "
            f"{_EXAMPLES.get(recipe.conditions[0], kinds)}; {got}."
        )


def _recipes() -> dict[str, Recipe]:
    # Imported here because the zoo, which registers its recipes, imports this module.
    importlib.import_module("keras_gan.zoo")
    return _RECIPES
