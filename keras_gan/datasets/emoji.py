"""Noto's emoji: the bitmaps of Debian's font, with the groups of Unicode's list as classes."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from keras_gan.datasets.resizing import fit_image

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
LIST = Path("/usr/share/unicode/emoji/emoji-test.txt")
GROUPS = (
    "Smileys & Emotion", "People & Body", "Animals & Nature", "Food & Drink", "Travel & Places",
    "Activities", "Objects", "Symbols", "Flags",
)  # fmt: skip

_SHAPE = (64, 64, 3)
_MAN, _WOMAN, _PERSON = 0x1F468, 0x1F469, 0x1F9D1
_JOINERS = {0x200D, 0xFE0F}
# What makes variants of one emoji: skin tones, the signs of genders, an arrow for the direction.
_VARIANTS = {*range(0x1F3FB, 0x1F400), 0x2640, 0x2642, 0x27A1}
# Glyphs that are no emoji by themselves: keycaps and their parts, letters of flags, tones, hair.
_PARTS = {*map(ord, "#*0123456789"), 0x20E3, *range(0x1F1E6, 0x1F200), *range(0x1F3FB, 0x1F400),
          *range(0x1F9B0, 0x1F9B4)}  # fmt: skip

Sequence = tuple[int, ...]  # The code points of an emoji, sorted: fonts store some in reverse.


def load(split: str, labels: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns images, `uint8 (n, 64, 64, 3)`, and the numbers of their groups, `uint8 (n,)`.

    Args:
        split: `"train"` or `"test"`: every tenth emoji, with all its skin tones and genders.
        labels: Whether to return the groups; otherwise None.

    Raises:
        OSError: If the font, or with `labels` the list of emoji, is not installed.
    """
    from fontTools.ttLib import TTFont

    _require(FONT, "fonts-noto-color-emoji")
    if labels:
        _require(LIST, "unicode-data", " for its classes")
    with TTFont(FONT, lazy=True) as font:
        sequences = code_points(font)
        glyphs = font["CBDT"].strikeData[0]
        # All emoji, but not the glyphs that only serve to make some.
        found = [(name, sequences[name]) for name in glyphs if name in sequences]
        found = [(name, codes) for name, codes in found if len(codes) > 1 or codes[0] not in _PARTS]
        emoji = [codes for _, codes in found]
        kept = in_split(emoji, split)
        images = np.stack([_image(glyphs[found[i][0]].imageData) for i in kept])
    if not labels:
        return images, None
    groups = read_groups(LIST.read_text("utf-8").splitlines())
    numbers = [GROUPS.index(group_of(emoji[i], groups)) for i in kept]
    return images, np.array(numbers, "uint8")


def _require(path: Path, package: str, why: str = "") -> None:
    if not path.exists():
        raise OSError(f"noto_emoji needs {path}{why}; install it with apt install {package}.")


def code_points(font) -> dict[str, Sequence]:
    """Returns the code points that each glyph of a font stands for, alone or as a ligature."""
    single = {glyph: (code,) for code, glyph in font.getBestCmap().items()}
    found: dict[str, Sequence] = {}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            for first, ligatures in getattr(table, "ligatures", {}).items():
                for ligature in ligatures:
                    parts = [first, *ligature.Component]
                    if all(part in single for part in parts):
                        codes = [code for part in parts for code in single[part]]
                        found.setdefault(ligature.LigGlyph, _normalized(codes))
    return {glyph: _normalized(codes) for glyph, codes in single.items()} | found


def _normalized(codes: Iterable[int]) -> Sequence:
    return tuple(sorted(code for code in codes if code not in _JOINERS))


def base(emoji: Sequence) -> Sequence:
    """Returns what is common to an emoji's variants: no skin tone, gender or direction."""
    kept = [code for code in emoji if code not in _VARIANTS] or [*emoji]
    return _normalized(_PERSON if code in (_MAN, _WOMAN) else code for code in kept)


def in_split(emoji: list[Sequence], split: str) -> list[int]:
    """Returns the places of the emoji that are in a split; variants of one are in the same."""
    bases = [base(codes) for codes in emoji]
    test = set(sorted(set(bases))[::10])
    return [i for i, codes in enumerate(bases) if (codes in test) == (split == "test")]


def read_groups(lines: Iterable[str]) -> dict[Sequence, str]:
    """Returns the group of each emoji, and of each base, in Unicode's `emoji-test.txt`."""
    groups: dict[Sequence, str] = {}
    bases: dict[Sequence, str] = {}
    group = ""
    for line in lines:
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ").strip()
        elif group in GROUPS and line.strip() and not line.startswith("#"):
            codes = _normalized(int(code, 16) for code in line.split(";")[0].split())
            groups.setdefault(codes, group)
            bases.setdefault(base(codes), group)
    return bases | groups


def group_of(emoji: Sequence, groups: dict[Sequence, str]) -> str:
    """Returns the group of an emoji; of one that is newer than the list, that of its base or parts.

    Raises:
        ValueError: If the list has none of these.
    """
    # The colour that a newer emoji is given comes behind the emoji it is made from.
    for codes in (emoji, base(emoji), *((code,) for code in base(emoji))):
        if codes in groups:
            return groups[codes]
    names = " ".join(f"{code:04X}" for code in emoji)
    raise ValueError(f"{LIST} does not have the emoji {names}; install a newer unicode-data.")


def _image(bitmap: bytes) -> np.ndarray:
    """Returns a bitmap, squared, on white."""
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(bitmap), formats=["PNG"]).convert("RGBA")
    return fit_image(ImageOps.pad(image, (max(image.size),) * 2, color="#0000"), _SHAPE)
