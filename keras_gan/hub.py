"""Presets from elsewhere: the Hugging Face Hub, and plain web servers.

What is fetched lies in `keras_gan.files.home()`; each place is locked while it is filled, so that
of several processes one does the work.
"""

import contextlib
import hashlib
import json
import re
import shutil
import stat
import urllib.parse
import zipfile
from pathlib import Path

from keras_gan.files import MAX_BYTES, fetch, home

LOOPBACK = ("localhost", "127.0.0.1")
FETCHED = ["*.json", "model.weights.h5", "*.md", "*.png", "*.csv"]
FILE = r"\w[\w.-]*"  # Names that stay in their folder, whatever the system and the URL.


def from_hugging_face(uri: str) -> Path:
    """The folder of `hf://user/repository[@revision]`, from the cache if there is no network."""
    place, client = _place(uri), _client()
    cache = home() / "hub"
    try:
        folder = client.snapshot_download(**place, cache_dir=cache, allow_patterns=FETCHED)
    except Exception as error:  # The client's own, those of its network library, and any OSError.
        reason = ". ".join(" ".join(str(error).split()).split(". ")[:2])  # Advice follows.
        raise ConnectionError(f"{uri} could not be fetched: {reason}.") from error
    return Path(folder)


def to_hugging_face(uri: str, folder, patterns: list[str]) -> None:
    """Uploads the files that match to `hf://user/repository`, made if missing."""
    place, api = _place(uri), _client().HfApi()
    api.create_repo(place["repo_id"], exist_ok=True)
    api.upload_folder(**place, folder_path=str(folder), allow_patterns=patterns)


def _place(uri):
    """Repository and revision, as the client's functions take them."""
    repository, _, revision = uri.removeprefix("hf://").partition("@")
    if not uri.startswith("hf://") or repository.count("/") != 1:
        form = "hf://user/repository"
        raise ValueError(f"Write {form} or {form}@revision, not {uri!r}.")
    return {"repo_id": repository, "revision": revision or None}


def _client():
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError("hf:// needs huggingface_hub; pip install 'keras-gan[hub]'.") from error
    return huggingface_hub


def from_web(url: str, check_files) -> Path:
    """The folder of a preset behind a URL: a folder with its metadata, or one zip archive of it.

    Args:
        url: `https://…`; `http://` for the machine itself alone.
        check_files: Called with the folder; what it refuses is not kept.
    """
    from filelock import FileLock

    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ValueError(f"{url} is not encrypted; presets come over https://.")
    place = home() / "presets" / hashlib.sha256(url.encode()).hexdigest()[:16]
    folder, coming = place / "preset", place / "coming"

    with contextlib.suppress(ValueError):  # Also where nothing can be written, a lock neither.
        check_files(folder)
        return folder
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        with contextlib.suppress(ValueError):  # Another process may have fetched it by now.
            check_files(folder)
            return folder
        if folder.exists():  # Damaged since it came.
            shutil.rmtree(folder)
        coming.mkdir(exist_ok=True)
        try:
            (_fetch_archive if parts.path.endswith(".zip") else _fetch_folder)(url, coming)
            check_files(coming)
        except ConnectionError:
            raise  # What came stays: the next call goes on there.
        except Exception as error:  # zipfile raises nearly anything for a damaged archive.
            shutil.rmtree(coming)
            raise ValueError(f"{url} was refused: {str(error) or 'damaged'}") from error
        coming.rename(folder)
    return folder


def _fetch_folder(url, folder):
    url = url.rstrip("/")
    fetch(f"{url}/metadata.json", folder / "metadata.json", limit=1 << 20)
    try:
        files = json.loads((folder / "metadata.json").read_text())["files"]
        facts = [(name, str(about["sha256"]), int(about["size"])) for name, about in files.items()]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("its metadata.json does not tell of a preset's files.") from error
    if sum(size for _, _, size in facts) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 30} GiB.")
    for name, sha256, size in facts:
        if not re.fullmatch(FILE, name, re.ASCII):
            raise ValueError(f"the file {name!r} could lie outside its folder.")
        fetch(f"{url}/{name}", folder / name, sha256, limit=size)


def _fetch_archive(url, folder):
    archive = folder.with_suffix(".zip")
    fetch(url, archive)
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            paths = [member.filename.rpartition("/") for member in members]
            # In one folder of the archive, or in none, and each once.
            flat = len({parent for parent, _, _ in paths}) == 1 and len({*paths}) == len(paths)
            safe = all(re.fullmatch(f"({FILE}/)?{FILE}", member.filename) for member in members)
            links = any(stat.S_ISLNK(member.external_attr >> 16) for member in members)
            size = sum(member.file_size for member in members)
            if not flat or not safe or links or size > MAX_BYTES:
                raise ValueError(f"it is no flat folder of files, less than {MAX_BYTES >> 30} GiB.")
            for member, (_, _, name) in zip(members, paths, strict=True):
                with file.open(member) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target)
    finally:
        archive.unlink()
