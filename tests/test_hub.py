"""Presets downloaded from web servers and the Hugging Face Hub: whole, interrupted or damaged.

Everything is served on the loopback address, including what the Hub's own client requests.
"""

import base64
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import warnings
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from preset_files import CONFIG, METADATA, WEIGHTS, assert_same, contents, edit, refused
from preset_server import Server

import keras_gan
from keras_gan import presets
from keras_gan.presets import folders, hub

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("cache")]


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
    assert capsys.readouterr().out == ""  # Programs read what a command prints there.
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
    """The whole file has arrived, so the server has nothing left to send."""
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
    server.offer(saved[1])  # Nothing is left that would get in the way.
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


def zipped(members, mode=0o644, **options):
    """Returns a zip archive; names may repeat if `members` are pairs."""
    archive = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),  # About repeated names.
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
    """The server, offering repositories to the Hub's client."""
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
    try:  # The client either retries by itself or raises.
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


# Disks that cannot be written.


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
    for change in ("mkdir", "rename", "unlink"):  # Because modes do not stop root.
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
    """Starts processes that download a preset; kills them in the end."""
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


@pytest.mark.once
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


@pytest.mark.once
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
