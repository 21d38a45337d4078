"""The throughput suite on its smallest selection: checks what it writes, never a time."""

import importlib
import json
import math

import keras
import pytest
from PIL import Image

import keras_gan
from benchmarks import throughput
from benchmarks.describe import describe

pytestmark = pytest.mark.once

BACKEND = keras.backend.backend()
POSITIVE = (
    "images_per_second",
    "ratio",
    "milliseconds",
    "d_milliseconds",
    "memory_mib",
    "flops_per_image",
    "bytes_per_image",
    "share_of_ceiling",
)
PROGRAMS = ["benchmarks.peers", "benchmarks.score", "benchmarks.step", "benchmarks.toys"]
TOOLS = ["bundle", "quality", "queue", "train_classifier", "train_emoji_classifier"]
PROGRAMS += [f"zoo.tools.{name}" for name in TOOLS]
TINY = (
    f"--backends {BACKEND} --variants vanilla --sizes 8x8x1 --batch-sizes 4 "
    "--scaling-variant vanilla --scaling-batches 4 --scaling-sizes 8 --inference-batches 1 2 "
    "--torch-modes eager --rounds 2 --round-seconds 0.01 --precisions float32"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    assert throughput.main([*TINY.split(), "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def results(folder):
    return json.loads((folder / "throughput.json").read_text())


def _positive(row, *names):
    return all(math.isfinite(row[name]) and row[name] > 0 for name in names)


def test_says_where_the_figures_come_from(results):
    assert results["command"].startswith("python -m benchmarks.throughput --backends")
    assert {"keras", "numpy", BACKEND} <= results["versions"].keys()
    assert results["device"]
    assert {"driver", "processor", "cores", "commit", "date"} <= results.keys()
    assert results["left_out"] == {}


def test_every_column_has_a_value(results):
    [row] = results["rows"]
    assert _positive(row, *POSITIVE)
    assert math.isclose(row["d_milliseconds"] + row["g_milliseconds"], row["milliseconds"])
    assert row["spread"][0] <= row["images_per_second"] <= row["spread"][1]
    assert row["bound"] in ("flops", "bytes")
    assert any(name.startswith("native") for name in row["sides"])
    compiles = {"jax": ("cold", "warm"), "tensorflow": ("cold",), "torch": ()}[BACKEND]
    for kind in ("cold", "warm"):
        assert (row[f"compile_{kind}_seconds"] is not None) == (kind in compiles)


def test_scaling_and_inference(results):
    assert [row["sweep"] for row in results["scaling"]] == ["batch", "size"]
    assert all(_positive(row, "milliseconds", "memory_mib") for row in results["scaling"])
    assert [row["batch_size"] for row in results["inference"]] == [1, 2]
    assert all(_positive(row, "milliseconds", "images_per_second") for row in results["inference"])


def test_writes_the_table_and_the_plots(folder):
    header, line, row = (folder / "throughput.md").read_text().splitlines()[4:7]
    assert header.count("|") == line.count("|") == row.count("|")
    for name in ("throughput.png", "scaling.png", "inference.png"):
        with Image.open(folder / name) as image:
            assert image.size > (400, 400)


def test_names_what_it_cannot_measure(tmp_path):
    tf32 = ["--parts", "table", "--precisions", "tf32", "--out", str(tmp_path)]
    assert throughput.main([*TINY.split(), *tf32]) == 0
    results = json.loads((tmp_path / "throughput.json").read_text())
    assert results["rows"] or "NVIDIA" in str(results["left_out"].values())


def test_names_what_there_was_no_time_for(tmp_path, capsys):
    assert throughput.main([*TINY.split(), "--minutes", "0", "--out", str(tmp_path)]) == 1
    assert "left out: table" in capsys.readouterr().out


def test_a_loss_that_the_native_loops_lack_is_refused():
    gan = keras_gan.create_model("vanilla", image_shape=(8, 8, 1), loss="minimax")
    with pytest.raises(ValueError, match="no loss 'minimax'"):
        describe(gan)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_start(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(name).main()
    assert stopped.value.code == 0
    assert "usage:" in capsys.readouterr().out
