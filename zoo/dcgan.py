"""DCGAN: strided convolutions and batch normalization.

Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", arXiv:1511.06434.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe

# β₁ 0.5 (0.9 oscillates): section 4. Its rate of 2e-4 has no average beside it: here the Fréchet
# distance after 2 epochs was 37 with 2e-4, 25 with 4e-4, 16 with 8e-4.
adam = partial(Adam, learning_rate=8e-4, beta_1=0.5)

recipe = Recipe(
    paper="Radford et al. 2015, arXiv:1511.06434",
    # 100 latents: the paper's. Its 5×5 kernels overlap unevenly at stride 2, which draws a
    # checkerboard; 4×4 do not (Odena et al. 2016, doi:10.23915/distill.00003). Widths 128, 64, 32
    # at 28×28, where the paper's 64×64 has 1024 to 128: they train on a CPU too.
    generator=partial(networks.conv_generator, latent_dim=100, filters=32, kernel_size=4),
    # Batch normalization but in the first layer, and down to 4×4: sections 3 and 4. With dropout in
    # its place and down to 7×7, the distance after 3 epochs was 49, not 26 (at 2e-4).
    discriminator=partial(
        networks.conv_discriminator,
        filters=32,
        kernel_size=4,
        dropout=0.0,
        batch_norm=True,
        smallest=4,
    ),
    loss="non_saturating",
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    # The paper's 128; half of it gives twice the updates per epoch on small data sets.
    batch_size=64,
    epochs=30,
    # The average of about the last 1,000 updates: single ones swing (Yazıcı et al. 2018,
    # arXiv:1806.04498, who find 0.999 or more best).
    ema_momentum=0.999,
    # Rates that fall let the networks settle (from the first epoch on: arXiv:2005.02494).
    decay=1 / 3,
)
