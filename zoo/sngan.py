"""SNGAN: a discriminator held to slope 1 by spectral normalization, and the hinge loss.

Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", arXiv:1802.05957.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe

# β for residual networks, as in section 4: those of WGAN-GP.
adam = partial(Adam, learning_rate=4e-4, beta_1=0.0, beta_2=0.9)

recipe = Recipe(
    paper="Miyato et al. 2018, arXiv:1802.05957",
    # 128 latent dimensions and residual blocks: table 4. Widths are 128, 64, 32 at 28×28, and
    # from 16 to 64 on the way down; the paper has 256 and 128. A step on a CPU takes 2.5 times that
    # of `dcgan`.
    generator=partial(networks.sn_generator, latent_dim=128, filters=32),
    discriminator=partial(networks.sn_discriminator, filters=16),
    # Equations 16 and 17.
    loss="hinge",
    # One discriminator update per generator update; the paper has 5, for five times the work.
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    # The paper's batch.
    batch_size=64,
    epochs=30,
    # Average and falling rates as in `dcgan`; the paper's rates fall too.
    ema_momentum=0.999,
    decay=1 / 3,
    # No augmentation: the recipe is for full data sets, where it costs quality.
)
