"""Pictures below the cell of a notebook."""

import sys
from typing import Any

import numpy as np


def is_open() -> bool:
    """Returns whether this code runs in a notebook, whose kernel IPython is."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return hasattr(shell, "kernel")


class Picture:
    """A picture that the next one takes the place of."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, picture: np.ndarray) -> None:
        """Shows a uint8 picture, `(height, width)` or `(height, width, 3 or 4)`."""
        from IPython.display import display
        from PIL import Image

        image = Image.fromarray(picture)
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)
