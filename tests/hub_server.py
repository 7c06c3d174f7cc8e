"""A small server that speaks the paths of the hub of Hugging Face: repositories with commits and branches."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Content = dict[str, bytes]


class HubServer:
    """Repositories by ``models/owner/name`` or ``datasets/owner/name``."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, Content]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.asked: Counter[str] = Counter()
        self.token: str | None = None

    def put(self, repo: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Commit files to a branch, beside those that are there; return the commit."""
        before = self.files(repo, branch)
        files = before | dict(files)
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits.setdefault(repo, {})[commit] = files
        self.branches.setdefault(repo, {})[branch] = commit
        return commit

    def files(self, repo: str, revision: str) -> Content:
        return self.commits.get(repo, {}).get(self.commit(repo, revision) or "", {})

    def commit(self, repo: str, revision: str) -> str | None:
        told = self.branches.get(repo, {}).get(revision, revision)
        return told if told in self.commits.get(repo, {}) else None


@contextmanager
def serving() -> Iterator[tuple[HubServer, str]]:
    """Yield the repositories and the address of a server of this machine."""
    hub = HubServer()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._look()

    def do_GET(self) -> None:
        self._look()

    def _look(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.asked[f"{self.command} {path}"] += 1
        if match := re.fullmatch(r"api/(models|datasets)/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(f"{match[1]}/{match[2]}", match[3] or "main")
        elif match := re.fullmatch(r"(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(f"{'datasets' if match[1] else 'models'}/{match[2]}", match[3], match[4])
        else:
            self._answer(404, {"error": "no such page"})

    def _info(self, repo: str, revision: str) -> None:
        if repo not in self.hub.commits:
            self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif (commit := self.hub.commit(repo, revision)) is None:
            self._answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        else:
            listed = [{"rfilename": name} for name in self.hub.files(repo, commit)]
            name = repo.partition("/")[2]
            self._answer(200, {"id": name, "sha": commit, "siblings": listed, "tags": [], "private": False})

    def _file(self, repo: str, revision: str, name: str) -> None:
        commit = self.hub.commit(repo, revision)
        content = self.hub.files(repo, revision).get(name)
        if commit is None or content is None:
            code = "RevisionNotFound" if commit is None else "EntryNotFound"
            self._answer(404, {"error": code}, {"X-Error-Code": code})
            return
        etag = hashlib.sha1(content).hexdigest()
        self._send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"})

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.asked[f"POST {path}"] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._answer(401, {"error": "Invalid credentials"})
        elif path == "api/repos/create":
            self._create(json.loads(body))
        elif match := re.fullmatch(r"api/models/([^/]+/[^/]+)/(branch|preupload|commit)/(.+)", path):
            getattr(self, f"_{match[2]}")(f"models/{match[1]}", match[3], body)
        else:
            self._answer(200, {"errors": [], "warnings": []})

    def _create(self, told: Mapping[str, Any]) -> None:
        name = f"{told.get('organization') or 'me'}/{told['name']}"
        exists = f"models/{name}" in self.hub.commits
        if not exists:
            self.hub.put(f"models/{name}", {".gitattributes": b""})
        url = f"http://{self.headers['Host']}/{name}"
        self._answer(409 if exists else 200, {"url": url, "id": name, "error": "You already created it"})

    def _branch(self, repo: str, name: str, body: bytes) -> None:
        branches = self.hub.branches[repo]
        branches.setdefault(name, branches["main"])
        self._answer(200, {})

    def _preupload(self, repo: str, revision: str, body: bytes) -> None:
        told = [
            {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
            for file in json.loads(body)["files"]
        ]
        self._answer(200, {"files": told})

    def _commit(self, repo: str, branch: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        commit = self.hub.put(repo, files, branch)
        url = f"http://{self.headers['Host']}/{repo.partition('/')[2]}/commit/{commit}"
        self._answer(200, {"commitUrl": url, "commitOid": commit, "success": True})

    def _answer(self, status: int, told: Mapping[str, Any], more: Mapping[str, str] | None = None) -> None:
        head = {"Content-Type": "application/json"} | dict(more or {})
        if "error" in told:
            head["X-Error-Message"] = str(told["error"])
        self._send(status, json.dumps(told).encode(), head)

    def _send(self, status: int, content: bytes, head: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
