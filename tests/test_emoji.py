"""Noto's emoji: their bitmaps, their groups, and the variants that share a split."""

import contextlib
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import assert_readable
from PIL import Image

from keras_gan import datasets
from keras_gan.datasets import emoji
from keras_gan.metrics import ClassAccuracy, extractors

pytestmark = pytest.mark.once

FACE, HAND, CAT, MAN, WOMAN, PERSON, FARM = (
    0x1F600, 0x1F44B, 0x1F408, 0x1F468, 0x1F469, 0x1F9D1, 0x1F33E,
)  # fmt: skip
TONES = [*range(0x1F3FB, 0x1F400)]
JOINER = 0x200D
LIST = """
# group: Smileys & Emotion
1F600 ; fully-qualified # face
# group: People & Body
1F44B ; fully-qualified # hand
1F9D1 200D 1F33E ; fully-qualified # farmer
1F468 200D 1F33E ; fully-qualified # man farmer
# group: Component
1F3FB ; component # light skin
# group: Animals & Nature
1F408 ; fully-qualified # cat
1F33E ; fully-qualified # rice
"""


def bitmap(red):
    image = Image.new("RGBA", (136, 128), (0, 0, 0, 0))
    image.paste((red, 0, 0, 255), (34, 32, 102, 96))
    file = io.BytesIO()
    image.save(file, "PNG")
    return SimpleNamespace(imageData=file.getvalue())


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A font of a face, a cat, and a hand and farmers in all skin tones; and a list of groups."""
    ligatures = [(HAND, tone) for tone in TONES] + [(MAN, JOINER, FARM), (FARM, JOINER, WOMAN)]
    ligatures += [(WOMAN, tone, JOINER, FARM) for tone in TONES]
    codes = {code for ligature in ligatures for code in ligature} | {FACE, CAT, ord("1")}
    cmap = {code: f"u{code:X}" for code in codes}
    names = [f"u{code:X}" for code in (ord("1"), FACE, HAND, CAT, *TONES)]
    names += [f"glyph{i}" for i in range(len(ligatures))]
    made = {}
    for i, (first, *rest) in enumerate(ligatures):
        parts = SimpleNamespace(Component=[cmap[code] for code in rest], LigGlyph=f"glyph{i}")
        made.setdefault(cmap[first], []).append(parts)
    lookup = SimpleNamespace(SubTable=[SimpleNamespace(), SimpleNamespace(ligatures=made)])

    class Font(dict):
        def getBestCmap(self):
            return cmap

    table = SimpleNamespace(LookupList=SimpleNamespace(Lookup=[lookup]))
    glyphs = {name: bitmap(i) for i, name in enumerate(names)}
    font = Font(CBDT=SimpleNamespace(strikeData=[glyphs]), GSUB=SimpleNamespace(table=table))
    monkeypatch.setattr("fontTools.ttLib.TTFont", lambda path, lazy: contextlib.nullcontext(font))
    (tmp_path / "list.txt").write_text(LIST)
    monkeypatch.setattr(emoji, "FONT", tmp_path)
    monkeypatch.setattr(emoji, "LIST", tmp_path / "list.txt")
    return names


def reds(images):
    return images[:, 32, 32, 0].tolist()


def test_emoji_are_squared_on_white_and_have_groups(installed):
    (train, labels), (test, others) = (
        datasets.load("noto_emoji", split, labels=True) for split in ("train", "test")
    )
    assert train.shape[1:] == test.shape[1:] == (64, 64, 3)
    assert train.dtype == test.dtype == labels.dtype == others.dtype == "uint8"
    assert (train[:, 0] == 255).all() and (train[:, -1] == 255).all()
    assert (train[:, :, 0] == 255).all() and not (train[0, 32] == 255).all()
    names = [emoji.GROUPS[number] for number in [*labels, *others]]
    groups = dict(zip([installed[red] for red in reds(train) + reds(test)], names, strict=True))
    # Not the digit, and not the swatches of skin tones.
    assert len(groups) == len(train) + len(test) == len(installed) - 1 - len(TONES)
    assert groups.pop(f"u{FACE:X}") == "Smileys & Emotion"
    assert groups.pop(f"u{CAT:X}") == "Animals & Nature"
    assert set(groups.values()) == {"People & Body"}  # Also tones that the list does not have.


def test_variants_of_one_emoji_share_a_split(installed):
    test = reds(datasets.load("noto_emoji", "test"))
    # Of four bases (farmer, cat, hand, face) one is in the test split, with all its variants.
    assert sorted(installed[red] for red in test) == sorted(f"glyph{i}" for i in range(5, 12))
    assert emoji.base((MAN, FARM, TONES[2])) == emoji.base((FARM, PERSON)) != emoji.base((FARM,))


def test_emoji_without_the_packages(installed, tmp_path, monkeypatch):
    images = datasets.load("noto_emoji")
    (tmp_path / "list.txt").unlink()
    np.testing.assert_array_equal(datasets.load("noto_emoji"), images)
    np.testing.assert_array_equal(datasets.open_images("noto_emoji"), images)
    with pytest.raises(OSError) as error:
        datasets.load("noto_emoji", labels=True)
    assert_readable(error, "list.txt for its classes", "apt install unicode-data")
    monkeypatch.setattr(emoji, "FONT", tmp_path / "absent.ttf")
    with pytest.raises(OSError, match=r"absent\.ttf; install it with apt install fonts-noto-"):
        datasets.load("noto_emoji")


def test_a_list_that_is_too_old(installed, tmp_path):
    (tmp_path / "list.txt").write_text("# group: Flags\n")
    with pytest.raises(ValueError, match=r"does not have the emoji .*newer unicode-data"):
        datasets.load("noto_emoji", labels=True)


@pytest.mark.skipif(
    not (emoji.FONT.exists() and emoji.LIST.exists()), reason="the Debian packages are missing"
)
def test_the_bundled_classifier_is_as_good_as_its_card_says():
    images, labels = datasets.load("noto_emoji", "test", labels=True)
    assert set(labels) == {*range(9)}
    metric = ClassAccuracy("noto_emoji")
    metric.update_state(None, images, condition=labels)
    card = (extractors.DATA / "noto_emoji.md").read_text("utf-8")
    told = re.search(r"Balanced accuracy \| ([0-9.]+), .* on (\d+) images", card)
    assert float(told[1]) == pytest.approx(metric.result()["balanced_class_accuracy"], abs=0.01)
    assert int(told[2]) == len(images)
