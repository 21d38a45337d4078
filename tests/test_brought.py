"""What people bring: tables, other libraries' data sets, files on disk, loaders without an end."""

import copy

import keras
import numpy as np
import pytest
from conftest import (
    BACKEND,
    Batches,
    assert_readable,
    fit,
    generated,
    mlp_gan,
    pictures,
    points,
    python,
    tiny_gan,
)  # fmt: skip
from keras import layers
from PIL import Image

import keras_gan
from keras_gan import GAN, engine, networks
from keras_gan.conditions import Images, Labels, Vector
from keras_gan.datasets.batches import SeededBatches, held_out
from keras_gan.datasets.loaders import watched
from keras_gan.files import content_key
from keras_gan.values import Values

once = pytest.mark.once
SHAPE = (8, 8, 1)
PAIRS = Values((2,))  # Of `points`.


def still(gan):
    """The model, compiled so that it does not learn: its logits tell which samples came."""
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    return gan


def image_gan(**options):
    """Without dropout, so that its logits follow from the samples alone."""
    sides = networks.mlp_generator(SHAPE, 3, (4,)), networks.mlp_discriminator(SHAPE, (4,), 0.0)
    return still(GAN(*sides, seed=1, **options))


def conditional_gan(condition):
    z, c, x = keras.Input((3,)), keras.Input(condition.shape), keras.Input((2,))
    generator = keras.Model([z, c], layers.Dense(2)(layers.Concatenate()([z, c])))
    discriminator = keras.Model([x, c], layers.Dense(1)(layers.Concatenate()([x, c])))
    return still(GAN(generator, discriminator, condition=condition))


# Tables and lists.


class Frame:
    """Like a table of pandas: it has a shape, but is indexed by the names of its columns."""

    def __init__(self, rows):
        self.rows, self.shape = rows, rows.shape

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, column):
        raise KeyError(column)

    def to_numpy(self):
        return self.rows


@once
def test_a_table_trains_as_its_array_does():
    gan, rows = still(mlp_gan()), points(16)
    expected = fit(gan, rows, 8, validation_data=rows)
    for table in (Frame(rows), Frame(rows.astype("float64"))):
        found = fit(gan, table, 8, validation_data=table)
        for name in ("d_real", "val_d_real"):
            assert found[name] == pytest.approx(expected[name], rel=1e-5)
        assert gan.evaluate(table, verbose=0)[2] == pytest.approx(expected["val_d_real"][0])
    with pytest.raises(TypeError, match="Samples are numbers; got object"):
        gan.fit(Frame(np.full((4, 2), "a", object)), verbose=0)


@pytest.mark.once
@once
def test_a_list_of_images_of_several_sizes():
    with pytest.raises(ValueError) as error:
        tiny_gan().fit([np.zeros((8, 8, 1)), np.zeros((9, 9, 1)), np.zeros((8, 8, 1))], verbose=0)
    assert_readable(error, "several sizes", "(8, 8, 1) and (9, 9, 1)")


# Data sets of Hugging Face, which need not be installed.


class Feature:
    def __init__(self, names=None):
        self.names = names


class Rows:
    """Like a `datasets.Dataset`."""

    Image, ClassLabel = type("Image", (Feature,), {}), type("ClassLabel", (Feature,), {})

    def __init__(self, images, labels):
        self.features = {"label": self.ClassLabel(["a", "b"]), "photo": self.Image()}
        self.column_names = list(self.features)
        self.rows = [
            {"label": int(label), "photo": Image.fromarray(image[..., 0])}
            for image, label in zip(images, labels, strict=True)
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@once
def test_images_of_a_hugging_face_data_set():
    images, labels = pictures(20, SHAPE), np.arange(20) % 2
    gan, dataset = image_gan(discriminator_steps=2), Rows(images, labels)
    expected = fit(gan, images, 10, shuffle=True, validation_data=images)
    found = fit(gan, dataset, 10, shuffle=True, validation_data=dataset)
    for name in ("d_real", "val_d_real"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4)
    logs = gan.evaluate(dataset, verbose=0, return_dict=True)
    assert logs["d_real"] == pytest.approx(expected["val_d_real"][0], rel=1e-4)
    with pytest.raises(ValueError, match="batch_size must be a whole number ≥ 1; got 0"):
        gan.fit(dataset, batch_size=0)


@once
def test_labels_of_a_hugging_face_data_set():
    images = pictures(12, SHAPE)
    gan = keras_gan.create_model("cgan", image_shape=SHAPE, condition=Labels(2))
    fit(gan, Rows(images, np.arange(12) % 2), 6)
    with pytest.raises(ValueError, match=r"Labels are whole numbers 0…1; got"):
        fit(gan, Rows(images, np.arange(12) % 3), 12)


@once
def test_hugging_face_data_sets_that_cannot_be_read():
    dataset = Rows(pictures(4, SHAPE), np.zeros(4))
    streamed = type("Streamed", (), {"features": {}, "column_names": []})()
    table = copy.copy(dataset)
    table.features = table.column_names = {"age": Feature()}
    for data, *words in (
        ({"train": dataset, "test": dataset}, "'train', 'test'", "one of them"),
        (streamed, "streaming=True"),
        (table, "column of images", "age", "to_pandas"),
    ):
        with pytest.raises(ValueError) as error:
            tiny_gan().fit(data, verbose=0)
        assert_readable(error, *words)


# Files on disk.


def test_a_memory_map_stays_on_disk(tmp_path, monkeypatch):
    images = pictures(20, SHAPE)
    mapped = np.memmap(tmp_path / "images.dat", "uint8", "w+", shape=images.shape)
    mapped[:] = images
    gan = image_gan()
    expected = fit(gan, images, 10, shuffle=True)["d_real"]
    if engine.loader:  # It would copy the whole array.
        monkeypatch.setattr(engine, "loader", None)
    assert fit(gan, mapped, 10, shuffle=True)["d_real"] == pytest.approx(expected, rel=1e-4)
    assert fit(gan, mapped[:16], 8)["d_real"] == pytest.approx(fit(gan, images[:16], 8)["d_real"])


@once
def test_arrays_are_read_in_parts(tmp_path):
    """As much as a part of a memory map at once, and never all of it."""

    class Mapped:
        dtype, shape = np.dtype("uint8"), (10_000, 8, 8, 1)

        def __len__(self):
            return len(images)

        def __getitem__(self, key):
            read.append(len(images[key]))
            return images[key]

    images, read = np.zeros(Mapped.shape, "uint8"), []
    assert content_key(Mapped()) == content_key(images)
    assert max(read) < len(images) / 2


# Loaders without an end, and without shapes.


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return points(8)


def forever():
    while True:
        yield np.zeros((50_000, 2), "float32")


@pytest.mark.once
@once
def test_validation_data_without_an_end():
    gan = still(mlp_gan())
    for data in (Endless(), forever()):
        with pytest.raises(ValueError) as error:
            gan.fit(points(8), validation_data=data, verbose=0)
        assert_readable(error, "validation_steps=")
    options = {"steps_per_epoch": 2, "validation_data": Endless(), "validation_steps": 2}
    history = gan.fit(Endless(), verbose=0, **options).history
    assert np.isfinite(history["val_d_loss"]).all()


@pytest.mark.once
@once
def test_an_endless_data_set_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices(points(8)).batch(4).repeat()
    with pytest.raises(ValueError, match="does not end"):
        held_out(data, Values((2,)))


def test_tf_data_without_shapes():
    tf = pytest.importorskip("tensorflow")
    images = pictures(16, SHAPE)

    def read(i):
        return tf.py_function(lambda i: images[int(i)], [i], tf.uint8)

    gan = image_gan(terms=["gradient_penalty"], discriminator_steps=2)
    data = tf.data.Dataset.range(16).map(read).batch(8)
    assert np.isfinite(gan.fit(data, verbose=0).history["d_loss"]).all()


# Labels that do not exist, in later batches of loaders.


def torch_loader(batches):
    torch = pytest.importorskip("torch")
    rows = [tuple(map(torch.tensor, row)) for batch in batches for row in zip(*batch, strict=True)]
    return torch.utils.data.DataLoader(rows, batch_size=len(batches[0][0]))


def grain_map(batches):
    grain = pytest.importorskip("grain")
    rows = [row for batch in batches for row in zip(*batch, strict=True)]
    return grain.MapDataset.source(rows).batch(len(batches[0][0]))


def tf_data(batches):
    tf = pytest.importorskip("tensorflow")
    columns = tuple(np.concatenate(column) for column in zip(*batches, strict=True))
    return tf.data.Dataset.from_tensor_slices(columns).batch(len(batches[0][0]))


LOADERS = {
    "PyDataset": Batches,
    "threads": lambda batches: Batches(batches, workers=2),
    "generator": iter,
    "torch": torch_loader,
    "grain": grain_map,
    "tf.data": tf_data,
}


@pytest.mark.parametrize("loader", LOADERS)
def test_labels_of_later_batches_that_do_not_exist(loader):
    good = [(points(4), np.array([0, 1, 2, 0]))] * 2
    bad = [*good, (points(4), np.array([0, 1, 3, 0]))]
    gan = conditional_gan(Labels(3))
    assert np.isfinite(gan.fit(LOADERS[loader](good), verbose=0).history["d_loss"]).all()
    with pytest.raises(Exception, match="Labels are whole numbers 0…2"):
        gan.fit(LOADERS[loader](bad), verbose=0)
    if loader != "tf.data":
        with pytest.raises(ValueError, match="Labels are whole numbers 0…2"):
            gan.evaluate(LOADERS[loader](bad), verbose=0)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("value", [255.0, np.nan])
def test_images_of_later_batches_that_do_not_fit(loader, value):
    good = [(np.zeros((4, *SHAPE), "float32") - 0.5,)] * 2
    bad = [*good, (np.full((4, *SHAPE), value, "float32"),)]
    gan = still(tiny_gan())
    assert np.isfinite(gan.fit(LOADERS[loader](good), verbose=0).history["d_loss"]).all()
    words = "NaN or infinit" if np.isnan(value) else "−1…1|-1.001…1.001"
    with pytest.raises(Exception, match=words):
        gan.fit(LOADERS[loader](bad), verbose=0)
    with pytest.raises(ValueError, match=words):
        gan.evaluate(LOADERS[loader](bad), verbose=0)


@once
def test_later_batches_of_another_shape():
    with pytest.raises(ValueError) as error:
        tiny_gan().fit(iter([pictures(4), pictures(4, (9, 8, 1))]), verbose=0)
    assert_readable(error, "(n, 8, 8, 1)", "(4, 9, 8, 1)")


@once
def test_later_batches_are_not_warned_of(recwarn):
    """What one batch cannot show, such as values in half of the range, is left to the first one."""
    black, values = np.zeros((4, *SHAPE), "float32"), Values(SHAPE, (-1.0, 1.0))
    for batch in (black, pictures(4) % 2, black > 1):
        values.check_batch(batch)
    Images(SHAPE).check_batch(black)
    assert not recwarn.list


@once
def test_labels_of_batches_in_an_order_of_their_own():
    x, y = points(8), np.array([0, 1, 2, 0, 1, 2, 0, 3])
    gan = conditional_gan(Labels(3))
    with pytest.raises(ValueError, match="Labels are whole numbers 0…2"):
        gan.fit(SeededBatches(x, 2, shuffle=False, condition=y), verbose=0)


@once
def test_vectors_of_later_batches_that_are_not_finite():
    rows = np.ones((4, 2), "float32")
    with pytest.raises(ValueError, match="NaN"):
        list(watched(iter([(points(4), rows), (points(4), rows * np.nan)]), PAIRS, Vector(2)))


@once
def test_a_watched_data_set_is_that_data_set():
    class Counting(Batches):
        begun = ended = 0

        def on_epoch_begin(self):
            self.begun += 1

        def on_epoch_end(self):
            self.ended += 1

    data = Counting([(points(4), np.zeros(4, "int32"))] * 3, workers=2, max_queue_size=4)
    other = watched(data, PAIRS, Labels(2))
    assert (len(other), other.num_batches) == (3, 3)
    assert (other.workers, other.max_queue_size) == (2, 4)
    other.on_epoch_begin()
    other.on_epoch_end()
    assert (data.begun, data.ended) == (1, 1)
    assert watched(Endless(), PAIRS, Labels(2)).num_batches is None


# Distances of samples that are no images.


@pytest.mark.once
@once
@pytest.mark.parametrize("shape", [(3,), (6, 2), (4, 4, 4, 1)])
@pytest.mark.parametrize("extractor", ["values", lambda x: x.reshape(len(x), -1)])
def test_a_distance_of_rows_series_and_volumes(shape, extractor):
    size = int(np.prod(shape))
    gan = still(
        GAN(
            keras.Sequential([keras.Input((2,)), layers.Dense(size), layers.Reshape(shape)]),
            keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(1)]),
        )
    )
    kinds = keras_gan.metrics.FrechetDistance, keras_gan.metrics.PrecisionRecall
    gan.compile("sgd", "sgd", metrics=[kind(extractor) for kind in kinds])
    samples = 3 * points(32, size).reshape(-1, *shape)
    logs = gan.evaluate(samples, verbose=0, return_dict=True)
    rows = [x.reshape(32, -1) for x in (samples, gan.generate(32, seed=0))]
    expected = keras_gan.metrics.frechet_distance(*rows)
    assert logs["frechet_distance"] == pytest.approx(expected, rel=1e-3)
    assert 0 <= logs["recall"] <= 1


@once
def test_statistics_of_whole_numbers_depend_on_the_range(cache):
    samples = np.random.default_rng(0).integers(-30_000, 30_000, (32, 4, 2)).astype("int16")
    found = []
    for value_range in ((-1, 1), (0, 1), (-1, 1)):
        gan = GAN(
            keras.Sequential([keras.Input((2,)), layers.Dense(8), layers.Reshape((4, 2))]),
            keras.Sequential([keras.Input((4, 2)), layers.Flatten(), layers.Dense(1)]),
            value_range=value_range,
        )
        metric = keras_gan.metrics.FrechetDistance("values")
        gan.compile("sgd", "sgd", metrics=[metric])
        gan.evaluate(samples, verbose=0)
        found.append(float(np.mean(metric._real.mean)))
    assert found[0] == pytest.approx(2 * found[1] - 1, abs=1e-4)
    assert found[2] == pytest.approx(found[0])


# Networks elsewhere.


@pytest.mark.parametrize(
    "part", ["ema_generator", pytest.param("generator", marks=pytest.mark.full)]
)
def test_a_generator_of_the_zoo_loads_without_this_library(part, tmp_path):
    gan = keras_gan.create_model("dcgan", image_shape=(8, 8, 1))
    path = tmp_path / "generator.keras"
    latents = points(2, 100)
    getattr(gan, part).save(path)
    np.save(tmp_path / "latents.npy", latents)
    code = (
        "import sys; sys.modules['keras_gan'] = None; import keras, numpy as np;"
        f"model = keras.saving.load_model({str(path)!r});"
        f"np.save({str(tmp_path / 'made.npy')!r},"
        f"model.predict(np.load({str(tmp_path / 'latents.npy')!r}), verbose=0))"
    )
    python(BACKEND, "-c", code)
    expected = getattr(gan, part).predict(latents, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "made.npy"), expected, atol=1e-5)


@once
def test_what_is_loaded_has_this_librarys_layers_again(tmp_path):
    gan = keras_gan.create_model("dcgan", image_shape=(8, 8, 1))
    gan.save_to_preset(tmp_path / "preset")
    gan.save(tmp_path / "gan.keras")
    ours = networks.BatchNormalization
    for again in (
        keras_gan.from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "gan.keras"),
    ):
        kinds = [type(layer) for layer in again.generator.layers]
        assert ours in kinds
        assert layers.BatchNormalization not in kinds
        np.testing.assert_array_equal(generated(again, 2, 0), generated(gan, 2, 0))
