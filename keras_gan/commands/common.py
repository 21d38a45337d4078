"""What the commands share: their error, and the model of a preset."""

import contextlib
from collections.abc import Iterator

from keras_gan import presets


class CommandError(Exception):
    """Ends the command with one line; the code is 2 for bad input and 1 for a failed run."""

    def __init__(self, message: object, code: int = 2) -> None:
        super().__init__(" ".join(str(message).split()))
        self.code = code


@contextlib.contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turns the exceptions that bad input raises into CommandError."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise CommandError(error) from error


def open_preset(preset, load_weights=True):
    """Returns the model of a preset; it must generate images."""
    with errors_in_one_line():
        gan = presets.from_preset(preset, load_weights)
    if len(gan.sample_shape) != 3:
        raise CommandError(f"{preset} generates samples of shape {gan.sample_shape}, not images.")
    return gan
