"""Describes a GAN in numbers and NumPy arrays, for loops written without Keras."""

from typing import Any, NamedTuple

import keras
import numpy as np

LOSSES = ("non_saturating", "least_squares", "wasserstein")


class Part(NamedTuple):
    """One layer: its kind, settings and weights."""

    kind: str
    settings: dict[str, Any]
    weights: list[np.ndarray]


class Description(NamedTuple):
    """Networks, objective and optimizers of a compiled `keras_gan.GAN`."""

    generator: list[Part]
    discriminator: list[Part]
    latent_shape: tuple[int, ...]
    image_shape: tuple[int, ...]
    loss: str
    penalty: float
    discriminator_steps: int
    adam: dict[str, tuple[float, float, float, float]]
    ema_momentum: float | None


def describe(gan) -> Description:
    """Returns the description of a GAN of the zoo.

    Raises:
        ValueError: If the native loops lack a layer, a loss or an optimizer of the GAN.
    """
    if gan.loss_config not in LOSSES:
        raise ValueError(f"The native loops have no loss {gan.loss_config!r}.")
    if gan.augment is not None or set(gan.terms) - {"gradient_penalty"}:
        raise ValueError(f"The native loops have no augmentation and no terms {[*gan.terms]}.")
    penalty = gan.terms.get("gradient_penalty")
    return Description(
        [part for layer in _layers(gan.generator) for part in _parts(layer)],
        [part for layer in _layers(gan.discriminator) for part in _parts(layer)],
        gan.latent_shape,
        gan.sample_shape,
        gan.loss_config,
        0.0 if penalty is None else float(penalty.weight),
        gan.discriminator_steps,
        {side: _adam(getattr(gan.optimizer, side)) for side in ("generator", "discriminator")},
        gan.ema_momentum,
    )


def _layers(network):
    return [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]


def _adam(optimizer):
    if type(optimizer).__name__ != "Adam":
        raise ValueError(
            f"The native loops have no optimizer {type(optimizer).__name__}, only Adam."
        )
    rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    return rate, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon


def _parts(layer):
    if type(layer).__name__ == "Dense" and layer.get_config()["activation"] == "relu":
        return [Part("dense", {}, layer.get_weights()), Part("relu", {}, [])]
    return [_part(layer)]


def _part(layer):
    config, weights = layer.get_config(), layer.get_weights()
    match type(layer).__name__:
        case "Dense":
            return Part("dense", {}, weights)
        case "Conv2D":
            return Part("conv", {"stride": config["strides"][0]}, weights)
        case "Conv2DTranspose":
            return Part("conv_transpose", {"stride": config["strides"][0]}, weights)
        case "BatchNormalization":
            settings = {"momentum": config["momentum"], "epsilon": config["epsilon"]}
            return Part("batch_norm", settings, weights)
        case "LeakyReLU":
            return Part("leaky_relu", {"slope": float(config["negative_slope"])}, [])
        case "Dropout":
            return Part("dropout", {"rate": config["rate"]}, [])
        case "Reshape":
            return Part("reshape", {"shape": tuple(config["target_shape"])}, [])
        case "Flatten":
            return Part("flatten", {"shape": tuple(layer.input.shape[1:])}, [])
        case "Cropping2D":
            (_, bottom), (_, right) = config["cropping"]
            return Part("crop", {"bottom": bottom, "right": right}, [])
        case "Activation" if config["activation"] in ("tanh", "relu"):
            return Part(config["activation"], {}, [])
        case other:
            raise ValueError(f"The native loops have no {other} layer.")
