"""Presets from elsewhere: the Hugging Face Hub, and plain web servers.

What is fetched lies in `keras_gan.files.home()`; each place is locked while it is filled, so that
of several processes one does the work.
"""

import hashlib
import json
import shutil
import urllib.parse
import zipfile
from pathlib import Path

from keras_gan.files import fetch, home

# More than any preset needs, and little enough for a disk: what archives unpack to at most.
MAX_BYTES = 4 << 30
LOOPBACK = ("localhost", "127.0.0.1")


def from_hugging_face(uri: str) -> Path:
    """The folder of `hf://user/repository[@revision]`, from the cache if there is no network."""
    repository, revision = _repository(uri)
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = _client().snapshot_download(
            repository,
            revision=revision,
            cache_dir=home() / "hub",
            ignore_patterns=["*.py", "state_*"],
        )
    except (OSError, HfHubHTTPError, ValueError, HFValidationError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ConnectionError(f"{uri} could not be fetched: {reason}") from error
    return Path(folder)


def to_hugging_face(uri: str, folder, patterns: list[str]) -> None:
    """Uploads the files that match to `hf://user/repository`, made if missing."""
    repository, revision = _repository(uri)
    api = _client().HfApi()
    api.create_repo(repository, exist_ok=True)
    api.upload_folder(
        repo_id=repository, folder_path=str(folder), revision=revision, allow_patterns=patterns
    )


def _repository(uri):
    repository, _, revision = uri.removeprefix("hf://").partition("@")
    if not uri.startswith("hf://") or repository.count("/") != 1:
        raise ValueError(
            f"Write hf://user/repository or hf://user/repository@revision, not {uri!r}."
        )
    return repository, revision or None


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
    place.mkdir(parents=True, exist_ok=True)
    folder, coming = place / "preset", place / "coming"
    with FileLock(place / "lock"):
        if not folder.exists():
            coming.mkdir(exist_ok=True)
            if parts.path.endswith(".zip"):
                _fetch_archive(url, coming)
            else:
                _fetch_folder(url.rstrip("/"), coming)
            try:
                check_files(coming)
            except ValueError:
                shutil.rmtree(coming)
                raise
            coming.rename(folder)
    return folder


def _fetch_folder(url, folder):
    fetch(f"{url}/metadata.json", folder / "metadata.json")
    try:
        files = json.loads((folder / "metadata.json").read_text())["files"]
        hashes = {name: facts["sha256"] for name, facts in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        shutil.rmtree(folder)
        raise ValueError(f"{url}/metadata.json does not tell of a preset's files.") from error
    for name, sha256 in hashes.items():
        if name != Path(name).name:
            shutil.rmtree(folder)
            raise ValueError(f"{url} was refused: the file {name!r} would lie outside its folder.")
        fetch(f"{url}/{name}", folder / name, sha256)


def _fetch_archive(url, folder):
    archive = folder / "archive.zip"
    fetch(url, archive)
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            names = [Path(member.filename).name for member in members]
            # In one folder of the archive, or in none.
            flat = len({str(Path(member.filename).parent) for member in members}) == 1
            if not flat or sum(member.file_size for member in members) > MAX_BYTES:
                raise ValueError(f"it is not one flat folder of less than {MAX_BYTES >> 30} GiB")
            for member, name in zip(members, names, strict=True):
                with file.open(member) as source, open(folder / name, "xb") as target:
                    shutil.copyfileobj(source, target)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        shutil.rmtree(folder)
        raise ValueError(f"{url} was refused: {error}.") from error
    archive.unlink()
