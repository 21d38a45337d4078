"""Bad input gets one clear sentence, before anything is trained."""

import re

import keras
import numpy as np
import pytest
from conftest import assert_equal, changed, fit, mlp_gan, pictures, points, values
from keras import layers

import keras_gan
from keras_gan import GAN, losses, networks, terms
from keras_gan.errors import check_samples, closest
from keras_gan.optimizers import PairedOptimizer

SHAPE = (8, 8, 3)


def image_gan(**options):
    gan = GAN(
        networks.mlp_generator(SHAPE, 3, (4,)),
        networks.mlp_discriminator(SHAPE, (4,), dropout=0.0),
        **options,
    )
    gan.compile()
    return gan


def check(error, *words):
    """The message is one or two sentences on one line that hold the words."""
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith((".", ")"))
    assert len(re.findall(r"[.;?] (?=[A-Z])", message)) <= 2
    assert len(message) < 400
    for word in words:
        assert word in message


def refuses(gan, kind, *words, data=None, batches=None, **options):
    """`fit` refuses the data and leaves every variable as it was."""
    before = values(gan) + values(gan.optimizer)
    with pytest.raises(kind) as error:
        gan.fit(data if batches is None else batches(), verbose=0, **options)
    check(error, *words)
    assert_equal(values(gan) + values(gan.optimizer), before)


def floats(low, high, n=4, shape=SHAPE):
    return np.random.default_rng(0).uniform(low, high, (n, *shape)).astype("float32")


def with_one(value):
    images = floats(-1, 1)
    images[2, 3, 4, 1] = value
    return images


BAD_SAMPLES = {
    "rank 3": (pictures(4, (8, 8)), ValueError, "(n, 8, 8, 3)", "(4, 8, 8)"),
    "rank 2": (np.zeros((4, 192), "float32"), ValueError, "(n, 8, 8, 3)", "(4, 192)"),
    "rank 0": (np.float32(1), ValueError, "(n, 8, 8, 3)", "()"),
    "channels": (pictures(4, (8, 8, 1)), ValueError, "(n, 8, 8, 3)", "(4, 8, 8, 1)"),
    "channels first": (pictures(4, (3, 8, 8)), ValueError, "(n, 8, 8, 3)", "(4, 3, 8, 8)"),
    "size": (pictures(4, (16, 8, 3)), ValueError, "(n, 8, 8, 3)", "(4, 16, 8, 3)"),
    "0 to 1 and beyond": (floats(0, 255), ValueError, "−1…1", "uint8"),
    "one value out": (with_one(1.5), ValueError, "−1…1", "1.5"),
    "one value below": (with_one(-1.01), ValueError, "−1…1", "-1.01"),
    "NaN": (with_one(np.nan), ValueError, "NaN"),
    "infinity": (with_one(np.inf), ValueError, "NaN or infinity"),
    "no images": (pictures(0, SHAPE), ValueError, "no samples"),
    "empty list": ([], ValueError, "no samples"),
    "None": (None, ValueError, "no samples"),
    "int64": (pictures(4, SHAPE).astype("int64"), TypeError, "uint8", "int64"),
    "bool": (pictures(4, SHAPE) > 9, TypeError, "uint8", "bool"),
    "objects": (np.full((4, *SHAPE), "a", object), TypeError, "uint8", "object"),
    "strings": (np.full((4, *SHAPE), "a"), TypeError, "uint8", "str"),
    "complex": (floats(-1, 1).astype("complex64"), TypeError, "uint8", "complex64"),
    "ragged list": ([np.zeros((8, 8, 3)), np.zeros((9, 8, 3))], ValueError, "shape"),
    "a number": (7, (TypeError, ValueError), "int"),
    "a name": ("fashion_mnist", (TypeError, ValueError), "str"),
}


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_arrays(case):
    data, kind, *words = BAD_SAMPLES[case]
    refuses(image_gan(), kind, *words, data=data)


class Batches(keras.utils.PyDataset):
    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


LOADERS = {"generator": lambda *batches: iter(batches), "PyDataset": Batches}
IN_BATCHES = ["rank 3", "channels", "size", "0 to 1 and beyond", "NaN", "no images", "int64"]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("case", IN_BATCHES)
def test_batches(case, loader):
    data, kind, *words = BAD_SAMPLES[case]
    for batch in (data, (data, np.zeros(4))):
        refuses(image_gan(), kind, *words, batches=lambda batch=batch: LOADERS[loader](batch))


@pytest.mark.parametrize("loader", LOADERS)
def test_no_batches(loader):
    refuses(image_gan(), ValueError, "no samples", batches=LOADERS[loader])


def test_empty_tf_dataset():
    tf = pytest.importorskip("tensorflow")
    empty = tf.data.Dataset.from_tensor_slices(pictures(0, SHAPE)).batch(8)
    refuses(image_gan(), ValueError, "no samples", data=empty)


@pytest.mark.parametrize("loader", LOADERS)
def test_unbatched_samples(loader):
    images = pictures(4, SHAPE)
    refuses(
        image_gan(),
        ValueError,
        "(n, 8, 8, 3)",
        "(8, 8, 3)",
        batches=lambda: LOADERS[loader](*images),
    )


@pytest.mark.parametrize(
    "options", [{"data": pictures(4, SHAPE)}, {"data": pictures(64, SHAPE), "batch_size": 4}]
)
def test_batch_smaller_than_the_discriminator_steps(options):
    refuses(image_gan(discriminator_steps=5), ValueError, "batch of 4", "5", **options)


def test_first_batch_smaller_than_the_discriminator_steps():
    gan = image_gan(discriminator_steps=5)
    refuses(gan, ValueError, "batch of 4", batches=lambda: iter([pictures(4, SHAPE)]))


@pytest.mark.parametrize("size", [0, -1])
def test_impossible_batch_size(size):
    refuses(image_gan(), ValueError, data=pictures(4, SHAPE), batch_size=size)


@pytest.mark.parametrize("case", ["channels", "NaN", "0 to 1 and beyond", "no images", "int64"])
def test_validation_data(case):
    data, kind, *words = BAD_SAMPLES[case]
    refuses(image_gan(), kind, *words, data=pictures(4, SHAPE), validation_data=data)


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_evaluate(case):
    data, kind, *words = BAD_SAMPLES[case]
    with pytest.raises(kind) as error:
        image_gan().evaluate(data)
    check(error, *words)


def test_samples_that_are_no_images_have_no_range():
    gan = mlp_gan()
    gan.compile()
    assert np.isfinite(fit(gan, 10 * points(8))["d_loss"]).all()
    refuses(gan, ValueError, "(n, 2)", "(8, 3)", data=points(8, 3))
    refuses(gan, ValueError, "NaN", data=np.full((8, 2), np.nan))


def test_images_in_half_of_the_range_are_warned_of(recwarn):
    for samples, shape in (
        (floats(-1, 1), SHAPE),
        (pictures(4, SHAPE), SHAPE),
        (points(8) ** 2, (2,)),
    ):
        check_samples(samples, shape)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="2 \\* images - 1"):
        check_samples(floats(0, 1), SHAPE)


def test_targets():
    x = pictures(4, SHAPE)
    gan = image_gan()
    before = values(gan)
    with pytest.raises(ValueError, match="no targets") as error:
        gan.fit(x, np.zeros(4), verbose=0)
    check(error, "without y")
    assert_equal(values(gan), before)


def test_fit_before_compile():
    with pytest.raises(ValueError) as error:
        mlp_gan().fit(points(8))
    check(error, "compile()", "before")


# Networks.


def dense(inputs, outputs):
    return keras.Sequential([keras.Input((inputs,)), layers.Dense(outputs)])


@pytest.mark.parametrize(
    ("discriminator", "shape"),
    [
        (dense(2, 2), "(batch, 2)"),
        (keras.Sequential([keras.Input((2,)), layers.Reshape((2, 1))]), "(batch, 2, 1)"),
        (keras.Sequential([layers.Dense(3)]), "(batch, 3)"),
    ],
)
def test_discriminator_without_one_logit_per_sample(discriminator, shape):
    with pytest.raises(ValueError) as error:
        GAN(dense(3, 2), discriminator)
    check(error, "one logit per sample", "(batch, 1)", shape)


@pytest.mark.parametrize(
    ("generator", "discriminator", "words"),
    [
        (dense(3, 2), dense(4, 1), ("(2,)", "(4,)")),
        (networks.mlp_generator((8, 8, 1), 3, (4,)), dense(64, 1), ("(8, 8, 1)", "(64,)")),
        (
            networks.mlp_generator((8, 8, 1), 3, (4,)),
            networks.mlp_discriminator((8, 8, 3), (4,)),
            ("(8, 8, 1)", "(8, 8, 3)"),
        ),
    ],
)
def test_networks_that_do_not_fit_each_other(generator, discriminator, words):
    with pytest.raises(ValueError) as error:
        GAN(generator, discriminator)
    check(error, *words)


def two_inputs():
    latents, labels = keras.Input((3,)), keras.Input((1,))
    return keras.Model([latents, labels], layers.Dense(2)(layers.Concatenate()([latents, labels])))


def two_outputs():
    latents = keras.Input((3,))
    return keras.Model(latents, [layers.Dense(2)(latents), layers.Dense(1)(latents)])


def two_input_discriminator():
    sample, label = keras.Input((2,)), keras.Input((1,))
    return keras.Model([sample, label], layers.Dense(1)(layers.Concatenate()([sample, label])))


def any_length():
    return keras.Sequential(
        [keras.Input((None, 3)), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    )


class Bare(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("networks_", "word"),
    [
        (lambda: (two_inputs(), dense(2, 1)), "generator"),
        (lambda: (two_outputs(), dense(2, 1)), "generator"),
        (lambda: (dense(3, 2), two_input_discriminator()), "discriminator"),
        (lambda: (Bare(), dense(2, 1)), "generator"),
        (lambda: (keras.Sequential([layers.Dense(2)]), dense(2, 1)), "generator"),
        (lambda: (lambda x: x, dense(2, 1)), "generator"),
        (lambda: (dense(3, 2), None), "discriminator"),
        (lambda: (any_length(), dense(2, 1)), "fixed shape"),
    ],
)
def test_networks_of_another_kind(networks_, word):
    with pytest.raises((ValueError, TypeError)) as error:
        GAN(*networks_())
    check(error, word)


# Names and numbers.


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: keras_gan.create_model("dcgen"), ValueError, ("'dcgen'", "'dcgan'", "wgan_gp")),
        (lambda: keras_gan.create_model("xyzzy"), ValueError, ("'xyzzy'", "Known", "vanilla")),
        (lambda: keras_gan.create_model(None), ValueError, ("None", "Known", "vanilla")),
        (
            lambda: mlp_gan(loss="wassersten"),
            ValueError,
            ("'wassersten'", "'wasserstein'", "hinge"),
        ),
        (lambda: mlp_gan(loss="lsgan"), ValueError, ("'lsgan'", "least_squares")),
        (lambda: losses.get(None), ValueError, ("None", "hinge")),
        (lambda: losses.get(3), ValueError, ("3", "hinge")),
        (lambda: mlp_gan(terms=["gradient_penalti"]), ValueError, ("'gradient_penalty'",)),
        (lambda: mlp_gan(penalty=10.0), ValueError, ("penalty= is now terms=", "gradient_penalty")),
        (lambda: mlp_gan(terms=[10.0]), ValueError, ("10.0", "gradient_penalty")),
        (lambda: mlp_gan(augment=0.5), ValueError, ("0.5", "uniform")),
        (lambda: terms.GradientPenalty(-1), ValueError, ("-1", "≥ 0")),
        (lambda: terms.GradientPenalty(float("nan")), ValueError, ("nan", "≥ 0")),
        (lambda: keras_gan.from_preset("no_such_preset"), ValueError, ("'no_such_preset'",)),
        (lambda: keras_gan.datasets.load("fashion_mnits"), ValueError, ("'fashion_mnist'",)),
        (lambda: keras_gan.register_model("dcgan", None), ValueError, ("'dcgan'", "another")),
        (
            lambda: PairedOptimizer(*[keras.optimizers.SGD()] * 2),
            ValueError,
            ("an optimizer each",),
        ),
    ],
)
def test_unknown_names(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    check(error, *words)


def test_closest_names():
    assert closest("b", []) == "'b'. Known: none."
    assert closest("aba", ["abc", "zzz"]) == "'aba'; did you mean 'abc'? Known: abc, zzz."


@pytest.mark.parametrize("num_samples", [0, -1, 1.5, True, "3", None, float("nan"), float("inf")])
def test_num_samples(num_samples):
    with pytest.raises((ValueError, TypeError)) as error:
        mlp_gan().generate(num_samples)
    check(error, "num_samples", "≥ 1", str(num_samples))


@pytest.mark.parametrize("momentum", [1.0, 1.5, -0.1, float("nan"), "0.9", True])
def test_ema_momentum(momentum):
    with pytest.raises((ValueError, TypeError)) as error:
        mlp_gan(ema_momentum=momentum)
    check(error, "ema_momentum", "0…1", str(momentum))


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, None, "2", float("nan")])
def test_discriminator_steps(steps):
    with pytest.raises((ValueError, TypeError)) as error:
        mlp_gan(discriminator_steps=steps)
    check(error, "discriminator_steps", "≥ 1", str(steps))


@pytest.mark.parametrize(
    "shape", [(7, 8, 1), (8, 8), (8, 8, 0), (8, 8, 1, 1), (28.0, 28, 1), (None, None, 3), 28]
)
@pytest.mark.parametrize("name", ["vanilla", "dcgan"])
def test_image_shape(name, shape):
    with pytest.raises((ValueError, TypeError)) as error:
        keras_gan.create_model(name, image_shape=shape)
    check(error, "image_shape", "(height, width, channels)", str(shape))


def test_same_optimizer_for_both():
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError) as error:
        mlp_gan().compile(adam, adam)
    check(error, "each", "same object")


def test_good_data_trains_after_bad():
    gan = image_gan()
    before = values(gan.discriminator.weights)
    with pytest.raises(ValueError):
        gan.fit(with_one(np.nan), verbose=0)
    fit(gan, pictures(4, SHAPE))
    assert any(changed(before, values(gan.discriminator.weights)))


@pytest.mark.parametrize("split", [-0.2, 1.0, 1.5])
def test_validation_split(split):
    words = "validation_split", str(split)
    refuses(image_gan(), ValueError, *words, data=pictures(8, SHAPE), validation_split=split)


@pytest.mark.parametrize(
    ("make", "data", "metric", "words"),
    [
        (
            image_gan,
            pictures(8, SHAPE),
            lambda: keras_gan.metrics.FrechetDistance("fashion_mnist_classifier"),
            ("(28, 28, 1)",),
        ),
        (
            mlp_gan,
            points(8),
            lambda: keras_gan.metrics.SlicedWassersteinDistance(),
            ("height, width", "(1, 2)"),
        ),
    ],
)
def test_a_metric_that_cannot_read_the_samples(make, data, metric, words):
    gan = make()
    gan.compile("sgd", "sgd", metrics=[metric()])
    refuses(gan, ValueError, *words, data=data, validation_data=data)


def test_a_subset_of_one():
    with pytest.raises(ValueError, match="at least 2") as error:
        keras_gan.metrics.kernel_distance(np.eye(4), np.eye(4), subset_size=1)
    check(error, "subset_size", "1")
