"""The site: it builds without warnings, and the code on its pages runs, on less data."""

import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

pytestmark = pytest.mark.once
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def test_the_site_builds(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "index.html").is_file()


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.stem)
def test_the_code_of_a_page(page, tmp_path):
    (tmp_path / "photos").mkdir()
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (8, 70, 80, 3))):
        Image.fromarray(image.astype("uint8")).save(tmp_path / "photos" / f"{i}.jpg")
    names: dict = {}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)
