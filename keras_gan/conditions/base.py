"""What every condition is: its shape, its check, and its way from the data into the networks."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gan.values import Range

register = keras.saving.register_keras_serializable(package="keras_gan")


class Condition:
    """What samples are conditioned on; subclasses are registered with Keras to be saved.

    Attributes:
        shape: The shape of one condition, as the networks get it.
        computed: Whether it is a function of the sample, rather than given with the data.
        is_image: Whether it is an image, from which a generator may work alone, without latents.
        completes: Whether `completed` changes anything.
    """

    shape: tuple[int, ...]
    computed = False
    is_image = False
    completes = False

    def build(self, sample_shape: tuple, value_range: Range = (-1.0, 1.0)) -> None:
        """Takes note of the shape of one sample, and of the range of its values.

        Raises:
            ValueError: If samples of that shape cannot have such a condition.
        """

    def prepared(self, values: Any) -> Any:
        """Returns an array of conditions, as the data has it, ready to be batched."""
        return values if ops.is_tensor(values) else np.asarray(values)

    def check(self, values: Any) -> None:
        """Raises an error for conditions, all of the data's or one batch of them, that do not fit.

        Raises:
            ValueError: For other shapes or values.
            TypeError: For other types.
        """

    def check_batch(self, values: Any) -> None:
        """Raises what `check` does, for a batch after the first one of a loader; never warns."""
        self.check(values)

    def tensor(self, real, values, uniform: Callable[[tuple], Any] | None):
        """Returns the conditions of a batch, float32 `(batch, *shape)`, inside the step.

        Args:
            real: The samples, float32, scaled.
            values: What the data gives with them; None for conditions that are computed.
            uniform: `shape -> floats in 0…1`, the source of randomness.
        """
        return ops.cast(values, "float32")

    def fits(self, shape: tuple) -> bool:
        """Returns whether a network's input of some shape takes this condition."""
        return shape == self.shape

    def as_input(self, tensor, shape: tuple):
        """Returns conditions in the form that a network's input of some shape takes."""
        return tensor

    def completed(self, generated, tensor):
        """Returns generated samples with what is known of them from the condition put in."""
        return generated

    def chosen(self, wanted: Any, size: int | None, random: np.random.Generator) -> np.ndarray:
        """Returns the conditions that `generate` is asked for, float32 `(size, *shape)`.

        Args:
            wanted: One condition, one for each sample, or None.
            size: The number of samples; None for as many as there are conditions.
            random: The source of randomness.

        Raises:
            ValueError: For conditions that do not exist, of another shape or number.
        """
        if wanted is None:
            raise ValueError(
                f"Samples of this GAN are conditioned on {self!r}: give condition=, one of shape "
                f"{self.shape} or one for each sample."
            )
        rows = self._rows(wanted)
        size = len(rows) if size is None else size
        if len(rows) not in (1, size):
            raise ValueError(
                f"There are {len(rows)} conditions for {size} samples; give one, or one for each."
            )
        return rows if len(rows) == size else np.broadcast_to(rows, (size, *rows.shape[1:]))

    def _rows(self, wanted) -> np.ndarray:
        """Returns what a user asks for as float32 `(n, *shape)`."""
        rows = numpy(wanted)
        rows = rows[None] if rows.ndim == len(self.shape) else rows
        self.check(rows)
        return ops.convert_to_numpy(self.tensor(None, rows, None))

    def counts(self, values: Any) -> str:
        """Returns what the data is conditioned on, in a line for people.

        Args:
            values: All conditions of the data, None where they are not known at once.
        """
        return f"Samples are conditioned on {self!r}."

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Condition":
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.get_config().values()))})"


def check_shape(condition: Condition, values: Any) -> None:
    """Raises a ValueError for conditions `(n, …)` of another shape than `condition.shape`."""
    if tuple(values.shape[1:]) != condition.shape:
        expected = ", ".join(map(str, condition.shape))
        hint = ""
        if (*values.shape[1:], 1) == condition.shape and condition.is_image:
            hint = " Add the axis of channels with images[..., None]."
        elif len(values.shape) == 1:
            hint = " Classes, which are whole numbers, are what Labels is for."
        raise ValueError(
            f"The samples are conditioned on {condition!r}, of shape (n, {expected}); got "
            f"conditions of shape {tuple(values.shape)}.{hint}"
        )


def numpy(values: Any) -> np.ndarray:
    """Returns a tensor, or anything that NumPy takes, as an array."""
    return ops.convert_to_numpy(values) if ops.is_tensor(values) else np.asarray(values)
