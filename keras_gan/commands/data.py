"""The data of the commands `train` and `evaluate`, with the labels or inputs that belong to it."""

from typing import Any

import numpy as np

from keras_gan import conditions, datasets
from keras_gan.conditions import Images, Labels
from keras_gan.datasets.batches import Batch
from keras_gan.datasets.pairs import ImagePairs
from keras_gan.datasets.splitting import opened, two_splits


def class_names(data: str, images: Any) -> list[str] | None:
    """Returns the names of the classes of a set or a folder; None of a folder read without."""
    if data in datasets.list_datasets():
        return datasets.class_names(data)
    return getattr(images, "class_names", None)


def condition_of(kind: str | None, data: str, images: Any) -> conditions.Condition | None:
    """Returns the condition that a training's options name.

    Args:
        kind: What `--condition` names; None for none.
        data: The name of a set, or a folder.
        images: Its images, an array or a folder.

    Raises:
        ValueError: For a condition that does not exist, or that the data does not have.
    """
    if isinstance(images, ImagePairs):
        return Images(images.input_shape)
    return conditions.from_text(kind, class_names(data, images)) if kind else None


def extractor_of(data: str, shape: tuple) -> str | None:
    """Returns the bundled classifier of a set's own images; None for those of `default_metrics`."""
    return "noto_emoji" if data == "noto_emoji" and tuple(shape) == (64, 64, 3) else None


def splits(
    data: str, shape: tuple, limit: int, condition: Any = None, targets: str | None = None
) -> tuple[Batch, Batch]:
    """Returns two sets of real images that a model's samples are compared with; see `two_splits`.

    Args:
        data: The name of a set, or a folder.
        shape: Of one image.
        limit: The most images that are needed.
        condition: The model's; of labels and pairs, the images come with their conditions.
        targets: For pairs, which of the images are made from the others.

    Raises:
        ValueError: For data without the classes or the pairs that the model needs.
    """
    options: dict[str, Any] = {"image_size": shape[:2], "channels": shape[2]}
    if isinstance(condition, Images):
        if targets is None:
            raise ValueError("this model makes images from others: give --targets, as in training.")
        size, channels = condition.shape[:2], condition.shape[2]
        options |= {"targets": targets, "input_size": size, "input_channels": channels}
    elif targets is not None:
        raise ValueError("--targets is for models that were trained on pairs; leave it out.")
    else:
        options["labels"] = isinstance(condition, Labels)
    images = opened(data, **options)
    real, held_out = two_splits(data, images, limit)
    if isinstance(condition, Labels):
        names = class_names(data, images.samples)
        return _numbered(real, names, condition), _numbered(held_out, names, condition)
    return real, held_out


def _numbered(batch: Batch, names: list[str] | None, labels: Labels) -> Batch:
    """Returns images with their classes numbered as the model's are.

    Raises:
        ValueError: For a class that the model does not know.
    """
    if names is None or labels.names is None:
        return batch
    numbers = np.array([labels.number(name) for name in names])
    return Batch(batch.samples, numbers[batch.condition])
