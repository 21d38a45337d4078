"""LSGAN: least squares instead of cross entropy, on DCGAN's kind of networks.

Mao et al. 2016, "Least Squares Generative Adversarial Networks", arXiv:1611.04076.
"""

from dataclasses import replace

from keras_gan.zoo import dcgan

# Networks, average, optimizers and epochs are those of `dcgan`, for the same reasons. This paper
# also uses β₁ 0.5, and its learning rate for scenes, 1e-3, is close to 8e-4 (section 4.1).
recipe = replace(
    dcgan.recipe,
    paper="Mao et al. 2016, arXiv:1611.04076",
    # Targets 0 and 1 (equation 9). Generated samples that are classified as real but lie far from
    # the real ones still give the generator a gradient.
    loss="least_squares",
)
