"""WGAN-GP: the Wasserstein distance, its critic held to slope 1 by a gradient penalty.

Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv:1704.00028.
"""

from dataclasses import replace
from functools import partial

from keras.optimizers import Adam

from keras_gan.terms import GradientPenalty
from keras_gan.zoo import dcgan

# β of algorithm 1: momentum hurts, because the critic's loss changes with each update. Its rate of
# 1e-4 is for far longer trainings: the Fréchet distance after 2 epochs was 48 with 5e-4, 36 with
# 1e-3.
adam = partial(Adam, learning_rate=1e-3, beta_1=0.0, beta_2=0.9)

# Networks and average: those of `dcgan`, for the same reasons, but for this:
recipe = replace(
    dcgan.recipe,
    paper="Gulrajani et al. 2017, arXiv:1704.00028",
    # No batch normalization in the critic, since the penalty is on each sample's own gradient
    # (section 4); no dropout either, which would make that gradient random.
    discriminator=partial(dcgan.recipe.discriminator, batch_norm=False),
    loss="wasserstein",
    # λ = 10 in all experiments of the paper.
    terms=lambda: [GradientPenalty(weight=10.0)],
    # 5 critic updates per generator update: algorithm 1.
    discriminator_steps=5,
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    # Algorithm 1 has 64 per critic update; half of it gives twice the updates per epoch on small
    # data sets. A training step takes 5 × 32 images.
    batch_size=32,
    # Longer than `dcgan`, whose generator takes 2.5 times as many steps an epoch.
    epochs=50,
    decay=0.2,
)
