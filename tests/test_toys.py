"""What passed the toys keeps passing; `benchmarks/results/toys` has the whole table."""

import numpy as np
import pytest
from conftest import BACKEND

from benchmarks.toys import GAMES, TOYS, passes, score, train, worst
from keras_gan.terms import R1, R2

RING = TOYS["8 on a ring"]
# On torch the traced graph as it is (`uncompiled`): eager steps of Keras take several times as
# long, and Inductor longer than the whole training.
JIT = {"jit_compile": True if BACKEND == "torch" else "auto"}


@pytest.mark.once
def test_the_score_tells_real_samples_from_lost_and_unequal_modes():
    real = RING.samples(4000)
    modes, share, imbalance = score(real, RING)
    assert modes == 8 and share == pytest.approx(0.989, abs=0.01) and imbalance < 0.05
    near_first = np.linalg.norm(real - RING.centres[0], axis=1) < 3 * RING.width
    assert score(real[~near_first], RING).modes == 7
    modes, share, imbalance = score(np.concatenate([real, *7 * [real[near_first]]]), RING)
    assert modes == 8 and share > 0.98 and imbalance == pytest.approx(0.5 - 1 / 8, abs=0.03)
    modes, share, _ = score(0.2 * real, RING)
    assert modes == 0 and share == 0.0


@pytest.mark.once
def test_a_training_passes_by_its_last_looks_and_all_of_them():
    good, lost = score(RING.samples(4000), RING), score(RING.samples(4000)[:1], RING)
    assert passes([lost, *5 * [good]], RING)
    assert not passes([*5 * [good], lost, *4 * [good]], RING)
    assert worst([lost, *4 * [good]]) == lost


# Half of the table's steps suffice to pass.
SHORT = RING._replace(steps=1000)
PASSED = [game for game in GAMES if not GAMES[game].spectral]  # That one loses modes again.


@pytest.mark.parametrize("game", PASSED)
def test_what_passes_the_ring(game, uncompiled):
    scores = train(GAMES[game], SHORT, **JIT)
    assert passes(scores, SHORT), worst(scores)


class Reversed(R1):
    """R1 with the wrong sign: it rewards slopes."""

    def call(self, context):
        return -super().call(context)


@pytest.mark.once
def test_a_slope_penalty_of_the_wrong_sign_fails(uncompiled):
    game = GAMES["relativistic, R1 and R2"]
    scores = train(game, SHORT, terms=[Reversed(0.05), R2(0.05)], **JIT)
    assert not passes(scores, SHORT)
