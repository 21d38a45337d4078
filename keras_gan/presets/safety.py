"""What a preset may not do: run code, read other files, or fill the memory."""

import contextlib
import json
import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gan.engine.keras_internals import all_layers
from keras_gan.files import check_regular, read_bytes
from keras_gan.metrics.extractors import NAMES
from keras_gan.metrics.streaming import ImageMetric
from keras_gan.networks.layers import MAX_VALUES

# Of a JSON file: the bytes, the containers inside each other, and the objects that are described.
# A config of 1,000 layers has about 500,000 bytes and 5,000 objects.
MAX_JSON, MAX_DEPTH, MAX_OBJECTS = 8 << 20, 100, 10_000
MAX_CALLS = 50_000  # Of layers, while networks are built: about half a minute.
MAX_MAP = 1 << 28  # Of what a layer makes of one sample: 1 GiB of float32.
# Layers of Keras that run code from the config or from a file named in it.
WITH_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__")


def read_json(path: Path) -> Any:
    """Returns what a JSON file contains.

    Raises:
        ValueError: If it is no regular file or no JSON, too large, or too deeply nested.
    """
    text = read_bytes(path, MAX_JSON).decode()
    try:
        entries = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from error
    level, depth = [entries], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        level, depth = [part for whole in level for part in _parts(whole)], depth + 1
    return entries


def _parts(whole: Any) -> list:
    if isinstance(whole, dict):
        return list(whole.values())
    return whole if isinstance(whole, list) else []


def check_extent(config: Any) -> None:
    """Checks that a config does not describe more layers than can be built soon.

    Raises:
        ValueError: If it describes too many objects, or calls layers too many times.
    """
    objects = sum(1 for part in _everything(config) if isinstance(part, dict) and "config" in part)
    if objects > MAX_OBJECTS:
        raise ValueError(f"it describes {objects:,} objects, more than the {MAX_OBJECTS:,} allowed")
    if _calls(config) > MAX_CALLS:
        raise ValueError(f"to build it, layers are called more than {MAX_CALLS:,} times")


def _everything(config: Any) -> Iterator[Any]:
    yield config
    for part in _parts(config):
        yield from _everything(part)


def _calls(config: Any) -> int:
    """Returns how many times layers are called to build the networks in a config, about.

    A network inside another one is called with it, once for each of its nodes. Keras builds a
    `Sequential` anew for each layer that it adds.
    """
    layers = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(layers, list):
        return sum(map(_calls, _parts(config)))
    nodes = [layer.get("inbound_nodes") for layer in layers if isinstance(layer, dict)]
    costs = [max(1, _calls(layer)) for layer in layers]
    if any(isinstance(node, list) for node in nodes):
        times = [len(node) if isinstance(node, list) else 1 for node in nodes]
    else:
        times = list(range(len(costs), 0, -1))
    return sum(cost * time for cost, time in zip(costs, times, strict=False))


def refuse_code(config: Any) -> None:
    """Checks that a config builds nothing but Keras' own and registered classes and functions.

    Args:
        config: A model's config, as read from JSON: dicts, lists and plain values, nested.

    Raises:
        ValueError: If it names anything else, a layer of Keras that runs code, or a file.
    """
    for part in _everything(config):
        if isinstance(part, dict):
            _refuse_object(part)


def _refuse_object(config):
    """Checks one dict of a config, which describes an object if it has a `class_name`."""
    if (source := _foreign_extractor(config)) is not None:
        raise ValueError(f"it names a file outside the preset, {source!r}")
    if config.get("class_name") in ("__numpy__", "__tensor__"):
        # A string type can be of any length.
        keras.backend.standardize_dtype(str((config.get("config") or {}).get("dtype")))
    # Keras writes no module, as null, for a class of the program that is run.
    kind, module = config.get("class_name"), config.get("module", "keras") or "__main__"
    # Keras looks up functions by their name and classes by the name they were registered under.
    name = config.get("config" if kind == "function" else "registered_name") or ""
    registered = keras.saving.get_registered_object(name) is not None
    from_keras = module == "builtins" or module.split(".")[0] == "keras"
    if str(kind).split(".")[-1] in WITH_CODE or (kind and not from_keras and not registered):
        what = name if kind == "function" else kind
        raise ValueError(f"it asks for {module}.{what}, which could run code")


def _foreign_extractor(config: Any) -> Any:
    """Returns the extractor that a metric's config names, if it does not come with the library."""
    kind = config.get("registered_name") if isinstance(config, dict) else None
    kind = keras.saving.get_registered_object(kind) if isinstance(kind, str) else None
    settings = config.get("config") if isinstance(config, dict) else None
    if not (isinstance(kind, type) and issubclass(kind, ImageMetric)):
        return None
    source = settings.get("extractor") if isinstance(settings, dict) else None
    return None if source in (None, *NAMES) else source


def drop_foreign_extractors(compile_config: Any) -> None:
    """Removes the metrics that need a file outside the preset, and gives one warning.

    Args:
        compile_config: What `GAN.get_compile_config` returns, as read from JSON.
    """
    metrics = compile_config.get("metrics") if isinstance(compile_config, dict) else None
    if not isinstance(metrics, list):
        return
    sources = [_foreign_extractor(metric) for metric in metrics]
    if foreign := list(dict.fromkeys(str(s) for s in sources if s is not None)):
        compile_config["metrics"] = [
            metric for metric, source in zip(metrics, sources, strict=True) if source is None
        ]
        warnings.warn(
            f"Metrics of this preset are left out, because they read {', '.join(foreign)}. A "
            "preset opens no file outside its folder; compile with metrics=… to use them.",
            stacklevel=4,
        )


def check_networks(networks: dict[str, keras.Model]) -> None:
    """Checks that a sample takes no absurd amount of memory on its way through networks.

    Raises:
        ValueError: If a sample, its latents, or what a layer makes of it has too many values.
    """
    for name, network in networks.items():
        for shape in _shapes([*(network.inputs or []), *(network.outputs or [])]):
            if math.prod(shape) > MAX_VALUES:
                raise ValueError(f"its {name} takes or gives {shape}, more than {MAX_VALUES:,}")
        for layer in all_layers(network):
            with contextlib.suppress(AttributeError):  # A layer that was not called alone.
                for shape in _shapes(keras.tree.flatten(layer.output)):
                    if math.prod(shape) > MAX_MAP:
                        raise ValueError(f"its layer {layer.name} gives {shape}, a sample alone")


def _shapes(tensors: list) -> list[tuple]:
    """Returns the shapes of one sample each, without what is not known."""
    shapes = (getattr(tensor, "shape", None) or () for tensor in tensors)
    return [tuple(size for size in shape[1:] if size is not None) for shape in shapes]


def check_size(networks: dict[str, keras.Model], weights: Path) -> None:
    """Checks that networks have no more weights than their file can hold.

    A config of a few bytes can describe networks that fill any memory.

    Raises:
        ValueError: If the file is too small for them, at one byte per weight.
    """
    count = sum(network.count_params() for network in networks.values())
    size = weights.stat().st_size
    if count > size:
        raise ValueError(f"it has {size:,} bytes, too few for the {count:,} weights of the config")


def check_finite(model: keras.Model) -> None:
    """Checks that no weight is NaN or infinite.

    Raises:
        ValueError: If one is: the training had diverged when they were saved.
    """
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight).astype("float32")).all():
            raise ValueError(f"weights in {weight.path} are NaN or infinite; its training diverged")


def read_examples(path: Path, shapes: dict[str, tuple]) -> dict[str, np.ndarray]:
    """Returns the arrays in a file of examples.

    Args:
        path: The file.
        shapes: The shape of one row of each array, by the array's name.

    Raises:
        ValueError: If they are of other shapes or no floats, or unpack to more than 64 rows.
    """
    check_regular(path)
    with zipfile.ZipFile(path) as file:
        size = sum(member.file_size for member in file.infolist())
    allowed = 64 * 4 * sum(math.prod(shape) for shape in shapes.values()) + 4096
    if size > allowed:
        raise ValueError(f"it unpacks to {size:,} bytes, more than examples take")
    with np.load(path) as file:
        arrays = {name: file[name] for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].shape[1:] != tuple(shape) or arrays[name].dtype.kind != "f":
            raise ValueError(f"its {name} are no floats of shape (n, {', '.join(map(str, shape))})")
    return arrays
