"""Several processes of TensorFlow and of JAX train as one.

`on_workers.py` and `on_processes.py` run in each of them. Plain Keras 3.15 fails in those of
TensorFlow (keras#20585). torch's are in `test_ranks.py`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# `test_devices.py` has the quick case of these engines.
pytestmark = [pytest.mark.once, pytest.mark.full]
SCRIPTS = {"jax": "on_processes.py", "tensorflow": "on_workers.py"}
BOTH = pytest.mark.parametrize("backend", SCRIPTS)


def start(backend, case, count, folder):
    """Starts so many processes of one training."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [str(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return [
        subprocess.Popen(
            [sys.executable, Path(__file__).parent / SCRIPTS[backend], case, str(number), *ports],
            cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(count)
    ]  # fmt: skip


def reports(processes):
    """What they print; of one that was killed, None."""
    outputs = [process.communicate(timeout=240) for process in processes]
    for process, (_, error) in zip(processes, outputs, strict=True):
        assert process.returncode in (0, -signal.SIGKILL), error[-3000:]
    pairs = zip(processes, outputs, strict=True)
    return [None if p.returncode else json.loads(out.splitlines()[-1]) for p, (out, _) in pairs]


@BOTH
def test_two_processes_train_as_one(backend, tmp_path):
    alone, together = (start(backend, "together", n, tmp_path / str(n)) for n in (1, 2))
    [one], [first, second] = reports(alone), reports(together)
    for ours, theirs in zip(first["sgd"], one["sgd"], strict=True):
        pairs = [(ours[k], theirs[k]) for k in ours] if isinstance(ours, dict) else [(ours, theirs)]
        for mine, other in pairs:
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
    assert first["sgd"] == second["sgd"] and np.ptp(first["sgd"][0]["d_loss"]) > 1e-3
    # Scores too, by which callbacks decide.
    assert first["run"] == second["run"] and len(first["run"]["d_loss"]) == 2
    assert np.isfinite([*first["run"].values()]).all()
    assert (tmp_path / "2/run/model.weights.h5").is_file()
    assert first["stopped"] == {"epochs": 2, "writes": True, "leads": True}
    assert second["stopped"] == {"epochs": 2, "writes": False, "leads": False}


@BOTH
def test_a_run_goes_on_with_fewer_processes(backend, tmp_path):
    before, _ = reports(start(backend, "together", 2, tmp_path))
    [after] = reports(start(backend, "resumed", 1, tmp_path))
    assert {k: v[:2] for k, v in after["run"].items()} == before["run"]
    assert len(after["run"]["d_loss"]) == 3


@pytest.mark.parametrize(
    ("backend", "case"), [("jax", "killed"), ("tensorflow", "killed"), ("tensorflow", "stalled")]
)
def test_the_other_process_is_killed(backend, case, tmp_path):
    first, second = reports(start(backend, case, 2, tmp_path))
    assert second is None
    assert "Another of the 2 processes has ended or does not answer" in first[case]


def test_the_other_process_of_jax_is_stalled(tmp_path):
    """JAX itself ends those that wait for it."""
    first, second = start("jax", "stalled", 2, tmp_path)
    _, said = first.communicate(timeout=240)
    second.kill()
    second.communicate()
    assert first.returncode == -signal.SIGABRT and "stopped sending heartbeats" in said


@BOTH
def test_one_process_has_more_batches(backend, tmp_path):
    for report in reports(start(backend, "uneven", 2, tmp_path)):
        assert "All processes must make as many steps" in report["uneven"]
