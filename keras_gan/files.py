"""Files: where the library keeps them, and how they get there whole or not at all."""

import contextlib
import errno
import hashlib
import http.client
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import keras

# More than any preset needs, and little enough for a disk: what is fetched at once at most.
MAX_BYTES = 4 << 30


def home() -> Path:
    """The folder of downloads and caches: `$KERAS_GAN_HOME`, or `keras_gan` in Keras' own home."""
    keras_home = os.environ.get("KERAS_HOME", "~/.keras")
    return Path(os.environ.get("KERAS_GAN_HOME", f"{keras_home}/keras_gan")).expanduser()


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A place near `path` to write to; it takes the place of `path` if nothing went wrong.

    A reader sees the old file or the new one, never a part, also with several writers at once.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        part = Path(folder) / path.name
        yield part
        os.replace(part, path)


def file_facts(path: Path) -> dict:
    """`sha256` and `size` in bytes of a file."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": file.tell()}


def fetch(url: str, path: Path, sha256: str | None = None, limit: int = MAX_BYTES) -> None:
    """Downloads `url` to `path` and shows the progress. After a cut, the next call goes on there.

    Raises:
        ConnectionError: If the server was not reached, refused, or broke off.
        ValueError: If what came is of more bytes than the limit, or does not have the given hash;
            nothing of it is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    start = part.stat().st_size if part.exists() else 0
    remedy = f"Try again, or put the file there yourself: {path}"
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            resumed = reply.status == http.HTTPStatus.PARTIAL_CONTENT
            size = int(reply.headers.get("Content-Length", 0))
            came = 0
            # What a command prints for other programs is not mixed with the bar.
            mode = "ab" if resumed else "wb"
            with contextlib.redirect_stdout(sys.stderr), part.open(mode) as file:
                progress = keras.utils.Progbar(size or None, unit_name="byte")
                while file.tell() <= limit and (chunk := reply.read(1 << 20)):
                    came += file.write(chunk)
                    progress.add(len(chunk))
        if part.stat().st_size > limit:
            part.unlink()
            raise ValueError(f"{url} was refused: it is larger than {limit} bytes.")
        if came < size:
            raise ConnectionError(f"only {came} of {size} bytes came")
    except urllib.error.HTTPError as error:
        error.close()
        part.unlink(missing_ok=True)  # What lies there is not the start of what is offered.
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            fetch(url, path, sha256, limit)
            return
        raise ConnectionError(f"Could not fetch {url}: {error}. {remedy}") from error
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            part.unlink(missing_ok=True)
        raise ConnectionError(f"Could not fetch {url}: {error}. {remedy}") from error
    found = file_facts(part)["sha256"]
    if sha256 not in (None, found):
        part.unlink()
        raise ValueError(f"{url} was refused: its sha256 is {found}, not {sha256}. {remedy}")
    os.replace(part, path)


def content_key(array) -> str | None:
    """A hash of an array's values, type and shape; None for anything else."""
    if not hasattr(array, "shape"):
        return None
    array = keras.ops.convert_to_numpy(array)
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    for start in range(0, len(array), 4096):  # In parts: no copy of the whole is made.
        digest.update(array[start : start + 4096].tobytes())
    return digest.hexdigest()
