"""Helpers that the tests share; each process runs on the one backend that KERAS_BACKEND names."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

if os.environ.get("KERAS_BACKEND") == "jax":
    # XLA compiles the tests' small networks in a quarter of the time, and they run no slower.
    fast = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    os.environ.setdefault("XLA_FLAGS", fast)

import keras
import numpy as np
import pytest
from keras import layers, ops
from PIL import Image

from keras_gan import GAN, augment, datasets, engine, metrics, networks, terms
from keras_gan.conditions import Images, Labels
from keras_gan.presets import get_recipe

BACKENDS = ("jax", "tensorflow", "torch")
BACKEND = keras.backend.backend()
LOSSES = ("minimax", "non_saturating", "least_squares", "wasserstein", "hinge")
ROOT = Path(__file__).parent.parent
if BACKEND == "torch":
    import torch

    # Networks of a few units are done before other threads have woken up.
    torch.set_num_threads(1)

# How a step runs: as plain Python, as the backend does by default, or traced for Inductor.
MODES = {"eager": {"run_eagerly": True, "jit_compile": False}, "default": {}}
if BACKEND == "torch":
    MODES["traced"] = {"jit_compile": True}


def in_modes(modes=MODES):
    """Runs a test in each of these ways; JAX compiles every single operation of an eager step."""
    full = {"eager"} if BACKEND == "jax" else ()
    params = [
        pytest.param(mode, id=name, marks=pytest.mark.full if name in full else ())
        for name, mode in modes.items()
    ]
    return pytest.mark.parametrize("mode", params)


def pytest_configure(config):
    config.addinivalue_line("markers", "once: needs no backend, or starts processes of its own")
    config.addinivalue_line("markers", "full: longer than the default tests allow")


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.utils.clear_session(free_memory=False)


@pytest.fixture
def fixed_noise(monkeypatch):
    monkeypatch.setattr(engine, "normal", fixed("standard_normal"))
    monkeypatch.setattr(engine, "uniform", fixed("random"))


@pytest.fixture
def uncompiled(monkeypatch):
    """On torch, runs the traced graph as it is: all but Inductor's minutes of C++."""
    if BACKEND == "torch":
        from torch._inductor import compile_fx

        monkeypatch.setattr(compile_fx, "compile_fx", lambda graph, arguments, **_: graph)


def fixed(distribution, calls=64, batch=64):
    """Noise that is the same on every backend: the n-th draw is row n of a NumPy table.

    The model's own seed generator holds n, so that the draws differ inside compiled steps too.
    """
    tables = {}

    def draw(shape, seed):
        size, rest = shape[0], tuple(shape[1:])
        if rest not in tables:
            random = np.random.default_rng(len(rest))
            tables[rest] = getattr(random, distribution)((calls, batch, *rest), dtype="float32")
        call = ops.cast(seed.state[1], "int32") % calls
        seed.state.assign(seed.state + ops.cast([0, 1], seed.state.dtype))
        return ops.take(ops.convert_to_tensor(tables[rest]), call, axis=0)[:size]

    return draw


def stateful(fn, variables):
    """Runs `fn` and keeps what it assigns to `variables`, on JAX as elsewhere."""
    with keras.StatelessScope() as scope:
        outputs = fn()
    for variable in variables:
        value = scope.get_current_value(variable)
        if value is not None:
            variable.assign(value)
    return outputs


def value_and_gradients(fn, variables):
    """`fn()`'s value and its gradients, as NumPy arrays."""
    (value, _), gradients = engine.value_and_grad(lambda: (fn(), []), variables)
    return numpy(value), [numpy(gradient) for gradient in gradients]


def numpy(value):
    return ops.convert_to_numpy(value)


def values(thing):
    """Copies of the values of variables (an optimizer's, a model's), in order."""
    return [np.array(numpy(v.value)) for v in getattr(thing, "variables", thing)]


def assert_equal(left, right, **tolerance):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(one, other, **({"rtol": 0, "atol": 0} | tolerance))


def changed(left, right):
    return [not np.array_equal(one, other) for one, other in zip(left, right, strict=True)]


def mlp_gan(sample=2, latent=3, units=4, **options):
    generator = keras.Sequential(
        [keras.Input((latent,)), layers.Dense(units, "tanh"), layers.Dense(sample)]
    )
    discriminator = keras.Sequential(
        [keras.Input((sample,)), layers.Dense(units, "tanh"), layers.Dense(1)]
    )
    return GAN(generator, discriminator, **options)


def points(n, sample=2, seed=0):
    return np.random.default_rng(seed).standard_normal((n, sample), dtype="float32")


def pictures(n, shape=(8, 8, 1), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype="uint8")


def fit(gan, x, batch_size=None, epochs=1, **options):
    """The history of a silent fit that keeps the samples' order."""
    batch_size = batch_size or len(x)
    options = {"shuffle": False, "verbose": 0} | options
    return gan.fit(x, batch_size=batch_size, epochs=epochs, **options).history


def needed(variant):
    """The arguments that a variant needs in `create_model`: a condition, if it is conditional."""
    kinds = get_recipe(variant).conditions
    if not kinds:
        return {}
    return {"condition": Labels(3) if Labels in kinds else Images((8, 9, 1))}


def conditions_of(gan, n):
    """What n samples are conditioned on, the `y` of `fit`; None for a GAN without a condition."""
    if gan.condition is None:
        return None
    return pictures(n, gan.condition.shape) if gan.condition.is_image else np.arange(n) % 3


def generated(gan, n, seed, **options):
    """Samples of any GAN."""
    wanted = {} if gan.condition is None else {"condition": conditions_of(gan, n)}
    return gan.generate(n, seed=seed, **wanted, **options)


def assert_readable(error, *words):
    """The message is one or two sentences on one line that contain the words."""
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith((".", ")"))
    assert len(re.findall(r"[.;?] (?=[A-Z])", message)) <= 2
    assert len(message) < 400
    for word in words:
        assert word in message


def python(backend, *arguments, **options):
    """Runs Python on another backend; returns its standard output."""
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        **options,
    )
    assert result.returncode == 0, f"{backend}:\n{result.stdout[-2000:]}{result.stderr[-4000:]}"
    return result.stdout


@pytest.fixture
def forty(tmp_path):
    """A folder of 40 grey images; image i is filled with the value 6 i."""
    for i in range(40):
        Image.new("L", (8, 8), 6 * i).save(tmp_path / f"{i:02}.png")
    return tmp_path


def folder_numbers(batch):
    """Which of the images of `forty` a batch contains."""
    return [int(image[0, 0, 0]) // 6 for image in batch]


# Presets.


def tiny_gan(**options):
    """An image GAN of a few weights, compiled, whose average differs from its generator."""
    shape = (8, 8, 1)
    gan = GAN(
        networks.mlp_generator(shape, 3, (4,)),
        networks.mlp_discriminator(shape, (4,)),
        ema_momentum=0.9,
        **options,
    )
    gan.compile(keras.optimizers.Adam(1e-3, 0.5), keras.optimizers.Adam(4e-3))
    random = np.random.default_rng(0)
    gan.set_weights([random.normal(0, 1, w.shape) for w in gan.get_weights()])
    return gan


def rich_gan():
    """A GAN with everything that has a state of its own."""
    keras.utils.set_random_seed(1)
    discriminator = [
        keras.Input((8, 8, 1)), layers.Flatten(), layers.GaussianNoise(0.1), layers.Dense(8),
        layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(1),
    ]  # fmt: skip
    gan = GAN(
        networks.mlp_generator((8, 8, 1), 3, (6,)), keras.Sequential(discriminator),
        terms=[terms.GradientPenalty(1.0)], augment=augment.AdaptiveAugment(),
        discriminator_steps=2, ema_momentum=0.9,
    )  # fmt: skip
    averaged = keras.optimizers.Adam(4e-3, use_ema=True, ema_momentum=0.9)
    distance = metrics.SlicedWassersteinDistance(8)
    gan.compile(keras.optimizers.Adam(1e-3, 0.5), averaged, metrics=[distance])
    return gan


class Batches(keras.utils.PyDataset):
    """A loader of given batches."""

    def __init__(self, batches, **options):
        super().__init__(**options)
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


@pytest.fixture
def small_sets(tmp_path, monkeypatch):
    """Named sets have 256 images, and files are written into a folder of the test."""
    load = datasets.load

    def small(name, labels=False):
        images, classes = load(name, labels=True)
        return (images[:256], classes[:256]) if labels else images[:256]

    monkeypatch.setattr(datasets, "load", small)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A model and its preset folder, which no test may change."""
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    gan = tiny_gan()
    gan.save_to_preset(folder)
    return gan, folder


@pytest.fixture
def preset(saved, tmp_path):
    """A copy of that folder, to be changed."""
    return Path(shutil.copytree(saved[1], tmp_path / "preset"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A place for downloads that is empty at first."""
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
