"""Terms: what a side of the game minimises beside its adversarial loss.

A term is a small Keras layer, so that Keras tracks, saves and traces what it owns. The train step
computes `term.weight * term.call(context)` for each term of the side being updated, adds it to that
side's loss and logs it under the term's name.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import ops

from keras_gan import engine
from keras_gan.errors import closest

SIDES = ("discriminator", "generator")
GRADIENTS = ("real_gradient", "fake_gradient")


@dataclass(frozen=True)
class Context:
    """What a term may look at: one batch, as the side being updated sees it.

    Attributes:
        critic: `samples -> logits`, the discriminator as the loss sees it: behind the augmentation
            and with the batch's condition.
        real: Real samples, float32 `(batch, …)`, scaled.
        fake: Generated samples, `(batch, …)`, of any float dtype. In the generator's update the
            gradient flows through them.
        real_logits: What the critic says of `real`; None in the generator's update unless the loss
            is relativistic.
        fake_logits: What the critic says of `fake`.
        latents: What `fake` was generated from.
        condition: What the samples are conditioned on, or None.
        uniform: `shape -> floats in 0…1`, the source of randomness: new numbers at each step.
        real_gradient: For terms that list it in `needs`: the gradient of `sum(real_logits)` with
            respect to `real`, float32, of the very pass that made these logits, and itself
            differentiable with respect to the discriminator's weights. Otherwise None.
        fake_gradient: The same for `fake`.
    """

    critic: Callable[[Any], Any]
    real: Any
    fake: Any
    real_logits: Any
    fake_logits: Any
    latents: Any
    condition: Any
    uniform: Callable[[tuple], Any]
    real_gradient: Any = None
    fake_gradient: Any = None


def first(context: Context, size, critic: Callable[[Any], Any]) -> Context:
    """Returns the context of the first `size` samples of a batch, with their critic."""
    parts: dict[str, Any] = {"critic": critic}
    for name, value in vars(context).items():
        if name not in ("critic", "uniform") and value is not None:
            parts[name] = value[:size]
    return replace(context, **parts)


class Term(keras.layers.Layer):
    """A term of one side's objective; subclasses implement `call(context)`.

    Register a subclass with `keras.saving.register_keras_serializable` to save models that have it.
    What a term owns beside its weight is made in `__init__` with `self.add_weight(…,
    trainable=False)`; `call` may assign to it.

    Args:
        weight: The factor of the term in its side's objective, ≥ 0. Kept in the variable
            `term.weight`, which a callback may assign to during training.
        fraction: The part of each batch that the term sees, 1/k for a whole number k: the first
            k-th of the samples. This saves most of the term's cost at each step, where lazy
            regularization saves all of it at most steps (Karras et al. 2020, arXiv:1912.04958).
        name: Under which the weighted term is logged and found in `gan.terms`; by default the
            class's name in snake case. Unique among the terms of a model.

    Attributes:
        side: `"discriminator"` or `"generator"`, whose objective the term belongs to.
        needs: Those of `"real_gradient"` and `"fake_gradient"` that `call` reads. Only for terms
            of the discriminator.

    Raises:
        ValueError: For a weight below 0 or a fraction that is not 1/k.
    """

    side = "discriminator"
    needs: tuple[str, ...] = ()

    def __init__(self, weight: float = 1.0, fraction: float = 1.0, name: str | None = None):
        if not weight >= 0:
            raise ValueError(f"A term's weight must be a number ≥ 0; got {weight}.")
        parts = round(1 / fraction) if 0 < fraction <= 1 else 0
        if parts < 1 or abs(fraction * parts - 1) > 1e-6:
            raise ValueError(f"A term's fraction must be 1/k with a whole k ≥ 1; got {fraction}.")
        if name is None:
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()
        super().__init__(name=name, dtype="float32")
        self.parts = parts
        self._initial_weight = float(weight)
        self.weight = self.add_weight(
            name="weight",
            shape=(),
            initializer=keras.initializers.Constant(weight),
            trainable=False,
        )
        self.built = True

    def call(self, context: Context):
        """Returns the term without its weight, a float32 scalar."""
        raise NotImplementedError

    def get_config(self):
        return {"weight": self._initial_weight, "fraction": 1 / self.parts, "name": self.name}

    def load_own_variables(self, store):
        if len(store.keys()):  # Files from before terms had variables hold none.
            super().load_own_variables(store)


@keras.saving.register_keras_serializable(package="keras_gan")
class GradientPenalty(Term):
    """The penalty of WGAN-GP: the critic's slope between real and generated samples is to be 1.

    `weight · gradient_penalty(…)` with ε drawn uniformly for each sample. Gulrajani et al. 2017,
    arXiv:1704.00028, equation 3.

    Args:
        weight: λ; the paper's value is 10 in all its experiments.
        fraction: Of `Term`.
        name: Of `Term`.
    """

    def __init__(self, weight: float = 10.0, fraction: float = 1.0, name: str | None = None):
        super().__init__(weight, fraction, name)

    def call(self, context: Context):
        shape = (ops.shape(context.real)[0],) + (1,) * (len(context.real.shape) - 1)
        return gradient_penalty(context.critic, context.real, context.fake, context.uniform(shape))


@keras.saving.register_keras_serializable(package="keras_gan")
class R1(Term):
    """The discriminator's squared slope at real samples: `weight / 2 · E‖∇D(x)‖²`.

    The slope is that of the logits that the loss sees, with respect to the samples before they are
    augmented. Mescheder et al. 2018, arXiv:1801.04406, equation 9. The discriminator should have no
    batch normalization, which mixes the samples of a batch.

    Args:
        weight: γ. StyleGAN2's rule is `0.0002 · height · width / batch` (Karras et al. 2020,
            arXiv:2006.06676, appendix C).
        fraction: Of `Term`.
        name: Of `Term`.
    """

    needs = ("real_gradient",)

    def call(self, context: Context):
        return _half_squared_norm(context.real_gradient)


@keras.saving.register_keras_serializable(package="keras_gan")
class R2(Term):
    """The discriminator's squared slope at generated samples: `weight / 2 · E‖∇D(G(z))‖²`.

    As `R1`, with the same weight, beside it in R3GAN (Huang et al. 2025, arXiv:2501.05441, section
    2.2). Mescheder et al. 2018, arXiv:1801.04406, equation 10.

    Args:
        weight: γ.
        fraction: Of `Term`.
        name: Of `Term`.
    """

    needs = ("fake_gradient",)

    def call(self, context: Context):
        return _half_squared_norm(context.fake_gradient)


def _half_squared_norm(gradient):
    axes = list(range(1, len(gradient.shape)))
    return 0.5 * ops.mean(ops.sum(ops.square(gradient), axis=axes))


@keras.saving.register_keras_serializable(package="keras_gan")
class LeCam(Term):
    """Penalizes real logits above the usual generated ones, and the reverse, for small data sets.

    `E[max(0, D(x) − α_F)²] + E[max(0, α_R − D(G(z)))²]` with moving averages α_R and α_F of the
    mean real and generated logits. Tseng et al. 2021, arXiv:2104.03310, section 3.2, with the
    rectifiers of their code.

    Args:
        weight: λ; 0.3 in their code.
        fraction: Of `Term`.
        name: Of `Term`.
        momentum: Of the moving averages, in 0…1.
        start: Discriminator updates before the term counts, while the averages settle.

    Raises:
        ValueError: As `Term`, and for a momentum or start out of range.
    """

    def __init__(
        self,
        weight: float = 0.3,
        fraction: float = 1.0,
        name: str | None = None,
        momentum: float = 0.99,
        start: int = 1000,
    ):
        super().__init__(weight, fraction, name or "lecam")
        if not 0 <= momentum < 1 or not start >= 0:
            raise ValueError(
                "LeCam's momentum must be in 0…1 (1 excluded) and its start at least 0; got "
                f"{momentum!r} and {start!r}."
            )
        self.momentum, self.start = momentum, start
        self.real_mean, self.fake_mean, self.updates = (
            self.add_weight(
                name=name, shape=(), initializer="zeros", trainable=False, aggregation="mean"
            )
            for name in ("real_mean", "fake_mean", "updates")
        )

    def call(self, context: Context):
        real = ops.cast(context.real_logits, "float32")
        fake = ops.cast(context.fake_logits, "float32")
        # The averages before this batch: those with it are known when all devices are done.
        distance = ops.mean(ops.square(ops.relu(real - self.fake_mean)))
        distance += ops.mean(ops.square(ops.relu(self.real_mean - fake)))
        kept = ops.where(self.updates > 0, self.momentum, 0.0)  # The first means are the averages.
        for average, logits in ((self.real_mean, real), (self.fake_mean, fake)):
            mean = ops.stop_gradient(ops.mean(logits))
            average.assign(mean + kept * (average - mean))
        self.updates.assign_add(1.0)
        # Before the first one, there are no averages.
        return ops.where(self.updates > max(self.start, 1), distance, 0.0)

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum, "start": self.start}


@keras.saving.register_keras_serializable(package="keras_gan")
class Reconstruction(Term):
    """The mean absolute difference between generated samples and the real ones of their condition.

    For a generator whose condition all but determines the sample. Isola et al. 2017,
    arXiv:1611.07004, equation 3.

    Args:
        weight: λ; 100 in the paper.
        fraction: Of `Term`.
        name: Of `Term`.
    """

    side = "generator"

    def __init__(self, weight: float = 100.0, fraction: float = 1.0, name: str | None = None):
        super().__init__(weight, fraction, name)

    def call(self, context: Context):
        return ops.mean(ops.abs(context.real - ops.cast(context.fake, "float32")))


def gradient_penalty(critic: Callable[[Any], Any], real, fake, epsilon):
    """Returns how far the critic's gradient norm is from 1 between real and fake samples.

    `mean((‖∇D(x̂)‖₂ − 1)²)` at `x̂ = ε·real + (1 − ε)·fake`, the norm taken over all elements of
    each sample. Gulrajani et al. 2017, arXiv:1704.00028, equation 3 (without λ).

    Args:
        critic: Callable from samples `(batch, …)` to logits `(batch, 1)`.
        real: Float samples, `(batch, …)`.
        fake: Float samples of the same shape.
        epsilon: Floats in 0…1 of a shape that broadcasts against the samples, one per sample.

    Returns:
        A float32 scalar ≥ 0, differentiable with respect to the critic's weights.
    """
    points = epsilon * real + (1.0 - epsilon) * ops.cast(fake, real.dtype)
    gradient = ops.cast(engine.input_gradient(critic, points), "float32")
    squares = ops.sum(ops.square(gradient), axis=list(range(1, len(gradient.shape))))
    # √ has no derivative at 0: a critic that is constant around x̂ would put NaN into its weights.
    # The shift moves no norm above 1e-3 by more than a millionth.
    return ops.mean(ops.square(ops.sqrt(squares + 1e-12) - 1.0))


TERMS: dict[str, type[Term]] = {
    "gradient_penalty": GradientPenalty,
    "r1": R1,
    "r2": R2,
    "lecam": LeCam,
    "reconstruction": Reconstruction,
}


def get(identifier: str | Term) -> Term:
    """Returns a new term of a name, with its default weight, or the given term.

    Raises:
        ValueError: For an unknown name, or an object that is no term.
    """
    if isinstance(identifier, str):
        if identifier not in TERMS:
            raise ValueError(f"Unknown term {closest(identifier, TERMS)}")
        return TERMS[identifier]()
    if not isinstance(identifier, Term):
        raise ValueError(
            f"A term is one of {', '.join(TERMS)}, or a keras_gan.terms.Term, such as "
            f"keras_gan.terms.GradientPenalty(weight=10.0); got {identifier!r}."
        )
    side = getattr(identifier, "side", None)
    unknown = [need for need in identifier.needs if need not in GRADIENTS]
    if side not in SIDES or unknown or (identifier.needs and side == "generator"):
        raise ValueError(
            f"The term {identifier.name} must have a side among {', '.join(SIDES)}, and needs "
            f"(for the discriminator alone) among {', '.join(GRADIENTS)}; it has side {side!r} "
            f"and needs {identifier.needs!r}."
        )
    return identifier


def get_all(identifiers: Iterable[str | Term] | None, reserved: Iterable[str] = ()) -> list[Term]:
    """Returns the terms of names and objects, in order.

    Args:
        identifiers: Names and terms; None for none.
        reserved: Names that no term may have.

    Raises:
        ValueError: As `get`, and for two terms of one name.
        TypeError: For anything but a list or tuple of them.
    """
    if not isinstance(identifiers, (list, tuple, type(None))):
        raise TypeError(
            f'terms is a list of names or terms, such as ["gradient_penalty"]; got {identifiers!r}.'
        )
    terms = [get(identifier) for identifier in identifiers or ()]
    taken = [*reserved]
    for term in terms:
        if term.name in taken:
            raise ValueError(
                f"The name {term.name!r} is taken, and the logs need one for each value; give the "
                "term another with name=."
            )
        taken.append(term.name)
    return terms
