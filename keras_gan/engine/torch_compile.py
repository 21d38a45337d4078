"""The train step on torch: traced once, compiled by Inductor, replayed as a CUDA graph on a GPU."""

import contextlib
import sys
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import keras
import torch
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from keras_gan.engine.keras_internals import stored_tensors, torch_device
from keras_gan.engine.torch_tracing import tensors_of, trace

# Generator updates before `jit_compile="auto"` compiles on a CPU, where compiling takes a minute or
# two at first: a short training should not pay for it.
AUTO_STEPS = 2000


class CompiledStep:
    """A GAN's train step that is compiled for each kind of batch, that is, shapes and dtypes.

    With `jit_compile="auto"` on a CPU, steps run eagerly until the model has made `AUTO_STEPS`
    generator updates, those before it was saved and loaded included. No clock decides, so that the
    same training runs the same way each time, resumed or not. On a GPU, and with `True`, steps are
    compiled from the first one on.

    A graph is made for the kind of the first batch, and for any kind that comes twice in a row: the
    smaller last batch of an epoch is not worth compiling for.

    All of this depends on `seen` alone, which a run keeps: a resumed run compiles what it would
    have compiled, and no more.

    Eager and compiled steps draw the same noise on a CPU, if the layers of the networks draw none.
    Dropout, `GaussianNoise` and their like draw other numbers of the same distribution when they
    are compiled, and so do the steps after them. On a GPU, compiled noise is Inductor's own.
    """

    def __init__(self, gan):
        self.gan = gan
        self.graphs: dict[str, Callable] = {}
        waits = gan.jit_compile == "auto" and torch_device().startswith("cpu")
        self.seen: dict[str, Any] = {"first": None, "last": None, "compiled": []}
        self.seen["eager_steps"] = AUTO_STEPS - int(gan.optimizer.iterations) if waits else 0

    def __call__(self, batch):
        seen = self.seen
        kind = str([(*tensor.shape, tensor.dtype) for tensor in tensors_of(batch)])
        seen["first"] = seen["first"] or kind
        usual, seen["last"] = kind in (seen["first"], seen["last"]), kind
        seen["eager_steps"] = max(seen["eager_steps"] - 1, -1)
        if seen["eager_steps"] < 0 and usual and kind not in seen["compiled"]:
            seen["compiled"].append(kind)
        if kind not in seen["compiled"]:
            return self.gan._step(batch)
        if kind not in self.graphs:
            self.graphs[kind] = _compiled(self.gan)
        return self.graphs[kind](batch)


def _compiled(gan):
    """Returns the step as one graph, or as two if it updates the discriminator several times.

    One graph serves all the discriminator's updates, which then take no longer to compile than one.
    """
    if gan.discriminator_steps == 1:
        return _Graph(gan, gan._step)
    updates = (gan._update_discriminator, gan._update_generator)
    graphs = {update: _Graph(gan, update) for update in updates}
    return partial(gan._step, run=lambda update, part: graphs[update](_contiguous(part)))


def _contiguous(batch):
    # A graph is made for one layout. Its own copy of a part of a batch would have another.
    return type(batch)(*(tensor.contiguous() for tensor in tensors_of(batch)))


class _Graph:
    """A function of a batch (forward, backward and updates) as one graph, traced when first called.

    What cannot be compiled runs eagerly, with a warning.
    """

    def __init__(self, gan, function):
        self.gan, self.eager = gan, function
        self.run: Callable | None = None

    def __call__(self, batch):
        if self.run is None:
            self.run = self._compiled(batch)
        return self.run(batch)

    def _compiled(self, batch):
        """Returns the compiled function, or the eager one if that is not possible."""
        variables = self.gan.variables + self.gan.optimizer.variables + self.gan.metrics_variables
        self.variables = list({id(v): v for v in variables}.values())
        values = [v.value.detach() for v in self.variables]
        tensors = tensors_of(batch)
        on_gpu = tensors[0].is_cuda
        try:
            with _probing(on_gpu):
                self.names, graph = trace(self.eager, self.variables, values, batch)
            self.function = _inductor(graph, [*values, *tensors], on_gpu)
            self._bind(tensors)
        except Exception as error:
            # Whatever a user's layer does that cannot be compiled can be run. Our own mistakes are
            # for us to fix.
            if self.gan.jit_compile is True and _is_mistake(error):
                raise
            why = _reason(error, self.gan)
            warnings.warn(
                f"The train step runs eagerly, because it cannot be compiled: {why}", stacklevel=2
            )
            return self.eager
        return self._run

    def _bind(self, tensors):
        """Ties the function to the variables' own memory, which it updates in place."""
        values = [v.value.detach() for v in self.variables]
        self.places = [v.data_ptr() for v in values]
        if tensors[0].is_cuda:
            self.bound: Callable = CudaGraph(self.function, values, tensors)
        else:
            self.bound = partial(self.function, *values)

    def _run(self, batch):
        tensors = tensors_of(batch)
        if [value.data_ptr() for value in stored_tensors(self.variables)] != self.places:
            self._bind(tensors)
        outputs = self.bound(*tensors)
        return dict(zip(self.names, outputs, strict=True)) if self.names else outputs


@contextlib.contextmanager
def _probing(on_gpu):
    """Prepares Inductor in other threads while the step is traced.

    Inductor probes the CPU and hashes torch's sources for its cache key, which takes seconds. Both
    must have ended before it compiles: run twice at once, the probe gives other compiler flags.
    """
    # Imported here, since it takes a second.
    from torch._inductor.codecache import torch_key
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    with ThreadPoolExecutor(2) as probes:
        if not on_gpu:
            probes.submit(pick_vec_isa)
        probes.submit(torch_key)
        from torch._inductor import compile_fx  # noqa: F401

        yield


def _inductor(graph, arguments, on_gpu):
    """Compiles a graph of one fixed size."""
    from torch._inductor.compile_fx import compile_fx

    settings = torch._inductor.config.patch(
        # On a CPU, torch's own noise is faster than Inductor's, and is that of eager steps.
        fallback_random=not on_gpu,
        # Inductor assumes channels-first and would undo Keras' channels-last layout.
        layout_optimization=False,
        # Before torch 2.13, it fails at the optimizer's updates of many variables at once.
        loop_ordering_after_fusion=False,
    )
    # Without an environment of shapes, Inductor does not look into its cache. But sizes are to be
    # numbers: as symbols they make slower kernels, and some graphs are refused.
    fake = FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv())
    with tracing(TracingContext(fake)), settings:
        return compile_fx(graph, arguments, ignore_shape_env=True)


class CudaGraph:
    """Replays a compiled function as a CUDA graph, in which one launch replaces hundreds.

    What it reads and writes stays at the same addresses: the variables' own memory, a buffer for
    each tensor of a batch, and the results. The default generator takes part in captured graphs, so
    each replay draws fresh noise.

    Args:
        function: The compiled function of `(*values, *tensors)`.
        values: The variables' tensors, which it updates in place.
        tensors: Those of a batch.
    """

    def __init__(self, function, values, tensors):
        self.tensors, self.graph = [t.clone() for t in tensors], torch.cuda.CUDAGraph()
        saved = [v.clone() for v in values]
        # Warming up (compiling and choosing kernels) must happen before, on another stream than the
        # default one. It takes real steps and draws noise, which is undone.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        generators = [t.device for t in tensors[:1] if t.is_cuda]
        try:
            with torch.random.fork_rng(generators), torch.cuda.stream(stream):
                for _ in range(3):
                    function(*values, *self.tensors)
            torch.cuda.current_stream().wait_stream(stream)
            # Other threads may use the GPU: a loader's that pins memory, the progress bar's.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.outputs = function(*values, *self.tensors)
        finally:
            for value, before in zip(values, saved, strict=True):
                value.copy_(before)

    def __call__(self, *tensors):
        for buffer, tensor in zip(self.tensors, tensors, strict=True):
            buffer.copy_(tensor, non_blocking=True)
        self.graph.replay()
        return [output.clone() for output in self.outputs]


def _is_mistake(error):
    """Returns whether an error is one of ours, or of how we use Keras and torch.

    Such as a private function of Keras whose parameters have changed: errors that Python raises for
    wrong code, with no code of a user's in between.
    """
    kinds = (TypeError, AttributeError, NameError, ImportError, LookupError, AssertionError)
    # Code that torch generates has no name.
    known = {"keras", "keras_gan", "torch", "", *sys.stdlib_module_names}
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    modules = {frame.f_globals.get("__name__", "").split(".")[0] for frame in frames}
    return isinstance(error, kinds) and modules <= known


def _reason(error, gan):
    """Returns one line on what cannot be compiled: the innermost layer, if any, and the error."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    owners = [frame.f_locals.get("self") for frame in frames]
    layers = [o.name for o in owners if isinstance(o, keras.layers.Layer) and o is not gan]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    where = f"layer {layers[-1]!r}: " if layers else ""
    return where + type(error).__name__ + (f": {lines[0]}" if lines else "")
