"""The examples run, on little data and for a few steps; their pages have the figures of whole runs.

By default each runs once; `tests/run full` runs them on every backend.
"""

import importlib.util
import json
import shutil
import wave

import numpy as np
import pytest
from conftest import ROOT

EXAMPLES = sorted({path.stem for path in (ROOT / "examples").glob("*.py")} - {"digits_sounds"})
WORDS = "apple berry cherry damson elder fig grape hazel iris juniper kiwi lemon mango nut olive"


def words(folder):
    (folder / "words").write_text("\n".join(f"{a}{b}"[:9] for a in WORDS.split() for b in "abcdef"))
    return ["--words", folder / "words", "--steps", 2]


def digits(folder):
    """Tones in place of spoken digits."""
    (folder / "sounds").mkdir()
    time = np.arange(4096) / 8000
    for digit in range(10):
        for pitch in range(3):
            tone = np.sin(2 * np.pi * (200 + 100 * digit + 9 * pitch) * time) * np.exp(-4 * time)
            with wave.open(str(folder / "sounds" / f"{digit}_{pitch}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes((tone * 20_000).astype("<i2").tobytes())
    return ["--sounds", folder / "sounds", "--epochs", 1]


ARGUMENTS = {
    "backbone": lambda _: ["--steps", 2, "--epochs", 1, "--images", 300],
    "digits": digits,
    "series": lambda _: ["--steps", 2, "--count", 100],
    "table": lambda _: ["--steps", 5, "--splits", 1],
    "tuner": lambda _: ["--trials", 1, "--epochs", 1, "--images", 400],
    "volumes": lambda _: ["--epochs", 1, "--count", 128],
    "words": words,
}


def numbers(figures):
    """All numbers in nested dictionaries and lists."""
    if isinstance(figures, dict):
        figures = figures.values()
    elif not isinstance(figures, list):
        return [figures]
    return [number for part in figures for number in numbers(part)]


def check(name, folder, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = [*ARGUMENTS[name](folder), "--out", folder / "out"]
    figures = module.main(list(map(str, arguments)))
    assert len(numbers(figures)) >= 2 and np.isfinite(numbers(figures)).all()
    assert json.loads((folder / "out/figures.json").read_text()) == figures


@pytest.mark.once
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(name, tmp_path, monkeypatch):
    check(name, tmp_path, monkeypatch)


@pytest.mark.full
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_on_every_backend(name, tmp_path, monkeypatch):
    check(name, tmp_path, monkeypatch)


@pytest.mark.full
@pytest.mark.once
def test_espeak_makes_the_digits(monkeypatch, tmp_path):
    assert shutil.which("espeak-ng"), "Debian's package espeak-ng is needed."
    monkeypatch.syspath_prepend(ROOT / "examples")
    import digits_sounds

    monkeypatch.setattr(digits_sounds, "VOICES", ["en-us+f3"])
    digits_sounds.speak(tmp_path / "sounds")
    sounds, digits = digits_sounds.sounds_of(tmp_path / "sounds")
    assert sounds.shape == (250, 4096, 1) and sounds.dtype == "int16"
    assert (np.bincount(digits) == 25).all()
    assert (np.abs(sounds.astype(int)).max(axis=(1, 2)) >= 29_000).all()


@pytest.mark.once
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_has_a_page(name):
    assert len((ROOT / "examples" / f"{name}.py").read_text().splitlines()) < 120
    assert f"examples/{name}.py" in (ROOT / "docs/examples" / f"{name}.md").read_text()
    assert f"({name}.md)" in (ROOT / "docs/examples/index.md").read_text()
