"""LSGAN: least squares instead of cross entropy, on DCGAN's kind of networks.

Mao et al. 2016, "Least Squares Generative Adversarial Networks", arXiv:1611.04076.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan.presets import Recipe
from keras_gan.zoo import dcgan

# β₁ 0.5 is the paper's (section 4.1); its rate of 1e-3 for the scene data sets is five times
# DCGAN's 2e-4, which is the steadier choice at 28×28.
adam = partial(Adam, learning_rate=2e-4, beta_1=0.5)

recipe = Recipe(
    paper="Mao et al. 2016, arXiv:1611.04076",
    # Networks and average: those of `dcgan`, for the same reasons.
    generator=dcgan.recipe.generator,
    discriminator=dcgan.recipe.discriminator,
    # Targets 0 and 1, equation 9: samples on the right side of the boundary but far from the real
    # ones still give the generator a gradient.
    loss="least_squares",
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    batch_size=64,
    ema_momentum=0.999,
)
