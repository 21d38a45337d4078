"""States: everything that a training needs to continue as if it had never stopped, in one file."""

import hashlib
import io
import json
import random
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gan import engine
from keras_gan.engine.keras_internals import global_seed
from keras_gan.files import check_regular, replacing

MAGIC = b"keras-gan state 1 "


def variables(gan) -> list[keras.Variable]:
    """Returns all variables that training changes, each once: the model's, its optimizers', means.

    Those of the model include the average, terms, augmentation, random seeds and loss scales.
    """
    found = [*gan.variables, *gan.optimizer.variables, *gan.step_means.variables, *global_seed()]
    return list({id(variable): variable for variable in found}.values())


def capture(gan) -> dict[str, Any]:
    """Returns the values of all variables, and the states of the shared random generators.

    They may be views of the variables' memory: write them before the next step.
    """
    arrays = {
        f"variable_{i:05d}": keras.ops.convert_to_numpy(variable)
        for i, variable in enumerate(variables(gan))
    }
    return arrays | random_states()


def apply(gan, arrays: dict[str, np.ndarray]) -> None:
    """Sets what `capture` returned.

    Raises:
        ValueError: If the arrays are those of another model.
    """
    known = variables(gan)
    values = [arrays[name] for name in sorted(arrays) if name.startswith("variable_")]
    if len(known) != len(values):
        raise ValueError(f"it has {len(values)} variables, and this model has {len(known)}")
    for variable, value in zip(known, values, strict=True):
        if tuple(variable.shape) != value.shape:
            raise ValueError(
                f"its variable {variable.path} has the shape {value.shape}, not {variable.shape}"
            )
    for variable, value in zip(known, values, strict=True):
        if value.dtype.kind == "V":  # NumPy's files do not know the names of bfloat16 and its like.
            value = value.view(keras.ops.convert_to_numpy(variable).dtype)
        variable.assign(value)
    set_random_states(arrays)


def random_states() -> dict[str, np.ndarray]:
    """Returns the states of the generators of Python, NumPy and torch that all code shares.

    TensorFlow's own `tf.random` is not among them: its state cannot be read.
    """
    version, words, gauss = random.getstate()
    _, keys, *rest = np.random.get_state()  # noqa: NPY002 (what users may draw from)
    return {
        "python": np.array(words, "uint64"),
        "python_gauss": np.array([version, np.nan if gauss is None else gauss], "float64"),
        "numpy": np.asarray(keys),
        "numpy_rest": np.array(rest, "float64"),
        **engine.random_states(),
    }


def set_random_states(states: dict[str, np.ndarray]) -> None:
    """Sets what `random_states` returned."""
    version, gauss = states["python_gauss"].tolist()
    words = tuple(states["python"].tolist())
    random.setstate((int(version), words, None if np.isnan(gauss) else gauss))
    place, has_gauss, cached = states["numpy_rest"].tolist()
    numpy = ("MT19937", states["numpy"], int(place), int(has_gauss), cached)
    np.random.set_state(numpy)  # noqa: NPY002
    engine.set_random_states(states)


def write(path: Path, arrays: dict[str, Any], facts: dict[str, Any]) -> None:
    """Writes a state with its sha256; the file is on the disk, whole, when this returns.

    Args:
        path: The file.
        arrays: What `capture` returned.
        facts: What else is to be known, as JSON values.
    """
    # In memory first: NumPy and zipfile leave a broken archive, and a second error, on a full disk.
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.array(json.dumps(facts)), **arrays)
    content = buffer.getbuffer()
    with replacing(path, durable=True) as part, part.open("wb") as file:
        file.write(MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n")
        file.write(content)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the arrays and the facts of a state.

    Raises:
        ValueError: If the file is damaged, or comes from another version.
    """
    check_regular(path)
    head, _, content = path.read_bytes().partition(b"\n")
    if not head.startswith(MAGIC):
        raise ValueError("it is not a state that this version of keras-gan can read")
    if hashlib.sha256(content).hexdigest().encode() != head.removeprefix(MAGIC):
        raise ValueError("it was changed or cut short: its sha256 differs")
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    return arrays, json.loads(str(arrays.pop("facts")))
