"""The Inception network of 2015 that the Fréchet Inception Distance is defined by.

Szegedy et al. 2015 (arXiv:1512.00567), as in the TensorFlow graph `inception-2015-12-05` that
Heusel et al. 2017 (arXiv:1706.08500) used. It differs from every other Inception in its average
poolings, which leave the padding out of the mean, in the max-pooling of its last block, and in its
resize. The weights are those of pytorch-fid, read without PyTorch and without running pickled code.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from keras_gan.files import fetch, file_facts, home
from keras_gan.metrics.extractors import Extractor

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
URL += "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE, RESIZE = 299, "299x299, bilinear as in TensorFlow 1"

# The branches of a block are divided by |, their steps by spaces, steps side by side by +. A step
# is a pooling, 3×3, or a convolution, by the end of its weights' name; its filters and its kernel
# are those of the weights. `/n` means stride n and no padding.
STEM = "1a_3x3/2 2a_3x3/1 2b_3x3 max/2 3b_1x1 4a_3x3/1 max/2"
A = "1x1 | 5x5_1 5x5_2 | 3x3dbl_1 3x3dbl_2 3x3dbl_3 | mean _pool"
B = "3x3/2 | 3x3dbl_1 3x3dbl_2 3x3dbl_3/2 | max/2"
C = "1x1 | 7x7_1 7x7_2 7x7_3 | 7x7dbl_1 7x7dbl_2 7x7dbl_3 7x7dbl_4 7x7dbl_5 | mean _pool"
D = "3x3_1 3x3_2/2 | 7x7x3_1 7x7x3_2 7x7x3_3 7x7x3_4/2 | max/2"
E = "1x1 | 3x3_1 3x3_2a+3x3_2b | 3x3dbl_1 3x3dbl_2 3x3dbl_3a+3x3dbl_3b | mean _pool"
BLOCKS = {"5b": A, "5c": A, "5d": A, "6a": B, "6b": C, "6c": C, "6d": C, "6e": C, "7a": D}
BLOCKS |= {"7b": E, "7c": E.replace("mean", "max")}
POOLINGS = {"max": layers.MaxPooling2D, "mean": layers.AveragePooling2D}
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


def build_inception(state: dict[str, np.ndarray]) -> keras.Model:
    """The network with the weights of PyTorch's state dict, for images (n, H, W, 3) in −1…1.

    Returns:
        A model with the outputs `features` (n, 2048), the last pooling, and `probabilities`
        (n, 1008), the softmax of the logits without their bias, as the Inception Score takes them.

    Raises:
        KeyError, ValueError: For weights of another network.
    """
    inputs = keras.Input((None, None, 3), name="images")
    x = TensorFlow1Resize(dtype="float32")(inputs)
    # The graph makes (p − 128) / 128 of pixels p in 0…255.
    x = layers.Rescaling(127.5 / 128, offset=-0.5 / 128, dtype="float32")(x)
    x = _branch(x, state, "Conv2d_", STEM)
    for name, block in BLOCKS.items():
        branches = block.split("|")
        x = _joined([_branch(x, state, f"Mixed_{name}.branch", steps) for steps in branches])
    x = layers.GlobalAveragePooling2D(**LAYOUT)(x)
    head = layers.Dense(1008, "softmax", use_bias=False, dtype="float32")
    outputs = {"features": x, "probabilities": head(x)}
    head.set_weights([state["fc.weight"].T])
    return keras.Model(inputs, outputs, name="inception")


def _branch(x, state: dict[str, np.ndarray], prefix: str, steps: str):
    for step in steps.split():
        x = _joined([_step(x, state, prefix, part) for part in step.split("+")])
    return x


def _joined(parts: list):
    return layers.Concatenate(dtype="float32")(parts) if len(parts) > 1 else parts[0]


def _step(x, state: dict[str, np.ndarray], prefix: str, step: str):
    name, _, stride = step.partition("/")
    place = {"strides": int(stride or 1), "padding": "valid" if stride else "same", **LAYOUT}
    if name in POOLINGS:
        return POOLINGS[name](3, **place)(x)
    kernel = state[f"{prefix}{name}.conv.weight"].transpose(2, 3, 1, 0)
    parts = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (state[f"{prefix}{name}.bn.{part}"] for part in parts)
    scale = gamma / np.sqrt(variance + 1e-3)  # The batch normalization is folded into the kernel.
    layer = layers.Conv2D(len(scale), kernel.shape[:2], activation="relu", **place)
    x = layer(x)
    layer.set_weights([kernel * scale, beta - mean * scale])
    return x


def extractor(source: str) -> Extractor:
    """The extractor with the weights of a file, or for `"inception"` those that are fetched once.

    These are fetched when its function is first asked for.
    """
    if source == "inception":
        return Extractor(lambda: _read(_fetched()), source, source, SHA256, RESIZE)
    path = Path(source)
    model, found = _read(path), file_facts(path)["sha256"]
    name = "inception" if found == SHA256 else path.stem
    return Extractor(lambda: model, name, source, found, RESIZE)


def _read(path: Path) -> keras.Model:
    state = read_state_dict(path)
    try:
        return build_inception(state)
    except (KeyError, ValueError) as error:
        raise ValueError(f"These are not the weights of the FID Inception: {error}") from error


def _fetched() -> Path:
    from filelock import FileLock

    path = home() / URL.rpartition("/")[2]
    if not _is_whole(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not _is_whole(path):  # Another process may have fetched it by now.
                fetch(URL, path, SHA256)
    return path


def _is_whole(path: Path) -> bool:
    return path.is_file() and file_facts(path)["sha256"] == SHA256


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_) -> np.ndarray:
    size = storage.itemsize
    return np.ndarray(shape, storage.dtype, storage, offset * size, [size * n for n in strides])


ALLOWED = {"collections.OrderedDict": OrderedDict, "torch._utils._rebuild_tensor_v2": _tensor}
ALLOWED |= {"torch.FloatStorage": "<f4", "torch.DoubleStorage": "<f8", "torch.LongStorage": "<i8"}


class _StateDict(pickle.Unpickler):
    """Reads a PyTorch state dict and nothing else: no name is looked up that could run code.

    Its tensors are views of `storages`, which are filled later.
    """

    def __init__(self, file):
        super().__init__(file)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module, name):
        if f"{module}.{name}" not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no state dict holds")
        return ALLOWED[f"{module}.{name}"]

    def persistent_load(self, pid):
        _, dtype, key, _, count = pid[:5]
        return self.storages.setdefault(key, np.zeros(count, dtype))


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict that `torch.save` wrote, in its zip format or the one before.

    Raises:
        ValueError: For a damaged file, or one that holds anything else than a state dict.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                root = archive.namelist()[0].partition("/")[0]
                with archive.open(f"{root}/data.pkl") as file:
                    reader = _StateDict(file)
                    state = reader.load()
                data = {key: archive.read(f"{root}/data/{key}") for key in reader.storages}
        else:
            with path.open("rb") as file:
                reader = _StateDict(file)
                # Magic number, version and machine; the state; the keys of the storages, in order.
                *_, state, keys = [reader.load() for _ in range(5)]
                # Each storage follows as the number of its elements and its bytes.
                data = {key: file.read(8 + reader.storages[key].nbytes)[8:] for key in keys}
        for key, storage in reader.storages.items():
            storage[:] = np.frombuffer(data[key], storage.dtype, len(storage))
        return dict(state)
    except Exception as error:  # A damaged pickle may fail in any way; none of them runs code.
        raise ValueError(f"{path} is not a state dict of PyTorch: {error}") from error
