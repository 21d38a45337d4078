"""Describes a GAN in numbers and NumPy arrays, for loops written without Keras."""

from typing import Any, NamedTuple

import keras
import numpy as np

LOSSES = ("non_saturating", "least_squares", "wasserstein", "hinge", "relativistic")


class Part(NamedTuple):
    """One layer: its kind, settings and weights, and where its inputs come from.

    `inputs` are places in the list of what the network has computed: 0 is its input, 1 the output
    of its first part. A part with the setting `spectral` divides its kernel by the kernel's largest
    singular value; its last weight is the estimate of the right singular vector.
    """

    kind: str
    settings: dict[str, Any]
    weights: list[np.ndarray]
    inputs: tuple[int, ...] = (0,)


class Description(NamedTuple):
    """Networks, objective and optimizers of a compiled `keras_gan.GAN`."""

    generator: list[Part]
    discriminator: list[Part]
    latent_shape: tuple[int, ...]
    image_shape: tuple[int, ...]
    loss: str
    penalty: float
    r1: float
    r2: float
    discriminator_steps: int
    adam: dict[str, tuple[float, float, float, float]]
    ema_momentum: float | None


def describe(gan) -> Description:
    """Returns the description of a GAN of the zoo.

    Raises:
        ValueError: If the native loops lack a layer, a loss or an optimizer of the GAN.
    """
    if gan.condition is not None:
        raise ValueError("The native loops have no conditions.")
    if gan.loss_config not in LOSSES:
        raise ValueError(f"The native loops have no loss {gan.loss_config!r}.")
    names = ("gradient_penalty", "r1", "r2")
    if gan.augment is not None or set(gan.terms) - {*names}:
        raise ValueError(
            f"The native loops have no augmentation, and of the terms {[*gan.terms]} only "
            f"{', '.join(names)}."
        )
    weights = [float(gan.terms[name].weight) if name in gan.terms else 0.0 for name in names]
    return Description(
        _network(gan.generator),
        _network(gan.discriminator),
        gan.latent_shape,
        gan.sample_shape,
        gan.loss_config,
        *weights,
        gan.discriminator_steps,
        {side: _adam(getattr(gan.optimizer, side)) for side in ("generator", "discriminator")},
        gan.ema_momentum,
    )


def _network(network) -> list[Part]:
    """Returns the parts of a network in an order in which they can be computed."""
    parts: list[Part] = []
    places = {}  # Of each layer's output, by the tensor's id.
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            places[id(layer.output)] = 0
            continue
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = tuple(places.get(id(tensor), 0) for tensor in given)
        for part in _parts(layer):
            parts.append(part._replace(inputs=inputs))
            inputs = (len(parts),)
        places[id(layer.output)] = len(parts)
    return parts


def _adam(optimizer):
    if type(optimizer).__name__ != "Adam":
        raise ValueError(
            f"The native loops have no optimizer {type(optimizer).__name__}, only Adam."
        )
    rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    return rate, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon


def _parts(layer):
    if type(layer).__name__ == "SpectralNormalization":
        [part] = _parts(layer.layer)
        vector = keras.ops.convert_to_numpy(layer.vector)
        return [
            part._replace(
                settings=part.settings | {"spectral": True}, weights=[*part.weights, vector]
            )
        ]
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
        case "ReLU":
            return Part("relu", {}, [])
        case "Dropout":
            return Part("dropout", {"rate": config["rate"]}, [])
        case "Reshape":
            return Part("reshape", {"shape": tuple(config["target_shape"])}, [])
        case "Flatten":
            return Part("flatten", {"shape": tuple(layer.input.shape[1:])}, [])
        case "Cropping2D":
            (_, bottom), (_, right) = config["cropping"]
            return Part("crop", {"bottom": bottom, "right": right}, [])
        case "UpSampling2D":
            return Part("doubled", {"interpolation": config["interpolation"]}, [])
        case "AveragePooling2D":
            return Part("halved", {}, [])
        case "GlobalSumPooling":
            return Part("sum", {}, [])
        case "Add":
            return Part("add", {}, [])
        case "Activation" if config["activation"] in ("tanh", "relu"):
            return Part(config["activation"], {}, [])
        case other:
            raise ValueError(f"The native loops have no {other} layer.")
