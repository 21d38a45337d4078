from itertools import pairwise

import keras
import numpy as np
import pytest
from conftest import conditions_of, fit, needed, numpy, pictures

import keras_gan
from keras_gan import engine, networks
from keras_gan.engine.keras_internals import all_layers
from keras_gan.presets import get_recipe

SHAPES = [(28, 28, 1), (28, 28, 3), (32, 32, 3), (64, 64, 3), (45, 60, 1), (128, 96, 3)]
VARIANTS = keras_gan.list_models()


ODD = (21, 19, 1)


def once(shape):
    return pytest.param(shape, marks=pytest.mark.once)


def label(shape):
    return "x".join(map(str, shape))


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


# Sizes follow from arithmetic; one odd size shows that a backend's layers do what it expects.
@pytest.mark.parametrize("shape", [ODD, *(once(shape) for shape in SHAPES)], ids=label)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_makes_and_judges_every_size(variant, shape):
    recipe = get_recipe(variant)
    shapes = {name: value.shape for name, value in needed(variant).items()}
    given = {"condition_shape": shapes["condition"]} if shapes else {}
    generator = recipe.generator(shape, **given)
    discriminator = recipe.discriminator(shape, **given)
    random = np.random.default_rng(0)
    inputs = [10 * random.standard_normal((2, *x.shape[1:]), "float32") for x in generator.inputs]
    images = generator.predict_on_batch(inputs if len(inputs) > 1 else inputs[0])
    assert images.shape == (2, *shape) and images.dtype == "float32"
    assert -1 <= images.min() < 0 < images.max() <= 1
    assert np.abs(images[0] - images[1]).max() > 0.01
    logits = discriminator.predict_on_batch([images, inputs[-1]] if shapes else images)
    assert len(logits) == 2 and logits.shape[-1] == 1 and logits.dtype == "float32"
    assert np.isfinite(logits).all() and np.all(logits[0] != logits[1])


@pytest.mark.filterwarnings("ignore:No sample is of")
@pytest.mark.once
@pytest.mark.parametrize("shape", [ODD, once((8, 8, 2))], ids=label)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains_on_odd_sizes(variant, shape):
    gan = keras_gan.create_model(variant, shape, **needed(variant))
    before, size = gan.get_weights(), 2 * gan.discriminator_steps
    # Two steps, because what stands before a kernel of zeros has no gradient in the first.
    history = fit(gan, pictures(size, shape), y=conditions_of(gan, size), epochs=2)
    assert all(np.isfinite(values).all() for values in history.values())
    same = [
        variable.path
        for variable, old, new in zip(gan.weights, before, gan.get_weights(), strict=True)
        if np.array_equal(old, new)
    ]
    # The gradient of the last bias is 0 where the loss is of differences of logits, or inside the
    # margins of the hinge.
    differences = get_recipe(variant).loss in ("wasserstein", "relativistic", "hinge")
    allowed = {gan.discriminator.trainable_weights[-1].path} if differences else set()
    allowed |= {variable.path for term in gan.terms.values() for variable in term.variables}
    assert set(same) <= allowed


def maps(network):
    """The shapes of the maps that the convolutions and the first dense layer make."""
    layers = [x for x in network.layers if isinstance(x, keras.layers.Layer)]
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Reshape)
    return [tuple(x.output.shape[1:]) for x in layers if isinstance(x, kinds)]


@pytest.mark.once
@pytest.mark.parametrize("channels", [1, 3])
def test_the_networks_of_dcgan_at_28(channels):
    shape = (28, 28, channels)
    generator = networks.conv_generator(shape)
    assert maps(generator) == [(7, 7, 256), (7, 7, 128), (14, 14, 64), shape]
    strides = [x.strides for x in generator.layers if hasattr(x, "strides")]
    assert strides == [(1, 1), (2, 2), (2, 2)]
    assert [x.use_bias for x in generator.layers if hasattr(x, "use_bias")] == [False] * 3 + [True]
    names = [type(x).__name__ for x in generator.layers]
    assert names.count("BatchNormalization") == names.count("LeakyReLU") == 3
    discriminator = networks.conv_discriminator(shape)
    assert maps(discriminator) == [(14, 14, 64), (7, 7, 128)]
    rates = [x.rate for x in discriminator.layers if isinstance(x, keras.layers.Dropout)]
    assert rates == [0.3, 0.3]
    for network in (generator, discriminator):
        assert {x.kernel_size for x in network.layers if hasattr(x, "kernel_size")} == {(5, 5)}
        assert {x.negative_slope for x in network.layers if hasattr(x, "negative_slope")} <= {0.2}


@pytest.mark.once
def test_the_networks_of_vanilla():
    recipe = get_recipe("vanilla")
    units = lambda network: [x.units for x in network.layers if hasattr(x, "units")]  # noqa: E731
    assert recipe.generator((28, 28, 1)).input_shape == (None, 100)
    assert units(recipe.generator((28, 28, 1))) == [256, 512, 1024, 784]
    assert units(recipe.discriminator((28, 28, 1))) == [1024, 512, 256, 1]


@pytest.mark.once
def test_the_critic_of_wgan_gp_has_neither_batch_normalization_nor_dropout():
    critic = get_recipe("wgan_gp").discriminator((28, 28, 1))
    names = {type(x).__name__ for x in critic.layers}
    assert not names & {"BatchNormalization", "Dropout"} and "Conv2D" in names


def sizes(network):
    """The shapes of the maps that stand between the blocks, in their order."""
    adds = [layer for layer in network.layers if isinstance(layer, keras.layers.Add)]
    return [tuple(layer.output.shape[1:]) for layer in adds]


def kinds(network):
    """The names of the classes of all layers, those inside others included."""
    return [type(layer).__name__ for layer in all_layers(network)]


@pytest.mark.once
def test_the_networks_of_sngan():
    recipe = get_recipe("sngan")
    generator, discriminator = (
        make((28, 28, 1)) for make in (recipe.generator, recipe.discriminator)
    )
    assert generator.input_shape == (None, 128)
    assert sizes(generator) == [(14, 14, 64), (28, 28, 32)]
    assert sizes(discriminator) == [(14, 14, 32), (7, 7, 64), (7, 7, 64)]
    assert kinds(generator).count("BatchNormalization") == 2 * 2 + 1
    # Every layer with a kernel is normalized: two in each block, three shortcuts … and the last.
    normalized = [x for x in discriminator.layers if hasattr(x, "vector")]
    assert kinds(discriminator).count("Conv2D") == 3 * 2 + 2 == len(normalized) - 1
    assert not any(hasattr(x, "kernel") for x in discriminator.layers)
    assert "BatchNormalization" not in kinds(discriminator)


@pytest.mark.once
def test_the_networks_of_r3gan():
    recipe = get_recipe("r3gan")
    generator, discriminator = (
        make((28, 28, 1)) for make in (recipe.generator, recipe.discriminator)
    )
    blocks = [(14, 14, 32), (7, 7, 64), (4, 4, 128)]
    assert sizes(discriminator) == blocks and sizes(generator) == blocks[::-1]
    for network in (generator, discriminator):
        assert not [kind for kind in kinds(network) if "Normalization" in kind]
        assert "Dropout" not in kinds(network)
    wide = networks.r3_generator((64, 64, 3), filters=2, blocks=2)
    assert sizes(wide) == [(n, n, w) for n, w in ((4, 16), (8, 8), (16, 4), (32, 2)) for _ in "ab"]


def test_blocks_without_normalization_start_as_the_identity():
    x = keras.Input((6, 5, 16))
    block = keras.Model(x, networks.resnet.plain_block(x, blocks=16))
    maps = np.random.default_rng(0).standard_normal((3, 6, 5, 16), dtype="float32")
    np.testing.assert_array_equal(block.predict_on_batch(maps), maps)
    first, second, last = [x for x in block.layers if isinstance(x, keras.layers.Conv2D)]
    # He's deviation for slope 0.2, times 16 blocks to the power −1/4.
    for layer, fan_in in ((first, 16), (second, 144)):
        deviation = np.sqrt(2 / 1.04 / fan_in) * 0.5
        assert numpy(layer.kernel.value).std() == pytest.approx(deviation, rel=0.2)
    last.kernel.assign(np.ones(last.kernel.shape))
    assert np.abs(block.predict_on_batch(maps) - maps).max() > 0.1


def test_a_block_that_doubles_adds_a_shortcut_to_two_convolutions():
    """Without its convolutions, the block of SNGAN repeats each pixel, cropped to the size."""
    x = keras.Input((3, 4, 2))
    block = keras.Model(x, networks.resnet.normalized_block_up(x, 2, (5, 8)))
    for layer in block.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([0 * w for w in layer.get_weights()])
    maps = np.random.default_rng(0).standard_normal((2, 3, 4, 2), dtype="float32")
    repeated = maps.repeat(2, axis=1).repeat(2, axis=2)[:, :5]
    np.testing.assert_array_equal(block.predict_on_batch(maps), repeated)


@pytest.mark.parametrize("first", [True, False])
def test_a_block_that_halves_averages_on_its_shortcut(first):
    """Odd sides are rounded up; the last average is over the pixels that there are."""
    x = keras.Input((5, 4, 3))
    block = keras.Model(x, networks.resnet.spectral_block(x, 6, halve=True, first=first))
    # All but the shortcut's 1×1 kernel are 0, which is then divided by its largest value.
    kernel = np.eye(3, 6, dtype="float32")[None, None]
    for layer in block.layers:
        if hasattr(layer, "vector"):
            own = layer.layer.kernel
            own.assign(4 * kernel if own.shape == kernel.shape else 0 * numpy(own.value))
            layer.vector.assign(np.ones(layer.vector.shape))
    maps = np.random.default_rng(0).standard_normal((2, 5, 4, 3), dtype="float32")
    padded = np.concatenate([maps, maps[:, -1:]], axis=1)
    means = padded.reshape(2, 3, 2, 2, 2, 3).mean(axis=(2, 4))
    made = block.predict_on_batch(maps)
    np.testing.assert_allclose(made[..., :3], means, atol=1e-5)
    assert not made[..., 3:].any()


@pytest.mark.once
@pytest.mark.parametrize("shape", [(64, 64, 3), (45, 60, 1), (9, 31, 2)], ids=label)
def test_the_generator_grows_from_a_small_map_by_doublings(shape):
    generator = networks.conv_generator(shape, filters=2)
    first, *rest = maps(generator)
    assert 4 <= min(first[:2]) <= 8 and generator.output_shape[1:] == shape
    for low, high in pairwise(rest):
        # A map is cropped by one where a side is odd, after the convolution seen here.
        assert all(0 <= 2 * small - large <= 2 for small, large in zip(low, high[:2], strict=False))


def in_both_layouts(shape):
    """Twice the same two networks, with the same weights, made under either setting of Keras."""
    pairs = []
    for layout in ("channels_last", "channels_first"):
        keras.config.set_image_data_format(layout)
        generator = networks.conv_generator(shape, latent_dim=5, filters=4, kernel_size=3)
        discriminator = networks.conv_discriminator(shape, filters=4, kernel_size=3, dropout=0)
        pairs.append((generator, discriminator))
    for last, first in zip(*pairs, strict=True):
        random = np.random.default_rng(1)
        last.set_weights([w + random.normal(0, 0.1, w.shape) for w in last.get_weights()])
        for weight in (w for w in last.weights if w.name == "moving_variance"):
            weight.assign(1 + numpy(weight) ** 2)
        first.set_weights(last.get_weights())
    return pairs


@pytest.mark.parametrize("shape", [(16, 16, 3), (11, 17, 2)], ids=label)
def test_both_data_formats_give_the_same(shape, channels_first):
    (g_last, d_last), (g_first, d_first) = in_both_layouts(shape)
    latents = np.random.default_rng(0).standard_normal((3, 5), dtype="float32")
    images = g_last.predict_on_batch(latents)
    np.testing.assert_allclose(g_first.predict_on_batch(latents), images, atol=1e-5)
    logits = d_last.predict_on_batch(images)
    np.testing.assert_allclose(d_first.predict_on_batch(images), logits, atol=1e-5)
    assert np.ptp(images) > 0.1 and np.ptp(logits) > 1e-3


@pytest.mark.filterwarnings("ignore:No sample is of")
@pytest.mark.once
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains_channels_first_with_images_channels_last(variant, channels_first):
    gan = keras_gan.create_model(variant, (16, 17, 2), **needed(variant))
    size = 2 * gan.discriminator_steps
    history = fit(gan, pictures(size, (16, 17, 2)), y=conditions_of(gan, size))
    assert all(np.isfinite(values).all() for values in history.values())
    assert gan.sample_shape == (16, 17, 2)


@pytest.mark.once
@pytest.mark.parametrize(
    "shape", [(7, 28, 1), (28, 7, 1), (28, 28), (28, 28, 0), (28.0, 28, 1), (28, 28, 1, 1)]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_impossible_shapes_are_refused(variant, shape):
    with pytest.raises(ValueError, match=r"at least 8 and at least 1 channel"):
        keras_gan.create_model(variant, shape, **needed(variant))


def test_batch_normalization_is_keras_own(monkeypatch):
    random = np.random.default_rng(0)
    x, slope = random.normal(2.0, 3.0, (2, 6, 5, 4, 3)).astype("float32")
    results = []
    for fused in (engine.batch_norm, None):
        monkeypatch.setattr(engine, "batch_norm", fused)
        layer = networks.BatchNormalization(momentum=0.5)
        layer.build(x.shape)
        layer.set_weights([np.float32(v) for v in ([1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 2, 3])])
        inputs = [keras.Variable(x), *layer.trainable_variables]

        def objective(layer=layer, inputs=inputs):
            y = layer(inputs[0].value, training=True)
            return keras.ops.sum(keras.ops.multiply(y * y, slope)), [y]

        with keras.StatelessScope() as scope:
            (_, [y]), gradients = engine.value_and_grad(objective, inputs)
            moving = [scope.get_current_value(v) for v in layer.non_trainable_variables]
        results.append(
            [numpy(value) for value in (y, *gradients, *(v for v in moving if v is not None))]
        )
    assert len(results[0]) == len(results[1]) == 6
    for ours, keras_own in zip(*results, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=2e-4, atol=2e-3)
