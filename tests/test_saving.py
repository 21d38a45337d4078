"""What is saved comes back: models, weights, configurations."""

import keras
import numpy as np
import pytest
from conftest import (
    assert_equal,
    changed,
    conditions_of,
    fit,
    generated,
    mlp_gan,
    needed,
    pictures,
    points,
    tiny_gan,
    values,
)
from preset_files import config

import keras_gan
from keras_gan import GAN, losses, metrics, networks, presets, terms

SHAPE = (16, 16, 1)


@keras.saving.register_keras_serializable("tests")
class Spread(keras.metrics.Metric):
    """The difference between the real and the generated mean."""

    def __init__(self, factor=1.0, name="spread"):
        super().__init__(name=name)
        self.factor = factor
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, real, generated):
        self.total.assign_add(np.mean(real, dtype="float32") - np.mean(generated, dtype="float32"))

    def result(self):
        return self.factor * self.total

    def get_config(self):
        return {"factor": self.factor, "name": self.name}


def state(gan):
    return values(gan.weights) + values(gan.optimizer)


def names(gan):
    return [v.path.split("/")[-1] for v in gan.weights]


@pytest.fixture
def variant(request):
    """The registered variant with small networks of the same kind, two steps trained."""
    recipe = presets.get_recipe(request.param)
    kind = recipe.generator.func
    small = {"latent_dim": 3}
    small |= {"units": (4,)} if kind is networks.mlp_generator else {"filters": 2}
    discriminator = {"units": (4,)} if kind is networks.mlp_generator else {"filters": 2}
    condition = needed(request.param)
    if condition:
        given = {"condition_shape": condition["condition"].shape}
        small, discriminator = small | given, discriminator | given
    if kind is networks.unet_generator:
        del small["latent_dim"]
    gan = GAN(
        recipe.generator(SHAPE, **small),
        recipe.discriminator(SHAPE, **discriminator),
        **condition,
        loss=recipe.loss,
        terms=recipe.terms(),
        discriminator_steps=recipe.discriminator_steps,
        ema_momentum=0.9,
        name=request.param,
    )
    gan.compile(
        recipe.generator_optimizer(), recipe.discriminator_optimizer(), metrics=[Spread(2.0)]
    )
    fit(gan, pictures(20, SHAPE), 10, y=conditions_of(gan, 20))
    return gan


# `test_zoo.py` saves each variant as a preset.
QUICK = ("dcgan", "pix2pix", "projection")


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.full)
        for name in keras_gan.list_models()
    ],
    indirect=True,
)
def test_whole_model(variant, tmp_path, fixed_noise):
    variant.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert isinstance(loaded, GAN)
    assert_equal(state(loaded), state(variant))
    assert config(loaded) == config(variant)
    assert int(loaded.optimizer.generator.iterations) == 2
    assert int(loaded.optimizer.discriminator.iterations) == 2 * variant.discriminator_steps
    np.testing.assert_array_equal(generated(loaded, 3, seed=0), generated(variant, 3, seed=0))
    held_out = pictures(4, SHAPE), conditions_of(variant, 4)
    assert loaded.evaluate(*held_out) == pytest.approx(variant.evaluate(*held_out), rel=1e-5)


def deterministic(**options):
    gan = mlp_gan(ema_momentum=0.9, terms=["gradient_penalty"], seed=1, **options)
    gan.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(2e-2, beta_1=0.3))
    return gan


def same_noise(gan):
    gan.noise.state.assign(np.array([1, 0]))


@pytest.mark.parametrize("how", ["save", "save_weights"])
def test_training_goes_on_as_if_nothing_happened(how, tmp_path, fixed_noise):
    gan = deterministic()
    fit(gan, points(16), 4)
    if how == "save":
        gan.save(tmp_path / "gan.keras")
        loaded = keras.saving.load_model(tmp_path / "gan.keras")
    else:
        gan.save_weights(tmp_path / "gan.weights.h5")
        loaded = deterministic()
        loaded.load_weights(tmp_path / "gan.weights.h5")
    saved = state(gan)
    histories = []
    for model in (gan, loaded):
        same_noise(model)
        histories.append(fit(model, points(16, seed=2), 4, epochs=2))
    assert any(changed(saved, state(gan)))
    assert_equal(state(loaded), state(gan), rtol=1e-5, atol=1e-6)
    for name, series in histories[0].items():
        assert histories[1][name] == pytest.approx(series, rel=1e-5, abs=1e-6)


def test_learning_rate_of_both_survives(tmp_path):
    gan = deterministic()
    gan.optimizer.learning_rate = 1e-3
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert float(loaded.optimizer.generator.learning_rate) == pytest.approx(1e-3)
    assert float(loaded.optimizer.discriminator.learning_rate) == pytest.approx(2e-3)


def test_metrics_that_would_come_back_different_are_left_out(tmp_path):
    gan = tiny_gan()
    extractor = keras.Sequential(
        [keras.Input(gan.sample_shape), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    extractor.save(tmp_path / "extractor.keras")
    sources = (extractor, tmp_path / "extractor.keras")
    gan.compile(metrics=[metrics.FrechetDistance(s, f"by_{i}") for i, s in enumerate(sources)])
    with pytest.warns(UserWarning) as told:
        gan.save_to_preset(tmp_path / "preset")
    messages = [str(warning.message) for warning in told]
    assert any("by_0 is not saved: its extractor" in message for message in messages)
    assert any("extractor.keras" in message and "left out" in message for message in messages)
    gan.save_weights(tmp_path / "with.weights.h5")
    bare = tiny_gan()
    bare.save_weights(tmp_path / "without.weights.h5")
    gan.load_weights(tmp_path / "without.weights.h5")
    bare.load_weights(tmp_path / "with.weights.h5")
    gan.load_weights(tmp_path / "with.weights.h5")
    copy = keras_gan.from_preset(tmp_path / "preset")
    assert copy.compiled_distances == []


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")  # A preset has none.
def test_loading_a_preset_fetches_no_extractor(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_gan.metrics.inception.fetch", lambda *_: pytest.fail("fetched"))
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path))
    gan = tiny_gan()
    gan.compile(metrics=[metrics.FrechetDistance("inception")])
    gan.save_to_preset(tmp_path / "preset")
    gan.save(tmp_path / "gan.keras")
    gan.load_weights(tmp_path / "preset" / "model.weights.h5")
    for load, name in ((keras_gan.from_preset, "preset"), (keras.saving.load_model, "gan.keras")):
        assert load(tmp_path / name).generate(2).shape == (2, *gan.sample_shape)


def test_before_compile(tmp_path):
    gan = mlp_gan(ema_momentum=0.5)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert not loaded.compiled
    assert_equal(values(loaded.weights), values(gan.weights))


def test_weights_of_other_networks_are_refused(tmp_path):
    mlp_gan(units=4).save_weights(tmp_path / "gan.weights.h5")
    with pytest.raises(ValueError):
        mlp_gan(units=5).load_weights(tmp_path / "gan.weights.h5")


@keras.saving.register_keras_serializable("tests")
class Doubled:
    def __init__(self, factor=2.0):
        self.factor = factor

    def discriminator(self, real, fake):
        return self.factor * losses.get("hinge").discriminator(real, fake)

    def generator(self, fake):
        return self.factor * losses.get("hinge").generator(fake)

    def get_config(self):
        return {"factor": self.factor}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "hinge", "discriminator_steps": 3, "seed": 7, "name": "mine"},
        {"loss": Doubled(3.0), "terms": [terms.GradientPenalty(2.0)], "ema_momentum": 0.5},
    ],
)
def test_config_round_trip(options, tmp_path):
    gan = mlp_gan(**options)
    copy = GAN.from_config(gan.get_config())
    assert config(copy) == config(gan)
    for name in ("discriminator_steps", "seed", "name", "ema_momentum"):
        if name in options:
            assert getattr(copy, name) == options[name]
    if "terms" in options:
        assert copy.adversarial_loss.factor == 3.0
        assert float(copy.terms["gradient_penalty"].weight) == 2.0
    assert [w.shape for w in copy.weights] == [w.shape for w in gan.weights]


def test_clone_has_new_weights():
    gan = mlp_gan(loss="hinge", ema_momentum=0.5)
    copy = keras.models.clone_model(gan)
    assert isinstance(copy, GAN)
    assert config(copy) == config(gan)
    kernels = [i for i, name in enumerate(names(gan)) if name == "kernel"]
    assert all(changed(values(gan.weights), values(copy.weights))[i] for i in kernels)


def test_config_does_not_share_objects():
    gan = mlp_gan(loss=Doubled())
    copy = GAN.from_config(gan.get_config())
    assert copy.generator is not gan.generator
    assert copy.adversarial_loss is not gan.adversarial_loss


@pytest.mark.parametrize("compiled", [False, True])
def test_summary_prints_both_networks(compiled):
    gan = keras_gan.create_model("vanilla", image_shape=SHAPE) if compiled else mlp_gan()
    lines = []
    gan.summary(print_fn=lambda text, **_: lines.append(text))
    text = "\n".join(lines)
    for network in (gan.generator, gan.discriminator):
        assert network.name in text
        assert f"{network.count_params():,}" in text
