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
            name: [(p.kind, p.settings) for p in network] for name, network in parts.items()
        }
        params, stats = {}, {}
        for name, network in parts.items():
            norms = [p.kind == "batch_norm" for p in network]
            params[name] = [
                [jnp.asarray(w) for w in (p.weights[:2] if norm else p.weights)]
                for p, norm in zip(network, norms, strict=True)
            ]
            stats[name] = [
                [jnp.asarray(w) for w in p.weights[2:]] if norm else []
                for p, norm in zip(network, norms, strict=True)
            ]
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
        (g_loss, stats), grads = grad(params["generator"], params, stats, z, keys[1:])
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
        real_logits, s = run(stats, real, keys[0])
        stats = stats | {"discriminator": s}
        fake_logits, s = run(stats, fake, keys[1])
        if self.d.loss == "non_saturating":
            loss = jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean()
        elif self.d.loss == "least_squares":
            loss = 0.5 * (((real_logits - 1) ** 2).mean() + (fake_logits**2).mean())
        else:
            loss = fake_logits.mean() - real_logits.mean()
        if self.d.penalty:
            epsilon = self.uniform(keys[2], (real.shape[0], 1, 1, 1))
            mixed = epsilon * real + (1 - epsilon) * fake
            slope = jax.grad(lambda x: run(stats, x, keys[2])[0].sum())(mixed)
            norm = jnp.sqrt((slope**2).sum((1, 2, 3)) + 1e-12)
            loss += self.d.penalty * ((norm - 1) ** 2).mean()
        return loss, s

    def _g_loss(self, g_params, params, stats, z, keys):
        fake, g_stats = self.apply("generator", g_params, stats, z, keys[0])
        logits, d_stats = self.apply("discriminator", params["discriminator"], stats, fake, keys[1])
        if self.d.loss == "non_saturating":
            loss = jax.nn.softplus(-logits).mean()
        elif self.d.loss == "least_squares":
            loss = 0.5 * ((logits - 1) ** 2).mean()
        else:
            loss = -logits.mean()
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
        new_stats = []
        for (kind, settings), w, s in zip(self.settings[name], params, stats[name], strict=True):
            key, own = jax.random.split(key)
            if kind == "batch_norm":
                x, s = _batch_norm(x, w, s, **settings)
            else:
                x = _layer(kind, settings, w, x, own)
            new_stats.append(s)
        return x, new_stats


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
    raise ValueError(kind)


def _batch_norm(x, w, s, momentum, epsilon):
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    s = [momentum * s[0] + (1 - momentum) * mean, momentum * s[1] + (1 - momentum) * variance]
    return (x - mean) * (lax.rsqrt(variance + epsilon) * w[0]) + w[1], s


def feed(images: np.ndarray):
    return images
