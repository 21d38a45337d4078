"""Whatever comes in: it works, or ends in one sentence. Hypothesis draws what comes in.

Each property has a short form and a long one. The long form is `full`; it draws other examples each
time, and prints how to repeat one that fails.
"""

import contextlib
import functools
import io
import math
import os
import re
import shutil
import signal
import tempfile
import warnings
from pathlib import Path

import hypothesis
import keras
import numpy as np
import pytest
from conftest import Batches, assert_equal, pictures, values
from hypothesis import strategies as st
from keras import layers
from preset_files import CONFIG, METADATA, WEIGHTS, assert_same, assert_same_networks, rehash
from test_cli import TINY, same_policy, tiny  # noqa: F401  The variant `tiny`.
from test_preset_safety import byte_mutations, json_mutations

import keras_gan
import keras_gan_cli
from keras_gan import GAN
from keras_gan.conditions import Labels
from keras_gan.images import image_grid, save_image

pytestmark = pytest.mark.once

QUIET = {"deadline": None, "database": None, "suppress_health_check": list(hypothesis.HealthCheck)}


def short(count):
    return hypothesis.settings(max_examples=count, derandomize=True, **QUIET)


def long(count):
    return hypothesis.settings(max_examples=count, print_blob=True, **QUIET)


@contextlib.contextmanager
def limited(seconds=60):
    """Ends what takes too long: of the processor's time, which other processes do not change."""

    def late(*_):
        raise TimeoutError(f"no end after {seconds} seconds of work, or {10 * seconds} of waiting")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, 1), signal.SIGALRM: (signal.ITIMER_REAL, 10)}
    before = {number: signal.signal(number, late) for number in timers}
    try:
        for timer, factor in timers.values():
            signal.setitimer(timer, factor * seconds)
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def assert_sentence(message):
    """One or two sentences on one line."""
    assert message, "there is no message"
    assert "\n" not in message and "Traceback" not in message, message
    assert len(re.findall(r"[.;?] (?=[A-Z])", message)) <= 3, message
    assert len(message) < 700, message


# Training.

SHAPES = [(2,), (3, 2), (8, 8, 1), (8, 8, 3), (2, 2, 2, 1)]
DTYPES = [
    *["uint8", "float32"] * 6,
    "int8",
    "uint16",
    "int64",
    "float16",
    "float32",
    "float64",
    "bool",
]
DTYPES += ["complex64", "object", "U3", "datetime64[s]"]
RANGES = [*[(-1, 1)] * 4, (0, 1), (0, 255), (-3, 3), (-1e30, 1e30), (0, 0)]
WHOLE = st.sampled_from([*[None, 2, 3, 7] * 4, 1, 0, -1, 2.5, "x", True, 10**12])
LOADERS = ["array", "list", "tuple", "dict", "generator", "batches", "dataset", "torch", "scalar"]


@functools.cache
def network(shape, steps, labels):
    condition = Labels(3) if labels else None
    latents = keras.Input((3,))
    inputs, x = latents, latents
    if labels:
        inputs = [latents, keras.Input((3,))]
        x = layers.Concatenate()(inputs)
    x = layers.Dense(math.prod(shape), "tanh" if len(shape) == 3 else None)(x)
    generator = keras.Model(inputs, layers.Reshape(shape)(x))
    sample = given = keras.Input(shape)
    x = layers.Flatten()(sample)
    if labels:
        given = [sample, keras.Input((3,))]
        x = layers.Concatenate()([x, given[1]])
    gan = GAN(
        generator, keras.Model(given, layers.Dense(1)(x)), condition=condition,
        discriminator_steps=steps, seed=0,
    )  # fmt: skip
    gan.compile(jit_compile=False)
    return gan


def loaded(array, how):
    """The same samples as another kind of data."""
    batches = [array[start : start + 3] for start in range(0, len(array), 3)] if array.ndim else []
    if how == "torch":
        import torch

        return torch.utils.data.DataLoader(list(array), batch_size=3)
    return {
        "array": lambda: array,
        "list": array.tolist,
        "tuple": lambda: (array, array),
        "dict": lambda: {"x": array},
        "generator": lambda: (batch for batch in batches),
        "batches": lambda: batches,
        "dataset": lambda: Batches(batches),
        "scalar": lambda: 3,
    }[how]()


@st.composite
def samples(draw, shape):
    size = draw(st.integers(0, 9)) or draw(st.integers(0, 9))
    wrong = [(), shape[1:], (*shape, 1), (*shape[:-1], shape[-1] + 1), shape[::-1]]
    shape = draw(st.sampled_from([shape] * 12 + wrong))
    low, high = draw(st.sampled_from(RANGES))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    array = random.uniform(low, high, (size, *shape))
    if array.size and draw(st.integers(0, 7)) == 0:
        array.flat[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    with warnings.catch_warnings(action="ignore"):  # About values that the type cannot hold.
        dtype = draw(st.sampled_from(DTYPES))
        return array.astype("int64").astype(dtype) if "date" in dtype else array.astype(dtype)


@st.composite
def trainings(draw):
    """A model, data and options of `fit`."""
    shape, labels = draw(st.sampled_from(SHAPES)), draw(st.sampled_from([False, False, True]))
    model = shape, draw(st.sampled_from([1, 1, 2])), labels
    array = draw(samples(shape))
    options = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "batch_size": WHOLE,
                "steps_per_epoch": st.sampled_from([*[None, 1, 2] * 3, 0, -1, "x"]),
                "validation_data": samples(shape),
                "shuffle": st.booleans(),
                "epochs": st.sampled_from([*[1, 2] * 4, 0, -1, "x", 1.5]),
                "y": st.sampled_from(
                    [None] * 9 + [np.arange(9) % 3, ["a"] * 9, np.eye(3), array, 5]
                ),
            },
        )
    )
    if labels and draw(st.integers(0, 4)):
        options["y"] = np.arange(len(array)) % 3
    return model, array, draw(st.sampled_from(LOADERS + ["array"] * 6)), options


def trains_or_one_sentence(training):
    model, array, how, options = training
    gan = network(*model)
    with warnings.catch_warnings(action="ignore"), limited():
        before = values(gan.trainable_variables)
        try:
            history = gan.fit(loaded(array, how), verbose=0, **options).history
        except (ValueError, TypeError) as error:
            assert_sentence(str(error))
            assert_equal(values(gan.trainable_variables), before)  # Nothing was trained on.
            return
    assert {"d_loss", "g_loss"} <= history.keys() or options.get("epochs") in (0, -1)
    keras.utils.clear_session(free_memory=False)


@short(60)
@hypothesis.given(trainings())
def test_data_trains_or_ends_in_one_sentence(training):
    trains_or_one_sentence(training)


@pytest.mark.full
@pytest.mark.timeout(7200)
@long(1000)
@hypothesis.given(trainings())
def test_much_data_trains_or_ends_in_one_sentence(training):
    trains_or_one_sentence(training)


# The command line.


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images, class folders, a run and a few files; to be copied."""
    folder = tmp_path_factory.mktemp("place")
    for i, picture in enumerate(pictures(24)):
        save_image(folder / "photos" / f"{i:02d}.png", image_grid(picture[None]))
        save_image(folder / "classes" / "ab"[i % 2] / f"{i:02d}.png", image_grid(picture[None]))
    (folder / "empty").mkdir()
    (folder / "file.txt").write_text("text")
    arguments = ["train", "tiny", "--data", "photos", "--out", "run", "--image-size", "8"]
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        assert keras_gan_cli.main([*arguments, "--epochs", "1"]) == 0
    return folder


PATHS = ["photos", "classes", "run", "empty", "file.txt", "missing", "photos/00.png", "new/folder"]
ODD = ["", " ", "\0", "x" * 300, "x" * 5000, "..", "~nobody", "/dev/null", "é\n😀", "-", "--", "%s"]
COUNTS = [
    *["1", "2", "3", "24"] * 6,
    "0",
    "-1",
    "1.5",
    "nan",
    "x",
    "",
    "²",
    "٣",
    "9" * 5000,
    "0x10",
]
PRESETS = ["run"] * 40 + ["tiny", "vanilla_fashion_mnist", "hf://x", "http://x", "https://[", "zip"]
# Counts that would be right, and take for ever, are left out.
OPTIONS = {
    "--backend": [*["torch"] * 6, "jax", "numpy", "x", ""],
    "--batch-size": [*COUNTS, "4294967295"],
    "--class": ["a", "0"],
    "--condition": ["labels", "masked", "downscaled:4", "downscaled:0", "x", "grayscale"],
    "--data": [
        *["photos"] * 40,
        *["classes"] * 9,
        *PATHS,
        *ODD,
        "fashion_mnist",
        "fashion_mnist_10k",
    ],
    "--epochs": COUNTS,
    "--extractor": ["inception.pth", "x.keras", "file.txt", *ODD],
    "--image-size": [
        *["8"] * 20,
        "8x9",
        "x",
        "0",
        "1000000",
        "8x",
        "4000",
        "8x8x8",
        "9" * 99,
        "-8",
    ],
    "--mask": PATHS,
    "--num": COUNTS,
    "--num-images": COUNTS,
    "--out": [*PATHS, *ODD, "x.png", "x.npy", "x.jpg", "photos/00.png/x"],
    "--per-class": COUNTS,
    "--precision": ["float32", "mixed_bfloat16", "x"],
    "--seed": [*COUNTS, "2147483648", "4294967295", "4294967296"],
    "--seeds": COUNTS,
    "--steps-per-epoch": COUNTS,
}
OF_COMMAND = {
    "list": "",
    "train": "batch-size condition epochs image-size out precision seed steps-per-epoch backend",
    "generate": "num seed out class per-class backend",
    "translate": "mask backend",
    "evaluate": "num-images seeds extractor backend",
    "download": "",
    "info": "backend",
}
GIVEN = {
    "train": lambda draw: [
        draw(st.sampled_from(["tiny"] * 20 + ["vanila", "cgan", "pix2pix", "", "\0"])),
        *("--data", draw(st.sampled_from(OPTIONS["--data"]))),
        *("--epochs", draw(st.sampled_from(["1", "1", "1", "2", "0"]))),
        *draw(st.sampled_from([[], ["--score"], ["--resume"], ["--resume", "--out", "run"]])),
        *["--image-size", "8"],
    ],
    "translate": lambda draw: [draw(st.sampled_from(PATHS)), "--out", "new"],
    "evaluate": lambda draw: (
        ["--data", draw(st.sampled_from(OPTIONS["--data"]))] + ["--num-images", "8", "--seeds", "1"]
    ),
    "generate": lambda draw: ["--num", draw(st.sampled_from(["3", "64", "x"]))],
}


@st.composite
def commands(draw):
    name = draw(st.sampled_from([*OF_COMMAND, "train", "generate", "evaluate"]))
    words = [name]
    if name not in ("list", "train"):
        words.append(draw(st.sampled_from([*PRESETS, *PATHS, *ODD])))
    words += GIVEN[name](draw) if name in GIVEN else []
    own = [f"--{option}" for option in OF_COMMAND[name].split()]
    for flag in draw(st.lists(st.sampled_from(own or ["--backend"]), max_size=3)):
        words += [flag, draw(st.sampled_from(OPTIONS[flag]))]
    if draw(st.integers(0, 9)) == 0:  # Something that does not belong there.
        odd = st.sampled_from([*OPTIONS, *ODD, *PATHS, "--help", "--json", "trian"])
        words.insert(draw(st.integers(0, len(words))), draw(odd))
    return words


def works_or_one_line(place, words):
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(place, Path(parent) / "place"))
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(folder), contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err), limited(), pytest.MonkeyPatch.context() as patch,
        ):  # fmt: skip
            patch.setenv("KERAS_GAN_HOME", str(folder / "home"))
            try:
                code = keras_gan_cli.main(words)
            except SystemExit as end:  # As --help ends.
                code = end.code
        keras.config.set_dtype_policy("float32")
        lines = err.getvalue().splitlines()
        assert code in (0, 1, 2), words
        assert all(line.startswith("keras-gan: ") for line in lines), (words, lines)
        assert len([line for line in lines if "is skipped" not in line]) <= 1 + (code == 0), lines
        if code:
            assert_sentence(lines[-1])
        for path in [folder / "photos", folder / "classes"]:  # What was there is as it was.
            assert (path / "00.png").exists() or (path / "a" / "00.png").exists()
    keras.utils.clear_session(free_memory=False)


@short(40)
@hypothesis.given(commands())
def test_commands_work_or_end_in_one_line(place, words):
    works_or_one_line(place, words)


@pytest.mark.full
@pytest.mark.timeout(7200)
@long(600)
@hypothesis.given(commands())
def test_many_commands_work_or_end_in_one_line(place, words):
    works_or_one_line(place, words)


# Presets.


def replace_file(path, where, how, value):
    """Puts something else in the place of a file."""
    content = path.read_bytes() if path.is_file() else b""
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    made = {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "link": lambda: path.symlink_to(path.name),
        "nothing": lambda: None,
        "grown": lambda: path.write_bytes(content + bytes(value)),
        "text": lambda: path.write_text("[" * value),
    }
    made[how]()


file_mutations = st.tuples(
    st.just(replace_file),
    st.sampled_from([CONFIG, WEIGHTS, METADATA]),
    st.just(0.0),
    st.sampled_from(["folder", "pipe", "device", "link", "nothing", "grown", "text"]),
    st.sampled_from([1, 1000, 100_000]),
)
MUTATIONS = {
    "mutations": st.lists(json_mutations | byte_mutations | file_mutations, min_size=1, max_size=3),
    "consistent": st.booleans(),
}


def is_right_or_refused(saved, mutations, consistent):
    """Checks that a damaged preset is refused, or has the weights that were saved.

    Args:
        saved: A model and its folder.
        mutations: What is changed.
        consistent: Whether the metadata is made to match, as a hostile author would.
    """
    gan, original = saved
    with tempfile.TemporaryDirectory() as parent, warnings.catch_warnings(action="ignore"):
        folder = Path(shutil.copytree(original, Path(parent) / "preset"))
        for mutate, name, *how in mutations:
            # Other weights with a matching hash are a valid preset of another model.
            if not (consistent and name == WEIGHTS) and (
                mutate is replace_file or (folder / name).is_file()
            ):
                mutate(folder / name, *how)
        if consistent:
            replace_file(folder / METADATA, 0, "nothing", 0)
            with contextlib.suppress(OSError, ValueError):  # A file that cannot be hashed.
                shutil.copy(original / METADATA, folder / METADATA)
                rehash(folder)
        with limited():
            try:
                loaded = keras_gan.from_preset(folder)
            except ValueError as error:
                assert str(folder) in str(error)
                assert_sentence(str(error))
                return
            if not consistent:
                assert_same(loaded, gan)
            assert_same_networks(loaded, gan)
            try:
                assert len(loaded.generate(2, seed=0)) == 2
            except (ValueError, TypeError) as error:
                assert_sentence(str(error))
    keras.utils.clear_session(free_memory=False)


@short(40)
@hypothesis.given(**MUTATIONS)
def test_presets_are_right_or_refused(saved, mutations, consistent):
    is_right_or_refused(saved, mutations, consistent)


@pytest.mark.full
@pytest.mark.timeout(7200)
@long(1000)
@hypothesis.given(**MUTATIONS)
def test_many_presets_are_right_or_refused(saved, mutations, consistent):
    is_right_or_refused(saved, mutations, consistent)
