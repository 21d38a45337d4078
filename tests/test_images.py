"""Grids of samples and curves of a training. Nothing here depends on the backend."""

import numpy as np
import pytest
from conftest import pictures
from PIL import Image

from keras_gan import images

pytestmark = pytest.mark.once


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grid_holds_every_image_between_white_gaps(channels):
    shown = pictures(7, (8, 10, channels)) // 2
    grid = images.image_grid(shown, columns=3)
    assert grid.dtype == "uint8"
    assert grid.shape == (28, 34) + ((channels,) if channels > 1 else ())
    cells = grid.reshape(28, 34, channels)
    for i, image in enumerate(shown):
        top, left = i // 3 * 10, i % 3 * 12
        np.testing.assert_array_equal(cells[top : top + 8, left : left + 10], image)
    assert (cells[8:10] == 255).all() and (cells[:, 10:12] == 255).all()
    assert (cells[20:, 12:] == 255).all()  # The empty places of the last row.


@pytest.mark.parametrize(
    ("n", "shape", "size"),
    [
        (64, (28, 28, 1), (238, 238)),
        (1, (8, 8, 1), (8, 8)),
        (3, (8, 8, 1), (18, 18)),
        (10, (8, 98, 1), (98, 98)),
    ],
)
def test_grid_is_nearly_square(n, shape, size):
    assert images.image_grid(pictures(n, shape)).shape == size


def test_grid_of_other_channels_shows_the_first_with_a_note():
    shown = pictures(4, (8, 8, 2))
    with pytest.warns(UserWarning, match="Of the 2 channels only the first is shown"):
        grid = images.image_grid(shown)
    np.testing.assert_array_equal(grid, images.image_grid(shown[..., :1]))


@pytest.mark.parametrize("shape", [(8, 8, 1), (0, 8, 8, 1), (4, 8, 8, 0)])
def test_grid_refuses_what_is_no_image(shape):
    with pytest.raises(ValueError, match="one or more images"):
        images.image_grid(np.zeros(shape, "uint8"))


def test_grid_refuses_floats():
    with pytest.raises(TypeError, match="uint8"):
        images.image_grid(np.zeros((1, 8, 8, 1)))


@pytest.mark.parametrize(
    ("shape", "mode"), [((5, 7), "L"), ((5, 7, 3), "RGB"), ((5, 7, 4), "RGBA")]
)
def test_saved_image_reads_back_the_same(tmp_path, shape, mode):
    image = pictures(1, shape)[0]
    images.save_image(tmp_path / "a.png", image)
    with Image.open(tmp_path / "a.png") as read:
        assert read.mode == mode
        np.testing.assert_array_equal(np.asarray(read), image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("epochs", [1, 50])
@pytest.mark.parametrize("names", [["d_loss", "g_loss", "d_real", "d_fake"], ["d_loss", "penalty"]])
def test_curves_draw_what_there_is(tmp_path, epochs, names):
    rows = [{"epoch": i + 1} | dict.fromkeys(names, 1 / (i + 1)) for i in range(epochs)]
    images.save_curves(tmp_path / "curves.png", rows)
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (600, 840, 3)
    assert (pixels[0, 0] == 255).all()
    blue = np.abs(pixels.astype(int) - [0x00, 0x72, 0xB2]).sum(-1) < 10
    assert blue.sum() > 20


def test_curves_draw_each_term_and_each_score_in_a_colour_of_its_own(tmp_path):
    names = ["d_loss", "g_loss", "gradient_penalty", "r1", "seconds", "learning_rate"]
    rows = [{"epoch": i + 1} | dict.fromkeys(names, i) | {"val_a_distance": i} for i in range(9)]
    images.save_curves(tmp_path / "curves.png", rows)
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (900, 840, 3)

    def drawn(colors):
        return [
            np.abs(pixels[:300] - tuple(bytes.fromhex(c[1:]))).sum(-1).min() < 10 for c in colors
        ]

    assert drawn(images.COLORS[:4]) == [True] * 4
    assert drawn(images.COLORS[4:]) == [False] * 2
