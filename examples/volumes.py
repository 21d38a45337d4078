"""Makes volumes of the kind that is asked for: balls, boxes and rings, 16 voxels each way.

    KERAS_BACKEND=tensorflow python examples/volumes.py --out runs/volumes

Networks as those of Wu et al. 2016 (3D-GAN, arXiv:1610.07584), smaller, with the kind joined to the
latents, and projected in the discriminator (Miyato and Koyama 2018, arXiv:1802.05637). A classifier
that was trained on real volumes tells whether the right kind was made.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_gan
from keras_gan.conditions import Labels
from keras_gan.images import image_grid, save_image
from keras_gan.metrics import sliced_wasserstein_distance

KINDS, SIDE, LATENTS = ("ball", "box", "ring"), 16, 32


def volumes(count, seed):
    """Returns uint8 volumes `(count, 16, 16, 16, 1)` in 0…255 with soft edges, and their kinds."""
    random = np.random.default_rng(seed)
    kinds = random.integers(0, len(KINDS), count)
    axes = np.moveaxis(np.indices((SIDE,) * 3), 0, -1) - (SIDE - 1) / 2
    made = np.empty((count, *(SIDE,) * 3, 1), "uint8")
    for i, kind in enumerate(kinds):
        # Centre and size differ, and a ring lies in one of three planes.
        at = axes - random.uniform(-2, 2, 3)
        size = random.uniform(3, 5.5)
        if kind == 0:
            outside = np.linalg.norm(at, axis=-1) - size
        elif kind == 1:
            outside = (np.abs(at) - size * random.uniform(0.5, 1, 3)).max(axis=-1)
        else:
            at = np.roll(at, random.integers(3), axis=-1)
            around = np.linalg.norm(at[..., :2], axis=-1) - size
            outside = np.hypot(around, at[..., 2]) - 1.6
        made[i, ..., 0] = 255 * np.clip(0.5 - outside, 0, 1)
    return made, kinds


def networks(filters=16):
    """Returns a generator and a discriminator of volumes, both with the kind as second input."""
    latents, wanted = keras.Input((LATENTS,)), keras.Input((len(KINDS),))
    x = layers.Concatenate()([latents, wanted])
    x = layers.Reshape((4, 4, 4, 2 * filters))(layers.Dense(4**3 * 2 * filters)(x))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv3DTranspose(filters, 4, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv3DTranspose(1, 4, strides=2, padding="same", activation="tanh")(x)
    generator = keras.Model([latents, wanted], x)
    x = samples = keras.Input((SIDE, SIDE, SIDE, 1))
    for width in (filters, 2 * filters):
        x = layers.LeakyReLU(0.2)(layers.Conv3D(width, 4, strides=2, padding="same")(x))
    features = layers.Dense(64, "leaky_relu")(layers.Flatten()(x))
    embedded = layers.Dense(64, use_bias=False)(wanted)
    logits = layers.Dense(1)(features) + layers.Dot(1)([features, embedded])
    return generator, keras.Model([samples, wanted], logits)


def classifier(count, epochs):
    """Returns a classifier of volumes with values in −1…1, trained on real ones."""
    shapes, kinds = volumes(count, seed=3)
    body = [layers.Conv3D(width, 3, strides=2, activation="relu") for width in (8, 16)]
    model = keras.Sequential([*body, layers.Flatten(), layers.Dense(len(KINDS), "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(shapes / 127.5 - 1, kinds, batch_size=64, epochs=epochs, verbose=0)
    return model


def noise_like(shapes):
    """Returns noise with the same power at each frequency, of which as much is filled."""
    random = np.random.default_rng(0).random(shapes.shape)
    phases = np.exp(1j * np.angle(np.fft.fftn(random, axes=(1, 2, 3))))
    power = np.abs(np.fft.fftn(shapes, axes=(1, 2, 3)))
    noise = np.fft.ifftn(power * phases, axes=(1, 2, 3)).real.reshape(len(shapes), -1)
    values = np.sort(shapes.reshape(len(shapes), -1), axis=1)
    ranks = noise.argsort(axis=1).argsort(axis=1)
    return np.take_along_axis(values, ranks, axis=1).reshape(shapes.shape)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--count", type=int, default=12_000, help="volumes to learn from")
    parser.add_argument("--out", type=Path, default=Path("runs/volumes"))
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)
    gan = keras_gan.GAN(*networks(), condition=Labels(KINDS), ema_momentum=0.999)
    gan.compile(*(keras.optimizers.Adam(5e-4, beta_1=0.5) for _ in range(2)))
    gan.fit(*volumes(options.count, seed=0), batch_size=64, epochs=options.epochs, verbose=2)
    held = min(1000, options.count)
    (real, kinds), (other, _) = volumes(held, seed=1), volumes(held, seed=2)
    real, other, made = real / 127.5 - 1, other / 127.5 - 1, gan.generate(condition=kinds, seed=0)
    sides = {"real": real, "generated": made, "noise": noise_like(other)}
    judge, figures = classifier(options.count, min(5, options.epochs)), {}
    for name, side in sides.items():
        right = judge.predict(side, verbose=0).argmax(axis=1) == kinds
        distance = sliced_wasserstein_distance(*(x.reshape(held, -1) for x in (other, side)))
        figures[name] = {"accuracy": float(right.mean()), "distance": distance}
    print(json.dumps(figures, indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    # Every second slice of a real volume of each kind, and of a generated one to the right.
    firsts = np.unique(kinds, return_index=True)[1]
    pairs = np.concatenate([sides[name][firsts, ::2] for name in ("real", "generated")], axis=1)
    slices = np.uint8(128 + 127 * pairs.reshape(-1, SIDE, SIDE, 1)).repeat(2, 1).repeat(2, 2)
    save_image(options.out / "volumes.png", image_grid(slices, columns=SIDE))
    return figures


if __name__ == "__main__":
    main()
