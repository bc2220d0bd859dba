"""The hub: bundles as model repositories, and folders as Spaces. huggingface_hub does the transfer.

It goes to the endpoint that HF_ENDPOINT names, as the token that HF_TOKEN or `hf auth login` gave, and keeps what it fetched
under HF_HOME; see its documentation.
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
"""Marks a name as a repository's: hf:owner/name, or hf:owner/name@revision."""
BUNDLE_FILES = (*manifest.FILES, manifest.NAME, manifest.CARD, *CAPTIONS)
"""A bundle's own files: what is fetched and published."""
MAX_BYTES = 8 << 30
"""A bundle on the hub may be this large altogether."""

Kind = Literal["model", "space"]


def fetch(name: str) -> Path:
    """The folder in the local cache with the bundle "hf:owner/name" (a revision may follow an @), fetched if it is not there.

    Nothing but a bundle's own files is fetched, and nothing at all when the repository holds a file that no bundle has. Without
    a network the cached copy is used. Raises ValueError that says what is wrong. What is in the files, `core.load` checks.
    """
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    check_repository(repository)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = list(BUNDLE_FILES)
    try:
        info = HfApi(library_name="latentscape").model_info(repository, revision=revision or None, files_metadata=True)
    except HfHubHTTPError as error:
        raise ValueError(_error_message(repository, error)) from error
    except Exception as error:
        if not _is_connection_error(error):
            raise
        try:
            return Path(snapshot_download(repository, revision=revision or None, allow_patterns=wanted, local_files_only=True))
        except LocalEntryNotFoundError:
            raise ValueError(f"the hub cannot be reached, and no whole copy of {repository} is here: {error}") from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    where = f"the repository {repository}"
    manifest.check_names(sizes, where)
    if "config.json" not in sizes:
        raise ValueError(f"{where} is not of a bundle: it has no config.json.")
    if (total := sum(sizes.values())) > MAX_BYTES:
        raise ValueError(f"{where} has {total:,} bytes; a bundle may have {MAX_BYTES:,}.")
    with _hub_errors(repository):
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=wanted, library_name="latentscape"))


def copy(folder: Path, target: Path) -> None:
    """Copy a bundle's own files, and nothing that lies beside them, into an existing folder."""
    for name in BUNDLE_FILES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)


def publish(folder: Path, repository: str, private: bool = False, licence: str | None = None) -> str:
    """Upload a bundle's own files and its card as the model repository "owner/name"; returns its address.

    The repository is made if need be; files of an earlier bundle there that this one lacks are deleted. Raises ValueError when
    the hub refuses, or when the repository holds what no bundle has.
    """
    check_repository(repository)
    card = _card(folder, repository, licence)
    with tempfile.TemporaryDirectory(prefix="latentscape-") as staged:
        copy(folder, Path(staged))
        if not (Path(staged) / manifest.NAME).exists():
            manifest.write(Path(staged))
        (Path(staged) / manifest.CARD).write_text(card, encoding="utf-8")
        return upload(Path(staged), repository, "model", private)


def _card(folder: Path, repository: str, licence: str | None) -> str:
    """The bundle's card, which says where it lies now and under which licence; one that a person wrote stays as it is."""
    config, file = manifest.read_json(folder / "config.json"), folder / manifest.CARD
    written = file.read_text(encoding="utf-8") if file.exists() else ""
    source = re.search(r"^latentscape explore (.+)$", written, re.MULTILINE)
    if "\nmodel-index:" in written and not (source and written == model_card(config, source[1])):
        if licence is not None:
            raise ValueError(f"{file} was edited by hand: put license: {licence} into it rather than on the command line.")

        return written
    return model_card({**config, "license": licence} if licence else config, PREFIX + repository)


def upload(folder: Path, repository: str, kind: Kind, private: bool = False, sdk: str | None = None) -> str:
    """Make the repository hold what the folder holds; returns its address. `sdk` is a Space's: gradio or static."""
    check_repository(repository)
    from huggingface_hub import HfApi

    api = HfApi(library_name="latentscape")
    with _hub_errors(repository), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*commit a data file.*")  # the gallery belongs to the model
        address = api.create_repo(repository, repo_type=kind, private=private or None, space_sdk=sdk, exist_ok=True)
        there = api.list_repo_files(repository, repo_type=kind)
        if kind == "model":
            manifest.check_names(there, f"the repository {repository}")
        api.upload_folder(
            repo_id=repository,
            repo_type=kind,
            folder_path=folder,
            commit_message="Published with latentscape",
            delete_patterns=list(manifest.FILES) if kind == "model" else ["core/*", "explorer/*", "bundle/*"],
        )
    return str(address)


def check_repository(name: str) -> None:
    """Raise a ValueError unless this is owner/name as the hub allows it."""
    part = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
    if not re.fullmatch(f"{part}/{part}", name) or ".." in name or "--" in name:
        raise ValueError(
            "a repository is owner/name, each of letters, digits and single - _ . between them (hf:owner/name to open one); "
            f"got {name!r:.200}."
        )


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    """What the hub answers, and what keeps it from answering, as a ValueError in words."""
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
    """Whether an exception says that no hub answered, rather than what it answered."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    # The transport's own exceptions are of whichever HTTP library huggingface_hub is built on.
    known = isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError)
    return known or type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests")


LOGIN = "Log in (`hf auth login`), or put a token that may write into HF_TOKEN."


def _error_message(repository: str, error: Any) -> str:
    status = error.response.status_code if error.response is not None else None
    said = (getattr(error, "server_message", None) or str(error)).strip().splitlines()[0]
    if status in (401, 403):
        return f"the hub does not let you do this with {repository} (status {status}: {said}), or there is no such. {LOGIN}"
    if status == 404:
        return f"the hub has no {repository}, or none that you may see: {said}"
    return f"the hub refused {repository} (status {status}): {said}"
