"""A train step as one flat graph of torch operations, with Keras' functions as a trace needs."""

import contextlib
import math
from typing import Any

import keras
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from keras_gan.engine.keras_internals import (
    adam_moments,
    replaced_torch_functions,
    updates_as_adam,
)
from keras_gan.engine.scopes import CopiedScope, pure_step


def tensors_of(batch):
    """Returns the tensors of a batch: samples, and a condition if there is one."""
    return [part for part in batch if part is not None]


def trace(function, variables, values, batch):
    """Traces a function of a batch into a flat graph that updates `values` in place.

    Args:
        function: Callable that takes a batch, reads and assigns `variables`, and returns a list or
            a dict of tensors.
        variables: All `keras.Variable`s that it reads.
        values: Their tensors.
        batch: A batch of the kind that the graph is for.

    Returns:
        The keys of what the function returns, none for a list, and an `fx.GraphModule` of
        `(*values, *tensors_of(batch))` that returns a list.

    Raises:
        ValueError: If the function reads other variables.
    """
    names: list[str] = []

    def flat(*arguments):
        values = list(arguments[: len(variables)])
        tensors = arguments[len(variables) :]
        outputs, [new] = pure_step(function, [variables], [values], type(batch)(*tensors))
        for old, value in zip(values, new, strict=True):
            if value is not old:
                old.copy_(value)
        names[:] = outputs if isinstance(outputs, dict) else ()
        return list(outputs.values()) if names else outputs

    with torch.no_grad(), traceable_keras():
        traced = make_fx(flat, _REPLACED, tracing_mode="fake", _allow_non_fake_inputs=True)
        graph = traced(*values, *tensors_of(batch))
    if list(graph.parameters()):
        # Their present values would be constants of the graph.
        raise ValueError("it reads variables that the model does not track")
    # Arrays that a layer reads: what a GPU has captured cannot copy from the host.
    return names, graph.to(tensors_of(batch)[0].device)


def _bernoulli(x, p=0.5, generator=None):
    return x.copy_(torch.rand_like(x) < p)


def _convolution_backward(gradient, x, kernel, bias, *settings):
    """Adds a second channel of zeros to a gradient that has one only, on a GPU.

    One channel can be laid out as the first axis or the last: cuDNN takes it for the first, torch's
    prediction for the last, and the code that Inductor makes refuses the result.
    """
    transposed, groups, wanted = settings[3], settings[5], settings[6]
    if gradient.shape[1] > 1 or groups > 1 or not gradient.is_cuda:
        return NotImplemented
    side = int(transposed)  # The kernel's axis of output channels.
    gradient, kernel = (
        torch.cat([t, torch.zeros_like(t)], axis) for t, axis in ((gradient, 1), (kernel, side))
    )
    dx, dkernel, dbias = torch.ops.aten.convolution_backward(
        gradient, x, kernel, bias and [2], *settings
    )
    return (
        dx,
        dkernel.narrow(side, 0, 1) if wanted[1] else None,
        dbias[:1] if wanted[2] else None,
    )


def _replication_pad_backward(gradient, x, padding):
    """Adds the gradients of an edge's copies to that of the edge.

    Keras' average pooling repeats the edge of an odd side. Torch's kernel keeps a gradient in
    channels-last, torch's prediction says channels-first, and the code that Inductor makes refuses
    the result.
    """
    if min(padding) < 0:
        return NotImplemented
    for i in range(len(padding) // 2):  # From the last axis on.
        axis, before, after = x.dim() - 1 - i, padding[2 * i], padding[2 * i + 1]
        size = x.shape[axis]
        if before + after == 0:
            continue
        if size == 1:
            gradient = gradient.sum(axis, keepdim=True)
            continue
        parts = gradient.split([before + 1, size - 2, after + 1], axis)
        edges = [part.sum(axis, keepdim=True) for part in parts[::2]]
        gradient = torch.cat([edges[0], parts[1], edges[1]], axis)
    return gradient


_REPLACED: dict[Any, Any] = {
    # torch draws uniform numbers in half the time of coins, and on a GPU in the kernel that uses
    # them.
    torch.ops.aten.bernoulli_.float: _bernoulli,
    torch.ops.aten.convolution_backward.default: _convolution_backward,
    torch.ops.aten.replication_pad1d_backward.default: _replication_pad_backward,
    torch.ops.aten.replication_pad2d_backward.default: _replication_pad_backward,
    torch.ops.aten.replication_pad3d_backward.default: _replication_pad_backward,
}


@contextlib.contextmanager
def traceable_keras():
    """Replaces some functions of Keras while tracing.

    - Seeded random ops draw from torch's default generator, because a seed in a trace is a
      constant.
    - Optimizers keep the learning rate a tensor, because a number in a trace is a constant.
    - Convolutions of channels-last inputs take a view, where Keras' copy to channels-first and
      back. Where "same" needs more on one side than on the other, only the difference is padded or
      cropped outside of torch's convolution.
    - `ops.cond`, which loss scaling uses, computes both branches, because a trace has no branches.
    """
    with replaced_torch_functions(
        torch_seed_generator=lambda seed: None,
        update_step=_update_step,
        conv=lambda *args, **kwargs: conv(keras_conv, *args, **kwargs),
        conv_transpose=lambda *args, **kwargs: conv_transpose(keras_transpose, *args, **kwargs),
        cond=_cond,
    ) as originals:
        keras_conv, keras_transpose = originals.get("conv"), originals.get("conv_transpose")
        yield


def _cond(pred, true_fn, false_fn):
    """Runs both branches and takes from each, values and assignments alike, what `pred` says."""
    pred = keras.ops.convert_to_tensor(pred, "bool")
    sides = []
    for branch in (true_fn, false_fn):
        with CopiedScope() as scope:
            outputs = branch()
        sides.append((outputs, scope.updates))
    (yes, after_yes), (no, after_no) = sides
    for key in {**after_yes, **after_no}:
        variable = (after_yes.get(key) or after_no[key])[0]
        values = [
            updates[key][1] if key in updates else variable.value
            for updates in (after_yes, after_no)
        ]
        variable.assign(torch.where(pred, *values))
    return keras.tree.map_structure(
        lambda one, other: None if one is None else torch.where(pred, one, other), yes, no
    )


def conv(
    original, inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1
):  # fmt: skip
    """Convolves like `keras.ops.conv`; `original` is Keras' own, for what is not channels-last."""
    if (data_format or keras.config.image_data_format()) != "channels_last":
        return original(inputs, kernel, strides, padding, data_format, dilation_rate)
    x, kernel = _channels_second(inputs), _filters_first(kernel)
    sizes = kernel.shape[2:]
    strides, dilation = _one_per_axis(strides, sizes), _one_per_axis(dilation_rate, sizes)
    totals = [0] * len(sizes)
    if padding == "same":
        totals = [
            max((math.ceil(n / stride) - 1) * stride + (k - 1) * rate + 1 - n, 0)
            for n, k, stride, rate in zip(x.shape[2:], sizes, strides, dilation, strict=True)
        ]
    # torch pads both sides alike; an odd total needs one more at the end.
    more = [side for total in reversed(totals) for side in (0, total % 2)]
    if any(more):
        x = torch.nn.functional.pad(x, more)
    both, no_crop = [total // 2 for total in totals], [0] * len(sizes)
    groups = x.shape[1] // kernel.shape[1]
    y = torch.convolution(x, kernel, None, strides, both, dilation, False, no_crop, groups)
    return y.movedim(1, -1)


def conv_transpose(
    original, inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None,
    dilation_rate=1,
):  # fmt: skip
    """Convolves like `keras.ops.conv_transpose`; `original` is Keras' own.

    That one is used for channels-first inputs, an explicit `output_padding`, and strides larger
    than the kernel, where it must pad.
    """
    sizes = kernel.shape[:-2]
    strides, dilation = _one_per_axis(strides, sizes), _one_per_axis(dilation_rate, sizes)
    spans = [(size - 1) * rate + 1 for size, rate in zip(sizes, dilation, strict=True)]
    channels_last = (data_format or keras.config.image_data_format()) == "channels_last"
    fits = all(span >= stride for span, stride in zip(spans, strides, strict=True))
    if not (channels_last and fits and output_padding is None):
        return original(
            inputs, kernel, strides, padding, output_padding, data_format, dilation_rate
        )
    x, kernel = _channels_second(inputs), _filters_first(kernel)
    # The whole output is (n − 1)·stride + span long; "same" keeps n·stride of it.
    crops = [
        span - stride if padding == "same" else 0
        for span, stride in zip(spans, strides, strict=True)
    ]
    both, none = [crop // 2 for crop in crops], [0] * len(sizes)
    y = torch.convolution(x, kernel, None, strides, both, dilation, True, none, 1)
    # torch crops both sides alike; of an odd number, one more goes at the end.
    ends = [slice(0, -1 if crop % 2 else None) for crop in crops]
    return y.movedim(1, -1)[(slice(None), *ends)]


def _channels_second(x):
    return keras.ops.convert_to_tensor(x).movedim(-1, 1)


def _filters_first(kernel):
    """Returns a kernel `(…, a, b)` as `(b, a, …)`, as torch wants both kinds."""
    return keras.ops.convert_to_tensor(kernel).movedim((-1, -2), (0, 1))


def _one_per_axis(setting, sizes):
    return [setting] * len(sizes) if isinstance(setting, int) else list(setting)


def _update_step(optimizer, gradients, variables, learning_rate):
    """Updates all variables of an optimizer.

    Adam's update takes a few nodes, where Keras' code makes a dozen for each variable: there is
    less to trace, and to look up in the cache. Others take Keras' code for all backends.
    """
    if not updates_as_adam(optimizer):
        for gradient, variable in zip(gradients, variables, strict=True):
            optimizer.update_step(gradient, variable, learning_rate)
        return
    groups = [*adam_moments(optimizer, variables), variables]
    means: Any
    squares: Any
    weights: Any
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
