"""Object stores: images read from a real S3-compatible server and a web server, benchmarks written to one."""

from __future__ import annotations

import os
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from s3_server import CREDENTIALS, s3_server

from clearsight.data.catalogue import SOURCES, images_at
from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.remote import outlet as outlets
from clearsight.data.remote import store as stores
from clearsight.data.remote.outlet import outlet
from clearsight.data.remote.store import Listed, Store
from clearsight.data.sources.base import Source


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Address of a server of this machine with an empty bucket."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": s3}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "home"))
    return f"s3://bucket/{request.node.name}"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six images of two classes, a text file beside them and one among them."""
    root = tmp_path / "images"
    for number in range(6):
        place = root / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = Rng(3).at(number).numpy().integers(0, 256, (20, 20, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    (root / "readme.txt").write_text("x")
    (root / "cat" / "notes.txt").write_text("x")
    return root


def put(folder: Path, address: str) -> None:
    store = Store(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.write(path.relative_to(folder).as_posix(), path.read_bytes())


def same(one: Source, other: Source) -> None:
    """Assert that two sources give the same images, ids, labels and fingerprints."""
    here, there = one.index(), other.index()
    assert [(e.id, e.truth, e.name) for e in here.entries] == [(e.id, e.truth, e.name) for e in there.entries]
    assert here.classes == there.classes
    assert here.entries
    assert one.fingerprint(here.entries) == other.fingerprint(there.entries)
    for a, b in zip(one.read(here.entries), other.read(there.entries), strict=True):
        assert isinstance(a, Sample)
        assert isinstance(b, Sample)
        assert np.array_equal(a.image, b.image)


@pytest.mark.slow
def test_a_folder_in_a_bucket_is_the_folder(bucket: str, images: Path) -> None:
    put(images, bucket)
    local, there = (SOURCES.parse({"kind": "folder", "path": str(path)}) for path in (images, bucket))
    same(local, there)
    assert {each.id for each in there.index().passed_over} == {"readme.txt", "cat/notes.txt"}
    assert images_at(bucket).index() == there.index()


@pytest.mark.parametrize("pattern", ["", "/cat", "/**/*.png", "/dog/[13].png", "/cat/2.png"])
def test_loose_files_in_a_bucket(bucket: str, images: Path, pattern: str) -> None:
    address = f"{bucket.partition('[')[0]}"
    put(images, address)
    same(*(SOURCES.parse({"kind": "files", "path": f"{path}{pattern}"}) for path in (images, address)))


@pytest.mark.slow
def test_every_image_is_fetched_once(bucket: str, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(images, bucket)
    asked: Counter[str] = Counter()
    read = Store.read

    def counted(self: Store, name: str = "") -> bytes:
        asked[name] += 1
        return read(self, name)

    monkeypatch.setattr(Store, "read", counted)
    source = SOURCES.parse({"kind": "folder", "path": bucket})
    for _ in range(2):
        entries = source.index().entries
        source.read(entries, source.digests(entries))
    assert set(asked.values()) == {1}
    assert len(asked) == 6
    # One that is replaced is fetched anew, and known by its new content.
    before = source.fingerprint(entries)
    Store(bucket).write("cat/0.png", (images / "dog" / "1.png").read_bytes() + b" ")
    entries = source.index().entries
    assert source.fingerprint(entries) != before
    assert asked["cat/0.png"] == 2


def parquet(images: Path, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(images.rglob("*.png"))
    rows = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    pq.write_table(pa.table({"image": rows, "label": [number % 2 for number in range(len(rows))]}), path)


@pytest.mark.slow
def test_tar_and_parquet_from_a_bucket_and_a_web_server(bucket: str, images: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        archive.add(images, "images")
    parquet(images, tmp_path / "rows.parquet")
    for name in ("images.tar", "rows.parquet"):
        Store(bucket).write(name, (tmp_path / name).read_bytes())
    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            web = f"http://127.0.0.1:{server.server_address[1]}"
            for root in (bucket, web):
                for kind, name in (("tar", "images.tar"), ("parquet", "rows.parquet")):
                    local, there = (
                        SOURCES.parse({"kind": kind, "path": f"{place}/{name}"}) for place in (tmp_path, root)
                    )
                    same(local, there)
                    assert images_at(f"{root}/{name}").index() == there.index()
            with pytest.raises(DataError, match="no such file"):
                SOURCES.parse({"kind": "tar", "path": f"{web}/nothing.tar"}).index()
            with pytest.raises(DataError, match="a web server lists no folders"):
                SOURCES.parse({"kind": "folder", "path": web}).index()
            with pytest.raises(ConfigError, match="takes no results"), outlet(f"{web}/out"):
                pass
        finally:
            server.shutdown()
            thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_what_is_not_there_or_not_known_is_said(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stores, "FIRST_PAUSE", 0.0)
    for address in (f"{bucket}/none", "s3://no-such-bucket/x"):
        with pytest.raises(DataError, match="holds no class folders|no such file"):
            SOURCES.parse({"kind": "folder", "path": address}).index()
    with pytest.raises(ConfigError, match="'ftp://' is not known"):
        SOURCES.parse({"kind": "folder", "path": "ftp://x/y"}).index()
    if "huggingface_hub" not in sys.modules:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ConfigError, match=r"package that is missing.*pip install 'clearsight\[remote\]'"):
            SOURCES.parse({"kind": "parquet", "path": "hf://datasets/a/b.parquet"}).index()


class Stumbling:
    """A file system that answers after so many errors."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def cat_file(self, path: str) -> bytes:
        if self.errors:
            raise self.errors.pop(0)
        return path.encode()


def stumbling(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> Store:
    store = Store("s3://bucket/x")
    store.files = Stumbling(*errors)
    return store


def test_transient_errors_are_tried_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert stumbling(monkeypatch, OSError("SLOW_DOWN"), TimeoutError("x")).read("a") == b"bucket/x/a"
    assert pauses == [0.5, 1.0]
    with pytest.raises(DataError, match="does not answer after 5 attempts: SLOW_DOWN"):
        stumbling(monkeypatch, *(OSError("SLOW_DOWN") for _ in range(5))).read("a")
    assert pauses[2:] == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "error", [OSError("AWS Error ACCESS_DENIED during GetObject"), PermissionError("x"), OSError("HTTP 401")]
)
def test_missing_credentials_are_said_at_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    with pytest.raises(DataError, match="there are no credentials .*set AWS_ACCESS_KEY_ID"):
        stumbling(monkeypatch, error).read("a")


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.mark.slow
def test_results_go_to_an_address_and_go_on_elsewhere(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with outlet(str(tmp_path / "plain")) as folder:
        assert folder == tmp_path / "plain"
    folder = tmp_path

    def killed() -> None:
        nonlocal folder
        with outlet(bucket) as folder:
            (folder / "a").mkdir()
            (folder / "a" / "1.txt").write_text("one")
            (folder / ".half.tmp").write_text("no")
            (folder / "plan.json").write_text("{}")
            raise StoppedError

    with pytest.raises(StoppedError):
        killed()
    assert [each.name for each in Store(bucket).listing()] == ["a/1.txt", "plan.json"]
    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "another machine"))
    with outlet(bucket) as elsewhere:
        assert elsewhere != folder
        assert (elsewhere / "a" / "1.txt").read_text() == "one"
        (elsewhere / "a" / "1.txt").write_text("other")
        (elsewhere / "plan.json").unlink()
        (elsewhere / "manifest.json").write_text("{}")
    assert [each.name for each in Store(bucket).listing()] == ["a/1.txt", "manifest.json"]
    # The first machine sees what the other one did.
    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "home"))
    with outlet(bucket) as folder:
        assert (folder / "a" / "1.txt").read_text() == "other"
        assert not (folder / "plan.json").exists()


def test_names_that_lead_elsewhere_are_refused(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "listing", lambda self: [Listed("a/../../../evil", "1")])
    with pytest.raises(DataError, match="is no name of a file"), outlet(bucket):
        pass


def test_new_files_are_sent_meanwhile(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "SEND_SECONDS", 0.05)
    with outlet(bucket) as folder:
        (folder / "seal-1.json").write_text("x")
        for _ in range(200):
            if Store(bucket).listing():
                break
            time.sleep(0.05)
        assert [each.name for each in Store(bucket).listing()] == ["seal-1.json"]


NETWORK = """
import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1)
"""

RUN = """
task: evaluate
name: there
data: {{kind: folder, path: "{data}"}}
parts:
  classify: {{kind: python, call: "{network}:Net", classes: 2}}
systems: {{plain: [classify]}}
conditions: {{as_is: {{kind: identity}}}}
attacks: {{none: {{kind: none}}}}
measure: [{{conditions: [as_is], attacks: [none]}}]
compare: {{baseline: plain}}
"""


def command(*words: str) -> None:
    from clearsight.pipelines.cli.app import main

    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0


@pytest.mark.slow
def test_corrupted_to_a_bucket_and_measured_there(
    bucket: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A benchmark and a run in a bucket are those in a folder, byte by byte, and go on on another machine."""
    put(images, f"{bucket}/clean")
    network = tmp_path / "net.py"
    network.write_text(NETWORK)
    config = tmp_path / "run.yaml"
    for source, root in ((str(images), str(tmp_path)), (f"{bucket}/clean", bucket)):
        words = ("--set", "gaussian_noise", "--severity", "1", "--workers", "1", "--quiet")
        command("corrupt", source, f"{root}/c", *words)
        config.write_text(RUN.format(data=f"{root}/c/gaussian_noise/1", network=network))
        command("run", str(config), "--out", f"{root}/runs", "--on", "local", "--quiet")
    (local,) = (tmp_path / "runs").glob("*/results.parquet")
    rows = local.read_bytes()
    names = [each.name for each in Store(f"{bucket}/c").listing()]
    assert names == sorted(p.relative_to(tmp_path / "c").as_posix() for p in (tmp_path / "c").rglob("*.*"))
    there = {each.name.partition("/")[2]: each for each in Store(f"{bucket}/runs").listing()}
    assert Store(f"{bucket}/runs").read(there["results.parquet"].name) == rows
    assert "DONE" in there
    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "another machine"))
    command("run", str(config), "--out", f"{bucket}/runs", "--on", "local", "--quiet")
    log = Store(f"{bucket}/runs").read(there["log.txt"].name).decode()
    assert "already complete" in log


def test_other_commands_refuse_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clearsight.pipelines.cli.app import main

    with pytest.raises(SystemExit):
        main(["train", "signs-at", "--out", "s3://bucket/runs"])
    assert "this command writes into folders of this machine" in capsys.readouterr().err
    assert not os.path.exists("s3:")
