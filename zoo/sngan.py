"""SNGAN: a discriminator held to slope 1 by spectral normalization, and the hinge loss.

Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", arXiv:1802.05957.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe

# β of the residual networks: section 4.
adam = partial(Adam, beta_1=0.0, beta_2=0.9)

recipe = Recipe(
    paper="Miyato et al. 2018, arXiv:1802.05957",
    # 128 latents and residual blocks: table 4, with an eighth of its widths: they train on a CPU.
    generator=partial(networks.sn_generator, latent_dim=128, filters=32),
    discriminator=partial(networks.sn_discriminator, filters=32),
    # Equations 16 and 17.
    loss="hinge",
    generator_optimizer=partial(adam, learning_rate=4e-4),
    discriminator_optimizer=partial(adam, learning_rate=4e-4),
    batch_size=64,
    epochs=30,
    # The average as in `dcgan`.
    ema_momentum=0.999,
    decay=1 / 3,
)
