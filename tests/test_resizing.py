"""How an image of a folder is decoded, cropped and resized. Nothing here depends on the backend."""

import numpy as np
import pytest
from PIL import Image

from keras_gan.datasets import ImageFolder, decoding
from keras_gan.datasets.resizing import fit_image

pytestmark = pytest.mark.once

RED, GREEN = (255, 0, 0), (0, 255, 0)


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
        whole = fit_image(image, (32, 32, 3))
    sizes = []

    def recording_fit(image, shape):
        sizes.append(image.size)
        return fit_image(image, shape)

    monkeypatch.setattr(decoding, "fit_image", recording_fit)
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
