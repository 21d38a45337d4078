"""Conditions: what may be given, what the networks get, and that samples follow it."""

import dataclasses
from functools import partial

import keras
import numpy as np
import pytest
from conftest import BACKEND, assert_readable, fit, numpy, pictures, points
from keras import layers, ops
from keras.optimizers import Adam

import keras_gan
from keras_gan import GAN, conditions, networks
from keras_gan.conditions import Downscaled, Grayscale, Images, Labels, Masked, Vector
from keras_gan.datasets import batches
from keras_gan.images import sample_grid
from keras_gan.networks.conditional import projected

NAMES = ["east", "north", "west", "south"]
SHAPE = (16, 20, 3)
QUICK = {"run_eagerly": BACKEND == "jax"}


def dense(inputs, *units):
    x = layers.Concatenate()(inputs) if isinstance(inputs, list) else inputs
    for width in units[:-1]:
        x = layers.Dense(width, "relu")(x)
    return layers.Dense(units[-1])(x)


def pair(condition_shape, latent=2, sample=2, units=16, projection=False, dtype="float32"):
    """A generator and a discriminator of points that join their inputs."""
    latents, condition = keras.Input((latent,)), keras.Input(condition_shape, dtype=dtype)
    joined = [latents, condition]
    if dtype != "float32":
        joined = [latents, layers.Flatten()(layers.Embedding(4, 4)(condition))]
    generator = keras.Model([latents, condition], dense(joined, units, units, sample))
    samples, condition = keras.Input((sample,)), keras.Input(condition_shape, dtype=dtype)
    if projection:
        features = layers.ReLU()(dense(samples, units, units))
        logits = projected(layers.Dense(1)(features), features, condition)
    else:
        joined = [samples, condition]
        if dtype != "float32":
            joined[1] = layers.Flatten()(layers.Embedding(4, 4)(condition))
        logits = dense(joined, units, units, 1)
    return generator, keras.Model([samples, condition], logits)


def ring(n=1024, seed=0):
    """Points around four modes of a ring, and the number of the mode of each."""
    random = np.random.default_rng(seed)
    labels = random.integers(4, size=n)
    noise = 0.1 * random.standard_normal((n, 2))
    return (modes()[labels] + noise).astype("float32"), labels


def modes():
    angles = np.arange(4) * np.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def compiled(gan, **options):
    gan.compile(Adam(5e-3, 0.5), Adam(5e-3, 0.5), **options)
    return gan


def point_gan(condition=None, shape=(4,), dtype="float32", **options):
    return compiled(GAN(*pair(shape, dtype=dtype), condition=condition, **options), **QUICK)


def image_gan(condition, shape=SHAPE):
    """A GAN from images to images, of one dense layer and one convolution."""
    condition.build(shape)
    inputs = keras.Input(condition.shape)
    x = layers.Dense(int(np.prod(shape)), "tanh")(layers.Flatten()(inputs))
    generator = keras.Model(inputs, layers.Reshape(shape)(x))
    samples, given = keras.Input(shape), keras.Input(condition.shape)
    joined = layers.Concatenate()([layers.Flatten()(samples), layers.Flatten()(given)])
    discriminator = keras.Model([samples, given], layers.Dense(1)(joined))
    return compiled(GAN(generator, discriminator, condition=condition, seed=0), **QUICK)


@pytest.fixture
def narrow(monkeypatch):
    """The conditional variants with narrow networks."""
    for name in ("cgan", "projection", "pix2pix"):
        recipe = keras_gan.presets.get_recipe(name)
        sides = {
            side: partial(getattr(recipe, side), filters=2)
            for side in ("generator", "discriminator")
        }
        changed = dataclasses.replace(recipe, **sides)
        monkeypatch.setitem(keras_gan.presets.recipes._RECIPES, name, changed)


# Samples follow their condition.

RINGS = {
    "numbers": (Labels(NAMES), lambda y: y, {}),
    "one-hot rows": (None, lambda y: np.eye(4)[y], {}),
    "projection": (Labels(4), lambda y: y, {"projection": True}),
    "embedding": (None, lambda y: y[:, None], {"condition_shape": (1,), "dtype": "int32"}),
    "vector": (Vector(2), lambda y: modes()[y], {"condition_shape": (2,)}),
}


@pytest.mark.parametrize("kind", RINGS)
def test_each_class_lands_on_its_mode(kind):
    condition, given, options = RINGS[kind]
    points, labels = ring()
    networks = pair(**({"condition_shape": (4,), "units": 32} | options))
    gan = compiled(GAN(*networks, condition=condition, ema_momentum=0.95, seed=0))
    gan.fit(points, given(labels), batch_size=64, epochs=14, verbose=0)
    for number, mode in enumerate(modes()):
        wanted = mode.astype("float32") if kind == "vector" else number
        samples = gan.generate(64, condition=wanted, seed=1)
        np.testing.assert_allclose(samples.mean(axis=0), mode, atol=0.45)
    if kind != "vector":
        assert isinstance(gan.condition, Labels) and gan.condition.count == 4


# What the networks get.


def tensor(condition, real=None, values=None, seed=0):
    random = np.random.default_rng(seed)
    values = None if values is None else ops.convert_to_tensor(values)
    real = None if real is None else ops.convert_to_tensor(real)

    def uniform(shape):
        return ops.convert_to_tensor(random.random(shape, dtype="float32"))

    return numpy(condition.tensor(real, values, uniform))


def test_labels_of_every_form_are_the_same_rows():
    labels, rows = np.array([2, 0, 1, 3]), np.eye(4, dtype="float32")[[2, 0, 1, 3]]
    forms = [labels, labels.astype("uint8"), labels[:, None], rows, rows.astype("int64")]
    for form in forms:
        result = tensor(Labels(4), values=form)
        assert result.dtype == "float32"
        np.testing.assert_array_equal(result, rows)
    as_number = Labels(4).as_input(ops.convert_to_tensor(rows), (1,))
    np.testing.assert_array_equal(numpy(as_number), labels[:, None])


def test_downscaled_is_the_mean_of_squares():
    condition = Downscaled(4)
    condition.build(SHAPE)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *SHAPE)).astype("float32")
    expected = images.reshape(2, 4, 4, 5, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(tensor(condition, images), expected, atol=1e-6)


def test_grayscale_is_the_brightness():
    from PIL import Image

    condition, images = Grayscale(), pictures(2, SHAPE)
    condition.build(SHAPE)
    grey = tensor(condition, images / np.float32(127.5) - 1)
    for image, ours in zip(images, grey, strict=True):
        expected = np.asarray(Image.fromarray(image).convert("L"), "float32")[..., None]
        np.testing.assert_allclose(ours * 127.5 + 127.5, expected, atol=1.0)


def test_masks_are_holes_of_all_kinds_of_sizes():
    condition = Masked()
    condition.build(SHAPE)
    images = np.random.default_rng(0).uniform(-1, 1, (64, *SHAPE)).astype("float32")
    result = tensor(condition, images)
    known, hole = result[..., :3], result[..., 3:]
    assert set(np.unique(hole)) == {0.0, 1.0}
    np.testing.assert_array_equal(known, np.where(hole == 1, 0, images))
    shares = hole.mean(axis=(1, 2, 3))
    assert shares.min() > 0.02 and 0.1 < shares.mean() < 0.6 and shares.std() > 0.03
    assert np.any(hole[0] != hole[1])
    # Rectangles alone: as many rows and columns of the hole as the sides say.
    condition = Masked(rectangles=1, strokes=0)
    condition.build(SHAPE)
    hole = tensor(condition, images)[..., 3]
    rows, columns = hole.max(axis=2).sum(axis=1), hole.max(axis=1).sum(axis=1)
    np.testing.assert_array_equal(hole.sum(axis=(1, 2)), rows * columns)
    assert rows.min() >= 3 and rows.max() <= 9 and columns.min() >= 3 and columns.max() <= 11


# What `fit` takes.

POINTS, LABELS = ring(16, seed=1)
LABELS[:4] = range(4)


def refused(gan, *words, kind=ValueError, data=None, **options):
    with pytest.raises(kind) as error:
        gan.fit(*(data or (POINTS, LABELS)), verbose=0, **options)
    assert_readable(error, *words)


@pytest.mark.once
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 1, ("0…3", "1…4", "subtract 1")),
        (LABELS * 5, ("0…3", "0…15")),
        (LABELS - 1, ("0…3", "-1…2")),
        (np.eye(5)[LABELS], ("(n, 4)", "(16, 5)")),
        (np.full((16, 4), 0.25), ("one-hot", "Vector(4)")),
        (LABELS[:15], ("16 samples", "15 conditions")),
        (np.array(NAMES)[LABELS].tolist()[:-1] + ["sout"], ("class 'sout'; did you mean 'south'",)),
        (pictures(16), ("(n, 4)", "(16, 8, 8, 1)")),
    ],
)
def test_labels_that_do_not_fit(labels, words):
    refused(point_gan(Labels(NAMES)), *words, data=(POINTS, labels))


@pytest.mark.once
def test_floats_are_no_labels():
    refused(point_gan(Labels(4)), "float", "astype", kind=TypeError,
            data=(POINTS, LABELS.astype("float32")))  # fmt: skip


@pytest.mark.once
def test_gaps_in_labels_whose_number_is_not_known():
    gan = compiled(GAN(*pair((1,), units=4), condition=None))
    refused(gan, "without gaps", "np.unique", data=(POINTS, LABELS * 2))


@pytest.mark.once
def test_classes_without_a_sample_are_named():
    with pytest.warns(UserWarning, match=r"No sample is of north, south, of the 4 classes"):
        fit(point_gan(Labels(NAMES)), POINTS, y=LABELS // 2 * 2)


@pytest.mark.once
def test_more_classes_than_the_networks_embed():
    gan = point_gan(shape=(1,), dtype="int32")
    refused(gan, "0…3", "0…6", data=(POINTS, LABELS * 2))


@pytest.mark.once
def test_a_number_of_classes_that_is_not_the_networks():
    with pytest.raises(ValueError, match=r"Labels\(5\).*second input of the generator.*\(4,\)"):
        GAN(*pair((4,)), condition=Labels(5))


@pytest.mark.once
def test_labels_for_a_gan_without_a_condition():
    gan = compiled(keras_gan.create_model("vanilla", (8, 8, 1)))
    refused(gan, "no condition", "cgan", data=(pictures(16), LABELS))
    held_out = pictures(16), LABELS
    refused(gan, "no condition", "cgan", data=(pictures(16),), validation_data=held_out)
    with pytest.raises(ValueError, match="no condition"):
        gan.generate(2, condition=1)
    with pytest.raises(ValueError, match="translate is for models whose condition is an image"):
        gan.translate(pictures(2))
    with pytest.raises(ValueError, match=r"vanilla has no condition.*cgan, projection"):
        keras_gan.create_model("vanilla", (8, 8, 1), condition=Labels(3))


@pytest.mark.once
def test_a_loader_s_labels_are_not_used_without_a_condition_and_it_says_so():
    gan = keras_gan.create_model("vanilla", (8, 8, 1))
    gan.compile(**QUICK)
    with pytest.warns(UserWarning, match="labels.*does not use.*cgan") as told:
        gan.fit(iter([(pictures(8), LABELS[:8])]), verbose=0)
    assert len([w for w in told if "labels" in str(w.message)]) == 1
    with pytest.raises(ValueError, match=r"pairs.*condition=keras_gan\.conditions\.Images"):
        gan.fit(iter([(pictures(8), pictures(8))]), verbose=0)


@pytest.mark.once
@pytest.mark.parametrize("batches", [False, True])
def test_no_labels_for_a_conditional_gan(batches):
    gan = point_gan(Labels(4))
    refused(
        gan, "Labels(4)", "fit(samples, conditions)", data=(iter([POINTS]) if batches else POINTS,)
    )


@pytest.mark.once
def test_labels_beside_a_loader():
    refused(point_gan(Labels(4)), "leave y out", data=(iter([(POINTS, LABELS)]), LABELS))


@pytest.mark.once
def test_samples_give_a_computed_condition_by_themselves():
    refused(image_gan(Downscaled(4)), "Downscaled(4)", "without y",
            data=(pictures(4, SHAPE), pictures(4, (4, 5, 3))))  # fmt: skip


@pytest.mark.once
def test_a_loader_s_pairs_are_not_used_where_the_condition_is_computed():
    gan, pairs = image_gan(Downscaled(4)), (pictures(4, SHAPE), pictures(4, (4, 5, 3)))
    with pytest.warns(UserWarning, match=r"only the samples are used: Downscaled\(4\)"):
        gan.fit(iter([pairs]), verbose=0)


@pytest.mark.once
def test_pairs_that_do_not_fit():
    gan, inputs = image_gan(Images((8, 8, 1))), pictures(4, (8, 8, 1))
    refused(gan, "wrong way round", data=(inputs, pictures(4, SHAPE)))
    refused(gan, "(n, 8, 8, 1)", "(4, 8, 9, 1)", data=(pictures(4, SHAPE), pictures(4, (8, 9, 1))))
    refused(gan, "[..., None]", data=(pictures(4, SHAPE), inputs[..., 0]))
    refused(gan, "uint8", kind=TypeError, data=(pictures(4, SHAPE), inputs.astype("int64")))


@pytest.mark.once
def test_conditions_that_do_not_fit_samples():
    for condition, shape, words in (
        (Downscaled(3), (16, 16, 1), "16×16"),
        (Grayscale(), (16, 16, 1), "3 channels"),
    ):
        with pytest.raises(ValueError, match=words):
            keras_gan.create_model("pix2pix", shape, condition=condition)
    for wrong in (lambda: Labels(1), lambda: Labels(["a", "a"]), lambda: Masked(0, 0),
                  lambda: Images((8, 8)), lambda: Vector(0)):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(TypeError, match=r"Labels\(10\)"):
        GAN(*pair((4,)), condition=4)
    with pytest.raises(ValueError, match=r"cgan needs condition=.*Labels"):
        keras_gan.create_model("cgan", SHAPE)
    with pytest.raises(ValueError, match=r"pix2pix needs condition=.*Downscaled.*got Labels"):
        keras_gan.create_model("pix2pix", SHAPE, condition=Labels(3))


@pytest.mark.once
def test_networks_that_do_not_share_a_condition():
    generator, discriminator = pair((4,))
    alone = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    plain = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="discriminator takes samples alone"):
        GAN(generator, alone)
    with pytest.raises(ValueError, match="discriminator takes 2 inputs"):
        GAN(plain, discriminator)
    with pytest.raises(ValueError, match=r"must take \[latents, condition\]"):
        GAN(plain, alone, condition=Labels(4))


@pytest.mark.once
def test_an_auxiliary_classifier_is_refused():
    generator, _ = pair((4,))
    samples, condition = keras.Input((2,)), keras.Input((4,))
    outputs = [dense([samples, condition], 1), dense(samples, 4)]
    with pytest.raises(ValueError, match=r"2 outputs.*auxiliary classifier.*'projection'"):
        GAN(generator, keras.Model([samples, condition], outputs))


# Loaders, validation, metrics.


@keras.saving.register_keras_serializable("tests")
class Seen(keras.metrics.Metric):
    """Keeps what it is given."""

    def update_state(self, real, generated, condition=None):
        self.given = real, generated, condition

    def result(self):
        return 0.0


@pytest.mark.parametrize("loader", ["generator", "torch", "tensorflow", "arrays"])
def test_every_loader_gives_the_same_pairs(loader):
    gan = point_gan(Labels(4))
    pairs = [(POINTS[i : i + 8], LABELS[i : i + 8]) for i in (0, 8)]
    if loader == "torch":
        torch = pytest.importorskip("torch")
        tensors = map(torch.from_numpy, (POINTS, LABELS))
        data = (torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), 8),)
    elif loader == "tensorflow":
        tf = pytest.importorskip("tensorflow")
        data = (tf.data.Dataset.from_tensor_slices((POINTS, LABELS)).batch(8),)
    else:
        data = (iter(pairs),) if loader == "generator" else (POINTS, LABELS)
    seen = []
    update = gan._update_generator
    gan._update_generator = lambda batch: (seen.append(batch), update(batch))[1]
    gan.compile(Adam(0.0), Adam(0.0), run_eagerly=True, jit_compile=False)
    gan.fit(*data, batch_size=8, shuffle=False, verbose=0)
    assert len(seen) == 2 or BACKEND == "jax"  # JAX traces the step once more.
    for batch, (samples, labels) in zip(seen[-2:], pairs, strict=True):
        np.testing.assert_allclose(numpy(batch.samples), samples)
        np.testing.assert_array_equal(numpy(batch.condition).reshape(-1), labels)


@pytest.mark.once
def test_batches_of_unknown_rank():
    tf = pytest.importorskip("tensorflow")
    kinds = tf.float32, tf.int64
    pairs = [(POINTS[i : i + 8], LABELS[i : i + 8]) for i in (0, 8)]
    data = tf.data.Dataset.from_generator(lambda: pairs, output_types=kinds)
    condition = Labels(4)
    x, _ = batches.checked(data, point_gan(condition).values, condition=condition)
    assert [spec.shape.as_list() for spec in x.element_spec] == [[None, 2], [None]]
    for (samples, labels), expected in zip(x, pairs, strict=True):
        np.testing.assert_array_equal(samples, expected[0])
        np.testing.assert_array_equal(labels, expected[1])
    if BACKEND == "tensorflow":
        point_gan(condition).fit(data, validation_data=data, verbose=0)


def test_validation_and_metrics_see_the_condition():
    gan, seen = GAN(*pair((4,)), condition=Labels(4)), Seen()
    compiled(gan, metrics=[seen], **QUICK)
    history = fit(gan, POINTS, y=LABELS, validation_data=(POINTS[:6], LABELS[:6]))
    np.testing.assert_array_equal(seen.given[2], np.eye(4)[LABELS[:6]])
    judged = gan.evaluate(POINTS[:6], LABELS[:6], return_dict=True, verbose=0)
    assert judged["d_real"] == pytest.approx(history["val_d_real"][-1], rel=1e-4)
    assert judged["d_fake"] == pytest.approx(history["val_d_fake"][-1], rel=1e-4)
    other = gan.evaluate(POINTS[:6], (LABELS[:6] + 1) % 4, return_dict=True, verbose=0)
    assert other["d_real"] != pytest.approx(judged["d_real"], rel=1e-4)
    history = fit(gan, POINTS, y=LABELS, validation_split=0.5)
    assert np.isfinite(history["val_d_loss"]).all()
    assert np.isfinite(gan.train_on_batch(POINTS, LABELS)).all()


@pytest.mark.once
def test_fit_tells_the_classes(capsys):
    gan = point_gan(Labels(NAMES))
    gan.fit(POINTS, LABELS, verbose=2)
    counts = np.bincount(LABELS)
    assert f"4 classes: east {counts[0]}, north {counts[1]}" in capsys.readouterr().out
    assert "classes" not in (fit(gan, POINTS, y=LABELS), capsys.readouterr().out)[1]


def test_both_updates_see_one_condition_for_real_and_fake():
    seen = []

    @keras.saving.register_keras_serializable("tests")
    class Look(keras_gan.terms.Term):
        def call(self, context):
            seen.append((context.real, context.condition))
            return ops.mean(context.critic(context.fake) - context.fake_logits)

    gan = GAN(*pair((4,)), condition=Labels(4), terms=[Look(1.0)])
    gan.compile(run_eagerly=True, jit_compile=False)
    history = fit(gan, POINTS, y=LABELS)
    np.testing.assert_array_equal(history["look"], 0.0)
    real, condition = seen[-1]
    np.testing.assert_allclose(numpy(real), POINTS)
    np.testing.assert_array_equal(numpy(condition), np.eye(4)[LABELS])


# Asking for samples.


@pytest.fixture
def asked():
    gan = GAN(*pair((4,)), condition=Labels(NAMES))
    gan.compile(**QUICK)
    return gan


def test_generate_takes_names_numbers_and_rows(asked):
    expected = asked.generate(3, condition="west", seed=1)
    for same in (2, np.int64(2), ["west"] * 3, [2, 2, 2], np.eye(4)[2], np.eye(4)[[2, 2, 2]]):
        np.testing.assert_array_equal(asked.generate(3, condition=same, seed=1), expected)
    latents = np.random.default_rng(1).standard_normal((3, 2), dtype="float32")
    np.testing.assert_array_equal(asked.generate(latents=latents, condition=2), expected)
    each = asked.generate(condition=["east", "west"], seed=1)
    assert each.shape == (2, 2)
    np.testing.assert_allclose(each[1], expected[1], rtol=1e-5)
    mixed = asked.generate(3, condition=np.array([0, 0, 0.5, 0.5]), seed=1)
    assert np.any(mixed != expected)
    rows = np.eye(4, dtype="float32")[[2, 2, 2]]
    np.testing.assert_allclose(asked.predict([latents, rows], verbose=0), expected, rtol=1e-5)


@pytest.mark.once
def test_without_a_wish_classes_come_evenly(asked):
    drawn = asked.condition.chosen(None, 10, np.random.default_rng(0))
    counts = drawn.sum(axis=0)
    assert counts.sum() == 10 and set(counts) == {2.0, 3.0}
    images = asked.generate(10, seed=3)
    np.testing.assert_array_equal(images, asked.generate(10, seed=3))
    assert asked.generate(1, seed=3).shape == (1, 2)


@pytest.mark.once
@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("wset", ("'wset'", "'west'", "north")),
        (4, ("0…3", "4")),
        (["east", "west"], ("2 conditions", "3 samples")),
        (np.zeros((3, 5)), ("(3, 5)",)),
    ],
)
def test_wishes_that_cannot_be_met(asked, condition, words):
    with pytest.raises(ValueError) as error:
        asked.generate(3, condition=condition)
    assert_readable(error, *words)


@pytest.mark.once
def test_labels_are_no_vectors():
    for labels in (LABELS, LABELS.astype("float32")):
        refused(point_gan(Vector(4)), "(n, 4)", "what Labels is for", data=(POINTS, labels))


@pytest.mark.once
def test_latents_alone_are_not_enough_to_predict(asked):
    with pytest.raises(ValueError, match=r"takes \[latents, condition\], with Labels"):
        asked(np.zeros((2, 2), "float32"))


@pytest.mark.once
def test_vectors_and_images_must_be_given():
    with pytest.raises(ValueError, match=r"Vector\(4\).*condition="):
        point_gan(Vector(4)).generate(3)
    with pytest.raises(ValueError, match=r"Downscaled\(4\).*condition="):
        image_gan(Downscaled(4)).generate(3)


# Images from images.

TRANSLATED = {
    "larger": (Downscaled(4), (4, 5, 3)),
    "coloured": (Grayscale(), (16, 20, 1)),
    "from colour": (Grayscale(), SHAPE),
    "from pairs": (Images((9, 20, 2)), (9, 20, 2)),
}


@pytest.mark.parametrize("kind", TRANSLATED)
def test_translate(kind):
    condition, shape = TRANSLATED[kind]
    gan = image_gan(condition)
    images = gan.translate(pictures(3, shape))
    assert images.shape == (3, *SHAPE) and images.dtype == "uint8"
    one = gan.translate(pictures(3, shape)[1])
    assert np.abs(one.astype(int) - images[1]).max() <= 1
    with pytest.raises(TypeError, match="uint8 pictures"):
        gan.translate(pictures(3, shape).astype("float32"))
    with pytest.raises(ValueError, match="mask"):
        gan.translate(pictures(3, shape), mask=np.ones(shape[:2]))
    with pytest.raises(ValueError, match=r"of shape \(n, "):
        gan.translate(pictures(3, (7, 7, 2)))


def test_known_pixels_come_back_unchanged():
    gan, images = image_gan(Masked()), pictures(5, SHAPE)
    masks = np.random.default_rng(0).random((5, *SHAPE[:2])) < 0.5
    repaired = gan.translate(images, mask=masks)
    np.testing.assert_array_equal(repaired[~masks], images[~masks])
    assert np.any(repaired[masks] != images[masks])
    floats = images / np.float32(127.5) - 1
    raw = gan.generate(condition=(floats, masks), dtype="float32")
    np.testing.assert_array_equal(raw[~masks], floats[~masks])
    one = gan.translate(images[0], mask=masks[0])
    np.testing.assert_array_equal(one[~masks[0]], images[0][~masks[0]])
    with pytest.raises(ValueError, match="Give mask="):
        gan.translate(images)


@pytest.mark.once
def test_a_picture_that_becomes_itself():
    """Super-resolution without a discriminator to fear: only the reconstruction is minimised."""
    from keras_gan.terms import Reconstruction

    inputs = keras.Input((2, 2, 1))
    x = layers.Reshape((4, 4, 1))(layers.Dense(16)(layers.Flatten()(inputs)))
    generator = keras.Model(inputs, x)
    discriminator = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(1)])
    gan = GAN(generator, discriminator, condition=Downscaled(2), terms=[Reconstruction(100.0)])
    discriminator.trainable = False
    gan.compile(Adam(0.02), Adam(0.0))
    small = np.random.default_rng(0).uniform(-1, 1, (64, 2, 2, 1)).astype("float32")
    flat = small.repeat(2, axis=1).repeat(2, axis=2)
    history = fit(gan, flat, batch_size=16, epochs=60)
    assert history["reconstruction"][-1] < 0.1 * history["reconstruction"][0]
    made = gan.generate(condition=small, dtype="float32")
    assert np.abs(made - flat).mean() < 0.1


# Files.


@pytest.mark.once
@pytest.mark.parametrize(
    ("variant", "condition"),
    [("cgan", Labels(NAMES)), ("projection", Vector(3)), ("pix2pix", Masked()),
     ("pix2pix", Images((9, 20, 2)))],
    ids=["names", "vector", "masked", "images"],
)  # fmt: skip
def test_files_keep_the_condition(variant, condition, narrow, tmp_path):
    gan = keras_gan.create_model(variant, SHAPE, condition=condition, seed=0)
    samples, y = pictures(4, SHAPE), None
    if not condition.computed:
        rows = {"cgan": np.arange(4), "projection": points(4, 3)}
        y = rows.get(variant, pictures(4, (9, 20, 2)))
    fit(gan, samples, y=y)
    wanted = "west" if variant == "cgan" else None if y is None else y
    wanted = (samples, samples[..., 0] > 99) if condition.computed else wanted
    images = gan.generate(4, condition=wanted, seed=2)
    gan.save(tmp_path / "gan.keras")
    gan.save_to_preset(tmp_path / "preset")
    copies = [keras.saving.load_model(tmp_path / "gan.keras")]
    copies.append(keras_gan.from_preset(tmp_path / "preset"))
    for copy in copies:
        assert repr(copy.condition) == repr(condition)
        np.testing.assert_array_equal(copy.generate(4, condition=wanted, seed=2), images)
    if condition.is_image:
        assert (tmp_path / "preset" / "samples.png").exists()
        np.testing.assert_array_equal(copies[1].examples.condition, gan.examples.condition)
        assert sample_grid(copies[1]).shape[1] == 3 * SHAPE[1] + 4
    elif variant == "cgan":
        grid = sample_grid(copies[1], num=32)
        assert grid.shape[0] == 4 * (SHAPE[0] + 2) - 2 and grid.shape[1] > 8 * SHAPE[1]
    fit(copies[0], samples, y=y)


@pytest.mark.once
def test_an_inferred_condition_is_kept_once_it_is_known(tmp_path):
    gan = compiled(GAN(*pair((4,))), **QUICK)
    assert gan.get_config()["condition"] is None
    fit(gan, POINTS, y=LABELS)
    gan.save(tmp_path / "gan.keras")
    assert keras.saving.load_model(tmp_path / "gan.keras").condition.count == 4


@pytest.mark.parametrize("condition", [Labels(3), Masked()], ids=["labels", "masked"])
def test_export_takes_the_condition(condition, narrow, tmp_path):
    if BACKEND != "tensorflow":
        pytest.skip("The others export to ONNX or torch, of which the tests look at one.")
    import tensorflow as tf

    variant = "cgan" if isinstance(condition, Labels) else "pix2pix"
    gan = keras_gan.create_model(variant, SHAPE, condition=condition)
    gan.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")  # Its variables live as long as it does.
    served = loaded.serve
    if variant == "cgan":
        inputs = [points(2, gan.latent_shape[0]), np.eye(3, dtype="float32")[:2]]
        expected = gan.predict(inputs, verbose=0)
        np.testing.assert_allclose(served(inputs), expected, atol=1e-5)
    else:
        images, masks = pictures(2, SHAPE), pictures(2, SHAPE[:2]) > 99
        given = gan.condition.chosen((images, masks), None, np.random.default_rng(0))
        made = np.asarray(served(given))
        np.testing.assert_array_equal(made[~masks], given[..., :3][~masks])


# Layers and networks.


def test_conditional_normalization_starts_as_the_plain_one_and_knows_its_class():
    layer = networks.ConditionalBatchNormalization()
    maps, rows = points(6, 48).reshape(6, 4, 4, 3), np.eye(2, dtype="float32")[[0, 1, 0, 1, 1, 0]]
    plain = networks.BatchNormalization(scale=False, center=False)
    expected = numpy(plain(maps, training=True))
    np.testing.assert_allclose(numpy(layer([maps, rows], training=True)), expected, atol=1e-5)
    layer.offsets.assign(np.array([[0, 0, 0], [1, 2, 3]]))
    layer.scales.assign(np.array([[0, 0, 0], [1, 1, 1]]))
    shifted = numpy(layer([maps, rows], training=True))
    np.testing.assert_allclose(shifted[rows[:, 0] == 1], expected[rows[:, 0] == 1], atol=1e-5)
    np.testing.assert_allclose(
        shifted[rows[:, 1] == 1], 2 * expected[rows[:, 1] == 1] + [1, 2, 3], atol=1e-5
    )


@pytest.mark.parametrize("shape", [(8, 8, 1), (17, 31, 3), (45, 18, 2)])
def test_image_networks_take_any_size(shape):
    condition_shape = (16, 9, 1)
    generator = networks.unet_generator(shape, condition_shape, filters=2)
    discriminator = networks.patch_discriminator(shape, condition_shape, filters=2)
    given = pictures(2, condition_shape) / np.float32(255)
    images = generator.predict_on_batch(given)
    assert images.shape == (2, *shape)
    logits = discriminator.predict_on_batch([images, given])
    assert logits.shape[0] == 2 and logits.shape[-1] == 1 and min(logits.shape[1:3]) >= 2
    with pytest.raises(ValueError, match="at least 8"):
        networks.unet_generator((7, 20, 1), condition_shape)


@pytest.mark.once
def test_names_and_kinds_of_conditions():
    assert repr(Labels(3)) == "Labels(3)" and Labels(3).class_names == ["0", "1", "2"]
    assert conditions.refined((4,), np.eye(4), None, True).count == 4
    assert conditions.refined((4,), points(3, 4), None, True).size == 4
    assert keras_gan.datasets.class_names("fashion_mnist")[7] == "sneaker"
    assert keras_gan.datasets.class_names("noto_emoji")[3] == "Food & Drink"
