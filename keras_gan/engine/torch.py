"""PyTorch: autograd, eager or traced once into a flat graph that Inductor compiles."""

import contextlib
import os
import statistics
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import keras
import torch
from keras.src.backend.common.stateless_scope import get_stateless_scope
from keras.src.backend.torch import nn as keras_torch_nn
from keras.src.backend.torch import random as keras_torch_random
from keras.src.backend.torch.core import get_device
from keras.src.backend.torch.optimizers.torch_parallel_optimizer import TorchParallelOptimizer
from keras.src.optimizers.base_optimizer import BaseOptimizer
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.nn.attention import SDPBackend, sdpa_kernel

from keras_gan.engine.scopes import CopiedScope, pure_step

_keras_same_padding = keras_torch_nn._apply_same_padding
_keras_conv_transpose = keras_torch_nn.conv_transpose
loader = None  # Arrays come as fast through Keras' own.
# Seconds of eager steps before "auto" tries to compile: on a CPU a short run is not to pay for the
# one or two minutes that this takes at first.
PATIENCE = {"cpu": 30.0, "cuda": 0.0}


def value_and_grad(fn, variables):
    """Returns `(loss, aux), gradients` of `fn() -> (loss, aux)` with respect to `variables`."""
    eager = get_stateless_scope() is None
    # What a layer assigns is kept until the gradients are there, which need the values before.
    with torch.enable_grad(), CopiedScope() as scope:
        leaves = [v.value if eager else v.value.detach().requires_grad_() for v in variables]
        scope.state_mapping.update(zip(map(id, variables), leaves, strict=True))
        outputs = fn()
        gradients = torch.autograd.grad(outputs[0], leaves, allow_unused=True) if leaves else ()
    for variable, value in scope.updates.values():
        variable.assign(value.detach())
    return keras.tree.map_structure(torch.detach, outputs), list(gradients)


def input_gradient(fn, x):
    """Returns the gradient of `sum(fn(x))` with respect to `x`, itself differentiable."""
    # The other kernels for attention have no second derivative.
    with torch.enable_grad(), CopiedScope(), sdpa_kernel(SDPBackend.MATH):
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(
            keras.ops.sum(fn(x)), x, create_graph=True, materialize_grads=True, allow_unused=True
        )
    return gradient


def apply(optimizer, gradients, variables):
    """Updates `variables`, some or all of those that the optimizer was built with."""
    optimizer.apply(gradients, variables)


def batch_norm(x, scale, offset, epsilon):
    """Returns `x` normalized over all axes but the last, and the means and variances of these."""
    y, mean, inverse_root = torch.native_batch_norm(
        x.movedim(-1, 1), scale, offset, None, None, True, 0.0, epsilon
    )
    return y.movedim(1, -1), mean, inverse_root**-2 - epsilon


# Keras' own random ops seed a new generator from a host integer at every call: a wait for the
# device, and a constant once traced. The framework's default generator is neither.
def normal(shape, seed):
    return torch.randn(shape, device=get_device())


def uniform(shape, seed):
    return torch.rand(shape, device=get_device())


def enable_compilation_cache(folder):
    """Keeps compiled steps in `folder`, so that the next start of the same training finds them."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    torch._inductor.config.fx_graph_cache = True


def device_name():
    return torch.cuda.get_device_name() if get_device().startswith("cuda") else "cpu"


def free_memory():
    """Bytes free on the accelerator, or None on a CPU."""
    return torch.cuda.mem_get_info()[0] if get_device().startswith("cuda") else None


class Trainer:
    """Fits `_step(data) -> logs` to Keras' torch trainer."""

    def _resolve_auto_jit_compile(self):
        return "auto"

    def _should_torch_compile(self):
        # Keras would hand its own Python to Dynamo, which takes minutes and ends up slower.
        return False

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            compiles = self.jit_compile and not self.run_eagerly
            step = _CompiledStep(self) if compiles else self._step

            def train_function(batches):
                with torch.no_grad():
                    for data in batches:
                        logs = step(_on_device(self._samples(data)))
                return logs

            self.train_function = train_function

    def train_step(self, data):
        with torch.no_grad():
            return self._step(data)


def _on_device(samples):
    """Samples where the step runs; a GPU copies them while the host goes on."""
    if get_device().startswith("cuda") and isinstance(samples, torch.Tensor):
        # From pageable memory, the host would wait until the GPU has done all steps before.
        samples = samples if samples.is_cuda else samples.pin_memory()
        return samples.to(get_device(), non_blocking=True)
    return keras.ops.convert_to_tensor(samples)


class _CompiledStep:
    """A step that is compiled for each kind of batch, and runs eagerly where that loses.

    A graph is made for the kind of batch that comes first, and for any that comes twice in a row:
    the smaller last batch of an epoch is not worth compiling for.
    """

    def __init__(self, gan):
        self.gan, self.graphs, self.last = gan, {}, None

    def __call__(self, samples):
        key = tuple(samples.shape), samples.dtype
        graph = self.graphs.get(key)
        if graph is None and self.last in (None, key):
            graph = _compiled(self.gan)
            if self.gan.jit_compile == "auto":
                graph = _Measured(self.gan._step, graph)
            self.graphs[key] = graph
        self.last = key
        return self.gan._step(samples) if graph is None else graph(samples)


def _compiled(gan):
    """The step as one graph; or, where it updates the discriminator several times, as two.

    So that several updates take no longer to trace and to compile than one.
    """
    if gan.discriminator_steps == 1:
        return _Graph(gan, gan._step)
    updates = (gan._update_discriminator, gan._update_generator)
    graphs = {update: _Graph(gan, update) for update in updates}
    # A graph is made for one layout, and its copy of a part of a batch would have another.
    return partial(gan._step, run=lambda update, part: graphs[update](part.contiguous()))


class _Graph:
    """A function, forward, backward and updates, as one graph; traced at the first call."""

    def __init__(self, gan, function):
        self.gan, self.eager = gan, function
        self.run = None

    def __call__(self, samples):
        if self.run is None:
            self._compile(samples)
        return self.run(samples)

    def _compile(self, samples):
        variables = self.gan.variables + self.gan.optimizer.variables + self.gan.metrics_variables
        self.variables = list({id(v): v for v in variables}.values())
        values = [v.value.detach() for v in self.variables]
        try:
            # Imported here, since it takes a second.
            from torch._inductor.codecache import torch_key
            from torch._inductor.cpu_vec_isa import pick_vec_isa

            with ThreadPoolExecutor(2) as probes:
                # Inductor asks other processes for the CPU's instructions and reads all of torch's
                # files, to know its cache by: two seconds and more to import and to trace in.
                if not samples.is_cuda:
                    probes.submit(pick_vec_isa)
                probes.submit(torch_key)
                from torch._inductor.compile_fx import compile_fx

                self.names, graph = _trace(self.eager, self.variables, values, samples)
            # Without an environment of shapes, Inductor does not look into its cache. But sizes
            # are to be numbers: as symbols they make slower kernels, and some graphs are refused.
            fake = FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv())
            settings = torch._inductor.config.patch(
                # On a CPU, torch's own noise is faster than Inductor's.
                fallback_random=not samples.is_cuda,
                # It takes the second axis for channels, where Keras' are last as they should be.
                layout_optimization=False,
            )
            with tracing(TracingContext(fake)), settings:
                self.function = compile_fx(graph, [*values, samples], ignore_shape_env=True)
            self._bind(samples)
            self.run = self._run
        except Exception as error:
            # Whatever a user's layer does that cannot be compiled, it can be run.
            warnings.warn(
                f"The train step runs eagerly, because it cannot be compiled: {_reason(error)}",
                stacklevel=2,
            )
            self.run = self.eager

    def _bind(self, samples):
        """Ties the function to the variables' own memory, which it updates in place."""
        values = [v.value.detach() for v in self.variables]
        self.places = [v.data_ptr() for v in values]
        if samples.is_cuda:
            self.bound: Callable = _CudaGraph(self.function, values, samples)
        else:
            self.bound = partial(self.function, *values)

    def _run(self, samples):
        # Keras takes microseconds to hand out each of hundreds of values: only a look is cheap.
        if [v._value.data_ptr() for v in self.variables] != self.places:
            self._bind(samples)
        outputs = self.bound(samples)
        return dict(zip(self.names, outputs, strict=True)) if self.names else outputs


def _trace(function, variables, values, samples):
    """Traces a function of samples into a flat graph that updates `values` in place.

    Returns:
        The keys of what the function returns, none for a list, and an `fx.GraphModule` of
        `(*values, samples)` that returns a list.
    """
    names: list[str] = []

    def flat(*arguments):
        *values, samples = arguments
        outputs, [new] = pure_step(function, [variables], [values], samples)
        for old, value in zip(values, new, strict=True):
            if value is not old:
                old.copy_(value)
        names[:] = outputs if isinstance(outputs, dict) else ()
        return list(outputs.values()) if names else outputs

    with torch.no_grad(), _traceable_keras():
        trace = make_fx(flat, _DROPOUT, tracing_mode="fake", _allow_non_fake_inputs=True)
        graph = trace(*values, samples)
    if list(graph.parameters()):
        # Their values of now would be constants of the graph.
        raise ValueError("it reads variables that the model does not track")
    return names, graph


def _bernoulli(x, p=0.5, generator=None):
    return x.copy_(torch.rand_like(x) < p)


# torch draws uniform numbers in half the time of coins, and on a GPU in the kernel that uses them.
_DROPOUT = {torch.ops.aten.bernoulli_.float: _bernoulli}


@contextlib.contextmanager
def _traceable_keras():
    """Replaces some functions of Keras while tracing.

    Its seeded random ops make a generator from a variable's value at each call, which would be
    traced as a constant: they draw from the framework's default generator instead. Its optimizers
    for torch pass the learning rate as a number: `_update_step` takes their place. Its
    convolutions copy their channels-last inputs to channels-first and back, where a view will do.
    Where the sides differ, they pad and crop outside of torch's: only the difference must be.
    """
    replaced = [
        (keras_torch_random, "torch_seed_generator", lambda seed: None),
        (TorchParallelOptimizer, "_backend_update_step", _update_step),
        (keras_torch_nn, "_transpose_spatial_inputs", lambda x: x.movedim(-1, 1)),
        (keras_torch_nn, "_apply_same_padding", _same_padding),
        (keras_torch_nn, "conv_transpose", _conv_transpose),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name, function in replaced:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, function)
        yield


def _same_padding(x, kernel_size, strides, data_format, operation, dilation_rate=1):
    """The images, padded where one side needs more, and what a convolution is to pad on both."""
    padded, padding = _keras_same_padding(
        x, kernel_size, strides, data_format, operation, dilation_rate
    )
    if operation == "pooling" or padding != 0:
        return padded, padding
    added = [new - old for new, old in zip(padded.shape[2:], x.shape[2:], strict=True)]
    more = [side for n in reversed(added) for side in (0, n % 2)]
    return torch.nn.functional.pad(x, more), [n // 2 for n in added]


def _conv_transpose(x, kernel, strides, padding, output_padding, data_format, dilation_rate):
    settings = (strides, padding, output_padding)
    crops = keras_torch_nn.compute_conv_transpose_output_crops_for_torch(
        x.shape, kernel.shape, *settings, dilation_rate
    )
    even = [min(sides) for sides in crops]
    if x.ndim != 4 or data_format != "channels_last" or min(even) < 0:
        return _keras_conv_transpose(x, kernel, *settings, data_format, dilation_rate)
    x, kernel = x.movedim(-1, 1), keras.ops.convert_to_tensor(kernel).permute(3, 2, 0, 1)
    y = torch.nn.functional.conv_transpose2d(
        x, kernel, stride=strides, padding=even, dilation=dilation_rate
    )
    rows, columns = (
        slice(left - n, n - right or None) for (left, right), n in zip(crops, even, strict=True)
    )
    return y.movedim(1, -1)[:, rows, columns]


def _update_step(optimizer, gradients, variables, learning_rate):
    """Adam's update of all variables in a few nodes, where Keras' code makes a dozen for each.

    So there is less to trace and to look up in the cache. Others take the code for all backends.
    """
    if type(optimizer).update_step is not keras.optimizers.Adam.update_step or optimizer.amsgrad:
        BaseOptimizer._backend_update_step(optimizer, gradients, variables, learning_rate)
        return
    slots = (optimizer._momentums, optimizer._velocities)
    places = [optimizer._get_variable_index(variable) for variable in variables]
    groups = [[slot[i] for i in places] for slot in slots] + [variables]
    means, squares, weights = ([v.value for v in group] for group in groups)
    beta1, beta2, step = optimizer.beta_1, optimizer.beta_2, optimizer.iterations + 1
    rate = learning_rate * torch.sqrt(1 - beta2**step) / (1 - beta1**step)
    means = torch._foreach_lerp(means, gradients, 1 - beta1)
    squares = torch._foreach_lerp(squares, torch._foreach_mul(gradients, gradients), 1 - beta2)
    roots = torch._foreach_add(torch._foreach_sqrt(squares), optimizer.epsilon)
    weights = torch._foreach_addcdiv(weights, means, torch._foreach_div(roots, -rate))
    for group, values in zip(groups, (means, squares, weights), strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)


def _reason(error):
    """One line on what cannot be compiled: the innermost layer, if any, and the error's name."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    owners = [frame.f_locals.get("self") for frame in frames]
    layers = [owner.name for owner in owners if isinstance(owner, keras.layers.Layer)]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    where = f"layer {layers[-1]!r}: " if layers else ""
    return where + type(error).__name__ + (f": {lines[0]}" if lines else "")


class _CudaGraph:
    """Replays a compiled function as a CUDA graph, in which one launch replaces hundreds.

    What it reads and writes stays at the same addresses: the variables' own memory, one buffer
    for the samples, one for the results. The default generator takes part in captured graphs, so
    each replay draws fresh noise.
    """

    def __init__(self, function, values, samples):
        self.samples, self.graph = samples.clone(), torch.cuda.CUDAGraph()
        saved = [v.clone() for v in values]
        # Warming up (compiling and choosing kernels) must happen before, on another stream than
        # the default one, and takes real steps, which are undone.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream):
                for _ in range(3):
                    function(*values, self.samples)
            torch.cuda.current_stream().wait_stream(stream)
            # Other threads go on: those of loaders that pin memory, and the progress bar's.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.outputs = function(*values, self.samples)
        finally:
            for value, before in zip(values, saved, strict=True):
                value.copy_(before)

    def __call__(self, samples):
        self.samples.copy_(samples, non_blocking=True)
        self.graph.replay()
        return [output.clone() for output in self.outputs]


class _Measured:
    """Eager steps until compiling may pay, then a few compiled ones, then whichever was faster."""

    TRIALS = 5

    def __init__(self, eager, graph):
        self.eager, self.graph, self.choice = eager, graph, None
        self.times: dict[str, list[float]] = {"eager": [], "graph": []}

    def __call__(self, samples):
        if self.choice is not None:
            return self.choice(samples)
        eager, graph = self.times["eager"], self.times["graph"]
        if sum(eager) < PATIENCE.get(samples.device.type, 0.0) or len(eager) < self.TRIALS:
            return self._timed(self.eager, eager, samples)
        logs = self._timed(self.graph, graph, samples)
        if len(graph) > self.TRIALS:  # The first one compiled.
            medians = [statistics.median(times[-self.TRIALS :]) for times in (eager, graph)]
            self.choice = self.graph if medians[1] < medians[0] else self.eager
        return logs

    def _timed(self, step, times, samples):
        wait = torch.cuda.synchronize if samples.is_cuda else lambda: None
        wait()
        start = time.perf_counter()
        logs = step(samples)
        wait()
        times.append(time.perf_counter() - start)
        return logs
