"""Trains small GANs on mixtures of Gaussians, whose modes can be counted.

    KERAS_BACKEND=jax python -m benchmarks.toys --out benchmarks/results/toys

One pair of perceptrons plays every game: a loss with the terms, the betas, the discriminator steps
and the average of its recipe. A game passes a toy if its samples are on all modes, in the right
places and in balance, at each of the last five of twenty looks: a training that finds the modes and
loses them again fails. `tests/test_toys.py` keeps passing what passed.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers
from keras.optimizers import Adam

from keras_gan import GAN
from keras_gan.callbacks import LinearDecay
from keras_gan.networks import SpectralNormalization
from keras_gan.presets import get_recipe
from keras_gan.terms import R1, LeCam

LOOKS, COUNTED = 20, 5
DECAY = 1 / 3  # The last part of the training, in which the rates fall, as in most recipes.


class Toy(NamedTuple):
    """A mixture of equally likely Gaussians, and how every game trains on it.

    Attributes:
        centres: The means, `(modes, 2)`.
        width: The standard deviation of each of them.
        steps: Generator updates.
        hidden: The units of the perceptrons' hidden layers.
        batch: Real samples per discriminator update.
        rate: The learning rate of Adam; the recipes' own are for images.
    """

    centres: np.ndarray
    width: float
    steps: int
    hidden: tuple[int, ...] = (64, 64)
    batch: int = 128
    rate: float = 2e-3

    def samples(self, n: int, seed: int = 0) -> np.ndarray:
        """Returns real samples, float32 `(n, 2)`."""
        random = np.random.default_rng(seed)
        noise = self.width * random.standard_normal((n, 2))
        return (self.centres[random.integers(0, len(self.centres), n)] + noise).astype("float32")


def ring(modes: int, radius: float) -> np.ndarray:
    """Returns points on a circle, `(modes, 2)`."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def grid(side: int, distance: float) -> np.ndarray:
    """Returns the points of a square grid around 0, `(side², 2)`."""
    places = distance * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)


# Neighbours are 8 standard deviations apart on the ring, 10 on the grids.
TOYS = {
    "8 on a ring": Toy(ring(8, 2.0), 0.2, 2000),
    "25 on a grid": Toy(grid(5, 2.0), 0.2, 20_000),
    "100 on a grid": Toy(grid(10, 1.0), 0.1, 20_000),
}


class Game(NamedTuple):
    """A variant's objective and optimizers, with another loss or other terms where given."""

    variant: str
    loss: str | None = None
    terms: Callable[[], list] | None = None
    spectral: bool = False  # Whether the discriminator's layers are spectrally normalized.
    pace: tuple[float, float] = (1.0, 1.0)  # By which a generator and a discriminator are faster.


GAMES = {
    "non_saturating": Game("vanilla"),
    "non_saturating, LeCam": Game("vanilla", terms=lambda: [LeCam(0.3, start=500)]),
    "non_saturating, R1": Game("vanilla", terms=lambda: [R1(0.1)]),
    "minimax": Game("vanilla", loss="minimax"),
    "least_squares": Game("lsgan"),
    "wasserstein, gradient penalty": Game("wgan_gp"),
    # At equal rates a discriminator held to slope 1 is too slow, and modes come and go.
    "hinge, spectral normalization": Game("sngan", spectral=True, pace=(0.5, 2.0)),
    "relativistic, R1 and R2": Game("r3gan"),
}


class Score(NamedTuple):
    """How samples lie on the modes of a toy.

    Attributes:
        modes: Modes that have at least a fifth of their fair part of the samples.
        share: The share of samples within 3 standard deviations of a mode; 0.989 of real ones.
        imbalance: Half the sum of the differences between the modes' shares of these samples and
            their fair shares (total variation), in 0…1.
    """

    modes: int
    share: float
    imbalance: float


def score(samples: np.ndarray, toy: Toy) -> Score:
    """Returns the score of samples `(n, 2)`."""
    distances = np.linalg.norm(samples[:, None] - toy.centres, axis=-1)
    near, fair = distances.min(axis=1) < 3 * toy.width, 1 / len(toy.centres)
    counts = np.bincount(distances.argmin(axis=1)[near], minlength=len(toy.centres))
    modes = int(np.sum(counts >= 0.2 * fair * len(samples)))
    shares = counts / max(counts.sum(), 1)
    return Score(modes, float(near.mean()), float(np.abs(shares - fair).sum() / 2))


def worst(scores: list[Score]) -> Score:
    """Returns the worst modes, share and imbalance of the last looks."""
    modes, shares, imbalances = zip(*scores[-COUNTED:], strict=True)
    return Score(min(modes), min(shares), max(imbalances))


def passes(scores: list[Score], toy: Toy) -> bool:
    """Returns whether the last looks saw all modes, most samples on them, and a fair balance."""
    modes, share, imbalance = worst(scores)
    return modes == len(toy.centres) and share >= 0.5 and imbalance <= 0.25


def train(game: Game, toy: Toy, seed: int = 0, terms: list | None = None, **options) -> list[Score]:
    """Returns the scores of generated samples at equally many steps from each other.

    Args:
        game: What to play.
        toy: What to learn.
        seed: Of the weights, the noise and the order of the data.
        terms: Terms in place of the game's own.
        **options: Arguments of `GAN.compile`.
    """
    keras.utils.set_random_seed(seed)
    gan = _gan(game, toy, seed, terms, options)
    scores, n = [], max(2000, 100 * len(toy.centres))

    def look(epoch, logs):
        scores.append(score(gan.generate(n, seed=epoch, batch_size=n), toy))

    batch = toy.batch * gan.discriminator_steps
    samples = toy.samples(batch * (toy.steps // LOOKS), seed)
    watch = keras.callbacks.LambdaCallback(on_epoch_end=look)
    callbacks = [watch, LinearDecay(DECAY)]
    gan.fit(samples, batch_size=batch, epochs=LOOKS, verbose=0, callbacks=callbacks)
    return scores


def _gan(game, toy, seed, terms, options):
    recipe = get_recipe(game.variant)
    if terms is None:
        terms = (game.terms or recipe.terms)()
    gan = GAN(
        perceptron(8, toy.hidden, 2),
        perceptron(2, toy.hidden, 1, game.spectral),
        loss=game.loss or recipe.loss,
        terms=terms,
        discriminator_steps=recipe.discriminator_steps,
        ema_momentum=recipe.ema_momentum,
        seed=seed,
    )
    sides = recipe.generator_optimizer(), recipe.discriminator_optimizer()
    pairs = zip(game.pace, sides, strict=True)
    adams = (Adam(pace * toy.rate, side.beta_1, side.beta_2) for pace, side in pairs)
    gan.compile(*adams, **options)
    return gan


def perceptron(
    inputs: int, hidden: tuple[int, ...], outputs: int, spectral: bool = False
) -> keras.Model:
    """Returns a perceptron with hidden layers of so many units."""
    # With offsets of 0, all kinks of the first layer would go through the origin.
    spread = keras.initializers.RandomUniform(-1.0, 1.0)
    stack = []
    for units in hidden:
        stack += [layers.Dense(units, bias_initializer=spread), layers.LeakyReLU(0.2)]
    stack.append(layers.Dense(outputs))
    if spectral:
        stack = [SpectralNormalization(x) if hasattr(x, "units") else x for x in stack]
    return keras.Sequential([keras.Input((inputs,)), *stack])


def table(results: dict) -> str:
    """Returns the results as a table in Markdown."""
    lines = ["| | " + " | ".join(results) + " |", "| --- |" + " --- |" * len(results)]
    real = (score(TOYS[name].samples(10_000, 1), TOYS[name]) for name in results)
    lines.append("| real samples | " + " | ".join(map(_cell, real)) + " |")
    for game in GAMES:
        cells = []
        for name, games in results.items():
            scores = [Score(*look) for look in games.get(game, {}).get("looks", ())]
            verdict = "**passes**" if scores and passes(scores, TOYS[name]) else "fails"
            cells.append(f"{verdict}: {_cell(worst(scores))}" if scores else "not trained")
        lines.append(f"| {game} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(worst: Score) -> str:
    return f"{worst.modes}, {worst.share:.2f}, {worst.imbalance:.2f}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--toys", nargs="+", choices=TOYS, default=[*TOYS])
    parser.add_argument("--games", nargs="+", choices=GAMES, default=[*GAMES])
    parser.add_argument("--out", type=Path, required=True, help="folder of toys.json and toys.md")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "toys.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name in options.toys:
        for game in options.games:
            start = time.perf_counter()
            scores = train(GAMES[game], TOYS[name], steps_per_execution=50)
            seconds = round(time.perf_counter() - start, 1)
            results.setdefault(name, {})[game] = {"steps": TOYS[name].steps, "looks": scores}
            file.write_text(json.dumps(results, indent=1))
            (options.out / "toys.md").write_text(table(results) + "\n")
            print(f"{name}, {game}: {_cell(worst(scores))} in {seconds} s", flush=True)


if __name__ == "__main__":
    main()
