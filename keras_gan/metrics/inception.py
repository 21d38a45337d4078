"""The Inception network of 2015 that the Fréchet Inception Distance is defined by.

Szegedy et al. 2015 (arXiv:1512.00567), as in the TensorFlow graph `inception-2015-12-05` that
Heusel et al. 2017 (arXiv:1706.08500) used. It differs from every other Inception in its average
poolings, which leave the padding out of the mean, in the max-pooling of its last block, and in its
resize. The weights are those of pytorch-fid, read without PyTorch and without running pickled code.
"""

import collections
import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from keras_gan.metrics.extractors import Extractor
from keras_gan.metrics.files import fetch, home, sha256_of

URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 299
DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8"}

# The steps of a branch are divided by commas, branches by |, steps side by side by +. A step is a
# convolution, `name filters kernel`, or a pooling; `v` means no padding, `/2` that and stride 2.
STEM = """Conv2d_1a_3x3 32 3x3/2, Conv2d_2a_3x3 32 3x3v, Conv2d_2b_3x3 64 3x3, max/2,
Conv2d_3b_1x1 80 1x1, Conv2d_4a_3x3 192 3x3v, max/2"""
A = """branch1x1 64 1x1 | branch5x5_1 48 1x1, branch5x5_2 64 5x5 |
branch3x3dbl_1 64 1x1, branch3x3dbl_2 96 3x3, branch3x3dbl_3 96 3x3 | mean, branch_pool {} 1x1"""
B = """branch3x3 384 3x3/2 |
branch3x3dbl_1 64 1x1, branch3x3dbl_2 96 3x3, branch3x3dbl_3 96 3x3/2 | max/2"""
C = """branch1x1 192 1x1 | branch7x7_1 {0} 1x1, branch7x7_2 {0} 1x7, branch7x7_3 192 7x1 |
branch7x7dbl_1 {0} 1x1, branch7x7dbl_2 {0} 7x1, branch7x7dbl_3 {0} 1x7, branch7x7dbl_4 {0} 7x1,
branch7x7dbl_5 192 1x7 | mean, branch_pool 192 1x1"""
D = """branch3x3_1 192 1x1, branch3x3_2 320 3x3/2 | branch7x7x3_1 192 1x1, branch7x7x3_2 192 1x7,
branch7x7x3_3 192 7x1, branch7x7x3_4 192 3x3/2 | max/2"""
E = """branch1x1 320 1x1 | branch3x3_1 384 1x1, branch3x3_2a 384 1x3 + branch3x3_2b 384 3x1 |
branch3x3dbl_1 448 1x1, branch3x3dbl_2 384 3x3, branch3x3dbl_3a 384 1x3 + branch3x3dbl_3b 384 3x1 |
{}, branch_pool 192 1x1"""
BLOCKS = {"5b": A.format(32), "5c": A.format(64), "5d": A.format(64), "6a": B}
BLOCKS |= {"6b": C.format(128), "6c": C.format(160), "6d": C.format(160), "6e": C.format(192)}
BLOCKS |= {"7a": D, "7b": E.format("mean"), "7c": E.format("max")}
LAYOUT = {"data_format": "channels_last", "dtype": "float32"}


class TensorFlow1Resize(layers.Layer):
    """Bilinear resize to 299×299 whose corners and pixel centres are TensorFlow 1's.

    Pixel i of the output reads the input at i·size/299, without the half-pixel shift and without
    smoothing, unlike all later resizes. (n, H, W, C) → (n, 299, 299, C).
    """

    def call(self, images):
        for axis, shape in ((1, (-1, 1, 1)), (2, (-1, 1))):
            size = ops.shape(images)[axis]
            place = ops.arange(SIZE, dtype="float32") * (ops.cast(size, "float32") / SIZE)
            low = ops.cast(ops.floor(place), "int32")
            first = ops.take(images, low, axis=axis)
            second = ops.take(images, ops.minimum(low + 1, size - 1), axis=axis)
            images = first + (second - first) * ops.reshape(place - ops.floor(place), shape)
        return images

    def compute_output_shape(self, input_shape):
        return (input_shape[0], SIZE, SIZE, input_shape[3])


def build_inception() -> keras.Model:
    """The network without its weights: images (n, H, W, 3) as floats in 0…255, of any size.

    Returns:
        A model with the outputs `features` (n, 2048), the last pooling, and `probabilities`
        (n, 1008), the softmax of the logits without their bias, as the Inception Score takes them.
    """
    inputs = keras.Input((None, None, 3), name="images")
    x = TensorFlow1Resize(dtype="float32")(inputs)
    x = layers.Rescaling(1 / 128, offset=-1.0, dtype="float32")(x)
    x = _branch(x, STEM, "")
    for name, block in BLOCKS.items():
        x = _joined([_branch(x, branch, f"Mixed_{name}-") for branch in block.split("|")])
    x = layers.GlobalAveragePooling2D(**LAYOUT)(x)
    head = layers.Dense(1008, "softmax", use_bias=False, name="fc", dtype="float32")
    return keras.Model(inputs, {"features": x, "probabilities": head(x)}, name="inception")


def _branch(x, steps: str, prefix: str):
    for step in steps.split(","):
        x = _joined([_step(x, prefix, *part.split()) for part in step.split("+")])
    return x


def _step(x, prefix: str, name: str, filters: str = "", kernel: str = ""):
    stride = 2 if (kernel or name).endswith("/2") else 1
    padding = "valid" if stride == 2 or kernel.endswith("v") else "same"
    if not kernel:
        pooling = layers.MaxPooling2D if name.startswith("max") else layers.AveragePooling2D
        return pooling(3, stride, padding, **LAYOUT)(x)
    shape = tuple(int(side) for side in kernel.removesuffix("v").removesuffix("/2").split("x"))
    # The batch normalization that follows each convolution is folded into it by set_weights.
    options = {"activation": "relu", "name": prefix + name, **LAYOUT}
    return layers.Conv2D(int(filters), shape, stride, padding, **options)(x)


def _joined(parts: list):
    return layers.Concatenate(dtype="float32")(parts) if len(parts) > 1 else parts[0]


def load_inception(source: str) -> Extractor:
    """The extractor with weights from a file, or for `"inception"` those that are fetched once."""
    path = Path(source)
    if source == "inception":
        path = home() / URL.rpartition("/")[2]
        if not path.is_file() or sha256_of(path) != SHA256:
            fetch(URL, path, SHA256)
    model = build_inception()
    set_weights(model, read_state_dict(path))
    found, resize = sha256_of(path), f"bilinear to {SIZE}×{SIZE} as in TensorFlow 1"
    name = "inception" if found == SHA256 else path.stem
    return Extractor(model, name, source, True, resize, batch_size=32, file_hash=found)


def set_weights(model: keras.Model, state: dict[str, np.ndarray]) -> None:
    """Puts PyTorch's state dict into the model; ValueError for weights of another network."""
    try:
        for layer in model.layers:
            if isinstance(layer, layers.Conv2D):
                name = layer.name.replace("-", ".")  # PyTorch allows no dot in a layer's name.
                kernel = state[f"{name}.conv.weight"].transpose(2, 3, 1, 0)
                parts = ("weight", "bias", "running_mean", "running_var")
                gamma, beta, mean, variance = (state[f"{name}.bn.{part}"] for part in parts)
                scale = gamma / np.sqrt(variance + 1e-3)
                layer.set_weights([kernel * scale, beta - mean * scale])
        model.get_layer("fc").set_weights([state["fc.weight"].T])
    except (KeyError, ValueError) as error:
        raise ValueError(f"These are not the weights of the FID Inception: {error}") from error


class _StateDict(pickle.Unpickler):
    """Reads a PyTorch state dict and nothing else: no name is looked up that could run code."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (*storage, offset, shape, strides)
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no state dict holds")

    def persistent_load(self, pid):
        return pid[2], np.dtype(pid[1])  # The key of the storage, and its type.


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict that `torch.save` wrote, in its zip format or the one before.

    Raises:
        ValueError: For a damaged file, or one that holds anything else than a state dict.
    """
    try:
        tensors, storages = (_read_zip if zipfile.is_zipfile(path) else _read_legacy)(path)
        state = {}
        for name, (key, dtype, offset, shape, strides) in tensors.items():
            strides = [stride * dtype.itemsize for stride in strides]
            state[name] = np.ndarray(shape, dtype, storages[key], offset * dtype.itemsize, strides)
        return state
    except Exception as error:  # A damaged pickle may fail in any way; none of them runs code.
        raise ValueError(f"{path} is not a state dict of PyTorch: {error}") from error


def _read_zip(path: Path) -> tuple[dict, dict]:
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]
        tensors = _StateDict(archive.open(f"{root}/data.pkl")).load()
        return tensors, {key: archive.read(f"{root}/data/{key}") for key, *_ in tensors.values()}


def _read_legacy(path: Path) -> tuple[dict, dict]:
    with path.open("rb") as file:
        # Magic number, version and machine; the state dict; the keys of the storages, in order.
        *_, tensors, keys = [_StateDict(file).load() for _ in range(5)]
        sizes = {key: dtype.itemsize for key, dtype, *_ in tensors.values()}
        # Each storage follows as the number of its elements and its bytes.
        counts = ((key, int.from_bytes(file.read(8), "little")) for key in keys)
        return tensors, {key: file.read(count * sizes[key]) for key, count in counts}
