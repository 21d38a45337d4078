"""Files that are whole or not there, and keys of their content."""

import http.server
import threading
import urllib.request

import keras
import pytest
from conftest import pictures

from keras_gan import files

pytestmark = pytest.mark.once


def test_what_fails_midway_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_facts(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # The hash of FIPS 180-2, appendix B.1.
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.file_facts(tmp_path / "a") == {"sha256": sha256, "size": 3}


def test_content_keys_differ_with_value_type_and_shape():
    images = pictures(5000)  # More than are hashed at once.
    others = images.copy(), images.view("int8"), images.reshape(-1, 4, 16, 1)
    others[0][-1, -1, -1] += 1
    keys = [files.content_key(array) for array in (images, *others)]
    assert len(set(keys)) == 4
    assert files.content_key(keras.ops.convert_to_tensor(images)) == keys[0]
    assert files.content_key(iter([images])) is None


@pytest.mark.parametrize("target", ["http://example.org/x", "ftp://example.org/x"])
def test_redirects_lead_to_encrypted_addresses_only(target):
    request = urllib.request.Request("https://example.org/x")
    follow = files._SafeRedirects().redirect_request
    with pytest.raises(ConnectionError, match=r"redirects to .* not encrypted"):
        follow(request, None, 302, "Found", {}, target)
    assert follow(request, None, 302, "Found", {}, "https://a.org/y").full_url == "https://a.org/y"


def test_downloads_refuse_redirects(tmp_path):
    class Redirecting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", "ftp://localhost/x")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("localhost", 0), Redirecting) as server:
        threading.Thread(target=server.handle_request).start()
        with pytest.raises(
            ConnectionError, match=r"Could not fetch .*redirects to ftp://localhost"
        ):
            files.fetch(f"http://localhost:{server.server_port}/x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
