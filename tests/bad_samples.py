"""Samples that cannot be trained on, and words that the errors about them must contain."""

import numpy as np
from conftest import pictures

SHAPE = (8, 8, 3)


def floats(low, high, n=4, shape=SHAPE):
    return np.random.default_rng(0).uniform(low, high, (n, *shape)).astype("float32")


def with_one(value):
    images = floats(-1, 1)
    images[2, 3, 4, 1] = value
    return images


BAD_SAMPLES = {
    "rank 3": (pictures(4, (8, 8)), ValueError, "(n, 8, 8, 3)", "(4, 8, 8)", "Resize"),
    "rank 2": (np.zeros((4, 192), "float32"), ValueError, "(n, 8, 8, 3)", "(4, 192)"),
    "rank 0": (np.float32(1), ValueError, "(n, 8, 8, 3)", "()"),
    "channels": (pictures(4, (8, 8, 1)), ValueError, "(n, 8, 8, 3)", "(4, 8, 8, 1)"),
    "channels first": (pictures(4, (3, 8, 8)), ValueError, "(4, 3, 8, 8)", "transpose(0, 2, 3, 1)"),
    "size": (pictures(4, (16, 8, 3)), ValueError, "(n, 8, 8, 3)", "(4, 16, 8, 3)"),
    "0 to 1 and beyond": (floats(0, 255), ValueError, "−1…1", "uint8"),
    "one value out": (with_one(1.5), ValueError, "−1…1", "1.5"),
    "one value below": (with_one(-1.01), ValueError, "−1…1", "-1.01"),
    "NaN": (with_one(np.nan), ValueError, "NaN"),
    "infinity": (with_one(np.inf), ValueError, "NaN or infinity"),
    "no images": (pictures(0, SHAPE), ValueError, "no samples"),
    "empty list": ([], ValueError, "no samples"),
    "None": (None, ValueError, "no samples"),
    "int64": (pictures(4, SHAPE).astype("int64"), TypeError, "uint8", "int64"),
    "int8": (pictures(4, SHAPE).astype("int8"), TypeError, "uint8", "int8"),
    "objects": (np.full((4, *SHAPE), "a", object), TypeError, "uint8", "object"),
    "strings": (np.full((4, *SHAPE), "a"), TypeError, "uint8", "str"),
    "complex": (floats(-1, 1).astype("complex64"), TypeError, "uint8", "complex64"),
    "ragged list": ([np.zeros((8, 8, 3)), np.zeros((9, 8, 3))], ValueError, "shape"),
    "a number": (7, (TypeError, ValueError), "int"),
    "a name": ("fashion_mnist", (TypeError, ValueError), "str"),
}
