"""A stand-in for the Hugging Face hub: the HTTP endpoints that huggingface_hub uses, with repositories in memory.

It creates repositories, and commits, lists and serves files with the hub's headers. Small files are part of the commit;
large ones use the Git LFS batch API, as a client without Xet does. One token can write and read private repositories.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_a_token_for_tests"
LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "unknown", "other"}
PIPELINES = {"unconditional-image-generation", "image-to-image", "text-to-image"}
LARGE = (".safetensors", ".parquet", ".onnx", ".wasm")
"""File types that the hub's .gitattributes stores in LFS and that the tests use."""


@dataclass
class Repository:
    """A repository: its visibility and its commits. A commit maps paths to contents."""

    private: bool = False
    sdk: str | None = None
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit with these files. Return its hash."""
        digest = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[digest] = files
        return digest


@dataclass
class Hub:
    """The repositories by (kind, owner/name), the LFS files by hash, and the log of requests."""

    address: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def environment(self, home: object, token: str | None = TOKEN) -> dict[str, str]:
        """The environment variables that make huggingface_hub use this server, with its cache in `home`."""
        given = {"HF_ENDPOINT": self.address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {**given, "HF_TOKEN": token} if token else given

    def files(self, name: str, kind: str = "model") -> dict[str, bytes]:
        """The files of a repository's newest commit."""
        repository = self.repositories[kind, name]
        return repository.commits[repository.head]


class RequestError(Exception):
    """An error response."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a hub on a free local port."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _handle(self) -> None:
            body = self._body()
            hub.requests.append(f"{self.command} {self.path}")
            authorized = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            headers: dict[str, str] = {}
            try:
                status, content, headers = respond(hub, self.command, self.path, body, authorized)
            except RequestError as error:
                details = {"error": str(error), "errors": [{"message": str(error)}]}
                status, content = error.status, json.dumps(details).encode()
                headers = {"X-Error-Message": str(error), "X-Error-Code": error.code}
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Response = tuple[int, bytes, dict[str, str]]


def json_response(value: Any) -> Response:
    """A successful JSON response."""
    return 200, json.dumps(value).encode(), {"Content-Type": "application/json"}


def respond(hub: Hub, method: str, url: str, body: bytes, authorized: bool) -> Response:
    """Route a request. Return status, content and headers."""
    path = unquote(urlsplit(url).path)
    if method in ("POST", "PUT") and not authorized and not path.startswith("/storage/"):
        raise RequestError(401, "Invalid credentials in Authorization header")
    if path == "/api/repos/create":
        return create(hub, json.loads(body))
    if path == "/api/validate-yaml":
        card = json.loads(body)
        check_card(card["content"], card["repoType"])
        return json_response({"warnings": []})
    if found := re.fullmatch(r"/storage/([0-9a-f]{64})", path):
        return store(hub, method, found[1], body)
    if found := re.fullmatch(r"/(spaces/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
        get_repository(hub, "space" if found[1] else "model", found[2], authorized)
        return batch(hub, json.loads(body))
    if found := re.fullmatch(r"/(spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
        return resolve(hub, get_repository(hub, "space" if found[1] else "model", found[2], authorized), found[3], found[4])
    if found := re.fullmatch(r"/api/(model|space)s/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit)/([^/]+)(/.*)?)?", path):
        kind, name, action, revision = found[1], found[2], found[3] or "revision", found[4] or "main"
        repository = get_repository(hub, kind, name, authorized)
        if action == "preupload":
            return preupload(repository, json.loads(body))
        if action == "commit":
            return commit(hub, repository, name, [json.loads(line) for line in body.splitlines()])
        digest, files = get_commit(repository, revision)
        if action == "tree":
            return json_response([describe(path, content) for path, content in files.items()])
        siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
        return json_response({"id": name, "sha": digest, "private": repository.private, "siblings": siblings})
    raise RequestError(404, f"no such endpoint: {path}")


def create(hub: Hub, given: dict[str, Any]) -> Response:
    kind, name = given.get("type", "model"), f"{given['organization']}/{given['name']}"
    address = f"{hub.address}/{'spaces/' if kind == 'space' else ''}{name}"
    if (kind, name) in hub.repositories:
        return 409, json.dumps({"url": address, "error": "You already created this repo"}).encode(), {}
    repository = hub.repositories[kind, name] = Repository(given.get("visibility") == "private", given.get("sdk"))
    repository.commit({".gitattributes": "".join(f"*{end} filter=lfs\n" for end in LARGE).encode()})
    return json_response({"url": address})


def get_repository(hub: Hub, kind: str, name: str, authorized: bool) -> Repository:
    repository = hub.repositories.get((kind, name))
    if repository is None or (repository.private and not authorized):
        raise RequestError(404 if authorized else 401, "Repository not found", "RepoNotFound")
    return repository


def get_commit(repository: Repository, revision: str) -> tuple[str, dict[str, bytes]]:
    digest = repository.head if revision == "main" else revision
    if digest not in repository.commits:
        raise RequestError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return digest, repository.commits[digest]


def check_card(content: str, kind: str) -> None:
    """Check a README.md by the hub's documented rules, for the fields that latentscape writes."""
    found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    if found is None:
        raise RequestError(400, "README.md has no front matter")
    try:
        data = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        raise RequestError(400, f"invalid YAML: {error}") from error
    if data.get("license") not in LICENSES:
        raise RequestError(400, f"license must be one of the hub's; got {data.get('license')!r}")
    if kind == "model" and data.get("pipeline_tag") not in PIPELINES:
        raise RequestError(400, f"pipeline_tag must be one of the hub's; got {data.get('pipeline_tag')!r}")
    for result in (result for model in data.get("model-index", []) for result in model["results"]):
        if not result["task"]["type"] or not result["dataset"]["type"] or not result["dataset"]["name"]:
            raise RequestError(400, "model-index: a result must have a task's type and a dataset's type and name")
        for metric in result["metrics"]:
            if not isinstance(metric["type"], str) or not isinstance(metric["value"], int | float):
                raise RequestError(400, f"model-index: a metric must have a type and a value; got {metric}")
    if kind == "space":
        colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
        if data.get("sdk") not in ("gradio", "static", "docker") or not {data["colorFrom"], data["colorTo"]} <= colours:
            raise RequestError(400, "a Space must have an sdk and colours of the hub's")
        if len(data.get("short_description", "")) > 60:
            raise RequestError(400, "short_description must have at most 60 characters")
        if not isinstance(data.get("sdk_version", ""), str):
            raise RequestError(400, "sdk_version must be a string")


def preupload(repository: Repository, given: dict[str, Any]) -> Response:
    current = repository.commits[repository.head]
    files = []
    for file in given["files"]:
        large = file["path"].endswith(LARGE) or file["size"] > 10 << 20
        known = describe(file["path"], current[file["path"]]) if file["path"] in current else {"oid": None}
        oid = known.get("lfs", known)["oid"]
        files.append({"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid})
    return json_response({"files": files})


def batch(hub: Hub, given: dict[str, Any]) -> Response:
    assert given["operation"] == "upload"
    assert "basic" in given["transfers"]
    objects = []
    for item in given["objects"]:
        actions = {} if item["oid"] in hub.large else {"actions": {"upload": {"href": f"{hub.address}/storage/{item['oid']}"}}}
        objects.append({"oid": item["oid"], "size": item["size"], **actions})
    return json_response({"transfer": "basic", "objects": objects})


def store(hub: Hub, method: str, oid: str, body: bytes) -> Response:
    if method == "PUT":
        if hashlib.sha256(body).hexdigest() != oid:
            raise RequestError(400, "the content does not match its announced hash")
        hub.large[oid] = body
        return 200, b"", {"ETag": f'"{oid}"'}
    return 200, hub.large[oid], {"ETag": f'"{oid}"', "Content-Type": "application/octet-stream"}


def commit(hub: Hub, repository: Repository, name: str, operations: list[dict[str, Any]]) -> Response:
    assert operations[0]["key"] == "header"
    files = dict(repository.commits[repository.head])
    for operation in operations[1:]:
        key, value = operation["key"], operation["value"]
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in hub.large or len(hub.large[value["oid"]]) != value["size"]:
                raise RequestError(422, f"{value['path']} was never uploaded")
            files[value["path"]] = hub.large[value["oid"]]
        elif key == "deletedFile":
            del files[value["path"]]
        else:
            raise RequestError(400, f"unknown operation {key}")
    digest = repository.commit(files)
    return json_response({"success": True, "commitOid": digest, "commitUrl": f"{hub.address}/{name}/commit/{digest}"})


def describe(path: str, content: bytes) -> dict[str, Any]:
    """A file's entry in the tree. The blob of a large file is its LFS pointer."""
    if not path.endswith(LARGE):
        return {"type": "file", "path": path, "size": len(content), "oid": blob(content)}
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()
    large = {"oid": oid, "size": len(content), "pointerSize": len(pointer)}
    return {"type": "file", "path": path, "size": len(content), "oid": blob(pointer), "lfs": large}


def blob(content: bytes) -> str:
    """Git's hash of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def resolve(hub: Hub, repository: Repository, revision: str, path: str) -> Response:
    digest, files = get_commit(repository, revision)
    if path not in files:
        raise RequestError(404, "Entry not found", "EntryNotFound")
    listed, headers = describe(path, files[path]), {"X-Repo-Commit": digest}
    if "lfs" not in listed:
        return 200, files[path], {**headers, "ETag": f'"{listed["oid"]}"'}
    oid = listed["lfs"]["oid"]
    hub.large[oid] = files[path]
    headers |= {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(listed["lfs"]["size"])}
    # The hub redirects large files to another host; a client treats the same host as the hub itself.
    return 302, b"", {**headers, "Location": f"{hub.address.replace('127.0.0.1', 'localhost')}/storage/{oid}"}
