"""A training loop in plain TensorFlow: one `tf.function`, with XLA or without; fused Adam."""

import numpy as np
import tensorflow as tf

MODES = ("graph", "xla")


class Loop:
    """Trains a `Description`; `step(images)` takes uint8 images and returns losses."""

    def __init__(self, description, mode="graph", seed=0):
        tf.random.set_seed(seed)
        self.d = description
        self.nets = {
            "generator": [_Layer(p) for p in description.generator],
            "discriminator": [_Layer(p) for p in description.discriminator],
        }
        self.slots = {
            name: [
                (w, tf.Variable(tf.zeros_like(w)), tf.Variable(tf.zeros_like(w)))
                for layer in net
                for w in layer.trainable
            ]
            for name, net in self.nets.items()
        }
        self.powers = {
            name: (tf.Variable(adam[1]), tf.Variable(adam[2]))
            for name, adam in description.adam.items()
        }
        weights = [w for layer in self.nets["generator"] for w in layer.weights]
        self.averages = [(tf.Variable(w), w) for w in weights if description.ema_momentum]
        self.step = tf.function(self._step, jit_compile=mode == "xla", autograph=False)

    def wait(self, losses):
        for loss in losses:
            loss.numpy()

    def normal(self, shape):
        return tf.random.normal(shape)

    def uniform(self, shape):
        return tf.random.uniform(shape)

    def apply(self, name, x):
        values = [x]
        for layer in self.nets[name]:
            values.append(layer(*(values[i] for i in layer.inputs)))
        return values[-1]

    def _step(self, images):
        real = tf.cast(images, "float32") / 127.5 - 1.0
        steps = self.d.discriminator_steps
        real = tf.reshape(real, (-1, steps, *real.shape[1:]))
        size, losses = real.shape[0], []
        for i in range(steps):
            fake = self.apply("generator", self.normal((size, *self.d.latent_shape)))
            with tf.GradientTape() as tape:
                loss = self._d_loss(real[:, i], fake)
            self._update("discriminator", tape, loss)
            losses.append(loss)
        latents = self.normal((size, *self.d.latent_shape))
        real_logits = None
        if self.d.loss == "relativistic":
            real_logits = self.apply("discriminator", real[:, 0])
        with tf.GradientTape() as tape:
            fake_logits = self.apply("discriminator", self.apply("generator", latents))
            g_loss = self._g_loss(real_logits, fake_logits)
        self._update("generator", tape, g_loss)
        for average, weight in self.averages:
            average.assign(weight + self.d.ema_momentum * (average - weight))
        return tf.add_n(losses) / steps, g_loss

    def _d_loss(self, real, fake):
        real_logits, r1 = self._judged(real, self.d.r1)
        fake_logits, r2 = self._judged(fake, self.d.r2)
        mean = tf.reduce_mean
        match self.d.loss:
            case "non_saturating":
                loss = mean(tf.nn.softplus(-real_logits)) + mean(tf.nn.softplus(fake_logits))
            case "least_squares":
                loss = 0.5 * (mean(tf.square(real_logits - 1)) + mean(tf.square(fake_logits)))
            case "hinge":
                loss = mean(tf.nn.relu(1 - real_logits)) + mean(tf.nn.relu(1 + fake_logits))
            case "relativistic":
                loss = mean(tf.nn.softplus(fake_logits - real_logits))
            case _:
                loss = mean(fake_logits) - mean(real_logits)
        if self.d.penalty:
            epsilon = self.uniform((real.shape[0], 1, 1, 1))
            mixed = epsilon * real + (1 - epsilon) * fake
            with tf.GradientTape() as tape:
                tape.watch(mixed)
                total = tf.reduce_sum(self.apply("discriminator", mixed))
            slope = tape.gradient(total, mixed)
            norm = tf.sqrt(tf.reduce_sum(tf.square(slope), (1, 2, 3)) + 1e-12)
            loss += self.d.penalty * mean(tf.square(norm - 1))
        return loss + r1 + r2

    def _judged(self, x, gamma):
        """Returns logits and the term of their slope, from one pass."""
        if not gamma:
            return self.apply("discriminator", x), 0.0
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = self.apply("discriminator", x)
            total = tf.reduce_sum(logits)
        squares = tf.reduce_sum(tf.square(tape.gradient(total, x)), (1, 2, 3))
        return logits, gamma / 2 * tf.reduce_mean(squares)

    def _g_loss(self, real, fake):
        match self.d.loss:
            case "non_saturating":
                return tf.reduce_mean(tf.nn.softplus(-fake))
            case "least_squares":
                return 0.5 * tf.reduce_mean(tf.square(fake - 1))
            case "relativistic":
                return tf.reduce_mean(tf.nn.softplus(real - fake))
        return -tf.reduce_mean(fake)

    def _update(self, name, tape, loss):
        rate, b1, b2, epsilon = self.d.adam[name]
        power1, power2 = self.powers[name]
        gradients = tape.gradient(loss, [slot[0] for slot in self.slots[name]])
        for (w, m, v), gradient in zip(self.slots[name], gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=w.handle, m=m.handle, v=v.handle, beta1_power=power1, beta2_power=power2,
                lr=rate, beta1=b1, beta2=b2, epsilon=epsilon, grad=gradient,
            )  # fmt: skip
        power1.assign(power1 * b1)
        power2.assign(power2 * b2)


class _Layer:
    def __init__(self, part):
        self.kind, self.settings, self.inputs = part.kind, part.settings, part.inputs
        self.weights = [tf.Variable(w) for w in part.weights]
        self.trainable = self.weights[:2] if part.kind == "batch_norm" else self.weights
        self.spectral = "spectral" in part.settings
        if self.spectral:
            *self.trainable, self.vector = self.weights

    def __call__(self, x, *others):
        settings, w = self.settings, self.trainable
        if self.spectral:
            w = [self._normalized(w[0]), *w[1:]]
        match self.kind:
            case "dense":
                return _biased(x @ w[0], w[1:])
            case "conv":
                return _biased(tf.nn.conv2d(x, w[0], settings["stride"], "SAME"), w[1:])
            case "conv_transpose":
                stride = settings["stride"]
                shape = (x.shape[0], x.shape[1] * stride, x.shape[2] * stride, w[0].shape[2])
                return _biased(tf.nn.conv2d_transpose(x, w[0], shape, stride, "SAME"), w[1:])
            case "batch_norm":
                return self._batch_norm(x)
            case "leaky_relu":
                return tf.nn.leaky_relu(x, settings["slope"])
            case "relu":
                return tf.nn.relu(x)
            case "tanh":
                return tf.tanh(x)
            case "dropout":
                return tf.nn.dropout(x, settings["rate"]) if settings["rate"] else x
            case "reshape":
                return tf.reshape(x, (-1, *settings["shape"]))
            case "flatten":
                return tf.reshape(x, (x.shape[0], np.prod(x.shape[1:])))
            case "crop":
                return x[:, : x.shape[1] - settings["bottom"], : x.shape[2] - settings["right"]]
            case "doubled" if settings["interpolation"] == "nearest":
                # As fast as a resizing, whose gradient XLA lacks.
                return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
            case "doubled":
                size = (2 * x.shape[1], 2 * x.shape[2])
                return tf.image.resize(x, size, "bilinear")
            case "halved":
                return tf.nn.avg_pool2d(x, 2, 2, "SAME")
            case "sum":
                return tf.reduce_sum(x, (1, 2))
            case "add":
                return x + others[0]
        raise ValueError(self.kind)

    def _normalized(self, kernel):
        """Returns the kernel divided by its largest singular value, and keeps the vector."""
        matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
        constant = tf.stop_gradient(matrix)
        left = _unit(tf.matmul(self.vector, constant, transpose_b=True))
        right = _unit(left @ constant)
        self.vector.assign(right)
        return kernel / tf.reduce_sum((left @ matrix) * right)

    def _batch_norm(self, x):
        scale, offset, mean, variance = self.weights
        # The fused kernel for training.
        x, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
            x, scale, offset, epsilon=self.settings["epsilon"], is_training=True
        )
        momentum = self.settings["momentum"]
        mean.assign(momentum * mean + (1 - momentum) * batch_mean)
        variance.assign(momentum * variance + (1 - momentum) * batch_variance)
        return x


def _biased(x, bias):
    return x + bias[0] if bias else x


def _unit(vector):
    return vector / tf.norm(vector)
