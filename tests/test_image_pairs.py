"""Pairs of images from folders: how files are matched and cut, and in which order they come."""

import numpy as np
import pytest
from conftest import assert_readable
from PIL import Image

from keras_gan import datasets
from keras_gan.datasets import ImagePairs

pytestmark = pytest.mark.once


def grey(level, size=(12, 12)):
    return Image.new("L", size, int(level))


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def layouts(tmp_path):
    """Ten pairs of grey levels 10 · i and 10 · i + 5 in each layout: folder and targets."""
    for i in range(10):
        write(tmp_path / "inputs" / f"{i}.png", grey(10 * i))
        write(tmp_path / "outputs" / f"{i}.bmp", grey(10 * i + 5))
        write(tmp_path / "both" / "A" / "more" / f"{i}.png", grey(10 * i))
        write(tmp_path / "both" / "B" / "more" / f"{i}.webp", grey(10 * i + 5))
        side_by_side = Image.new("L", (25, 12), 255)  # Of an odd width: a white column between.
        side_by_side.paste(10 * i, (0, 0, 12, 12))
        side_by_side.paste(10 * i + 5, (13, 0, 25, 12))
        write(tmp_path / "beside" / f"{i}.png", side_by_side)
    return {
        "folders": (tmp_path / "inputs", tmp_path / "outputs"),
        "subfolders": (tmp_path / "both", "B"),
        "side by side": (tmp_path / "beside", "right"),
    }


@pytest.mark.parametrize("layout", ["folders", "subfolders", "side by side"])
def test_pairs_belong_together(layouts, layout):
    pairs = ImagePairs(*layouts[layout], image_size=(8, 6), channels=1, batch_size=4)
    assert len(pairs) == 3 and pairs.num_images == 10
    assert pairs.image_shape == pairs.input_shape == (8, 6, 1)
    seen = []
    for targets, inputs in pairs:
        assert targets.dtype == inputs.dtype == "uint8"
        assert targets.shape[1:] == inputs.shape[1:] == (8, 6, 1)
        assert all(len(np.unique(image)) <= 3 for image in [*targets, *inputs])
        levels = inputs[:, 4, 3, 0].astype(int)
        np.testing.assert_allclose(targets[:, 4, 3, 0].astype(int), levels + 5, atol=2)
        seen += np.rint(levels / 10).astype(int).tolist()
    assert sorted(seen) == [*range(10)] and seen != [*range(10)]


def test_the_other_direction_and_another_shape(layouts):
    folder, _ = layouts["side by side"]
    options = {"input_size": 4, "input_channels": 1, "shuffle": False}
    pairs = ImagePairs(folder, "left", image_size=8, **options)
    targets, inputs = pairs[0]
    assert targets.shape == (10, 8, 8, 3) and inputs.shape == (10, 4, 4, 1)
    np.testing.assert_array_equal(targets[:, 4, 4, 0], 10 * np.arange(10))
    np.testing.assert_array_equal(inputs[:, 2, 2, 0], 10 * np.arange(10) + 5)
    both, _ = layouts["subfolders"]
    targets, inputs = ImagePairs(both, "A", 8, 1, shuffle=False)[0]
    assert (targets[:, 4, 4, 0].astype(int) < inputs[:, 4, 4, 0]).all()
    assert ImagePairs(folder, "left").fingerprint != ImagePairs(folder, "right").fingerprint


def test_large_files_are_cut_before_they_are_made_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype="uint8")
    halves = np.full((300, 800, 3), 255, "uint8")
    halves[:, :400], halves[:, 400:] = noise // 8, 255 - noise // 8
    write(tmp_path / "a" / "photo.jpg", Image.fromarray(halves))
    targets, inputs = ImagePairs(tmp_path / "a", image_size=8)[0]
    assert inputs.max() < 40 and targets.min() > 215


@pytest.mark.parametrize(
    ("remove", "words"),
    [("inputs/3.png", ("1 have no partner", "'3'", "outputs")),
     ("outputs/7.bmp", ("1 have no partner", "'7'", "inputs"))],
)  # fmt: skip
def test_files_without_a_partner(layouts, tmp_path, remove, words):
    (tmp_path / remove).unlink()
    with pytest.raises(ValueError) as error:
        ImagePairs(*layouts["folders"])
    assert_readable(error, *words)


def test_folders_that_are_no_pairs(layouts, tmp_path):
    write(tmp_path / "inputs" / "3.bmp", grey(3))
    with pytest.raises(ValueError, match=r"several images are called '3'"):
        ImagePairs(*layouts["folders"])
    with pytest.raises(FileNotFoundError, match=r"'C' are neither a folder.*'left' or 'right'"):
        ImagePairs(tmp_path / "both", "C")
    (tmp_path / "both" / "C").mkdir()
    with pytest.raises(ValueError, match=r"two subfolders, inputs and targets.*has A, B, C"):
        ImagePairs(*layouts["subfolders"])


def test_a_pair_with_a_damaged_file_is_skipped(layouts, tmp_path):
    (tmp_path / "outputs" / "4.bmp").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"4\.bmp is skipped"):
        pairs = ImagePairs(*layouts["folders"], image_size=8, channels=1)
    assert pairs.num_images == 9
    targets, inputs = pairs[0]
    np.testing.assert_array_equal(targets[:, 0, 0].astype(int), inputs[:, 0, 0].astype(int) + 5)


def test_pairs_are_part_of_the_library():
    assert datasets.ImagePairs is ImagePairs
