import keras
import numpy as np
import pytest
from conftest import LOSSES, fit, mlp_gan, numpy, points
from keras import ops

from keras_gan import engine, losses


def softplus(x):
    return np.logaddexp(0, x)


def sigmoid(x):
    return np.exp(-softplus(-x))


# Per name, in float64: the discriminator's loss, the generator's, and their derivatives with
# respect to each real logit, each fake logit, and each fake logit of the generator, times n.
CLOSED_FORMS = {
    "minimax": (
        lambda r, f: np.mean(softplus(-r)) + np.mean(softplus(f)),
        lambda f: -np.mean(softplus(f)),
        (lambda r: -sigmoid(-r), lambda f: sigmoid(f), lambda f: -sigmoid(f)),
    ),
    "non_saturating": (
        lambda r, f: np.mean(softplus(-r)) + np.mean(softplus(f)),
        lambda f: np.mean(softplus(-f)),
        (lambda r: -sigmoid(-r), lambda f: sigmoid(f), lambda f: -sigmoid(-f)),
    ),
    "least_squares": (
        lambda r, f: np.mean((r - 1) ** 2) / 2 + np.mean(f**2) / 2,
        lambda f: np.mean((f - 1) ** 2) / 2,
        (lambda r: r - 1, lambda f: f, lambda f: f - 1),
    ),
    "wasserstein": (
        lambda r, f: np.mean(f) - np.mean(r),
        lambda f: -np.mean(f),
        (lambda r: -np.ones_like(r), np.ones_like, lambda f: -np.ones_like(f)),
    ),
    "hinge": (
        lambda r, f: np.mean(np.maximum(0, 1 - r)) + np.mean(np.maximum(0, 1 + f)),
        lambda f: -np.mean(f),
        (lambda r: -1.0 * (r < 1), lambda f: 1.0 * (f > -1), lambda f: -np.ones_like(f)),
    ),
}
EXTREMES = {"moderate": 3.0, "ten thousand": 1e4}


def logits(scale=3.0, n=33):
    """Real and fake logits in both signs; float32, so that both sides start from equal numbers."""
    random = np.random.default_rng(0)
    real, fake = random.uniform(-scale, scale, (2, n, 1)).astype("float32")
    real[0], real[1], fake[0], fake[1] = scale, -scale, scale, -scale
    return real, fake


def double(*arrays):
    return [np.asarray(array, "float64") for array in arrays]


def test_the_losses_are_all_there():
    assert set(losses.LOSSES) - {"relativistic"} == set(LOSSES) == set(CLOSED_FORMS)
    assert not any(losses.get(name).relativistic for name in LOSSES)


@pytest.mark.parametrize("scale", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("shape", [(6, 1), (6, 2, 3, 1)])
def test_relativistic_pairs_are_compared_before_the_mean(shape, scale):
    random = np.random.default_rng(0)
    real, fake = (scale * random.standard_normal((2, *shape))).astype("float32")
    loss = losses.get("relativistic")
    assert loss.relativistic
    sides = [ops.convert_to_tensor(side) for side in (real, fake)]
    pairs = real.astype("float64") - fake
    np.testing.assert_allclose(
        numpy(loss.discriminator(*sides)), np.mean(np.logaddexp(0, -pairs)), rtol=1e-5
    )
    np.testing.assert_allclose(
        numpy(loss.generator(*sides)), np.mean(np.logaddexp(0, pairs)), rtol=1e-5
    )


@pytest.mark.parametrize("scale", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("name", LOSSES)
def test_values(name, scale):
    real, fake = logits(scale)
    loss = losses.get(name)
    discriminator, generator, _ = CLOSED_FORMS[name]
    real64, fake64 = double(real, fake)
    ours = loss.discriminator(ops.convert_to_tensor(real), ops.convert_to_tensor(fake))
    size = np.abs(real64).mean() + np.abs(fake64).mean()  # Sums of both signs cancel.
    np.testing.assert_allclose(numpy(ours), discriminator(real64, fake64), 3e-6, 1e-6 * size)
    ours = loss.generator(ops.convert_to_tensor(fake))
    np.testing.assert_allclose(numpy(ours), generator(fake64), 3e-6, 1e-6 * size)
    assert ours.shape == () and keras.backend.standardize_dtype(ours.dtype) == "float32"


@pytest.mark.parametrize("scale", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("name", LOSSES)
def test_derivatives(name, scale):
    real, fake = (ops.convert_to_tensor(x) for x in logits(scale))
    loss, n = losses.get(name), len(real)
    ours = (
        engine.input_gradient(lambda x: loss.discriminator(x, fake), real),
        engine.input_gradient(lambda x: loss.discriminator(real, x), fake),
        engine.input_gradient(loss.generator, fake),
    )
    at = double(*map(numpy, (real, fake, fake)))
    for gradient, derivative, x in zip(ours, CLOSED_FORMS[name][2], at, strict=True):
        np.testing.assert_allclose(numpy(gradient) * n, derivative(x), 2e-5, 2e-6)


@pytest.mark.parametrize("scale", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("shape", [(-1, 1), (3, 11, 1, 1)], ids=["logits", "maps"])
def test_the_relativistic_loss_compares_pairs_before_the_mean(scale, shape):
    """Values and derivatives, times n: softplus of each fake logit minus its real one."""
    real, fake = (x.reshape(shape) for x in logits(scale))
    gaps = np.subtract(*double(fake, real))
    loss, n = losses.get("relativistic"), real.size
    real, fake = map(ops.convert_to_tensor, (real, fake))
    sides = ((loss.discriminator, 1.0), (loss.generator, -1.0))
    for side, sign in sides:
        ours = side(real, fake)
        np.testing.assert_allclose(numpy(ours), np.mean(softplus(sign * gaps)), 3e-6)
        assert ours.shape == () and keras.backend.standardize_dtype(ours.dtype) == "float32"
        slope = sign * sigmoid(sign * gaps)
        of_real = engine.input_gradient(lambda x, side=side: side(x, fake), real)
        of_fake = engine.input_gradient(lambda x, side=side: side(real, x), fake)
        np.testing.assert_allclose(numpy(of_real) * n, -slope, 2e-5, 2e-6)
        np.testing.assert_allclose(numpy(of_fake) * n, slope, 2e-5, 2e-6)
    # Not the relativistic average: other pairs of the same logits have another loss.
    assert abs(np.mean(softplus(gaps)) - softplus(gaps.mean())) > 0.1
    halves = [ops.cast(x, "float16") for x in (np.full((2, 1), 2000.5), np.full((2, 1), 2000.0))]
    assert float(numpy(loss.discriminator(*halves))) > 0.3  # float16 has no digits behind 2000.


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_logits_lose_nothing_but_their_own_rounding(name):
    # 300 logits near 100: summed in bfloat16 (8 bits) the mean would be off in the first digits.
    random = np.random.default_rng(1)
    real, fake = (
        ops.cast(ops.convert_to_tensor(random.normal(m, 5, (300, 1)).astype("float32")), "bfloat16")
        for m in (100, 90)
    )
    rounded = double(numpy(ops.cast(real, "float32")), numpy(ops.cast(fake, "float32")))
    loss, (discriminator, generator, _) = losses.get(name), CLOSED_FORMS[name]
    ours = loss.discriminator(real, fake)
    assert keras.backend.standardize_dtype(ours.dtype) == "float32"
    np.testing.assert_allclose(numpy(ours), discriminator(*rounded), 2e-6, 2e-5)
    ours = loss.generator(fake)
    assert keras.backend.standardize_dtype(ours.dtype) == "float32"
    np.testing.assert_allclose(numpy(ours), generator(rounded[1]), 2e-6, 1e-30)


def both(name, real, fake):
    loss = losses.get(name)
    tensors = [ops.convert_to_tensor(np.array(x, "float32")) for x in (real, fake)]
    return float(numpy(loss.discriminator(*tensors))), float(numpy(loss.generator(tensors[1])))


def test_minimax_is_a_zero_sum_game():
    real, (one, other) = [0.3, -1.2], ([2.0, -0.5], [-3.0, 1.0])
    sums = [sum(both("minimax", real, fake)) for fake in (one, other)]
    assert sums[0] == pytest.approx(sums[1], rel=1e-6)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_cross_entropy_of_an_undecided_discriminator(name):
    # Goodfellow et al. 2014, theorem 1: at the optimum the value is -log 4.
    assert both(name, [0.0], [0.0])[0] == pytest.approx(np.log(4))


def test_least_squares_is_zero_at_its_targets():
    assert both("least_squares", [1.0, 1.0], [0.0, 0.0]) == (0.0, 0.5)
    assert both("least_squares", [0.0, 0.0], [1.0, 1.0]) == (1.0, 0.0)


def test_hinge_asks_for_no_more_than_its_margin():
    assert both("hinge", [1.0, 7.0], [-1.0, -9.0])[0] == 0.0


def test_wasserstein_is_antisymmetric():
    assert both("wasserstein", [1.0, 2.0], [5.0, 0.0])[0] == 1.0
    assert both("wasserstein", [5.0, 0.0], [1.0, 2.0])[0] == -1.0


@pytest.mark.parametrize("name", LOSSES)
def test_both_sides_are_minimised(name):
    """The discriminator wants real up and fake down, the generator wants fake up."""
    assert both(name, [0.5], [-0.2])[0] < both(name, [0.2], [0.2])[0]
    assert both(name, [0.5], [0.3])[1] < both(name, [0.5], [-0.3])[1]


def test_an_unknown_name_brings_the_closest():
    with pytest.raises(ValueError, match=r"'wasserstien'; did you mean 'wasserstein'.*hinge"):
        losses.get("wasserstien")


def test_an_object_that_is_no_loss_is_told_what_a_loss_is():
    with pytest.raises(ValueError, match=r"discriminator\(real_logits, fake_logits\)"):
        losses.get(keras.losses.BinaryCrossentropy())


@keras.saving.register_keras_serializable(package="tests")
class Tilted:
    """A loss of one's own: Wasserstein times a factor."""

    def __init__(self, factor=2.0):
        self.factor = factor

    def discriminator(self, real_logits, fake_logits):
        return self.factor * (ops.mean(fake_logits) - ops.mean(real_logits))

    def generator(self, fake_logits):
        return -self.factor * ops.mean(fake_logits)

    def get_config(self):
        return {"factor": self.factor}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def test_a_loss_of_ones_own_trains_and_survives_saving(tmp_path):
    gan = mlp_gan(loss=Tilted(5.0))
    gan.compile("sgd", "sgd")
    history = fit(gan, points(8))
    # One batch: the loss is 5 times the difference of the mean logits beside it.
    expected = 5 * (history["d_fake"][0] - history["d_real"][0])
    assert history["d_loss"][0] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    gan.save(tmp_path / "gan.keras")
    assert keras.saving.load_model(tmp_path / "gan.keras").adversarial_loss.factor == 5.0


def test_an_object_of_the_registry_is_saved_by_its_name(tmp_path):
    gan = mlp_gan(loss=losses.get("hinge"))
    gan.save(tmp_path / "gan.keras")
    assert keras.saving.load_model(tmp_path / "gan.keras").loss_config == "hinge"


def test_a_loss_that_cannot_be_saved_says_so_when_it_is(tmp_path):
    gan = mlp_gan(loss=losses.AdversarialLoss(lambda real, fake: ops.mean(fake), ops.mean))
    with pytest.raises(TypeError, match="get_config"):
        gan.save(tmp_path / "gan.keras")
