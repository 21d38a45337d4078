"""Several processes of `torch.distributed` (ranks), each of which trains on its part of a batch.

Every rank reads whole batches and takes its part; the gradients and the step's outputs are averaged
over the ranks, so that all of them make the same update. Batch normalization is over the whole
batch, as on JAX.

The functional collectives of torch, `_c10d_functional`, are not documented. They are what can be
traced into a compiled step; without them, training in several processes fails, and nothing else.
"""

import contextlib
import os
from typing import Any

import keras
import numpy as np
import torch
import torch.distributed as dist

from keras_gan.engine.sharing import check_restoring, steps_of, without_writers


def count() -> int:
    """Returns the number of processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process among them, from 0."""
    return dist.get_rank() if count() > 1 else 0


@contextlib.contextmanager
def joined():
    """Joins the group of processes that `torchrun` has started, and leaves it at the end."""
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpus else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def check_group() -> None:
    """Raises ValueError in one of several processes that have not joined a group."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1 and count() == 1:
        raise ValueError(
            f"This is one of {processes} processes (WORLD_SIZE), each of which would make the same "
            "training: call torch.distributed.init_process_group() before fit, or start one alone."
        )


class _Sum(torch.autograd.Function):
    """The sum over the ranks, differentiable any number of times."""

    @staticmethod
    def forward(context, x):
        collective = torch.ops._c10d_functional
        world: Any = dist.group.WORLD
        total = collective.all_reduce(x.contiguous(), "sum", world.group_name)
        return collective.wait_tensor(total)

    @staticmethod
    def backward(context, gradient):
        return _Sum.apply(gradient)


def mean(tensors):
    """Returns the means of tensors over the ranks, from one sum of all of them; None stays None."""
    given = [tensor for tensor in tensors if tensor is not None]
    if count() == 1 or not given:
        return tensors
    flat = _Sum.apply(torch.cat([tensor.reshape(-1).float() for tensor in given])) / count()
    parts = iter(flat.split([tensor.numel() for tensor in given]))
    return [t if t is None else next(parts).reshape(t.shape).to(t.dtype) for t in tensors]


def mean_of_floats(tensors):
    """Returns the means of those tensors that are floats, and the others as they are."""
    means = iter(mean([tensor for tensor in tensors if tensor.is_floating_point()]))
    return [next(means) if tensor.is_floating_point() else tensor for tensor in tensors]


def moments(x, axes):
    """Returns the means and variances over axes and ranks, which have parts of equal sizes."""
    local = x.mean(axes)
    square = x.var(axes, correction=0) + local**2
    average, square = (_Sum.apply(torch.stack([local, square])) / count()).unbind()
    return average, square - average**2


def part(values):
    """Returns this rank's part of a whole batch.

    Raises:
        ValueError: If the ranks cannot share it equally.
    """
    if count() == 1:
        return values
    if len(values) % count():
        raise ValueError(
            f"A batch of {len(values)} cannot be shared equally by {count()} processes; give "
            f"batches of a multiple of {count()}, the last one of the data too."
        )
    return values[rank() :: count()]


def shared(predict, inputs):
    """Returns `predict(inputs)`, of which each rank computes an equal part.

    Args:
        predict: From arrays of a batch to an array.
        inputs: Arrays `(batch, …)`, the same in all ranks, one or a list.
    """
    size = len(inputs[0] if isinstance(inputs, list) else inputs)
    each = -(-size // count())
    # What a batch lacks is made of its beginning, and left out at the end.
    chosen = np.arange(rank() * each, (rank() + 1) * each) % size
    own = predict(keras.tree.map_structure(lambda array: array[chosen], inputs))
    own = torch.as_tensor(keras.ops.convert_to_numpy(own), device=_device())
    parts = [torch.empty_like(own) for _ in range(count())]
    dist.all_gather(parts, own)
    return torch.cat(parts)[:size].cpu().numpy()


def agreed(number: int) -> int:
    """Returns the first rank's number, which must fit into 63 bits."""
    return int(_gathered([number])[0, 0])


def draw_apart() -> None:
    """Makes torch's default generators, which are in one state in all ranks, differ from now on."""
    if count() > 1:
        common = int(torch.randint(2**62, ()))
        own = np.random.SeedSequence([common, rank()])
        torch.manual_seed(int(own.generate_state(1)[0]))


def _gathered(numbers, dtype=torch.int64) -> torch.Tensor:
    """Returns every rank's numbers, a row each."""
    if count() == 1:
        return torch.tensor([numbers], dtype=dtype)
    own = torch.tensor(numbers, dtype=dtype, device=_device())
    rows = [torch.empty_like(own) for _ in range(count())]
    dist.all_gather(rows, own)
    return torch.stack(rows).cpu()


def _device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def check_same(numbers, message: str) -> None:
    """Raises ValueError in all ranks unless all of them have the same numbers."""
    rows = _gathered(numbers, torch.float64)
    if not torch.equal(rows, rows[0].expand_as(rows)):
        shown = ", ".join(str(row[:4].tolist()) for row in rows)
        raise ValueError(f"{message} (by rank: {shown}).")


def check_steps(x, steps_per_epoch, epochs: int) -> None:
    """Raises ValueError in all ranks unless all will make as many steps; else some would wait."""
    steps = steps_of(x, steps_per_epoch, count())
    check_same([steps, epochs], "All processes must make as many steps and epochs")


def check_batch(batch) -> None:
    """Raises ValueError in all ranks unless all have read the same whole batch."""
    values = [np.asarray(keras.ops.convert_to_numpy(p), "float64") for p in batch if p is not None]
    sums = [float(number) for value in values for number in (value.sum(), (value**2).sum())]
    check_same(
        [*map(len, values), *sums],
        "The processes read different batches. Each reads the whole data, in one order, and takes "
        "its part of every batch: give loaders that shuffle the same seed",
    )


def own_callbacks(callbacks) -> list:
    """Returns the callbacks of this rank: only the first one writes files."""
    check_restoring(callbacks)
    return [*(callbacks if rank() == 0 else without_writers(callbacks)), SameOnAllRanks()]


def is_of_another_process(error: RuntimeError) -> bool:
    """Returns whether an error says that another rank cannot be reached."""
    if isinstance(error, dist.DistError):
        return True
    signs = ("closed by peer", "reset by peer", "Timed out waiting", "Broken pipe", "gloo")
    return any(sign in str(error) for sign in signs)


class SameOnAllRanks(keras.callbacks.Callback):
    """Gives all ranks the first one's variables, noise of their own, and one decision to stop.

    It is the last callback, so that variables are sent when the others have restored theirs.
    """

    def on_train_begin(self, logs=None):
        for variable in self._variables():
            value = variable.value.detach().clone()
            dist.broadcast(value, 0)
            variable.assign(value)
        if self.model.seed is None:  # The ranks' programs may have set one seed.
            draw_apart()

    def on_epoch_end(self, epoch, logs=None):
        stop = torch.tensor(int(self.model.stop_training), device=_device())
        dist.all_reduce(stop, dist.ReduceOp.MAX)
        self.model.stop_training = bool(stop)
        values = [variable.value.detach() for variable in self._variables()]
        sums = [float(value.double().sum()) for value in values if value.is_floating_point()]
        check_same(sums, "The weights of the processes are no longer the same")

    def on_train_end(self, logs=None):
        dist.barrier()  # What the first rank has written is there when `fit` returns in any.

    def _variables(self):
        return self.model.variables + self.model.optimizer.variables
