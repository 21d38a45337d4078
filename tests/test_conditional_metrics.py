"""Scores of conditional GANs: against closed forms, in `fit`, in reports and from the cache."""

import keras
import numpy as np
import pytest
from conftest import assert_readable, numpy, pictures
from keras import layers

import keras_gan
from keras_gan import GAN, conditions, metrics
from keras_gan.conditions import Downscaled, Grayscale, Images, Labels, Masked
from keras_gan.metrics.report import default_metrics, report

SHAPE = (8, 8, 1)


def shades(numbers, n=1, seed=0):
    """Images of one grey level each, 60 · number, with a little noise."""
    numbers = np.repeat(np.asarray(numbers), n)
    noise = np.random.default_rng(seed).integers(0, 5, (len(numbers), *SHAPE))
    return (60 * numbers[:, None, None, None] + noise).astype("uint8"), numbers


def by_shade(images):
    """A classifier of `shades` into 4 classes, whose features are mean and spread of the pixels."""
    pixels = (numpy(images) + 1) * 127.5
    mean = pixels.mean(axis=(1, 2, 3))
    features = np.stack([mean, pixels.std(axis=(1, 2, 3)) * 10], axis=1)
    return {"features": features, "probabilities": np.eye(4)[np.clip(mean // 60, 0, 3).astype(int)]}


# Classes.


def test_accuracy_counts_classes_that_were_asked_for_and_seen():
    images, _ = shades([0, 0, 1, 1, 1, 3])
    asked = np.array([0, 1, 1, 1, 1, 2])  # Rights: 1 of 1, 3 of 4, 0 of 1.
    metric = metrics.ClassAccuracy(by_shade, class_names=["a", "b", "c", "d"])
    metric.update_state(None, images[:4], condition=asked[:4])
    metric.update_state(None, images[4:], condition=np.eye(4, dtype="float32")[asked[4:]])
    assert metric.result() == pytest.approx({
        "class_accuracy": 4 / 6, "balanced_class_accuracy": (1 + 3 / 4 + 0) / 3,
        "class_accuracy_a": 1.0, "class_accuracy_b": 0.75, "class_accuracy_c": 0.0,
    })  # fmt: skip
    metric.reset_state()
    metric.update_state(None, images[:1], condition=asked[:1, None])
    assert metric.result()["class_accuracy"] == 1.0


def test_accuracy_needs_a_classifier_of_the_same_classes():
    images, numbers = shades([0, 1, 4])
    metric = metrics.ClassAccuracy(by_shade)
    for condition in (numbers, np.eye(5)[numbers]):
        with pytest.raises(ValueError) as error:
            metric.update_state(None, images, condition=condition)
        assert_readable(error, "knows 4 classes, the GAN 5")
    with pytest.raises(ValueError, match="needs the class of each image"):
        metric.update_state(None, images)
    with pytest.raises(ValueError, match="3 images, but 2 classes"):
        metric.update_state(None, images, condition=numbers[:2])


def test_the_distance_within_classes_is_that_of_each_class(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path))
    (real, classes), (fake, others) = shades([0, 1, 2], 9), shades([0, 1, 1, 2], 7, seed=1)
    names = ["a", "b", "c"]
    metric = metrics.ClassFrechetDistance(by_shade, names)
    for part in (slice(0, 10), slice(10, None)):
        metric.update_state(real[part], None, condition=classes[part])
        metric.update_state(None, fake[part], condition=others[part])
    result = metric.result()
    rows = [by_shade(images.astype("float32") / 127.5 - 1)["features"] for images in (real, fake)]
    expected = {
        name: metrics.frechet_distance(rows[0][classes == number], rows[1][others == number])
        for number, name in enumerate(names)
    }
    for name, value in expected.items():
        assert result[f"class_frechet_distance_{name}"] == pytest.approx(value, rel=1e-4)
    mean = np.mean([*expected.values()])
    assert result["class_frechet_distance"] == pytest.approx(mean, rel=1e-4)
    # Images that do not follow their class: the same set, so that the plain distance sees nothing.
    mixed = metrics.ClassFrechetDistance(by_shade)
    mixed.update_state(real, real, condition=classes)
    assert mixed.result()["class_frechet_distance"] < 1e-6
    mixed.reset_state()
    mixed.update_state(real, None, condition=classes)
    mixed.update_state(None, real, condition=np.roll(classes, 9))
    assert mixed.result()["class_frechet_distance"] > 1000


def test_classes_with_too_few_images_are_left_out_and_named():
    images, classes = shades([0, 0, 0, 1])
    metric = metrics.ClassFrechetDistance(by_shade, ["a", "b"])
    metric.update_state(images, images, condition=classes)
    with pytest.warns(UserWarning, match=r"fewer than 2 images on a side: b\."):
        assert set(metric.result()) == {"class_frechet_distance", "class_frechet_distance_a"}


def test_statistics_within_classes_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path))
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs)))
    (real, classes), (fake, others) = shades([0, 1], 6), shades([1, 0], 6, seed=1)
    results = []
    for _ in range(2):
        metric = metrics.ClassFrechetDistance(model)
        metric.begin("key")
        assert metric.needs_real == (not results)
        metric.update_state(real, None, condition=classes)
        metric.update_state(None, fake, condition=others)
        results.append(metric.result())
    assert results[0] == results[1]
    # Other classes of the same images are other statistics.
    keys = metrics.streaming.content_keys
    assert keys(real, classes)[0] == keys(real, others)[0]
    assert keys(real, classes)[1] != keys(real, others)[1]


# Images from images.


def test_psnr_and_ssim_of_known_pairs():
    images = pictures(3, (16, 20, 3)) // 2
    np.testing.assert_allclose(metrics.psnr(images, images + 51), 10 * np.log10(25))
    assert np.isinf(metrics.psnr(images, images)).all()
    np.testing.assert_allclose(metrics.ssim(images, images), 1.0, atol=1e-5)
    # Flat images have no structure: what is left is the comparison of their means.
    a, b, c = 100.0, 150.0, (0.01 * 255) ** 2
    for side in (5, 8, 16):
        flat = [np.full((2, side, side, 1), level, "uint8") for level in (a, b)]
        expected = (2 * a * b + c) / (a * a + b * b + c)
        np.testing.assert_allclose(metrics.ssim(*flat), expected, atol=1e-3)
    # The negative of an image has the opposite structure.
    assert metrics.ssim(images, 127 - images).max() < 0
    with pytest.raises(ValueError, match="one by one"):
        metrics.psnr(images, images[:2])


def test_one_exact_image_does_not_make_the_ratio_infinite():
    images = pictures(2, SHAPE) // 2
    metric = metrics.PSNR()
    metric.update_state(images[:1], images[:1])
    metric.update_state(images[1:], images[1:] + 51)
    assert metric.result() == pytest.approx(10 * np.log10(2 * 25))


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_the_way_back_to_the_condition_in_grey_levels(value_range):
    images = (pictures(4, (8, 8, 3)) // 2).astype("uint8")
    low, high = value_range
    samples = images.astype("float32") / 255 * (high - low) + low
    random = np.random.default_rng(0)
    for condition in (Downscaled(2), Grayscale(), Masked()):
        condition.build((8, 8, 3), value_range)
        given = condition.tensor(
            keras.ops.convert_to_tensor(samples), None,
            lambda shape: keras.ops.convert_to_tensor(random.random(shape, dtype="float32")),
        )  # fmt: skip
        metric = metrics.ConditionError(condition, value_range)
        metric.update_state(images, images, given)
        assert metric.result() < 1e-3
        metric.reset_state()
        metric.update_state(images, images + 20, given)
        if isinstance(condition, Masked):  # The known pixels and the holes, of which the last is 0.
            known = 1 - numpy(given)[..., 3:].mean()
            assert metric.result() == pytest.approx(20 * np.sqrt(known * 3 / 4), rel=1e-3)
        else:
            assert metric.result() == pytest.approx(20, rel=1e-3)
        again = metrics.ConditionError.from_config(metric.get_config())
        again.update_state(images, images + 20, given)
        assert again.result() == pytest.approx(metric.result())


def test_pairs_from_the_data_have_no_way_back():
    with pytest.raises(ValueError, match="computed from the samples"):
        metrics.ConditionError(Images(SHAPE))


# In fit, evaluate and reports.


def known_gan(condition, shape=SHAPE):
    """A GAN that makes the shade of its class, or enlarges each pixel of its condition."""
    condition.build(shape)
    given = keras.Input(condition.shape)
    if isinstance(condition, Labels):
        latents = keras.Input((1,))
        level = layers.Dense(1, use_bias=False, activation="tanh", name="level")(given)
        x = layers.Reshape(shape)(layers.RepeatVector(64)(level))
        noise = layers.Reshape(shape)(layers.Dense(64, kernel_initializer="zeros")(latents))
        generator = keras.Model([latents, given], layers.Add()([x, noise]))
        levels = (60.0 * np.arange(condition.count) + 2) / 127.5 - 1
        generator.get_layer("level").set_weights([np.arctanh(levels)[:, None]])
    else:
        generator = keras.Model(given, layers.UpSampling2D(condition.factor)(given))
    samples = keras.Input(shape)
    logits = layers.Dense(1)(layers.Flatten()(samples))
    inputs = [samples, keras.Input(condition.shape)]
    joined = layers.Concatenate()([logits, layers.Flatten()(inputs[1])])
    discriminator = keras.Model(inputs, layers.Dense(1)(joined))
    return GAN(generator, discriminator, condition=condition, value_range=(-1, 1))


@pytest.mark.filterwarnings("ignore:class_frechet_distance leaves out")
def test_evaluate_and_report_score_the_classes():
    gan = known_gan(Labels(["a", "b", "c", "d"]))
    images, classes = shades([0, 1, 2, 3], 5)
    kinds = [metrics.ClassAccuracy(by_shade), metrics.ClassFrechetDistance(by_shade, list("abcd"))]
    gan.compile(metrics=kinds)
    logs = gan.evaluate(images, classes, batch_size=7, verbose=0, return_dict=True)
    assert logs["class_accuracy"] == logs["balanced_class_accuracy"] == 1.0
    assert "class_frechet_distance_d" in logs and "class_accuracy_d" not in logs
    # Of the images' own classes: three of four are of class 0 here.
    many, skewed = shades([0, 0, 0, 1], 10)
    table = report(gan, (many, skewed), (images, classes), kinds, 40, [0, 1], verbose=0)
    assert table["class_accuracy"]["mean"] == table["class_accuracy"]["floor"] == 1.0
    assert table["class_frechet_distance_a"]["mean"] < 200
    assert table["class_frechet_distance_a"]["protocol"]["num_generated"] == 40
    # The floor is that of the held-out images and their own classes.
    wrong = report(gan, (many, skewed), (images, classes[::-1]), kinds[:1], 40, [0], verbose=0)
    assert wrong["class_accuracy"]["mean"] == 1.0 and wrong["class_accuracy"]["floor"] == 0.0


def test_evaluate_and_report_score_translations():
    gan = known_gan(Downscaled(2))
    images = pictures(10, SHAPE)
    kinds = default_metrics(SHAPE, condition=gan.condition)
    assert [metric.name for metric in kinds[1:]] == ["psnr", "ssim", "condition_error"]
    gan.compile(metrics=kinds)
    logs = gan.evaluate(images, batch_size=4, verbose=0, return_dict=True)
    small = images.reshape(10, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    enlarged = np.rint(small.repeat(2, axis=1).repeat(2, axis=2)).astype("uint8")
    squares = ((images.astype(float) - enlarged) ** 2).mean()
    assert logs["psnr"] == pytest.approx(10 * np.log10(255**2 / squares), rel=1e-3)
    assert logs["ssim"] == pytest.approx(metrics.ssim(images, enlarged).mean(), abs=1e-3)
    assert logs["condition_error"] < 0.5  # Rounding.
    table = report(gan, pictures(20, SHAPE, seed=1), images, kinds, 10, [0], verbose=0)
    for name in ("psnr", "ssim", "condition_error"):
        assert table[name]["mean"] == pytest.approx(logs[name], rel=1e-3, abs=1e-3)
    assert table["psnr"]["floor"] is None and table["ssim"]["floor"] == pytest.approx(1, abs=1e-5)


def test_metrics_that_a_condition_brings():
    def names(condition, *args):
        return [metric.name for metric in default_metrics((28, 28, 1), *args, condition)][5:]

    fashion = keras_gan.datasets.class_names("fashion_mnist")
    both = ["class_accuracy", "class_frechet_distance"]
    assert names(Labels(fashion), None) == names(Labels(10), None) == both
    # No classifier of those classes.
    assert names(Labels(fashion[::-1]), None) == names(Labels(3), None) == both[1:]
    assert names(conditions.Vector(3), None) == []
    assert names(Images((28, 28, 1)), None) == ["psnr", "ssim"]


def test_the_metrics_are_saved(tmp_path):
    gan = known_gan(Downscaled(2))
    gan.compile(metrics=default_metrics(SHAPE, condition=gan.condition)[1:])
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    images = pictures(4, SHAPE)
    logs = [model.evaluate(images, verbose=0, return_dict=True) for model in (gan, loaded)]
    assert logs[0] == pytest.approx(logs[1]) and "condition_error" in logs[1]
