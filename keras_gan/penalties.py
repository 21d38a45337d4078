"""Gradient penalties: pure functions of a critic and a batch, and the objects `GAN` takes."""

import keras
from keras import ops

from keras_gan import engine


def gradient_penalty(critic, real, fake, epsilon):
    """How far the critic's gradient norm is from 1 between real and fake samples.

    `mean((‖∇D(x̂)‖₂ − 1)²)` at `x̂ = ε·real + (1 − ε)·fake`, the norm taken over all elements of
    each sample. Gulrajani et al. 2017, arXiv:1704.00028, equation 3 (without λ).

    Args:
        critic: Callable from samples `(batch, …)` to logits `(batch, 1)`.
        real: Float samples, `(batch, …)`.
        fake: Float samples of the same shape.
        epsilon: Where between fake (0) and real (1), broadcastable to the samples: `(batch, 1, …)`.

    Returns:
        A float32 scalar ≥ 0, differentiable with respect to the critic's weights.
    """
    points = epsilon * real + (1.0 - epsilon) * ops.cast(fake, real.dtype)
    gradient = ops.cast(engine.input_gradient(critic, points), "float32")
    squares = ops.sum(ops.square(gradient), axis=list(range(1, len(gradient.shape))))
    # √ has no derivative at 0: a critic that is constant around x̂ would put NaN into its weights.
    # The shift moves no norm above 1e-3 by more than a millionth.
    return ops.mean(ops.square(ops.sqrt(squares + 1e-12) - 1.0))


@keras.saving.register_keras_serializable(package="keras_gan")
class GradientPenalty:
    """The penalty of WGAN-GP, `weight · gradient_penalty(…)` with ε drawn uniformly per sample.

    Args:
        weight: λ, a number ≥ 0. The paper's value is 10 in all its experiments.
    """

    def __init__(self, weight: float = 10.0):
        if not weight >= 0:
            raise ValueError(f"The penalty's weight must be a number ≥ 0; got {weight}.")
        self.weight = float(weight)

    def __call__(self, critic, real, fake, uniform):
        """Returns the weighted penalty, a float32 scalar.

        Args:
            critic: Callable from samples `(batch, …)` to logits `(batch, 1)`.
            real: Float samples, `(batch, …)`.
            fake: Float samples of the same shape.
            uniform: `shape -> floats in 0…1`, the source of randomness.
        """
        shape = (ops.shape(real)[0],) + (1,) * (len(real.shape) - 1)
        return self.weight * gradient_penalty(critic, real, fake, uniform(shape))

    def get_config(self):
        return {"weight": self.weight}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def get(identifier):
    """Returns the penalty of a name (`"gradient_penalty"`), a given callable, or None.

    Raises:
        ValueError: For anything else.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if identifier == "gradient_penalty":
        return GradientPenalty()
    if identifier is None or callable(identifier):
        return identifier
    raise ValueError(
        'A penalty is None, "gradient_penalty" or a callable such as '
        f"keras_gan.penalties.GradientPenalty(weight=10.0); got {identifier!r}."
    )
