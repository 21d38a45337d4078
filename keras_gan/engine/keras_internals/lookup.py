"""Looks for what may lie elsewhere in another version of Keras, or nowhere."""

import contextlib
import importlib
from typing import Any


def found(name: str, *modules: str) -> Any:
    """Returns the object of this name from the first module of `keras.src` that has it, or None."""
    for module in modules:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(f"keras.src.{module}"), name)
    return None


def module(*names: str) -> Any:
    """Returns the first of the modules of `keras.src` that exists, or None."""
    for name in names:
        with contextlib.suppress(ImportError):
            return importlib.import_module(f"keras.src.{name}")
    return None
