"""`keras-gan demo`: a page to play with a preset, in the browser."""

import os
import shutil
import signal
import tempfile
import weakref
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_gan.commands.common import CommandError, errors_in_one_line, open_preset
from keras_gan.conditions import Labels
from keras_gan.datasets.batches import Batch
from keras_gan.datasets.resizing import fit_image
from keras_gan.evaluation import prepared, uniform
from keras_gan.images import image_grid, save_animation
from keras_gan.latents import interpolate, truncate

MOST = 256  # Images that a page asks for at once.
STEPS = 24  # Frames from one seed to another; the way back has as many.
SEEDS = 2**32 - 1
ENLARGED = 512  # Pixels of a picture's longer side, at least: one of 28×28 is a stamp.


class Page:
    """What the page shows of a model; `keras_gan.demo` without a browser.

    Args:
        gan: The model of a preset.

    Attributes:
        classes: The names of its classes; None if it knows none.
        translates: Whether it makes images from images.
    """

    def __init__(self, gan: Any) -> None:
        self.gan, condition = gan, gan.condition
        self.classes = condition.class_names if isinstance(condition, Labels) else None
        self.translates = condition is not None and condition.is_image
        self.folder = Path(tempfile.mkdtemp(prefix="keras-gan-demo-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        if condition is not None and not (self.classes or self.translates):
            raise ValueError(
                f"This model is conditioned on {condition!r}, for which a page has no field; use "
                "generate in Python."
            )

    def samples(self, seed: int, count: int, label: str = "all", psi: float = 1.0) -> np.ndarray:
        """Returns a grid of generated images, uint8.

        Args:
            seed: Of the latents, a whole number in 0…2³² − 1.
            count: Images, 1…256.
            label: The name of a class; `all`, or of a model without classes any, for each of them.
            psi: The share of the latents' length that is kept, in 0…1.

        Raises:
            ValueError: For a seed or a number out of range.
        """
        wanted = self._wanted(label, _whole("The number of images", count, 1, MOST))
        latents = truncate(self.gan, self._latents(seed, int(count)), psi)
        return _enlarged(image_grid(self.gan.generate(latents=latents, **wanted)))

    def walk(self, seed: int, other: int, count: int, label: str = "all", psi: float = 1.0) -> str:
        """Returns the path of an animation from the samples of one seed to those of another.

        Arguments and errors are those of `samples`.
        """
        count = _whole("The number of images", count, 1, MOST)
        ends = (truncate(self.gan, self._latents(s, count), psi) for s in (seed, other))
        paths = [interpolate(a, b, STEPS) for a, b in zip(*ends, strict=True)]
        wanted = self._wanted(label, count)
        steps = np.stack(paths, axis=1)
        frames = [_enlarged(image_grid(self.gan.generate(latents=x, **wanted))) for x in steps]
        path = self.folder / f"{seed}-{other}-{count}.webp"
        save_animation(path, frames + frames[::-1])
        return str(path)

    def translate(self, picture: np.ndarray | None, seed: int) -> np.ndarray:
        """Returns what a model was given of a picture, and beside it what it makes of it, uint8.

        Args:
            picture: uint8 `(height, width)` or `(height, width, 3)`, of any size; it is cropped
                and scaled to that of the model's samples, from which what is given is computed.
            seed: Of the latents and holes, as for `samples`.

        Raises:
            ValueError: Without a picture.
        """
        if picture is None:
            raise ValueError("Choose a picture first.")
        seed = _whole("The seed", seed, 0, SEEDS)
        condition = self.gan.condition
        shape = self.gan.sample_shape if condition.computed else condition.shape
        shown = given = fit_image(Image.fromarray(np.asarray(picture)), shape)[None]
        if condition.computed:
            given = prepared(self.gan, Batch(given), uniform(np.random.default_rng(seed))).condition
            shown = condition.values.pictures(given)[..., : shape[2]]
        made = self.gan.generate(condition=given, seed=seed)
        images = [fit_image(_image(x[0]), self.gan.sample_shape) for x in (shown, made)]
        return _enlarged(image_grid(np.stack(images), columns=2))

    def _latents(self, seed, count):
        random = np.random.default_rng(_whole("The seed", seed, 0, SEEDS))
        return random.standard_normal((count, *self.gan.latent_shape), dtype="float32")

    def _wanted(self, label, count) -> dict[str, Any]:
        if self.classes is None:
            return {}
        every: Any = np.arange(count) % len(self.classes)
        return {"condition": label if label in self.classes else every}


def _whole(what, value, low, high) -> int:
    if value is None or value != int(value) or not low <= value <= high:
        raise ValueError(f"{what} must be a whole number in {low}…{high}; got {value}.")
    return int(value)


def _enlarged(image: np.ndarray) -> np.ndarray:
    times = max(1, ENLARGED // max(image.shape[:2]))
    return image.repeat(times, axis=0).repeat(times, axis=1)


def _image(array) -> Image.Image:
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def demo(args: Namespace) -> None:
    """Serves a page for a preset, until it is interrupted."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Nothing is sent to others.
    gan = open_preset(args.preset)
    with errors_in_one_line():
        page = Page(gan)
        try:
            blocks = _blocks(page, str(args.preset))
        except ModuleNotFoundError as error:
            raise CommandError(
                f"The page needs {error.name}; pip install 'keras-gan[demo]'."
            ) from error
        blocks.launch(
            server_name=args.host,
            server_port=args.port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # It deletes its pictures then, too.
    print(f"{args.preset} is on {blocks.local_url} until you press Ctrl-C.", flush=True)
    blocks.block_thread()


def _blocks(page: Page, title: str):
    """Returns the page, of fields, buttons and a picture."""
    import gradio

    def shown(function: Callable) -> Callable:
        def call(*values):
            try:
                return function(*values)
            except ValueError as error:
                raise gradio.Error(str(error), print_exception=False) from error

        return call

    hour = 3600  # Pictures that are older are deleted, and all of them at the end.
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(hour, hour)) as blocks:
        gradio.Markdown(f"# {title}")
        # Without the button that would send a picture to others.
        look: dict[str, Any] = {"buttons": ["download", "fullscreen"]}
        seed = gradio.Number(0, label="Seed", precision=0, elem_id="seed")
        if page.translates:
            given = gradio.Image(
                label="A picture", type="numpy", sources=["upload", "clipboard"], elem_id="given"
            )
            button = gradio.Button("Translate", variant="primary", elem_id="make")
            picture = gradio.Image(label="Given and made", format="png", elem_id="made", **look)
            button.click(shown(page.translate), [given, seed], picture)
            return blocks
        with gradio.Row():
            count = gradio.Slider(1, 64, 16, step=1, label="Images")
            psi = gradio.Slider(0.0, 1.0, 1.0, label="Truncation ψ: less is more typical")
            label = gradio.Dropdown(
                ["all", *(page.classes or ())], value="all", label="Class", elem_id="class",
                visible=page.classes is not None,
            )  # fmt: skip
        button = gradio.Button("Generate", variant="primary", elem_id="make")
        picture = gradio.Image(label="Samples", format="png", elem_id="made", **look)
        button.click(shown(page.samples), [seed, count, label, psi], picture)
        with gradio.Row():
            other = gradio.Number(1, label="Walk to seed", precision=0)
            walk = gradio.Button("Walk", elem_id="walk")
        moving = gradio.Image(label="A walk and back", type="filepath", elem_id="walked", **look)
        walk.click(shown(page.walk), [seed, other, count, label, psi], moving)
    return blocks
