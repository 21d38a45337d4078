"""Several processes on torch: the same training as one, and errors before the first step."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import BACKEND, ROOT, mlp_gan, points, python
from shared_steps import assert_same_steps

SCRIPT = Path(__file__).with_name("on_ranks.py")
pytestmark = pytest.mark.once


def run(case, count, folder, *words):
    """What each of `count` processes has computed; None for one that was killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = f"{SCRIPT.parent}{os.pathsep}{SCRIPT.parents[1]}"
    environment = os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": paths}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, SCRIPT, case, str(rank), str(count), str(port), *words],
                    cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
                )
            )
            for rank in range(count)
        ]  # fmt: skip
        outputs = [process.communicate()[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert set(codes) <= {0, -signal.SIGKILL}, outputs
    return [
        None if c else json.loads(o.splitlines()[-1]) for c, o in zip(codes, outputs, strict=True)
    ]


@pytest.mark.parametrize(
    ("case", "count"),
    [
        ("convolutions", 2),
        pytest.param("perceptrons", 2, marks=pytest.mark.full),
        pytest.param("overridden", 2, marks=pytest.mark.full),
        pytest.param("perceptrons", 4, marks=pytest.mark.full),
        pytest.param("convolutions", 4, marks=pytest.mark.full),
        pytest.param("compiled", 2, marks=pytest.mark.full),
    ],
)
def test_several_processes_train_as_one(case, count, tmp_path):
    [one] = run(case, 1, tmp_path)
    several = run(case, count, tmp_path)
    for report in several[1:]:
        assert report == several[0]
    for name, losses in one["losses"].items():
        assert len(losses) == 20 and np.ptp(losses) > 1e-4
        np.testing.assert_allclose(several[0]["losses"][name], losses, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(several[0]["weights"], one["weights"], rtol=1e-3, atol=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("count", [2, 4])
def test_the_steps_of_the_zoo_are_those_of_one_process(count, tmp_path):
    """Batch normalization is over the whole batch, and a penalty's gradient goes through it."""
    variants = "dcgan", "wgan_gp", "projection"
    for processes in (1, count):
        run("variants", processes, tmp_path, *variants)
    for variant in variants:
        assert_same_steps(tmp_path, variant, count)


@pytest.mark.full
def test_each_process_draws_its_own_noise_in_one_order_of_the_data(tmp_path):
    one, two = run("noise", 2, tmp_path)
    assert one["drawn"] != two["drawn"] and one["seed"] == two["seed"]


@pytest.mark.full
def test_one_decision_to_stop_and_one_writer(tmp_path):
    one, two = run("decisions", 2, tmp_path)
    assert one == {"epochs": 2, "writes": True} and two == {"epochs": 2, "writes": False}


@pytest.mark.full
def test_the_processes_share_what_is_evaluated_within_fit(tmp_path):
    [one] = run("evaluated", 1, tmp_path)
    two = run("evaluated", 2, tmp_path)
    for name, [value] in one["history"].items():
        np.testing.assert_allclose(two[0]["history"][name], value, rtol=1e-4, atol=1e-5)
    assert two[0] == two[1]
    # Batches of 16 and 5, generated and judged, twice; outside of fit, each makes all 21.
    assert one["rows"] == 3 * [16] + 3 * [5] + 3 * [21]
    assert two[0]["rows"] == 3 * [8] + 3 * [3] + 3 * [21]


@pytest.mark.full
def test_a_run_is_resumed_by_all_processes(tmp_path):
    one, two = run("resumed", 2, tmp_path)
    assert one["epochs"] == two["epochs"] == [1, 3] and one["updates"] == two["updates"] == 12
    assert one["weights"] == two["weights"] and one["drawn"] != two["drawn"]
    assert (tmp_path / "run" / "metadata.json").is_file()
    [alone] = run("gone_on", 1, tmp_path)
    assert alone["epochs"] == [4] and alone["updates"] == 16
    assert alone["weights"] != one["weights"] and np.isfinite(alone["weights"]).all()


def test_errors_come_in_all_processes(tmp_path):
    one, two = run("errors", 2, tmp_path)
    for report in (one, two):
        assert "15 cannot be shared equally by 2" in report["indivisible"]
        assert "1 cannot be shared equally by 2" in report["last"]
        assert "as many steps and epochs" in report["unequal"]
        assert "different batches" in report["other data"]
        assert "steps_per_epoch" in report["generator"]
        assert report["works"] is None


@pytest.mark.parametrize("case", ["killed", pytest.param("stalled", marks=pytest.mark.full)])
def test_the_other_process_is_killed(case, tmp_path):
    one, two = run(case, 2, tmp_path)
    assert two is None and "Another of the 2 processes has ended" in one["error"]


@pytest.mark.skipif(BACKEND != "torch", reason="torchrun is torch's; this group runs on torch")
@pytest.mark.parametrize("call", ["fit", "train_on_batch"])
def test_several_processes_without_a_group(monkeypatch, call):
    monkeypatch.setenv("WORLD_SIZE", "2")
    gan = mlp_gan()
    gan.compile()
    with pytest.raises(ValueError, match=r"one of 2 processes.*init_process_group"):
        getattr(gan, call)(points(8))


@pytest.mark.full
@pytest.mark.parametrize(
    "backend",
    ["torch", *(pytest.param(name, marks=pytest.mark.full) for name in ("jax", "tensorflow"))],
)
def test_the_command_on_two_devices(backend, tmp_path):
    words = "train vanilla --data fashion_mnist_10k --image-size 8 --epochs 1 --steps-per-epoch 2"
    options = ["--backend", backend, "--devices", "2", "--out", tmp_path / "run"]
    said = python(backend, "-m", "keras_gan_cli", *words.split(), *options, cwd=ROOT)
    assert said.count("Trained vanilla: 1 epochs") == 1
    assert json.loads((tmp_path / "run" / "options.json").read_text())["devices"] == 2
    assert (tmp_path / "run" / "samples.png").is_file()
