"""The original GAN: two multilayer perceptrons.

Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe

# The paper trains maxout networks with momentum and does not give its settings. Later work trains
# perceptrons with Adam and DCGAN's β₁ of 0.5, because training oscillates with 0.9 (Radford et al.
# 2015, arXiv:1511.06434, section 4).
adam = partial(Adam, beta_1=0.5)

recipe = Recipe(
    paper="Goodfellow et al. 2014, arXiv:1406.2661",
    # 100 latent dimensions, as in DCGAN; widths double towards the image and halve again after it.
    generator=partial(networks.mlp_generator, latent_dim=100, units=(256, 512, 1024)),
    # The paper's discriminator has dropout (section 5). With a rate of 0.3 and the average, the
    # Fréchet distance after 3 epochs was 323 instead of 137: even without it, the discriminator
    # is the weaker network.
    discriminator=partial(networks.mlp_discriminator, units=(1024, 512, 256), dropout=0.0),
    # The paper's own advice (section 3): early in training, log(1 - D(G(z))) saturates, while
    # log D(G(z)) gives the generator a gradient.
    loss="non_saturating",
    # A discriminator with twice the generator's learning rate keeps up with it (Heusel et al. 2017,
    # arXiv:1706.08500): the distance after 4 epochs was 111 with 2e-4 for both, 101 with 2e-4 and
    # 4e-4, and 93 with these rates.
    generator_optimizer=partial(adam, learning_rate=4e-4),
    discriminator_optimizer=partial(adam, learning_rate=8e-4),
    batch_size=64,
    epochs=40,
    # Averaged as in `dcgan`; without it, samples are speckled. The learning rates stay constant:
    # when they fall, the discriminator gets too far ahead and the distance rises.
    ema_momentum=0.999,
)
