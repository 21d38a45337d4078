"""What is saved comes back: models, weights, configurations, preset folders."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import assert_equal, changed, fit, mlp_gan, pictures, points, values
from keras import layers

import keras_gan
from keras_gan import GAN, Recipe, losses, metrics, networks, presets, terms
from keras_gan.presets import folders, recipes

SHAPE = (8, 8, 1)


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


def config(gan):
    """The configuration as it is read back from a file: JSON has no tuples."""
    return json.loads(json.dumps([gan.get_config(), gan.get_compile_config()]))


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
    gan = GAN(
        recipe.generator(SHAPE, **small),
        recipe.discriminator(SHAPE, **discriminator),
        loss=recipe.loss,
        terms=recipe.terms(),
        discriminator_steps=recipe.discriminator_steps,
        ema_momentum=0.9,
        name=request.param,
    )
    gan.compile(
        recipe.generator_optimizer(), recipe.discriminator_optimizer(), metrics=[Spread(2.0)]
    )
    fit(gan, pictures(20), 10)
    return gan


@pytest.mark.parametrize("variant", keras_gan.list_models(), indirect=True)
def test_whole_model(variant, tmp_path, fixed_noise):
    variant.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert isinstance(loaded, GAN)
    assert_equal(state(loaded), state(variant))
    assert config(loaded) == config(variant)
    assert int(loaded.optimizer.generator.iterations) == 2
    assert int(loaded.optimizer.discriminator.iterations) == 2 * variant.discriminator_steps
    np.testing.assert_array_equal(loaded.generate(3, seed=0), variant.generate(3, seed=0))
    assert loaded.evaluate(pictures(4)) == pytest.approx(variant.evaluate(pictures(4)), rel=1e-5)


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
    extractor = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    extractor.save(tmp_path / "extractor.keras")
    sources = (extractor, tmp_path / "extractor.keras")
    gan = preset_gan()
    gan.compile(metrics=[metrics.FrechetDistance(s, f"by_{i}") for i, s in enumerate(sources)])
    with pytest.warns(UserWarning, match="by_0 is not saved with the model"):
        gan.save_to_preset(tmp_path / "preset")
    gan.save_weights(tmp_path / "with.weights.h5")
    bare = preset_gan()
    bare.save_weights(tmp_path / "without.weights.h5")
    gan.load_weights(tmp_path / "without.weights.h5")
    bare.load_weights(tmp_path / "with.weights.h5")
    gan.load_weights(tmp_path / "with.weights.h5")
    copy = keras_gan.from_preset(tmp_path / "preset")
    assert [metric.name for metric in copy.metrics[1:]] == ["by_1"]
    real = pictures(8, SHAPE)
    scores = (model.evaluate(real, return_dict=True, verbose=0)["by_1"] for model in (gan, copy))
    assert next(scores) == pytest.approx(next(scores), rel=1e-4)


def test_loading_a_preset_fetches_no_extractor(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_gan.metrics.inception.fetch", lambda *_: pytest.fail("fetched"))
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path))
    gan = preset_gan()
    gan.compile(metrics=[metrics.FrechetDistance("inception")])
    gan.save_to_preset(tmp_path / "preset")
    gan.save(tmp_path / "gan.keras")
    gan.load_weights(tmp_path / "preset" / "model.weights.h5")
    for load, name in ((keras_gan.from_preset, "preset"), (keras.saving.load_model, "gan.keras")):
        assert load(tmp_path / name).generate(2).shape == (2, *SHAPE)


def test_models_of_one_network_average_apart(preset):
    _, folder = preset
    first = keras_gan.from_preset(folder)
    before = values(first.ema_generator)
    second = GAN(first.generator, first.discriminator, ema_momentum=0.5)
    assert second.ema_generator is not first.ema_generator
    assert_equal(values(first.ema_generator), before)


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


# Preset folders.


def preset_gan(**options):
    gan = GAN(
        networks.mlp_generator(SHAPE, 3, (4,)),
        networks.mlp_discriminator(SHAPE, (4,)),
        ema_momentum=0.9,
        **options,
    )
    gan.compile(keras.optimizers.Adam(1e-3, 0.5), keras.optimizers.Adam(4e-3))
    return gan


@pytest.fixture
def preset(tmp_path):
    gan = preset_gan()
    gan.save_to_preset(tmp_path / "preset", note="a test")
    return gan, tmp_path / "preset"


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_preset_round_trip(preset):
    gan, folder = preset
    files = ["README.md", "config.json", "metadata.json", "model.weights.h5", "samples.png"]
    assert sorted(contents(folder)) == files
    assert list(folder.iterdir()) == [folder / name for name in contents(folder)]
    for name in (folder, str(folder)):
        loaded = keras_gan.from_preset(name)
        assert_equal(values(loaded.weights), values(gan.weights))
        assert config(loaded) == config(gan)
        np.testing.assert_array_equal(loaded.generate(3, seed=1), gan.generate(3, seed=1))
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["format"] == folders.FORMAT
    assert metadata["note"] == "a test"
    before = values(loaded.weights)
    fit(loaded, pictures(8))
    assert any(changed(before, values(loaded.weights)))


def test_preset_without_weights(preset):
    gan, folder = preset
    loaded = keras_gan.from_preset(folder, load_weights=False)
    assert config(loaded) == config(gan)
    assert any(changed(values(loaded.weights), values(gan.weights)))


def test_uncompiled_preset(tmp_path):
    mlp_gan().save_to_preset(tmp_path)
    assert not keras_gan.from_preset(tmp_path).compiled


def test_saving_again_replaces_the_preset_and_keeps_other_files(preset):
    _, folder = preset
    (folder / "card.md").write_text("mine")
    (folder / "grids").mkdir()
    (folder / "grids" / "1.png").write_bytes(b"png")
    other = preset_gan(loss="hinge")
    other.save_to_preset(folder)
    loaded = keras_gan.from_preset(folder)
    assert loaded.get_config()["loss"] == "hinge"
    assert_equal(values(loaded.weights), values(other.weights))
    assert (folder / "card.md").read_text() == "mine"
    assert (folder / "grids" / "1.png").read_bytes() == b"png"
    assert not list(folder.glob(".writing*"))


def full_disk(*args, **options):
    raise OSError(28, "No space left on device")


BREAKS = {
    "config and metadata": (Path, "write_text"),
    "weights": (GAN, "save_weights"),
    "moving": (Path, "replace"),
}


@pytest.mark.parametrize("breaks", BREAKS)
@pytest.mark.parametrize("existed", [False, True])
def test_full_disk_leaves_the_folder_as_it_was(breaks, existed, preset, tmp_path, monkeypatch):
    folder = preset[1] if existed else tmp_path / "new"
    before = contents(folder) if existed else {}
    with monkeypatch.context() as patch:
        patch.setattr(*BREAKS[breaks], full_disk)
        with pytest.raises(OSError, match="No space left"):
            preset_gan(loss="hinge").save_to_preset(folder)
    left = contents(folder) if folder.exists() else {}
    assert left == before
    assert not folder.exists() or sorted(p.name for p in folder.iterdir()) == sorted(before)


def test_metadata_that_is_no_json_leaves_the_folder_as_it_was(preset):
    gan, folder = preset
    before = contents(folder)
    with pytest.raises(TypeError):
        gan.save_to_preset(folder, note=object())
    assert contents(folder) == before


def edit(folder, name, change):
    path = folder / name
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))


def cut(name, share=0.5):
    def damage(folder):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(share * len(whole))])

    return damage


def other_weights(folder):
    mlp_gan().save_weights(folder / "model.weights.h5")


DAMAGES = {
    "config cut short": (cut("config.json"), "config.json"),
    "config empty": (cut("config.json", 0), "config.json"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "config.json"),
    "config of another class": (
        lambda f: (f / "config.json").write_text(
            json.dumps(keras.saving.serialize_keras_object(layers.Dense(1)))
        ),
        "config.json",
    ),
    "config without networks": (
        lambda f: edit(f, "config.json", lambda c: c["config"].pop("generator")),
        "config.json",
    ),
    "config without class": (
        lambda f: edit(f, "config.json", lambda c: c.pop("class_name")),
        "config.json",
    ),
    "unknown class": (
        lambda f: edit(
            f, "config.json", lambda c: c.update(class_name="Nope", registered_name="Nope")
        ),
        "config.json",
    ),
    "bytes, no text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json"),
    "metadata cut short": (cut("metadata.json"), "metadata.json"),
    "no metadata": (lambda f: (f / "metadata.json").unlink(), "metadata.json"),
    "metadata is a list": (lambda f: (f / "metadata.json").write_text("[]"), "metadata.json"),
    "no format": (lambda f: (f / "metadata.json").write_text("{}"), "format"),
    "format is a word": (
        lambda f: edit(f, "metadata.json", lambda m: m.update(format="one")),
        "format",
    ),
    "newer format": (
        lambda f: edit(f, "metadata.json", lambda m: m.update(format=folders.FORMAT + 1)),
        "newer keras-gan",
    ),
    "weights cut short": (cut("model.weights.h5"), "model.weights.h5"),
    "weights empty": (cut("model.weights.h5", 0), "model.weights.h5"),
    "weights are text": (
        lambda f: (f / "model.weights.h5").write_text("<html>"),
        "model.weights.h5",
    ),
    "no weights": (lambda f: (f / "model.weights.h5").unlink(), "model.weights.h5"),
    "weights of another model": (other_weights, "model.weights.h5"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_broken_preset(damage, preset):
    _, folder = preset
    break_it, word = DAMAGES[damage]
    break_it(folder)
    with pytest.raises(ValueError) as error:
        keras_gan.from_preset(folder)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 500
    assert str(folder) in message
    assert word in message


def test_unknown_preset():
    with pytest.raises(ValueError) as error:
        keras_gan.from_preset("no/such/folder")
    assert "'no/such/folder'" in str(error.value)
    with pytest.raises(ValueError, match="not a preset folder"):
        keras_gan.from_preset(Path(__file__).parent)


def test_presets_by_name(preset, monkeypatch):
    _, folder = preset
    monkeypatch.setattr(folders, "_bundled", lambda: {"tiny": folder, "other": folder})
    assert keras_gan.list_presets() == ["other", "tiny"]
    assert keras_gan.list_presets("t*") == ["tiny"]
    assert keras_gan.from_preset("tiny").sample_shape == SHAPE
    with pytest.raises(ValueError, match="'tiny'"):
        keras_gan.from_preset("tyni")


def test_new_variant_is_one_recipe(monkeypatch):
    monkeypatch.setattr(recipes, "_RECIPES", dict(recipes._recipes()))
    recipe = Recipe(
        paper="None",
        generator=lambda shape: networks.mlp_generator(shape, 3, (4,)),
        discriminator=lambda shape: networks.mlp_discriminator(shape, (4,)),
        loss="hinge",
        generator_optimizer=keras.optimizers.SGD,
        discriminator_optimizer=keras.optimizers.SGD,
        batch_size=8,
    )
    keras_gan.register_model("tiny", recipe)
    keras_gan.register_model("tiny", recipe)  # Importing twice does no harm.
    assert "tiny" in keras_gan.list_models("t*")
    gan = keras_gan.create_model("tiny", image_shape=SHAPE, discriminator_steps=2)
    fit(gan, pictures(8), 4)
    assert int(gan.optimizer.discriminator.iterations) == 4
    assert gan.name == "tiny"


def test_an_average_of_layers_that_are_not_registered():
    class Shift(layers.Layer):
        def __init__(self, by, **options):
            super().__init__(**options)
            self.by = by

        def call(self, x):
            return x + self.by

        def get_config(self):
            return super().get_config() | {"by": self.by}

    generator = keras.Sequential([keras.Input((3,)), layers.Dense(2), Shift(1.0)])
    gan = GAN(generator, keras.Sequential([layers.Dense(1)]), ema_momentum=0.5)
    latents = np.ones((2, 3), "float32")
    assert_equal([gan.predict(latents, verbose=0)], [generator.predict(latents, verbose=0)])
