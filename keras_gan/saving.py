"""Saving and loading by Keras' methods: what would be lost without a word is refused or said."""

import warnings
from pathlib import Path
from typing import Any


class Saving:
    """The methods of `GAN` that write and read files of Keras."""

    _optimizers_left: Any = None  # The file whose optimizers' state was not loaded.

    def save(self, filepath, *args, **kwargs):
        """Saves the networks and both optimizers to a `.keras` file; like `keras.Model.save`.

        Raises:
            ValueError: For an `.h5` file, which cannot describe a model of two networks.
        """
        if Path(filepath).suffix in (".h5", ".hdf5"):
            raise ValueError(
                f"A GAN cannot be saved as {Path(filepath).name}: save it to a .keras file, or the "
                "weights alone with save_weights('….weights.h5')."
            )
        super().save(filepath, *args, **kwargs)

    def load_weights(self, filepath, *args, **kwargs):
        """Loads the weights of both networks, and the state of the optimizers once compiled.

        Call `compile` first to resume a training.
        """
        super().load_weights(filepath, *args, **kwargs)
        if not self.compiled and _has_optimizers(filepath):
            self._optimizers_left = filepath

    def _warn_of_new_optimizers(self) -> None:
        """Warns if a training is about to resume with optimizers that start from zero."""
        if self._optimizers_left is not None:
            warnings.warn(
                f"The optimizers start anew: {self._optimizers_left} was loaded before compile(). "
                "To resume its training, call load_weights() after compile().",
                stacklevel=3,
            )
            self._optimizers_left = None


def _has_optimizers(filepath) -> bool:
    """Returns whether a weights file contains the state of optimizers."""
    import h5py  # Keras brings it; only files need it.

    if not h5py.is_hdf5(filepath):
        return False
    with h5py.File(filepath) as file:
        return "optimizer" in file and len(file["optimizer"]) > 0
