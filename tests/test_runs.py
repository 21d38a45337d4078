"""Runs: killed anywhere and resumed, they end as if they had never been stopped."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import (
    BACKEND,
    ROOT,
    assert_readable,
    mlp_gan,
    pictures,
    points,
    rich_gan,
    tiny_gan,
)

from keras_gan import GAN, datasets, from_preset, states
from keras_gan.callbacks import LinearDecay
from keras_gan.images import image_grid, save_image
from keras_gan.locks import locked
from keras_gan.runs import Run, Stopped
from keras_gan.watch import Watch

once = pytest.mark.once


class Killed(Exception):
    pass


def small_gan(**options):
    keras.utils.set_random_seed(1)
    gan = mlp_gan(**({"ema_momentum": 0.9} | options))
    gan.compile()
    return gan


def trained(folder, gan, x, killed_after=None, epochs=3, callbacks=(), **options):
    """Trains with a `Run`, perhaps until a number of steps; returns the model and its history."""
    run, left = Run(folder, minutes=0), killed_after
    after_step = run.after_step

    def killing(step):
        nonlocal left
        after_step(step)
        left = left and left - 1
        if left == 0:
            raise Killed

    run.after_step = killing
    options = {"epochs": epochs, "callbacks": [run, *callbacks], "verbose": 0} | options
    if killed_after:
        with pytest.raises(Killed):
            gan.fit(x, **options)
        return None
    return gan, gan.fit(x, **options)


def outcome(folder, gan, history):
    """Everything that a training ends with."""
    arrays = {name: np.array(array) for name, array in states.capture(gan).items()}
    images = {p.name: p.read_bytes() for p in folder.rglob("epoch_*.png")}
    run = states.read(max(folder.glob("state_*")))[1]
    rows = [{n: v for n, v in row.items() if n != "seconds"} for row in run["rows"]]
    return arrays, images, rows, history.epoch, history.history


def assert_same(found, expected):
    for name, array in expected[0].items():
        np.testing.assert_array_equal(found[0][name], array, err_msg=name)
    assert found[1:] == expected[1:]


# Exactly.


def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    images = pictures(26)  # Batches of 6, and a last one of 2.
    options = {"batch_size": 6, "validation_data": images[:8]}

    def train(folder, killed_after=None):
        schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate)
        callbacks = [schedule, LinearDecay(0.8)]
        return trained(folder, rich_gan(), images, killed_after, callbacks=callbacks, **options)

    whole = outcome(tmp_path / "whole", *train(tmp_path / "whole"))
    # In the first epoch, and in another one before a last batch; 5 steps make an epoch.
    train(tmp_path / "run", killed_after=2)
    train(tmp_path / "run", killed_after=7)
    assert_same(outcome(tmp_path / "run", *train(tmp_path / "run")), whole)
    assert whole[3] == [0, 1, 2] and len(whole[4]["d_loss"]) == 3


@once
@pytest.mark.parametrize("kind", ["array", "folder", "loader"])
def test_kinds_of_data(kind, tmp_path):
    images = pictures(10)
    (tmp_path / "data").mkdir()
    for i, picture in enumerate(images):
        save_image(tmp_path / "data" / f"{i}.png", image_grid(picture[None]))

    class Loader(keras.utils.PyDataset):
        """Keras shuffles its batches with Python's generator."""

        def __len__(self):
            return 5

        def __getitem__(self, index):
            return (images[2 * index : 2 * index + 2],)

    def train(folder, killed_after=None):
        keras.utils.set_random_seed(1)
        gan = tiny_gan()
        x = {"array": images, "loader": Loader()}.get(kind)
        if x is None:
            x = datasets.ImageFolder(tmp_path / "data", 8, 1, batch_size=2, workers=2)
        size = {"batch_size": 2} if kind == "array" else {}
        if kind == "loader" and killed_after:
            callback = keras.callbacks.LambdaCallback(on_train_batch_end=self_killing(killed_after))
            with pytest.raises(Killed):
                trained(folder, gan, x, callbacks=[callback])
            return None
        return trained(folder, gan, x, killed_after, **size)

    whole = outcome(tmp_path / "whole", *train(tmp_path / "whole"))
    train(tmp_path / "run", killed_after=8)
    last = max((tmp_path / "run").glob("state_*")).name
    # Only data whose order is known can start in the middle of an epoch.
    assert last == ("state_0001_000000.state" if kind == "loader" else "state_0001_000003.state")
    assert_same(outcome(tmp_path / "run", *train(tmp_path / "run")), whole)


def self_killing(steps):
    left = iter(range(steps - 1, -1, -1))

    def kill(batch, logs):
        if next(left) == 0:
            raise Killed

    return kill


@once
def test_callbacks_see_one_training(tmp_path):
    seen = []
    note = lambda name: lambda number, logs=None: seen.append((name, number))  # noqa: E731
    names = ("on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end")
    watch = keras.callbacks.LambdaCallback(**{name: note(name) for name in names})
    watch.on_train_begin = lambda logs=None: seen.append("begin")
    watch.on_train_end = lambda logs=None: seen.append("end")
    trained(tmp_path, small_gan(), points(8), 3, batch_size=4)
    trained(tmp_path, small_gan(), points(8), batch_size=4, callbacks=[watch])
    kept = [entry for entry in seen if entry[0] != "on_train_batch_begin"]
    assert kept == [
        "begin",
        ("on_epoch_begin", 1),
        ("on_train_batch_end", 1),
        ("on_epoch_end", 1),
        ("on_epoch_begin", 2),
        ("on_train_batch_end", 0),
        ("on_train_batch_end", 1),
        ("on_epoch_end", 2),
        "end",
    ]
    # A run that is done trains no further, and shows all its epochs.
    seen.clear()
    _, history = trained(tmp_path, small_gan(), points(8), batch_size=4, callbacks=[watch])
    assert seen == ["begin", "end"] and history.epoch == [0, 1, 2]


@pytest.mark.skipif(BACKEND != "torch", reason="the others compile all steps or none")
def test_a_resumed_run_compiles_the_same_steps(tmp_path, monkeypatch):
    from keras_gan.engine import torch_compile

    compiled = []

    def record(gan):
        def step(batch):
            compiled.append((int(gan.optimizer.iterations), len(batch.samples)))
            return gan._step(batch)

        return step

    monkeypatch.setattr(torch_compile, "_compiled", record)
    monkeypatch.setattr(torch_compile, "AUTO_STEPS", 4)
    options = {"batch_size": 4, "epochs": 4}
    trained(tmp_path / "whole", small_gan(), points(10), **options)
    whole = compiled.copy()
    # Each epoch's last batch, of 2, is not compiled: it never comes twice in a row, nor first.
    assert whole == [(4, 4), (6, 4), (7, 4), (9, 4), (10, 4)]
    compiled.clear()
    for steps in (2, 3, 3, None):
        trained(tmp_path / "run", small_gan(), points(10), steps, **options)
    assert compiled == whole


@once
def test_killed_processes(tmp_path):
    # The same with real kills, in the middle of writing too: see tests/chaos.py.
    command = [sys.executable, ROOT / "tests/chaos.py", "--kills", "2", "--backend", BACKEND]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert "kills" in result.stdout


# What cannot be resumed.


@pytest.fixture
def run(tmp_path):
    """The folder of a run of one epoch and two steps."""
    trained(tmp_path / "run", small_gan(), points(16), 6, batch_size=4)
    return tmp_path / "run"


def refused(folder, gan=None, x=None, **options):
    with pytest.raises(ValueError) as error:
        trained(folder, gan or small_gan(), points(16) if x is None else x, batch_size=4, **options)
    assert_readable(error, "Cannot resume", str(folder))
    return str(error.value)


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes({"flipped": content, "cut": content[:-100], "empty": b"", "{}": b"{}"}[how])


@once
@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "{}"])
def test_damaged_states(run, tmp_path, how):
    whole = outcome(tmp_path / "w", *trained(tmp_path / "w", small_gan(), points(16), batch_size=4))
    older, newer = sorted(run.glob("state_*"))
    damage(newer, how)
    with pytest.warns(UserWarning, match=rf"{newer.name} cannot.*resuming from {older.name}\.$"):
        trained(run, small_gan(), points(16), 1, batch_size=4)
    assert_same(outcome(run, *trained(run, small_gan(), points(16), batch_size=4)), whole)
    for path in run.glob("state_*"):
        damage(path, how)
    assert "there is no other state" in refused(run)


@once
def test_folders_and_models_that_do_not_fit(run, tmp_path):
    assert "number of batches" in refused(run, x=points(12))
    assert "samples of the data changed" in refused(run, x=points(16, seed=1))
    assert "shape" in refused(run, small_gan(units=5))
    assert "variables" in refused(run, small_gan(ema_momentum=None))
    for path in run.glob("state_*"):
        path.unlink()
    assert "contains training.csv, but no state" in refused(run)
    small_gan().save_to_preset(tmp_path / "preset")
    assert "contains metadata.json, but no state" in refused(tmp_path / "preset")
    with pytest.raises(ValueError, match="leave initial_epoch out"):
        small_gan().fit(points(4), initial_epoch=1, callbacks=[Run(tmp_path)])


@once
def test_one_process_at_a_time(run):
    with locked(run):
        with pytest.raises(BlockingIOError) as error:
            trained(run, small_gan(), points(16), batch_size=4)
        assert_readable(error, str(run), f"process {os.getpid()} on", "choose another folder")
        before = {path: path.read_bytes() for path in run.glob("state_*")}
    assert before and before == {path: path.read_bytes() for path in run.glob("state_*")}
    # A process that holds the lock is killed: the next one takes it over.
    code = "import os, sys; from keras_gan.locks import locked; lock = locked(sys.argv[1]); "
    code += "lock.__enter__(); os.kill(os.getpid(), 9)"
    command = [sys.executable, "-c", code, str(run)]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    assert (run / ".writer").exists()
    trained(run, small_gan(), points(16), batch_size=4)


@pytest.mark.filterwarnings("ignore:.*g_loss is no longer finite")
@once
def test_an_epoch_whose_losses_are_not_finite_is_not_saved(tmp_path, monkeypatch):
    update = GAN._update_generator
    monkeypatch.setattr(GAN, "_update_generator", lambda *a: [update(*a)[0] * float("nan")])
    gan, run = small_gan(), Run(tmp_path)
    gan.fit(points(400), batch_size=4, callbacks=[run, Watch(every=10)], verbose=0)
    assert run.failed_epoch == 1 and int(gan.optimizer.iterations) < 50  # The watch ended it.
    assert [path.name for path in tmp_path.glob("state_*")] == ["state_0000_000000.state"]


@once
def test_a_run_that_was_rolled_back_continues(tmp_path):
    class Spoils(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.generator.layers[0].bias.assign(4 * [np.nan])

    gan, run = small_gan(), Run(tmp_path)
    watch = Watch("roll_back", every=2)
    with pytest.warns(UserWarning, match="back to the last good state"):
        gan.fit(points(16), batch_size=4, epochs=3, callbacks=[Spoils(), watch, run], verbose=0)
    assert len(run.rows) == 3 and run.failed_epoch is None


@once
def test_a_signal_waits_for_the_state(tmp_path):
    run = Run(tmp_path)
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(run, "stop", signal.SIGTERM)
    )
    with pytest.raises(Stopped):
        small_gan().fit(points(8), batch_size=2, callbacks=[run, stop], verbose=0)
    assert (tmp_path / "state_0000_000001.state").exists()


@once
def test_a_signal_in_the_validation_waits_for_the_epoch(tmp_path):
    run = Run(tmp_path)

    def signalled(batch, logs):
        assert run.stepping
        run.stop = signal.SIGTERM

    stop = keras.callbacks.LambdaCallback(on_test_batch_end=signalled)
    with pytest.raises(Stopped):
        small_gan().fit(
            points(8), batch_size=2, epochs=2, validation_data=points(8),
            callbacks=[run, stop], verbose=0,
        )  # fmt: skip
    assert [row["epoch"] for row in run.rows] == [1] and "val_d_loss" in run.rows[0]
    assert (tmp_path / "state_0001_000000.state").exists()


# Files.


@once
@pytest.mark.parametrize("moves", range(1, 8))
def test_a_preset_is_the_old_or_the_new_one(moves, tmp_path, monkeypatch):
    tiny_gan().save_to_preset(tmp_path)
    replace, left = os.replace, moves

    def killed(source, target):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with contextlib.suppress(Killed):
            tiny_gan(loss="hinge").save_to_preset(tmp_path)
    again = [from_preset(tmp_path).get_config()["loss"] for _ in range(2)]
    # The samples' picture is moved on its own, into the new files; then come the metadata.
    assert again == ["non_saturating" if moves <= 2 else "hinge"] * 2
    tiny_gan(loss="least_squares").save_to_preset(tmp_path)
    assert from_preset(tmp_path).get_config()["loss"] == "least_squares"
    assert not [path for path in Path(tmp_path).iterdir() if path.name.startswith(".")]
