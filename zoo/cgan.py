"""cGAN: both networks take the class as one more input.

Mirza and Osindero 2014, "Conditional Generative Adversarial Nets", arXiv:1411.1784.
"""

from dataclasses import replace

from keras_gan.conditions import Labels, Vector
from keras_gan.zoo import dcgan

# Networks, average, optimizers and epochs: those of `dcgan`, for the same reasons. The paper's are
# perceptrons. Both sides embed the class, where the paper's do by a layer of their own (section
# 4.1): the generator beside the latents, the discriminator as a channel of the image.
recipe = replace(
    dcgan.recipe,
    paper="Mirza and Osindero 2014, arXiv:1411.1784",
    conditions=(Labels, Vector),
)
