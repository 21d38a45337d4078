"""What a preset may not do: run code, or fill the memory."""

import math
import zipfile
from pathlib import Path
from typing import Any

import keras

# Layers of Keras that run code from the config or from a file named in it.
WITH_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__")


def refuse_code(config: Any) -> None:
    """Checks that a config builds nothing but Keras' own and registered classes and functions.

    Args:
        config: A model's config, as read from JSON: dicts, lists and plain values, nested.

    Raises:
        ValueError: If it names anything else, or a layer of Keras that runs code.
    """
    if isinstance(config, dict):
        _refuse_object(config)
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            refuse_code(part)


def _refuse_object(config):
    """Checks one dict of a config, which describes an object if it has a `class_name`."""
    kind, module = config.get("class_name"), config.get("module") or "keras"
    # Keras looks up functions by their name and classes by the name they were registered under.
    name = config.get("config" if kind == "function" else "registered_name") or ""
    registered = keras.saving.get_registered_object(name) is not None
    from_keras = module == "builtins" or module.split(".")[0] == "keras"
    if str(kind).split(".")[-1] in WITH_CODE or (kind and not from_keras and not registered):
        what = name if kind == "function" else kind
        raise ValueError(f"it asks for {module}.{what}, which could run code")


def check_size(networks: dict[str, keras.Model], weights: Path) -> None:
    """Checks that networks have no more weights than their file can hold.

    A config of a few bytes can describe networks that fill any memory.

    Raises:
        ValueError: If the file is too small for them, at one byte per weight.
    """
    count = sum(network.count_params() for network in networks.values())
    size = weights.stat().st_size
    if count > size:
        raise ValueError(f"its networks have {count:,} weights, its file of weights {size:,} bytes")


def check_examples(path: Path, *shapes: tuple) -> None:
    """Checks that a file of examples is not too large once unpacked.

    Raises:
        ValueError: If it holds more than 64 float32 arrays of the shapes.
    """
    with zipfile.ZipFile(path) as file:
        size = sum(member.file_size for member in file.infolist())
    allowed = 64 * 4 * sum(math.prod(shape) for shape in shapes) + 4096
    if size > allowed:
        raise ValueError(f"it unpacks to {size:,} bytes, more than examples take")
