"""Judges with the eyes of a trained network: a frozen backbone in the discriminator.

    KERAS_BACKEND=tensorflow python examples/backbone.py --out runs/backbone

As in Projected GANs (Sauer et al. 2021, arXiv:2111.01007), simplified: the first layers of a
classifier see the images, and only a small head on them learns to tell real from generated. It is
the classifier of this library's metrics; another one, which no training sees, is the judge.
The same discriminator without its training, all of it free to learn, is trained beside it.
"""

import argparse
import json
from pathlib import Path

import keras
from keras import layers

import keras_gan
from keras_gan import networks
from keras_gan.images import image_grid, save_image
from keras_gan.metrics import FrechetDistance

DATA = Path(keras_gan.__file__).parent / "data"
JUDGE = Path(__file__).parent.parent / "benchmarks/results/quality/second_classifier.keras"
SHAPE = (28, 28, 1)


def discriminator(pretrained):
    """Returns a discriminator whose first layers are the classifier's, frozen, or new ones."""
    classifier = keras.saving.load_model(DATA / "fashion_mnist_classifier.keras")
    maps = [layer.output for layer in classifier.layers if isinstance(layer, layers.MaxPooling2D)]
    backbone = keras.Model(classifier.input, maps[1])  # 7×7 maps of 64 channels.
    if pretrained:
        backbone.trainable = False  # Its batch normalization stays as it is, too.
    else:
        backbone = keras.models.clone_model(backbone)
    images = keras.Input(SHAPE)
    x = layers.Conv2D(64, 3, strides=2, padding="same")(backbone(images))
    x = layers.Flatten()(layers.LeakyReLU(0.2)(x))
    return keras.Model(images, layers.Dense(1)(x))


def trained(pretrained, options):
    """Returns a GAN, and its distances to the test images after each epoch."""
    keras.utils.set_random_seed(0)
    generator = networks.conv_generator(SHAPE, latent_dim=100, filters=32)
    gan = keras_gan.GAN(generator, discriminator(pretrained), loss="hinge", ema_momentum=0.999)
    adams = [keras.optimizers.Adam(4e-4, beta_1=0.5) for _ in range(2)]
    gan.compile(*adams, metrics=[FrechetDistance(str(JUDGE))])
    images = keras_gan.datasets.load("fashion_mnist_10k")
    history = gan.fit(
        images[: options.images],
        batch_size=64,
        steps_per_epoch=options.steps,
        epochs=options.epochs,
        validation_data=images[: options.images],
        verbose=2,
    )
    return gan, history.history["val_frechet_distance"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=250, help="in an epoch")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=10_000, help="to train with, at most")
    parser.add_argument("--out", type=Path, help="a folder for figures and a picture")
    options = parser.parse_args(arguments)
    figures, grids = {}, []
    for name, pretrained in (("pretrained and frozen", True), ("new and free", False)):
        gan, figures[name] = trained(pretrained, options)
        grids.append(image_grid(gan.generate(32, seed=0), columns=8))
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
        for name, grid in zip(("pretrained", "new"), grids, strict=True):
            save_image(options.out / f"{name}.png", grid)
    return figures


if __name__ == "__main__":
    main()
