"""Refuses to train what cannot fit into the memory, before any of it is taken."""

import contextlib
import math
import os
from collections.abc import Callable, Iterable

import keras

from keras_gan import engine
from keras_gan.engine.keras_internals import all_layers, unset_weights

SMALL = 1 << 16  # Values of an image. Networks for smaller ones fit anywhere.


def check_recipe(
    name: str, image_shape: tuple[int, int, int], build: Callable[[], Iterable[keras.Model]]
) -> None:
    """Raises ValueError if a variant cannot be trained on images of a shape, for lack of memory.

    Args:
        name: The variant's name.
        image_shape: `(height, width, channels)`.
        build: Builds the networks. They are built here without weights.
    """
    if math.prod(image_shape) < SMALL:
        return
    needed = 0
    # Networks that cannot be built in this way, or at all, fail where they are really built.
    with contextlib.suppress(Exception), unset_weights(fill=False):
        needed = bytes_needed(build(), batch_size=1)
    check_memory(name, image_shape, needed)


def check_memory(name: str, image_shape: tuple[int, int, int], needed: int, batch: int = 1) -> None:
    """Raises ValueError if so many bytes are more than the memory that trains has.

    Args:
        name: The variant's name.
        image_shape: `(height, width, channels)`.
        needed: The bytes.
        batch: The images in a batch.
    """
    memory = engine.free_memory() or _host_memory()
    if memory is not None and needed > memory:
        images = f"batches of {batch:,} images" if batch > 1 else "images"
        shape = "×".join(map(str, image_shape))
        raise ValueError(
            f"To train {name} on {images} of {shape} takes at least {_gigabytes(needed)} of "
            f"memory, and there are {_gigabytes(memory)}; choose smaller "
            f"{'images or batches' if batch > 1 else 'images'}, or another variant."
        )


def bytes_needed(networks: Iterable[keras.Model], batch_size: int) -> int:
    """Returns the least bytes that training must take.

    Counted are the weights and their gradients, and what layers with weights make of a batch, which
    is kept for the gradients. Optimizers, augmentation and everything else come on top.
    """
    return sum(
        2 * 4 * network.count_params() + batch_size * sum(map(_map_bytes, all_layers(network)))
        for network in networks
    )


def _map_bytes(layer: keras.layers.Layer) -> int:
    """Returns the bytes of what a layer with a kernel makes of one sample."""
    if not hasattr(layer, "kernel"):
        return 0
    with contextlib.suppress(AttributeError, ValueError):  # It was not called, or several times.
        size = 2 if "16" in layer.compute_dtype else 4
        return size * math.prod(n for n in layer.output.shape[1:] if n is not None)
    return 0


def _host_memory() -> int | None:
    """Returns the bytes of this machine's memory, or None where that cannot be asked."""
    with contextlib.suppress(AttributeError, ValueError, OSError):  # On Windows.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:,.0f} GiB"
