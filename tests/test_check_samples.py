"""Errors about samples and names. Nothing here depends on the backend."""

import numpy as np
import pytest
from bad_samples import BAD_SAMPLES, SHAPE, floats
from conftest import assert_readable, pictures, points

from keras_gan.errors import check_samples, closest

pytestmark = pytest.mark.once

ARRAYS = [name for name, (data, *_) in BAD_SAMPLES.items() if hasattr(data, "shape")]


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_arrays(case):
    data, kind, *words = BAD_SAMPLES[case]
    with pytest.raises(kind) as error:
        check_samples(data, SHAPE)
    assert_readable(error, *words)


@pytest.mark.parametrize("index", [0, 4095, 4096, 5000])
def test_one_bad_value_is_found_wherever_it_is(index):
    samples = np.zeros((5001, 2), "float16")
    check_samples(samples, (2,))
    samples[index, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity; remove or fix these samples"):
        check_samples(samples, (2,))


def test_sides_of_any_length():
    check_samples(pictures(2, (9, 7, 3)), (None, None, 3))
    with pytest.raises(ValueError) as error:
        check_samples(pictures(2, (9, 7, 1)), (None, None, 3))
    assert_readable(error, "(n, any, any, 3)", "(2, 9, 7, 1)")


def test_images_in_half_of_the_range_are_warned_of(recwarn):
    for samples, shape in (
        (floats(-1, 1), SHAPE),
        (pictures(4, SHAPE), SHAPE),
        (points(8) ** 2, (2,)),
    ):
        check_samples(samples, shape)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="2 \\* images - 1"):
        check_samples(floats(0, 1), SHAPE)


def test_closest_names():
    assert closest("b", []) == "'b'. Known: none."
    assert closest("aba", ["abc", "zzz"]) == "'aba'; did you mean 'abc'? Known: abc, zzz."
