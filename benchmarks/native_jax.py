"""A training loop in plain JAX: one jitted step with donated state."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
MODES = ("jit",)


class Loop:
    """Trains a `Description`; `step(images)` takes uint8 images and returns losses."""

    def __init__(self, description, mode="jit", seed=0):
        self.d = description
        parts = {"generator": description.generator, "discriminator": description.discriminator}
        self.settings = {
            name: [(p.kind, p.settings, p.inputs) for p in network]
            for name, network in parts.items()
        }
        params, stats = {}, {}
        for name, network in parts.items():
            split = [_trained(p) for p in network]
            params[name] = [[jnp.asarray(w) for w in trained] for trained, _ in split]
            stats[name] = [[jnp.asarray(w) for w in others] for _, others in split]
        moments = {
            name: (0, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p))
            for name, p in params.items()
        }
        generator = (params["generator"], stats["generator"])
        average = jax.tree.map(jnp.copy, generator) if description.ema_momentum else ()
        self.state = (params, stats, moments, average, jax.random.key(seed))
        self.compiled = jax.jit(self._step, donate_argnums=0)

    def step(self, images):
        self.state, losses = self.compiled(self.state, images)
        return losses

    def wait(self, losses):
        jax.block_until_ready(losses)

    def _step(self, state, images):
        params, stats, moments, average, key = state
        real = images.astype("float32") / 127.5 - 1.0
        steps = self.d.discriminator_steps
        real = real.reshape(-1, steps, *real.shape[1:])
        d_losses = []
        for i in range(steps):
            key, *keys = jax.random.split(key, 6)
            z = self.normal(keys[0], (real.shape[0], *self.d.latent_shape))
            fake, g_stats = self.apply("generator", params["generator"], stats, z, keys[1])
            stats = stats | {"generator": g_stats}
            grad = jax.value_and_grad(self._d_loss, has_aux=True)
            (loss, d_stats), grads = grad(
                params["discriminator"], stats, real[:, i], fake, keys[2:]
            )
            stats = stats | {"discriminator": d_stats}
            params, moments = self._update("discriminator", params, moments, grads)
            d_losses.append(loss)
        key, *keys = jax.random.split(key, 4)
        z = self.normal(keys[0], (real.shape[0], *self.d.latent_shape))
        grad = jax.value_and_grad(self._g_loss, has_aux=True)
        real_logits = None
        if self.d.loss == "relativistic":
            real_logits, _ = self.apply(
                "discriminator", params["discriminator"], stats, real[:, 0], keys[1]
            )
        (g_loss, stats), grads = grad(params["generator"], params, stats, real_logits, z, keys[1:])
        params, moments = self._update("generator", params, moments, grads)
        if self.d.ema_momentum:
            average = jax.tree.map(
                lambda a, w: w + self.d.ema_momentum * (a - w),
                average,
                (params["generator"], stats["generator"]),
            )
        return (params, stats, moments, average, key), (sum(d_losses) / steps, g_loss)

    def _d_loss(self, d_params, stats, real, fake, keys):
        run = partial(self.apply, "discriminator", d_params)

        def judged(stats, x, key, gamma):
            """Returns logits, statistics and the term of their slope, from one pass."""
            if not gamma:
                return *run(stats, x, key), 0.0

            def total(x):
                logits, s = run(stats, x, key)
                return logits.sum(), (logits, s)

            (_, (logits, s)), slope = jax.value_and_grad(total, has_aux=True)(x)
            return logits, s, gamma / 2 * (slope**2).sum((1, 2, 3)).mean()

        real_logits, s, r1 = judged(stats, real, keys[0], self.d.r1)
        stats = stats | {"discriminator": s}
        fake_logits, s, r2 = judged(stats, fake, keys[1], self.d.r2)
        loss = _d_side(self.d.loss, real_logits, fake_logits) + r1 + r2
        if self.d.penalty:
            epsilon = self.uniform(keys[2], (real.shape[0], 1, 1, 1))
            mixed = epsilon * real + (1 - epsilon) * fake
            slope = jax.grad(lambda x: run(stats, x, keys[2])[0].sum())(mixed)
            norm = jnp.sqrt((slope**2).sum((1, 2, 3)) + 1e-12)
            loss += self.d.penalty * ((norm - 1) ** 2).mean()
        return loss, s

    def _g_loss(self, g_params, params, stats, real_logits, z, keys):
        fake, g_stats = self.apply("generator", g_params, stats, z, keys[0])
        logits, d_stats = self.apply("discriminator", params["discriminator"], stats, fake, keys[1])
        loss = _g_side(self.d.loss, real_logits, logits)
        return loss, {"generator": g_stats, "discriminator": d_stats}

    def _update(self, name, params, moments, grads):
        rate, b1, b2, epsilon = self.d.adam[name]
        t, m, v = moments[name]
        t = t + 1
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
        alpha = rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        new = jax.tree.map(
            lambda p, m, v: p - alpha * m / (jnp.sqrt(v) + epsilon), params[name], m, v
        )
        return params | {name: new}, moments | {name: (t, m, v)}

    def normal(self, key, shape):
        return jax.random.normal(key, shape)

    def uniform(self, key, shape):
        return jax.random.uniform(key, shape)

    def apply(self, name, params, stats, x, key):
        values, new_stats = [x], []
        for (kind, settings, places), w, s in zip(
            self.settings[name], params, stats[name], strict=True
        ):
            key, own = jax.random.split(key)
            x, *others = (values[i] for i in places)
            if kind == "batch_norm":
                x, s = _batch_norm(x, w, s, **settings)
            elif kind == "add":
                x = x + others[0]
            else:
                if "spectral" in settings:
                    w, s = _spectral(w, s)
                x = _layer(kind, settings, w, x, own)
            values.append(x)
            new_stats.append(s)
        return values[-1], new_stats


def _trained(part):
    """Returns the weights of a part that learn, and the others."""
    others = {"batch_norm": 2}.get(part.kind, 1 if "spectral" in part.settings else 0)
    at = len(part.weights) - others
    return part.weights[:at], part.weights[at:]


def _d_side(loss, real, fake):
    match loss:
        case "non_saturating":
            return jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean()
        case "least_squares":
            return 0.5 * (((real - 1) ** 2).mean() + (fake**2).mean())
        case "hinge":
            return jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean()
        case "relativistic":
            return jax.nn.softplus(fake - real).mean()
    return fake.mean() - real.mean()


def _g_side(loss, real, fake):
    match loss:
        case "non_saturating":
            return jax.nn.softplus(-fake).mean()
        case "least_squares":
            return 0.5 * ((fake - 1) ** 2).mean()
        case "relativistic":
            return jax.nn.softplus(real - fake).mean()
    return -fake.mean()


def _layer(kind, settings, w, x, key):
    match kind:
        case "dense":
            return x @ w[0] + w[1] if len(w) > 1 else x @ w[0]
        case "conv":
            stride = (settings["stride"],) * 2
            x = lax.conv_general_dilated(x, w[0], stride, "SAME", dimension_numbers=LAYOUT)
            return x + w[1] if len(w) > 1 else x
        case "conv_transpose":
            stride = (settings["stride"],) * 2
            x = lax.conv_transpose(
                x, w[0], stride, "SAME", dimension_numbers=LAYOUT, transpose_kernel=True
            )
            return x + w[1] if len(w) > 1 else x
        case "leaky_relu":
            return jnp.where(x > 0, x, settings["slope"] * x)
        case "relu":
            return jax.nn.relu(x)
        case "tanh":
            return jnp.tanh(x)
        case "dropout":
            keep = 1 - settings["rate"]
            return x * jax.random.bernoulli(key, keep, x.shape) / keep if keep < 1 else x
        case "reshape":
            return x.reshape(-1, *settings["shape"])
        case "flatten":
            return x.reshape(x.shape[0], -1)
        case "crop":
            return x[:, : x.shape[1] - settings["bottom"], : x.shape[2] - settings["right"]]
        case "doubled" if settings["interpolation"] == "nearest":
            return x.repeat(2, axis=1).repeat(2, axis=2)
        case "doubled":
            n, height, width, channels = x.shape
            return jax.image.resize(x, (n, 2 * height, 2 * width, channels), "bilinear")
        case "halved":
            n, height, width, channels = x.shape
            # An odd side's last row counts once: the mean is of itself.
            x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            shape = (n, (height + 1) // 2, 2, (width + 1) // 2, 2, channels)
            return x.reshape(shape).mean((2, 4))
        case "sum":
            return x.sum((1, 2))
    raise ValueError(kind)


def _batch_norm(x, w, s, momentum, epsilon):
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    s = [momentum * s[0] + (1 - momentum) * mean, momentum * s[1] + (1 - momentum) * variance]
    return (x - mean) * (lax.rsqrt(variance + epsilon) * w[0]) + w[1], s


def _spectral(w, s):
    """Returns the weights with the kernel divided by its largest singular value, and the vector."""
    kernel = w[0].reshape(-1, w[0].shape[-1])
    constant = lax.stop_gradient(kernel)
    left = _unit(s[0] @ constant.T)
    right = _unit(left @ constant)
    return [w[0] / ((left @ kernel) * right).sum(), *w[1:]], [right]


def _unit(vector):
    return vector / jnp.sqrt((vector**2).sum())


def feed(images: np.ndarray):
    return images
