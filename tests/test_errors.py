"""Bad data gets one clear sentence from `fit` and `evaluate`, before anything is trained."""

import numpy as np
import pytest
from bad_samples import BAD_SAMPLES, SHAPE, with_one
from conftest import (
    Batches,
    assert_equal,
    assert_readable,
    changed,
    fit,
    mlp_gan,
    pictures,
    points,
    values,
)

import keras_gan
from keras_gan import GAN, networks

# Two or three samples without a batch axis are read as samples and labels.
pytestmark = pytest.mark.filterwarnings("ignore:The data gives labels")


def image_gan(**options):
    gan = GAN(
        networks.mlp_generator(SHAPE, 3, (4,)),
        networks.mlp_discriminator(SHAPE, (4,), dropout=0.0),
        **options,
    )
    gan.compile()
    return gan


def refuses(gan, kind, *words, data=None, batches=None, **options):
    """`fit` refuses the data and leaves every variable as it was."""
    before = values(gan) + values(gan.optimizer)
    with pytest.raises(kind) as error:
        gan.fit(data if batches is None else batches(), verbose=0, **options)
    assert_readable(error, *words)
    assert_equal(values(gan) + values(gan.optimizer), before)


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_arrays(case):
    data, kind, *words = BAD_SAMPLES[case]
    refuses(image_gan(), kind, *words, data=data)


LOADERS = {
    "generator": lambda *batches: iter(batches),
    "PyDataset": lambda *batches: Batches(batches),
}
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
    assert_readable(error, *words)


def test_samples_that_are_no_images_have_no_range():
    gan = mlp_gan()
    gan.compile()
    assert np.isfinite(fit(gan, 10 * points(8))["d_loss"]).all()
    refuses(gan, ValueError, "(n, 2)", "(8, 3)", data=points(8, 3))
    refuses(gan, ValueError, "NaN", data=np.full((8, 2), np.nan))


def test_targets():
    x = pictures(4, SHAPE)
    gan = image_gan()
    before = values(gan)
    with pytest.raises(ValueError, match="no condition") as error:
        gan.fit(x, np.zeros(4), verbose=0)
    assert_readable(error, "without y")
    assert_equal(values(gan), before)


def test_fit_before_compile():
    with pytest.raises(ValueError) as error:
        mlp_gan().fit(points(8))
    assert_readable(error, "compile()", "before")


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
