"""Augmentations against NumPy from the same random numbers, alone and inside the step."""

import keras
import numpy as np
import pytest
from conftest import assert_equal, fit, in_modes, numpy, pictures, value_and_gradients, values
from keras import layers, ops
from keras.optimizers import SGD

from keras_gan import GAN, Recipe, augment, create_model, networks, register_model, terms
from keras_gan.augment import AdaptiveAugment, DiffAugment
from keras_gan.presets import recipes

ALL = "brightness,saturation,contrast,translation,cutout"
ALL_MODES = in_modes()
SHAPES = pytest.mark.parametrize("shape", [(16, 11, 1), (9, 20, 3), (8, 8, 4)])


pytestmark = pytest.mark.usefixtures("uncompiled")


def images(shape, n=6, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *shape)).astype("float32")


class Draws:
    """A source of random numbers that keeps what it gave."""

    def __init__(self, seed=0):
        self.random, self.given = np.random.default_rng(seed), []

    def __call__(self, shape):
        self.given.append(self.random.random([int(n) for n in shape], dtype="float32"))
        return ops.convert_to_tensor(self.given[-1])


# The reference: one image at a time, with loops and slices, in float64.


def reference(policy, x, draws):
    x, draws = x.astype("float64"), iter([d.astype("float64").ravel() for d in draws])
    for name in policy.split(","):
        numbers = [next(draws) for _ in range(2 if name in ("translation", "cutout") else 1)]
        x = np.stack([REFERENCE[name](*row) for row in zip(x, *numbers, strict=True)])
    return x


def translated(x, u, v):
    """What lies at (row, column) comes from (row + down, column + right), or is 0."""
    height, width, _ = x.shape
    result = np.zeros_like(x)
    reach = [(size + 4) // 8 for size in (height, width)]
    down, right = (int(n * (2 * r + 1)) - r for n, r in zip((u, v), reach, strict=True))
    for row in range(height):
        for column in range(width):
            if 0 <= row + down < height and 0 <= column + right < width:
                result[row, column] = x[row + down, column + right]
    return result


def cut(x, u, v):
    result, spans = x.copy(), []
    for n, size in zip((u, v), x.shape[:2], strict=True):
        length = (size + 1) // 2
        start = int(n * (size + 1 - length % 2)) - length // 2
        spans.append(slice(max(start, 0), max(start + length, 0)))
    result[spans[0], spans[1]] = 0.0
    return result


def saturated(x, u):
    grey = x.mean(axis=2, keepdims=True)
    return grey + (x - grey) * 2 * u


REFERENCE = {
    "brightness": lambda x, u: x + u - 0.5,
    "saturation": saturated,
    "contrast": lambda x, u: x.mean() + (x - x.mean()) * (u + 0.5),
    "translation": translated,
    "cutout": cut,
}


@SHAPES
@pytest.mark.parametrize("policy", [*REFERENCE, ALL, "cutout,translation,brightness"])
def test_each_change_is_numpys_from_the_same_numbers(policy, shape):
    x, draws = images(shape, n=20), Draws()
    ours = numpy(DiffAugment(policy)(x, uniform=draws))
    assert ours.dtype == "float32" and ours.shape == x.shape
    np.testing.assert_allclose(ours, reference(policy, x, draws.given), atol=2e-6)
    plain = policy == "saturation" and shape[2] == 1
    assert np.allclose(ours, x, atol=1e-6) == plain


@pytest.mark.parametrize("size", [8, 9, 12, 13, 20, 28, 33])
def test_translation_and_cutout_reach_each_place_and_no_further(size):
    """The ends of the random numbers: the largest float32 below 1, and 0."""
    ends = np.array([0.0, np.nextafter(np.float32(1), np.float32(0))], "float32")
    x = np.arange(1, size * size + 1, dtype="float32").reshape(1, size, size, 1)
    pair = np.concatenate([x, x])
    uniform = lambda shape: ops.convert_to_tensor(ends.reshape(shape))  # noqa: E731
    down, up = numpy(augment.translation(ops.convert_to_tensor(pair), uniform))[..., 0]
    reach = int(size / 8 + 0.5)
    assert_equal([down[reach:, reach:]], [x[0, : size - reach, : size - reach, 0]])
    assert_equal([up[: size - reach, : size - reach]], [x[0, reach:, reach:, 0]])
    assert not down[:reach].any() and not up[:, size - reach :].any()
    first, last = numpy(augment.cutout(ops.convert_to_tensor(pair), uniform))[..., 0] == 0
    assert 0 < first.sum() <= (size // 2 + 1) ** 2 and first[0, 0] and not first[-1].any()
    assert 0 < last.sum() <= (size // 2 + 1) ** 2 and last[-1, -1] and not last[0].any()


def test_images_of_a_batch_are_changed_by_different_numbers():
    x = np.repeat(images((12, 12, 3), n=1), 8, axis=0)
    for policy in REFERENCE:
        ours = numpy(DiffAugment(policy)(x, uniform=Draws(1)))
        different = {image.tobytes() for image in np.round(ours, 4)}
        assert len(different) >= 6, policy


@SHAPES
def test_the_gradient_against_the_references_differences(shape):
    x, slope = images(shape, n=2), images(shape, n=2, seed=1)
    variable = keras.Variable(x)
    numbers = Draws()
    value, [gradient] = value_and_gradients(
        lambda: ops.sum(ops.multiply(DiffAugment(ALL)(variable.value, uniform=numbers), slope)),
        [variable],
    )
    given = numbers.given

    def f(x):
        return np.sum(reference(ALL, x, given) * slope)

    assert float(value) == pytest.approx(f(x), rel=1e-4, abs=1e-4)
    random = np.random.default_rng(2)
    for _ in range(6):
        direction = random.standard_normal(x.shape)  # All changes are affine: any step will do.
        expected = (f(x + 0.1 * direction) - f(x - 0.1 * direction)) / 0.2
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_the_gradient_of_changes_made_with_a_probability():
    """An image's gradient is that of the changes made to it, and the plain one where none is."""
    shape, layer = (9, 8, 3), AdaptiveAugment("brightness,contrast,translation")
    layer.p.assign(0.4)
    x, slope = images(shape, n=8), images(shape, n=8, seed=1)
    variable, numbers = keras.Variable(x), Draws(3)
    _, [gradient] = value_and_gradients(
        lambda: ops.sum(ops.multiply(layer(variable.value, uniform=numbers), slope)), [variable]
    )
    # Before each change's own draws comes whether it is made; translation draws twice.
    made, drawn = numbers.given[0:5:2], [numbers.given[1], numbers.given[3], *numbers.given[5:]]

    def f(x):
        x, left = x.astype("float64"), [drawn[:1], drawn[1:2], drawn[2:]]
        for name, chance, draws in zip(layer.policy.split(","), made, left, strict=True):
            x = np.where(chance < 0.4, reference(name, x, draws), x)
        return np.sum(x * slope)

    random = np.random.default_rng(2)
    for _ in range(4):
        direction = random.standard_normal(x.shape)
        expected = (f(x + 0.1 * direction) - f(x - 0.1 * direction)) / 0.2
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    untouched = np.all([chance.ravel() >= 0.4 for chance in made], axis=0)
    assert untouched.any()
    np.testing.assert_array_equal(gradient[untouched], slope[untouched])


# Inside the step.


def gan_of(shape=(8, 9, 3), augment=None, **options):
    size = int(np.prod(shape))
    generator = keras.Sequential(
        [keras.Input((3,)), layers.Dense(size, "tanh"), layers.Reshape(shape)]
    )
    discriminator = keras.Sequential(
        [keras.Input(shape), layers.Flatten(), layers.Dense(4, "tanh"), layers.Dense(1)]
    )
    return GAN(generator, discriminator, augment=augment, **options)


def compiled(gan, rate=0.0, mode=None):
    gan.compile(SGD(rate), SGD(rate), **(mode or {}))
    return gan


def slopes(weights, changed_by):
    """Half the mean squared slope of v·tanh(T(x) W + b) in x, for pairs of T(x) and T's matrix."""
    kernel, bias, v, _ = weights
    total = 0.0
    for x, matrix in changed_by:
        hidden = np.tanh(x @ kernel + bias)
        total += np.sum((matrix.T @ ((1 - hidden**2) * v[:, 0] @ kernel.T)) ** 2) / 2
    return total / len(changed_by)


def test_r1_is_through_the_augmentation_and_so_is_its_gradient(fixed_noise):
    """Against NumPy: the slope at the unchanged samples, and its differences in the weights."""
    shape, n = (8, 8, 1), 3
    x = images(shape, n)
    moves = {}
    for gamma in (4.0, 0.0):
        keras.utils.set_random_seed(1)
        gan = compiled(gan_of(shape, DiffAugment(ALL), terms=[terms.R1(gamma)]), 1e-2)
        gan.noise.state.assign(np.array([0, 0]))
        before = [w.astype("float64") for w in gan.discriminator.get_weights()]
        history = fit(gan, x)
        after = gan.discriminator.get_weights()
        moves[gamma] = [(b - a) / 1e-2 for a, b in zip(after, before, strict=True)]
        if gamma:
            seen = history["r1"][0]
    # The draws of the real samples: after the latents, one of the tables for each change.
    tables = {
        rest: np.random.default_rng(len(rest)).random((64, 64, *rest), dtype="float32")
        for rest in ((1, 1, 1), (1,))
    }
    rests = 3 * [(1, 1, 1)] + 4 * [(1,)]
    draws = [tables[rest][1 + call, :n] for call, rest in enumerate(rests)]
    basis = np.eye(64).reshape(64, *shape)
    changed_by = []
    for i in range(n):
        rows = [np.repeat(draw[i : i + 1], 65, axis=0) for draw in draws]
        ends = reference(ALL, np.concatenate([np.zeros((1, *shape)), basis]), rows).reshape(65, 64)
        matrix = (ends[1:] - ends[0]).T
        changed_by.append((matrix @ x[i].ravel() + ends[0], matrix))
    assert seen == pytest.approx(4 * slopes(before, changed_by), rel=1e-4)
    random = np.random.default_rng(0)
    for i, weight in enumerate(before[:3]):
        ours = moves[4.0][i] - moves[0.0][i]
        direction = random.standard_normal(weight.shape)
        ends = []
        for sign in (1, -1):
            changed = [*before]
            changed[i] = weight + sign * 1e-5 * direction
            ends.append(4 * slopes(changed, changed_by))
        expected = (ends[0] - ends[1]) / 2e-5
        assert abs(expected) > 1e-3
        assert np.sum(ours * direction) == pytest.approx(expected, rel=2e-2, abs=2e-3)


@ALL_MODES
@pytest.mark.parametrize("kind", [DiffAugment, AdaptiveAugment])
def test_the_step_draws_anew_and_leaves_what_is_made_and_judged_alone(kind, mode):
    gan = compiled(gan_of(augment=kind(ALL), terms=["r1"]), mode=mode)
    if kind is AdaptiveAugment:
        gan.augment.p.assign(0.5)
        gan.augment.images = 1e9  # Then p stays.
    x = pictures(4, (8, 9, 3))
    history = fit(gan, x, epochs=4)
    # Nothing learns and the data is the same, so only the augmentation changes what is measured.
    assert len(set(history["d_real"])) == 4 == len(set(history["r1"]))
    judged = gan.evaluate(x, return_dict=True, verbose=0)
    logits = numpy(gan.discriminator(x / 127.5 - 1.0))
    assert judged["d_real"] == pytest.approx(float(logits.mean()), rel=1e-4, abs=1e-5)
    made = gan.generate(3, seed=0)
    gan.augment = None
    assert_equal(gan.generate(3, seed=0), made)


@ALL_MODES
def test_real_and_generated_images_of_a_step_are_changed_by_different_numbers(mode):
    """A generator that makes the real image: d_real and d_fake differ by the changes alone."""
    gan = gan_of(augment=DiffAugment("brightness,translation"))
    gan.generator.set_weights([np.zeros((3, 216)), np.full(216, np.arctanh(-0.5))])
    compiled(gan, mode=mode)
    history = fit(gan, np.full((4, 8, 9, 3), -0.5, "float32"), epochs=3)
    assert all(a != b for a, b in zip(history["d_real"], history["d_fake"], strict=True))


@ALL_MODES
def test_mixed_precision(mode):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        gan = compiled(gan_of(augment=AdaptiveAugment(ALL), terms=["r1"]), 0.01, mode)
        assert np.isfinite(list(fit(gan, pictures(4, (8, 9, 3))).values())).all()
    finally:
        keras.config.set_dtype_policy("float32")


# The probability.


def test_p_is_the_share_of_images_that_each_change_reaches():
    layer = AdaptiveAugment("brightness,contrast")
    x = images((8, 8, 3), n=400)
    for p in (0.0, 0.3, 1.0):
        layer.p.assign(p)
        ours = numpy(layer(x, uniform=Draws()))
        changed = np.any(np.abs(ours - x) > 1e-6, axis=(1, 2, 3)).mean()
        assert changed == pytest.approx(1 - (1 - p) ** 2, abs=0.05 if 0 < p < 1 else 0)
    layer.p.assign(1.0)
    draws, plain = Draws(3), Draws(3)
    ours = numpy(layer(x, uniform=draws))
    changes = draws.given[1::2]  # Between them, whether each change is made.
    np.testing.assert_allclose(ours, reference("brightness,contrast", x, changes), atol=2e-6)
    assert plain.given == []


def test_p_moves_by_the_rule():
    layer = AdaptiveAugment(target=0.5, images=100)
    p = sign = 0.0
    for logits in ([1, 1, 1, -1], [1, 2, 3, 4], [5, 1, 1, 1], [1, 1, 1, 1], [-1, -1, 1, -1]) * 3:
        layer.observe(ops.convert_to_tensor(np.array(logits, "float32")[:, None]))
        sign += 0.25 * (np.mean(np.sign(logits)) - sign)
        p = np.clip(p + np.sign(sign - 0.5) * 4 / 100, 0.0, 1.0)
        assert float(numpy(layer.p.value)) == pytest.approx(p, abs=1e-6)
        assert float(numpy(layer.sign.value)) == pytest.approx(sign, abs=1e-6)
    assert p > 0  # It rose at all.
    for logits, end in ((np.ones((60, 1)), 1.0), (-np.ones((60, 1)), 0.0)):
        for _ in range(6):
            layer.observe(ops.convert_to_tensor(logits.astype("float32")))
        assert float(numpy(layer.p.value)) == end


@ALL_MODES
def test_p_follows_a_discriminator_that_is_sure(mode):
    gan = gan_of(augment=AdaptiveAugment("translation", images=64), discriminator_steps=2)
    sure = gan.discriminator.get_weights()
    sure[-2], sure[-1] = 0 * sure[-2], sure[-1] + 3.0
    gan.discriminator.set_weights(sure)
    compiled(gan, mode=mode)
    fit(gan, pictures(8, (8, 9, 3)), epochs=6)
    # Of 12 updates of 4 images, all but the first three see a mean sign above 0.6.
    assert float(numpy(gan.augment.p.value)) == pytest.approx(9 * 4 / 64)


def test_p_is_saved_and_resumed(tmp_path, fixed_noise):
    gan = compiled(gan_of(augment=AdaptiveAugment("translation", 0.1, 64), seed=1), 0.1)
    gan.discriminator.set_weights([3 * w for w in gan.discriminator.get_weights()])
    fit(gan, pictures(8, (8, 9, 3)), 4, epochs=3)
    gan.augment.p.assign(0.25)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert loaded.augment.get_config() == gan.augment.get_config()
    for model in (gan, loaded):
        assert float(numpy(model.augment.p.value)) == 0.25
        model.noise.state.assign(np.array([0, 0]))
        fit(model, pictures(8, (8, 9, 3)), 4)
    assert_equal(values(loaded.augment), values(gan.augment))
    assert_equal(values(loaded.discriminator), values(gan.discriminator), rtol=1e-5, atol=1e-6)
    gan.save_to_preset(tmp_path / "preset")
    from_preset = GAN.from_preset(str(tmp_path / "preset"))
    assert from_preset.augment.policy == "translation" and from_preset.augment.images == 64
    assert_equal(values(from_preset.augment), values(gan.augment))


# Recipes and errors.


def test_a_recipe_makes_an_augmentation_for_each_model(monkeypatch):
    monkeypatch.setattr(recipes, "_RECIPES", dict(recipes._recipes()))
    recipe = Recipe(
        paper="None",
        generator=lambda shape: networks.mlp_generator(shape, 3, (4,)),
        discriminator=lambda shape: networks.mlp_discriminator(shape, (4,)),
        loss="hinge",
        generator_optimizer=SGD,
        discriminator_optimizer=SGD,
        batch_size=8,
        augment=lambda: AdaptiveAugment("cutout"),
    )
    register_model("augmented", recipe)
    one, other = (create_model("augmented", (8, 8, 1)) for _ in range(2))
    assert one.augment.policy == "cutout" and one.augment is not other.augment
    assert create_model("augmented", (8, 8, 1), augment=None).augment is None
    assert create_model("vanilla", (8, 8, 1)).augment is None


def test_errors_are_early():
    with pytest.raises(ValueError, match="'contrat'; did you mean 'contrast'"):
        DiffAugment("brightness, contrat")
    for options in ({"target": 1.0}, {"images": 0}):
        with pytest.raises(ValueError, match="target must be between −1 and 1"):
            AdaptiveAugment(**options)
    generator = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"AdaptiveAugment changes images .* shape \(2,\)"):
        GAN(generator, keras.Sequential([layers.Dense(1)]), augment=AdaptiveAugment())
