"""What `fit` takes: every loader of Keras, every optimizer setting, the user's own networks."""

import pickle

import keras
import numpy as np
import pytest
from conftest import BACKEND, Batches, assert_equal, changed, fit, mlp_gan, pictures, points, values
from keras import layers, ops
from keras.optimizers import SGD, Adam

from keras_gan import GAN, networks
from keras_gan.datasets.batches import checked
from keras_gan.values import Values

IMAGES = pictures(20)
SHAPE = (8, 8, 1)


# JAX takes seconds to compile the step for each batch shape; where that is not what is tested,
# it runs step by step.
QUICK = {"run_eagerly": BACKEND == "jax"}


def image_gan(rate=1e-3, compiled=True, run_eagerly=False, **options):
    gan = GAN(
        networks.mlp_generator(SHAPE, 3, (4,)),
        networks.mlp_discriminator(SHAPE, (4,), dropout=0.0),
        **options,
    )
    if compiled:
        gan.compile(SGD(rate), SGD(rate), run_eagerly=run_eagerly)
    return gan


def weights(gan):
    return values(gan.generator.weights), values(gan.discriminator.weights)


def train(gan, batches, **options):
    """The history of a silent fit on batches rather than an array, and the number of steps.

    On TensorFlow, Keras learns that data of unknown length has ended by one step more, in which
    an optimizer's iterations still count: what counts here are the batches that callbacks see.
    """
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(1))
    history = gan.fit(batches, verbose=0, callbacks=[count], **options).history
    return history, len(steps)


def native(images):
    """The images as tensors of the backend at hand."""
    return ops.convert_to_tensor(images)


class Numbered(keras.utils.PyDataset):
    """With `num_batches` in place of `__len__`; None is for a data set without an end."""

    def __init__(self, batches, num_batches):
        super().__init__()
        self.batches, self._num_batches = batches, num_batches

    @property
    def num_batches(self):
        return self._num_batches

    def __getitem__(self, index):
        return self.batches[index % len(self.batches)]


def batches(wrap=lambda x: x, images=IMAGES, size=8):
    return [wrap(images[i : i + size]) for i in range(0, len(images), size)]


# Arrays: what stands for x, with the same 20 images each.

ARRAYS = {
    "uint8": lambda: IMAGES,
    "float32": lambda: (IMAGES / 127.5 - 1).astype("float32"),
    "float64": lambda: IMAGES / 127.5 - 1,
    "float16": lambda: (IMAGES / 127.5 - 1).astype("float16"),
    "list": lambda: list((IMAGES / 127.5 - 1).astype("float32")),
    "nested_list": lambda: (IMAGES / 127.5 - 1).tolist(),
    "tensor_uint8": lambda: native(IMAGES),
    "tensor_float32": lambda: native((IMAGES / 127.5 - 1).astype("float32")),
}


@pytest.fixture(scope="module")
def trained_on_uint8():
    keras.utils.set_random_seed(0)
    gan = image_gan(seed=1)
    history = fit(gan, IMAGES, 8)
    return history, weights(gan)


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_train_alike(kind, trained_on_uint8):
    expected, (generator, discriminator) = trained_on_uint8
    keras.utils.set_random_seed(0)
    gan = image_gan(seed=1, **QUICK)
    history = fit(gan, ARRAYS[kind](), 8)
    assert int(gan.optimizer.iterations) == 3
    tolerance = 1e-3 if kind == "float16" else 1e-5
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=tolerance, atol=tolerance)
    assert_equal(weights(gan)[0], generator, atol=tolerance)
    assert_equal(weights(gan)[1], discriminator, atol=tolerance)


# Loaders: 20 images in batches of 8, so that the last has 4.


def tf_data(images, wrap):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(wrap(images)).batch(8)


def torch_loader(images, wrap):
    torch = pytest.importorskip("torch")
    items = [wrap(torch.from_numpy(image)) for image in images]
    return torch.utils.data.DataLoader(items, batch_size=8)


def py_dataset(images, wrap):
    return Batches(batches(wrap, images))


def py_dataset_with_num_batches(images, wrap):
    return Numbered(batches(wrap, images), 3)


def py_dataset_with_workers(images, wrap):
    return Batches(batches(wrap, images), workers=2, use_multiprocessing=False)


def grain_source(images, wrap):
    grain = pytest.importorskip("grain")
    return grain, grain.MapDataset.source([wrap(image) for image in images])


def grain_map(images, wrap):
    return grain_source(images, wrap)[1].batch(8)


def grain_iter(images, wrap):
    return grain_source(images, wrap)[1].to_iter_dataset().batch(8)


def grain_loader(images, wrap):
    grain, source = grain_source(images, wrap)
    sampler = grain.samplers.IndexSampler(len(images), shuffle=False, num_epochs=1)
    return grain.DataLoader(
        data_source=source, sampler=sampler, operations=[grain.transforms.Batch(8)]
    )


def generator(images, wrap):
    return (batch for batch in batches(wrap, images))


LOADERS = [
    tf_data,
    torch_loader,
    py_dataset,
    py_dataset_with_num_batches,
    py_dataset_with_workers,
    grain_map,
    grain_iter,
    grain_loader,
    generator,
]
WRAPS = {
    "x": lambda x: x,
    "(x,)": lambda x: (x,),
    "(x, label)": lambda x: (x, np.zeros(len(x) if x.ndim == 4 else (), "int32")),
    "dict": lambda x: {"image": x},
}


@pytest.mark.parametrize("loader", LOADERS)
def test_loaders(loader):
    gan, other = image_gan(rate=0.0, **QUICK), image_gan(rate=0.0, **QUICK)
    other.set_weights(gan.get_weights())
    history, steps = train(gan, loader(IMAGES, WRAPS["x"]))
    assert steps == 3  # The smaller last batch too.
    assert np.isfinite(history["d_loss"]).all()
    # The mean logit tells that every image arrived, in the same batches as from an array.
    expected = fit(other, IMAGES, 8)["d_real"]
    assert history["d_real"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.filterwarnings("ignore:The data gives labels")
@pytest.mark.once
@pytest.mark.parametrize("wrap", list(WRAPS)[1:])
@pytest.mark.parametrize("loader", [tf_data, torch_loader, py_dataset, grain_map, generator])
def test_batches_of_tuples_and_dicts(loader, wrap):
    gan = image_gan(**QUICK)
    before = weights(gan)
    _, steps = train(gan, loader(IMAGES, WRAPS[wrap]))
    assert steps == 3
    assert any(changed(before[1], weights(gan)[1]))


@pytest.mark.once
def test_endless_data_with_steps_per_epoch():
    def endless():
        while True:
            yield IMAGES[:8]

    gan = image_gan(**QUICK)
    for data in (endless(), Numbered([IMAGES[:8]], None)):
        assert train(gan, data, epochs=2, steps_per_epoch=3)[1] == 6


@pytest.mark.filterwarnings("ignore:The data gives labels")
@pytest.mark.once
@pytest.mark.parametrize("loader", [tf_data, torch_loader, py_dataset, grain_map])
def test_validation_data_from_loaders(loader):
    gan = image_gan(rate=0.0, **QUICK)
    history = fit(gan, IMAGES, validation_data=loader(IMAGES[:12], WRAPS["(x, label)"]))
    expected = gan.evaluate(IMAGES[:12], batch_size=8, return_dict=True)
    for name, value in expected.items():
        assert history[f"val_{name}"] == pytest.approx([value], rel=1e-5, abs=1e-6)


@pytest.mark.once
def test_validation_steps_are_of_the_trainings_batch_size():
    gan = image_gan(rate=0.0, **QUICK)
    history = fit(gan, IMAGES, 8, validation_data=IMAGES, validation_steps=1)
    expected = gan.evaluate(IMAGES[:8], return_dict=True)
    assert history["val_d_real"] == pytest.approx([expected["d_real"]], rel=1e-5, abs=1e-6)


@pytest.mark.once
def test_a_generator_of_validation_data_is_compared_with_whole_at_each_epoch():
    gan = image_gan(rate=0.0, **QUICK)
    batches = (IMAGES[i : i + 4] for i in range(0, 20, 4))
    history = fit(gan, IMAGES, epochs=2, validation_data=batches)
    expected = gan.evaluate(IMAGES, batch_size=64, return_dict=True)
    for name, value in expected.items():
        assert history[f"val_{name}"] == pytest.approx(2 * [value], rel=1e-5, abs=1e-6)


def test_evaluation_takes_batches_smaller_than_the_discriminator_steps():
    gan = image_gan(discriminator_steps=5, **QUICK)
    small = Batches(batches(images=IMAGES[:8], size=4))
    expected = gan.evaluate(IMAGES[:8], batch_size=4, verbose=0)
    assert gan.evaluate(small, verbose=0) == pytest.approx(expected, rel=1e-5)
    history = fit(gan, IMAGES, validation_data=small)
    assert np.isfinite(history["val_d_loss"]).all()


def test_loops_of_ones_own_over_batches():
    gan = image_gan(loss="wasserstein", terms=["gradient_penalty"], **QUICK)
    before = gan.test_on_batch(IMAGES)
    assert before == pytest.approx(gan.evaluate(IMAGES, verbose=0), rel=1e-5)
    d_loss, _, d_real, d_fake, penalty = gan.train_on_batch(IMAGES)
    assert d_loss == pytest.approx(d_fake - d_real + penalty, rel=1e-4)
    logs = gan.test_on_batch(list(IMAGES), return_dict=True)
    assert list(logs.values()) != before
    with pytest.raises(ValueError, match="must lie in −1…1"):
        gan.train_on_batch(IMAGES.astype("float32"))


@pytest.mark.once
def test_what_a_gan_has_no_use_for_is_refused():
    gan = image_gan(**QUICK)
    for name in ("sample_weight", "class_weight"):
        with pytest.raises(ValueError, match="no targets"):
            gan.fit(IMAGES, **{name: np.ones(20)})
    with pytest.raises(TypeError, match="evaluate does not take sample_weight"):
        gan.test_on_batch(IMAGES, sample_weight=np.ones(20))
    with pytest.raises(TypeError, match="evaluate does not take step, sample_weight"):
        gan.evaluate(IMAGES, step=1, sample_weight=np.ones(20))
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        gan.generate(1, batch_size=0)


@pytest.mark.once
def test_lists_are_arrays():
    gan = image_gan(discriminator_steps=5, **QUICK)
    gan.fit(list(pictures(160)), verbose=0, validation_split=0.5)
    assert int(gan.optimizer.iterations) == 1
    history = fit(gan, IMAGES, validation_data=list(IMAGES))
    expected = gan.evaluate(IMAGES, verbose=0)
    assert history["val_d_loss"] == pytest.approx(expected[:1], rel=1e-5)
    assert gan.evaluate(list(IMAGES), verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("ignore:The range of the generator")
@pytest.mark.skipif(BACKEND != "torch", reason="torch's own tensors and workers")
def test_tensors_of_torch_and_loaders_with_workers():
    import torch

    floats = torch.tensor(IMAGES) / 127.5 - 1
    for tensor in (floats.bfloat16(), floats.requires_grad_()):
        checked(tensor, Values(SHAPE))
    loader = torch_loader(IMAGES, WRAPS["(x, label)"])
    collate = checked(loader, Values(SHAPE))[0].collate_fn
    assert pickle.loads(pickle.dumps(collate)).func is collate.func


def test_second_fit_goes_on_with_another_batch_size():
    gan = image_gan()
    first = fit(gan, IMAGES, 10)
    iterations = []
    for size in (10, 8):
        before = weights(gan)
        history = fit(gan, IMAGES, size)
        iterations.append(int(gan.optimizer.iterations))
        assert list(history) == list(first)
        assert any(changed(before[0], weights(gan)[0]))
    assert iterations == [4, 7]


@pytest.mark.once
def test_default_batch_size_serves_each_discriminator_step():
    gan = image_gan(discriminator_steps=2)
    gan.fit(pictures(130), verbose=0)
    assert int(gan.optimizer.iterations) == 3  # 64, 64 and the 2 left.
    assert int(gan.optimizer.discriminator.iterations) == 6


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_frozen_network_with_recompile(frozen):
    gan = image_gan(**QUICK)
    fit(gan, IMAGES, 10)
    getattr(gan, frozen).trainable = False
    gan.compile(SGD(0.1), SGD(0.1), **QUICK)
    before = dict(zip(("generator", "discriminator"), weights(gan), strict=True))
    fit(gan, IMAGES, 10)
    after = dict(zip(("generator", "discriminator"), weights(gan), strict=True))
    for side in before:
        assert any(changed(before[side], after[side])) == (side != frozen)


@pytest.mark.parametrize("trained_before", [False, True])
@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_frozen_network_without_recompile(frozen, trained_before):
    """Freezing stops the updates or raises; it never goes by unnoticed."""
    gan = image_gan(rate=0.1)
    if trained_before:
        fit(gan, IMAGES, 10)
    getattr(gan, frozen).trainable = False
    before = values(getattr(gan, frozen).weights)
    try:
        fit(gan, IMAGES, 10)
    except (ValueError, RuntimeError) as error:
        assert "compile" in str(error)
    assert_equal(values(getattr(gan, frozen).weights), before)


def test_frozen_layer_stays():
    gan = image_gan(compiled=False)
    gan.discriminator.layers[1].trainable = False
    gan.compile(SGD(0.1), SGD(0.1), **QUICK)
    before = weights(gan)[1]
    fit(gan, IMAGES, 10)
    assert changed(before, weights(gan)[1]) == [False, False, True, True]


# The user's own networks.


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units
        self.hidden, self.out = layers.Dense(4, "relu"), layers.Dense(units)

    def call(self, x):
        return self.out(self.hidden(x))

    def get_config(self):
        return {"units": self.units, "name": self.name}


def functional(size, units):
    inputs = keras.Input((size,))
    x = layers.Dense(4, "relu")(inputs)
    return keras.Model(inputs, layers.Dense(units)(layers.Concatenate()([x, inputs])))


def sequential(size, units):
    return keras.Sequential([keras.Input((size,)), layers.Dense(4, "relu"), layers.Dense(units)])


def wrapped(size, units):
    return keras.Sequential([keras.Input((size,)), Subclassed(units)])


@pytest.mark.parametrize("ema_momentum", [None, 0.5])
@pytest.mark.parametrize("make", [functional, sequential, wrapped])
def test_own_networks(make, ema_momentum):
    generator, discriminator = make(3, 2), make(2, 1)
    gan = GAN(generator, discriminator, ema_momentum=ema_momentum)
    gan.compile(**QUICK)
    before = weights(gan)
    assert np.isfinite(fit(gan, points(16), 8)["g_loss"]).all()
    assert all(all(changed(old, new)) for old, new in zip(before, weights(gan), strict=True))
    assert gan.generate(3, seed=0).shape == (3, 2)


def test_unbuilt_discriminator():
    discriminator = keras.Sequential([layers.Dense(4, "relu"), layers.Dense(1)])
    gan = GAN(sequential(3, 2), discriminator)
    gan.compile(**QUICK)
    before = values(discriminator.weights)
    fit(gan, points(8))
    assert any(changed(before, values(discriminator.weights)))


def test_a_discriminator_that_was_called_already():
    discriminator = Subclassed(1)
    discriminator(points(4))
    gan = GAN(sequential(3, 2), discriminator)
    gan.compile(**QUICK)
    assert np.isfinite(fit(gan, points(8))["d_loss"]).all()


def test_the_average_of_a_network_with_code_of_ones_own():
    generator = keras.Sequential(
        [keras.Input((3,)), layers.Dense(2), layers.Lambda(lambda x: 2 * x)]
    )
    gan = GAN(generator, sequential(2, 1), ema_momentum=0.5)
    latents = points(4, 3)
    np.testing.assert_array_equal(
        gan.predict(latents, verbose=0), generator.predict(latents, verbose=0)
    )


class Activity(layers.Layer):
    """Adds a constant to the loss at each call."""

    def call(self, x):
        self.add_loss(ops.convert_to_tensor(0.25))
        return x


def tracked_losses(network):
    return sum(len(layer._losses) for layer in network._flatten_layers())


@pytest.mark.parametrize(("discriminator_steps", "eager"), [(1, False), (2, True)])
def test_regularizers_and_added_losses_count(discriminator_steps, eager):
    def gan(extra):
        regularizer = keras.regularizers.L2(0.5) if extra else None
        ones = {"kernel_initializer": "ones", "kernel_regularizer": regularizer}
        activity = [Activity()] if extra else []
        gan = GAN(
            keras.Sequential([keras.Input((3,)), layers.Dense(2, **ones), *activity]),
            keras.Sequential([keras.Input((2,)), layers.Dense(1, **ones)]),
            discriminator_steps=discriminator_steps,
            seed=1,
        )
        # At rates of 0 the weights stay, so the terms are known.
        gan.compile(SGD(0.0), SGD(0.0), run_eagerly=eager)
        return gan

    keras.utils.set_random_seed(0)
    plain = fit(gan(extra=False), points(16), 8, epochs=2)
    keras.utils.set_random_seed(0)
    extra = gan(extra=True)
    counts, history = [], None
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: counts.append(
            tracked_losses(extra.generator) + tracked_losses(extra.discriminator)
        )
    )
    history = fit(extra, points(16), 8, epochs=2, callbacks=[count])
    difference = {name: np.subtract(history[name], plain[name]) for name in plain}
    np.testing.assert_allclose(difference["d_loss"], 0.5 * 2, rtol=1e-4)
    np.testing.assert_allclose(difference["g_loss"], 0.5 * 6 + 0.25, rtol=1e-4)
    np.testing.assert_allclose(difference["d_real"], 0, atol=1e-4)
    assert len(counts) == 4
    assert counts[-1] == counts[0]


def test_activity_regularizer_of_the_discriminator_counts():
    def gan(activity):
        keras.utils.set_random_seed(0)
        two = keras.initializers.Constant(2.0)
        initial = {"kernel_initializer": "zeros", "bias_initializer": two}
        critic = layers.Dense(1, activity_regularizer=activity, **initial)
        gan = GAN(sequential(3, 2), keras.Sequential([keras.Input((2,)), critic]), seed=1)
        gan.compile(SGD(0.0), SGD(0.0), **QUICK)
        return gan

    plain = fit(gan(None), points(8), epochs=2)
    history = fit(gan(keras.regularizers.L2(0.5)), points(8), epochs=2)
    # Keras takes the mean over the batch: 0.5 · 2² for the real and once more for the fake one.
    np.testing.assert_allclose(np.subtract(history["d_loss"], plain["d_loss"]), 4.0, rtol=1e-5)
    np.testing.assert_allclose(history["g_loss"], plain["g_loss"], rtol=1e-5)


@pytest.mark.full  # On JAX it takes most of a minute.
def test_spectral_normalization():
    normalized = layers.SpectralNormalization(layers.Dense(4))
    discriminator = keras.Sequential([keras.Input((2,)), normalized, layers.Dense(1)])
    gan = GAN(sequential(3, 2), discriminator, loss="hinge")
    gan.compile(**QUICK)
    kernel = ops.convert_to_numpy(normalized.layer.kernel)
    kernel_before, vector_before = kernel.copy(), values(normalized.non_trainable_variables)
    fit(gan, points(32), 8, epochs=20)
    assert any(changed([kernel_before], [ops.convert_to_numpy(normalized.layer.kernel)]))
    assert any(changed(vector_before, values(normalized.non_trainable_variables)))
    # One training pass writes the normalized kernel back; its largest singular value is near 1.
    largest = np.linalg.svd(ops.convert_to_numpy(normalized.layer.kernel))[1][0]
    assert largest == pytest.approx(1, abs=0.1)


# Precision.


@pytest.fixture
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"], indirect=True)
@pytest.mark.parametrize("terms", [[], ["gradient_penalty"]])
def test_mixed_precision_trains(policy, terms):
    gan = image_gan(compiled=False, terms=terms, ema_momentum=0.9)
    gan.compile(Adam(1e-3), Adam(1e-3))
    before = weights(gan)
    history = fit(gan, IMAGES, 10, epochs=3)
    assert all(np.isfinite(series).all() for series in history.values())
    assert all(any(changed(old, new)) for old, new in zip(before, weights(gan), strict=True))
    assert {v.dtype for v in gan.trainable_variables} == {"float32"}
    assert gan.generate(2, seed=0).dtype == "uint8"


@pytest.mark.parametrize("policy", ["mixed_bfloat16"], indirect=True)
def test_networks_that_end_in_half_precision_take_the_penalty(policy):
    gan = mlp_gan(terms=["gradient_penalty"])
    gan.compile()
    assert np.isfinite(fit(gan, points(8))["gradient_penalty"]).all()


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # Of the frozen layer.
@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_a_layer_frozen_after_compile_stays_in_float16(policy):
    gan = mlp_gan()
    gan.compile(SGD(0.1), SGD(0.1), jit_compile=BACKEND == "jax")
    gan.discriminator.layers[0].trainable = False
    before = weights(gan)[1]
    fit(gan, points(8))
    assert changed(before, weights(gan)[1]) == [False, False, True, True]


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_float16_overflow_skips_the_step_and_halves_the_scale(policy):
    gan = image_gan(compiled=False)
    scaled = [
        keras.optimizers.LossScaleOptimizer(SGD(0.1), initial_scale=scale)
        for scale in (1024.0, 2.0**120)  # The second overflows in float16.
    ]
    gan.compile(*scaled)
    before = weights(gan)
    history = fit(gan, IMAGES)
    after = weights(gan)
    assert any(changed(before[0], after[0]))
    assert not any(changed(before[1], after[1]))
    scales = [float(side.dynamic_scale) for side in scaled]
    assert scales == [1024.0, 2.0**119]
    assert [int(side.iterations) for side in scaled] == [1, 0]
    assert np.isfinite(history["d_loss"]).all()


# Optimizers.


def moved(**options):
    """How far one SGD step moves the two networks of a GAN whose losses are steep."""
    keras.utils.set_random_seed(0)
    gan = mlp_gan(loss="wasserstein", seed=1)
    gan.compile(SGD(1.0, **options), SGD(1.0, **options), **QUICK)
    before = weights(gan)
    fit(gan, 100 * points(8))
    steps = [
        np.concatenate([(new - old).ravel() for old, new in zip(olds, news, strict=True)])
        for olds, news in zip(before, weights(gan), strict=True)
    ]
    return before, steps


def test_gradient_clipping():
    _, (_, free) = moved()
    assert np.linalg.norm(free) > 0.2
    for step in moved(global_clipnorm=1e-3)[1]:
        assert np.linalg.norm(step) == pytest.approx(1e-3, rel=1e-2)
    for step in moved(clipvalue=1e-4)[1]:
        assert np.abs(step).max() == pytest.approx(1e-4, rel=1e-2)


def test_weight_decay():
    _, free = moved()
    before, decayed = moved(weight_decay=0.5)
    start = np.concatenate([w.ravel() for w in before[1]])
    # w ← w − decay · rate · w ahead of the gradient's step, whose value does not depend on it.
    np.testing.assert_allclose(decayed[1] - free[1], -0.5 * start, atol=1e-4)


def test_learning_rate_schedules():
    schedules = [
        keras.optimizers.schedules.PiecewiseConstantDecay([1], [rate, 0.0]) for rate in (0.1, 0.2)
    ]
    gan = image_gan(compiled=False)
    gan.compile(*map(SGD, schedules))
    start = weights(gan)
    # Iterations 0 and 1 have the first rate, those after them none.
    fit(gan, IMAGES, 10)
    then = weights(gan)
    assert all(any(changed(old, new)) for old, new in zip(start, then, strict=True))
    fit(gan, IMAGES, 10)
    for old, new in zip(then, weights(gan), strict=True):
        assert_equal(old, new)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)
    with pytest.raises((TypeError, ValueError)):
        fit(gan, IMAGES, callbacks=[schedule])
