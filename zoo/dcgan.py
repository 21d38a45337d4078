"""DCGAN: strided convolutions and batch normalization.

Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", arXiv:1511.06434.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe

# β₁ 0.5, because 0.9 oscillates (section 4). The paper's rate of 2e-4 is without an average; with
# one, the Fréchet distance after 2 epochs was 37 at 2e-4, 25 at 4e-4 and 16 at 8e-4.
adam = partial(Adam, learning_rate=8e-4, beta_1=0.5)

recipe = Recipe(
    paper="Radford et al. 2015, arXiv:1511.06434",
    # 100 latent dimensions, as in the paper. Its 5×5 kernels overlap unevenly at stride 2, which
    # causes checkerboards; 4×4 do not (Odena et al. 2016, doi:10.23915/distill.00003). Widths are
    # 128, 64, 32 at 28×28, narrow enough for a CPU; the paper has 1024 to 128 at 64×64.
    generator=partial(networks.conv_generator, latent_dim=100, filters=32, kernel_size=4),
    # Batch normalization except in the first layer, down to 4×4 maps: sections 3 and 4. With
    # dropout instead, down to 7×7, the distance after 3 epochs was 49 instead of 26 (at 2e-4).
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
    # Half of the paper's 128, for twice as many updates per epoch on small data sets.
    batch_size=64,
    epochs=30,
    # Averages about the last 1,000 updates, because the weights oscillate (Yazıcı et al. 2018,
    # arXiv:1806.04498, who find 0.999 or more best).
    ema_momentum=0.999,
    # Falling rates let the networks settle (in arXiv:2005.02494, from the first epoch).
    decay=1 / 3,
)
