"""LSGAN: least squares instead of cross entropy, on DCGAN's kind of networks.

Mao et al. 2016, "Least Squares Generative Adversarial Networks", arXiv:1611.04076.
"""

from dataclasses import replace

from keras_gan.zoo import dcgan

# Networks, average, optimizers and epochs: those of `dcgan`, for the same reasons. β₁ 0.5 is this
# paper's too, and its rate for the scene data sets, 1e-3, is near the 8e-4 (section 4.1).
recipe = replace(
    dcgan.recipe,
    paper="Mao et al. 2016, arXiv:1611.04076",
    # Targets 0 and 1, equation 9: samples on the right side of the boundary but far from the real
    # ones still give the generator a gradient.
    loss="least_squares",
)
