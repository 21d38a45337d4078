"""Adversarial losses: pure functions of the discriminator's logits, and their registry.

Each takes logits in any float dtype, `(batch, 1)` or a map of patches `(batch, height, width, 1)`,
averages over all of it and returns a float32 scalar to be minimised. The arithmetic is float32
whatever the logits' dtype, so that a mean over bfloat16 logits keeps its digits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from keras_gan.errors import closest


@dataclass(frozen=True)
class AdversarialLoss:
    """The two sides of an adversarial game.

    Any object with these attributes can be given to `GAN` as its `loss`; to save such a model,
    write it as a class with `get_config` and `from_config`, registered with
    `keras.saving.register_keras_serializable`.

    Attributes:
        discriminator: `(real_logits, fake_logits) -> scalar`, minimised by the discriminator.
        generator: `(fake_logits) -> scalar`, minimised by the generator; of a relativistic loss
            `(real_logits, fake_logits) -> scalar`.
        relativistic: Whether the generator's side compares generated samples with real ones, which
            costs one more pass of the discriminator. Absent on an object means False.
    """

    discriminator: Callable[[Any, Any], Any]
    generator: Callable[..., Any]
    relativistic: bool = False


def mean(logits):
    """Returns the mean of all logits, in float32."""
    return ops.mean(ops.cast(logits, "float32"))


def softplus(logits):
    """Returns `mean(log(1 + exp(logits)))`, finite for any finite logit, in float32.

    `-log σ(x)` is `softplus(-x)`, and `-log(1 - σ(x))` is `softplus(x)`.
    """
    return ops.mean(ops.softplus(ops.cast(logits, "float32")))


def cross_entropy(real_logits, fake_logits):
    """Returns `-E[log D(x)] - E[log(1 - D(G(z)))]`.

    Goodfellow et al. 2014, arXiv:1406.2661, equation 1: the discriminator's side.
    """
    return softplus(-real_logits) + softplus(fake_logits)


def half_square(logits, target):
    """Returns `mean((logits - target)²) / 2`, in float32."""
    return 0.5 * ops.mean(ops.square(ops.cast(logits, "float32") - target))


def margin(logits):
    """Returns `mean(max(0, 1 + logits))`, in float32."""
    return ops.mean(ops.relu(1.0 + ops.cast(logits, "float32")))


def _difference(left, right):
    # Subtracted in float32: half precision would round the difference of two large logits away.
    return ops.cast(left, "float32") - ops.cast(right, "float32")


LOSSES = {
    # E[log D(x)] + E[log(1 - D(G(z)))], maximised by D and minimised by G.
    # Goodfellow et al. 2014, arXiv:1406.2661, equation 1.
    "minimax": AdversarialLoss(cross_entropy, lambda fake: -softplus(fake)),
    # The same discriminator; the generator maximises E[log D(G(z))], whose gradient does not
    # vanish while the discriminator wins. Goodfellow et al. 2014, section 3.
    "non_saturating": AdversarialLoss(cross_entropy, lambda fake: softplus(-fake)),
    # Targets 0 for fake and 1 for real, 1 for the generator: a = 0, b = c = 1.
    # Mao et al. 2016, arXiv:1611.04076, equation 9.
    "least_squares": AdversarialLoss(
        lambda real, fake: half_square(real, 1.0) + half_square(fake, 0.0),
        lambda fake: half_square(fake, 1.0),
    ),
    # The negated estimate of the earth mover's distance; the critic must be kept Lipschitz: by
    # `terms.GradientPenalty`, or as in the paper by a `keras.constraints.Constraint` that clips the
    # kernels and biases of its layers to −0.01…0.01, which holds after every update.
    # Arjovsky et al. 2017, arXiv:1701.07875, equation 2 and algorithm 1.
    "wasserstein": AdversarialLoss(
        lambda real, fake: mean(fake) - mean(real), lambda fake: -mean(fake)
    ),
    # Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equation 16.
    "hinge": AdversarialLoss(
        lambda real, fake: margin(-real) + margin(fake), lambda fake: -mean(fake)
    ),
    # Each generated sample is compared with one real sample, before the mean: the discriminator
    # wants the real one's logit higher, the generator its own. Jolicoeur-Martineau 2018,
    # arXiv:1807.00734; Huang et al. 2025, arXiv:2501.05441, equation 2.
    "relativistic": AdversarialLoss(
        lambda real, fake: softplus(_difference(fake, real)),
        lambda real, fake: softplus(_difference(real, fake)),
        relativistic=True,
    ),
}


def get(identifier: str | Any) -> Any:
    """Returns the loss of a name, or the given object if it has the two sides of a loss.

    Args:
        identifier: A name (`minimax`, `non_saturating`, `least_squares`, `wasserstein`, `hinge`,
            `relativistic`), or an object with the callables `discriminator` and `generator`, as
            `AdversarialLoss` has.

    Raises:
        ValueError: For an unknown name, or an object that is no loss.
    """
    if isinstance(identifier, str):
        if identifier not in LOSSES:
            raise ValueError(f"Unknown loss {closest(identifier, LOSSES)}")
        return LOSSES[identifier]
    sides = (getattr(identifier, side, None) for side in ("discriminator", "generator"))
    if not all(map(callable, sides)):
        raise ValueError(
            f"A loss is one of {', '.join(LOSSES)}, or an object with the callables "
            f"`discriminator(real_logits, fake_logits)` and `generator(fake_logits)`; "
            f"got {identifier!r}."
        )
    return identifier
