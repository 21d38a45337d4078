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


@pytest.mark.once
def test_the_notebook(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", BACKEND)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FEW))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    # One picture for all epochs, and one for each of the last three cells.
    assert len(shown) == 4
    assert sum("display_id" in output.get("transient", {}) for output in outputs) <= 1
