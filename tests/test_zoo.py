import dataclasses
import importlib
import sys
from functools import partial

import keras
import numpy as np
import pytest
from conftest import ROOT, conditions_of, fit, generated, needed, numpy, pictures

import keras_gan
from keras_gan import presets
from keras_gan.presets import recipes

VARIANTS = keras_gan.list_models()
SHAPE = (17, 16, 2)
NEW_VARIANT = '''"""Hinge GAN: margins instead of cross entropy.

Lim and Ye 2017, "Geometric GAN", arXiv:1705.02894.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe

recipe = Recipe(
    paper="Lim and Ye 2017, arXiv:1705.02894",
    # DCGAN's kind of networks.
    generator=partial(networks.conv_generator, latent_dim=64, filters=8, kernel_size=3),
    discriminator=partial(networks.conv_discriminator, filters=8, kernel_size=3, dropout=0.0),
    # Real logits above 1 and fake ones below -1 are left alone.
    loss="hinge",
    # Two time scales: the discriminator learns faster (Heusel et al. 2017, arXiv:1706.08500).
    generator_optimizer=partial(Adam, learning_rate=1e-4, beta_1=0.0),
    discriminator_optimizer=partial(Adam, learning_rate=4e-4, beta_1=0.0),
    batch_size=64,
    ema_momentum=0.99,
)
'''
REGISTRATION = 'register_model("new_hinge", new_hinge.recipe)'


@pytest.fixture
def registry(monkeypatch):
    """Restores the registry after the test."""
    keras_gan.list_models()
    monkeypatch.setattr(recipes, "_RECIPES", dict(recipes._RECIPES))


def small(variant):
    """Returns the recipe with narrow networks, to check the contract quickly."""
    recipe = presets.get_recipe(variant)
    width = {"units": (16, 16)} if variant == "vanilla" else {"filters": 4}
    return dataclasses.replace(
        recipe,
        generator=partial(recipe.generator, **width),
        discriminator=partial(recipe.discriminator, **width),
    )


def test_names_are_sorted_and_take_a_glob():
    assert sorted(VARIANTS) == VARIANTS and {"dcgan", "lsgan", "vanilla", "wgan_gp"} <= {*VARIANTS}
    assert keras_gan.list_models("ls*") == ["lsgan"]
    assert keras_gan.list_models("nothing*") == []


def test_an_unknown_name_brings_the_closest():
    with pytest.raises(ValueError, match=r"'wgan-gp'; did you mean 'wgan_gp'.*vanilla"):
        keras_gan.create_model("wgan-gp")


def test_a_taken_name_is_refused(registry):
    with pytest.raises(ValueError, match="already"):
        keras_gan.register_model("dcgan", presets.get_recipe("lsgan"))
    keras_gan.register_model("dcgan", presets.get_recipe("dcgan"))  # Importing twice does no harm.


@pytest.mark.filterwarnings("ignore:Of the 2 channels only the first")
@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant, registry, monkeypatch, tmp_path):
    """Every registered variant trains, evaluates, generates, saves and resumes."""
    monkeypatch.setitem(recipes._RECIPES, variant, small(variant))
    recipe, gan = (
        presets.get_recipe(variant),
        keras_gan.create_model(variant, SHAPE, seed=1, **needed(variant)),
    )
    assert "arXiv:" in recipe.paper and recipe.batch_size >= 1
    names = {"d_loss", "g_loss", "d_real", "d_fake"}
    size = 4 * gan.discriminator_steps
    history = fit(gan, pictures(size, SHAPE), y=conditions_of(gan, size), epochs=2)
    assert set(history) == names | {term.name for term in recipe.terms()}
    assert np.isfinite(list(history.values())).all()
    judged = gan.evaluate(pictures(6, SHAPE), conditions_of(gan, 6), return_dict=True)
    assert set(judged) == names and np.isfinite(list(judged.values())).all()
    images = generated(gan, 3, seed=4)
    assert images.shape == (3, *SHAPE) and images.dtype == "uint8" and images.std() > 0
    np.testing.assert_array_equal(images, generated(gan, 3, seed=4))
    assert np.any(images != generated(gan, 3, seed=5)) == (gan.latent_shape is not None)
    gan.save(tmp_path / "gan.keras")
    gan.save_to_preset(tmp_path / "preset")
    copies = [keras.saving.load_model(tmp_path / "gan.keras")]
    copies.append(keras_gan.from_preset(tmp_path / "preset"))
    for copy in copies:
        np.testing.assert_array_equal(generated(copy, 3, seed=4), images)
        assert copy.discriminator_steps == recipe.discriminator_steps
        assert list(copy.terms) == [term.name for term in recipe.terms()]
    fit(copies[0], pictures(size, SHAPE), y=conditions_of(gan, size))
    assert int(numpy(copies[0].optimizer.iterations)) == 3


def test_options_take_the_place_of_the_recipes():
    gan = keras_gan.create_model("vanilla", (8, 8, 1), loss="hinge", discriminator_steps=2)
    assert gan.adversarial_loss == keras_gan.losses.get("hinge")
    assert gan.discriminator_steps == 2
    assert gan.name == "vanilla"


def test_a_new_variant_is_one_short_file_and_one_line(registry, tmp_path, monkeypatch):
    (tmp_path / "new_hinge.py").write_text(NEW_VARIANT)
    assert len(NEW_VARIANT.splitlines()) <= 40 and len(REGISTRATION.splitlines()) == 1
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("new_hinge")
    exec(REGISTRATION, {"register_model": keras_gan.register_model, "new_hinge": module})
    try:
        assert "new_hinge" in keras_gan.list_models()
        gan = keras_gan.create_model("new_hinge", SHAPE)
        assert np.isfinite(fit(gan, pictures(4, SHAPE))["g_loss"]).all()
        assert gan.generate(2).shape == (2, *SHAPE) and gan.ema_momentum == 0.99
    finally:
        del sys.modules["new_hinge"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_registered_variants_are_short_files_too(variant):
    assert len((ROOT / "zoo" / f"{variant}.py").read_text().splitlines()) <= 45
