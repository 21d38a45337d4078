"""Where downloads are kept; writing and downloading files without leaving partial ones."""

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import stat
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

# The most that one download may take: more than any preset needs, and little enough for a disk.
MAX_BYTES = 4 << 30


def home() -> Path:
    """Returns the folder of downloads and caches.

    It is `$KERAS_GAN_HOME`, or else `keras_gan` in Keras' folder, `$KERAS_HOME` or `~/.keras`.
    """
    keras_home = os.environ.get("KERAS_HOME", "~/.keras")
    return Path(os.environ.get("KERAS_GAN_HOME", f"{keras_home}/keras_gan")).expanduser()


WRITING = ".writing-"  # How the names of temporary folders start.
READY = ".ready"  # A folder of files that are complete, and replace others one by one.


@contextlib.contextmanager
def replacing(path: str | os.PathLike, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path to write to, which replaces `path` unless an error is raised.

    Readers see the old file or the new one, never a part of it, even with several writers at once.

    Args:
        path: The file to write. Its folder is made if it is missing.
        durable: Whether to wait until the new file is on the disk, so that not even a power cut
            leaves neither.

    Yields:
        A path in a temporary folder beside the file, with the file's name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=WRITING) as folder:
        part = Path(folder) / path.name
        yield part
        if durable:
            _sync(part)
        os.replace(part, path)
        if durable:
            _sync(path.parent)


@contextlib.contextmanager
def replacing_all(folder: str | os.PathLike, last: str) -> Iterator[Path]:
    """Yields a temporary folder, whose files replace those of `folder` unless an error is raised.

    All are replaced or none, wherever the process is killed: the new files are complete on the disk
    before the first one is moved, and once the file `last` has been moved, `finish_replacing` moves
    those that are left. Other files in the folder are kept.

    Args:
        folder: The folder to change; it is created if missing.
        last: The file by which readers recognize the others, as it lists their hashes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=WRITING) as temporary:
        written = Path(temporary) / "files"
        written.mkdir()
        yield written
        for path in written.iterdir():
            _sync(path)
        finish_replacing(folder, last)
        shutil.rmtree(folder / READY, ignore_errors=True)  # Of a process killed before it counted.
        os.rename(written, folder / READY)
        os.replace(folder / READY / last, folder / last)  # From here on, the new files count.
        finish_replacing(folder, last)
        _sync(folder)


def finish_replacing(folder: Path, last: str) -> None:
    """Moves the files that a process killed in `replacing_all` had no time to move.

    Readers call it too: it only moves what already counts, so it may run beside the writer.
    """
    ready = folder / READY
    if not ready.is_dir() or (ready / last).exists():
        return
    for path in sorted(ready.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # Another process has moved it.
            os.replace(path, folder / path.name)
    with contextlib.suppress(OSError):
        ready.rmdir()


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders.
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_regular(path: str | os.PathLike) -> os.stat_result:
    """Returns what is known of a file; raises ValueError for folders, pipes and devices.

    A pipe would be waited for, and a device may be endless.
    """
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("it is not a regular file")
    return facts


def read_bytes(path: Path, limit: int) -> bytes:
    """Returns what a file contains.

    Raises:
        ValueError: If it is no regular file, or contains more than `limit` bytes.
    """
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it has more than the {limit:,} bytes allowed")
    return content


def file_facts(path: Path) -> dict[str, Any]:
    """Returns the `sha256` of a file, in hexadecimal digits, and its `size` in bytes.

    Raises:
        ValueError: If it is no regular file.
    """
    check_regular(path)
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": file.tell()}


def fetch(url: str, path: Path, sha256: str | None = None, limit: int = MAX_BYTES) -> None:
    """Downloads a file and shows the progress. Interrupted downloads resume on the next call.

    Args:
        url: Address of the file.
        path: Where to write it. An older file is replaced once the download is complete.
        sha256: The hash that the file must have, in hexadecimal digits; None for any.
        limit: The most bytes that the file may have.

    Raises:
        ConnectionError: If the server was not reached, gave an error or closed the connection.
        ValueError: If the file is larger than the limit or has another hash. It is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    start = part.stat().st_size if part.exists() else 0
    remedy = f"Try again, or put the file there yourself: {path}"
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with _opener().open(request, timeout=30) as reply:
            resumed = reply.status == http.HTTPStatus.PARTIAL_CONTENT
            size = int(reply.headers.get("Content-Length", 0))
            came = 0
            # On stderr, because a command's stdout may be read by another program.
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
            raise ConnectionError(f"only {came} of {size} bytes arrived")
    except urllib.error.HTTPError as error:
        error.close()
        part.unlink(missing_ok=True)  # It is not the start of the server's file.
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            fetch(url, path, sha256, limit)
            return
        raise ConnectionError(f"Could not fetch {url}: {error}. {remedy}") from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            part.unlink(missing_ok=True)
        raise ConnectionError(f"Could not fetch {url}: {error}. {remedy}") from error
    found = file_facts(part)["sha256"]
    if sha256 not in (None, found):
        part.unlink()
        raise ValueError(f"{url} was refused: its sha256 is {found}, not {sha256}. {remedy}")
    os.replace(part, path)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server's redirects, but not from an encrypted address to one that is not."""

    def redirect_request(self, request, reply, code, message, headers, url):
        if urllib.parse.urlsplit(url).scheme not in ("https", request.type):
            raise ConnectionError(f"the server redirects to {url}, which is not encrypted")
        return super().redirect_request(request, reply, code, message, headers, url)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SafeRedirects)


def content_key(array: Any) -> str | None:
    """Returns the sha256 of an array's values, type and shape; None for anything but an array."""
    if not hasattr(array, "shape"):
        return None
    kind = keras.ops.convert_to_numpy(array[:1]).dtype
    digest = hashlib.sha256(f"{kind}{tuple(array.shape)}".encode())
    for start in range(0, len(array), 4096):  # In chunks, so that no copy of the whole is made.
        digest.update(keras.ops.convert_to_numpy(array[start : start + 4096]).tobytes())
    return digest.hexdigest()
