"""Registers the variants. To add one, write its module and add a line below."""

from keras_gan.presets import register_model
from keras_gan.zoo import (
    cgan,
    dcgan,
    lsgan,
    pix2pix,
    projection,
    r3gan,
    sngan,
    vanilla,
    wgan_gp,
)

register_model("cgan", cgan.recipe)
register_model("dcgan", dcgan.recipe)
register_model("lsgan", lsgan.recipe)
register_model("pix2pix", pix2pix.recipe)
register_model("projection", projection.recipe)
register_model("r3gan", r3gan.recipe)
register_model("sngan", sngan.recipe)
register_model("vanilla", vanilla.recipe)
register_model("wgan_gp", wgan_gp.recipe)
