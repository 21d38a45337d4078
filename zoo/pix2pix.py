"""pix2pix: images from images, near the true one in each pixel and real in each patch.

Isola et al. 2016, "Image-to-Image Translation with Conditional Adversarial Networks",
arXiv:1611.07004.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.conditions import Downscaled, Grayscale, Images, Masked
from keras_gan.presets import Recipe
from keras_gan.terms import Reconstruction

# Section 3.3.
adam = partial(Adam, learning_rate=2e-4, beta_1=0.5)

recipe = Recipe(
    paper="Isola et al. 2016, arXiv:1611.07004",
    # Half of the paper's width of 64, to train on a CPU too. Its noise is dropout, kept on at rest;
    # there the outputs hardly varied (section 3.1), so it is off here: one output for each input.
    generator=partial(networks.unet_generator, filters=32, dropout=0.5),
    discriminator=partial(networks.patch_discriminator, filters=32),
    # The generator maximises log D, as in Goodfellow et al. 2014 (section 3.3). Halving the
    # discriminator's loss, as the paper does, would not slow Adam.
    loss="non_saturating",
    # λ = 100 (section 4.2), of pixels in −1…1.
    terms=lambda: [Reconstruction(weight=100.0)],
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    # The paper has 1 to 10 (section 3.3), for photos; small images leave room for more in a step.
    batch_size=32,
    epochs=20,
    # The average as in `dcgan`.
    ema_momentum=0.999,
    decay=1 / 3,
    conditions=(Downscaled, Masked, Grayscale, Images),
)
