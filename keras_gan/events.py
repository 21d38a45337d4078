"""TensorBoard's files, written with its own package alone: PyTorch and JAX have no TensorFlow."""

import io
import itertools
import os
import socket
import time
from pathlib import Path

import numpy as np

_numbers = itertools.count()  # Of the files of this process.


class Events:
    """A folder that TensorBoard shows: numbers, and a picture, for each epoch.

    As Keras' own callback does, it writes a run `train` and a run `validation`, whose curves share
    a chart.

    Args:
        folder: It is created with the first epoch, if missing.

    Raises:
        ModuleNotFoundError: If the package `tensorboard` is not installed.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        try:
            import tensorboard  # noqa: F401
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "TensorBoard's files need its package; pip install tensorboard."
            ) from error
        self.folder = Path(folder)
        # TensorBoard reads the files of a run in the order of their names.
        number = next(_numbers)
        self._name = (
            f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.{number}"
        )

    def write(
        self, epoch: int, numbers: dict[str, float], picture: np.ndarray | None = None
    ) -> None:
        """Writes what belongs to an epoch.

        Args:
            epoch: Counted from 0.
            numbers: By name; those that begin with `val_` belong to the run `validation`.
            picture: uint8 `(height, width)` or `(height, width, 3)`; None for none.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        runs: dict[str, list[Summary.Value]] = {"train": [], "validation": []}
        for name, number in numbers.items():
            values = runs["validation" if name.startswith("val_") else "train"]
            tag = f"epoch_{name.removeprefix('val_')}"
            values.append(Summary.Value(tag=tag, simple_value=number))
        if picture is not None:
            runs["train"].append(Summary.Value(tag="samples", image=_image(picture)))
        for run, values in runs.items():
            if values:
                self._append(self.folder / run, epoch, Summary(value=values))

    def _append(self, folder, epoch, summary):
        # Not tensorboard's EventFileWriter: it imports TensorFlow where that is installed.
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        events = [Event(wall_time=time.time(), step=epoch, summary=summary)]
        if not (folder / self._name).exists():
            events.insert(0, Event(wall_time=time.time(), file_version="brain.Event:2"))
        with open(folder / self._name, "ab") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())


def _image(picture):
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    height, width, colorspace = (*picture.shape, 1)[:3]
    return Summary.Image(
        height=height, width=width, colorspace=colorspace, encoded_image_string=file.getvalue()
    )
