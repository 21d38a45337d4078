"""Several processes of JAX that train together: each gives its part of every batch."""

import jax
import keras
import numpy as np


def check(x, options) -> None:
    """Raises ValueError in all processes unless all can make the same steps with the data.

    Args:
        x: What `GAN.fit` reads batches from.
        options: The others of its arguments.
    """
    if not isinstance(x, keras.utils.PyDataset):
        raise ValueError(
            f"In {jax.process_count()} processes, JAX takes arrays, an ImageFolder or a "
            f"keras.utils.PyDataset, which all of them read alike; got {type(x).__name__}."
        )
    if getattr(keras.distribution.distribution(), "auto_shard_dataset", False):
        raise ValueError(
            "In several processes, give keras.distribution.DataParallel the argument "
            "auto_shard_dataset=False: fit takes each process' part of a batch itself."
        )
    plan = [x.num_batches, options.get("steps_per_epoch") or 0, options.get("epochs", 1)]
    plans = _of_all(plan)
    if (plans != plans[0]).any():
        raise ValueError(
            "All processes must make as many steps and epochs (by process: "
            f"{', '.join(str(row.tolist()) for row in plans)})."
        )


def _of_all(numbers) -> np.ndarray:
    """Returns the whole numbers of all processes, a row for each."""
    from jax.experimental import multihost_utils  # Which one process has no use for.

    return multihost_utils.process_allgather(np.array(numbers))


def is_of_another(error: Exception) -> bool:
    """Returns whether an error says that another process cannot be reached."""
    return any(sign in str(error) for sign in ("Gloo", "by peer", "UNAVAILABLE", "NCCL"))


class OwnParts(keras.utils.PyDataset):
    """The part of every batch of a data set that belongs to this process.

    Parts are contiguous: together they are the batch in its order.
    """

    def __init__(self, whole):
        super().__init__(workers=whole.workers)
        self.whole = whole

    @property
    def num_batches(self):
        return self.whole.num_batches

    def __getitem__(self, index):
        batch = self.whole[index]
        if isinstance(batch, (tuple, list)):
            return tuple(map(_own_part, batch))
        return _own_part(batch)

    def on_epoch_begin(self):
        self.whole.on_epoch_begin()

    def on_epoch_end(self):
        self.whole.on_epoch_end()


def _own_part(values):
    size, rest = divmod(len(values), jax.process_count())
    if rest:
        raise ValueError(
            f"A batch of {len(values)} cannot be shared equally by {jax.process_count()} "
            "processes; give batches of a multiple of them, the last one of the data too."
        )
    return values[jax.process_index() * size :][:size]


class OneDecision(keras.callbacks.Callback):
    """Lets all processes stop if one of them wants to; the others would wait for it."""

    def on_epoch_end(self, epoch, logs=None):
        votes = _of_all([int(self.model.stop_training)])
        self.model.stop_training = bool(votes.any())
