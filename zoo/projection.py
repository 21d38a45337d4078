"""Projection: class-conditional normalization, and logits that rise where features fit the class.

Miyato and Koyama 2018, "cGANs with Projection Discriminator", arXiv:1802.05637.
"""

from dataclasses import replace

from keras_gan.conditions import Labels, Vector
from keras_gan.zoo import sngan

# Networks, loss, average, optimizers and epochs: those of `sngan`, as the paper's are those of
# SNGAN. What `condition_shape` adds to them is the paper's: scales and offsets of each class in the
# generator's blocks, and in the discriminator the product of an embedding and the features
# (section 3, figure 1d). Labels alone took the FID on CIFAR-10 from 16.8 to 10.8 on such networks
# (mimicry, arXiv:2005.02494).
recipe = replace(
    sngan.recipe,
    paper="Miyato and Koyama 2018, arXiv:1802.05637",
    conditions=(Labels, Vector),
)
