"""Registers the variants. To add one, write its module and add a line below."""

from keras_gan.presets import register_model
from keras_gan.zoo import dcgan, lsgan, r3gan, sngan, vanilla, wgan_gp

register_model("dcgan", dcgan.recipe)
register_model("lsgan", lsgan.recipe)
register_model("r3gan", r3gan.recipe)
register_model("sngan", sngan.recipe)
register_model("vanilla", vanilla.recipe)
register_model("wgan_gp", wgan_gp.recipe)
