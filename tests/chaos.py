"""Kills trainings at random moments, resumes them, and compares each with one never killed.

    python tests/chaos.py --kills 100                 # over the backends that are installed
    python tests/chaos.py --kills 10 --backend torch

Half of the processes are killed (SIGKILL) at a random time, half before a random operation on a
file of the run: opening it to write, renaming or removing it. A state is saved after each step.
Some are killed again after they were resumed. Then the run is finished, and must have the same
state (all variables and random states), log and pictures as the whole run, bit for bit; and after
each kill its folder must be a preset that loads, or say in one sentence that it is none yet.

It prints a table, and returns 1 if any run differs. Needs `os.fork`: Linux or macOS.
"""

import argparse
import collections
import csv
import hashlib
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

BACKENDS = ("torch", "jax", "tensorflow")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EPOCHS = 2


# The trainings.


def from_python(folder, data):
    """Trains a GAN with everything that has a state of its own, for `Run`."""
    from conftest import pictures, rich_gan

    from keras_gan import callbacks, runs

    images = pictures(26)
    rich_gan().fit(
        images, batch_size=6, epochs=EPOCHS, validation_data=images[:8], verbose=0,
        callbacks=[runs.Run(folder, minutes=0), callbacks.LinearDecay(0.8)],
    )  # fmt: skip


def from_the_command_line(folder, data):
    """Trains `vanilla` on a folder of images with `keras-gan train`."""
    import keras_gan_cli
    from keras_gan import runs

    runs.MINUTES = 0
    command = ["train", "vanilla", "--data", str(data), "--out", str(folder), "--image-size", "8"]
    command += ["--batch-size", "6", "--epochs", str(EPOCHS)]
    command += ["--resume"] * (folder / "options.json").exists()
    if keras_gan_cli.main(command):
        raise RuntimeError("keras-gan train failed")


WAYS = {"fit": from_python, "train": from_the_command_line}


# Processes.


def child(task, log):
    """Runs a function in a process of its own; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        task()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid):
    """Waits for a process; returns its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def on_operations(folder, function):
    """Calls a function before each operation that changes a file in a folder."""
    folder = str(folder)

    def hook(event, arguments):
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITES):
            return
        if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir") and str(
            arguments[0]
        ).startswith(folder):
            function()

    sys.addaudithook(hook)


def counted(train, folder, data):
    """Trains, and leaves the number of operations on files in a file."""
    count = 0

    def function():
        nonlocal count
        count += 1

    on_operations(folder, function)
    train(folder, data)
    folder.with_suffix(".count").write_text(str(count))


def killed_at(number, train, folder, data):
    """Trains, and kills the process before an operation on a file."""
    lock = threading.Lock()
    left = number

    def function():
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    on_operations(folder, function)
    train(folder, data)


def loaded(folder):
    """Loads a run's folder as a preset; a folder that is none yet must say so in one sentence."""
    from keras_gan import from_preset

    try:
        from_preset(folder).generate(1)
    except ValueError as error:
        assert "is not a preset folder" in str(error) or "no preset or folder" in str(error), error


# Comparing.


def outcome(folder):
    """What a run ended with: the state's values, the log without its times, and the pictures."""
    from keras_gan import states

    arrays, facts = states.read(max(folder.glob("state_*")))
    found = {name: array.tobytes() for name, array in arrays.items()}
    with open(folder / "training.csv", newline="") as file:
        for row in csv.DictReader(file):
            found |= {f"{row['epoch']} {n}": v for n, v in row.items() if n != "seconds"}
    for path in folder.rglob("*.png"):
        if path.name != "curves.png":  # It shows the seconds.
            name = str(path.relative_to(folder))
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    found["place"] = facts["epoch"], facts["step"]
    found["leftovers"] = sorted(p.name for p in folder.rglob(".*") if p.name != ".lock")
    return found


def chaos(kills, seed, home):
    """Kills so many processes on this backend; returns the table's rows and the differences."""
    import keras

    # Loaded once, for all children.
    for module in (
        "keras_gan.cli",
        "keras_gan.images",
        "keras_gan.zoo",
        "matplotlib.pyplot",
        "h5py",
    ):
        importlib.import_module(module)
    if importlib.util.find_spec("tensorflow"):  # Keras imports it to set its seed.
        importlib.import_module("tensorflow")
    draw = random.Random(seed)
    data = home / "data"
    data.mkdir()
    pid = child(lambda: write_pictures(data), home / "log")
    assert ended(pid) == 0, (home / "log").read_text()
    rows, differences = [], []
    for way, train in WAYS.items():
        whole = home / f"{way}_whole"
        start = time.monotonic()
        pid = child(lambda train=train, whole=whole: counted(train, whole, data), home / "log")
        assert ended(pid) == 0, (home / "log").read_text()
        seconds = time.monotonic() - start
        operations = int(whole.with_suffix(".count").read_text())
        expected = outcome(whole)
        count = collections.Counter()
        quota = kills // 2 + (kills % 2 if way == "fit" else 0)
        while count["kills"] < quota:
            folder = home / f"{way}_{count['runs']}"
            count["runs"] += 1
            log = folder.with_suffix(".log")
            one_run(draw, train, folder, data, seconds, operations, count, quota, log)
            pid = child(lambda train=train, folder=folder: train(folder, data), log)
            if code := ended(pid):
                differences.append(f"{folder.name}: ended with {code}: {log.read_text()[-2000:]}")
                continue
            found = outcome(folder)
            different = [n for n in expected | found if expected.get(n) != found.get(n)]
            count["equal"] += not different
            if different:
                differences.append(f"{folder.name}: {', '.join(different[:5])}, …")
        rows.append([keras.backend.backend(), way, *(count[name] for name in COLUMNS)])
    return rows, differences


COLUMNS = ("kills", "at a time", "at a file", "finished before", "presets loaded", "runs", "equal")


def one_run(draw, train, folder, data, seconds, operations, count, quota, log):
    """Kills one run, perhaps again after it was resumed."""
    for _ in range(draw.choice([1, 1, 2])):
        if count["kills"] >= quota:
            return
        if draw.random() < 0.5:
            number = draw.randint(1, operations)
            pid = child(lambda number=number: killed_at(number, train, folder, data), log)
            kind = "at a file"
        else:
            pid = child(lambda: train(folder, data), log)
            time.sleep(draw.uniform(0.2, 1.0) * seconds)
            os.kill(pid, signal.SIGKILL)
            kind = "at a time"
        if ended(pid) != -signal.SIGKILL:
            count["finished before"] += 1
            continue
        count["kills"] += 1
        count[kind] += 1
        if draw.random() < 0.3:
            assert ended(child(lambda: loaded(folder), log)) == 0, log.read_text()[-2000:]
            count["presets loaded"] += 1


def write_pictures(folder):
    import numpy as np

    from keras_gan.images import image_grid, save_image

    pictures = np.random.default_rng(0).integers(0, 256, (26, 8, 8, 1), dtype="uint8")
    for i, picture in enumerate(pictures):
        save_image(folder / f"{i:02d}.png", image_grid(picture[None]))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=9, help="in all; default: 9")
    parser.add_argument("--backend", choices=BACKENDS, help="default: all that are installed")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if args.backend is None:
        backends = [name for name in BACKENDS if importlib.util.find_spec(name)]
        code = 0
        for i, name in enumerate(backends):
            kills = (args.kills + i) // len(backends)
            command = [sys.executable, __file__, "--kills", kills, "--backend", name]
            command += ["--seed", args.seed]
            code |= subprocess.run([str(part) for part in command]).returncode
        return code
    os.environ |= {"KERAS_BACKEND": args.backend, "MPLBACKEND": "agg"}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as home:
        rows, differences = chaos(args.kills, args.seed, Path(home))
    print(f"{'backend':<12}{'way':<7}" + "".join(f"{name:>17}" for name in COLUMNS))
    for backend, way, *numbers in rows:
        print(f"{backend:<12}{way:<7}" + "".join(f"{number:>17}" for number in numbers))
    for difference in differences:
        print(difference)
    return int(bool(differences))


if __name__ == "__main__":
    sys.exit(main())
