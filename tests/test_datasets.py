"""Named sets, and opening a set or a folder. Nothing here depends on the backend."""

import gzip
import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_gan import datasets
from keras_gan.datasets import ImageFolder, named

pytestmark = pytest.mark.once

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
    monkeypatch.setattr(named, "_DEBIAN", tmp_path)
    for stem, n in (("train", 3), ("t10k", 2)):
        images = np.arange(n * 20).reshape(n, 4, 5)
        write_idx(tmp_path / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{stem}-labels-idx1-ubyte.gz", np.arange(n))
    return tmp_path


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
    monkeypatch.setattr(named, "_DEBIAN", tmp_path)
    monkeypatch.setattr(named, "_load_from_keras", None)
    images, labels = datasets.load("fashion_mnist_10k", labels=True)
    assert images.shape == (10000, 28, 28, 1) and images.dtype == "uint8"
    assert labels.dtype == "uint8" and np.bincount(labels).tolist() == [1000] * 10
    assert hashlib.sha256(images.tobytes()).hexdigest() == IMAGES_SHA256
    assert hashlib.sha256(labels.tobytes()).hexdigest() == LABELS_SHA256
    assert images.flags.writeable
    np.testing.assert_array_equal(datasets.load("fashion_mnist_10k", "test"), images)


def test_bundled_set_carries_its_licence():
    notice = (named._BUNDLED / "fashion_mnist_10k.LICENSE.txt").read_text()
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


def test_fashion_mnist_without_the_package_goes_through_keras(tmp_path, monkeypatch):
    monkeypatch.setattr(named, "_DEBIAN", tmp_path / "absent")
    train, test = np.full((3, 28, 28), 1, "uint8"), np.full((2, 28, 28), 2, "uint8")
    result = (train, np.zeros(3, "uint8")), (test, np.ones(2, "uint8"))
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: result)
    images, labels = datasets.load("fashion_mnist", "test", labels=True)
    np.testing.assert_array_equal(images, test[..., None])
    assert labels.tolist() == [1, 1]


def test_idx_file_truncated_within_the_compressed_stream(debian):
    path = debian / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is truncated or damaged"):
        datasets.load("fashion_mnist")


@pytest.mark.parametrize(
    ("keep", "why"),
    [(16 + 59, "size 59 "), (16 + 61, "size 61 "), (16, "size 0 "), (6, "buffer is smaller")],
)
def test_idx_file_of_the_wrong_length(debian, keep, why):
    path = debian / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress((gzip.decompress(path.read_bytes()) + b"\0")[:keep]))
    with pytest.raises(ValueError, match=f"train-images.*truncated or damaged .*{why}"):
        datasets.load("fashion_mnist")


@pytest.mark.parametrize("magic", [b"\0\0\x0d\x03", b"\0\0\x08\x01", b"PNG!"])
def test_idx_file_with_the_wrong_magic(debian, magic):
    write_idx(debian / "train-images-idx3-ubyte.gz", np.zeros((3, 4, 5)), magic)
    with pytest.raises(ValueError, match=f"starts with {magic.hex()}, not 00000803"):
        datasets.load("fashion_mnist")


def test_file_that_is_not_gzip(debian):
    (debian / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>moved</html>")
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz is truncated or damaged"):
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

    monkeypatch.setattr(named, "_DEBIAN", tmp_path / "absent")
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


# Opening a set or a folder


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
    np.testing.assert_array_equal(folder[0], ImageFolder(forty, batch_size=5, seed=4)[0])
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
