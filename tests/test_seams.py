"""New objectives are written with losses, terms and augmentations alone, on every backend."""

import keras
import numpy as np
import pytest
from conftest import assert_equal, fit, in_modes, mlp_gan, numpy, points, values
from keras import layers, ops
from keras.optimizers import SGD, Adam

from keras_gan import GAN, terms
from keras_gan.losses import AdversarialLoss

ALL_MODES = in_modes()
register = keras.saving.register_keras_serializable("test_seams")


pytestmark = pytest.mark.usefixtures("uncompiled")


# R3GAN's objective (arXiv:2501.05441): relativistic pairs, R1 and R2.


def softplus_mean(logits):
    return ops.mean(ops.softplus(logits))


class SquaredSlope(terms.Term):
    def call(self, context):
        gradient = getattr(context, self.needs[0])
        return ops.mean(ops.sum(ops.square(gradient), axis=-1)) / 2


@register
class R1(SquaredSlope):
    needs = ("real_gradient",)


@register
class R2(SquaredSlope):
    needs = ("fake_gradient",)


PAIRS = AdversarialLoss(
    lambda real, fake: softplus_mean(fake - real),
    lambda real, fake: softplus_mean(real - fake),
    relativistic=True,
)


def r3gan(gamma=(0.3, 0.7), rate=0.1, mode=None, **options):
    objective = {"loss": PAIRS, "terms": [R1(gamma[0], name="r1"), R2(gamma[1], name="r2")]}
    gan = mlp_gan(**(objective | options))
    gan.compile(SGD(rate), SGD(rate), **(mode or {}))
    return gan


def slopes(weights, x):
    """The gradient of v·tanh(x W + b) + c with respect to x, a row for each sample, in float64."""
    kernel, bias, v, _ = weights
    return (1 - np.tanh(x @ kernel + bias) ** 2) * v[:, 0] @ kernel.T


def logits(weights, x):
    kernel, bias, v, c = weights
    return np.tanh(x @ kernel + bias) @ v + c


def log1pexp(x):
    return np.mean(np.logaddexp(0, x))


@ALL_MODES
def test_r3gan_is_the_objective_on_paper(mode, fixed_noise):
    gan = r3gan(rate=0.0, mode=mode)
    gan.noise.state.assign(np.array([0, 0]))
    real = points(6)
    seen = {name: value[0] for name, value in fit(gan, real).items()}
    table = np.random.default_rng(1).standard_normal((64, 64, 3), dtype="float32")
    generator, critic = (
        [w.astype("float64") for w in network.get_weights()]
        for network in (gan.generator, gan.discriminator)
    )
    fakes = [np.tanh(z @ generator[0] + generator[1]) @ generator[2] + generator[3]
             for z in table[:2, :6].astype("float64")]  # fmt: skip
    r1, r2 = (
        weight * np.mean(np.sum(slopes(critic, x) ** 2, axis=1)) / 2
        for weight, x in ((0.3, real), (0.7, fakes[0]))
    )
    pairs = logits(critic, real.astype("float64")) - logits(critic, fakes[0])
    expected = {
        "r1": r1,
        "r2": r2,
        "d_loss": log1pexp(-pairs) + r1 + r2,
        "g_loss": log1pexp(logits(critic, real) - logits(critic, fakes[1])),
    }
    for name, value in expected.items():
        assert seen[name] == pytest.approx(value, rel=1e-4), name


def test_r3gan_moves_the_discriminator_by_the_finite_differences_of_its_objective(fixed_noise):
    """Second order: the terms' gradients with respect to the weights are in the step."""
    moves = {}
    for name, gamma in (("whole", (5.0, 5.0)), ("loss", (0.0, 0.0))):
        keras.utils.set_random_seed(1)
        gan = r3gan(gamma, rate=1e-3)
        gan.noise.state.assign(np.array([0, 0]))
        before = [w.astype("float64") for w in gan.discriminator.get_weights()]
        generator = [w.astype("float64") for w in gan.generator.get_weights()]
        fit(gan, points(6))
        after = gan.discriminator.get_weights()
        moves[name] = [(b - a) / 1e-3 for a, b in zip(after, before, strict=True)]
    table = np.random.default_rng(1).standard_normal((64, 64, 3), dtype="float32")
    z, real = table[0, :6].astype("float64"), points(6).astype("float64")
    fake = np.tanh(z @ generator[0] + generator[1]) @ generator[2] + generator[3]

    def penalty():
        return sum(2.5 * np.mean(np.sum(slopes(before, x) ** 2, axis=1)) for x in (real, fake))

    for i, weight in enumerate(before[:3]):
        ours = moves["whole"][i] - moves["loss"][i]
        for index in list(np.ndindex(weight.shape))[:4]:
            kept, ends = weight[index], []
            for sign in (1, -1):
                weight[index] = kept + sign * 1e-5
                ends.append(penalty())
            weight[index] = kept
            assert ours[index] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=2e-2, abs=2e-3)


# A term of one's own that owns a variable.


@register
class Anchored(terms.Term):
    """Holds the mean real logit near its own running mean, which it keeps in a variable."""

    def __init__(self, weight=1.0, fraction=1.0, name=None):
        super().__init__(weight, fraction, name)
        self.running = self.add_weight(
            name="running", shape=(), initializer="zeros", trainable=False
        )

    def call(self, context):
        mean = ops.mean(context.real_logits)
        distance = ops.square(mean - self.running.value)
        self.running.assign(0.5 * self.running + 0.5 * ops.stop_gradient(mean))
        return distance


def anchored(mode, **options):
    gan = mlp_gan(terms=[Anchored(2.0)], **options)
    gan.compile(SGD(0.05), SGD(0.05), **mode)
    return gan


@ALL_MODES
def test_a_term_of_ones_own_trains_saves_and_resumes(mode, tmp_path, fixed_noise):
    whole = anchored(mode, seed=1)
    whole.noise.state.assign(np.array([0, 0]))
    history = fit(whole, points(24), batch_size=8, epochs=2)
    assert numpy(whole.terms["anchored"].running) != 0 and min(history["anchored"]) > 0

    keras.utils.set_random_seed(0)
    part = anchored(mode, seed=1)
    part.noise.state.assign(np.array([0, 0]))
    fit(part, points(24), batch_size=8)
    part.save(tmp_path / "gan.keras")
    resumed = keras.saving.load_model(tmp_path / "gan.keras")
    assert numpy(resumed.terms["anchored"].running) == numpy(part.terms["anchored"].running) != 0
    resumed.noise.state.assign(numpy(part.noise.state))  # No file of Keras' holds it.
    fit(resumed, points(24), batch_size=8)
    assert_equal(values(resumed), values(whole), rtol=1e-5, atol=1e-6)


@ALL_MODES
def test_a_callback_changes_a_terms_weight_without_compiling_anew(mode):
    gan = r3gan((1.0, 0.0), rate=0.0, mode=mode)
    gan.terms["r1"].weight.assign(1.0)

    def double(epoch, logs):
        gan.terms["r1"].weight.assign(2 * gan.terms["r1"].weight)

    callback = keras.callbacks.LambdaCallback(on_epoch_end=double)
    history = fit(gan, points(8), epochs=3, callbacks=[callback])
    first = history["r1"][0]
    assert first > 0
    assert history["r1"] == pytest.approx([first, 2 * first, 4 * first], rel=1e-5)
    gan.terms["r1"].weight.assign(0.0)
    assert fit(gan, points(8))["r1"] == [0.0]


# The part of a batch, the generator's side, the augmentation.


@ALL_MODES
def test_a_fraction_sees_the_first_part_of_each_batch(mode, fixed_noise):
    x = points(10)
    gan = mlp_gan(terms=[R1(1.0, fraction=1 / 4, name="r1")])
    gan.compile(SGD(0.0), SGD(0.0), **mode)
    critic = [w.astype("float64") for w in gan.discriminator.get_weights()]
    expected = np.mean(np.sum(slopes(critic, x[:3].astype("float64")) ** 2, axis=1)) / 2
    history = fit(gan, x)
    assert history["r1"] == pytest.approx([expected], rel=1e-4)
    assert history["d_real"] == pytest.approx([np.mean(logits(critic, x))], rel=1e-4, abs=1e-6)


@register
class Nearness(terms.Term):
    """Pulls generated samples to the real ones, as pix2pix' reconstruction does."""

    side = "generator"

    def call(self, context):
        assert context.real_logits is None
        return ops.mean(ops.abs(context.fake - context.real))


@ALL_MODES
def test_a_term_of_the_generator_moves_the_generator(mode):
    gan = mlp_gan(terms=[Nearness(50.0)])
    gan.compile(Adam(0.02), SGD(0.0), **mode)
    history = fit(gan, np.full((64, 2), 3.0, "float32"), batch_size=16, epochs=40)
    assert history["nearness"][-1] < 0.2 * history["nearness"][0]


def shifted(samples, uniform):
    return samples + 10.0 * uniform((1, 1)) + 5.0


@ALL_MODES
def test_the_augmentation_stands_inside_the_critic_alone(mode):
    seen = []

    def augment(samples, uniform):
        seen.append(1)
        return shifted(samples, uniform)

    generator = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    critic = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer="ones")])
    gan = GAN(generator, critic, loss="wasserstein", augment=augment, terms=[R1(name="r1")])
    gan.compile(SGD(0.0), SGD(0.0), **mode)
    history = fit(gan, np.zeros((8, 2), "float32"), epochs=5)
    assert seen
    # Both are shifted by 5 to 15 in each of 2 dimensions, by other numbers at each step.
    assert all(10 <= value <= 30 for value in history["d_real"])
    assert len(set(history["d_real"])) == 5 == len(set(history["d_fake"]))
    assert history["r1"] == pytest.approx(5 * [1.0], rel=1e-5)  # Through the augmentation.
    scores = gan.evaluate(np.zeros((8, 2), "float32"), return_dict=True, verbose=0)
    assert scores["d_real"] == 0.0
    plain = GAN(generator, critic).generate(4, seed=0)
    assert_equal(gan.generate(4, seed=0), plain)


class Watching(layers.Layer):
    """An augmentation that owns a variable and observes the real logits."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)
        self.seen = self.add_weight(name="seen", shape=(), initializer="zeros", trainable=False)

    def call(self, samples, uniform):
        return samples + 0.0 * uniform((1, 1))

    def observe(self, real_logits):
        self.calls.assign_add(1.0)
        self.seen.assign(ops.mean(real_logits))


@ALL_MODES
def test_an_augmentation_observes_once_in_each_discriminator_update(mode):
    gan = mlp_gan(augment=Watching(), discriminator_steps=2)
    gan.compile(SGD(0.01), SGD(0.01), **mode)
    fit(gan, points(24), batch_size=8)
    assert float(numpy(gan.augment.calls)) == 3 * 2
    assert abs(float(numpy(gan.augment.seen))) > 1e-4


@ALL_MODES
def test_maps_of_logits(mode):
    shape = (8, 8, 1)
    generator = keras.Sequential(
        [keras.Input((3,)), layers.Dense(64, "tanh"), layers.Reshape(shape)]
    )
    patches = keras.Sequential([keras.Input(shape), layers.Conv2D(1, 4, 2)])
    for loss in ("non_saturating", "hinge", "least_squares", "relativistic"):
        gan = GAN(generator, patches, loss=loss, terms=["gradient_penalty"])
        gan.compile(SGD(0.01), SGD(0.01), **mode)
        x = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype="uint8")
        history = fit(gan, x, validation_data=x)
        assert all(np.isfinite(value).all() for value in history.values())
    with pytest.raises(ValueError, match="or a map of them"):
        GAN(generator, keras.Sequential([keras.Input(shape), layers.Conv2D(2, 4, 2)]))
