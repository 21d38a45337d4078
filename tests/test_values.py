"""The range of samples: where it comes from, what is scaled into it, refused and warned of."""

import keras
import numpy as np
import pytest
from bad_samples import BAD_SAMPLES, SHAPE, floats
from conftest import assert_readable, fit, numpy, pictures, points
from keras import layers, ops

from keras_gan import GAN
from keras_gan.conditions import Downscaled, Masked
from keras_gan.values import Values, output_range

once = pytest.mark.once
ARRAYS = [name for name, (data, *_) in BAD_SAMPLES.items() if hasattr(data, "shape")]


def generator(activation, shape=(8, 8, 1), *more):
    size = int(np.prod(shape))
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(size, activation), layers.Reshape(shape), *more]
    )


def gan_of(activation, shape=(8, 8, 1), weight="glorot_uniform", **options):
    """A GAN whose discriminator's logit is a mean of the samples, if the weight is a number."""
    if not isinstance(weight, str):
        weight = keras.initializers.Constant(weight / np.prod(shape))
    logit = layers.Dense(1, use_bias=False, kernel_initializer=weight)
    discriminator = keras.Sequential([keras.Input(shape), layers.Flatten(), logit])
    gan = GAN(generator(activation, shape), discriminator, **options)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    return gan


# The range of a generator.


class Doubled(layers.Dense):
    def call(self, x):
        return 2 * super().call(x)


def of_operations():
    x = keras.Input((3,))
    return keras.Model(x, ops.reshape(ops.tanh(layers.Dense(4)(x)), (-1, 2, 2)))


def of_two(first, second):
    x = keras.Input((3,))
    return keras.Model(x, layers.Concatenate()([layers.Dense(2, a)(x) for a in (first, second)]))


def nested():
    moves = keras.Sequential([keras.Input((64,)), layers.Reshape((8, 8, 1))])
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(64, "sigmoid")])
    return keras.Sequential([keras.Input((3,)), inner, moves])


GENERATORS = {
    "tanh": (lambda: generator("tanh"), (-1, 1)),
    "sigmoid": (lambda: generator("sigmoid"), (0, 1)),
    "an activation's layer": (
        lambda: generator(None, SHAPE, layers.Activation("tanh", dtype="float32")),
        (-1, 1),
    ),
    "moved": (
        lambda: generator(
            "tanh", SHAPE, layers.UpSampling2D(2), layers.Permute((2, 1, 3)), layers.Cropping2D(1)
        ),
        (-1, 1),
    ),
    "nested": (nested, (0, 1)),
    "operations": (of_operations, (-1, 1)),
    "wrapped": (
        lambda: keras.Sequential(
            [keras.Input((3,)), layers.SpectralNormalization(layers.Dense(2, "tanh"))]
        ),
        (-1, 1),
    ),
    "two alike": (lambda: of_two("tanh", "tanh"), (-1, 1)),
    "two": (lambda: of_two("tanh", "sigmoid"), None),
    "linear": (lambda: generator(None), None),
    "padded": (lambda: generator("sigmoid", SHAPE, layers.ZeroPadding2D(1)), None),
    "computed": (lambda: generator("tanh", SHAPE, layers.Rescaling(0.5)), None),
    "mixed": (
        lambda: generator("tanh", SHAPE, layers.UpSampling2D(2, interpolation="bicubic")),
        None,
    ),
    "own code": (lambda: keras.Sequential([keras.Input((3,)), Doubled(4, "tanh")]), None),
}


@once
@pytest.mark.parametrize("case", GENERATORS)
def test_the_range_is_that_of_the_last_activation(case):
    make, expected = GENERATORS[case]
    assert output_range(make()) == expected


@once
def test_a_range_of_ones_own():
    gan = gan_of(None, value_range=[0, 255])
    assert (gan.values.low, gan.values.high, gan.values.known) == (0, 255, True)
    again = GAN.from_config(gan.get_config())
    assert again.values.high == 255
    assert "value_range" in gan.get_config()
    for bad, words in (((1, 0), "(low, high)"), (3, "(low, high)"), ((0, np.inf), "(low, high)")):
        with pytest.raises(ValueError) as error:
            gan_of("tanh", value_range=bad)
        assert_readable(error, words)
    with pytest.raises(ValueError) as error:
        gan_of("sigmoid", value_range=(-1, 1))
    assert_readable(error, "−1…1", "0…1")


# Scaling, there and back.


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("shape", [(5, 3), (8, 8, 1), (4, 4, 4, 1)])
def test_whole_numbers_are_scaled_from_the_ends_of_their_type(shape, dtype, activation):
    """The mean logit of training and evaluation is the mean of what the discriminator sees."""
    ends = np.iinfo(dtype)
    samples = np.full((8, *shape), ends.max, dtype)
    samples[:, 0] = ends.min
    low = {"tanh": -1.0, "sigmoid": 0.0}[activation]
    expected = 1.0 - (1.0 - low) / shape[0]
    gan = gan_of(activation, shape, weight=1.0)
    assert fit(gan, samples)["d_real"] == pytest.approx([expected], rel=1e-4, abs=1e-4)
    logs = gan.evaluate(samples, verbose=0, return_dict=True)
    assert logs["d_real"] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    made = gan.generate(2, seed=0)
    assert made.dtype == ("uint8" if len(shape) == 3 else "float32")


def test_pixels_come_back_as_they_were():
    levels = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1)
    for value_range in ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0), (-3.0, 2.5)):
        values = Values(levels.shape[1:], value_range)
        np.testing.assert_array_equal(
            values.pictures(numpy(values.scaled(ops.convert_to_tensor(levels)))), levels
        )


def test_a_sigmoid_makes_pictures_of_the_full_range():
    gan = gan_of("sigmoid", weight="glorot_uniform")
    gan.generator.layers[0].set_weights([8 * np.ones((3, 64)), np.zeros(64)])
    made = gan.generate(64, seed=0)
    assert made.min() == 0
    assert made.max() == 255
    floats_ = gan.generate(64, seed=0, dtype="float32")
    np.testing.assert_allclose(made, 255 * floats_, atol=0.501)


@once
def test_rows_of_a_table_and_booleans_keep_their_values():
    rows = np.array([[0, 1], [1, 0]])
    for dtype in ("uint8", "int64", "bool", "float64", "float16"):
        for values in (Values((2,)), Values((2,), (0.0, 1.0))):
            values.check(rows.astype(dtype))
            np.testing.assert_array_equal(
                numpy(values.scaled(ops.convert_to_tensor(rows.astype(dtype)))), rows
            )
    masks = pictures(4) > 127
    Values((8, 8, 1), (0.0, 1.0)).check(masks)
    np.testing.assert_array_equal(
        numpy(Values((8, 8, 1)).scaled(ops.convert_to_tensor(masks))), masks
    )


@once
def test_later_batches_of_another_type_are_refused():
    """Only the first batch of a loader is looked at before the training."""
    gan = gan_of("tanh")
    with pytest.raises(TypeError) as error:
        gan.fit(iter([pictures(4), pictures(4).astype("int64")]), verbose=0)
    assert "uint8" in str(error.value)
    assert "int64" in str(error.value)


@once
@pytest.mark.parametrize("condition", [Downscaled(2), Masked()])
def test_conditions_that_are_computed_have_the_range_of_the_samples(condition):
    condition.build((8, 8, 1), (0.0, 1.0))
    real = ops.convert_to_tensor(floats(0, 1, 64, (8, 8, 1)))
    found = numpy(condition.tensor(real, None, lambda shape: ops.full(shape, 0.5)))
    given = pictures(2, condition.shape)
    if isinstance(condition, Masked):
        given = given[..., :1], np.zeros((8, 8))
    chosen = condition.chosen(given, 2, None)
    assert found.min() >= 0
    assert chosen.min() >= 0
    assert chosen.max() <= 1


# What is refused and warned of.


@once
@pytest.mark.parametrize("case", ARRAYS)
def test_bad_arrays(case):
    data, kind, *words = BAD_SAMPLES[case]
    with pytest.raises(kind) as error:
        Values(SHAPE).check(data)
    assert_readable(error, *words)


@once
@pytest.mark.parametrize(
    ("shape", "data", "words"),
    [
        ((8, 8, 1), pictures(4, (8, 8)), ("(n, 8, 8, 1)", "(4, 8, 8)", "images[..., None]")),
        ((8, 8, 1), pictures(4, (1, 8, 8)), ("(4, 1, 8, 8)", "transpose(0, 2, 3, 1)")),
        ((5, 2), np.zeros((4, 5, 2), "int64"), ("int64", "(5, 2)", "int16")),
        ((2,), np.full((4, 2), "a"), ("numbers", "str")),
    ],
)
def test_the_error_names_the_fix(shape, data, words):
    with pytest.raises((TypeError, ValueError)) as error:
        Values(shape).check(data)
    assert_readable(error, *words)


@once
@pytest.mark.parametrize(
    ("value_range", "data", "words"),
    [
        ((0.0, 1.0), floats(-1, 1), ("0…1", "(images + 1) / 2")),
        ((0.0, 1.0), floats(0, 255), ("0…1", "images / 255.")),
        ((-1.0, 1.0), floats(0, 255), ("−1…1", "images / 127.5 - 1.")),
        (None, floats(0, 255), ("−1…1", "value_range=")),
    ],
)
def test_float_images_out_of_range(value_range, data, words):
    with pytest.raises(ValueError) as error:
        Values(SHAPE, value_range).check(data)
    assert_readable(error, *words)


@once
@pytest.mark.parametrize("index", [0, 4095, 4096, 5000])
def test_one_bad_value_is_found_wherever_it_is(index):
    samples = np.zeros((5001, 1024), "float16")
    Values((1024,)).check(samples)
    samples[index, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity; remove or fix these samples"):
        Values((1024,)).check(samples)


@once
def test_sides_of_any_length():
    Values((None, None, 3), (-1.0, 1.0)).check(pictures(2, (9, 7, 3)))
    with pytest.raises(ValueError) as error:
        Values((None, None, 3)).check(pictures(2, (9, 7, 1)))
    assert_readable(error, "(n, any, any, 3)", "(2, 9, 7, 1)")


TANH = (-1.0, 1.0)
WARNED = {
    "floats in half of the range": (SHAPE, TANH, floats(0, 1), "2 * images - 1"),
    "booleans in half of the range": (SHAPE, TANH, pictures(4, SHAPE) > 9, "2 * images - 1"),
    "masks": (SHAPE, TANH, pictures(4, SHAPE) % 2, "0 and 1"),
    "an unknown range": (SHAPE, None, pictures(4, SHAPE), "value_range"),
    "a series out of range": ((8, 2), TANH, 5 * points(8 * 4).reshape(4, 8, 2), "−1…1"),
    "a table out of range": ((2,), TANH, np.array([[3, 4]]), "−1…1"),
}
FINE = {
    "images": (SHAPE, TANH, pictures(4, SHAPE)),
    "black images": (SHAPE, TANH, np.zeros((4, *SHAPE), "uint8")),
    "floats": (SHAPE, TANH, floats(-1, 1)),
    "floats from 0": (SHAPE, (0.0, 1.0), floats(0, 1)),
    "a series of any range": ((8, 2), None, 5 * points(8 * 4).reshape(4, 8, 2)),
    "a table": ((2,), None, points(8) ** 2),
}


@once
@pytest.mark.parametrize("case", WARNED)
def test_values_that_are_probably_wrong_are_warned_of(case, recwarn):
    shape, value_range, data, words = WARNED[case]
    values = Values(shape, value_range)
    values.check(data)
    [warning] = recwarn.list
    assert words in str(warning.message)


@once
def test_an_unknown_range_is_warned_of_once(recwarn):
    gan = gan_of(None)
    fit(gan, pictures(8), validation_data=pictures(8))
    fit(gan, pictures(8))
    assert sum("value_range" in str(warning.message) for warning in recwarn.list) == 1
    assert gan.generate(2, seed=0).dtype == "uint8"


@once
@pytest.mark.parametrize("case", FINE)
def test_values_that_are_fine(case, recwarn):
    shape, value_range, data = FINE[case]
    Values(shape, value_range).check(data)
    assert not recwarn.list
