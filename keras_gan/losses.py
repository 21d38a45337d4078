"""Adversarial losses: pure functions of discriminator logits, and their registry.

Every function takes logits of shape `(batch, 1)` (any shape works) in any float dtype and returns
a float32 scalar. The arithmetic is float32 whatever the logits' dtype, so that a mean over
bfloat16 logits keeps its digits. All losses are to be minimised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from keras import ops

from keras_gan.errors import closest


@dataclass(frozen=True)
class AdversarialLoss:
    """The two sides of an adversarial game.

    Any object with these two attributes can be given to `GAN` as its `loss`; to save such a model,
    make a class of it with `get_config` and `from_config`, and register that with
    `keras.saving.register_keras_serializable`.

    Attributes:
        discriminator: `(real_logits, fake_logits) -> scalar`, minimised by the discriminator.
        generator: `(fake_logits) -> scalar`, minimised by the generator.
    """

    discriminator: Callable[[Any, Any], Any]
    generator: Callable[[Any], Any]


def _mean(function, logits):
    return ops.mean(function(ops.cast(logits, "float32")))


# -log σ(x) = softplus(-x) and -log(1 - σ(x)) = softplus(x), finite for any finite logit.
_softplus = partial(_mean, ops.softplus)
mean = partial(_mean, lambda values: values)  # In float32.
_margin = partial(_mean, lambda logits: ops.relu(1.0 + logits))


def _cross_entropy(real_logits, fake_logits):
    return _softplus(-real_logits) + _softplus(fake_logits)


def _half_square(logits, target):
    return _mean(lambda logits: 0.5 * ops.square(logits - target), logits)


LOSSES = {
    # E[log D(x)] + E[log(1 - D(G(z)))], maximised by D and minimised by G.
    # Goodfellow et al. 2014, arXiv:1406.2661, equation 1.
    "minimax": AdversarialLoss(_cross_entropy, lambda fake: -_softplus(fake)),
    # The same discriminator; the generator maximises E[log D(G(z))], whose gradient does not
    # vanish while the discriminator wins. Goodfellow et al. 2014, section 3.
    "non_saturating": AdversarialLoss(_cross_entropy, lambda fake: _softplus(-fake)),
    # Targets 0 for fake and 1 for real, 1 for the generator: a = 0, b = c = 1.
    # Mao et al. 2016, arXiv:1611.04076, equation 9.
    "least_squares": AdversarialLoss(
        lambda real, fake: _half_square(real, 1.0) + _half_square(fake, 0.0),
        lambda fake: _half_square(fake, 1.0),
    ),
    # The negated estimate of the earth mover's distance; the critic must be kept Lipschitz.
    # Arjovsky et al. 2017, arXiv:1701.07875, equation 2.
    "wasserstein": AdversarialLoss(
        lambda real, fake: mean(fake) - mean(real), lambda fake: -mean(fake)
    ),
    # Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equation 16.
    "hinge": AdversarialLoss(
        lambda real, fake: _margin(-real) + _margin(fake), lambda fake: -mean(fake)
    ),
}


def get(identifier):
    """Returns the loss of a name, or the given object if it has the two sides of a loss.

    Args:
        identifier: One of `minimax`, `non_saturating`, `least_squares`, `wasserstein`, `hinge`, or
            an object with callables `discriminator` and `generator`, as `AdversarialLoss` has.

    Raises:
        ValueError: For an unknown name or an object that is no loss.
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
