"""The Hugging Face hub: bundles as model repositories, folders as Spaces.

The huggingface_hub package transfers the files. It uses the endpoint in HF_ENDPOINT, the token from HF_TOKEN or
`hf auth login`, and the cache in HF_HOME; see its documentation.
"""

import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from core.bundle import manifest
from core.bundle.card import model_card
from core.bundle.contact_sheets import CAPTIONS

PREFIX = "hf:"
"""Prefix of repository names: hf:owner/name or hf:owner/name@revision."""
BUNDLE_FILES = (*manifest.FILES, manifest.NAME, manifest.CARD, *CAPTIONS)
"""The files of a bundle that are downloaded and published."""
MAX_BYTES = 8 << 30
"""Maximum total size of a bundle on the hub in bytes."""

Kind = Literal["model", "space"]


def fetch(name: str) -> Path:
    """Download the bundle "hf:owner/name" or "hf:owner/name@revision" into the local cache; return its folder there.

    Only the files of a bundle are downloaded, and nothing if the repository contains a file that no bundle has. Without a
    network the cached copy is used. Raises ValueError with the reason. `core.load` checks the content of the files.
    """
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    check_repository(repository)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    names = list(BUNDLE_FILES)
    try:
        info = HfApi(library_name="latentscape").model_info(repository, revision=revision or None, files_metadata=True)
    except HfHubHTTPError as error:
        raise ValueError(_error_message(repository, error)) from error
    except Exception as error:
        if not _is_connection_error(error):
            raise
        try:
            return Path(snapshot_download(repository, revision=revision or None, allow_patterns=names, local_files_only=True))
        except LocalEntryNotFoundError:
            raise ValueError(
                f"the hub cannot be reached, and there is no complete local copy of {repository}: {error}"
            ) from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    where = f"the repository {repository}"
    manifest.check_names(sizes, where)
    if "config.json" not in sizes:
        raise ValueError(f"{where} is not a bundle: it has no config.json.")
    if (total := sum(sizes.values())) > MAX_BYTES:
        raise ValueError(f"{where} has {total:,} bytes; a bundle may have at most {MAX_BYTES:,}.")
    with _hub_errors(repository):
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=names, library_name="latentscape"))


def copy(folder: Path, target: Path) -> None:
    """Copy the files of a bundle, and no other files of its folder, into an existing folder."""
    for name in BUNDLE_FILES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)


def publish(folder: Path, repository: str, private: bool = False, licence: str | None = None) -> str:
    """Upload the files of a bundle and its card to the model repository "owner/name"; return its URL.

    The repository is created if necessary. Its bundle files that this bundle does not have are deleted. Raises ValueError if
    the hub rejects the upload or the repository contains a file that no bundle has.
    """
    check_repository(repository)
    card = _card_text(folder, repository, licence)
    with tempfile.TemporaryDirectory(prefix="latentscape-") as staged:
        copy(folder, Path(staged))
        if not (Path(staged) / manifest.NAME).exists():
            manifest.write(Path(staged))
        (Path(staged) / manifest.CARD).write_text(card, encoding="utf-8")
        return upload(Path(staged), repository, "model", private)


def _card_text(folder: Path, repository: str, licence: str | None) -> str:
    """Return the bundle's card with its repository and licence. A card that was edited by hand is returned unchanged."""
    config, file = manifest.read_json(folder / "config.json"), folder / manifest.CARD
    written = file.read_text(encoding="utf-8") if file.exists() else ""
    source = re.search(r"^latentscape explore (.+)$", written, re.MULTILINE)
    if "\nmodel-index:" in written and not (source and written == model_card(config, source[1])):
        if licence is not None:
            raise ValueError(f"{file} was edited by hand: add license: {licence} to it instead of using the command line.")
        return written
    return model_card({**config, "license": licence} if licence else config, PREFIX + repository)


def upload(folder: Path, repository: str, kind: Kind, private: bool = False, sdk: str | None = None) -> str:
    """Upload a folder to a repository, created if necessary, and delete outdated files there; return its URL.

    `sdk` is the kind of a Space: gradio or static.
    """
    check_repository(repository)
    from huggingface_hub import HfApi

    api = HfApi(library_name="latentscape")
    with _hub_errors(repository), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*commit a data file.*")  # the gallery is part of the model
        address = api.create_repo(repository, repo_type=kind, private=private or None, space_sdk=sdk, exist_ok=True)
        existing = api.list_repo_files(repository, repo_type=kind)
        if kind == "model":
            manifest.check_names(existing, f"the repository {repository}")
        api.upload_folder(
            repo_id=repository,
            repo_type=kind,
            folder_path=folder,
            commit_message="Published with latentscape",
            delete_patterns=list(manifest.FILES) if kind == "model" else ["core/*", "explorer/*", "bundle/*"],
        )
    return str(address)


def check_repository(name: str) -> None:
    """Raise ValueError unless this is a valid repository name, owner/name."""
    part = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
    if not re.fullmatch(f"{part}/{part}", name) or ".." in name or "--" in name:
        raise ValueError(
            "a repository is owner/name, each of letters and digits with single - _ . between them (hf:owner/name to open it); "
            f"got {name!r:.200}."
        )


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    """Convert errors of the hub and of the connection to ValueError."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise ValueError(f"{repository}: no token. {LOGIN}") from error
    except HfHubHTTPError as error:
        raise ValueError(_error_message(repository, error)) from error
    except Exception as error:
        if not _is_connection_error(error):
            raise
        raise ValueError(f"the hub cannot be reached for {repository}: {error}") from error


def _is_connection_error(error: Exception) -> bool:
    """Return whether an exception means that the hub could not be reached."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    # Exceptions of the HTTP library, which depends on the version of huggingface_hub.
    known = isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError)
    return known or type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests")


LOGIN = "Log in (`hf auth login`) or set HF_TOKEN to a token with write access."


def _error_message(repository: str, error: Any) -> str:
    status = error.response.status_code if error.response is not None else None
    reason = (getattr(error, "server_message", None) or str(error)).strip().splitlines()[0]
    if status in (401, 403):
        return f"the hub denies access to {repository}, or it does not exist (status {status}: {reason}). {LOGIN}"
    if status == 404:
        return f"the hub has no {repository}, or you have no access to it: {reason}"
    return f"the hub rejected the request for {repository} (status {status}): {reason}"
