"""WGAN-GP: the Wasserstein distance, with a gradient penalty that keeps the critic's slope near 1.

Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv:1704.00028.
"""

from dataclasses import replace
from functools import partial

from keras.optimizers import Adam

from keras_gan.terms import GradientPenalty
from keras_gan.zoo import dcgan

# β₁ and β₂ of algorithm 1; momentum hurts, because the critic's loss changes with each update. Its
# learning rate of 1e-4 is for much longer training: here the Fréchet distance after 2 epochs was 48
# at 5e-4 and 36 at 1e-3.
adam = partial(Adam, learning_rate=1e-3, beta_1=0.0, beta_2=0.9)

# Networks and average are those of `dcgan`, for the same reasons, except for the critic:
recipe = replace(
    dcgan.recipe,
    paper="Gulrajani et al. 2017, arXiv:1704.00028",
    # No batch normalization, because the penalty is on the gradient of each sample by itself
    # (section 4), and no dropout, which would make that gradient random.
    discriminator=partial(dcgan.recipe.discriminator, batch_norm=False),
    loss="wasserstein",
    # λ = 10, as in all experiments of the paper.
    terms=lambda: [GradientPenalty(weight=10.0)],
    # 5 critic updates per generator update: algorithm 1.
    discriminator_steps=5,
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    # Half of algorithm 1's 64 per critic update, for twice as many updates per epoch on small data
    # sets. A training step takes 5 × 32 images.
    batch_size=32,
    # More than `dcgan`, whose generator takes 2.5 times as many steps per epoch.
    epochs=50,
    decay=0.2,
)
