"""The shapes of a generator and a discriminator, checked against each other."""

import keras


def gan_shapes(generator: keras.Model, discriminator: keras.Model) -> tuple[tuple, tuple]:
    """Returns the latent and the sample shape of two networks that fit each other.

    Raises:
        ValueError: For what is no network, a generator that does not make samples of one known
            shape from latents of one, and a discriminator that does not take these samples or
            gives other things than logits.
    """
    for network, name in ((generator, "generator"), (discriminator, "discriminator")):
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(f"The {name} must be a keras.Model; got {network!r}.")
    takes, makes = (getattr(generator, side, None) for side in ("input_shape", "output_shape"))
    if not (isinstance(takes, tuple) and isinstance(makes, tuple)) or None in takes[1:]:
        raise ValueError(
            "The generator must take one input, latents of a fixed shape, and give one output; its "
            f"shapes are {takes} and {makes}. Use the functional API, or wrap it as "
            "keras.Sequential([keras.Input(latent_shape), generator])."
        )
    accepted = getattr(discriminator, "input_shape", makes) if discriminator.built else makes
    fits = len(accepted) == len(makes) and all(
        None in pair or pair[0] == pair[1] for pair in zip(accepted, makes, strict=True)
    )
    if not fits:
        raise ValueError(
            f"The generator makes samples of shape {makes[1:]}, but the discriminator takes "
            f"{accepted[1:]}; they must be the same."
        )
    logits = discriminator(keras.KerasTensor(makes, dtype="float32"))
    shape = tuple(getattr(logits, "shape", ()))
    if len(shape) not in (2, 4) or shape[-1] != 1:
        raise ValueError(
            "The discriminator must give one logit per sample, (batch, 1), or a map of them, "
            f"(batch, height, width, 1); it gives (batch, {', '.join(map(str, shape[1:]))}). "
            "End it with Dense(1), or with a convolution to one channel."
        )
    return takes[1:], makes[1:]
