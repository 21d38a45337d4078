"""Parts of the examples on volumes and a backbone, which need no training to be checked."""

import importlib.util

import numpy as np
import pytest
from conftest import ROOT

pytestmark = pytest.mark.once


def example(name):
    """The module of an example."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_volumes_are_what_they_are_called():
    shapes, kinds = example("volumes").volumes(60, seed=0)
    assert shapes.dtype == "uint8"
    for shape, kind in zip(shapes[..., 0] > 127, kinds, strict=True):
        middle = np.argwhere(shape).mean(axis=0)
        assert shape[tuple(np.rint(middle).astype(int))] == (kind < 2)  # A ring has a hole.


def test_noise_has_the_values_of_the_volumes():
    module = example("volumes")
    shapes = module.volumes(4, seed=0)[0] / 127.5 - 1
    noise = module.noise_like(shapes)
    for one, other in zip(noise, shapes, strict=True):
        assert not np.array_equal(one, other)
        np.testing.assert_array_equal(np.sort(one, axis=None), np.sort(other, axis=None))


def test_a_pretrained_backbone_is_frozen():
    build = example("backbone").discriminator
    assert len(build(True).trainable_variables) == 4  # Of a convolution and a dense layer.
    assert len(build(False).trainable_variables) > 4
