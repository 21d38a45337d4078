"""Early, readable errors for bad input."""

import difflib
import numbers
from collections.abc import Iterable
from typing import Any


def closest(name: Any, known: Iterable[str]) -> str:
    """Returns the end of an error about an unknown name: close matches, and all known names.

    >>> print("There is no loss", closest("wassersten", ["hinge", "wasserstein"]))
    There is no loss 'wassersten'; did you mean 'wasserstein'? Known: hinge, wasserstein.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    shown = repr(name) if len(str(name)) < 100 else f"{str(name)[:50]!r}…"
    return f"{shown}{hint} Known: {', '.join(known) or 'none'}."


def check_whole(name: str, value) -> int:
    """Returns a whole number ≥ 1 as an int; raises ValueError for anything else."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (number and float(value).is_integer() and value >= 1):
        raise ValueError(f"{name} must be a whole number ≥ 1; got {value!r}.")
    return int(value)
