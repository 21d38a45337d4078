"""Where the metrics keep their files, and how a file gets there whole or not at all."""

import contextlib
import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import keras


def home() -> Path:
    """The folder of downloads and caches: `$KERAS_GAN_HOME`, or `keras_gan` in Keras' own home."""
    keras_home = os.environ.get("KERAS_HOME", "~/.keras")
    return Path(os.environ.get("KERAS_GAN_HOME", f"{keras_home}/keras_gan")).expanduser()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place near `path` to write to; it takes the place of `path` if nothing went wrong.

    A reader sees the old file or the new one, never a part, also with several writers at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        os.replace(part, path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, path: Path, sha256: str, timeout: float = 30.0) -> None:
    """Downloads `url` to `path` and shows the progress; if it fails, nothing is left behind.

    Raises:
        ConnectionError: If the server was not reached, refused, or broke off.
        ValueError: If what came does not have the pinned hash.
    """
    remedy = f"Try again, or put the file there yourself: {path}"
    try:
        with replacing(path) as part:
            with urllib.request.urlopen(url, timeout=timeout) as reply, part.open("wb") as file:
                size = int(reply.headers.get("Content-Length", 0))
                progress = keras.utils.Progbar(size or None, unit_name="byte")
                while chunk := reply.read(1 << 20):
                    progress.add(file.write(chunk))
            if (came := part.stat().st_size) < size:
                raise ConnectionError(f"only {came} of {size} bytes came")
            if (found := sha256_of(part)) != sha256:
                raise ValueError(
                    f"{url} was refused: its sha256 is {found}, not {sha256}. {remedy}"
                )
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise ConnectionError(f"Could not fetch {url}: {error}. {remedy}") from error
