"""A lock on a folder: one process at a time writes into it."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

LOCK, WRITER = ".lock", ".writer"  # The lock, and who holds it.


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps other processes, and other threads of this one, from writing into a folder.

    The lock ends with the process that holds it, however it ends.

    Args:
        folder: The folder; it is created if missing.

    Raises:
        BlockingIOError: If it is locked; the message names the process, its machine and its start.
        OSError: If the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except (Timeout, RuntimeError):  # RuntimeError: this very thread holds it.
        raise BlockingIOError(
            f"{folder} is being written by {_holder(folder)}; wait for its end, stop it, or choose "
            "another folder."
        ) from None
    try:
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        writer = f"process {os.getpid()} on {socket.gethostname()}, since {started}"
        (folder / WRITER).write_text(writer)
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / WRITER).unlink()
        lock.release()


def _holder(folder: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        if text := (folder / WRITER).read_text().strip():
            return text
    return "another process"
