import contextlib
import gzip
import hashlib
import io
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from keras_gan import datasets
from keras_gan.datasets import ImageFolder

RED, GREEN = (255, 0, 0), (0, 255, 0)
# Of the pixels and of the labels of t10k-*-ubyte, after their headers.
IMAGES_SHA256 = "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"
LABELS_SHA256 = "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"


def write_idx(path, array, magic=None):
    magic = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    shape = np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(magic + shape + array.astype("uint8").tobytes()))


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """A stand-in for the folder of Debian's package: 3 train and 2 test images of 4×5 pixels."""
    monkeypatch.setattr(datasets, "_DEBIAN", tmp_path)
    for stem, n in (("train", 3), ("t10k", 2)):
        images = np.arange(n * 20).reshape(n, 4, 5)
        write_idx(tmp_path / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{stem}-labels-idx1-ubyte.gz", np.arange(n))
    return tmp_path


@pytest.fixture
def forty(tmp_path):
    """A folder of 40 grey images; image i is filled with the value 6 i."""
    for i in range(40):
        Image.new("L", (8, 8), 6 * i).save(tmp_path / f"{i:02}.png")
    return tmp_path


def values(batch):
    """Which of the images of `forty` a batch holds."""
    return [int(image[0, 0, 0]) // 6 for image in batch]


def epoch_values(folder):
    return [value for batch in folder for value in values(batch)]


# Named sets


def test_list_datasets():
    assert datasets.list_datasets() == [
        "cifar10",
        "fashion_mnist",
        "fashion_mnist_10k",
        "mnist",
        "noto_emoji",
    ]


def test_bundled_set_is_the_test_set_of_fashion_mnist(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_DEBIAN", tmp_path)
    monkeypatch.setattr(datasets, "_load_from_keras", None)
    images, labels = datasets.load("fashion_mnist_10k", labels=True)
    assert images.shape == (10000, 28, 28, 1) and images.dtype == "uint8"
    assert labels.dtype == "uint8" and np.bincount(labels).tolist() == [1000] * 10
    assert hashlib.sha256(images.tobytes()).hexdigest() == IMAGES_SHA256
    assert hashlib.sha256(labels.tobytes()).hexdigest() == LABELS_SHA256
    assert images.flags.writeable
    np.testing.assert_array_equal(datasets.load("fashion_mnist_10k", "test"), images)


def test_bundled_set_carries_its_licence():
    notice = (Path(datasets.__file__).parent / "data/fashion_mnist_10k.LICENSE.txt").read_text()
    assert "Copyright (c) 2017 Zalando SE, https://tech.zalando.com" in notice
    assert "Permission is hereby granted, free of charge" in notice


def test_fashion_mnist_comes_from_the_debian_package(debian):
    images, labels = datasets.load("fashion_mnist", "train", labels=True)
    np.testing.assert_array_equal(images, np.arange(60).reshape(3, 4, 5, 1))
    assert images.dtype == "uint8" and labels.tolist() == [0, 1, 2]
    assert datasets.load("fashion_mnist", "test").shape == (2, 4, 5, 1)


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").exists(), reason="no dataset-fashion-mnist"
)
def test_the_real_debian_package_holds_the_bundled_images():
    np.testing.assert_array_equal(
        datasets.load("fashion_mnist", "test"), datasets.load("fashion_mnist_10k")
    )


def test_emoji_are_squared_on_white_and_split(tmp_path, monkeypatch):
    def bitmap(red):
        image = Image.new("RGBA", (136, 128), (0, 0, 0, 0))
        image.paste((red, 0, 0, 255), (34, 32, 102, 96))
        file = io.BytesIO()
        image.save(file, "PNG")
        return SimpleNamespace(imageData=file.getvalue())

    glyphs = {str(i): bitmap(i) for i in range(23)}
    font = {"CBDT": SimpleNamespace(strikeData=[glyphs])}
    monkeypatch.setattr("fontTools.ttLib.TTFont", lambda path, lazy: contextlib.nullcontext(font))
    monkeypatch.setattr(datasets, "_EMOJI", tmp_path)
    train, labels = datasets.load("noto_emoji", labels=True)
    test = datasets.load("noto_emoji", "test")
    assert (train.shape, test.shape, train.dtype) == ((20, 64, 64, 3), (3, 64, 64, 3), "uint8")
    assert not labels.any() and labels.shape == (20,)
    assert test[:, 32, 32].tolist() == [[0, 0, 0], [10, 0, 0], [20, 0, 0]]
    assert (test[:, 0] == 255).all() and (test[:, -1] == 255).all()
    assert (test[:, :, 0] == 255).all() and not (test[0, 32] == 255).all()


def test_emoji_without_the_font(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_EMOJI", tmp_path / "absent.ttf")
    with pytest.raises(OSError, match=r"absent\.ttf: apt install fonts-noto-color-emoji"):
        datasets.load("noto_emoji")


def test_fashion_mnist_without_the_package_goes_through_keras(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_DEBIAN", tmp_path / "absent")
    train, test = np.full((3, 28, 28), 1, "uint8"), np.full((2, 28, 28), 2, "uint8")
    result = (train, np.zeros(3, "uint8")), (test, np.ones(2, "uint8"))
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: result)
    images, labels = datasets.load("fashion_mnist", "test", labels=True)
    np.testing.assert_array_equal(images, test[..., None])
    assert labels.tolist() == [1, 1]


def test_idx_file_cut_short_within_the_compressed_stream(debian):
    path = debian / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is cut short or damaged"):
        datasets.load("fashion_mnist")


@pytest.mark.parametrize(
    ("keep", "why"),
    [(16 + 59, "size 59 "), (16 + 61, "size 61 "), (16, "size 0 "), (6, "buffer is smaller")],
)
def test_idx_file_of_the_wrong_length(debian, keep, why):
    path = debian / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress((gzip.decompress(path.read_bytes()) + b"\0")[:keep]))
    with pytest.raises(ValueError, match=f"train-images.*cut short or damaged .*{why}"):
        datasets.load("fashion_mnist")


@pytest.mark.parametrize("magic", [b"\0\0\x0d\x03", b"\0\0\x08\x01", b"PNG!"])
def test_idx_file_with_the_wrong_magic(debian, magic):
    write_idx(debian / "train-images-idx3-ubyte.gz", np.zeros((3, 4, 5)), magic)
    with pytest.raises(ValueError, match=f"starts with {magic.hex()}, not 00000803"):
        datasets.load("fashion_mnist")


def test_file_that_is_not_gzip(debian):
    (debian / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>moved</html>")
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz is cut short or damaged"):
        datasets.load("fashion_mnist")


def test_images_and_labels_that_do_not_match(debian):
    write_idx(debian / "train-labels-idx1-ubyte.gz", np.arange(4))
    with pytest.raises(ValueError, match="3 train images but 4 labels"):
        datasets.load("fashion_mnist")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_cifar10_is_always_channels_last(monkeypatch, data_format):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), "uint8")
    given = images.transpose(0, 3, 1, 2) if data_format == "channels_first" else images
    labels = np.array([[3], [1], [2]], "uint8")
    monkeypatch.setattr(keras.config, "image_data_format", lambda: data_format)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: ((given, labels),) * 2)
    loaded, classes = datasets.load("cifar10", labels=True)
    np.testing.assert_array_equal(loaded, images)
    assert classes.tolist() == [3, 1, 2]


@pytest.mark.parametrize("name", ["mnist", "cifar10", "fashion_mnist"])
def test_failed_download_says_which_why_and_what_to_do(tmp_path, monkeypatch, name):
    def fail():
        raise Exception("URL fetch failure on https://example.org: None -- no route")

    monkeypatch.setattr(datasets, "_DEBIAN", tmp_path / "absent")
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", fail)
    with pytest.raises(OSError) as caught:
        datasets.load(name)
    message = str(caught.value)
    assert f"'{name}'" in message and "no route" in message
    assert "~/.keras/datasets" in message and "'fashion_mnist_10k'" in message
    assert ("dataset-fashion-mnist" in message) == (name == "fashion_mnist")
    assert "\n" not in message


def test_unknown_name_and_split():
    with pytest.raises(ValueError, match=r"'fashion_minst'.*did you mean 'fashion_mnist'.*cifar10"):
        datasets.load("fashion_minst")
    with pytest.raises(ValueError, match="'train' or 'test', not 'validation'"):
        datasets.load("mnist", "validation")


# Folders


def gradient(size):
    width, height = size
    pixels = np.indices((height, width)).sum(0) * 255 // (width + height)
    return Image.fromarray(pixels.astype("uint8")).convert("RGB")


def test_mixed_formats_modes_sizes_and_nesting(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    gradient((40, 30)).save(tmp_path / "photo.JPG")
    gradient((30, 70)).save(deep / "image.webp")
    gradient((9, 9)).save(deep / "small.png")
    gradient((50, 50)).quantize(16).save(deep / "palette.gif")
    gradient((33, 21)).convert("LA").save(tmp_path / "grey_alpha.png")
    gradient((33, 21)).convert("RGBA").save(tmp_path / "alpha.png")
    gradient((33, 21)).convert("CMYK").save(tmp_path / "print.jpg")
    gradient((33, 21)).convert("1").save(tmp_path / "bits.bmp")
    gradient((33, 21)).convert("L").save(tmp_path / "grey.tiff")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "thumbnail.png").write_text("not an image")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = ImageFolder(tmp_path, image_size=(16, 24), batch_size=4)
        batches = list(folder)
    assert folder.num_images == 9 and folder.image_shape == (16, 24, 3)
    assert [batch.shape for batch in batches] == [(4, 16, 24, 3)] * 2 + [(1, 16, 24, 3)]
    assert all(batch.dtype == "uint8" for batch in batches)
    # A gradient stays one: dark in the first corner, bright in the last.
    images = np.concatenate(batches).astype(int)
    assert (images[:, -4:, -4:].mean((1, 2, 3)) > images[:, :4, :4].mean((1, 2, 3)) + 50).all()


def only(tmp_path, size=8, channels=3):
    folder = ImageFolder(tmp_path, size, channels)
    assert folder.num_images == 1
    return folder[0][0]


def assert_green_and_centred(image):
    """The filter sees a little of what lies beyond the crop, as much on either side."""
    assert abs(image.astype(int) - GREEN).max() <= 24
    assert abs(image - image[::-1, ::-1].astype(int)).max() <= 1


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_centre_crop(tmp_path, size):
    image = Image.new("RGB", size, RED)
    image.paste(GREEN, (0, 30, 30, 60) if size == (30, 90) else (30, 0, 60, 30))
    image.save(tmp_path / "x.png")
    assert_green_and_centred(only(tmp_path))


def test_crop_keeps_the_targets_aspect_ratio(tmp_path):
    image = Image.new("RGB", (60, 60), RED)
    image.paste(GREEN, (0, 15, 60, 45))
    image.save(tmp_path / "x.png")
    assert_green_and_centred(only(tmp_path, size=(10, 20)))


def test_resize_is_antialiased(tmp_path):
    checkers = (np.indices((256, 256)).sum(0) % 2 * 255).astype("uint8")
    Image.fromarray(checkers).save(tmp_path / "x.png")
    image = only(tmp_path, channels=1).astype(int)
    assert abs(image - 127).max() <= 2


def test_large_jpeg_read_at_a_fraction_looks_like_the_whole_one(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), "uint8"))
    coarse.resize((1200, 900), Image.Resampling.BICUBIC).save(tmp_path / "x.jpg", quality=95)
    with Image.open(tmp_path / "x.jpg") as image:
        whole = datasets._fit(image, (32, 32, 3))
    sizes, fit = [], datasets._fit
    monkeypatch.setattr(
        datasets, "_fit", lambda image, shape: (sizes.append(image.size), fit(image, shape))[1]
    )
    assert abs(only(tmp_path, 32).astype(int) - whole).max() <= 2
    assert set(sizes) == {(300, 225)}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_put_on_white(tmp_path, mode, channels):
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([0, 0, 0])
        image.save(tmp_path / "x.png", transparency=0)
    else:
        Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode).save(tmp_path / "x.png")
    assert (only(tmp_path, channels=channels) == 255).all()


def test_half_transparent_black_is_grey(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "x.png")
    assert (only(tmp_path) == 127).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    Image.fromarray(np.full((8, 8), 100 * 257, "uint16")).save(tmp_path / f"x.{suffix}")
    assert (only(tmp_path) == 100).all()


def test_cmyk_keeps_its_colour(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=95)
    assert abs(only(tmp_path).astype(int) - RED).max() <= 3


def test_colour_to_one_channel(tmp_path):
    Image.new("RGB", (8, 8), RED).save(tmp_path / "x.png")
    image = only(tmp_path, channels=1)
    assert image.shape == (8, 8, 1) and (image == 76).all()  # 0.299 of 255


def test_exif_orientation_is_respected(tmp_path):
    upright = Image.new("RGB", (32, 32), RED)
    upright.paste(GREEN, (0, 0, 32, 16))  # green above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    upright.rotate(90).save(tmp_path / "x.jpg", quality=95, exif=exif)
    image = only(tmp_path).astype(int)
    assert abs(image[0] - GREEN).max() <= 9 and abs(image[-1] - RED).max() <= 9


def test_float_pixels_are_skipped_with_the_reason(forty):
    Image.new("F", (8, 8), 0.5).save(forty / "float.tiff")
    folder = ImageFolder(forty, 8, 1, batch_size=41)
    with pytest.warns(UserWarning, match=r"float\.tiff is skipped.*floats"):
        folder[0]


# Files that do not decode


def spoil(path):
    """Leaves the header of a PNG, 33 bytes, and cuts the pixels."""
    path.write_bytes(path.read_bytes()[:45])


def test_file_that_is_no_image_is_named_once_and_left_out(forty):
    (forty / "page.jpg").write_text("<html>404</html>")
    with pytest.warns(UserWarning, match=r"page\.jpg is skipped") as caught:
        folder = ImageFolder(forty, 8, 1, batch_size=16)
        epochs = [epoch_values(folder), (folder.on_epoch_end(), epoch_values(folder))[1]]
    assert len(caught) == 1 and folder.num_images == 40
    assert [sorted(epoch) for epoch in epochs] == [list(range(40))] * 2


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp"])
def test_truncated_file_is_named_once_and_replaced(forty, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")
    path = forty / f"cut.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
    with pytest.warns(UserWarning, match=rf"cut\.{suffix} is skipped") as caught:
        folder = ImageFolder(forty, 8, 1, batch_size=16)
        for _ in range(3):
            epoch = list(folder)
            assert [len(batch) for batch in epoch] == [16, 16, folder.num_images - 32]
            assert set(values(np.concatenate(epoch))) == set(range(40))
            folder.on_epoch_end()
    assert len(caught) == 1


def test_stand_ins_are_spread_and_follow_from_the_seed(forty):
    for i in range(20):
        spoil(forty / f"{i:02}.png")
    with pytest.warns(UserWarning) as caught:
        first, second = (epoch_values(ImageFolder(forty, 8, 1, seed=3)) for _ in range(2))
    assert len(caught) == 40  # 20 by each of the two
    assert first == second and set(first) == set(range(20, 40))
    assert max(first.count(i) for i in range(20, 40)) < 8


@pytest.mark.parametrize("make", [lambda path: None, lambda path: (path / "a.txt").write_text("")])
def test_folder_without_images(tmp_path, make):
    make(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path.name}' has no image that can be read"):
        ImageFolder(tmp_path)


def test_folder_of_bad_images_only(forty):
    for path in forty.iterdir():
        spoil(path)
    (forty / "zero.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="has no image that can be read"), pytest.warns() as caught:
        ImageFolder(forty)
    assert len(caught) == 41


def test_images_that_vanish_end_the_run_with_the_folders_name(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    folder = ImageFolder(tmp_path)
    (tmp_path / "x.png").unlink()
    with pytest.raises(ValueError, match=f"{tmp_path.name}' has no image that"), pytest.warns():
        folder[0]


def test_folder_that_is_absent_or_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent' does not exist"):
        ImageFolder(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file' is a file; give the folder"):
        ImageFolder(tmp_path / "file")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("image_size", 0),
        ("image_size", (8, -1)),
        ("image_size", (8, 8, 3)),
        ("image_size", 8.5),
        ("channels", 4),
        ("batch_size", 0),
    ],
)
def test_arguments_out_of_range(forty, argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be"):
        ImageFolder(forty, **{argument: value})


# Streaming and order


def test_images_are_streamed(tmp_path, monkeypatch):
    for i in range(24):
        Image.new("RGB", (256, 256), (i, i, i)).save(tmp_path / f"{i}.png")
    alive, most, opened = 0, 0, 0
    real_open = Image.open

    def closed():
        nonlocal alive
        alive -= 1

    def counting_open(*args, **kwargs):
        nonlocal alive, most, opened
        image = real_open(*args, **kwargs)
        weakref.finalize(image, closed)
        alive, opened = alive + 1, opened + 1
        most = max(most, alive)
        return image

    monkeypatch.setattr(Image, "open", counting_open)
    tracemalloc.start()
    try:
        folder = ImageFolder(tmp_path, image_size=256, batch_size=2)
        assert opened == 25  # the headers, and one image decoded
        assert sum(len(batch) for batch in folder) == 24
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert opened == 25 + 24 and most == 1
    assert peak < 4 * (2 * 256 * 256 * 3)  # the folder's pixels are 12 such batches


def test_each_epoch_is_a_new_order_of_all_images(forty):
    folder = ImageFolder(forty, 8, 1, batch_size=16, seed=1)
    epochs = []
    for _ in range(3):
        assert [len(batch) for batch in folder] == [16, 16, 8] and len(folder) == 3
        epochs.append(epoch_values(folder))
        folder.on_epoch_end()
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]

    again, other = (ImageFolder(forty, 8, 1, batch_size=16, seed=seed) for seed in (1, 2))
    assert epoch_values(again) == epochs[0] != epoch_values(other)
    again.on_epoch_end()
    assert epoch_values(again) == epochs[1]


def test_without_shuffle_the_order_is_that_of_the_paths(forty):
    folder = ImageFolder(forty, 8, 1, shuffle=False)
    for _ in range(2):
        assert epoch_values(folder) == list(range(40))
        folder.on_epoch_end()


def test_batches_by_index(forty):
    folder = ImageFolder(forty, 8, 1, batch_size=16)
    np.testing.assert_array_equal(folder[-1], folder[2])
    with pytest.raises(IndexError):
        folder[3]


def test_a_pickled_copy_delivers_the_same(forty):
    folder = ImageFolder(forty, 8, 1)
    folder.on_epoch_end()
    assert epoch_values(pickle.loads(pickle.dumps(folder))) == epoch_values(folder)


# With Keras


class Mean(keras.Model):
    """The smallest model that trains on images alone."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(initializer="ones")

    def call(self, images):
        return self.scale * keras.ops.mean(keras.ops.cast(images, "float32"), axis=(1, 2, 3)) / 255

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)


class RecordingFolder(ImageFolder):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.epochs = [[]]

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        self.epochs[-1].append((index, values(batch)))
        return batch

    def on_epoch_end(self):
        super().on_epoch_end()
        self.epochs.append([])


@pytest.mark.parametrize("workers", [1, 3])
def test_fit_from_a_folder(forty, workers):
    folder = RecordingFolder(forty, 8, 1, batch_size=16, workers=workers)
    model = Mean()
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    history = model.fit(folder, epochs=3, verbose=0).history["loss"]
    assert len(history) == 3 and history[0] > history[1] > history[2]
    # Keras reads some batches more, to build the model: with workers, it may be an epoch.
    orders = [dict(epoch) for epoch in folder.epochs if len(dict(epoch)) == len(folder)]
    assert len(orders) >= 3
    flat = [order[0] + order[1] + order[2] for order in orders]
    assert all(sorted(order) == list(range(40)) for order in flat)
    assert len(set(map(tuple, flat))) == len(flat)


def test_evaluate_and_predict_from_a_folder(forty):
    folder = ImageFolder(forty, 8, 1, batch_size=16, shuffle=False)
    model = Mean()
    model.compile()
    means = model.predict(folder, verbose=0)
    np.testing.assert_allclose(means, 6 * np.arange(40) / 255, rtol=1e-5)
    assert math.isclose(model.evaluate(folder, verbose=0), means.mean(), rel_tol=0.1)


ITERATE = """
import sys
from keras_gan import datasets
print(sum(len(batch) for batch in datasets.ImageFolder(sys.argv[1], 8)), *sys.modules)
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow is the backend")
def test_no_tensorflow_is_needed(forty):
    output = subprocess.run(
        [sys.executable, "-c", ITERATE, forty],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert output[0] == "40" and keras.backend.backend() in output
    assert "tensorflow" not in output


# What the command line opens


def test_open_a_name(debian):
    images = datasets.open_images("fashion_mnist")
    np.testing.assert_array_equal(images, datasets.load("fashion_mnist", "train"))


@pytest.mark.parametrize(("split", "n"), [("train", 3), ("test", 2)])
def test_open_a_split_of_a_name(debian, split, n):
    images = datasets.open_images("fashion_mnist", split=split)
    assert images.shape == (n, 4, 5, 1)
    np.testing.assert_array_equal(images, datasets.load("fashion_mnist", split))
    small = datasets.open_images("fashion_mnist", image_size=(2, 3), channels=3, split=split)
    assert small.shape == (n, 2, 3, 3)


def test_open_an_unknown_split(debian):
    with pytest.raises(ValueError, match="'train' or 'test', not 'validation'"):
        datasets.open_images("fashion_mnist", split="validation")


def test_open_a_name_at_another_size_and_depth(debian):
    write_idx(debian / "train-images-idx3-ubyte.gz", np.arange(3)[:, None, None] + np.zeros((4, 6)))
    images = datasets.open_images("fashion_mnist", image_size=(7, 5), channels=3)
    assert images.dtype == "uint8"
    np.testing.assert_array_equal(
        images, np.broadcast_to(np.arange(3)[:, *[None] * 3], images.shape)
    )
    assert images.shape == (3, 7, 5, 3)


def test_open_a_folder(forty):
    folder = datasets.open_images(str(forty), batch_size=5, seed=4)
    assert folder.image_shape == (64, 64, 3) and folder[0].shape == (5, 64, 64, 3)
    assert epoch_values(folder) == epoch_values(ImageFolder(forty, seed=4))
    folder = datasets.open_images(forty, image_size=(4, 6), channels=1, split="test")
    assert folder.image_shape == (4, 6, 1)


def test_a_path_is_a_folder_even_if_its_name_is_that_of_a_set(forty, monkeypatch):
    (forty / "mnist").mkdir()
    Image.new("L", (8, 8)).save(forty / "mnist" / "x.png")
    monkeypatch.chdir(forty)
    assert datasets.open_images(Path("mnist")).num_images == 1


def test_open_what_is_neither():
    with pytest.raises(ValueError, match=r"neither a folder.*called 'minst'; did you mean") as e:
        datasets.open_images("minst")
    assert "'mnist'" in str(e.value)
    assert "cifar10, fashion_mnist, fashion_mnist_10k, mnist, noto_emoji" in str(e.value)
    with pytest.raises(ValueError, match="neither a folder nor a data set called ''"):
        datasets.open_images("")


@pytest.mark.parametrize(("argument", "value"), [("image_size", 0), ("channels", 2)])
def test_open_a_name_with_arguments_out_of_range(debian, argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be"):
        datasets.open_images("fashion_mnist", **{argument: value})
