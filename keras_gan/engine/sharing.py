"""How devices share the batches of a training, where the frameworks do not differ."""

import contextlib
from typing import Any

import keras

# Callbacks of Keras that write files, or read what one process has written.
_WRITERS = ("BackupAndRestore", "CSVLogger", "ModelCheckpoint", "RemoteMonitor", "TensorBoard")


class Sharing:
    """What a backend's `Trainer` says of devices and processes, unless it says otherwise.

    Attributes:
        compilation: What decides whether the next steps are compiled, as JSON values, which a run
            keeps; None where every step is compiled, or none is.
    """

    compilation: Any = None

    @property
    def devices(self):
        """The number of devices that share a batch."""
        return 1

    @property
    def leads(self):
        """Whether this process prints and writes files."""
        return True

    def own_callbacks(self, callbacks):
        """Returns those of a training's callbacks that this process runs: all of them."""
        return callbacks

    def alone(self):
        """Returns a context in which this process can make models that the others do not make."""
        return contextlib.nullcontext()

    def same_for_all(self, logs):
        """Returns the logs of an evaluation, which all processes have to decide by."""
        return logs

    def together(self):
        """Returns a context in which all processes ask `predicted` for the same."""
        return contextlib.nullcontext()

    def predicted(self, model, inputs):
        """Returns what a network makes of a batch of arrays."""
        return model.predict_on_batch(inputs)

    def check_shares(self, size, rest):
        """Raises ValueError unless the devices can share batches equally, and the last one.

        Args:
            size: Samples in a batch.
            rest: Samples in the last batch if it is smaller, or 0.

        Returns:
            Whether the last batch has to be left out.
        """
        for samples in (size, rest):
            if samples % self.devices:
                raise ValueError(
                    f"A batch of {samples} cannot be shared equally by {self.devices} devices; "
                    f"give batches of a multiple of {self.devices}, the last one of the data too."
                )
        return False


def without_writers(callbacks):
    """Returns the callbacks that all processes run: of those that write, the first one runs all."""
    kinds = tuple(getattr(keras.callbacks, name) for name in _WRITERS)
    return [c for c in callbacks if not (isinstance(c, kinds) or getattr(c, "writes", False))]


def steps_of(x, steps_per_epoch, processes):
    """Returns the steps of an epoch, of which all processes must make as many.

    Raises:
        ValueError: For data without a length, unless `steps_per_epoch` says it.
    """
    with contextlib.suppress(TypeError):
        return steps_per_epoch or len(x)
    raise ValueError(
        f"In {processes} processes, data without a length needs fit(steps_per_epoch=…): all of "
        "them must make as many steps."
    )


def check_restoring(callbacks):
    """Raises ValueError for a callback that would restore the first process alone."""
    if any(isinstance(c, keras.callbacks.BackupAndRestore) for c in callbacks):
        raise ValueError("BackupAndRestore does not work in several processes; use Run instead.")


def first_devices(found, count):
    """Returns the first so many of the devices that were found; all for None.

    Raises:
        ValueError: If there are fewer.
    """
    if count is not None and count > len(found):
        raise ValueError(f"There are {len(found)} devices, fewer than the {count} asked for.")
    return found[:count]
