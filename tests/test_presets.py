"""Presets from elsewhere, presets that are damaged or mean harm, and presets used elsewhere.

All that is fetched comes from a server on the loopback address, also what the client of the
Hugging Face Hub asks for.
"""

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import warnings
import zipfile
from pathlib import Path

import hypothesis
import keras
import numpy as np
import pytest
from conftest import BACKEND, ROOT, assert_equal, changed, fit, pictures, values
from hypothesis import strategies as st
from keras import layers
from PIL import Image

import keras_gan
from keras_gan import GAN, files, networks, presets
from keras_gan.images import image_grid
from keras_gan.presets import folders, hub
from zoo.tools import bundle

SHAPE = (8, 8, 1)
CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"


def tiny_gan():
    gan = GAN(
        networks.mlp_generator(SHAPE, 3, (4,)),
        networks.mlp_discriminator(SHAPE, (4,)),
        ema_momentum=0.9,
    )
    gan.compile(keras.optimizers.Adam(1e-3, 0.5), keras.optimizers.Adam(4e-3))
    random = np.random.default_rng(0)  # So that the average differs from the generator.
    gan.set_weights([random.normal(0, 1, w.shape) for w in gan.get_weights()])
    return gan


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model, as a preset folder that no test may change."""
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    gan = tiny_gan()
    gan.save_to_preset(folder)
    return gan, folder


@pytest.fixture
def preset(saved, tmp_path):
    """A copy of that folder, to be changed."""
    return Path(shutil.copytree(saved[1], tmp_path / "preset"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_GAN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def images(gan):
    """A few samples as `generate` makes them, without compiling anything."""
    latents = np.random.default_rng(0).standard_normal((4, *gan.latent_shape), "float32")
    return keras.ops.convert_to_numpy(gan(latents))


def assert_same(gan, other):
    assert_equal(values(gan.weights), values(other.weights))
    np.testing.assert_allclose(images(gan), images(other), rtol=0, atol=1e-6)


def refused(name, error=ValueError):
    """The one line with which a preset is refused."""
    with pytest.raises(error) as caught:
        keras_gan.from_preset(name)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert len(message) < 700
    return message


def edit(path, change):
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))


def rehash(folder):
    """Makes the metadata tell of the files as they are now."""
    facts = {name: files.file_facts(folder / name) for name in (CONFIG, WEIGHTS)}
    edit(folder / METADATA, lambda metadata: metadata.update(files=facts))


# The server.


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, path = self.server, urllib.parse.unquote(self.path.partition("?")[0])
        span = self.headers.get("Range")
        server.asked.append((self.command, path, span))
        if path not in server.pages:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole, headers = server.pages[path]
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
        body = whole[start:]
        self.send_response((206 if body else 416) if span else 200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.send(path, body)

    do_HEAD = do_GET

    def send(self, path, body):
        end = self.server.cuts.pop(path, len(body))
        if path in self.server.gates:
            reached, go_on = self.server.gates[path]
            self.wfile.write(body[: end // 2])
            reached.set()
            go_on.wait(60)
            body = body[end // 2 :]
        self.wfile.write(body[:end])
        self.close_connection = end < len(body)

    def do_POST(self):
        """What the Hub's client asks for to upload files: a repository, a plan, a commit."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(("POST", self.path, None))
        if self.path.endswith("/commit/main"):
            self.server.committed += [json.loads(line) for line in body.splitlines()]
        told = json.loads(body) if "preupload" in self.path else {"files": []}
        plan = [{**f, "uploadMode": "regular", "shouldIgnore": False} for f in told["files"]]
        answer = {"url": f"{self.server.url}/u/r", "name": "r", "id": "u/r", "files": plan}
        answer |= {"commitUrl": f"{self.server.url}/u/r/commit/1", "commitOid": "1" * 40}
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Offers pages, ends a reply early where `cuts` says so, and waits in its middle at `gates`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.pages, self.cuts, self.gates = {}, {}, {}
        self.asked, self.committed = [], []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def offer(self, folder, place="preset"):
        for path in folder.iterdir():
            self.page(f"/{place}/{path.name}", path.read_bytes())
        return f"{self.url}/{place}"

    def page(self, path, body, **headers):
        self.pages[path] = (body, headers)
        return self.url + path

    def count(self, path):
        return sum(asked == path for _, asked, _ in self.asked)

    def stop(self):
        if self.thread.is_alive():
            self.shutdown()
            self.thread.join()
            self.server_close()

    def handle_error(self, *args):  # Of a client that was killed.
        pass


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


# Folders behind a URL.


def test_folder_is_fetched_once(server, saved, capsys):
    gan, folder = saved
    url = server.offer(folder)
    assert_same(keras_gan.from_preset(url), gan)
    assert capsys.readouterr().out == ""  # A command's own output is for other programs.
    server.stop()
    assert_same(keras_gan.from_preset(url), gan)
    files = ("README.md", CONFIG, METADATA, WEIGHTS, "samples.png")
    assert sorted(server.asked) == [("GET", f"/preset/{name}", None) for name in files]


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_after_a_cut_only_the_rest_is_fetched(kind, server, saved):
    url, path = server.offer(saved[1]), f"/preset/{WEIGHTS}"
    if kind == "archive":
        path = "/preset.zip"
        url = server.page(path, zipped(contents(saved[1])))
    server.cuts[path] = 1000
    message = refused(url, ConnectionError)
    assert server.url + path in message
    assert "1000" in message
    assert_same(keras_gan.from_preset(url), saved[0])
    spans = [span for _, asked, span in server.asked if asked == path]
    assert spans == [None, "bytes=1000-"]


def test_ended_between_the_last_byte_and_the_move(server, saved, cache):
    """All is there already: the server then has no rest to send."""
    url = server.offer(saved[1])
    server.cuts[f"/preset/{WEIGHTS}"] = 1000
    refused(url, ConnectionError)
    [part] = cache.rglob(".part-*")
    part.write_bytes((saved[1] / WEIGHTS).read_bytes())
    assert_same(keras_gan.from_preset(url), saved[0])


def metadata(change):
    def damage(folder):
        edit(folder / METADATA, change)

    return damage


def text(name, body):
    return lambda folder: (folder / name).write_bytes(body)


def renamed(name):
    return metadata(lambda m: m["files"].update({name: m["files"].pop(WEIGHTS)}))


BAD_FOLDERS = {
    "wrong hash": (text(WEIGHTS, b"other"), WEIGHTS),
    "hash of another file": (
        metadata(lambda m: m["files"][CONFIG].update(m["files"][WEIGHTS])),
        CONFIG,
    ),
    "no hash": (metadata(lambda m: m["files"][CONFIG].pop("sha256")), METADATA),
    "null for a hash": (metadata(lambda m: m["files"][CONFIG].update(sha256=None)), CONFIG),
    "wrong size": (metadata(lambda m: m["files"][CONFIG].update(size=1)), CONFIG),
    "no JSON": (text(METADATA, b"<html>"), METADATA),
    "no text": (text(METADATA, b"\xff\xfe"), METADATA),
    "a list": (text(METADATA, b"[]"), METADATA),
    "nothing": (text(METADATA, b"{}"), METADATA),
    "deep": (text(METADATA, b"[" * 100_000), METADATA),
    "lists no weights": (metadata(lambda m: m["files"].pop(WEIGHTS)), WEIGHTS),
    "lists no files": (metadata(lambda m: m.update(files=[])), METADATA),
    "newer format": (metadata(lambda m: m.update(format=folders.FORMAT + 1)), "newer keras-gan"),
    "no format": (metadata(lambda m: m.pop("format")), "format"),
    "above": (renamed("../evil"), "../evil"),
    "the folder above": (renamed(".."), "'..'"),
    "absolute": (renamed("/tmp/evil"), "/tmp/evil"),
    "no name": (renamed(""), "''"),
    "backslash": (renamed("..\\evil"), "evil"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_folder_that_is_refused(case, server, saved, preset, cache):
    damage, word = BAD_FOLDERS[case]
    damage(preset)
    url = server.offer(preset)
    server.page("/evil", b"evil")
    message = refused(url)
    assert url in message
    assert word in message
    assert not [*cache.parent.rglob("*evil*")]
    server.offer(saved[1])  # Nothing of it is in the way later.
    assert presets.find_preset(url).is_relative_to(cache)


@pytest.mark.parametrize("name", [METADATA, WEIGHTS, "preset.zip"])
def test_not_found(name, server, saved):
    url = server.offer(saved[1]) if name != "preset.zip" else f"{server.url}/{name}"
    server.pages.pop(f"/preset/{name}", None)
    message = refused(url, ConnectionError)
    assert "404" in message
    assert name in message
    server.offer(saved[1])
    server.page("/preset.zip", zipped(contents(saved[1])))
    assert presets.find_preset(url)


def test_no_network(server, saved):
    url = server.offer(saved[1])
    server.stop()
    assert url in refused(url, ConnectionError)


def test_only_encrypted(server):
    assert "https://" in refused("http://keras-gan.invalid/preset")


# Archives behind a URL.


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def zipped(members, mode=0o644, **options):
    """A zip archive; a member's name may come twice, if `members` are pairs."""
    archive = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),  # Of names that come twice.
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, **options) as file,
    ):
        for name, body in getattr(members, "items", lambda: members)():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (stat.S_IFLNK if body == b"/etc/passwd" else mode) << 16
            file.writestr(member, body)
    return archive.getvalue()


def under(folder):
    return lambda members: zipped({f"{folder}/{name}": body for name, body in members.items()})


@pytest.mark.parametrize(
    "pack",
    [zipped, under("tiny-1.0"), lambda members: under("tiny")({"": b""} | members)],
    ids=["flat", "in a folder", "with an entry for the folder"],
)
def test_archive_is_fetched_once(pack, server, saved):
    url = server.page("/preset.zip", pack(contents(saved[1])))
    assert_same(keras_gan.from_preset(url + "?download=true"), saved[0])
    server.stop()
    assert_same(keras_gan.from_preset(url + "?download=true"), saved[0])
    assert server.asked == [("GET", "/preset.zip", None)]


def flipped(members):
    archive = bytearray(zipped(members))
    archive[len(archive) // 3] ^= 255
    return bytes(archive)


def encrypted(members):
    archive = bytearray(zipped(members))
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        archive[archive.index(header) + flags] |= 1
    return bytes(archive)


BAD_ARCHIVES = {
    "above": under(".."),
    "above, later": under("tiny/.."),
    "absolute": under("/tmp"),
    "with a drive": under("C:"),
    "one above": lambda m: zipped(m | {"../evil": b""}),
    "the folder itself": lambda m: zipped(m | {"..": b"evil"}),
    "two folders": lambda m: zipped(m | {"other/evil": b""}),
    "two levels": under("a/b"),
    "a name twice": lambda m: zipped([*m.items(), (CONFIG, m[CONFIG])]),
    "a link": lambda m: zipped(m | {"evil": b"/etc/passwd"}),
    "a link for the weights": lambda m: zipped(m | {WEIGHTS: b"/etc/passwd"}),
    "no zip": lambda m: b"<html>not found</html>",
    "empty": lambda m: zipped({}),
    "half of it": lambda m: zipped(m)[:-500],
    "damaged": flipped,
    "encrypted": encrypted,
    "no metadata": lambda m: zipped({CONFIG: m[CONFIG]}),
    "other weights": lambda m: zipped(m | {WEIGHTS: b"other"}),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_archive_that_is_refused(case, server, saved, cache):
    members = contents(saved[1])
    url = server.page("/preset.zip", BAD_ARCHIVES[case](members))
    assert url in refused(url)
    assert not [*cache.parent.rglob("evil")]
    assert not [*cache.rglob("*.zip")]
    assert not [*cache.rglob("*.json")]
    server.page("/preset.zip", zipped(members))
    assert presets.find_preset(url).is_relative_to(cache)


def test_archive_of_absurd_size(server, saved, monkeypatch):
    members = contents(saved[1])
    url = server.page("/preset.zip", zipped(members))
    with monkeypatch.context() as patch:
        patch.setattr(hub, "MAX_BYTES", sum(map(len, members.values())) - 1)
        assert "GiB" in refused(url)
    assert presets.find_preset(url)


@pytest.mark.parametrize("name", [METADATA, WEIGHTS])
def test_server_that_sends_more_than_it_told(name, server, saved, cache):
    url = server.offer(saved[1])
    body = (saved[1] / name).read_bytes()
    server.page(f"/preset/{name}", body + b" " * (2 << 20))
    message = refused(url)
    assert name in message and "larger than" in message
    assert not [path for path in cache.rglob("*") if path.is_file() and path.name != "lock"]
    server.offer(saved[1])
    assert_same(keras_gan.from_preset(url), saved[0])


def test_folder_of_absurd_size(server, preset):
    edit(preset / METADATA, lambda m: m["files"][WEIGHTS].update(size=5 << 30))
    assert "GiB" in refused(server.offer(preset))


def test_damaged_in_the_cache_is_fetched_anew(server, saved, cache):
    url = server.offer(saved[1])
    path = presets.find_preset(url) / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    assert_same(keras_gan.from_preset(url), saved[0])


def test_layers_of_absurd_size_take_no_memory(preset):
    def widen(config):
        first, second = [x for x in generator_layers(config) if x["class_name"] == "Dense"]
        first["config"]["units"] = second["build_config"]["input_shape"][1] = 10**11

    edit(preset / CONFIG, widen)
    rehash(preset)
    assert "weights" in refused(preset)


def test_unpacking_that_was_ended(server, saved, monkeypatch):
    url = server.page("/preset.zip", zipped(contents(saved[1])))

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            keras_gan.from_preset(url)
    assert_same(keras_gan.from_preset(url), saved[0])


# The Hugging Face Hub.


@pytest.fixture
def hugging_face(server, monkeypatch):
    """The server, offering repositories; the client that is installed asks it."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("HF_TOKEN", "hf_test")

    def offer(folder, revision="main"):
        entries, bodies = [], contents(folder)
        commit = hashlib.sha1(repr((revision, bodies)).encode()).hexdigest()
        for name, body in bodies.items():
            oid = hashlib.sha1(body).hexdigest()
            entries.append({"type": "file", "path": name, "size": len(body), "oid": oid})
            told = {"ETag": f'"{oid}"', "X-Repo-Commit": commit}
            server.page(f"/u/r/resolve/{commit}/{name}", body, **told)
        info = {"id": "u/r", "sha": commit, "siblings": [{"rfilename": name} for name in bodies]}
        server.page(f"/api/models/u/r/revision/{revision}", json.dumps(info).encode())
        server.page(f"/api/models/u/r/tree/{commit}", json.dumps(entries).encode())

    server.offer_repository = offer
    return server


def test_hugging_face_once_fetched_needs_no_network(hugging_face, saved, cache):
    hugging_face.offer_repository(saved[1])
    assert_same(keras_gan.from_preset("hf://u/r"), saved[0])
    assert presets.find_preset("hf://u/r").is_relative_to(cache)
    hugging_face.stop()
    assert_same(keras_gan.from_preset("hf://u/r"), saved[0])


def test_hugging_face_revision(hugging_face, saved, preset):
    hugging_face.offer_repository(saved[1])
    (preset / "README.md").write_text("of the second version")
    (preset / "evil.py").write_text("raise SystemExit")
    hugging_face.offer_repository(preset, "v2")
    folder = presets.find_preset("hf://u/r@v2")
    assert (folder / "README.md").read_text() == "of the second version"
    assert not (folder / "evil.py").exists()
    assert presets.find_preset("hf://u/r") != folder


def test_hugging_face_after_a_cut(hugging_face, saved):
    hugging_face.offer_repository(saved[1])
    path = next(page for page in hugging_face.pages if page.endswith(WEIGHTS))
    hugging_face.cuts[path] = 1000
    try:  # The client tries again by itself, or says so.
        keras_gan.from_preset("hf://u/r")
    except ConnectionError as error:
        assert "hf://u/r" in str(error)
    assert_same(keras_gan.from_preset("hf://u/r"), saved[0])


@pytest.mark.parametrize("case", ["unknown repository", "unknown revision", "no network"])
def test_hugging_face_that_cannot_be_fetched(case, hugging_face, saved):
    uri = {"unknown repository": "hf://u/nothing", "unknown revision": "hf://u/r@v9"}.get(case)
    hugging_face.offer_repository(saved[1])
    if case == "no network":
        hugging_face.stop()
    message = refused(uri or "hf://u/r", ConnectionError)
    assert f"{uri or 'hf://u/r'} could not be downloaded" in message
    assert case != "unknown repository" or "Not Found" in message


def test_hugging_face_wrong_hash(hugging_face, saved, preset):
    (preset / WEIGHTS).write_bytes(b"other")
    hugging_face.offer_repository(preset)
    assert WEIGHTS in refused("hf://u/r")
    hugging_face.offer_repository(saved[1])
    assert_same(keras_gan.from_preset("hf://u/r"), saved[0])


@pytest.mark.parametrize(
    "uri", ["hf://alone", "hf://a/b/c", "hf://", "hf://u/bad name", "hf://u/r@"]
)
def test_hugging_face_address(uri, hugging_face):
    assert uri in refused(uri, (ValueError, ConnectionError))


def test_hugging_face_client_missing(monkeypatch):
    for name in {"huggingface_hub", *sys.modules}:
        if name.partition(".")[0] == "huggingface_hub":
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"huggingface_hub; run pip install 'keras-gan\[hub\]'"):
        keras_gan.from_preset("hf://u/r")


def test_upload(hugging_face, saved, preset):
    (preset / "state_1.keras").write_bytes(b"of a run")
    (preset / "notes.txt").write_text("mine")
    keras_gan.upload_preset("hf://u/r", preset)
    assert hugging_face.count("/api/repos/create") == 1
    found = {
        entry["value"]["path"]: base64.b64decode(entry["value"]["content"])
        for entry in hugging_face.committed
        if entry["key"] == "file"
    }
    assert found == contents(saved[1])


def test_only_whole_presets_are_uploaded(hugging_face, preset):
    (preset / WEIGHTS).write_bytes(b"other")
    with pytest.raises(ValueError, match=WEIGHTS):
        keras_gan.upload_preset("hf://u/r", preset)
    with pytest.raises(ValueError, match="hf://user/repository"):
        keras_gan.upload_preset("u/r", ROOT / "tests" / "data" / "preset_format_1")
    assert not hugging_face.asked


# Presets that mean harm.


def bait(name, *, module="keras.layers", config=None, registered_name=None, **more):
    config = {"name": "bait"} if config is None else config
    entries = {"module": module, "class_name": name, "config": config}
    return {**entries, "registered_name": registered_name, **more}


def function(module, name, **more):
    return bait("function", module=module, config=name, **more)


def a_lambda():
    with warnings.catch_warnings(action="ignore"):  # That it is unsafe.
        return keras.saving.serialize_keras_object(lambda x: os.system("true") or x)


def lambda_layer(**changes):
    layer = layers.Lambda(lambda x: os.system("true") or x, output_shape=(64,), name="bait")
    return keras.saving.serialize_keras_object(layer) | changes


def generator_layers(config):
    return config["config"]["generator"]["config"]["layers"]


def adds(layer):
    return lambda config: generator_layers(config).insert(2, layer())


def activates(activation):
    def change(config):
        dense = next(x for x in generator_layers(config) if x["class_name"] == "Dense")
        dense["config"]["activation"] = activation()

    return change


def gives(key, value):
    return lambda config: config["config"].update({key: value()})


def compiles(key, value):
    return lambda config: config["compile_config"].update({key: value()})


HARM = {
    "Lambda": adds(lambda_layer),
    "Lambda by another path": adds(
        lambda: lambda_layer(module="keras", class_name="layers.Lambda")
    ),
    "Lambda from the source": adds(
        lambda: lambda_layer(module="keras.src.layers.core.lambda_layer", registered_name="Lambda")
    ),
    "Lambda of a path": adds(lambda: bait("Lambda", config={"function": "os.system"})),
    "TFSMLayer": adds(lambda: bait("TFSMLayer", config={"filepath": "/tmp/model", "name": "bait"})),
    "TorchModuleWrapper": adds(
        lambda: bait("TorchModuleWrapper", config={"module": "x", "name": "bait"})
    ),
    "JaxLayer": adds(lambda: bait("JaxLayer", config={"call_fn": "f", "name": "bait"})),
    "a lambda": activates(a_lambda),
    "os.system": activates(lambda: function("os", "system")),
    "os.system under our name": activates(
        lambda: function("os", "system", registered_name="keras_gan>GAN")
    ),
    "os.system by its path alone": activates(lambda: "os.system"),
    "exec": activates(lambda: function("builtins", "exec")),
    "a module with code": adds(lambda: bait("Layer", module="bait_module")),
    "a module with code, as keras": adds(lambda: bait("Layer", module="keras.bait_module")),
    "keras' own get_file": activates(lambda: function("keras.utils", "get_file")),
    "Popen for a loss": gives(
        "loss", lambda: bait("Popen", module="subprocess", config={"args": ["true"]})
    ),
    "a lambda for a penalty": gives("penalty", a_lambda),
    "os.system for a metric": compiles("metrics", lambda: [function("os", "system")]),
    "Popen for an optimizer": compiles(
        "generator_optimizer", lambda: bait("Popen", module="subprocess", config={"args": ["true"]})
    ),
    "code in the weights' place": lambda config: config.update(a_lambda()),
}


@pytest.mark.parametrize("case", HARM)
def test_code_is_refused_and_not_run(case, preset, monkeypatch, tmp_path):
    (tmp_path / "bait_module.py").write_text("import os; os.system('true')")
    monkeypatch.syspath_prepend(str(tmp_path))
    config_of_bait = json.loads((preset / CONFIG).read_text())
    HARM[case](config_of_bait)
    (preset / CONFIG).write_text(json.dumps(config_of_bait))
    rehash(preset)
    run = []
    monkeypatch.setattr(os, "system", run.append)
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda self, *args, **more: run.append(args))
    message = refused(preset)
    assert str(preset / CONFIG) in message
    assert "os.system" not in case or "system" in message
    assert not run
    assert "bait_module" not in sys.modules


def test_registered_classes_are_built(saved, preset):
    """What the running program itself knows is no harm."""

    @keras.saving.register_keras_serializable("tests")
    class Same(layers.Layer):
        def call(self, inputs):
            return inputs

    same = keras.saving.serialize_keras_object(Same(name="same"))
    edit(preset / CONFIG, adds(lambda: same))
    rehash(preset)
    assert_same(keras_gan.from_preset(preset), saved[0])


def test_unknown_name_tells_the_closest(preset, monkeypatch):
    bundled = {f"{name}_fashion_mnist": preset for name in ("dcgan", "wgan_gp", "vanilla")}
    monkeypatch.setattr(folders, "_bundled", lambda: bundled)
    message = refused("dcgan_fashion_mnst")
    assert "did you mean 'dcgan_fashion_mnist'" in message
    assert "wgan_gp_fashion_mnist" in message


# Disks that take nothing.


def test_cache_that_cannot_be_made(server, saved, monkeypatch):
    url = server.offer(saved[1])
    monkeypatch.setenv("KERAS_GAN_HOME", "/sys/keras_gan")  # Not even for root.
    assert "/sys/keras_gan" in refused(url, OSError)
    assert not server.asked


def test_cache_that_is_read_only_is_read(server, saved, cache, monkeypatch):
    url = server.offer(saved[1])
    folder = presets.find_preset(url)
    for path in (folder, folder.parent):
        path.chmod(0o555)
    for change in ("mkdir", "rename", "unlink"):  # For root, whom no mode stops.
        monkeypatch.setattr(Path, change, full)
    monkeypatch.setattr("filelock.FileLock.acquire", full)
    try:
        assert_same(keras_gan.from_preset(url), saved[0])
    finally:
        for path in (folder, folder.parent):
            path.chmod(0o755)


def full(*args, **options):
    raise OSError(28, "No space left on device")


def on_full_disk(open):
    def opened(path, mode="r", *args, **options):
        if "r" not in mode:
            open(path, mode).close()
        return open(path if "r" in mode else Path("/dev/full"), mode, *args, **options)

    return opened


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("kind", ["folder", "archive", "unpacking"])
def test_full_disk(kind, server, saved, cache, monkeypatch):
    url = server.offer(saved[1])
    if kind != "folder":
        url = server.page("/preset.zip", zipped(contents(saved[1])))
    with monkeypatch.context() as patch:
        if kind == "unpacking":
            patch.setattr(hub, "open", on_full_disk(open), raising=False)
        else:
            patch.setattr(Path, "open", on_full_disk(Path.open))
        message = refused(url, (ConnectionError, ValueError))
    assert "No space left" in message
    assert url in message
    assert not [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size]
    assert_same(keras_gan.from_preset(url), saved[0])


# Several processes.

PULL = """
import sys
import tempfile
from keras_gan import presets
print("ready", flush=True)
print(presets.find_preset(sys.argv[1]))
"""


@pytest.fixture
def pull():
    """Starts processes that fetch a preset; each has come to it when this returns."""
    started = []

    def start(url):
        environment = os.environ | {"KERAS_BACKEND": "numpy"}
        command = [sys.executable, "-c", PULL, url]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def gate(server, path):
    server.gates[path] = threading.Event(), threading.Event()
    return server.gates[path]


def found(process):
    assert process.wait(60) == 0
    return Path(process.stdout.read().splitlines()[-1])


@pytest.mark.cross
def test_of_two_processes_one_fetches(server, saved, pull, cache):
    url = server.offer(saved[1])
    reached, go_on = gate(server, f"/preset/{METADATA}")
    processes = [pull(url), pull(url)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    assert reached.wait(60)
    go_on.set()
    folders = {found(process) for process in processes}
    assert folders == {presets.find_preset(url)}
    assert [server.count(f"/preset/{name}") for name in (METADATA, CONFIG, WEIGHTS)] == [1, 1, 1]
    assert_same(keras_gan.from_preset(url), saved[0])


@pytest.mark.cross
@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_of_two_processes_one_is_killed(kind, server, saved, pull, cache):
    url, path = server.offer(saved[1]), f"/preset/{WEIGHTS}"
    if kind == "archive":
        path = "/preset.zip"
        url = server.page(path, zipped(contents(saved[1])))
    reached, go_on = gate(server, path)
    first = pull(url)
    assert reached.wait(60)
    second = pull(url)
    assert second.stdout.readline() == "ready\n"
    first.kill()
    assert first.wait() == -signal.SIGKILL
    go_on.set()
    folder = found(second)
    assert server.count(path) == 2
    assert sorted(p.name for p in folder.parent.iterdir()) == ["lock", "preset"]
    assert_same(keras_gan.from_preset(url), saved[0])


# Any damage.

OTHER_VALUES = (
    [None, True, 0, -1, 3, 1.5, "", "relu", "os.system", "Dense", "Lambda", "keras", "float64"]
    + [[], {}, [4, 4], [[None, 3]], {"class_name": "Dense"}, {"class_name": "Add", "config": {}}]
    + ["\0", "é\n", "x" * 300, 10**400, {"class_name": "__lambda__", "config": {"value": "x"}}]
)


def places(entries):
    """All `(container, key)` of a JSON document."""
    found = []
    keys = entries.keys() if isinstance(entries, dict) else range(len(entries))
    for key in keys:
        found.append((entries, key))
        if isinstance(entries[key], (dict, list)):
            found += places(entries[key])
    return found


def mutate_json(path, where, how, value):
    try:
        entries = json.loads(path.read_text())
    except ValueError:  # An earlier mutation has been here.
        return
    all_places = places(entries) if isinstance(entries, (dict, list)) else []
    if not all_places:
        return
    container, key = all_places[int(where * (len(all_places) - 1))]
    if how == "replaced":
        container[key] = value
    else:
        old = container.pop(key)
        if how == "renamed" and isinstance(container, dict):
            container[f"{key}s"] = old
    path.write_text(json.dumps(entries))


def mutate_bytes(path, where, how, value):
    body = bytearray(path.read_bytes())
    place = int(where * (len(body) - 1))
    if how == "cut":
        body = body[:place]
    elif body:
        body[place] ^= value
    path.write_bytes(body)


fraction = st.floats(0, 1)
json_mutations = st.tuples(
    st.just(mutate_json),
    st.sampled_from([CONFIG, CONFIG, METADATA]),
    fraction,
    st.sampled_from(["removed", "renamed", "replaced", "replaced"]),
    st.sampled_from(OTHER_VALUES),
)
byte_mutations = st.tuples(
    st.just(mutate_bytes),
    st.sampled_from([CONFIG, WEIGHTS, METADATA]),
    fraction,
    st.sampled_from(["cut", "flipped"]),
    st.integers(1, 255),
)


@hypothesis.settings(max_examples=40, derandomize=True, deadline=None, database=None)
@hypothesis.given(
    mutations=st.lists(json_mutations | byte_mutations, min_size=1, max_size=2),
    consistent=st.booleans(),
)
def test_damaged_presets_are_right_or_refused(saved, mutations, consistent):
    """The model that was saved, or one line; with new hashes, no other weights than those."""
    gan, original = saved
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(original, Path(parent) / "preset"))
        for mutate, name, *how in mutations:
            # Weights with a hash of their own are another model's, and no damage.
            if not (consistent and name == WEIGHTS):
                mutate(folder / name, *how)
        if consistent:
            (folder / METADATA).write_bytes((original / METADATA).read_bytes())
            rehash(folder)
        try:
            loaded = keras_gan.from_preset(folder)
        except ValueError as error:
            assert str(folder) in str(error)
            assert "\n" not in str(error)
            assert len(str(error)) < 700
            return
        if not consistent:
            assert_same(loaded, gan)
        for network in ("generator", "discriminator", "ema_generator"):
            if getattr(loaded, network) is not None:
                assert_equal(
                    values(getattr(loaded, network).weights), values(getattr(gan, network).weights)
                )


# What is done with a preset.


def test_fit_goes_on_from_both_networks(saved):
    gan = keras_gan.from_preset(saved[1])
    before = {name: values(getattr(gan, name).weights) for name in ("generator", "discriminator")}
    for name, weights in before.items():
        assert_equal(weights, values(getattr(saved[0], name).weights))
    fit(gan, pictures(8), 4)
    for name, weights in before.items():
        after = values(getattr(gan, name).weights)
        assert all(changed(weights, after))
        assert_equal(weights, after, atol=0.1)  # Two small steps away from it.


def run_onnx(path, latents):
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: latents})[0]


def run_saved_model(path, latents):
    import tensorflow as tf

    model = tf.saved_model.load(path)  # Its variables live as long as this.
    return model.serve(latents)


def run_litert(path, latents):
    import tensorflow as tf

    with warnings.catch_warnings(action="ignore"):  # That it will move to another package.
        interpreter = tf.lite.Interpreter(path)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, latents.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, latents)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


# What Keras offers, and the packages that it needs for it on each backend.
EXPORTS = {
    ("onnx", "torch"): (run_onnx, ".onnx", ["onnx", "onnxscript"]),
    ("onnx", "tensorflow"): (run_onnx, ".onnx", ["tf2onnx"]),
    ("onnx", "jax"): (run_onnx, ".onnx", ["jax2onnx", "flax"]),
    ("tf_saved_model", "tensorflow"): (run_saved_model, "", []),
    ("tf_saved_model", "jax"): (run_saved_model, "", ["tensorflow"]),
    ("litert", "tensorflow"): (run_litert, ".tflite", []),
}


@pytest.mark.parametrize("format", [kind for kind, backend in EXPORTS if backend == BACKEND])
def test_exported_generator_makes_the_same_images(format, saved, tmp_path):
    run, suffix, packages = EXPORTS[format, BACKEND]
    for package in packages:
        pytest.importorskip(package)
    gan = keras_gan.from_preset(saved[1])
    expected = gan.generate(5, seed=0)
    path = str(tmp_path / f"generator{suffix}")
    gan.export(path, format=format, verbose=False)
    latents = np.random.default_rng(0).standard_normal((5, 3), "float32")
    images = np.rint((np.asarray(run(path, latents)) + 1) * 127.5)
    assert expected.std() > 10
    np.testing.assert_allclose(images, expected.astype("float32"), atol=1)


OLD = Path(__file__).parent / "data" / "preset_format_1"


def test_packing_keeps_the_average_and_the_discriminator(saved, preset):
    bundle.pack(preset)
    gan, packed = saved[0], keras_gan.from_preset(preset)
    kept = {"generator": "ema_generator", "ema_generator": "ema_generator"}
    for name, source in (kept | {"discriminator": "discriminator"}).items():
        weights = (getattr(owner, n).get_weights() for owner, n in ((packed, name), (gan, source)))
        for found, expected in zip(*weights, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", keras_gan.list_presets())
def test_bundled(name):
    folder = presets.find_preset(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12 << 20
    metadata = json.loads((folder / METADATA).read_text())
    told = {"variant", "data", "data_sha256", "licence", "limits", "paper", "recipe", "scores"}
    assert told <= metadata.keys() and metadata["name"] == name
    for file, facts in metadata["files"].items():
        assert files.file_facts(folder / file) == facts
    samples = image_grid(keras_gan.from_preset(name).generate(64, seed=0))
    with Image.open(folder / "samples.png") as committed:
        distance = np.asarray(committed).astype("int16") - samples
    assert abs(distance).max() <= 1 and (distance != 0).mean() < 1e-3  # Rounding, here and there.


def test_old_preset_still_loads():
    """Saved by version 0.1.0 on JAX; a later version must read it, on every backend."""
    gan = keras_gan.from_preset(OLD)
    expected = np.load(OLD / "samples.npy")
    found = gan.generate(len(expected), seed=0)
    assert found.dtype == expected.dtype == np.uint8
    assert expected.std() > 10
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)
    assert gan.compiled
    assert json.loads((OLD / METADATA).read_text())["format"] == 1
