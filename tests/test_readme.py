"""Every code block of the README runs, on less data."""

import re
import shlex

import pytest
from conftest import ROOT

import keras_gan_cli

pytestmark = pytest.mark.once
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.strip().splitlines()
]


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize("block", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks(block):
    exec(compile(block, "README.md", "exec"), {})


def test_commands(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(8):
        Image.new("RGB", (70, 80), (30 * i, 0, 99)).save(tmp_path / "photos" / f"{i}.jpg")
    words = [shlex.split(line.split("&&")[-1]) for line in COMMANDS]
    words = [w for w in words if w[0].endswith("keras-gan")]
    assert len(words) == 5
    epochs = 0
    for _, command, *rest in words:
        if command == "train":
            epochs = epochs + 1 if "--resume" in rest else 1
            rest = _without(rest, "--epochs") + ["--steps-per-epoch", "1"]
            rest += ["--epochs", str(epochs), "--batch-size", "4"]
        if command == "evaluate":
            rest += ["--num-images", "16"]
        assert keras_gan_cli.main([command, *rest]) in (0, None), (command, rest)
    assert (tmp_path / "runs/first/samples.png").is_file()
    assert (tmp_path / "grid.png").is_file()


def _without(words, option):
    i = words.index(option) if option in words else len(words)
    return words[:i] + words[i + 2 :]
