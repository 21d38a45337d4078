"""The scores against references in float64, and against what they should see."""

import importlib
import importlib.util
import sys
import types
import warnings
from unittest import mock

import keras
import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance
import scipy.stats

from keras_gan import datasets, metrics
from keras_gan.metrics.extractors import as_uint8, get_extractor
from keras_gan.metrics.summaries import Moments, Projections

CLASSIFIER = "fashion_mnist_classifier"


@pytest.fixture
def fidelity(monkeypatch):
    """Loads modules of torch-fidelity alone: its package needs torchvision, its formulas do not."""
    pytest.importorskip("torch")
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None:
        pytest.skip("torch-fidelity is not installed")
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(spec.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, "torch_fidelity.utils", mock.MagicMock())
    return lambda module: importlib.import_module(f"torch_fidelity.{module}")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def clothes():
    """1,200 real images for each side, and the labels of the second."""
    images, labels = datasets.load("fashion_mnist", "test", labels=True)
    return images[:1200], images[1200:2400], labels[1200:2400]


def features(n, d, seed, offset=0.0, rank=None):
    random = np.random.default_rng(seed)
    rank = rank or d
    mixing = random.normal(size=(rank, d)) / rank**0.5
    return random.normal(size=(n, rank)) @ mixing * (1 + 0.1 * seed) + offset + 0.05 * seed


def reference_frechet(x, y):
    """SciPy's square root of the product of the covariances."""
    root = scipy.linalg.sqrtm(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False))
    shift = x.mean(0) - y.mean(0)
    traces = x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum()
    return shift @ shift + traces - 2 * np.trace(root).real


def reference_frechet_from_rows(x, y):
    """By the rows' Gram matrix, without a covariance: for sets of fewer rows than features."""
    a, b = (z - z.mean(0) for z in (x, y))
    scale = ((len(x) - 1) * (len(y) - 1)) ** 0.5
    overlap = scipy.linalg.svdvals(a @ b.T).sum() / scale
    shift = x.mean(0) - y.mean(0)
    traces = (a * a).sum() / (len(a) - 1) + (b * b).sum() / (len(b) - 1)
    return shift @ shift + traces - 2 * overlap


def reference_kernel(x, y):
    kernel = [(a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    own = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernel[:2]]
    return sum(own) - 2 * kernel[2].mean()


def reference_manifolds(real, generated, k):
    def reach(rows):
        return np.sort(scipy.spatial.distance.cdist(rows, rows), axis=1)[:, k]

    distances = scipy.spatial.distance.cdist(generated, real)
    inside = distances <= reach(real)
    return {
        "precision": inside.any(1).mean(),
        "recall": (distances <= reach(generated)[:, None]).any(0).mean(),
        "density": inside.sum() / k / len(generated),
        "coverage": inside.any(0).mean(),
    }


def streamed(rows, batch):
    moments = Moments()
    for start in range(0, len(rows), batch):
        moments.update(rows[start : start + batch])
    return moments


def test_moments_are_those_of_all_rows_however_far_from_zero():
    rows = features(1000, 32, 1, offset=1e6)
    for batch in (1, 7, 1000):
        moments = streamed(rows, batch)
        np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12)
        np.testing.assert_allclose(
            moments.covariance, np.cov(rows, rowvar=False), rtol=1e-6, atol=1e-7
        )
    assert {name: np.shape(value) for name, value in moments.state().items()} == {
        "count": (),
        "mean": (32,),
        "scatter": (32, 32),
    }


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize(("n", "m"), [(500, 700), (3000, 2000)])
def test_frechet_equals_scipy(n, m, offset):
    x, y = features(n, 128, 1, offset), features(m, 128, 2, offset)
    np.testing.assert_allclose(metrics.frechet_distance(x, y), reference_frechet(x, y), rtol=1e-6)


@pytest.mark.parametrize(("n", "d", "rank"), [(300, 512, None), (300, 512, 40), (900, 128, 5)])
def test_frechet_of_singular_covariances(n, d, rank):
    x, y = (features(n, d, seed, offset=100.0, rank=rank) for seed in (1, 2))
    expected = reference_frechet_from_rows(x, y)
    np.testing.assert_allclose(metrics.frechet_distance(x, y), expected, rtol=1e-6)
    assert metrics.frechet_distance(x, x) < 1e-7 * x.var(0).sum()


@pytest.mark.once
def test_frechet_of_2048_features():
    x, y = features(500, 2048, 1), features(600, 2048, 2)
    expected = reference_frechet_from_rows(x, y)
    np.testing.assert_allclose(metrics.frechet_distance(x, y), expected, rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_kernel_distance_equals_numpy(offset):
    x, y = features(1500, 128, 1, offset), features(1200, 128, 2, offset)
    whole = metrics.kernel_distance(x, y, subset_size=None)
    np.testing.assert_allclose(whole, reference_kernel(x, y), rtol=1e-6)
    subsets = metrics.kernel_distance(x, y, subsets=20, subset_size=600)
    assert subsets == pytest.approx(whole, rel=0.3)
    assert subsets == metrics.kernel_distance(x, y, subsets=20, subset_size=600)
    assert subsets != metrics.kernel_distance(x, y, subsets=20, subset_size=600, seed=1)


@pytest.mark.once
def test_kernel_distance_is_unbiased():
    same = features(4000, 16, 1)
    estimates = [metrics.kernel_distance(same[i::20], same[i + 10 :: 20]) for i in range(10)]
    assert abs(np.mean(estimates)) < 3 * np.std(estimates) / 10**0.5


@pytest.mark.parametrize("k", [1, 3, 5])
def test_manifolds_equal_scipy(k):
    x, y = features(1300, 16, 1), 0.6 * features(1100, 16, 2)
    assert metrics.precision_recall(x, y, k) == pytest.approx(reference_manifolds(x, y, k))


@pytest.mark.once
def test_manifolds_do_not_mind_the_mean():
    x, y = features(600, 16, 1), features(500, 16, 2)
    assert metrics.precision_recall(x + 1e4, y + 1e4) == metrics.precision_recall(x, y)


def test_sliced_wasserstein_equals_scipy():
    random = np.random.default_rng(0)
    x = np.tanh(random.normal(size=(300, 50))).astype("float32")
    y = np.tanh(random.normal(0.3, 0.7, size=(200, 50))).astype("float32")
    axes = Projections(64, seed=0).update(x)._axes
    expected = np.mean([scipy.stats.wasserstein_distance(x @ axis, y @ axis) for axis in axes.T])
    found = metrics.sliced_wasserstein_distance(x, y, projections=64)
    assert found == pytest.approx(expected, rel=1e-3)
    one_pixel = metrics.sliced_wasserstein_distance(np.full((3, 1), -1.0), np.full((2, 1), 1.0))
    assert one_pixel == pytest.approx(2, abs=0.003)


@pytest.mark.once
def test_class_score_by_hand():
    certain = np.eye(4).repeat(5, axis=0)
    assert metrics.class_score(certain) == pytest.approx(
        {"class_score": 4, "mode_count": 4, "rarest_class": 0.25}
    )
    one = metrics.class_score(certain[:5])
    assert one == pytest.approx({"class_score": 1, "mode_count": 1, "rarest_class": 0})


def test_equals_torch_fidelity(fidelity):
    import torch

    x, y = (features(800, 64, seed).astype("float32") for seed in (1, 2))
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    fid = fidelity("metric_fid")
    statistics = [fid.fid_features_to_statistics(rows.double()) for rows in (tx, ty)]
    expected = fid.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert metrics.frechet_distance(x, y) == pytest.approx(expected, rel=1e-4)

    kid = fidelity("metric_kid").kid_features_to_metric(
        tx.double(), ty.double(), kid_subsets=1, kid_subset_size=800, verbose=False
    )
    found = metrics.kernel_distance(x, y)
    assert found == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-4)

    manifolds = fidelity("metric_prc").prc_features_to_metric(
        ty, tx, prc_neighborhood=5, prc_batch_size=10000, save_cpu_ram=False, verbose=False
    )
    ours = metrics.precision_recall(x, y, k=5)
    assert ours["precision"] == pytest.approx(manifolds["precision"], abs=2e-3)
    assert ours["recall"] == pytest.approx(manifolds["recall"], abs=2e-3)

    score = fidelity("metric_isc").isc_features_to_metric(tx, splits=1)["inception_score_mean"]
    rows = torch.softmax(tx.double(), dim=1).numpy()
    assert metrics.class_score(rows)["class_score"] == pytest.approx(score, rel=1e-4)


def blurred(images):
    images = images.astype("float32")
    for _ in range(2):
        padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="edge")
        shifts = [(i, j) for i in range(5) for j in range(5)]
        images = np.mean([padded[:, i : i + 28, j : j + 28] for i, j in shifts], axis=0)
    return images.astype("uint8")


@pytest.mark.once
def test_scores_see_what_they_should(clothes, capsys):
    real, other, labels = clothes
    sets = {
        "real": other,
        "five classes": other[labels < 5].repeat(3, axis=0)[: len(other)],
        "five classes, once": other[labels < 5],
        "blurred": blurred(other),
        "halves of two": np.hstack([other[:, :14], np.roll(other[:, 14:], 1, axis=0)]),
        "40 images repeated": other[:40].repeat(30, axis=0),
        "noise": np.random.default_rng(0).integers(0, 256, other.shape, "uint8"),
    }
    table = {}
    for name, generated in sets.items():
        table[name] = {}
        for metric in (
            metrics.FrechetDistance(CLASSIFIER),
            metrics.KernelDistance(CLASSIFIER, subset_size=None),
            metrics.PrecisionRecall(CLASSIFIER),
            metrics.SlicedWassersteinDistance(),
            metrics.ClassScore(CLASSIFIER),
        ):
            metric.update_state(real, generated)
            value = metric.result()
            table[name] |= value if isinstance(value, dict) else {metric.name: value}
    with capsys.disabled():
        print("\n" + " " * 20 + "".join(f"{key.split('_')[0]:>10}" for key in table["real"]))
        for name, row in table.items():
            print(f"{name:20}" + "".join(f"{value:10.3f}" for value in row.values()))

    floor, dropped, once = table["real"], table["five classes"], table["five classes, once"]
    assert floor["precision"] > 0.8 and floor["recall"] > 0.8 and floor["coverage"] > 0.85
    assert abs(floor["kernel_distance"]) < 0.05 * table["blurred"]["kernel_distance"]
    for key in ("frechet_distance", "kernel_distance", "sliced_wasserstein_distance"):
        assert all(row[key] > 2 * floor[key] for name, row in table.items() if name != "real"), key
    for row in (dropped, once):
        assert row["recall"] < floor["recall"] - 0.2
        assert row["coverage"] < floor["coverage"] - 0.2
        assert row["mode_count"] < floor["mode_count"] == 10
        assert row["precision"] > 0.75
    assert table["halves of two"]["precision"] < floor["precision"] - 0.2
    assert table["blurred"]["precision"] < floor["precision"] - 0.2
    assert table["40 images repeated"]["recall"] < 0.2
    assert table["noise"]["precision"] < 0.05


@pytest.mark.parametrize("form", ["uint8", "float", "tensor"])
def test_streaming_equals_the_pure_function(clothes, form):
    real, other, _ = clothes
    forms = {
        "uint8": lambda x: x,
        "float": lambda x: x.astype("float32") / 127.5 - 1,
        "tensor": lambda x: keras.ops.convert_to_tensor(x.astype("float32") / 127.5 - 1),
    }
    extractor = get_extractor(CLASSIFIER)
    expected = metrics.frechet_distance(
        extractor.features(real[:500]), extractor.features(other[:300])
    )
    distance = metrics.FrechetDistance(CLASSIFIER)
    for start in range(0, 500, 64):
        generated = other[start : min(start + 64, 300)]
        distance.update_state(
            forms[form](real[start : min(start + 64, 500)]),
            forms[form](generated) if len(generated) else None,
        )
    assert float(distance.result()) == pytest.approx(expected, rel=1e-3)
    assert (distance.protocol["num_real"], distance.protocol["num_generated"]) == (500, 300)
    assert (distance.protocol["extractor"], distance.protocol["resize"]) == (CLASSIFIER, "none")
    distance.reset_state()
    assert distance.protocol["num_real"] == 0


def test_a_batch_is_read_once_for_all_metrics(clothes):
    calls = []

    def flat(images):
        calls.append(len(images))
        return images.reshape(len(images), -1)[:, :5]

    extractor = metrics.get_extractor(flat)
    compiled = [metrics.FrechetDistance(extractor), metrics.PrecisionRecall(extractor)]
    for metric in compiled:
        metric.update_state(clothes[0][:30], clothes[1][:20])
    assert calls == [30, 20]


@pytest.mark.once
def test_statistics_of_real_images_are_kept(clothes, tmp_path):
    real, other, _ = clothes
    for make in (
        lambda: metrics.FrechetDistance(CLASSIFIER),
        lambda: metrics.KernelDistance(CLASSIFIER, max_images=200),
        lambda: metrics.PrecisionRecall(CLASSIFIER, max_images=200),
        lambda: metrics.SlicedWassersteinDistance(),
    ):
        first, again, damaged, elsewhere = make(), make(), make(), make()
        first.begin("a1b2")
        first.update_state(real[:300], other[:300])
        before = {*tmp_path.rglob("*.npz")}
        value = first.result()
        (file,) = {*tmp_path.rglob("*.npz")} - before

        again.begin("a1b2")
        assert not again.needs_real
        again.update_state(real[300:600], other[:300])  # Not looked at.
        assert again.result() == value
        assert again.protocol == first.protocol

        file.write_bytes(file.read_bytes()[:-300])
        damaged.begin("a1b2")
        assert damaged.needs_real
        damaged.update_state(real[:300], other[:300])
        assert damaged.result() == value
        again.begin("a1b2")
        assert not again.needs_real

        elsewhere.begin("c3d4")
        assert elsewhere.needs_real
        elsewhere.begin(None)
        elsewhere.update_state(real[:300], other[:300])
        elsewhere.result()
        assert {*tmp_path.rglob("*.npz")} - before == {file}
        assert all(path.suffix == ".npz" for path in file.parent.iterdir())  # Nothing unfinished.


@pytest.mark.once
def test_a_changed_model_has_other_statistics(clothes):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(4)])  # fmt: skip
    distance = metrics.FrechetDistance(model)
    distance.begin("a1")
    distance.update_state(*clothes[:2])
    distance.result()
    distance.begin("a1")
    assert not distance.needs_real
    model.set_weights([2 * weight for weight in model.get_weights()])
    distance.begin("a1")
    assert distance.needs_real


@pytest.mark.once
def test_statistics_of_layers_of_ones_own_are_not_kept(clothes):
    class Scale(keras.layers.Layer):  # Its code may change, and its configuration does not tell.
        def call(self, images):
            return images[:, :3, 0, 0]

    distance = metrics.FrechetDistance(keras.Sequential([keras.Input((28, 28, 1)), Scale()]))
    distance.begin("a1")
    distance.update_state(*clothes[:2])
    distance.result()
    distance.begin("a1")
    assert distance.needs_real


@pytest.mark.once
def test_a_home_that_cannot_be_written_costs_no_score(clothes, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path / "file"))
    distance = metrics.SlicedWassersteinDistance()
    distance.begin("a1")
    distance.update_state(clothes[0][:5], clothes[1][:5])
    with pytest.warns(UserWarning, match="could not keep"):
        assert distance.result() > 0


@pytest.mark.parametrize(
    "metric",
    [
        metrics.FrechetDistance(CLASSIFIER),
        metrics.KernelDistance(CLASSIFIER, subsets=3, subset_size=None, max_images=50, seed=4),
        metrics.PrecisionRecall(CLASSIFIER, k=2, name="manifolds"),
        metrics.SlicedWassersteinDistance(projections=8),
        metrics.ClassScore(CLASSIFIER, min_share=0.2),
    ],
    ids=lambda metric: metric.name,
)
def test_serialization(metric, clothes):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert copy.protocol == metric.protocol and copy.get_config() == metric.get_config()
    for one in (metric, copy):
        one.reset_state()
        one.update_state(clothes[0][:60], clothes[1][:60])
    assert metric.result() == copy.result()


def test_extractors_of_ones_own(clothes, tmp_path):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(4, name="four")], name="mine")  # fmt: skip
    model.save(tmp_path / "mine.keras")
    real, other, _ = clothes
    values = []
    for source in (model, tmp_path / "mine.keras", lambda x: model(x)):
        distance = metrics.FrechetDistance(source)
        distance.update_state(real[:100], other[:90])
        values.append(distance.result())
    assert values == pytest.approx(3 * values[:1], rel=1e-4)
    assert metrics.FrechetDistance(model).protocol["extractor"] == "mine"
    config = keras.saving.serialize_keras_object(metrics.FrechetDistance(model))
    copy = keras.saving.deserialize_keras_object(config)
    copy.update_state(real[:100], other[:90])
    assert copy.result() > 0


def test_dict_results_carry_the_name_that_was_given(clothes):
    metric = metrics.PrecisionRecall(CLASSIFIER, name="clothes")
    metric.update_state(clothes[0][:20], clothes[1][:20])
    assert {*metric.result()} == {
        "clothes_precision", "clothes_recall", "clothes_density", "clothes_coverage"
    }  # fmt: skip


@pytest.mark.once
def test_constants_and_few_images(clothes):
    black = np.zeros((8, 28, 28, 1), "uint8")
    grey = np.full((8, 28, 28, 1), 128, "uint8")
    for metric, same, different in (
        (metrics.FrechetDistance(CLASSIFIER), 0.0, 1.0),
        (metrics.KernelDistance(CLASSIFIER), 0.0, 0.1),
        (metrics.SlicedWassersteinDistance(), 0.0, 0.5),
    ):
        metric.update_state(black, black)
        assert metric.result() == pytest.approx(same, abs=1e-6)
        metric.reset_state()
        metric.update_state(black, grey)
        assert metric.result() > different
    metric = metrics.PrecisionRecall(CLASSIFIER)
    metric.update_state(grey, grey)
    assert metric.result() == {"precision": 1, "recall": 1, "density": 8 / 5, "coverage": 1}
    metric.reset_state()
    metric.update_state(grey, black)
    assert metric.result() == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}

    for least, metric in (
        (2, metrics.FrechetDistance(CLASSIFIER)),
        (2, metrics.KernelDistance(CLASSIFIER)),
        (6, metrics.PrecisionRecall(CLASSIFIER)),
        (1, metrics.SlicedWassersteinDistance()),
        (1, metrics.ClassScore(CLASSIFIER)),
    ):
        if least > 1:
            metric.update_state(clothes[0][: least - 1], clothes[1][: least + 3])
        with pytest.raises(ValueError, match=f"at least {least} images on each side; got"):
            metric.result()
        metric.reset_state()
        metric.update_state(clothes[0][:least], clothes[1][:least])
        value = metric.result()
        assert np.isfinite([*value.values()] if isinstance(value, dict) else value).all()


@pytest.mark.once
@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        (np.full((2, 28, 28, 1), np.nan, "float32"), ValueError, "NaN"),
        (np.full((2, 28, 28, 1), 255, "float32"), ValueError, "−1…1"),
        (np.zeros((2, 28, 28, 1), "int32"), TypeError, "uint8"),
        (np.zeros((2, 28, 28), "uint8"), ValueError, r"\(28, 28, 1\).*\(28, 28\)"),
        (np.zeros((0, 28, 28, 1), "uint8"), ValueError, "no samples"),
        (np.zeros((2, 32, 32, 3), "uint8"), ValueError, r"\(28, 28, 1\).*\(32, 32, 3\)"),
    ],
)
def test_images_that_cannot_be_scored(images, error, match):
    metric = metrics.FrechetDistance(CLASSIFIER)
    with pytest.raises(error, match=match):
        metric.update_state(images, None)


@pytest.mark.once
def test_features_that_cannot_be_scored():
    images = np.zeros((4, 8, 8, 1), "uint8")
    for function, match in (
        (lambda x: x, r"features \(4, d\)"),
        (lambda x: x.reshape(4, -1) * np.nan, "NaN"),
        (lambda x: x.reshape(2, -1), r"features \(4, d\)"),
    ):
        with pytest.raises(ValueError, match=match):
            metrics.FrechetDistance(function).update_state(images, images)
    with pytest.raises(ValueError, match="no classifier"):
        metrics.ClassScore(lambda x: x.reshape(4, -1) + 2).update_state(images, images)
    sliced = metrics.SlicedWassersteinDistance()
    sliced.update_state(images, np.zeros((4, 9, 9, 1), "uint8"))
    with pytest.raises(ValueError, match="one size; got 64 and 81"):
        sliced.result()
    good = np.zeros((4, 3))
    for bad, match in (
        (good * np.nan, "NaN"),
        (good[:1], "At least 2"),
        (good[:, :2], "equal in features"),
        (good[0], "equal in features"),
    ):
        with pytest.raises(ValueError, match=match):
            metrics.frechet_distance(good, bad)
    with pytest.raises(ValueError, match="must be at least 1; got 0"):
        metrics.precision_recall(good, good, k=0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        ("incepton", ValueError, "did you mean 'inception'"),
        ("missing.keras", ValueError, "no such file or extractor"),
        ("missing.pth", ValueError, "no such file or extractor"),
        (7, TypeError, "a name, a file, a model or a callable; got 7"),
    ],
)
def test_unknown_extractors(source, error, match):
    with pytest.raises(error, match=match):
        metrics.get_extractor(source)


def test_floats_become_the_pixels_they_came_from():
    levels = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1)
    for dtype in ("float16", "float32", "float64"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            floats = (levels.astype("float64") / 127.5 - 1).astype(dtype)
            np.testing.assert_array_equal(as_uint8(floats), levels)


@pytest.mark.once
def test_memory_does_not_grow_with_the_images():
    random = np.random.default_rng(0)
    for metric in (
        metrics.FrechetDistance(lambda x: x.reshape(len(x), -1)),
        metrics.SlicedWassersteinDistance(projections=16),
    ):
        sizes = []
        for _ in range(3):
            for _ in range(5):
                images = random.integers(0, 256, (20, 6, 6, 1), "uint8")
                metric.update_state(images, images)
            state = metric._generated.state()
            sizes.append(sum(np.asarray(value).nbytes for value in state.values()))
        assert sizes[0] == sizes[2]


def test_the_bundled_classifier_is_as_good_as_its_card_says():
    images, labels = datasets.load("fashion_mnist", "test", labels=True)
    extractor = get_extractor(CLASSIFIER)
    accuracy = (extractor.probabilities(images).argmax(1) == labels).mean()
    assert accuracy > 0.92
    assert extractor.features(images[:3]).shape == (3, 128)
