"""Preset folders: finding, loading, saving and uploading them.

A preset is a folder with `config.json` and `model.weights.h5`, from which the model is made,
`metadata.json` with the sha256 of every file, a README, and for images `samples.png`.
"""

import contextlib
import copy
import csv
import fnmatch
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_gan import engine
from keras_gan import metrics as metrics  # Registers the metrics, which a preset may name.
from keras_gan.datasets.batches import Batch
from keras_gan.engine.keras_internals import (
    register_parameters,
    unset_weights,
    without_tensorflow,
    write_weights,
)
from keras_gan.errors import closest
from keras_gan.files import (
    check_regular,
    file_facts,
    finish_replacing,
    read_bytes,
    replacing_all,
)
from keras_gan.gan import GAN
from keras_gan.networks import with_own_layers
from keras_gan.presets import card, hub, safety

CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"
EXAMPLES = "examples.npz"  # Of presets whose condition is an image: a few conditions and samples.
FORMAT = 1  # Of the folder. Raise it when an older library could not read a newer folder.


def list_presets(pattern: str = "*") -> list[str]:
    """Returns the names of the bundled presets that match a glob, sorted.

    >>> list_presets("wgan*")
    ['wgan_gp_fashion_mnist']
    """
    return sorted(fnmatch.filter(_bundled(), pattern))


def _bundled() -> dict[str, Path]:
    zoo = Path(importlib.import_module("keras_gan.zoo").__path__[0])
    return {path.parent.name: path.parent for path in zoo.glob(f"*/{METADATA}")}


def find_preset(name: str | Path) -> Path:
    """Returns the folder of a preset, downloaded if necessary, after checking its files.

    Args:
        name: The name of a bundled preset (`list_presets()`); a folder written by `save_to_preset`
            or `keras-gan train`; `hf://user/repository[@revision]` on the Hugging Face Hub; or the
            `https://` URL of such a folder or of a zip archive of one. Downloads are kept in
            `$KERAS_GAN_HOME` (by default `keras_gan` in Keras' home) and read from there later.

    Raises:
        ValueError: If the name is unknown (the message suggests similar ones), or a file is
            missing, differs from what was saved, or needs a newer version of the library.
        ConnectionError: If the download fails.
    """
    text = str(name)
    if text in _bundled():
        folder = _bundled()[text]
    elif text.startswith("hf://"):
        folder = hub.from_hugging_face(text)
    elif text.startswith(("https://", "http://")):
        folder = hub.from_web(text, check_files)
    elif not text or not _exists(folder := Path(name)):
        raise ValueError(f"There is no preset or folder {closest(text, _bundled())}")
    elif not (folder / METADATA).exists():
        raise ValueError(f"{name} is not a preset folder: it has no {METADATA}.")
    check_files(folder)
    return folder


def _exists(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # A name that is too long, or has a null byte.
        return path.exists()
    return False


def check_files(folder: Path) -> list[str]:
    """Returns the names of a preset's files.

    Raises:
        ValueError: If the config or the weights differ from the recorded hashes.
    """
    with contextlib.suppress(OSError):  # The folder may be read-only.
        finish_replacing(folder, METADATA)
    before = _content(folder / METADATA)
    try:
        return _checked_files(folder)
    except ValueError:
        if _content(folder / METADATA) == before:
            raise
    return check_files(folder)  # It was replaced in the meantime.


def _content(path: Path) -> bytes | None:
    with contextlib.suppress(OSError, ValueError):
        return read_bytes(path, safety.MAX_JSON)
    return None


def _checked_files(folder: Path) -> list[str]:
    with _one_line_errors(folder / METADATA) as path:
        metadata = safety.read_json(path)
        if metadata["format"] > FORMAT:
            raise ValueError(f"its format {metadata['format']} needs a newer keras-gan")
        recorded = {name: metadata["files"][name] for name in (CONFIG, WEIGHTS)}
    for name, facts in recorded.items():
        with _one_line_errors(folder / name) as path:
            # The size first, because a hash takes long to compute.
            if check_regular(path).st_size != facts["size"] or file_facts(path) != facts:
                raise ValueError(f"its size or sha256 differs from {METADATA}")
    return list(metadata["files"])


def from_preset(name: str | Path, load_weights: bool = True) -> GAN:
    """Loads a saved model, compiled as it was when it was saved.

    A preset never runs code: only Keras' own layers, this library's classes and those that the
    running program has registered with Keras are built. It opens no file outside its folder: a
    metric whose extractor is such a file is left out, with a warning.

    Args:
        name: A bundled preset, a folder, an `hf://` address or a URL: see `find_preset`.
        load_weights: Whether to load the weights; if not, they are initialized at random.

    Raises:
        ValueError: If the name is unknown, the folder is not a preset that this version can read,
            its files differ from what was saved, or its weights are not finite.
        ConnectionError: If the download fails.
    """
    folder = find_preset(name)
    with _one_line_errors(folder / CONFIG) as path:
        config = safety.read_json(path)
        safety.check_extent(config)
        safety.drop_foreign_extractors(config.get("compile_config"))
        safety.refuse_code(config)
        networks = _networks(config["config"], folder / WEIGHTS)
        if load_weights:
            config["config"] |= networks
        compile_config = config.pop("compile_config", None)
        gan = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if not isinstance(gan, GAN):
            raise TypeError(f"it describes a {type(gan).__name__}, not a GAN")
    if load_weights:
        with _one_line_errors(folder / WEIGHTS) as path:
            gan.load_weights(path)
            safety.check_finite(gan)
    if compile_config:
        with _one_line_errors(folder / CONFIG):
            gan.compile_from_config(compile_config)
    if (folder / EXAMPLES).exists() and gan.condition is not None:
        with _one_line_errors(folder / EXAMPLES) as path:
            shapes = {"samples": gan.sample_shape, "condition": gan.condition.shape}
            gan.examples = Batch(**safety.read_examples(path, shapes))
    return gan


def _networks(config: dict[str, Any], weights: Path) -> dict[str, keras.Model]:
    """Builds the two networks of a config, with zeros for weights, once their size is checked."""
    with unset_weights():
        networks = {
            # Of a copy, because Keras changes the configs that it reads.
            name: keras.saving.deserialize_keras_object(
                with_own_layers(copy.deepcopy(config[name]))
            )
            for name in ("generator", "discriminator")
        }
        with _one_line_errors(weights):
            safety.check_size(networks, weights)
        safety.check_networks(networks)
    for network in networks.values():
        register_parameters(network)
    return networks


def save_to_preset(
    gan: GAN, folder: str | Path, history: Sequence[dict[str, float]] = (), **metadata: Any
) -> None:
    """Writes a preset: config, weights, metadata, samples and a card.

    The preset is written whole or not at all, also over an older one: whoever loads it, even after
    this process was killed, gets the old one or the new one. Other files in the folder are kept.
    The optimizers' state is not saved: use `gan.save`, or `keras_gan.runs.Run`, for that.

    Args:
        gan: The model.
        folder: The folder to write to; created if missing.
        history: One row of numbers per epoch, including `epoch`, for `training.csv` and
            `curves.png`.
        **metadata: Further entries of `metadata.json`, as JSON values. The card shows `paper`,
            `data`, `licence`, `epochs`, `seconds`, `seed` and `limits`, and `scores`, which maps
            names to dicts of numbers, each with an optional `protocol`.
    """
    folder = Path(folder)
    facts = {"format": FORMAT, "name": folder.name, "backend": keras.backend.backend()}
    facts |= {"versions": _versions(), "device": engine.device_name()} | metadata
    with replacing_all(folder, last=METADATA) as written:
        _write_model(gan, written)
        if gan.examples is not None:
            np.savez_compressed(written / EXAMPLES, **gan.examples._asdict())
        _write_pictures(gan, history, written)
        text = card.write_card(facts, bool(history), gan.condition)
        (written / "README.md").write_text(text, encoding="utf-8")
        facts["files"] = {path.name: file_facts(path) for path in sorted(written.iterdir())}
        (written / METADATA).write_text(json.dumps(facts, indent=1))


def _write_model(gan, folder):
    with without_tensorflow():
        config = keras.saving.serialize_keras_object(gan)
        safety.drop_foreign_extractors(config.get("compile_config"))
        try:
            safety.refuse_code(config)
        except ValueError as error:
            raise ValueError(
                f"A preset of this model could not be loaded: {error}. Register classes and "
                "functions of your own with keras.saving.register_keras_serializable()."
            ) from error
        (folder / CONFIG).write_text(json.dumps(config, indent=1))
        # A copy that is not compiled has neither optimizers nor metrics to save.
        bare = GAN.from_config(gan.get_config())
    weights = gan.get_weights()
    if not all(np.isfinite(weight).all() for weight in weights):
        raise ValueError(
            "The model has weights that are NaN or infinity, because its training has diverged: a "
            "preset of it would be of no use."
        )
    bare.set_weights(weights)
    write_weights(bare, folder / WEIGHTS)


def _write_pictures(gan, history, folder):
    from keras_gan import images  # Imported here because loading a preset needs no plotting.

    if (samples := images.sample_grid(gan)) is not None:
        images.save_image(folder / "samples.png", samples)
    if history:
        images.save_curves(folder / "curves.png", history)
        with open(folder / "training.csv", "w", newline="") as file:
            names = dict.fromkeys(name for row in history for name in row)
            writer = csv.DictWriter(file, list(names))
            writer.writeheader()
            writer.writerows(history)


def _versions() -> dict[str, str]:
    names = ("keras_gan", "keras", "numpy", keras.backend.backend())
    return {name: sys.modules[name].__version__ for name in names if name in sys.modules}


def upload_preset(uri: str, folder: str | Path) -> None:
    """Uploads a preset folder to `hf://user/repository`, which is created if missing.

    Raises:
        ValueError: If the folder is not a complete preset, or the address is malformed.
        ImportError: If `huggingface_hub` is not installed.
    """
    files = check_files(Path(folder))
    hub.to_hugging_face(uri, folder, [*files, METADATA])


class _Refused(ValueError):
    """Names the file that is to blame."""


@contextlib.contextmanager
def _one_line_errors(path: Path) -> Iterator[Path]:
    """Yields a file's path; turns any error in the block into a ValueError of one line about it."""
    try:
        yield path
    except _Refused:
        raise
    except Exception as error:  # A damaged config makes Keras raise errors of nearly any type.
        cause: BaseException = error
        # Keras wraps the cause in advice for the author of the class.
        while "could not be deserialized properly" in str(cause) and cause.__context__:
            cause = cause.__context__
        reason = str(cause).strip().split("\n")[0][:200].rstrip(" .:") or type(cause).__name__
        raise _Refused(f"Cannot read {path}: {reason}.") from error
