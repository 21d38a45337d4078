"""PyTorch: autograd, run eagerly or compiled (`torch_compile`)."""

import contextlib
import functools
import os
import warnings

import keras
import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from keras_gan.engine import torch_compile, torch_ranks
from keras_gan.engine.keras_internals import WithoutDynamo, torch_device
from keras_gan.engine.scopes import CopiedScope
from keras_gan.engine.sharing import Sharing

loader = None  # Keras' own is as fast for arrays.


def value_and_grad(fn, variables):
    """Returns `(loss, aux), gradients` of `fn() -> (loss, aux)` with respect to `variables`.

    What `fn` assigns to variables (statistics, seeds) is kept.
    """
    # The gradients need the values from before: keep back what a layer assigns until they are done.
    with torch.enable_grad(), CopiedScope() as scope:
        eager = scope.outer is None
        leaves = [v.value if eager else v.value.detach().requires_grad_() for v in variables]
        scope.state_mapping.update(zip(map(id, variables), leaves, strict=True))
        outputs = fn()
        gradients = torch.autograd.grad(outputs[0], leaves, allow_unused=True) if leaves else ()
    assigned = [variable for variable, _ in scope.updates.values()]
    values = [value.detach() for _, value in scope.updates.values()]
    # Statistics of the ranks' parts of a batch become those of the whole.
    for variable, value in zip(assigned, torch_ranks.mean_of_floats(values), strict=True):
        variable.assign(value)
    return keras.tree.map_structure(torch.detach, outputs), list(gradients)


def logits_and_gradient(fn, x):
    """Returns `(logits, aux), gradient` of `fn(x) -> (logits, aux)`, from one pass.

    What `fn` assigns to variables is kept, as if it had been called plainly.

    Args:
        fn: Callable from samples to logits `(batch, …)` and a list of scalars, which may be empty.
        x: Float samples `(batch, …)`.

    Returns:
        What `fn` returns, and the gradient of `sum(logits)` with respect to `x`, of the shape of
        `x`. All of it is differentiable with respect to the weights.
    """
    with CopiedScope() as scope:
        outputs, gradient = _with_gradient(fn, x)
    for variable, value in scope.updates.values():
        variable.assign(value)
    return outputs, gradient


def input_gradient(fn, x):
    """Returns the gradient of `sum(fn(x))` with respect to `x`, itself differentiable.

    What `fn` assigns to variables is forgotten.
    """
    with CopiedScope():
        return _with_gradient(lambda x: (fn(x), []), x)[1]


def _with_gradient(fn, x):
    # The other kernels for attention have no second derivative.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        logits, aux = fn(x)
        (gradient,) = torch.autograd.grad(
            keras.ops.sum(logits), x, create_graph=True, materialize_grads=True, allow_unused=True
        )
    return (logits, aux), gradient


def mean_over_devices(tensors):
    """Returns the means of tensors over the processes of `torch.distributed`; None stays None."""
    return torch_ranks.mean(tensors)


def device_share():
    """Returns 1: a mean over the processes is no share of one."""
    return 1.0


def agreed(number):
    """Returns a whole number that all processes of `torch.distributed` share, the first one's."""
    return torch_ranks.agreed(number)


def apply(optimizer, gradients, variables):
    """Updates `variables`, some or all of those that the optimizer was built with."""
    optimizer.apply(gradients, variables)


def batch_norm(x, scale, offset, epsilon):
    """Returns `x` normalized over all axes but the last, and the means and variances of these.

    In several processes, they are those of the whole batch.
    """
    if torch_ranks.count() > 1:
        mean, variance = torch_ranks.moments(x, tuple(range(x.ndim - 1)))
        return (x - mean) * (scale * torch.rsqrt(variance + epsilon)) + offset, mean, variance
    y, mean, inverse_root = torch.native_batch_norm(
        x.movedim(-1, 1), scale, offset, None, None, True, 0.0, epsilon
    )
    return y.movedim(1, -1), mean, inverse_root**-2 - epsilon


# Keras' random ops make a new generator from a number on the host at every call: they wait for the
# device, and in a trace the number is a constant. torch's default generator avoids both.


def compiled(fn):
    """Returns a function of tensors as it is: one compiled for a few calls would not pay."""
    return fn


def normal(shape, seed):
    """Returns standard normal noise, float32, from torch's default generator."""
    return torch.randn(shape, device=torch_device())


def uniform(shape, seed):
    """Returns noise that is uniform in 0…1, float32, from torch's default generator."""
    return torch.rand(shape, device=torch_device())


def seed_noise(seed, step):
    """Seeds torch's default generators so that the noise of training follows from both numbers.

    Each process of `torch.distributed` draws its own.
    """
    rank = [torch_ranks.rank()] if torch_ranks.count() > 1 else []
    [state] = np.random.SeedSequence([seed, step, *rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state))


def random_states():
    """Returns the states of torch's default generators, uint8 arrays, by device."""
    states = {"torch": torch.get_rng_state().numpy()}
    if torch_device().startswith("cuda"):
        states["torch_cuda"] = torch.cuda.get_rng_state().numpy()
    return states


def set_random_states(states):
    """Sets what `random_states` returned; other names are ignored."""
    if "torch" in states:
        torch.set_rng_state(torch.from_numpy(states["torch"].copy()))
    if "torch_cuda" in states and torch_device().startswith("cuda"):
        torch.cuda.set_rng_state(torch.from_numpy(states["torch_cuda"].copy()))
    torch_ranks.draw_apart()


def gather(array, order, start, size):
    """Returns `array[order[start : start + size]]`."""
    return array[order[start : start + size]]


def enable_compilation_cache(folder):
    """Keeps compiled steps in `folder`, where the next start of the same training finds them."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    torch._inductor.config.fx_graph_cache = True


@contextlib.contextmanager
def on_devices(count):
    """Lets this process, which `torchrun` has started, train together with the others.

    What processes other than the first one print is left out.

    Args:
        count: The number of processes, as given to `torchrun`; not used.
    """
    with torch_ranks.joined(), contextlib.ExitStack() as stack:
        if torch_ranks.rank() > 0:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield


def device_name():
    """Returns the name of the GPU that trains, or `"cpu"`."""
    return torch.cuda.get_device_name() if torch_device().startswith("cuda") else "cpu"


def free_memory():
    """Returns the bytes free on the accelerator, or None on a CPU."""
    return torch.cuda.mem_get_info()[0] if torch_device().startswith("cuda") else None


class Trainer(Sharing, WithoutDynamo):
    """Fits `_step(batch) -> logs` to Keras' torch trainer."""

    _compiled_step: torch_compile.CompiledStep | None = None
    _together = False

    @property
    def compilation(self):
        """What decides whether the next steps are compiled, as JSON values; None for nothing."""
        return None if self._compiled_step is None else self._compiled_step.seen

    @compilation.setter
    def compilation(self, seen):
        if self._compiled_step is not None and seen is not None:
            self._compiled_step.seen = seen

    @property
    def devices(self):
        """The number of devices that share a batch: the processes of `torch.distributed`."""
        torch_ranks.check_group()
        return torch_ranks.count()

    @property
    def leads(self):
        """Whether this process prints and writes files."""
        return torch_ranks.rank() == 0

    def own_callbacks(self, callbacks):
        """Returns those of a training's callbacks that this process runs."""
        return callbacks if self.devices == 1 else torch_ranks.own_callbacks(callbacks)

    @contextlib.contextmanager
    def together(self):
        self._together = self.devices > 1
        try:
            yield
        finally:
            self._together = False

    def predicted(self, model, inputs):
        predicted = functools.partial(super().predicted, model)
        return torch_ranks.shared(predicted, inputs) if self._together else predicted(inputs)

    def fit(self, x=None, *, callbacks=(), epochs=1, steps_per_epoch=None, **kwargs):
        options = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, **kwargs}
        if self.devices == 1:
            return super().fit(x, callbacks=callbacks, **options)
        torch_ranks.check_steps(x, steps_per_epoch, epochs)
        try:
            return super().fit(x, callbacks=callbacks, **options)
        except RuntimeError as error:
            if not torch_ranks.is_of_another_process(error):
                raise
            raise RuntimeError(
                f"Another of the {self.devices} processes has ended or does not answer. Start them "
                "again to resume what was saved."
            ) from error

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        overridden = type(self).train_step is not Trainer.train_step
        if overridden and self.jit_compile is True and not self.run_eagerly:
            warnings.warn(
                f"The train step runs eagerly, because {type(self).__name__} overrides train_step.",
                stacklevel=2,
            )
        compiled = self.jit_compile and not self.run_eagerly and not overridden
        self._compiled_step = torch_compile.CompiledStep(self) if compiled else None
        step = self._compiled_step or self._step
        checked = self.devices == 1

        def train_function(batches):
            nonlocal checked
            with torch.no_grad():
                for data in batches:
                    if not checked:
                        torch_ranks.check_batch(self._batch(data))
                        checked = True
                    if overridden:
                        # As Keras does: tensors, where the user's code runs.
                        logs = self.train_step(keras.tree.map_structure(_moved, data))
                    else:
                        logs = step(_on_device(self._batch(data)))
            return logs

        self.train_function = train_function

    def train_step(self, data):
        with torch.no_grad():
            return self._step(_on_device(self._batch(data)))


def _on_device(batch):
    """Returns this process' part of a batch, where the step runs."""
    return batch.map(lambda part: _moved(torch_ranks.part(part)))


def _moved(part):
    if torch_device().startswith("cuda") and isinstance(part, torch.Tensor):
        # A GPU copies from pinned memory while the host continues. From pageable memory, the host
        # would wait until the GPU has finished all steps before.
        part = part if part.is_cuda else part.pin_memory()
        return part.to(torch_device(), non_blocking=True)
    return keras.ops.convert_to_tensor(part)
