"""The compiled step is the eager step: same numbers, fresh noise, no growth, nothing stale."""

import contextlib
import itertools
import resource
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import fixed, python
from keras import ops

import keras_gan
from keras_gan import engine
from keras_gan.datasets.batches import SeededBatches
from keras_gan.engine.keras_internals import torch_device

BACKEND = keras.backend.backend()
ON_GPU = BACKEND == "torch" and torch_device() != "cpu"
torch_only = pytest.mark.skipif(BACKEND != "torch", reason="how torch alone compiles")


def tiny(seed=0, **options):
    keras.utils.set_random_seed(seed)
    generator = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(2)]
    )
    discriminator = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
    )
    return keras_gan.GAN(generator, discriminator, **options)


def points(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2)).astype("float32")


def sgd(rate=0.01):
    return {
        "generator_optimizer": keras.optimizers.SGD(rate),
        "discriminator_optimizer": keras.optimizers.SGD(rate),
    }


def without_chance(gan, monkeypatch):
    """Noise that depends on the number of the draw alone, the same compiled and eager."""
    monkeypatch.setattr(engine, "normal", fixed("standard_normal", batch=512))
    monkeypatch.setattr(engine, "uniform", fixed("random", batch=512))
    without_dropout(gan)


def without_dropout(gan):
    for layer in gan.discriminator.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def per_step(gan, batches):
    """Losses of each step, from the running means that `fit` shows."""
    logs = []
    for batch in batches:
        gan.fit(batch, batch_size=len(batch), verbose=0, shuffle=False)
        logs.append([gan.history.history[k][0] for k in ("d_loss", "g_loss")])
    return np.array(logs)


# Maps of r3gan have odd sides here, whose pooling repeats the edge.
@pytest.mark.parametrize(
    "name", ["dcgan", "wgan_gp", pytest.param("r3gan", marks=pytest.mark.full)]
)
def test_compiled_equals_eager(name, monkeypatch):
    traced = traces(monkeypatch) if BACKEND == "torch" else []
    batches = np.random.default_rng(0).integers(0, 256, (10, 8, 20, 16, 1), dtype="uint8")
    losses = []
    for compiled in (False, True):
        keras.utils.set_random_seed(0)
        options = {"discriminator_steps": 2} if name == "wgan_gp" else {}
        gan = keras_gan.create_model(name, (20, 16, 1), **options)
        if BACKEND == "tensorflow" or ON_GPU:  # Their compilers draw other numbers from a seed.
            without_chance(gan, monkeypatch)
        without_dropout(gan)
        # SGD, because Adam divides rounding errors by their own size in its first steps; at a low
        # rate, because one activation that rounds to the other side of a ReLU must not matter.
        gan.compile(**sgd(0.001), jit_compile=compiled, run_eagerly=not compiled)
        keras.utils.set_random_seed(1)  # The noise is real, and the same in both.
        losses.append(per_step(gan, batches))
    np.testing.assert_allclose(losses[0], losses[1], rtol=3e-4, atol=1e-4)
    assert np.ptp(losses[0][:, 0]) > 1e-3  # They moved at all.
    # Nothing ran eagerly in secret: the step was one graph, or one for each network's update.
    assert len(traced) == (gan.discriminator_steps if BACKEND == "torch" else 0)


@pytest.mark.parametrize("compiled", [False, True])
def test_noise_is_fresh_at_each_step(compiled, uncompiled):
    gan = tiny(terms=["gradient_penalty"], loss="wasserstein")
    rate = {"learning_rate": 0.0}
    gan.compile(keras.optimizers.SGD(**rate), keras.optimizers.SGD(**rate), jit_compile=compiled)
    # Nothing learns and the data is the same, so only noise can change what is measured.
    history = gan.fit(points(16), batch_size=16, epochs=5, verbose=0, shuffle=False).history
    for measured in ("g_loss", "d_fake", "gradient_penalty"):
        assert len(set(history[measured])) == 5, history[measured]
    assert len(set(history["d_real"])) == 1


def test_seeded_layers_draw_anew_at_each_step(uncompiled):
    gan = tiny()
    noisy = keras.Sequential(
        [keras.Input((2,)), keras.layers.GaussianNoise(1.0, seed=3), keras.layers.Dense(1)]
    )
    gan = keras_gan.GAN(gan.generator, noisy)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0), jit_compile=True)
    history = gan.fit(points(16), batch_size=16, epochs=4, verbose=0).history
    assert len(set(history["d_real"])) == 4


def fitted(gan, monkeypatch, jit_compile, change=lambda gan: None, **optimizers):
    gan.compile(**(sgd() | optimizers), jit_compile=jit_compile)
    with monkeypatch.context() as patch:
        without_chance(gan, patch)
        gan.fit(points(40), batch_size=16, epochs=2, verbose=0, shuffle=False)
        change(gan)
        gan.fit(points(30), batch_size=10, epochs=2, verbose=0, shuffle=False)
    return gan.get_weights()


def _freeze(gan):
    gan.generator.layers[0].trainable = False


def _slow(gan):
    gan.optimizer.learning_rate = 0.01


@pytest.mark.parametrize("change", [_freeze, _slow], ids=["freeze", "rate"])
@pytest.mark.parametrize(
    "optimizer",
    [
        {"class_name": "AdamW", "config": {"weight_decay": 0.1, "clipnorm": 0.5}},
        {"class_name": "SGD", "config": {"momentum": 0.9, "global_clipnorm": 0.5}},
        pytest.param(
            {"class_name": "RMSprop", "config": {"clipvalue": 0.01}}, marks=pytest.mark.full
        ),
    ],
    ids=lambda o: o["class_name"],
)
def test_changes_between_fits(change, optimizer, monkeypatch, uncompiled):
    # A smaller last batch, another batch size, a second fit; and layers frozen or a rate changed.
    ends = []
    for compiled in (False, True):
        both = {
            f"{side}_optimizer": keras.optimizers.get(dict(optimizer))
            for side in ("generator", "discriminator")
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ends.append(fitted(tiny(ema_momentum=0.9), monkeypatch, compiled, change, **both))
    for eager, compiled in zip(*ends, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-3, atol=1e-4)


def test_a_network_frozen_between_batches(uncompiled):
    gan = tiny()
    gan.compile(**sgd(), jit_compile=True)
    gan.train_on_batch(points(16))
    gan.discriminator.trainable = False
    before = gan.get_weights()
    gan.train_on_batch(points(16))
    sides = len(gan.generator.weights)
    changed = [np.any(a != b) for a, b in zip(before, gan.get_weights(), strict=True)]
    assert all(changed[:sides]) and not any(changed[sides : 2 * sides])


def test_two_models_and_a_reloaded_one(tmp_path, uncompiled):
    first, second = tiny(0), tiny(1)
    for gan in (first, second):
        gan.compile(**sgd(), jit_compile=True)
    before = second.get_weights()
    first.fit(points(32), batch_size=16, verbose=0)
    for old, new in zip(before, second.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    first.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    old = again.get_weights()
    kept = first.get_weights()
    again.fit(points(32), batch_size=16, verbose=0)
    assert any(np.any(o != n) for o, n in zip(old, again.get_weights(), strict=True))
    for a, b in zip(kept, first.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_per_execution_are_the_same_steps(monkeypatch):
    ends = []
    for steps in (1, 4):
        gan = tiny(ema_momentum=0.9)
        gan.compile(**sgd(), steps_per_execution=steps)
        with monkeypatch.context() as patch:
            without_chance(gan, patch)
            # 11 batches of 16 and one of 4: whole executions, single steps and a smaller batch.
            gan.fit(points(180), batch_size=16, epochs=2, verbose=0, shuffle=False)
        assert int(gan.optimizer.iterations) == 24
        ends.append(gan.get_weights())
    for one, several in zip(*ends, strict=True):
        np.testing.assert_allclose(one, several, rtol=1e-4, atol=1e-5)


def test_thousands_of_steps_take_no_more_memory():
    gan = tiny()
    gan.compile(**sgd(), jit_compile=True)
    data = points(8 * 250)
    gan.fit(data, batch_size=8, epochs=2, verbose=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gan.fit(data, batch_size=8, epochs=8, verbose=0)
    # The peak in KiB; 2,000 steps that kept their graph or logs would add far more.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.mark.skipif(BACKEND == "tensorflow", reason="tf.data feeds TensorFlow; see below")
def test_data_kept_on_the_device(monkeypatch):
    # A sum over an epoch is the same in any order, and wrong if any sample were left out.
    data = points(50)
    gan = tiny()
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    for layer in gan.discriminator.layers:
        layer.set_weights([np.abs(w) * 0 + 0.5 for w in layer.get_weights()])
    first = gan.fit(data, batch_size=10, epochs=2, verbose=0, keep_on_device=True)
    plain = gan.fit(data, batch_size=10, epochs=1, verbose=0, keep_on_device=False)
    np.testing.assert_allclose(first.history["d_real"], plain.history["d_real"] * 2, rtol=1e-5)
    orders = []
    resident = SeededBatches(np.arange(20.0), 7, keep_on_device=True)
    for resident.epoch in range(2):
        orders.append([ops.convert_to_numpy(resident[i][0]) for i in range(len(resident))])
    assert [len(batch) for batch in orders[0]] == [7, 7, 6]
    first, second = map(np.concatenate, orders)
    assert sorted(first) == list(range(20)) and list(first) != list(second)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the refusal of TensorFlow alone")
def test_tensorflow_refuses_to_keep_data_on_the_device():
    gan = tiny()
    gan.compile()
    with pytest.raises(ValueError, match="JAX and torch"):
        gan.fit(points(20), keep_on_device=True, verbose=0)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="the refusal is tested below")
def test_compiled_steps_are_kept(tmp_path):
    code = """
import sys, numpy, keras, keras_gan
keras_gan.enable_compilation_cache(sys.argv[1])
network = lambda inputs: keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(1)])
gan = keras_gan.GAN(network(2), network(1))
gan.compile("sgd", "sgd", jit_compile=True)
gan.fit(numpy.zeros((16, 1), "float32"), batch_size=16, verbose=0)
"""

    def stored():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    python(BACKEND, "-c", code, tmp_path)
    first = stored()
    assert first
    python(BACKEND, "-c", code, tmp_path)
    # JAX notes when it last read an entry; nothing is compiled again.
    again = {path: time for path, time in stored().items() if not path.name.endswith("-atime")}
    assert again.items() <= first.items()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the refusal of TensorFlow alone")
def test_tensorflow_has_no_cache_to_keep(tmp_path):
    with pytest.raises(RuntimeError, match="JAX and torch"):
        keras_gan.enable_compilation_cache(tmp_path)


@torch_only
def test_variables_are_updated_in_place(uncompiled):
    gan = tiny()
    gan.compile(jit_compile=True)
    addresses = [v.value.data_ptr() for v in gan.variables]
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(gan.generator.get_weights()[0].copy())
    )
    gan.fit(points(48), batch_size=16, verbose=0, callbacks=[watch])
    assert [v.value.data_ptr() for v in gan.variables] == addresses
    assert np.any(seen[0] != seen[1]) and np.any(seen[1] != seen[2])


@torch_only
def test_variables_whose_memory_moved(uncompiled):
    gan = tiny()
    gan.compile(**sgd(), jit_compile=True)
    gan.train_on_batch(points(16))
    for variable in gan.trainable_variables:  # As moving a torch module to a device does.
        variable.value.data = variable.value.data.clone()
    before = [weight.copy() for weight in gan.get_weights()[:4]]
    gan.train_on_batch(points(16))
    for old, new in zip(before, gan.get_weights()[:4], strict=True):
        assert np.any(old != new)


class ReplayedCuda:
    """Captured graphs on a CPU: work that is begun while capturing runs at replays alone."""

    def __init__(self, monkeypatch):
        import torch

        self.capturing = None
        stream = SimpleNamespace(wait_stream=lambda other: None)
        names = {"CUDAGraph": ReplayedGraph, "graph": self.graph, "Stream": lambda: stream}
        names |= {"current_stream": lambda: stream, "stream": contextlib.nullcontext}
        for name, value in names.items():
            monkeypatch.setattr(torch.cuda, name, value)

    @contextlib.contextmanager
    def graph(self, graph, capture_error_mode):
        self.capturing = graph
        try:
            yield
        finally:
            self.capturing = None

    def run(self, work):
        work() if self.capturing is None else self.capturing.work.append(work)


class ReplayedGraph:
    def __init__(self):
        self.work = []

    def replay(self):
        for work in self.work:
            work()


@torch_only
def test_a_cuda_graph_repeats_the_step(monkeypatch):
    import torch

    from keras_gan.engine.torch_compile import CudaGraph

    cuda = ReplayedCuda(monkeypatch)
    weight, loss = torch.tensor(1.0), torch.tensor(0.0)

    def step(weight, samples, condition):
        cuda.run(lambda: (weight.add_((samples * condition).sum()), loss.copy_(2 * weight)))
        torch.rand(1)
        return [loss]

    noise = torch.get_rng_state()
    graph = CudaGraph(step, [weight], [torch.tensor([1.0, 2.0]), torch.tensor([1, 1])])
    assert float(weight) == 1.0  # Warming up leaves no trace.
    torch.set_rng_state(noise)
    torch.rand(1)  # Of the capture, which on a GPU draws none.
    first = graph(torch.tensor([1.0, 2.0]), torch.tensor([1, 1]))
    second = graph(torch.tensor([5.0, 5.0]), torch.tensor([2, 0]))
    assert float(weight) == 14.0
    assert (float(first[0]), float(second[0])) == (8.0, 28.0)  # The first is not overwritten.


@torch_only
def test_a_step_that_cannot_be_captured_changes_nothing(monkeypatch):
    import torch

    from keras_gan.engine.torch_compile import CudaGraph

    cuda = ReplayedCuda(monkeypatch)
    weight = torch.tensor(1.0)

    def step(weight, samples):
        cuda.run(lambda: weight.add_(1.0))
        if cuda.capturing:
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        CudaGraph(step, [weight], [torch.tensor([1.0])])
    assert float(weight) == 1.0


@torch_only
def test_one_graph_for_many_epochs_with_a_smaller_last_batch(monkeypatch, uncompiled):
    traced = traces(monkeypatch)
    gan = tiny()
    gan.compile(jit_compile=True)
    for _ in range(3):
        gan.fit(points(40), batch_size=16, epochs=3, verbose=0)
    gan.fit(points(40), batch_size=10, epochs=2, verbose=0)
    assert [tuple(batch.samples.shape) for batch, _ in traced] == [(16, 2), (10, 2)]


def traces(monkeypatch):
    """Records `(batch, graph)` of each graph that is traced."""
    from keras_gan.engine import torch_compile

    traced, trace = [], torch_compile.trace

    def recorded(*arguments):
        names, graph = trace(*arguments)
        traced.append((arguments[-1], graph))
        return names, graph

    monkeypatch.setattr(torch_compile, "trace", recorded)
    return traced


@keras.saving.register_keras_serializable("test")
class Moody(keras.layers.Layer):
    """A layer whose Python looks at its data."""

    def call(self, x):
        if BACKEND == "torch" and float(ops.sum(x)) > 0:
            return x * 1.0
        return x + 0.0


CONVOLUTIONS = {
    "2d": ((2, 7, 8, 3), keras.layers.Conv2D, {}),
    "2d channels_first": ((2, 3, 7, 8), keras.layers.Conv2D, {"data_format": "channels_first"}),
    "2d dilated": ((2, 9, 8, 3), keras.layers.Conv2D, {"dilation_rate": (2, 1)}),
    "2d groups": ((2, 7, 8, 6), keras.layers.Conv2D, {"groups": 2}),
    "2d depthwise": ((2, 7, 8, 3), keras.layers.DepthwiseConv2D, {"depth_multiplier": 2}),
    "1d": ((2, 11, 3), keras.layers.Conv1D, {}),
    "3d": ((2, 5, 4, 6, 2), keras.layers.Conv3D, {}),
    "2d up": ((2, 4, 5, 3), keras.layers.Conv2DTranspose, {}),
    "2d up dilated": ((2, 4, 5, 3), keras.layers.Conv2DTranspose, {"dilation_rate": 2}),
    "2d up channels_first": (
        (2, 3, 4, 5),
        keras.layers.Conv2DTranspose,
        {"data_format": "channels_first"},
    ),
    "2d up padded": ((2, 4, 5, 3), keras.layers.Conv2DTranspose, {"output_padding": 1}),
    "1d up": ((2, 6, 3), keras.layers.Conv1DTranspose, {}),
    "3d up": ((2, 2, 3, 2, 2), keras.layers.Conv3DTranspose, {}),
}


@torch_only
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_those_of_keras(name):
    from keras_gan.engine.torch_tracing import traceable_keras

    shape, kind, options = CONVOLUTIONS[name]
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    tried = 0
    for size, strides, padding in itertools.product((1, 2, 3, 4, 5), (1, 2, 3), ("same", "valid")):
        filters = {} if kind is keras.layers.DepthwiseConv2D else {"filters": 4}
        settings = {"kernel_size": size, "strides": strides, "padding": padding} | filters
        try:
            layer = kind(**settings, **options)
            expected = layer(x)
        except (ValueError, RuntimeError):  # Strides with dilation, a kernel larger than the input.
            continue
        with traceable_keras():
            got = layer(x)
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (got, expected)), atol=1e-5)
        tried += 1
    assert tried > 5


@torch_only
@pytest.mark.parametrize("padding", [(0, 1), (2, 0, 0, 1), (1, 3, 0, 0, 2, 1)], ids=len)
@pytest.mark.parametrize("side", [1, 2, 5])
def test_the_gradient_of_repeated_edges_is_that_of_torch(padding, side):
    import torch

    from keras_gan.engine.torch_tracing import _REPLACED

    axes = len(padding) // 2
    operation = getattr(torch.ops.aten, f"replication_pad{axes}d_backward").default
    x = torch.randn((2, 3, *axes * [side]))
    padded = torch.nn.functional.pad(x, padding, mode="replicate")
    gradient = torch.randn(padded.shape)
    found = _REPLACED[operation](gradient, x, list(padding))
    torch.testing.assert_close(found, operation(gradient, x, padding))


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@torch_only
@pytest.mark.parametrize("steps", [1, 2])
def test_what_cannot_be_traced_runs_eagerly_with_one_warning(steps, uncompiled):
    gan = tiny()
    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    built = keras.Sequential([keras.Input((2,)), Moody(name="moody"), discriminator])
    gan = keras_gan.GAN(gan.generator, built, discriminator_steps=steps)
    gan.compile(jit_compile=True)
    before = gan.generator.get_weights()
    with pytest.warns(UserWarning, match="runs eagerly.*moody") as caught:
        gan.fit(points(64), batch_size=16, epochs=2, verbose=0)
    # One from each graph. They are alike, so that a user sees the first alone.
    told = [str(w.message) for w in caught if "runs eagerly" in str(w.message)]
    assert len(told) == steps and len(set(told)) == 1
    assert np.any(before[0] != gan.generator.get_weights()[0])


@torch_only
def test_several_discriminator_updates_are_compiled_as_one(monkeypatch, uncompiled):
    traced = traces(monkeypatch)
    for steps in (1, 4):
        gan = tiny(discriminator_steps=steps)
        gan.compile(jit_compile=True)
        gan.fit(points(32), batch_size=16, epochs=2, verbose=0)
    one, *parts = [len(graph.graph.nodes) for _, graph in traced]
    assert len(parts) == 2 and max(parts) < one


@torch_only
def test_auto_compiles_after_a_number_of_updates(monkeypatch, uncompiled, tmp_path):
    from keras_gan.engine import torch_compile

    monkeypatch.setattr(torch_compile, "AUTO_STEPS", 7)
    monkeypatch.setattr(torch_compile, "torch_device", lambda: "cpu")
    traced = traces(monkeypatch)
    when = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: when.append(len(traced))
    )
    options = {"batch_size": 16, "verbose": 0, "callbacks": [watch]}
    gan = tiny()
    gan.compile(**sgd())
    assert gan.jit_compile == "auto"
    gan.fit(points(56), epochs=1, **options)  # Batches of 16, 16, 16 and 8.
    gan.save(tmp_path / "gan.keras")
    gan.fit(points(56), epochs=2, **options)
    assert when == [0] * 7 + [0] + [1] * 4  # The eighth is a smaller last one.
    resumed = keras.saving.load_model(tmp_path / "gan.keras")
    when.clear(), traced.clear()
    resumed.fit(points(56), epochs=2, **options)
    assert when == [0] * 3 + [0] + [1] * 4


@torch_only
def test_auto_compiles_from_the_first_step_on_a_gpu(monkeypatch):
    from keras_gan.engine import torch_compile

    gan = tiny()
    gan.compile()
    monkeypatch.setattr(torch_compile, "torch_device", lambda: "cpu")
    assert torch_compile.CompiledStep(gan).seen["eager_steps"] == torch_compile.AUTO_STEPS
    monkeypatch.setattr(torch_compile, "torch_device", lambda: "cuda:0")
    assert torch_compile.CompiledStep(gan).seen["eager_steps"] == 0


@torch_only
@pytest.mark.parametrize("steps", [1, 2])
def test_eager_and_compiled_steps_draw_the_same_noise(steps, uncompiled):
    ends = []
    for compiled in (False, True):
        gan = tiny(terms=["gradient_penalty"], loss="wasserstein", discriminator_steps=steps)
        gan.compile(**sgd(), jit_compile=compiled)
        keras.utils.set_random_seed(1)
        gan.fit(points(64), batch_size=16, epochs=2, verbose=0, shuffle=False)
        ends.append(gan.get_weights())
    for eager, compiled in zip(*ends, strict=True):
        np.testing.assert_allclose(compiled, eager, atol=1e-4)


def joined(width, units):
    """A network of a vector of some width and the class, one of three as a one-hot row."""
    inputs = [keras.Input((width,)), keras.Input((3,))]
    hidden = keras.layers.Dense(16, activation="relu")(keras.layers.Concatenate()(inputs))
    return keras.Model(inputs, keras.layers.Dense(units)(hidden))


@pytest.mark.filterwarnings("ignore:No sample is of")
@pytest.mark.parametrize("steps", [1, 2])
def test_a_step_takes_the_condition(steps, uncompiled, monkeypatch):
    ends = []
    for compiled, label in ((False, None), (True, None), (True, 0)):
        keras.utils.set_random_seed(0)
        networks = joined(4, 2), joined(2, 1)
        gan = keras_gan.GAN(
            *networks, condition=keras_gan.conditions.Labels(3), discriminator_steps=steps
        )
        gan.compile(**sgd(0.1), jit_compile=compiled, run_eagerly=not compiled)
        labels = np.arange(16) % 3 if label is None else np.full(16, label)
        with monkeypatch.context() as patch:
            without_chance(gan, patch)
            for _ in range(3):
                gan.fit(points(16), labels, batch_size=16, verbose=0, shuffle=False)
        ends.append(gan.get_weights())
    for eager, compiled in zip(*ends[:2], strict=True):
        np.testing.assert_allclose(compiled, eager, atol=1e-5)
    assert any(np.any(one != other) for one, other in zip(*ends[1:], strict=True))


@torch_only
def test_mistakes_are_not_hidden(monkeypatch, uncompiled):
    from keras_gan.engine import torch_compile, torch_tracing

    # As where Keras gives one of its functions another parameter.
    monkeypatch.setattr(torch_tracing, "_update_step", lambda optimizer, gradients: None)
    gan = tiny()
    gan.compile(jit_compile=True)
    with pytest.raises(TypeError, match="positional arguments"):
        gan.fit(points(16), verbose=0)
    monkeypatch.setattr(torch_compile, "AUTO_STEPS", 0)
    gan.compile(jit_compile="auto")  # Whose promise is to train.
    with pytest.warns(UserWarning, match="runs eagerly.*TypeError"):
        gan.fit(points(16), verbose=0)


@torch_only
def test_keras_does_not_compile_by_itself(monkeypatch):
    import torch

    def refuse(*args, **kwargs):
        raise AssertionError("Dynamo would take minutes.")

    monkeypatch.setattr(torch, "compile", refuse)
    gan = tiny()
    gan.compile(jit_compile=True)
    assert gan.predict(points(3)[:, [0, 1, 0, 1]], verbose=0).shape == (3, 2)


@pytest.mark.parametrize("policy", ["mixed_bfloat16"])
def test_mixed_precision_compiles(policy, uncompiled):
    keras.config.set_dtype_policy(policy)
    try:
        gan = keras_gan.create_model("vanilla", (8, 8, 1))
    finally:
        keras.config.set_dtype_policy("float32")
    gan.compile(jit_compile=True)
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), dtype="uint8")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The train step runs eagerly")
        history = gan.fit(images, batch_size=16, epochs=2, verbose=0).history
    assert np.isfinite(history["d_loss"]).all()


@pytest.mark.skipif(BACKEND != "torch", reason="only torch decides later")
def test_auto_reaches_the_engine():
    gan = keras_gan.create_model("vanilla", (8, 8, 1))
    assert gan.jit_compile == "auto"
    gan.make_train_function()
    assert gan.compilation is not None
