"""The shapes of a generator and a discriminator, checked against each other."""

from typing import Any, NamedTuple

import keras

from keras_gan import conditions
from keras_gan.conditions import Condition
from keras_gan.values import last_activation


class Shapes(NamedTuple):
    """What two networks take and make, each shape without the batch.

    Attributes:
        latents: The latents of one sample; None for a generator that takes a condition alone.
        sample: One sample.
        condition: What the samples are conditioned on, or None.
        generator_condition: The shape in which the generator takes the condition, or None.
        discriminator_condition: The same of the discriminator.
    """

    latents: tuple | None
    sample: tuple
    condition: Any = None
    generator_condition: Any = None
    discriminator_condition: Any = None


def gan_shapes(
    generator: keras.Model, discriminator: keras.Model, condition: Condition | None = None
) -> Shapes:
    """Returns the shapes of two networks that fit each other and a condition.

    Args:
        generator: From latents, `[latents, condition]`, or an image condition alone, to samples.
        discriminator: From samples, or `[samples, condition]`, to logits.
        condition: None, or what the samples are conditioned on. With two inputs and no condition,
            one is made that fits them.

    Raises:
        ValueError: For what is no network, a generator that does not make samples of one known
            shape from inputs of known shapes, a discriminator that does not take these samples or
            gives other things than logits, and inputs that do not fit the condition.
    """
    for network, name in ((generator, "generator"), (discriminator, "discriminator")):
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"The {name} must be a keras.Model; got {network!r}.")
    takes, makes = (getattr(generator, side, None) for side in ("input_shape", "output_shape"))
    known = _inputs(takes)
    if not isinstance(makes, tuple) or not 1 <= len(known) <= 2 or any(None in k for k in known):
        raise ValueError(
            "The generator must take latents, or [latents, condition], of fixed shapes, and give "
            f"one output; its shapes are {takes} and {makes}. Use the functional API, or wrap it "
            "as keras.Sequential([keras.Input(latent_shape), generator])."
        )
    sample = makes[1:]
    _refuse_channels_first(sample)
    if condition is None and len(known) == 2:
        condition = conditions.inferred(known[1])
    if condition is None:
        shapes = Shapes(known[0], sample)
    else:
        condition.build(sample)
        latents, taken = _generator_inputs(known, condition)
        shapes = Shapes(latents, sample, condition, taken)
    return _with_discriminator(shapes, discriminator)


def _inputs(shapes) -> list[tuple]:
    """Returns the shapes of a network's inputs, without the batch; none if they are not known."""
    shapes = shapes if isinstance(shapes, list) else [shapes]
    return [tuple(s[1:]) for s in shapes] if all(isinstance(s, tuple) for s in shapes) else []


def _generator_inputs(known: list[tuple], condition: Condition) -> tuple[tuple | None, tuple]:
    """Returns the shapes of a generator's latents, None for no latents, and of its condition."""
    if len(known) == 1:
        if condition.is_image and known[0] == condition.shape:
            return None, known[0]
        alone = f", or the condition alone, {condition.shape}" if condition.is_image else ""
        raise ValueError(
            f"The samples are conditioned on {condition!r}, but the generator takes one input of "
            f"shape {known[0]}; it must take [latents, condition]{alone}."
        )
    _check_fits(condition, known[1], "generator")
    return known[0], known[1]


def _check_fits(condition: Condition, shape: tuple, name: str) -> None:
    if not condition.fits(shape):
        raise ValueError(
            f"The samples are conditioned on {condition!r}, of shape {condition.shape}, but the "
            f"second input of the {name} is of shape {shape}; they must be the same."
        )


def _with_discriminator(shapes: Shapes, discriminator: keras.Model) -> Shapes:
    """Returns the shapes with that of the discriminator's condition, after checking its inputs."""
    built = discriminator.built and hasattr(discriminator, "input_shape")
    # What a subclassed model takes is not known: then it is given what the generator takes.
    wanted = [shapes.sample]
    if shapes.condition is not None:
        wanted.append(shapes.generator_condition)
    accepted = _inputs(discriminator.input_shape) if built else wanted
    if len(accepted) > len(wanted):
        raise ValueError(
            f"The discriminator takes {len(accepted)} inputs of shapes {accepted}, but the "
            "generator no condition; both take it as their second input."
        )
    fits = bool(accepted) and _same(accepted[0], shapes.sample)
    if not fits:
        raise ValueError(
            f"The generator makes samples of shape {shapes.sample}, but the discriminator takes "
            f"{accepted[0] if accepted else discriminator.input_shape}; they must be the same."
        )
    if len(accepted) == 2:
        _check_fits(shapes.condition, accepted[1], "discriminator")
        shapes = shapes._replace(discriminator_condition=accepted[1])
    elif shapes.condition is not None and not shapes.condition.is_image:
        raise ValueError(
            f"The samples are conditioned on {shapes.condition!r}, but the discriminator takes "
            "samples alone, so nothing would hold the generator to its condition; it must take "
            "[samples, condition]."
        )
    _check_logits(discriminator, [shapes.sample, *accepted[1:]])
    return shapes


def _same(one: tuple, other: tuple) -> bool:
    return len(one) == len(other) and all(
        None in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True)
    )


def _check_logits(discriminator: keras.Model, shapes: list[tuple]) -> None:
    """Raises ValueError unless a discriminator gives one logit per sample, or a map of them."""
    inputs = [keras.KerasTensor((None, *shape), dtype="float32") for shape in shapes]
    logits = discriminator(inputs if len(inputs) > 1 else inputs[0])
    if isinstance(logits, (list, tuple, dict)):
        raise ValueError(
            f"The discriminator gives {len(logits)} outputs, but losses take logits alone: an "
            "auxiliary classifier is not supported. To condition on classes, use the variant "
            "'projection', or a discriminator of [samples, condition]."
        )
    shape = tuple(getattr(logits, "shape", ()))
    if len(shape) not in (2, 4) or shape[-1] != 1:
        raise ValueError(
            "The discriminator must give one logit per sample, (batch, 1), or a map of them, "
            f"(batch, height, width, 1); it gives (batch, {', '.join(map(str, shape[1:]))}). "
            "End it with Dense(1), or with a convolution to one channel."
        )
    if (activation := last_activation(discriminator)) in ("sigmoid", "softmax"):
        raise ValueError(
            f"The discriminator ends in a {activation}, but the losses take logits: leave the "
            "activation of its last layer out."
        )


def _refuse_channels_first(shape: tuple) -> None:
    """Raises ValueError for the shape of square images that has the channels in front."""
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[1] == shape[2] and shape[2] > 4:
        raise ValueError(
            f"The generator makes samples of shape {shape}, with the channels first; images are "
            "(height, width, channels). End it with keras.layers.Permute((2, 3, 1)), start the "
            "discriminator with Permute((3, 1, 2)), and give the data with its channels last."
        )


def known_classes(*networks: keras.Model) -> int | None:
    """Returns how many classes networks embed their second input by; None if they do not."""
    for network in networks:
        inputs = getattr(network, "inputs", None) or []
        for layer in getattr(network, "layers", []) if len(inputs) == 2 else []:
            if isinstance(layer, keras.layers.Embedding) and layer.input is inputs[1]:
                return layer.input_dim
    return None
