"""A folder of images: what is found and skipped, and in which order it comes.

Nothing here depends on the backend.
"""

import pickle
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest
from conftest import folder_numbers
from PIL import Image

from keras_gan.datasets import ImageFolder


def epoch_numbers(folder):
    return [number for batch in folder for number in folder_numbers(batch)]


# What is found


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
        for folder.epoch in range(2):
            assert sorted(epoch_numbers(folder)) == list(range(40))
    assert len(caught) == 1 and folder.num_images == 40


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
            assert set(folder_numbers(np.concatenate(epoch))) == set(range(40))
            folder.on_epoch_end()
    assert len(caught) == 1


def test_stand_ins_are_spread_and_follow_from_the_seed(forty):
    for i in range(20):
        spoil(forty / f"{i:02}.png")
    with pytest.warns(UserWarning) as caught:
        first, second = (epoch_numbers(ImageFolder(forty, 8, 1, seed=3)) for _ in range(2))
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
    with (
        pytest.raises(ValueError, match=f"{tmp_path.name}' has no image that can be read"),
        pytest.warns(),
    ):
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
        epochs.append(epoch_numbers(folder))
        folder.on_epoch_end()
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]

    again, other = (ImageFolder(forty, 8, 1, batch_size=16, seed=seed) for seed in (1, 2))
    assert epoch_numbers(again) == epochs[0] != epoch_numbers(other)
    again.on_epoch_end()
    assert epoch_numbers(again) == epochs[1]


def test_without_shuffle_the_order_is_that_of_the_paths(forty):
    folder = ImageFolder(forty, 8, 1, shuffle=False)
    for _ in range(2):
        assert epoch_numbers(folder) == list(range(40))
        folder.on_epoch_end()


def test_batches_by_index(forty):
    folder = ImageFolder(forty, 8, 1, batch_size=16)
    np.testing.assert_array_equal(folder[-1], folder[2])
    with pytest.raises(IndexError):
        folder[3]


def test_an_epoch_set_is_the_one_reached(forty):
    whole, resumed = (ImageFolder(forty, 8, 1, batch_size=16, seed=1) for _ in range(2))
    for _ in range(3):
        whole.on_epoch_end()
    resumed.epoch = 3
    assert whole.epoch == resumed.epoch == 3
    third = epoch_numbers(whole)
    assert epoch_numbers(resumed) == third
    resumed.on_epoch_end()
    assert resumed.epoch == 4 and epoch_numbers(resumed) != third
    resumed.epoch = 3
    assert epoch_numbers(resumed) == third


def test_an_epoch_set_brings_its_stand_ins(forty):
    spoil(forty / "07.png")
    stand_ins = []
    for start in (0, 1):
        with pytest.warns(UserWarning, match=r"07\.png is skipped"):
            folder = ImageFolder(forty, 8, 1, seed=2)
            for folder.epoch in range(start, 4):
                numbers = epoch_numbers(folder)
        stand_ins.append([number for number in numbers if numbers.count(number) == 2])
    assert len(stand_ins[0]) == 2 and stand_ins[0] == stand_ins[1]


def test_epochs_below_zero_are_refused(forty):
    folder = ImageFolder(forty, 8, 1)
    with pytest.raises(ValueError, match="epoch must be at least 0, not -1"):
        folder.epoch = -1
    assert folder.epoch == 0 and sorted(epoch_numbers(folder)) == list(range(40))


def test_a_pickled_copy_delivers_the_same(forty):
    folder = ImageFolder(forty, 8, 1)
    folder.epoch = 2
    copy = pickle.loads(pickle.dumps(folder))
    assert copy.epoch == 2 and epoch_numbers(copy) == epoch_numbers(folder)
