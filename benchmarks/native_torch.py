"""A training loop in plain PyTorch: channels-last, fused Adam; eager, or compiled with Dynamo.

PyTorch's convolutions pad symmetrically, while Keras' "same" pads more after than before. On images
rotated by 180°, with rotated kernels, both compute the same function. So this loop trains the
rotated networks on rotated images, and pays nothing for padding.
"""

import numpy as np
import torch
import torch.nn.utils.parametrize
from torch import nn
from torch.nn import functional as F

MODES = ("eager", "compile")


class Loop:
    """Trains a `Description`; `step(images)` takes uint8 images and returns losses."""

    def __init__(self, description, mode="eager", seed=0, device="cpu"):
        torch.manual_seed(seed)
        if mode == "compile" and (description.penalty or description.r1 or description.r2):
            raise ValueError("torch.compile refuses double backward (pytorch#91469).")
        self.d, self.device = description, device
        self.g_net = _Network(description.generator).to(device)
        self.d_net = _Network(description.discriminator).to(device)
        for net in (self.g_net, self.d_net):
            net.to(memory_format=torch.channels_last)
        self.g_opt = self._adam(self.g_net, "generator")
        self.d_opt = self._adam(self.d_net, "discriminator")
        state = self.g_net.state_dict().values() if description.ema_momentum else ()
        self.weights = [w for w in state if w.is_floating_point()]
        self.averages = [w.clone() for w in self.weights]
        self.d_loss, self.g_loss = self._d_loss, self._g_loss
        if mode == "compile":
            options = {"mode": "reduce-overhead"} if device == "cuda" else {}
            self.d_loss = torch.compile(self._d_loss, fullgraph=True, **options)
            self.g_loss = torch.compile(self._g_loss, fullgraph=True, **options)

    def _adam(self, net, side):
        rate, b1, b2, epsilon = self.d.adam[side]
        return torch.optim.Adam(net.parameters(), rate, (b1, b2), epsilon, fused=True)

    def step(self, images):
        images = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
        real = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        real = real.float() / 127.5 - 1.0
        steps = self.d.discriminator_steps
        real = real.reshape(-1, steps, *real.shape[1:])
        losses = []
        for p in self.d_net.parameters():
            p.requires_grad_(True)
        for i in range(steps):
            batch = real[:, i].contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                fake = self.g_net(self.normal((len(batch), *self.d.latent_shape)))
            loss = self.d_loss(batch, fake)
            self.d_opt.zero_grad(set_to_none=True)
            # Not with respect to the samples, whose slopes the terms have taken.
            loss.backward(inputs=list(self.d_net.parameters()))
            self.d_opt.step()
            losses.append(loss.detach().clone())  # CUDA graphs overwrite their results.
        for p in self.d_net.parameters():
            p.requires_grad_(False)
        real_logits = None
        if self.d.loss == "relativistic":
            first = real[:, 0].contiguous(memory_format=torch.channels_last)
            real_logits = self.d_net(first)
        g_loss = self.g_loss(real_logits, self.normal((len(batch), *self.d.latent_shape)))
        self.g_opt.zero_grad(set_to_none=True)
        g_loss.backward()
        self.g_opt.step()
        if self.averages:
            torch._foreach_lerp_(self.averages, self.weights, 1 - self.d.ema_momentum)
        return torch.stack(losses).mean(), g_loss.detach().clone()

    def wait(self, losses):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def normal(self, shape):
        return torch.randn(shape, device=self.device)

    def uniform(self, shape):
        return torch.rand(shape, device=self.device)

    def _d_loss(self, real, fake):
        real_logits, r1 = self._judged(real, self.d.r1)
        fake_logits, r2 = self._judged(fake, self.d.r2)
        match self.d.loss:
            case "non_saturating":
                loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
            case "least_squares":
                loss = 0.5 * ((real_logits - 1).square().mean() + fake_logits.square().mean())
            case "hinge":
                loss = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
            case "relativistic":
                loss = F.softplus(fake_logits - real_logits).mean()
            case _:
                loss = fake_logits.mean() - real_logits.mean()
        if self.d.penalty:
            epsilon = self.uniform((len(real), 1, 1, 1))
            mixed = torch.lerp(fake, real, epsilon).requires_grad_()
            (slope,) = torch.autograd.grad(self.d_net(mixed).sum(), mixed, create_graph=True)
            norm = (slope.square().sum((1, 2, 3)) + 1e-12).sqrt()
            loss = loss + self.d.penalty * (norm - 1).square().mean()
        return loss + r1 + r2

    def _judged(self, x, gamma):
        """Returns logits and the term of their slope, from one pass."""
        if not gamma:
            return self.d_net(x), 0.0
        x = x.requires_grad_()
        logits = self.d_net(x)
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return logits, gamma / 2 * slope.square().sum((1, 2, 3)).mean()

    def _g_loss(self, real, latents):
        fake = self.d_net(self.g_net(latents))
        match self.d.loss:
            case "non_saturating":
                return F.softplus(-fake).mean()
            case "least_squares":
                return 0.5 * (fake - 1).square().mean()
            case "relativistic":
                return F.softplus(real - fake).mean()
        return -fake.mean()


class _Network(nn.Module):
    """Layers, each of which takes earlier results: 0 is the input, 1 that of the first layer."""

    def __init__(self, parts):
        super().__init__()
        self.inputs = [part.inputs for part in parts]
        self.layers = nn.ModuleList(_layer(part) for part in _turned(parts))

    def forward(self, x):
        values = [x]
        for layer, places in zip(self.layers, self.inputs, strict=True):
            values.append(layer(*[values[i] for i in places]))
        return values[-1]


def _turned(parts):
    """Returns the parts, with the dense weights next to images in the order of rotated images."""
    parts = list(parts)
    for i, part in enumerate(parts):
        if part.kind == "reshape":
            weights = [
                np.flip(w.reshape(*w.shape[:-1], *part.settings["shape"]), (-3, -2))
                for w in parts[i - 1].weights
            ]
            old = parts[i - 1].weights
            weights = [w.reshape(o.shape) for w, o in zip(weights, old, strict=True)]
            parts[i - 1] = parts[i - 1]._replace(weights=weights)
        if part.kind == "flatten":
            kernel, *bias = parts[i + 1].weights
            turned = np.flip(kernel.reshape(*part.settings["shape"], -1), (0, 1))
            parts[i + 1] = parts[i + 1]._replace(weights=[turned.reshape(kernel.shape), *bias])
    return parts


def _layer(part):
    if "spectral" in part.settings:
        settings = {name: value for name, value in part.settings.items() if name != "spectral"}
        inner = _layer(part._replace(settings=settings, weights=part.weights[:-1]))
        return _spectral(inner, torch.tensor(part.weights[-1].copy()))
    kind, settings, w = part.kind, part.settings, [torch.tensor(x.copy()) for x in part.weights]
    match kind:
        case "dense":
            layer = nn.Linear(*w[0].shape, bias=len(w) > 1)
            return _filled(layer, w[0].T.contiguous(), *w[1:])
        case "conv" | "conv_transpose":
            return _convolution(kind, settings["stride"], w)
        case "batch_norm":
            layer = nn.BatchNorm2d(len(w[0]), settings["epsilon"], 1 - settings["momentum"])
            layer.running_mean, layer.running_var = w[2:]
            return _filled(layer, *w[:2])
        case "leaky_relu":
            return nn.LeakyReLU(settings["slope"])
        case "relu":
            return nn.ReLU()
        case "tanh":
            return nn.Tanh()
        case "dropout":
            return nn.Dropout(settings["rate"])
        case "reshape":
            return _Images(settings["shape"])
        case "flatten":
            return _Rows()
        case "crop":
            return _Crop(settings["bottom"], settings["right"])
        case "doubled":
            return nn.Upsample(scale_factor=2, mode=settings["interpolation"])
        case "halved":
            return _Halved()
        case "sum":
            return _Sum()
        case "add":
            return _Added()
    raise ValueError(kind)


def _convolution(kind, stride, w):
    size = w[0].shape[0]
    # (height, width, in, out), rotated by 180°; a transposed kernel has (…, out, in).
    kernel = w[0].flip(0, 1).permute(3, 2, 0, 1).contiguous()
    padding = (size - stride + 1) // 2
    options = {"padding": padding, "bias": len(w) > 1, "stride": stride}
    if kind == "conv":
        layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], size, **options)
        layer = _filled(layer, kernel, *w[1:])
        return nn.Sequential(_EvenSides(), layer) if size % 2 == 0 and stride == 2 else layer
    options["output_padding"] = stride + 2 * padding - size
    uneven = options["output_padding"] == stride  # An even kernel at stride 1.
    if uneven:
        options |= {"padding": padding - 1, "output_padding": 0}
    layer = nn.ConvTranspose2d(kernel.shape[0], kernel.shape[1], size, **options)
    layer = _filled(layer, kernel, *w[1:])
    return nn.Sequential(layer, _Crop(1, 1)) if uneven else layer


def _filled(layer, weight, bias=None):
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = bias
    return layer


class _Images(nn.Module):
    """Views rows in Keras' order, (height, width, channels), as channels-last images."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.view(-1, *self.shape).permute(0, 3, 1, 2)


class _Rows(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class _EvenSides(nn.Module):
    """Pads odd sides with a row or column of zeros, which an even kernel needs at stride 2."""

    def forward(self, x):
        height, width = x.shape[2] % 2, x.shape[3] % 2
        return nn.functional.pad(x, (width, 0, height, 0)) if height or width else x


class _Halved(nn.Module):
    """Averages squares of four pixels; of an odd side's first row, of itself."""

    def forward(self, x):
        height, width = x.shape[2] % 2, x.shape[3] % 2
        if height or width:
            x = F.pad(x, (width, 0, height, 0), mode="replicate")
        return F.avg_pool2d(x, 2)


class _Sum(nn.Module):
    def forward(self, x):
        return x.sum((2, 3))


class _Added(nn.Module):
    def forward(self, x, other):
        return x + other


def _spectral(layer, vector):
    """Returns a layer that divides its kernel by the kernel's largest singular value."""
    inner = layer[-1] if isinstance(layer, nn.Sequential) else layer
    # A safe registration would call it once, and so make a step of power iteration.
    nn.utils.parametrize.register_parametrization(inner, "weight", _Normalized(vector), unsafe=True)
    return layer


class _Normalized(nn.Module):
    def __init__(self, vector):
        super().__init__()
        self.register_buffer("vector", vector)

    def forward(self, weight):
        matrix = weight.flatten(1)  # (out, …): Keras' kernel, transposed.
        with torch.no_grad():
            left = F.normalize(self.vector @ matrix, dim=1)
            right = F.normalize(left @ matrix.T, dim=1)
            self.vector.copy_(right)
        return weight / ((right @ matrix) * left).sum()


class _Crop(nn.Module):
    def __init__(self, bottom, right):
        super().__init__()
        self.bottom, self.right = bottom, right

    def forward(self, x):
        return x[:, :, self.bottom :, self.right :]


def turned(images):
    """Returns the images as `step` takes them: rotated by 180°."""
    return np.ascontiguousarray(images[:, ::-1, ::-1])
