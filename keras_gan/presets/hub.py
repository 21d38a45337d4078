"""Presets from elsewhere: the Hugging Face Hub and plain web servers.

Downloads are kept in `keras_gan.files.home()`. Each preset's place there is locked while it is
filled, so that only one of several processes downloads it.
"""

import contextlib
import hashlib
import json
import re
import shutil
import stat
import urllib.parse
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_gan.files import MAX_BYTES, fetch, home

LOOPBACK = ("localhost", "127.0.0.1")
FETCHED = ["*.json", "model.weights.h5", "examples.npz", "*.md", "*.png", "*.csv"]
FILE = r"\w[\w.-]*"  # File names that cannot leave their folder, on any system or in any URL.


def from_hugging_face(uri: str) -> Path:
    """Returns the folder of `hf://user/repository[@revision]`; offline, the cached one.

    Raises:
        ConnectionError: If the download fails, or the repository or revision does not exist.
        ValueError: If the address is malformed.
        ImportError: If `huggingface_hub` is not installed.
    """
    place, client = _place(uri), _client()
    cache = home() / "hub"
    try:
        folder = client.snapshot_download(**place, cache_dir=cache, allow_patterns=FETCHED)
    except Exception as error:  # The client's own, those of its network library, and any OSError.
        reason = ". ".join(" ".join(str(error).split()).split(". ")[:2])  # The rest is advice.
        raise ConnectionError(f"{uri} could not be downloaded: {reason}.") from error
    return Path(folder)


def to_hugging_face(uri: str, folder: str | Path, patterns: list[str]) -> None:
    """Uploads the files that match the globs to `hf://user/repository`, created if missing.

    Raises:
        ValueError: If the address is malformed.
        ImportError: If `huggingface_hub` is not installed.
    """
    place, api = _place(uri), _client().HfApi()
    api.create_repo(place["repo_id"], exist_ok=True)
    api.upload_folder(**place, folder_path=str(folder), allow_patterns=patterns)


def _place(uri: str) -> dict[str, Any]:
    """Returns the repository and the revision as keyword arguments of the client's functions."""
    repository, _, revision = uri.removeprefix("hf://").partition("@")
    if not uri.startswith("hf://") or repository.count("/") != 1:
        form = "hf://user/repository"
        raise ValueError(f"The address must be {form} or {form}@revision; got {uri!r}.")
    return {"repo_id": repository, "revision": revision or None}


def _client():
    try:
        import huggingface_hub
    except ImportError as error:
        message = "hf:// needs huggingface_hub; run pip install 'keras-gan[hub]'."
        raise ImportError(message) from error
    return huggingface_hub


def from_web(url: str, check_files: Callable[[Path], object]) -> Path:
    """Returns the folder of a preset at a URL, downloaded unless it already was.

    Args:
        url: The `https://` URL of a preset folder, or of a zip archive of one. `http://` is allowed
            for this machine only.
        check_files: Called with the folder; raises ValueError for a folder that is not to be kept.

    Raises:
        ConnectionError: If the download fails. The next call resumes it.
        ValueError: If the connection is not encrypted, or the preset was refused.
    """
    from filelock import FileLock

    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ValueError(f"{url} is not encrypted; use https://.")
    place = home() / "presets" / hashlib.sha256(url.encode()).hexdigest()[:16]
    folder = place / "preset"

    with contextlib.suppress(ValueError):  # Before the lock: the cache may be read-only.
        check_files(folder)
        return folder
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        with contextlib.suppress(ValueError):  # Another process may have downloaded it meanwhile.
            check_files(folder)
            return folder
        if folder.exists():  # Damaged since its download.
            shutil.rmtree(folder)
        _fetch(url, place / "coming", check_files)
        (place / "coming").rename(folder)
    return folder


def _fetch(url, folder, check_files):
    """Downloads a preset; deletes it if it is refused, keeps a partial download to resume it."""
    archive = urllib.parse.urlsplit(url).path.endswith(".zip")
    folder.mkdir(exist_ok=True)
    try:
        (_fetch_archive if archive else _fetch_folder)(url, folder)
        check_files(folder)
    except ConnectionError:
        raise
    except Exception as error:  # A damaged archive makes zipfile raise errors of nearly any type.
        shutil.rmtree(folder)
        raise ValueError(f"{url} was refused: {str(error) or 'it is damaged'}") from error


def _fetch_folder(url, folder):
    url = url.rstrip("/")
    fetch(f"{url}/metadata.json", folder / "metadata.json", limit=1 << 20)
    try:
        files = json.loads((folder / "metadata.json").read_text())["files"]
        facts = [(name, str(about["sha256"]), int(about["size"])) for name, about in files.items()]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("its metadata.json does not list a preset's files.") from error
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
            for member, name in _members(file):
                with file.open(member) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target)
    finally:
        archive.unlink()


def _members(file: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, str]]:
    """Returns the files of an archive with their names, if it holds one flat folder of files."""
    members = [member for member in file.infolist() if not member.is_dir()]
    parents = {member.filename.rpartition("/")[0] for member in members}
    names = [member.filename.rpartition("/")[2] for member in members]
    flat = len(parents) == 1 and len(set(names)) == len(names)
    safe = all(re.fullmatch(f"({FILE}/)?{FILE}", member.filename) for member in members)
    links = any(stat.S_ISLNK(member.external_attr >> 16) for member in members)
    if not flat or not safe or links or sum(member.file_size for member in members) > MAX_BYTES:
        raise ValueError(f"it is not a flat folder of files of less than {MAX_BYTES >> 30} GiB.")
    return list(zip(members, names, strict=True))
