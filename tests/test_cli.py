"""The command line: every command, every exit code, and what a run's folder contains."""

import contextlib
import csv
import dataclasses
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import BACKEND, pictures, values
from PIL import Image, ImageOps

import keras_gan_cli
from keras_gan import GAN, from_preset, networks, presets, states
from keras_gan.conditions import Downscaled, Images, Labels, Masked
from keras_gan.images import image_grid, save_image
from keras_gan.progress import TimeLeft
from keras_gan.runs import Run

PATH = os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")])
adam = partial(keras.optimizers.Adam, learning_rate=2e-3, beta_1=0.5)
TINY = presets.Recipe(
    paper="Nobody et al.",
    generator=partial(networks.mlp_generator, latent_dim=4, units=(8,)),
    discriminator=partial(networks.mlp_discriminator, units=(8,), dropout=0.3),
    loss="non_saturating",
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    batch_size=4,
    discriminator_steps=2,
    ema_momentum=0.9,
    decay=0.5,
    epochs=7,
)


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        presets.list_models()
        patch.setitem(presets.recipes._RECIPES, "tiny", TINY)
        yield


@pytest.fixture(autouse=True)
def same_policy():
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of 24 grey pictures, to be left as it is."""
    folder = tmp_path_factory.mktemp("photos")
    for i, picture in enumerate(pictures(24)):
        save_image(folder / f"{i:02d}.png", image_grid(picture[None]))
    return folder


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """What a run of two epochs made and wrote to stdout; to be left as it is."""
    folder, written = tmp_path_factory.mktemp("finished") / "run", io.StringIO()
    with contextlib.redirect_stdout(written):
        assert main(*train(photos, folder), "--epochs", 2) == 0
    return folder, written.getvalue()


@pytest.fixture
def run(finished, photos, tmp_path):
    """A copy of that run, and the command that resumes it."""
    folder = shutil.copytree(finished[0], tmp_path / "run")
    return folder, train(photos, folder)


def tiny_main(arguments):
    """The command in a process of its own."""
    presets.register_model("tiny", TINY)
    return keras_gan_cli.main(arguments)


def train(data, out):
    return ["train", "tiny", "--data", data, "--out", out, "--image-size", 8]


def main(*arguments):
    return keras_gan_cli.main([str(argument) for argument in arguments])


def refused(capsys, *arguments, code=2):
    """The one line that the command ends with."""
    capsys.readouterr()
    assert main(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-gan: ") and err.count("\n") == 1, err
    return err


def process(*arguments, program=("-m", "keras_gan_cli"), cwd=None, **environment):
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(folder):
    with open(folder / "training.csv", newline="") as file:
        return [
            {k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
        ]


def state(folder):
    """All variables and random states of a run, as its last epoch left them."""
    arrays, _ = states.read(max(folder.glob("state_*")))
    return list(arrays.values())


# What the commands do.


@pytest.mark.once
def test_list(capsys):
    assert main("list") == 0
    out = capsys.readouterr().out
    for text in ("dcgan", "wgan_gp", "arXiv:1704.00028", "fashion_mnist_10k"):
        assert text in out


def test_train_writes_a_folder_to_look_at_and_to_load(finished, photos):
    folder, written = finished
    picture = folder / "samples.png"
    start, first, second, end, *_ = written.splitlines()
    assert start == "Training tiny on 24 images of 8×8×3."
    assert re.fullmatch(
        rf"Epoch 1/2: \d:\d\d, d_loss [\d.]+, g_loss [\d.]+, \d:\d\d left, samples: {picture}",
        first,
    )
    assert second.startswith("Epoch 2/2: ") and second.endswith(f", samples: {picture}")
    assert "left" not in second
    assert end == f"Trained tiny: 2 epochs, samples in {picture}"

    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        ".lock",
        "config.json",
        "curves.png",
        "README.md",
        "metadata.json",
        "model.weights.h5",
        "options.json",
        "samples.png",
        "samples/epoch_0001.png",
        "samples/epoch_0002.png",
        "state_0001_000000.state",
        "state_0002_000000.state",
        "training.csv",
    }
    options = json.loads((folder / "options.json").read_text())
    expected = {"variant": "tiny", "data": str(photos), "image_shape": [8, 8, 3], "epochs": 2}
    expected |= {"batch_size": 4, "steps_per_epoch": 3, "seed": 0, "backend": BACKEND}
    assert expected.items() <= options.items()
    assert options["recipe"]["generator_optimizer"]["config"]["beta_1"] == 0.5
    assert [row["epoch"] for row in rows(folder)] == [1, 2]
    assert {"d_loss", "g_loss", "d_real", "d_fake"} < rows(folder)[0].keys()
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["epochs"] == 2 and metadata["seconds"] > 0 and metadata["format"] == 1
    assert len(metadata["data_sha256"]) == 64
    assert {"curves.png", "training.csv", "README.md"} <= metadata["files"].keys()
    card = (folder / "README.md").read_text()
    assert "(curves.png)" in card and "$" not in card

    gan = from_preset(folder)
    grid = np.asarray(Image.open(folder / "samples.png"))
    np.testing.assert_array_equal(grid, image_grid(gan.generate(64, seed=0)))
    np.testing.assert_array_equal(grid, np.asarray(Image.open(folder / "samples/epoch_0002.png")))
    with Image.open(folder / "curves.png") as curves:
        assert curves.size == (840, 600)


@pytest.mark.once
def test_options_reach_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["train", "tiny", "--data", "fashion_mnist_10k"]
    command += ["--image-size", "8x12", "--batch-size", 8, "--steps-per-epoch", 3]
    assert main(*command, "--epochs", 1, "--seed", 2**32 - 1, "--precision", "mixed_bfloat16") == 0
    options = json.loads((tmp_path / "runs/tiny/options.json").read_text())
    expected = {"image_shape": [8, 12, 1], "batch_size": 8, "steps_per_epoch": 3}
    assert (expected | {"precision": "mixed_bfloat16"}).items() <= options.items()
    gan = from_preset(tmp_path / "runs/tiny")
    assert gan.generator.layers[0].compute_dtype == "bfloat16"
    arrays, _ = states.read(tmp_path / "runs/tiny/state_0001_000000.state")
    states.apply(gan, arrays)
    assert int(gan.optimizer.iterations) == 3


def test_same_seed_same_files(finished, tmp_path, photos, capsys):
    files = lambda run: [(run / "samples/epoch_0001.png").read_bytes(), rows(run)[0]]  # noqa: E731
    for seed in range(2):
        assert main(*train(photos, tmp_path / str(seed)), "--epochs", 1, "--seed", seed) == 0
        picture = tmp_path / str(seed) / "samples.png"
        assert f"samples in {picture}\n" in capsys.readouterr().out
    assert files(tmp_path / "0") == files(finished[0])
    assert files(tmp_path / "1") != files(finished[0])


@pytest.mark.once
def test_generate_writes_a_grid_an_array_or_a_folder(run, tmp_path, capsys):
    folder, _ = run
    images = from_preset(folder).generate(6, seed=4)
    for name in ("grid.png", "new/images.npy", "many"):
        assert main("generate", folder, "--num", 6, "--seed", 4, "--out", tmp_path / name) == 0
        assert str(tmp_path / name) in capsys.readouterr().out
    np.testing.assert_array_equal(Image.open(tmp_path / "grid.png"), image_grid(images))
    np.testing.assert_array_equal(np.load(tmp_path / "new/images.npy"), images)
    paths = sorted((tmp_path / "many").iterdir())
    assert [path.name for path in paths] == [f"{i:05d}.png" for i in range(6)]
    np.testing.assert_array_equal([np.asarray(Image.open(path)) for path in paths], images)

    assert main("generate", folder, "--num", 6, "--out", tmp_path / "many") == 0  # Again is fine.
    error = refused(capsys, "generate", folder, "--num", 5, "--out", tmp_path / "many")
    assert "many contains other files, such as 00005.png" in error


@pytest.mark.once
def test_evaluate_reports_scores_with_their_protocol_and_floor(run, photos, capsys):
    folder, _ = run
    command = ["evaluate", folder, "--data", photos, "--num-images", 20, "--seeds", 2]
    capsys.readouterr()
    assert main(*command, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    expected = {"preset": str(folder), "data": str(photos), "backend": BACKEND}
    assert expected.items() <= report.items()
    score = report["scores"]["sliced_wasserstein_distance"]
    # A folder has no test split: of its 24 photos, one half is the reference, the other its floor.
    assert score["protocol"]["num_real"] == score["protocol"]["num_floor"] == 12
    assert (score["protocol"]["num_generated"], score["protocol"]["seeds"]) == (20, [0, 1])
    assert 0 <= score["floor"] < score["mean"] and score["std"] > 0
    assert main(*command) == 0
    out = capsys.readouterr().out
    assert "(real images: " in out
    assert "20 generated images, 2 seeds, against 12 real images" in out


@pytest.mark.once
def test_score_keeps_the_best_epoch_too(photos, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(*train(photos, folder), "--epochs", 3, "--score") == 0
    name = "val_sliced_wasserstein_distance"
    scores = [row[name] for row in rows(folder)]
    metadata = [json.loads((f / "metadata.json").read_text()) for f in (folder, folder / "best")]
    protocol = metadata[0]["scores"][name].pop("protocol")
    # Of 24 images, 3 are not trained on.
    assert protocol["num_real"] == protocol["num_generated"] == 3
    assert metadata[0]["num_images"] == 21
    assert metadata[0]["scores"] == {name: {"best": min(scores), "final": scores[-1]}}
    assert metadata[1]["epochs"] == 1 + scores.index(min(scores))
    assert from_preset(folder / "best").generate(1).shape == (1, 8, 8, 3)
    shown = process("info", folder)  # In a process that has not made metrics itself.
    out, err = shown.communicate(timeout=120)
    assert shown.returncode == 0 and name in out, err
    assert main(*train(photos, folder), "--epochs", 4, "--resume") == 0
    assert name in rows(folder)[3]
    with Image.open(folder / "curves.png") as curves:
        assert curves.size == (840, 900)


@pytest.mark.once
def test_info_shows_what_a_run_is(run, capsys):
    folder, _ = run
    capsys.readouterr()
    assert main("info", folder) == 0
    out = capsys.readouterr().out
    for text in (
        "(8, 8, 3)",
        "tiny",
        "non_saturating",
        "Nobody et al.",
        "epochs                  2",
    ):
        assert text in out


@pytest.mark.once
def test_train_suggests_commands_that_work(run, photos, tmp_path, monkeypatch, capsys):
    folder, command = run
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert main(*command, "--resume", "--epochs", 3) == 0
    lines = capsys.readouterr().out.partition("What to try next:")[2].splitlines()
    suggested = [shlex.split(line) for line in lines if line and not line.startswith("  #")]
    assert {words.pop(0) for words in suggested} == {"keras-gan"}
    generate, evaluate, longer, own = suggested
    assert main(*generate) == 0 and (tmp_path / "more.png").exists()
    assert main(*evaluate, "--num-images", 8, "--seeds", 1) == 0
    assert main(*longer) == 0 and len(rows(folder)) == 6
    own[own.index("FOLDER")] = str(photos)
    assert main(*own, "--epochs", 1) == 0 and (tmp_path / "runs/mine/samples.png").exists()


@pytest.mark.once
@pytest.mark.parametrize(
    ("argument", "on_path", "expected"),
    [
        ("/usr/bin/keras-gan", True, "keras-gan"),
        ("an environment/bin/keras-gan", False, "'an environment/bin/keras-gan'"),
        ("/somewhere/keras_gan_cli.py", False, f"{sys.executable} -m keras_gan_cli"),
    ],
)
def test_suggested_commands_start_as_this_one_did(monkeypatch, argument, on_path, expected):
    monkeypatch.setattr(shutil, "which", lambda name: name if on_path else None)
    monkeypatch.setattr(sys, "argv", [argument])
    assert keras_gan_cli._program() == expected


@pytest.mark.once
def test_a_terminal_shows_the_progress_and_the_time_left(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 1.1, 3.0, 1204.0])
    monkeypatch.setattr("keras_gan.progress.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    progress = TimeLeft("runs/x/samples.png")
    progress.set_params({"epochs": 8, "steps": 4})
    progress.set_model(SimpleNamespace(stop_training=False))
    progress.on_epoch_begin(0)
    logs = {"d_loss": 1.25, "g_loss": 0.5, "d_real": 0.1}
    for batch in range(3):
        progress.on_train_batch_end(batch, logs)
    progress.on_epoch_end(0, logs | {"val_frechet_distance": 12.3456})
    shown = capsys.readouterr().out.split("\r\x1b[K")
    assert shown == [
        "",
        "Epoch 1/8: starting",
        "Epoch 1/8: step 1/4, d_loss 1.25, g_loss 0.5, 0:31 left",
        "Epoch 1/8: step 3/4, d_loss 1.25, g_loss 0.5, 0:29 left",
        "Epoch 1/8: 20:04, d_loss 1.25, g_loss 0.5, val_frechet_distance 12.35, 2:20:28 left, "
        "samples: runs/x/samples.png\n",
    ]


# Resuming.


@pytest.mark.once
def test_a_run_that_is_made_longer_equals_a_long_one(run, tmp_path, photos, capsys):
    folder, command = run
    assert main(*command, "--resume", "--epochs", 4) == 0
    whole = tmp_path / "whole"
    assert main(*train(photos, whole), "--epochs", 4) == 0
    assert [row["epoch"] for row in rows(folder)] == [1, 2, 3, 4]
    assert rows(folder) == rows(whole)
    # The rates fall in the second half of the epochs, now that there are four.
    rates = [row["learning_rate"] for row in rows(folder)]
    assert rates == pytest.approx([2e-3, 2e-3, 2e-3, 1e-3])
    optimizer = from_preset(folder).optimizer  # The full rate is saved, not the lowered one.
    assert float(optimizer.learning_rate) == pytest.approx(2e-3)
    for one, other in zip(state(folder), state(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    # A finished run says so, and keeps what it has.
    capsys.readouterr()
    before = state(folder)
    assert main(*command, "--resume") == 0
    assert "already has 4 epochs" in capsys.readouterr().out
    for one, other in zip(state(folder), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_resuming_restores_all_of_the_model(tmp_path, photos, monkeypatch, precision):
    folder = tmp_path / "run"
    command = [*train(photos, folder), "--precision", precision]
    assert main(*command, "--epochs", 2) == 0
    saved, seen = state(folder), []
    optimizers = lambda gan: (gan.optimizer.generator, gan.optimizer.discriminator)  # noqa: E731
    restore = Run._restore

    def watched(run, gan):
        restore(run, gan)
        seen.extend(values(states.variables(gan)))
        assert [int(side.iterations) for side in optimizers(gan)] == [6, 12]

    monkeypatch.setattr(Run, "_restore", watched)
    assert main(*command, "--epochs", 3, "--resume") == 0
    assert len(seen) > 30
    for one, other in zip(seen, saved[: len(seen)], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_resuming_with_other_images_is_refused(photos, tmp_path, capsys):
    own = shutil.copytree(photos, tmp_path / "photos")
    command = train(own, tmp_path / "run")
    assert main(*command, "--epochs", 1) == 0
    before = (tmp_path / "run" / "options.json").read_text()
    next(own.glob("*.png")).unlink()
    error = refused(capsys, *command, "--resume", "--epochs", 2)
    assert f"the images in {own} have changed since the run started" in error
    assert (tmp_path / "run" / "options.json").read_text() == before


@pytest.mark.once
def test_resume_needs_only_the_options_it_cannot_know(run, capsys):
    folder, command = run
    assert main(*command[:6], "--resume", "--epochs", 3) == 0
    assert len(rows(folder)) == 3
    for option, value in [
        ("--batch-size", 8),
        ("--seed", 1),
        ("--image-size", 16),
        ("--precision", "mixed_bfloat16"),
        ("--steps-per-epoch", 2),
        ("--data", "mnist"),
    ]:
        error = refused(capsys, *command, "--resume", option, value)
        assert f"cannot resume {folder}: it was started with {option} " in error
    assert "it was started without --score." in refused(capsys, *command, "--resume", "--score")
    error = refused(capsys, "train", "lsgan", *command[2:], "--resume")
    assert "it was started with VARIANT tiny, not lsgan" in error


@pytest.mark.once
def test_a_killed_run_resumes_after_its_last_saved_epoch(tmp_path, photos, capsys):
    folder = tmp_path / "run"
    command = train(photos, folder)
    program = ["-c", "import sys, test_cli; sys.exit(test_cli.tiny_main(sys.argv[1:]))"]
    running = process(*command, "--epochs", 1000, program=program, PYTHONPATH=PATH)
    deadline = time.monotonic() + 120
    while not (folder / "samples/epoch_0003.png").exists():
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    done = int(max(folder.glob("state_*")).name[6:10])
    assert done >= 2
    assert from_preset(folder).generate(1).shape == (1, 8, 8, 3)
    assert main(*command, "--epochs", done + 1, "--resume") == 0
    assert [row["epoch"] for row in rows(folder)] == list(range(1, done + 2))
    assert not list(folder.rglob(".writing-*")) and not list(folder.rglob(".part-*"))
    last = [f"state_{epoch:04d}_000000.state" for epoch in (done, done + 1)]
    assert sorted(path.name for path in folder.glob("state_*")) == last


@pytest.mark.once
def test_a_run_killed_in_its_first_epoch_starts_again(run):
    folder, command = run
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "options.json":
            path.unlink()
    assert main(*command, "--resume") == 0
    assert [row["epoch"] for row in rows(folder)] == [1, 2]


@pytest.fixture
def usual_signals():
    """Signals do what they do in a terminal; in the background, some are ignored."""
    usual = dict.fromkeys((signal.SIGTERM, signal.SIGHUP), signal.SIG_DFL)
    usual[signal.SIGINT] = signal.default_int_handler
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.once
@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_run_with_its_state(name, finished, tmp_path, photos, capsys, monkeypatch):
    """The run continues from the very step, and ends as one that was not interrupted."""
    number, folder = getattr(signal, name), tmp_path / "run"
    after_step = Run.after_step

    def interrupted(run, step):
        if step == 2:
            os.kill(os.getpid(), number)
        after_step(run, step)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "after_step", interrupted)
        assert main(*train(photos, folder), "--epochs", 2) == 128 + number
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    last = capsys.readouterr().err.splitlines()[-1]
    assert ("interrupted" if name == "SIGINT" else f"ended by {name}") in last
    assert (folder / "state_0000_000002.state").exists()
    assert main(*train(photos, folder), "--epochs", 2, "--resume") == 0
    assert rows(folder) == rows(finished[0])
    for one, other in zip(state(folder), state(finished[0]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_a_run_killed_before_it_started_is_started(tmp_path, photos, capsys):
    (tmp_path / ".writing-x").mkdir()
    (tmp_path / ".lock").touch()
    assert "nothing to resume" in refused(capsys, *train(photos, tmp_path), "--resume")
    assert main(*train(photos, tmp_path), "--epochs", 1) == 0
    assert not (tmp_path / ".writing-x").exists()


@pytest.mark.once
def test_damaged_options_are_refused(run, capsys):
    folder, command = run
    options = json.loads((folder / "options.json").read_text())
    damaged = ["", "{}", "[]", '{"variant": "tiny"', '{"variant": "tiny"}']
    damaged += [
        json.dumps(options | {name: value})
        for name, value in [
            ("seed", "x"), ("precision", "bogus"), ("epochs", 0), ("batch_size", [4]),
            ("image_size", 8.5), ("data", None), ("backend", "theano"),
        ]
    ]  # fmt: skip
    for text in damaged:
        (folder / "options.json").write_text(text)
        error = refused(capsys, *command, "--resume")
        assert f"cannot resume {folder}: its options.json is damaged" in error, text
    # A change that still makes sense is found by the state.
    (folder / "options.json").write_text(json.dumps(options | {"seed": 1}))
    assert main(*command, "--resume", "--epochs", 3) == 2
    assert "the seed of the data changed" in capsys.readouterr().err


@pytest.mark.once
def test_a_broken_log_is_written_again(run):
    folder, command = run
    before = rows(folder)
    (folder / "training.csv").write_text("epoch\n1")
    (folder / "metadata.json").write_text("{")
    assert main(*command, "--resume", "--epochs", 3) == 0
    assert rows(folder)[:2] == before and len(rows(folder)) == 3


@pytest.mark.once
@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
@pytest.mark.parametrize("size", [500, 10_000, 40_000])
def test_files_that_cannot_be_written(size, run, capsys):
    import resource

    folder, command = run
    before = state(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        assert main(*command, "--resume", "--epochs", 3) in (1, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "File too large" in last
    for one, other in zip(state(folder), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert from_preset(folder).generate(1).shape == (1, 8, 8, 3)
    assert main(*command, "--resume", "--epochs", 3) == 0
    assert len(rows(folder)) == 3


@pytest.mark.once
def test_ctrl_c_keeps_the_finished_epochs(tmp_path, photos, capsys, monkeypatch):
    original = Run.on_epoch_begin

    def interrupt(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        original(self, epoch, logs)

    command = train(photos, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Run, "on_epoch_begin", interrupt)
        assert main(*command) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("keras-gan: interrupted; 1 of 7 epochs are in") and "--resume" in last
    assert main(*command, "--resume", "--epochs", 2) == 0
    assert len(rows(tmp_path / "run")) == 2


@pytest.mark.once
def test_ctrl_c_elsewhere(run, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(GAN, "generate_batches", interrupt)
    assert refused(capsys, "generate", run[0], code=130) == "keras-gan: interrupted.\n"


# Runs that fail.


@pytest.mark.once
def test_losses_that_are_not_finite_end_the_run(run, capsys, monkeypatch):
    folder, command = run
    before = state(folder)
    update = GAN._update_generator
    monkeypatch.setattr(GAN, "_update_generator", lambda *a: [update(*a)[0] * float("nan")])
    capsys.readouterr()
    assert main(*command, "--resume", "--epochs", 9) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "no longer finite in epoch 3" in last and "contains the 2 epochs before it" in last
    assert len(rows(folder)) == 2
    for one, other in zip(state(folder), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_a_full_disk_ends_the_run(tmp_path, photos, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(presets, "save_to_preset", full)
    assert main(*train(photos, tmp_path / "run")) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in error and "--resume" in error


# Bad input.


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "tiny", "--out", "x"], "--data"),
        (
            ["train", "tiny", "--data", "mnist", "--out", "x", "--epochs", "0"],
            "at least 1; got '0'",
        ),
        (["train", "tiny", "--data", "mnist", "--out", "x", "--seed", "-1"], "--seed"),
        (["train", "tiny", "--data", "mnist", "--out", "x", "--batch-size", "1.5"], "'1.5'"),
        (["train", "tiny", "--data", "mnist", "--out", "x", "--image-size", "8x"], "'8x'"),
        (["train", "tiny", "--data", "mnist", "--out", "x", "--precision", "int8"], "'int8'"),
        (["train", "tiny", "--data", "mnist", "--out", "x", "--backend", "mxnet"], "'mxnet'"),
        (["train", "vanila", "--data", "mnist", "--out", "x"], "did you mean 'vanilla'"),
        (["train", "tiny", "--data", "fashion_mnist_10", "--out", "x"], "'fashion_mnist_10k'"),
        (["train", "tiny", "--data", "mnist", "--out", "x", "--resume"], "nothing to resume in x"),
        (["generate", "no_such_preset"], "no preset or folder 'no_such_preset'"),
        (["generate", "tests", "--num", "0"], "at least 1; got '0'"),
        (["generate", "tests", "--out", "images.jpg"], "must be a .png, a .npy or a folder"),
        (["evaluate", "no_such_preset", "--data", "mnist"], "no preset or folder"),
        (["info", "no_such_preset"], "no preset or folder"),
        (["train", "tiny", "--data", "mnist", "--out", "x" * 300], "File name too long"),
    ],
)
def test_bad_input_gets_one_line(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_out_must_be_a_new_folder_that_can_be_written(tmp_path, photos, run, capsys):
    folder, command = run
    assert "already contains a run; add --resume" in refused(capsys, *command)
    elsewhere = [*command[:4], "--image-size", 8, "--out"]
    assert "exists and is not a run folder" in refused(capsys, *elsewhere, photos)
    assert "exists and is not a run folder" in refused(capsys, *elsewhere, photos / "00.png")
    assert "Not a directory" in refused(capsys, *elsewhere, photos / "00.png" / "run")
    assert "00.png" in refused(capsys, "generate", folder, "--out", photos / "00.png" / "grid.png")
    (tmp_path / "empty").mkdir()
    assert main(*elsewhere, tmp_path / "empty", "--epochs", 1) == 0


@pytest.mark.once
def test_data_must_fit(tmp_path, photos, finished, capsys):
    photos = shutil.copytree(photos, tmp_path / "photos")
    folder, _ = finished
    out = ["--out", tmp_path / "new"]
    assert "of at least 8" in refused(
        capsys, "train", "tiny", "--data", photos, *out, "--image-size", 4
    )
    for path in list(photos.iterdir())[1:]:
        path.unlink()
    assert "has 1 images; tiny needs at least 2" in refused(
        capsys, "train", "tiny", "--data", photos, *out
    )
    assert "takes at least 20" in refused(
        capsys, "train", "vanilla", "--data", photos, *out, "--score"
    )
    next(photos.iterdir()).unlink()
    assert "has no image" in refused(capsys, "train", "tiny", "--data", photos, *out)
    assert "has no image" in refused(capsys, "evaluate", folder, "--data", photos)
    assert not (tmp_path / "new").exists()


@pytest.mark.once
def test_damaged_images_are_named_in_a_line(tmp_path, photos, capsys):
    photos = shutil.copytree(photos, tmp_path / "photos")
    (photos / "bad.png").write_text("no picture")
    assert main(*train(photos, tmp_path / "run"), "--epochs", 1) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(f"keras-gan: {photos / 'bad.png'} is skipped")


@pytest.mark.once
def test_a_preset_that_makes_no_images(tmp_path, capsys):
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    discriminator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    presets.save_to_preset(GAN(generator, discriminator), tmp_path / "points")
    assert "(3,), not images" in refused(capsys, "generate", tmp_path / "points")


# Backends.


@pytest.mark.once
def test_another_backend_than_the_running_one(capsys):
    other = next(name for name in keras_gan_cli.FRAMEWORKS if name != BACKEND)
    error = refused(capsys, "info", "x", "--backend", other)
    assert f"keras already runs on {BACKEND} in this process, not on {other}" in error


@pytest.mark.once
@pytest.mark.parametrize(
    ("installed", "variable", "wanted", "expected"),
    [
        (["torch"], None, None, "torch"),
        (["jax", "torch"], None, None, "torch"),
        (["jax", "torch"], "jax", None, "jax"),
        (["jax", "torch"], "jax", "torch", "torch"),
        (["torch"], "numpy", None, "numpy"),
        (["torch"], "jax", None, "jax is not installed; pip install 'keras-gan[jax]'"),
        (["torch"], None, "jax", "jax is not installed; pip install 'keras-gan[jax]'"),
        (["torch"], "mxnet", None, "KERAS_BACKEND is 'mxnet'"),
        ([], None, None, "no backend is installed; pip install 'keras-gan["),
    ],
)
def test_choice_of_backend(monkeypatch, installed, variable, wanted, expected):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in installed or None)
    monkeypatch.setenv("KERAS_BACKEND", variable or "")
    if " " not in expected:
        assert keras_gan_cli.choose_backend(wanted) == expected
        return
    with pytest.raises(keras_gan_cli.UsageError, match=re.escape(expected)):
        keras_gan_cli.choose_backend(wanted)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--help"], "Show information about a preset or run"),
        (["train", "--help"], "--steps-per-epoch"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "dcgan"], "--data"),
        (["train", "dcgan", "--data", "mnist", "--resume"], "nothing to resume"),
    ],
)
def test_help_and_usage_errors_import_no_keras(arguments, message, tmp_path):
    code = (
        "import sys\n"
        "from keras_gan_cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print([m for m in ('keras', 'keras_gan', 'numpy') if m in sys.modules])"
    )
    running = process(*arguments, program=("-c", code), PYTHONPATH=PATH, cwd=tmp_path)
    out, err = running.communicate()
    assert out.splitlines()[-1] == "[]", err
    assert message in out + err


@pytest.mark.once
def test_python_m_runs_the_command_too(tmp_path):
    other = next(name for name in keras_gan_cli.FRAMEWORKS if name != BACKEND)
    # The package is imported first, on the backend of the environment.
    arguments = ["list", "--backend", other]
    running = process(*arguments, program=("-m", "keras_gan"), KERAS_BACKEND=BACKEND)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0 and "fashion_mnist_10k" in out, err


@pytest.mark.once
def test_the_option_sets_the_backend(run, tmp_path):
    other = next(name for name in keras_gan_cli.FRAMEWORKS if name != BACKEND)
    arguments = ["generate", run[0], "--num", 1, "--out", tmp_path / "one.npy"]
    running = process(*arguments, "--backend", BACKEND, KERAS_BACKEND=other)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert out == f"1 images are in {tmp_path / 'one.npy'}\n"
    np.testing.assert_array_equal(
        np.load(tmp_path / "one.npy"), from_preset(run[0]).generate(1, seed=0)
    )


# Conditions.

CONDITIONAL = presets.Recipe(
    paper="Nobody et al.",
    generator=partial(networks.conv_generator, latent_dim=4, filters=2),
    discriminator=partial(networks.conv_discriminator, filters=2),
    loss="non_saturating",
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    batch_size=4,
    conditions=(Labels,),
)
TRANSLATING = dataclasses.replace(
    CONDITIONAL,
    generator=partial(networks.unet_generator, filters=2),
    discriminator=partial(networks.patch_discriminator, filters=2),
    conditions=(Downscaled, Masked, Images),
)


@pytest.fixture
def conditional(monkeypatch):
    monkeypatch.setitem(presets.recipes._RECIPES, "conditional", CONDITIONAL)
    monkeypatch.setitem(presets.recipes._RECIPES, "translating", TRANSLATING)


@pytest.fixture
def class_folders(photos, tmp_path):
    """Two classes of 12 pictures each."""
    for i, path in enumerate(sorted(photos.iterdir())):
        folder = tmp_path / "classes" / ("cats" if i % 2 else "big dogs")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    return tmp_path / "classes"


@pytest.mark.once
def test_folders_are_classes(class_folders, conditional, tmp_path, capsys):
    out = tmp_path / "run"
    training = ("train", "conditional", "--data", class_folders, "--image-size", 8, "--out", out)
    assert main(*training, "--epochs", 1, "--score") == 0
    gan = from_preset(out)
    assert gan.condition.names == ["big dogs", "cats"]
    assert (out / "samples.png").exists() and (out / "samples" / "epoch_0001.png").exists()
    assert main(*training, "--epochs", 2, "--score", "--resume") == 0
    assert main("generate", out, "--class", "cats", "--num", 3, "--out", tmp_path / "a.npy") == 0
    cats = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(cats, from_preset(out).generate(3, condition=1, seed=0))
    assert main("generate", out, "--class", "1", "--num", 3, "--out", tmp_path / "b.npy") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), cats)
    assert main("generate", out, "--per-class", 2, "--out", tmp_path / "many") == 0
    files = sorted(
        path.relative_to(tmp_path / "many").as_posix() for path in tmp_path.glob("many/*/*")
    )
    assert files == [f"{name}/0000{i}.png" for name in ("big dogs", "cats") for i in range(2)]
    assert main("generate", out, "--out", tmp_path / "grid.png") == 0
    capsys.readouterr()
    assert main("evaluate", out, "--data", class_folders, "--num-images", 6, "--seeds", 1) == 0
    assert "against 6 real images" in capsys.readouterr().out
    (class_folders / "cats").rename(class_folders / "cows")
    assert main("evaluate", out, "--data", class_folders) == 2
    assert "Unknown class 'cows'" in capsys.readouterr().err
    assert main("generate", out, "--class", "cast", "--out", tmp_path / "c.png") == 2
    assert "'cast'; did you mean 'cats'" in capsys.readouterr().err
    assert main("translate", out, class_folders, "--out", tmp_path / "t") == 2
    assert "use keras-gan generate" in capsys.readouterr().err


def test_translate(photos, conditional, tmp_path, capsys):
    out = tmp_path / "run"
    training = ("train", "translating", "--data", photos, "--image-size", 8, "--epochs", 1)
    assert main(*training, "--out", out) == 2
    assert "needs --condition" in capsys.readouterr().err
    assert main(*training, "--condition", "downscaled:2", "--out", out) == 0
    assert "keras-gan translate" in capsys.readouterr().out.replace("-m keras_gan_cli", "keras-gan")
    assert main("translate", out, photos, "--out", tmp_path / "large") == 0
    names = [path.name for path in sorted((tmp_path / "large").iterdir())]
    assert names == [path.name for path in sorted(photos.iterdir())]
    with Image.open(tmp_path / "large" / names[0]) as image:
        assert image.size == (8, 8)
    assert main("generate", out, "--out", tmp_path / "g.png") == 2
    assert "use keras-gan translate" in capsys.readouterr().err
    assert main(*training, "--condition", "labels", "--out", tmp_path / "other") == 2


@pytest.mark.once
def test_evaluate_scores_translations(photos, conditional, tmp_path, capsys):
    out = tmp_path / "run"
    training = ("train", "translating", "--data", photos, "--image-size", 8, "--epochs", 1)
    assert main(*training, "--condition", "downscaled:2", "--out", out, "--score") == 0
    assert {"val_psnr", "val_ssim", "val_condition_error"} <= set(rows(out)[0])
    capsys.readouterr()
    command = ("evaluate", out, "--data", photos, "--seeds", 1)
    assert main(*command, "--json") == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores["psnr"]["floor"] is None and scores["condition_error"]["floor"] < 1e-3
    assert scores["psnr"]["protocol"]["num_generated"] == 12
    assert main(*command) == 0
    printed = capsys.readouterr().out
    assert "(real images: ∞)" in printed and "12 generated images" in printed
    assert main(*command, "--targets", "left") == 2
    assert "leave it out" in capsys.readouterr().err


@pytest.fixture
def pair_folder(photos, tmp_path):
    """The photos, and their negatives, in two subfolders."""
    for path in photos.iterdir():
        image = Image.open(path).convert("RGB")
        for name, picture in (("before", image), ("after", ImageOps.invert(image))):
            folder = tmp_path / "pairs" / name
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{path.stem}.png")
    return tmp_path / "pairs"


@pytest.mark.once
def test_folders_are_pairs(pair_folder, conditional, tmp_path, capsys):
    out = tmp_path / "run"
    training = ("train", "translating", "--data", pair_folder, "--image-size", 8, "--out", out)
    assert main(*training, "--targets", "after", "--epochs", 1, "--score") == 0
    assert "--targets after" in capsys.readouterr().out
    assert main(*training, "--epochs", 2, "--resume") == 0
    assert {"val_psnr", "val_ssim"} <= set(rows(out)[1])
    gan = from_preset(out)
    assert repr(gan.condition) == "Images((8, 8, 3))"
    # What is shown are targets; what they are made from are inputs.
    given = np.rint(gan.examples.condition * 127.5 + 127.5)
    np.testing.assert_allclose(np.rint(gan.examples.samples * 127.5 + 127.5), 255 - given, atol=1)
    assert main("translate", out, pair_folder / "before", "--out", tmp_path / "made") == 0
    command = ("evaluate", out, "--data", pair_folder / "before", "--seeds", 1)
    capsys.readouterr()
    assert main(*command) == 2
    assert "give --targets" in capsys.readouterr().err
    assert main(*command, "--targets", pair_folder / "after", "--json") == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert set(scores) == {"sliced_wasserstein_distance", "psnr", "ssim"}
    for refused, words in (
        (("--condition", "masked", "--targets", "after"), "leave one of them out"),
        (("--targets", "between"), "'between' are neither a folder"),
    ):
        assert main(*training[:-1], tmp_path / "new", *refused) == 2
        assert words in capsys.readouterr().err
    named = ("train", "translating", "--data", "fashion_mnist_10k", "--targets", "left")
    assert main(*named, "--out", tmp_path / "new") == 2
    assert "has no pairs" in capsys.readouterr().err


@pytest.mark.once
def test_repairing_leaves_the_rest(photos, conditional, tmp_path):
    out, picture = tmp_path / "run", sorted(photos.iterdir())[3]
    training = ("train", "translating", "--data", photos, "--image-size", 8, "--epochs", 1)
    assert main(*training, "--condition", "masked", "--out", out) == 0
    mask = np.zeros((8, 8), "uint8")
    mask[2:5, 2:6] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    command = ("translate", out, picture, "--out", tmp_path / "repaired.png")
    assert main(*command) == 2  # Without a mask.
    assert main(*command, "--mask", tmp_path / "mask.png") == 0
    before = np.asarray(Image.open(picture).convert("RGB"))
    after = np.asarray(Image.open(tmp_path / "repaired.png"))
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
    assert np.any(after[mask > 0] != before[mask > 0])


@pytest.mark.once
def test_a_walk(tmp_path, capsys):
    path = tmp_path / "walk.gif"
    assert main("generate", "vanilla_fashion_mnist", "--walk", path, "--num", 2) == 0
    assert "A walk of 72 frames" in capsys.readouterr().out
    with Image.open(path) as walk:
        assert walk.n_frames == 72 and walk.size == (28, 58)
    assert main("generate", "vanilla_fashion_mnist", "--walk", tmp_path / "walk.jpg") == 2
    assert "must be a .webp, .gif or .png" in capsys.readouterr().err


@pytest.mark.once
def test_a_page_without_gradio(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main("demo", "vanilla_fashion_mnist") == 2
    assert capsys.readouterr().err.count("pip install 'keras-gan[demo]'") == 1
