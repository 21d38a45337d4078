"""The FID Inception: its graph against torch-fidelity's, its weights' way here."""

import collections
import hashlib
import http.server
import importlib
import importlib.util
import io
import pickle
import sys
import threading
import types

import keras
import numpy as np
import pytest
from conftest import pictures

import keras_gan
from keras_gan import files, metrics
from keras_gan.metrics import inception

pytestmark = pytest.mark.once

PAYLOAD = b"weights" * 1000


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def network():
    """torch-fidelity's own network with random weights, and its file's path maker."""
    torch = pytest.importorskip("torch")
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None:
        pytest.skip("torch-fidelity is not installed")
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(spec.submodule_search_locations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch_fidelity", package)
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: None)
        cls = module.FeatureExtractorInceptionV3
        patch.setattr(cls, "load_state_dict", lambda self, state: None)
        network = cls("random", ["2048", "logits_unbiased"])
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.2)
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    torch.nn.init.normal_(network.fc.weight, 0, 0.02)
    return network


def test_equals_torch_fidelity(network, tmp_path):
    import torch

    path = tmp_path / "random.pth"
    torch.save(network.state_dict(), path)
    extractor = metrics.get_extractor(path)
    assert extractor.name == "random"
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 40, 1), "uint8")
    rgb = torch.from_numpy(np.repeat(images, 3, axis=-1).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        expected, logits = network(rgb)
    np.testing.assert_allclose(extractor.features(images), expected.numpy(), rtol=0, atol=1e-3)
    probabilities = torch.softmax(logits, dim=1).numpy()
    np.testing.assert_allclose(extractor.probabilities(images), probabilities, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (28, 28), (299, 299), (400, 33)])
def test_resize_is_that_of_tensorflow_1(size):
    images = np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype("float32")
    expected = images.astype("float64")
    for axis, length in ((1, size[0]), (2, size[1])):
        place = np.arange(299) * (length / 299)
        low = np.floor(place + 1e-9).astype(int)
        weight = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        high = np.minimum(low + 1, length - 1)
        expected = expected.take(low, axis) * (1 - weight) + expected.take(high, axis) * weight
    found = keras.ops.convert_to_numpy(inception.TensorFlow1Resize()(images))
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_average_pooling_leaves_the_padding_out():
    pooling = keras.layers.AveragePooling2D(3, 1, "same", data_format="channels_last")
    ones = np.ones((1, 4, 5, 2), "float32")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(pooling(ones)), ones, rtol=1e-6)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_state_dicts_are_read_without_torch(tmp_path, legacy):
    torch = pytest.importorskip("torch")
    matrix = torch.arange(12.0).reshape(3, 4)
    state = {
        "matrix": matrix,
        "transposed": matrix.T,
        "part": matrix[1:, 2:],
        "double": matrix.double(),
        "number": torch.tensor(7),
    }
    path = tmp_path / "state.pth"
    torch.save(collections.OrderedDict(state), path, _use_new_zipfile_serialization=not legacy)
    found = inception.read_state_dict(path)
    assert {*found} == {*state}
    for name, tensor in state.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/keras_gan_was_run", "w"))


@pytest.mark.parametrize("content", ["evil", "evil zip", "empty", "text", "cut"])
def test_files_that_are_no_state_dict(tmp_path, content):
    path = tmp_path / "bad.pth"
    if content == "evil":
        path.write_bytes(b"".join(pickle.dumps(x) for x in (1, 2, {}, Evil(), [])))
    elif content == "evil zip":
        torch = pytest.importorskip("torch")
        torch.save({"weight": Evil()}, path)
    elif content == "cut":
        torch = pytest.importorskip("torch")
        stream = io.BytesIO()
        torch.save({"x": torch.zeros(100)}, stream, _use_new_zipfile_serialization=False)
        path.write_bytes(stream.getvalue()[:-50])
    else:
        path.write_bytes(b"" if content == "empty" else b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"bad.pth is not a state dict of PyTorch") as caught:
        metrics.get_extractor(path)
    assert "evil" not in content or "open, which no state dict holds" in str(caught.value)


def test_weights_of_another_network(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 5, 5)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not the weights of the FID Inception"):
        metrics.get_extractor(tmp_path / "other.pth")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAYLOAD)))
        self.end_headers()
        self.wfile.write(PAYLOAD[:100] if self.path == "/cut" else PAYLOAD)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/whole", "/moved"])
def test_fetch(server, tmp_path, path):
    target = tmp_path / "folder" / "weights"
    files.fetch(server + path, target, hashlib.sha256(PAYLOAD).hexdigest())
    assert target.read_bytes() == PAYLOAD
    assert [*target.parent.iterdir()] == [target]


@pytest.mark.parametrize(
    ("path", "sha256", "error", "match"),
    [
        ("/whole", "0" * 64, ValueError, "was refused: its sha256 is"),
        (
            "/cut",
            hashlib.sha256(PAYLOAD).hexdigest(),
            ConnectionError,
            "100 of 7000 bytes|100 bytes",
        ),
        ("/missing", "0" * 64, ConnectionError, "404"),
    ],
)
def test_fetch_that_fails_leaves_no_file(server, tmp_path, path, sha256, error, match):
    target = tmp_path / "folder" / "weights"
    with pytest.raises(error, match=match) as caught:
        files.fetch(server + path, target, sha256)
    assert str(target) in str(caught.value)
    kept = [".part-weights"] if path == "/cut" else []  # The next call goes on there.
    assert [file.name for file in target.parent.iterdir()] == kept


def test_fetch_keeps_the_old_file(server, tmp_path):
    target = tmp_path / "weights"
    target.write_text("old")
    with pytest.raises(ConnectionError):
        files.fetch(server + "/cut", target, "0" * 64)
    assert target.read_text() == "old"


def test_offline(monkeypatch, tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    monkeypatch.setattr(inception, "URL", f"http://127.0.0.1:{port}/pt_inception.pth")
    path = tmp_path / "home" / "pt_inception.pth"
    with pytest.raises(
        ConnectionError, match=r"Could not fetch .* put the file there yourself"
    ) as e:
        distance = metrics.FrechetDistance("inception")
        gan = keras_gan.create_model("vanilla", (8, 8, 1), metrics=[distance])
        images = pictures(8)
        late = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: pytest.fail("too late"))
        gan.fit(images, validation_data=images, callbacks=[late])
    assert str(path) in str(e.value)


def test_inception_by_name(server, monkeypatch, tmp_path):
    """The whole way of the weights: fetched once, checked, kept, and named in the protocol."""
    monkeypatch.setattr(inception, "URL", f"{server}/inception.pth")
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(PAYLOAD).hexdigest())
    monkeypatch.setattr(inception, "read_state_dict", lambda path: path.read_bytes())
    read = []
    monkeypatch.setattr(inception, "build_inception", lambda state: read.append(state) or state)
    first = inception.extractor("inception")
    assert first.resize == "299x299, bilinear as in TensorFlow 1"
    assert first.function == PAYLOAD and read == [PAYLOAD]
    monkeypatch.setattr(inception, "URL", "http://127.0.0.1:9/inception.pth")
    again = inception.extractor("inception")
    assert first.name == again.name == again.source == "inception"
    assert first.fingerprint() == again.fingerprint() == hashlib.sha256(PAYLOAD).hexdigest()
    assert again.function == PAYLOAD and read == [PAYLOAD, PAYLOAD]
    path = tmp_path / "home" / "inception.pth"
    local = inception.extractor(str(path.rename(tmp_path / "elsewhere.pth")))
    assert (local.name, local.source) == ("inception", str(tmp_path / "elsewhere.pth"))
    path.write_bytes(PAYLOAD[:-1])  # Damaged: fetched anew.
    with pytest.raises(ConnectionError):
        inception.extractor("inception").function  # noqa: B018
