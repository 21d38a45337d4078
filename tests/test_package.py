"""The wheel and the source distribution: what is in them, and that they work alone."""

import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser

import pytest
from conftest import ROOT

pytestmark = pytest.mark.once

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STEM = f"keras_gan-{PROJECT['version']}"


def command(*arguments, **options):
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, **options
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the two distributions, and what building them printed."""
    source, out = tmp_path_factory.mktemp("source") / "keras-gan", tmp_path_factory.mktemp("dist")
    # A copy, so that what earlier builds left in the tree plays no part.
    ignore = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "results"
    )
    shutil.copytree(ROOT, source, ignore=ignore)
    # The source distribution, and the wheel from it: so it is complete.
    printed = command("-m", "build", "--no-isolation", "--outdir", out, source)
    return out, printed


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(built[0] / f"{STEM}-py3-none-any.whl") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Runs Python elsewhere, with the installed wheel ahead of the tree."""
    target, elsewhere = tmp_path_factory.mktemp("target"), tmp_path_factory.mktemp("elsewhere")
    wheel = built[0] / f"{STEM}-py3-none-any.whl"
    command("-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(target), "KERAS_BACKEND": "jax"}
    return target, lambda *arguments: command(*arguments, cwd=elsewhere, env=environment)


def test_build_gives_no_warnings(built):
    lines = [line for line in built[1].splitlines() if "warn" in line.lower()]
    # Whether byte code is written is the environment's choice.
    assert not [line for line in lines if "byte-compiling" not in line]


def test_wheel_holds_the_library_and_the_zoo_only(wheel):
    info = f"{STEM}.dist-info/"
    assert all(name.startswith(("keras_gan/", "keras_gan_cli.py", info)) for name in wheel)
    modules = {
        f"keras_gan/{path.relative_to(ROOT / 'keras_gan')}" for path in python_files("keras_gan")
    }
    modules |= {f"keras_gan/{path.relative_to(ROOT)}" for path in (ROOT / "zoo").glob("*.py")}
    modules.add("keras_gan_cli.py")
    assert {name for name in wheel if name.endswith(".py")} == modules
    assert not [name for name in wheel if name.startswith("keras_gan/zoo/tools/")]
    data = {f"keras_gan/data/{path.name}" for path in (ROOT / "keras_gan/data").iterdir()}
    assert data <= set(wheel)
    assert wheel[f"{info}licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert f"{info}licenses/keras_gan/data/fashion_mnist_10k.LICENSE.txt" in wheel
    assert b"keras-gan = keras_gan_cli:main" in wheel[f"{info}entry_points.txt"]


def python_files(folder):
    return [p for p in (ROOT / folder).glob("**/*.py") if "__pycache__" not in p.parts]


def test_wheel_holds_the_presets_and_stays_small(wheel):
    files = (path.parent.glob("*") for path in (ROOT / "zoo").glob("*/metadata.json"))
    files = itertools.chain.from_iterable(files)
    presets = {f"keras_gan/{path.relative_to(ROOT)}" for path in files}
    assert "keras_gan/zoo/dcgan_fashion_mnist/model.weights.h5" in presets <= set(wheel)
    assert sum(len(wheel[name]) for name in presets) < 45e6


def test_metadata(wheel):
    metadata = Parser().parsestr(wheel[f"{STEM}.dist-info/METADATA"].decode())
    assert metadata["Name"] == "keras-gan"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert set(metadata.get_all("Provides-Extra")) == {"tensorflow", "torch", "jax", "hub", "demo"}
    required = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    assert "keras<3.16,>=3.15" in required
    assert not any(r.startswith(("tensorflow", "torch", "jax")) for r in required)


def test_source_distribution(built):
    with tarfile.open(built[0] / f"{STEM}.tar.gz") as archive:
        names = {name.removeprefix(f"{STEM}/") for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "zoo/__init__.py"} <= names
    assert {f"keras_gan/data/{p.name}" for p in (ROOT / "keras_gan/data").iterdir()} <= names


USE = """
import pathlib, sys
import keras_gan, keras_gan.zoo
for module in (keras_gan, keras_gan.gan, keras_gan.zoo, keras_gan.zoo.dcgan):
    assert pathlib.Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__
gan = keras_gan.create_model("dcgan", image_shape=(16, 16, 1))
images = gan.generate(2, seed=0)
assert (images.shape, images.dtype) == ((2, 16, 16, 1), "uint8")
print(keras_gan.__version__, keras_gan.list_models())
"""


def test_installed_wheel_works_alone(installed):
    target, run = installed
    printed = run("-c", USE, target)
    assert f"{PROJECT['version']} [" in printed
    assert "wgan_gp" in printed


def test_installed_command_works(installed):
    assert "wgan_gp" in installed[1]("-m", "keras_gan_cli", "list")
    assert "wgan_gp" in installed[1]("-m", "keras_gan", "list")


def test_bundled_images_are_installed(installed):
    code = (
        "from keras_gan import datasets; import numpy as np;"
        "print(np.shape(datasets.load('fashion_mnist_10k')))"
    )
    assert "(10000, 28, 28, 1)" in installed[1]("-c", code)


def test_there_is_no_top_level_zoo(installed):
    code = "import importlib.util; print(importlib.util.find_spec('zoo'))"
    assert installed[1]("-c", code).strip() == "None"


def test_version_is_told_once():
    import keras_gan

    assert keras_gan.__version__ == PROJECT["version"]
