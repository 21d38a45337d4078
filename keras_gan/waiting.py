"""A line for those who wait, on stderr: a command's stdout may be read by a program."""

import sys
import time

PATIENCE = 3.0  # Seconds before anything is shown.


class Progress:
    """A line on stderr that shows how far something is, once it has taken a few seconds.

    On a terminal the line is overwritten, and cleared at the end; elsewhere there is a new one
    every ten seconds. It is used in a `with` statement.

    Args:
        title: What is done, such as `"Generating images"`.
        total: How many there are in all; None if that is not known.

    Example:

    >>> with Progress("Counting", 3) as progress:
    ...     for number in range(3):
    ...         progress.add()
    """

    def __init__(self, title: str, total: int | None = None) -> None:
        self.title, self.total, self.done = title, total, 0
        self._terminal = sys.stderr.isatty()
        self._next = time.perf_counter() + PATIENCE
        self._shown = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown and self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def add(self, count: int = 1) -> None:
        """Counts so many more, and shows the number from time to time."""
        self.done += count
        now = time.perf_counter()
        if now < self._next:
            return
        self._next, self._shown = now + (0.2 if self._terminal else 10), True
        total = "" if self.total is None else f" of {self.total:,}"
        line = f"{self.title}: {self.done:,}{total}"
        start, end = ("\r\x1b[K", "") if self._terminal else ("", "\n")
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)
