"""The original GAN: two multilayer perceptrons.

Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe

# The paper trains with momentum on maxout networks and gives no numbers for them. Adam at DCGAN's
# settings is what later work trains perceptrons with: β₁ 0.9 makes the two networks overshoot each
# other (Radford et al. 2015, arXiv:1511.06434, section 4).
adam = partial(Adam, beta_1=0.5)

recipe = Recipe(
    paper="Goodfellow et al. 2014, arXiv:1406.2661",
    # 100 latents as in DCGAN; widths that double to the image, and mirror back down.
    generator=partial(networks.mlp_generator, latent_dim=100, units=(256, 512, 1024)),
    # The paper's has dropout (section 5). With 0.3 of it, and the average, the Fréchet distance
    # after 3 epochs was 323, not 137: the discriminator is the weaker one as it is.
    discriminator=partial(networks.mlp_discriminator, units=(1024, 512, 256), dropout=0.0),
    # The paper's own advice for training: log D(G(z)) gives the generator a gradient early on,
    # where log(1 - D(G(z))) saturates (section 3).
    loss="non_saturating",
    # A discriminator of twice the generator's rate keeps up with it (Heusel et al. 2017,
    # arXiv:1706.08500): the distance after 4 epochs was 111 with 2e-4 for both, 101 with 2e-4 and
    # 4e-4, 93 with these.
    generator_optimizer=partial(adam, learning_rate=4e-4),
    discriminator_optimizer=partial(adam, learning_rate=8e-4),
    batch_size=64,
    epochs=40,
    # The average as in `dcgan`; without it samples are speckled. No falling rates: with them the
    # discriminator comes to lead, and the distance rises.
    ema_momentum=0.999,
)
