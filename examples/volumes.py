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
    samples, given = keras.Input((SIDE, SIDE, SIDE, 1)), keras.Input((len(KINDS),))
    x = samples
    for width in (filters, 2 * filters):
        x = layers.LeakyReLU(0.2)(layers.Conv3D(width, 4, strides=2, padding="same")(x))
    features = layers.Dense(64, "leaky_relu")(layers.Flatten()(x))
    product = layers.Dot(1)([features, layers.Dense(64, use_bias=False)(given)])
    logits = layers.Add()([layers.Dense(1)(features), product])
    return generator, keras.Model([samples, given], logits)


def classifier(count, epochs):
    """Returns a classifier of real volumes, and its accuracy on others."""
    train, test = volumes(count, seed=10), volumes(1000, seed=11)
    convolutions = [layers.Conv3D(w, 3, strides=2, activation="relu") for w in (8, 16)]
    head = [layers.Flatten(), layers.Dense(len(KINDS), "softmax")]
    model = keras.Sequential([layers.Rescaling(1 / 127.5, offset=-1), *convolutions, *head])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*train, batch_size=64, epochs=epochs, verbose=0)
    return model, model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]


def distance(a, b):
    """Returns the sliced Wasserstein distance of two sets of volumes, values in −1…1."""
    return sliced_wasserstein_distance(*(x.reshape(len(x), -1) / 127.5 - 1 for x in (a, b)))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--count", type=int, default=12_000, help="volumes to learn from")
    parser.add_argument("--out", type=Path, help="a folder for figures and a picture")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)
    judge, accuracy = classifier(options.count, min(5, options.epochs))
    labels = keras_gan.conditions.Labels(KINDS)
    gan = keras_gan.GAN(*networks(), condition=labels, ema_momentum=0.999)
    gan.compile(*(keras.optimizers.Adam(5e-4, beta_1=0.5) for _ in range(2)))
    gan.fit(*volumes(options.count, seed=0), batch_size=64, epochs=options.epochs, verbose=2)

    real, _ = volumes(1000, seed=1)
    asked = np.arange(1000) % len(KINDS)
    made = np.clip(gan.generate(1000, condition=asked, seed=0) * 127.5 + 127.5, 0, 255)
    other, _ = volumes(1000, seed=2)
    # Noise with the power of real volumes at each frequency, and other phases.
    power = np.abs(np.fft.fftn(other, axes=(1, 2, 3)))
    phase = np.angle(np.fft.fftn(np.random.default_rng(0).random(other.shape), axes=(1, 2, 3)))
    noise = np.clip(np.fft.ifftn(power * np.exp(1j * phase), axes=(1, 2, 3)).real, 0, 255)
    sides = {"generated": made, "noise": noise, "real": other}
    figures = {f"distance of {name}": distance(real, x) for name, x in sides.items()}
    for name in ("generated", "noise"):
        right = judge.predict(sides[name], verbose=0).argmax(axis=1) == asked
        figures[f"accuracy on {name}"] = float(right.mean())
    figures |= {"accuracy on real": accuracy}
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
        # Every second slice: three real volumes above six generated ones.
        rows = np.concatenate([real[:3], made[:6]])[:, ::2].reshape(-1, SIDE, SIDE, 1)
        save_image(options.out / "volumes.png", image_grid(rows.astype("uint8"), columns=8))
    return figures


if __name__ == "__main__":
    main()
