"""Downloads: whole or not there; interrupted, damaged, doubled and led astray by links."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from clearsight.data import downloads
from clearsight.data.contract.errors import DataError
from clearsight.data.downloads import DOWNLOADS, Download, get


def archive(members: dict[str, bytes], *, link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        folder = tarfile.TarInfo("set-py")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("set-py/link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return out.getvalue()


NOISE = np.random.Generator(np.random.Philox(key=3)).bytes(3_000_000)
GOOD = archive({"set-py/data_batch_1": NOISE, "set-py/batches.meta": b"meta"})


@dataclass
class Server:
    """What the server sends, how it misbehaves, and what it was asked."""

    content: bytes = GOOD
    ranges: bool = True
    stop_after: int | None = None
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if self.path != "/sets/set.tar.gz":
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            size = len(state.content)
            if start >= size:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - start))
            self.end_headers()
            stop = size if state.stop_after is None else start + state.stop_after
            self.wfile.write(state.content[start:stop])

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{listening.server_port}/sets/"
    yield state
    listening.shutdown()
    listening.server_close()
    thread.join()


def offer(monkeypatch: pytest.MonkeyPatch, content: bytes = GOOD) -> None:
    """Make the archive known under the name ``set``."""
    entry = Download("http://127.0.0.1:1", "set.tar.gz", hashlib.sha256(content).hexdigest(), "set-py")
    monkeypatch.setitem(downloads.DOWNLOADS, "set", entry)


def part(tmp_path: Path) -> Path:
    return tmp_path / "home/data/set/set.tar.gz.part"


def test_fetch_check_unpack_and_no_second_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    seen: list[tuple[int, int | None]] = []
    folder = get("set", on_progress=lambda done, total: seen.append((done, total)), base_url=server.url)
    assert folder == tmp_path / "home/data/set"
    assert (folder / "set-py/data_batch_1").read_bytes() == NOISE
    assert [path.name for path in folder.iterdir()] == ["set-py"]
    assert seen[-1] == (len(GOOD), len(GOOD))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 5
    assert get("set", base_url=server.url) == folder
    assert len(server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(
    ranges: bool, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    server.stop_after, server.ranges = 1_000_000, ranges
    with pytest.raises(DataError, match="goes on where it stopped"):
        get("set", base_url=server.url)
    assert part(tmp_path).stat().st_size == 1_000_000
    assert not (part(tmp_path).parent / "set-py").exists()
    server.stop_after = None
    seen: list[int] = []
    folder = get("set", on_progress=lambda done, _: seen.append(done), base_url=server.url)
    assert (folder / "set-py/data_batch_1").read_bytes() == NOISE
    assert server.asked == [None, "bytes=1000000-"]
    assert (seen[0] > 1_000_000) == ranges
    assert not part(tmp_path).exists()


def test_a_wrong_checksum_removes_the_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    server.content = GOOD[:-1] + b"x"
    with pytest.raises(DataError, match=r"sha256 is .*the file was removed"):
        get("set", base_url=server.url)
    assert list(part(tmp_path).parent.iterdir()) == []
    server.content = GOOD
    assert (get("set", base_url=server.url) / "set-py/batches.meta").read_bytes() == b"meta"


def test_a_complete_part_is_not_fetched_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(GOOD)
    get("set", base_url=server.url)
    assert server.asked == []


def test_a_part_that_is_too_long_is_removed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(GOOD + b"more")
    with pytest.raises(DataError, match="sha256"):
        get("set", base_url=server.url)
    assert not part(tmp_path).exists()


@pytest.mark.parametrize(
    "content",
    [
        archive({"set-py/../../escaped": b"x"}),
        archive({"/tmp/clearsight-escaped": b"x"}),
        archive({}, link="/etc/passwd"),
        archive({}, link="../../.."),
    ],
    ids=["parent", "absolute", "link", "relative link"],
)
def test_unsafe_archives_unpack_nothing(
    content: bytes, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, content)
    server.content = content
    with pytest.raises(DataError, match="unsafe member"):
        get("set", base_url=server.url)
    assert not (part(tmp_path).parent / "set-py").exists()
    assert not list(tmp_path.rglob("*escaped*"))
    assert not Path("/tmp/clearsight-escaped").exists()


@pytest.mark.parametrize("content", [b"not an archive", archive({})[:60]], ids=["text", "cut short"])
def test_damaged_archives(content: bytes, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, content)
    server.content = content
    with pytest.raises(DataError, match="cannot be unpacked"):
        get("set", base_url=server.url)


def test_no_server_no_file_no_name_no_scheme(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)
    with pytest.raises(DataError, match="404"):
        get("set", base_url=server.url + "elsewhere")
    with pytest.raises(DataError, match="the download stopped"):
        get("set")
    with pytest.raises(DataError, match="did you mean 'cifar10'"):
        get("cifar1")
    with pytest.raises(DataError, match="no http address"):
        get("set", base_url="file:///etc")


def test_addresses_and_checksums_are_well_formed() -> None:
    for name, entry in DOWNLOADS.items():
        assert entry.base_url.startswith("https://"), name
        assert len(bytes.fromhex(entry.sha256)) == 32


def test_an_empty_folder_is_no_finished_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    (tmp_path / "home" / "data" / "set" / "set-py").mkdir(parents=True)
    folder = get("set", base_url=server.url)
    assert (folder / "set-py" / "data_batch_1").read_bytes() == NOISE
    assert not (folder / "set-py" / "set-py").exists()


def test_a_link_where_the_partial_file_goes_is_not_followed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    target = tmp_path / "home" / "data" / "set"
    target.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (target / "set.tar.gz.part").symlink_to(precious)
    with pytest.raises(DataError, match="is no plain file, but stands where a download goes"):
        get("set", base_url=server.url)
    assert precious.read_bytes() == b"mine"


def test_two_downloads_at_a_time_do_not_mix(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    target = tmp_path / "home" / "data" / "set"
    target.mkdir(parents=True)
    with downloads._alone(target), pytest.raises(DataError, match="another process downloads this set"):
        get("set", base_url=server.url)
    assert (get("set", base_url=server.url) / "set-py" / "batches.meta").read_bytes() == b"meta"
