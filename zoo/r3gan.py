"""R3GAN: relativistic pairs, slopes held on both sides, and networks without normalization.

Huang et al. 2025, "The GAN is dead; long live the GAN! A Modern GAN Baseline", arXiv:2501.05441.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe
from keras_gan.terms import R1, R2

# β₁ 0 as in the paper's code: the penalties hold the discriminator, momentum makes it overshoot.
adam = partial(Adam, learning_rate=5e-4, beta_1=0.0, beta_2=0.9)

recipe = Recipe(
    paper="Huang et al. 2025, arXiv:2501.05441",
    # No normalization, which would couple the samples whose slopes the penalties hold: section 3.
    generator=partial(networks.r3_generator, latent_dim=64, filters=64),
    discriminator=partial(networks.r3_discriminator, filters=64),
    # Equation 2.
    loss="relativistic",
    # Both sides, with one weight: section 2.2. The paper's code starts with 0.05 on CIFAR-10.
    terms=lambda: [R1(0.05), R2(0.05)],
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    batch_size=64,
    epochs=30,
    ema_momentum=0.999,
    decay=1 / 3,
)
