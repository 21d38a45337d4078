"""The engine: gradients of first and second order, noise, devices, and Keras' private parts."""

import ast

import keras
import numpy as np
import pytest
from conftest import BACKEND, ROOT, numpy, points, python, values
from keras import layers, ops
from keras.optimizers import SGD, Adam

from keras_gan import engine, networks
from keras_gan.engine import keras_internals, scopes

torch_only = pytest.mark.skipif(BACKEND != "torch", reason="torch's own")


def variable(array):
    return keras.Variable(np.asarray(array, "float32"))


# Logits and their gradient.


def test_logits_and_gradient_of_a_cube():
    x = points(4, 3)
    (logits, aux), gradient = engine.logits_and_gradient(
        lambda x: (ops.sum(x**3, axis=1, keepdims=True), [ops.sum(x)]), ops.convert_to_tensor(x)
    )
    np.testing.assert_allclose(numpy(logits), (x**3).sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(numpy(aux[0]), x.sum(), rtol=1e-5)
    np.testing.assert_allclose(numpy(gradient), 3 * x**2, rtol=1e-5)


def test_logits_that_ignore_their_input():
    x, bias = ops.convert_to_tensor(points(4, 3)), variable(np.ones((4, 1)))
    (logits, aux), gradient = engine.logits_and_gradient(lambda x: (bias + 1.0, []), x)
    assert logits.shape == (4, 1) and aux == []
    np.testing.assert_array_equal(numpy(gradient), np.zeros((4, 3)))


def test_the_gradient_of_r1():
    """d/dW of mean ‖∇D(x)‖² and of the logits, for D(x) = Σ tanh(Wx), by finite differences."""
    x, start = points(5, 3).astype("float64"), points(3, 4, seed=1).astype("float64")

    def r1(w):
        gradient = (1 - np.tanh(x @ w) ** 2) @ w.T
        return (gradient**2).sum(1).mean() + np.tanh(x @ w).mean()

    steps = np.eye(start.size).reshape(-1, *start.shape) * 1e-5
    expected = [(r1(start + step) - r1(start - step)) / 2e-5 for step in steps]
    w = variable(start)

    def objective():
        critic = lambda x: (ops.sum(ops.tanh(x @ w), axis=1), [])  # noqa: E731
        (logits, _), gradient = engine.logits_and_gradient(
            critic, ops.convert_to_tensor(x.astype("float32"))
        )
        loss = ops.mean(ops.sum(gradient**2, axis=1)) + ops.mean(logits) / 4
        return loss, [loss]

    (loss, _), [gradient] = engine.value_and_grad(objective, [w])
    np.testing.assert_allclose(numpy(loss), r1(start), rtol=1e-5)
    np.testing.assert_allclose(numpy(gradient).ravel(), expected, rtol=1e-3, atol=1e-5)


def normalized():
    critic = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            networks.BatchNormalization(momentum=0.5),
            layers.Flatten(),
            layers.Dropout(0.5, seed=1),
            layers.Dense(1),
        ]
    )
    critic.layers[-1].set_weights([np.ones((32, 1)), np.zeros(1)])
    return critic


def state_after(critic, start, call):
    """Statistics and seeds after `call(x)` inside `value_and_grad`, in a step."""
    for v, value in zip(critic.non_trainable_variables, start, strict=True):
        v.assign(value)
    x = ops.convert_to_tensor(points(6, 32).reshape(6, 4, 4, 2))

    def step(x):
        variables = critic.trainable_variables
        (loss, _), _ = engine.value_and_grad(lambda: (ops.mean(call(x)), []), variables)
        return [loss]

    state = critic.non_trainable_variables
    if BACKEND == "tensorflow":
        step(x)
        return values(state)
    groups = [state, critic.trainable_variables]
    _, [new, _] = scopes.pure_step(step, groups, [[v.value for v in g] for g in groups], x)
    return [np.array(numpy(value)) for value in new]


def test_what_the_pass_assigns_is_kept_once():
    critic = normalized()
    start = values(critic.non_trainable_variables)
    critic_of = lambda x: critic(x, training=True)  # noqa: E731

    def with_gradient(x):
        (logits, _), gradient = engine.logits_and_gradient(lambda x: (critic_of(x), []), x)
        return logits + ops.mean(gradient)

    plain = state_after(critic, start, critic_of)
    once = state_after(critic, start, with_gradient)
    looked = state_after(critic, start, lambda x: engine.input_gradient(critic_of, x))
    assert sum(np.any(a != b) for a, b in zip(plain, start, strict=True)) == 3
    for a, b, c, before in zip(plain, once, looked, start, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
        np.testing.assert_array_equal(c, before)


def test_a_step_without_keras_own_scopes(monkeypatch):
    monkeypatch.setattr(keras_internals.layers, "_get_stateless_scope", None)
    w = variable([2.0])
    seen = variable([0.0])

    def step(x):
        def objective():
            def critic(x):
                seen.assign(seen + ops.mean(x))
                return w * x * seen, []

            (logits, _), gradient = engine.logits_and_gradient(critic, x)
            return ops.sum(logits), [ops.sum(gradient)]

        (loss, [gradient]), _ = engine.value_and_grad(objective, [w])
        w.assign(w * 2)
        return [loss, gradient, *objective()[1]]

    x = ops.convert_to_tensor(np.float32([3.0]))
    groups = [[w, seen]]
    outputs, [new] = scopes.pure_step(step, groups, [[v.value for v in groups[0]]], x)
    # w·x·(0 + x), then with w doubled and x seen twice.
    assert [float(numpy(v)) for v in outputs] == pytest.approx([18.0, 12.0, 36.0])
    assert [float(numpy(v)[0]) for v in new] == [4.0, 6.0]
    assert float(numpy(w)[0]) == 2.0


# Devices and noise.


def test_one_device_has_the_mean():
    tensors = [ops.ones(3), None]
    assert engine.mean_over_devices(tensors) is tensors


REPLICAS = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
import keras
from keras_gan import engine

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for optimizer in (keras.optimizers.SGD, keras.optimizers.Adam):
    with strategy.scope():
        variable = keras.Variable([1.0, 1.0])
        mean = keras.Variable(0.0, aggregation="sum")
        optimizer = optimizer(0.25)
        optimizer.build([variable])

    @tf.function
    def step():
        def replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            loss = tf.cast(number, "float32")
            gradient = (2 * loss + 1) * tf.ones(2)
            gradient, missing, loss = engine.mean_over_devices([gradient, None, loss])
            assert missing is None
            engine.apply(optimizer, [gradient], [variable])
            mean.assign_add(loss)

        strategy.run(replica)

    step()
    print(variable.numpy().round(4).tolist(), float(mean.numpy()))
"""


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's replicas")
def test_replicas_apply_the_mean_of_their_gradients():
    # Gradients 1 and 3, losses 0 and 1. Adam's first step is the learning rate.
    sgd, adam = python("tensorflow", "-c", REPLICAS).splitlines()[-2:]
    assert (sgd, adam) == ("[0.5, 0.5] 0.5", "[0.75, 0.75] 0.5")


FIT = """
import sys, contextlib
import numpy as np
import tensorflow as tf
count = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, count * [tf.config.LogicalDeviceConfiguration()])
import keras
from conftest import fit, mlp_gan

keras.utils.set_random_seed(0)
with tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)]).scope():
    gan = mlp_gan()
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
print(fit(gan, np.ones((16, 2), "float32"), batch_size=8)["d_real"][0])
"""


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's replicas")
def test_replicas_report_means():
    # The logit of a real sample that is always the same, and of weights that stay.
    tests = str(ROOT / "tests")
    one, two = (float(python("tensorflow", "-c", FIT, n, cwd=tests).split()[-1]) for n in (1, 2))
    assert two == pytest.approx(one, rel=1e-5) and one != 0


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's sparse gradients")
def test_replicas_with_sparse_gradients(monkeypatch):
    import tensorflow as tf

    class Two:
        num_replicas_in_sync = 2

    monkeypatch.setattr(tf.distribute, "get_strategy", Two)
    [half] = engine.mean_over_devices([tf.IndexedSlices(tf.ones((1, 2)), [3], (5, 2))])
    assert isinstance(half, tf.IndexedSlices) and half.values.numpy().tolist() == [[0.5, 0.5]]


def test_noise_follows_from_seed_and_step():
    seed = keras.random.SeedGenerator(0)

    def noise(*numbers):
        before = values([seed.state])
        engine.seed_noise(*numbers)
        np.testing.assert_array_equal(values([seed.state]), before)
        return numpy(engine.normal((8,), seed=seed))

    draws = [noise(1, 2), noise(1, 2), noise(1, 3), noise(2, 1), noise(2**40, 0)]
    if BACKEND == "torch":
        np.testing.assert_array_equal(draws[0], draws[1])
        draws.pop(0)
    assert len({draw.tobytes() for draw in draws}) == len(draws)


def test_gather():
    order = ops.convert_to_tensor(np.int32([4, 2, 0, 1, 3]))
    got = engine.gather(ops.convert_to_tensor(np.arange(10.0).reshape(5, 2)), order, 1, 3)
    np.testing.assert_array_equal(numpy(got)[:, 0], [4.0, 0.0, 2.0])


# Optimizers belong to users.


@pytest.mark.parametrize(
    "make",
    [SGD, Adam, keras.optimizers.AdamW, lambda: keras.optimizers.LossScaleOptimizer(Adam())],
    ids=["SGD", "Adam", "AdamW", "LossScaleOptimizer"],
)
def test_nothing_is_assigned_onto_an_optimizer(make):
    start, gradient = points(3, 2), ops.convert_to_tensor(points(3, 2, seed=1))
    ours, theirs = variable(start), variable(start)
    optimizer, plain = make(), make()
    inner, plain = (getattr(side, "inner_optimizer", side) for side in (optimizer, plain))
    optimizer.build([ours])
    plain.build([theirs])
    before = [set(vars(side)) for side in (optimizer, inner)]
    for _ in range(3):
        engine.apply(optimizer, [optimizer.scale_loss(gradient)], [ours])
        plain.apply([gradient], [theirs])
    for side, names in zip((optimizer, inner), before, strict=True):
        assert set(vars(side)) - names <= {"_exclude_from_weight_decay_cache"}  # Keras' own.
        assert "update_step" not in vars(side) and int(side.iterations) == 3
    np.testing.assert_allclose(numpy(ours), numpy(theirs), rtol=1e-5)
    assert np.any(numpy(ours) != start)


# Private parts of Keras, and what is done without them.


def test_private_keras_has_one_room():
    """Outside of it, no module imports from `keras.src`."""
    room = ROOT / "keras_gan" / "engine" / "keras_internals"
    for path in sorted((ROOT / "keras_gan").rglob("*.py")):
        if path.parent == room:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            modules = [getattr(node, "module", None) or "", *names]
            assert not any(module.startswith("keras.src") for module in modules), path


def test_losses_of_layers_are_told_from_those_of_weights():
    network = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l2"),
            layers.Dense(1, bias_regularizer="l1", bias_initializer="ones"),
            layers.ActivityRegularization(l1=0.5),
        ]
    )
    for batch in (points(4), points(4, seed=1)):  # The second call's are not added to the first's.
        hidden = numpy(network.layers[0](batch))
        output = numpy(network(batch))
        added = [float(numpy(loss)) for loss in keras_internals.added_losses(network)]
        expected = [0.01 * (hidden**2).sum() / 4, 0.5 * np.abs(output).sum() / 4]
        assert sorted(added) == pytest.approx(sorted(expected), rel=1e-4)
    decay = [float(numpy(loss)) for loss in keras_internals.regularization_losses(network)]
    assert decay == pytest.approx([0.01 * (network.get_weights()[0] ** 2).sum(), 0.01], rel=1e-4)


def test_layers_without_keras_own_list():
    inner = keras.Sequential([keras.Input((2,)), layers.Dense(2), layers.Dense(2)])
    network = keras.Sequential([keras.Input((2,)), inner, layers.Dense(1)])

    class Without:
        def __init__(self, layer):
            self.layer = layer
            self.layers = [Without(part) for part in getattr(layer, "layers", [])]

    known = [layer for layer in keras_internals.all_layers(network) if layer.weights]
    found = [without.layer for without in keras_internals.all_layers(Without(network))]
    assert len(known) == 5 and sorted(map(id, found)) == sorted(map(id, known))


class Pairs(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return (np.full((2, 1), i),)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (lambda: np.arange(10.0), {"batch_size": 4}),
        (lambda: np.arange(10.0), {"batch_size": 4, "steps_per_epoch": 2}),
        (Pairs, {}),
        (lambda: ((np.full(2, i),) for i in range(3)), {"steps_per_epoch": 2}),
    ],
    ids=["array", "steps", "PyDataset", "generator"],
)
def test_epochs_without_keras_own_iterator(data, options):
    def read(iterate):
        iterator = iterate(data(), **options)
        return iterator.num_batches, [
            (first, last, [numpy(part).tolist() for part in batch[0]])
            for first, last, batch in iterator
        ]

    assert read(keras_internals.training._PublicEpochIterator) == read(
        keras_internals.EpochIterator
    )


def test_moments_of_adam_alone():
    weights = [variable([1.0]), variable([2.0])]

    def built(optimizer):
        optimizer.build(weights)
        return optimizer

    adam = built(Adam())
    [[mean], [square]] = keras_internals.adam_moments(adam, weights[1:])
    assert mean is adam._momentums[1] and square is adam._velocities[1]
    known = keras_internals.updates_as_adam
    assert known(adam) and known(built(keras.optimizers.AdamW()))
    assert not known(built(SGD())) and not known(built(Adam(amsgrad=True)))
    del adam._velocities
    assert not known(adam)


def test_names_that_keras_does_not_have():
    assert keras_internals.lookup.found("no_such_name", "utils.tracking", "no.such.module") is None
    assert keras_internals.built_variables(object(), otherwise=[1]) == [1]
    method = lambda self: 1  # noqa: E731
    assert keras_internals.training._untouched(method) is method


def test_a_model_without_untracked_attributes():
    """What `no_automatic_dependency_tracking` is for."""

    class Model(keras.Model):
        @keras_internals.no_automatic_dependency_tracking
        def compile(self, metric):
            self.kept = [metric]

    model = Model()
    model.compile(keras.metrics.Mean())
    assert len(model.kept) == 1 and model.metrics_variables == []


@torch_only
def test_keras_functions_are_replaced_where_they_are(monkeypatch):
    from keras_gan.engine import torch_tracing

    layer, x = layers.Conv2D(2, 3), points(1, 75).reshape(1, 5, 5, 3)
    called = []
    conv = lambda original, *args, **kwargs: called.append(1) or original(*args, **kwargs)  # noqa: E731
    monkeypatch.setattr(torch_tracing, "conv", conv)
    with torch_tracing.traceable_keras():
        expected = layer(x)
    assert called and layer(x).shape == expected.shape and len(called) == 1

    # Without a place for the convolutions, Keras' own are used; without the others, none is traced.
    torch_room = keras_internals.torch
    module = torch_room.module
    monkeypatch.setattr(torch_room, "module", lambda *n: None if "nn" in n[0] else module(*n))
    with torch_tracing.traceable_keras():
        layer(x)
    assert len(called) == 1
    monkeypatch.setattr(torch_room, "module", lambda *names: None)
    with pytest.raises(NotImplementedError, match="torch_seed_generator"):
        torch_tracing.traceable_keras().__enter__()


@torch_only
def test_device_and_tensors_without_keras_own(monkeypatch):
    assert keras_internals.torch_device() == "cpu"
    monkeypatch.setattr(keras_internals.torch, "_get_device", lambda: None)
    assert keras_internals.torch_device() == "cpu"

    class Public:
        value = "tensor"

    weight = variable([1.0])
    assert keras_internals.stored_tensors([Public()]) == ["tensor"]
    assert keras_internals.stored_tensors([weight])[0] is weight.value
