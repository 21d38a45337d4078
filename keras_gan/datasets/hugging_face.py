"""Data sets of the Hugging Face library `datasets`, read row by row. It need not be installed."""

from typing import Any

import numpy as np

from keras_gan.datasets.resizing import fit_image


def is_hugging_face(x: Any) -> bool:
    """Returns whether an object is a `datasets.Dataset`, or one of its kin."""
    splits = isinstance(x, dict) and any(map(is_hugging_face, x.values()))
    return splits or (hasattr(x, "features") and hasattr(x, "column_names"))


class Rows:
    """The images of a `datasets.Dataset`, for `SeededBatches`: batches of one sample.

    Args:
        dataset: A `datasets.Dataset` with a column of images. Images of another size are cropped
            around their centre and resized, as those of a folder are.
        sample_shape: The shape of one image.
        labels: Whether to give the numbers of their classes, too.

    Raises:
        ValueError: For several splits, a streamed data set, and one without the columns.
    """

    def __init__(self, dataset: Any, sample_shape: tuple, labels: bool):
        if isinstance(dataset, dict):
            splits = ", ".join(map(repr, dataset))
            raise ValueError(f"The data set has several splits ({splits}): give one of them.")
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise ValueError(
                "A streamed data set gives single rows in one order: load it without "
                "streaming=True, or give a generator of batches."
            )
        self.dataset, self.image_shape = dataset, tuple(sample_shape)
        self.image = _column(dataset, "Image", ("image", "img"), "images")
        self.label = _column(dataset, "ClassLabel", ("label", "labels"), "labels") if labels else ""

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        row = self.dataset[index]
        image = row[self.image]
        if hasattr(image, "convert") and self.image_shape[-1] in (1, 3):  # Of Pillow.
            image = fit_image(image, self.image_shape)
        pixels = np.asarray(image)
        pixels = pixels[..., None] if pixels.ndim == len(self.image_shape) - 1 else pixels
        if not self.label:
            return pixels[None]
        return pixels[None], np.asarray([row[self.label]])


def _column(dataset: Any, kind: str, names: tuple[str, ...], what: str) -> str:
    """Returns the name of the first column of a kind, or else that has one of the names."""
    features = dataset.features or {}
    of_kind = [name for name, feature in features.items() if type(feature).__name__ == kind]
    found = of_kind + [name for name in names if name in dataset.column_names]
    if not found:
        raise ValueError(
            f"The data set has no column of {what}; its columns are "
            f"{', '.join(dataset.column_names)}. Give rows of a table as dataset.to_pandas()."
        )
    return found[0]
