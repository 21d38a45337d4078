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


def check_shares(size: int, rest: int, devices: int) -> None:
    """Raises ValueError unless devices can share batches of a size equally, and the last one.

    Args:
        size: Samples in a batch.
        rest: Samples in the last batch if it is smaller, or 0.
        devices: The number of devices.
    """
    for samples in (size, rest):
        if samples % devices:
            raise ValueError(
                f"A batch of {samples} cannot be shared equally by {devices} devices; give "
                f"batches of a multiple of {devices}, the last one of the data too."
            )
