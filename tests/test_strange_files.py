"""Folders of images from strangers: files that are not what they seem, links in circles, huge ones.

Nothing here depends on the backend.
"""

import io
import os
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from conftest import assert_readable, folder_numbers
from PIL import Image

from keras_gan import waiting
from keras_gan.datasets import ImageFolder, decoding, image_files, read_image, resizing

pytestmark = pytest.mark.once

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 100 100
%%EndComments
showpage
"""


def save(path, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 99).save(path)
    return path


# Formats.


@pytest.fixture
def started(monkeypatch):
    """The programs that were started."""
    programs = []

    def start(self, *arguments, **options):
        programs.append(arguments)
        raise OSError("nothing is started in this test")

    monkeypatch.setattr(subprocess.Popen, "__init__", start)
    return programs


def test_no_program_is_started_for_a_file_of_another_format(tmp_path, started, monkeypatch):
    save(tmp_path / "right.png")
    (tmp_path / "x.png").write_bytes(EPS)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")  # As if Ghostscript were installed.
    with pytest.raises(OSError), Image.open(tmp_path / "x.png") as image:
        image.load()  # Pillow alone starts it.
    assert started.pop()
    with pytest.warns(UserWarning, match=r"x\.png is skipped"):
        folder = ImageFolder(tmp_path, 8)
    assert folder.num_images == 1
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image") as error:
        read_image(tmp_path / "x.png", (8, 8, 1))
    assert_readable(error)
    assert not started


@pytest.mark.parametrize("kind", ["PDF", "EPS", "ICO", "TGA", "SGI", "ICNS", "PCX", "IM"])
def test_formats_that_are_not_named_are_not_decoded(tmp_path, kind):
    if kind not in Image.SAVE:
        Image.init()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "x.png", kind)
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image"):
        read_image(tmp_path / "x.png", (8, 8, 3))


@pytest.mark.parametrize("kind", ["GIF", "JPEG", "JPEG2000", "PPM", "TIFF", "WEBP", "BMP"])
def test_the_content_chooses_the_decoder(tmp_path, kind):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "x.png", kind)
    assert abs(read_image(tmp_path / "x.png", (8, 8, 3)).mean((0, 1)) - [255, 0, 0]).max() < 3


# Links, pipes and devices.


def numbers(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = ImageFolder(folder, 8, 1, shuffle=False)
    return [number for batch in images for number in folder_numbers(batch)]


def test_links_in_circles_and_to_parents_are_passed_over(tmp_path):
    folder = tmp_path / "all" / "mine"
    save(folder / "a" / "x.png")
    save(tmp_path / "all" / "not_mine.png")
    for name, target in {
        "here": ".", "again": ".", "a/up": "..", "a/b": "../a", "above": "../..", "root": "/",
        "self": "self", "nowhere": "missing", "self.png": "self.png",
    }.items():  # fmt: skip
        (folder / name).symlink_to(target)
    assert image_files(folder) == [str(folder / "a" / "x.png")]


def test_links_are_followed_once(forty, tmp_path_factory):
    folder = tmp_path_factory.mktemp("links")
    (folder / "a_link").symlink_to(forty)
    (folder / "same").symlink_to(forty)
    assert numbers(folder) == list(range(40))
    (folder / "one.png").symlink_to(forty / "07.png")  # A file may come twice, if it is wanted.
    assert sorted(numbers(folder)) == sorted([*range(40), 7])


def test_a_folder_goes_by_its_own_name_not_by_that_of_a_link(tmp_path):
    save(tmp_path / "b" / "x.png")
    (tmp_path / "a").symlink_to("b")
    assert ImageFolder(tmp_path, 8, labels=True).class_names == ["b"]


def test_pipes_and_devices_are_passed_over(forty):
    os.mkfifo(forty / "pipe.png")
    (forty / "device.png").symlink_to("/dev/zero")
    assert numbers(forty) == list(range(40))
    with pytest.raises(ValueError, match=r"pipe\.png cannot be read.*not a regular file"):
        read_image(forty / "pipe.png", (8, 8, 1))


def test_folders_that_cannot_be_read_are_named_in_one_warning(forty, monkeypatch):
    scan = os.scandir
    for name in ("closed", "locked"):
        save(forty / name / "x.png")

    def scandir(path):
        if os.path.basename(path) in ("closed", "locked"):
            raise PermissionError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.warns(UserWarning, match="closed and 1 other folders cannot be read") as caught:
        assert ImageFolder(forty, 8).num_images == 40
    assert len(caught) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("folder", ["/", "/proc/self", "/proc/self/root"])
def test_system_folders_end_in_a_sentence(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # To which /proc/self/cwd leads.
    with pytest.raises(ValueError) as error, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ImageFolder(folder)
    assert_readable(error, folder)


# Sizes.


def header_only(path, width, height, kind="PNG"):
    """Writes a file whose header gives a size, and whose pixels are missing."""
    written = io.BytesIO()
    Image.new("L", (8, 8)).save(written, kind)
    content = bytearray(written.getvalue())
    if kind == "PNG":
        content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    else:  # BMP
        content[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_sizes_are_bounded_before_decoding(forty, monkeypatch, kind):
    header_only(forty / "huge.png", 13000, 13000, kind)
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail(f"{image.size} is decoded"))
    with pytest.raises(ValueError, match="13000×13000 pixels are more than the 67,108,864 allowed"):
        read_image(forty / "huge.png", (8, 8, 1))


def test_images_too_large_are_left_out(forty, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 8 * 8)
    save(forty / "large.png", (9, 8))
    with pytest.warns(UserWarning, match=r"large\.png is skipped.*9×8 pixels"):
        assert ImageFolder(forty, 8).num_images == 40
    monkeypatch.setattr(decoding, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="more than the 10 bytes allowed"):
        read_image(forty / "00.png", (8, 8, 1))


def test_photos_are_bounded_at_the_size_they_are_decoded_at(tmp_path, monkeypatch):
    save(tmp_path / "photo.jpg", (512, 512))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64 * 64)
    assert read_image(tmp_path / "photo.jpg", (8, 8, 1)).shape == (8, 8, 1)


@pytest.mark.parametrize("size", [10**6, (8, resizing.MAX_PIXELS)])
def test_impossible_sizes_are_not_blamed_on_the_images(forty, size):
    with pytest.raises(ValueError, match="image_size must give at most 67,108,864 pixels") as error:
        ImageFolder(forty, size)
    assert_readable(error)


def test_16_bit_values_are_rounded():
    values = np.arange(65536, dtype="uint16").reshape(256, 256)
    fitted = resizing.fit_image(Image.fromarray(values), (256, 256, 1))[..., 0]
    np.testing.assert_array_equal(fitted, np.rint(values / 257).astype("uint8"))


# Progress.


def test_progress_is_shown_after_a_while_and_on_stderr(forty, monkeypatch, capsys):
    assert ImageFolder(forty, 8).num_images == 40
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    ImageFolder(forty, 8)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"Looking for images in {forty}, files: 40",
        "Reading the headers of images: 1 of 40",
    ]


def test_progress_overwrites_the_line_of_a_terminal(monkeypatch, capsys):
    clock = iter([0.0, 2.9, 3.1, 3.2, 3.4])
    monkeypatch.setattr(waiting.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with waiting.Progress("Counting", 4000) as counter:
        for _ in range(4):
            counter.add(1000)
    start = "\r\x1b[K"
    shown = f"{start}Counting: 2,000 of 4,000{start}Counting: 4,000 of 4,000{start}"
    assert capsys.readouterr().err == shown
