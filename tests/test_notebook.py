"""The notebook runs from its first cell to its last, on less data."""

import os

import nbformat
import pytest
from conftest import BACKEND, ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "examples/first_gan.ipynb"
# Where the notebook takes 10,000 images.
FEW = "import keras_gan; load = keras_gan.datasets.load; "
FEW += "keras_gan.datasets.load = lambda name: load(name)[:64]"


@pytest.mark.full  # A training, however short, in a process of its own.
@pytest.mark.once
def test_the_notebook(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", BACKEND)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FEW))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [[o for o in cell.outputs if "image/png" in o.get("data", {})] for cell in cells]
    # Data, training, samples, walks, neighbours: one picture each, so one for all epochs.
    assert [len(shown) for shown in outputs] == [0, 0, 1, 1, 1, 1, 1, 0]
    assert cells[-1].outputs[0]["data"]["text/plain"] == "True"  # The preset makes the same images.
