"""Keras on torch."""

import contextlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import keras

from keras_gan.engine.keras_internals.lookup import found, module


def torch_device() -> str:
    """Returns the device on which Keras makes tensors: `"cpu"`, `"cuda"`, …

    Without Keras' function, makes a tensor and looks where it is.
    """
    get_device = _get_device()
    return str(get_device() if get_device else keras.ops.convert_to_tensor(0.0).device)


@cache
def _get_device():
    return found("get_device", "backend.torch.core", "backend.torch.ops.core")


def stored_tensors(variables: Iterable[keras.Variable]) -> list:
    """Returns the tensors that hold variables' values.

    `Variable.value` looks for scopes, takes microseconds, and is asked of hundreds of variables in
    every compiled step. It is used where Keras keeps the tensor elsewhere.
    """
    return [v._value if hasattr(v, "_value") else v.value for v in variables]


@contextlib.contextmanager
def replaced_torch_functions(**functions: Any) -> Iterator[dict[str, Any]]:
    """Replaces functions of Keras' torch backend, for tracing.

    Args:
        torch_seed_generator: `seed -> torch.Generator or None`. Keras makes a generator from the
            value of a seed, which in a trace would be a constant: the same noise at every step.
        update_step: `(optimizer, gradients, variables, learning_rate) -> None`. Some of Keras'
            optimizers turn the learning rate into a Python number, another constant.
        cond: `(pred, true_fn, false_fn) -> outputs`. Keras asks in Python, which a trace cannot.
        conv, conv_transpose: With the parameters of `keras.ops.conv` and
            `keras.ops.conv_transpose`. These are for speed: where Keras keeps its own elsewhere,
            they are left out.

    Yields:
        The functions that were replaced, by the same names.

    Raises:
        NotImplementedError: Where one of the first two cannot be replaced. The step runs eagerly.
    """
    nn = "backend.torch.nn", "backend.torch.ops.nn"
    optimizer = found("TorchParallelOptimizer", "backend.torch.optimizers.torch_parallel_optimizer")
    places = {
        "torch_seed_generator": (module("backend.torch.random"), "torch_seed_generator"),
        "update_step": (optimizer, "_backend_update_step"),
        "conv": (module(*nn), "conv"),
        "cond": (module("backend.torch.core", "backend.torch.ops.core"), "cond"),
        "conv_transpose": (module(*nn), "conv_transpose"),
    }
    originals = {}
    with contextlib.ExitStack() as stack:
        for name, function in functions.items():
            owner, attribute = places[name]
            original = getattr(owner, attribute, None)
            if original is None and name in ("torch_seed_generator", "update_step"):
                raise NotImplementedError(
                    f"this version of Keras ({keras.__version__}) has no {attribute} to replace"
                )
            if original is not None:
                originals[name] = original
                stack.callback(setattr, owner, attribute, original)
                setattr(owner, attribute, function)
        yield originals
