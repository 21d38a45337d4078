"""DCGAN: strided convolutions and batch normalization.

Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", arXiv:1511.06434.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe

# Learning rate 2e-4 (1e-3 was too high) and β₁ 0.5 (0.9 oscillates): section 4.
adam = partial(Adam, learning_rate=2e-4, beta_1=0.5)

recipe = Recipe(
    paper="Radford et al. 2015, arXiv:1511.06434",
    # 100 latents and 5×5 kernels: the paper's. At 28×28 two doublings from 7×7 suffice, so the
    # widths are 256, 128, 64 where the paper's 64×64 has 1024 to 128.
    generator=partial(networks.conv_generator, latent_dim=100, filters=64, kernel_size=5),
    # Dropout instead of the paper's batch normalization in the discriminator: with it, the logit
    # of an image would depend on the others of its batch, all real or all fake.
    discriminator=partial(networks.conv_discriminator, filters=64, kernel_size=5, dropout=0.3),
    loss="non_saturating",
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    # The paper's 128; half of it gives twice the updates per epoch on small data sets.
    batch_size=64,
)
