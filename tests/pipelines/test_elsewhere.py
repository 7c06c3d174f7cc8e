"""Workers that see no disk of the driver: the same bytes as here, without a cluster and without reading a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pytest
from toy_images import write_images

from clearsight.data.benchmark import work
from clearsight.data.benchmark.write import expand, write_benchmark
from clearsight.data.catalogue import SOURCES
from clearsight.data.disk import LOCAL, Change
from clearsight.data.executors.contract import Parcel, Sent
from clearsight.data.sources.folder import Folder
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.fit import Fit
from clearsight.pipelines.evaluation import image_chunks, ood
from clearsight.pipelines.evaluation import run as running
from clearsight.pipelines.fitting.fit import fit

Make = Callable[..., Evaluate]


class Elsewhere:
    """Does units in this process as a worker on another machine does: images cannot be read while it works."""

    shares_disk: ClassVar[bool] = False

    def map(
        self,
        start: Callable[[Any], Callable[..., Any]],
        job: Any,
        units: Iterable[Any],
        pack: Callable[[Any], Parcel] | None = None,
    ) -> Generator[tuple[Any, Any], None, None]:
        assert pack is not None
        do = start(job)
        for unit in units:
            parcel, changes = pack(unit), list[Change]()
            shared = parcel.load()
            with nothing_is_read():
                result = do(parcel.unit, Sent(shared, parcel.files, changes.append))
            for change in changes:
                LOCAL.change(change)
            yield unit, result


@contextmanager
def nothing_is_read() -> Iterator[None]:
    def refuse(*_: object) -> None:
        raise AssertionError("a worker elsewhere has no images and no folder")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Folder, "load", refuse)
        patch.setattr(type(LOCAL), "write", refuse)
        yield


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def switch() -> None:
        for module in (work, running, ood, image_chunks):
            monkeypatch.setattr(module, "executor_for", lambda *_, **__: Elsewhere())

    return switch


def tree(folder: Path, but: tuple[str, ...] = ()) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(but)
    }


@pytest.mark.slow
def test_a_run(make_config: Make, images: Path, tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    write_benchmark(
        Folder(path=str(images)),
        tmp_path / "c",
        expand(["contrast"], severities=[2]),
        layout="imagenet_c",
        workers=1,
    )
    stored = {
        "on_disk": "imagenet_c",
        "path": str(tmp_path / "c"),
        "corruptions": ["contrast"],
        "severity": [2],
    }
    noise = {"kind": "gaussian_noise", "severity": 3}
    config = make_config(
        conditions={"clean": {"kind": "identity"}, "noise": noise, "stored": stored},
        attacks={"fgsm": {"kind": "fgsm", "norm": "linf", "eps": 0.05, "keep": True}},
        ood={"other": {"kind": "folder", "path": str(images), "take": 9}},
    )
    here = running.run(config, root=tmp_path / "here", workers=1).path
    elsewhere()
    there = running.run(config, root=tmp_path / "there", workers=1).path
    # Seals vouch for timing files, which differ.
    differ = ("seal-", "timing", "DONE", "log", "environment", "summary.json", "report.html", "resolved")
    assert tree(there, differ) == tree(here, differ)
    assert {*tree(there)} == {*tree(here)}


@pytest.mark.parametrize("layout", ["imagenet_c", "cifar_c"])
def test_a_benchmark(layout: Any, images: Path, tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    (images / "red" / "broken.png").write_bytes(b"no image")
    made = [tmp_path / name for name in ("here", "there")]
    for number, out in enumerate(made):
        if number:
            elsewhere()
        write_benchmark(Folder(path=str(images)), out, expand(["contrast"]), layout=layout, workers=1)
    assert tree(made[0]) == tree(made[1])
    lost = next(made[1].rglob("*.npy" if layout == "cifar_c" else "*.png"))
    before = lost.read_bytes()
    lost.write_bytes(b"damaged")
    write_benchmark(Folder(path=str(images)), made[1], expand(["contrast"]), layout=layout, workers=1)
    assert lost.read_bytes() == before


def test_a_fit(tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    images = write_images(tmp_path / "images", 90, (20, 24), ("blue", "green", "red"), digits=3)
    for path in sorted((images / "red").iterdir())[:8]:
        path.rename(images / "green" / path.name)
    config = Fit.model_validate(
        {
            "task": "fit",
            "name": "toy",
            "chunk": 8,
            "data": {"kind": "folder", "path": str(images)},
            "judge": {"fraction": 0.3},
            "parts": {"classify": {"kind": "python", "call": "toy:brightest", "classes": 3}},
            "system": ["classify"],
            "estimator": {"kind": "temperature"},
        }
    )
    here = fit(config, root=tmp_path / "here", workers=1)
    elsewhere()
    there = fit(config, root=tmp_path / "there", workers=1)
    assert there.values == here.values
    assert {*tree(there.folder)} == {*tree(here.folder)}


@pytest.mark.slow
def test_images_that_any_machine_can_read_are_not_sent(
    make_config: Make,
    images: Path,
    tmp_path: Path,
    elsewhere: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config(ood={"other": {"kind": "folder", "path": str(images), "take": 9}})
    here = running.run(config, root=tmp_path / "here", workers=1)
    monkeypatch.setattr(Folder, "everywhere", True)
    sent: list[object] = []
    whole = Parcel.__init__

    def spied(self: Parcel, unit: Any, key: Any, load: Callable[[], Any], files: Any) -> None:
        def noted() -> Any:
            sent.append(load())
            return sent[-1]

        whole(self, unit, key, noted, files)

    monkeypatch.setattr(Parcel, "__init__", spied)
    # Its images lie in this test's folder: here workers may read them.
    monkeypatch.setattr("test_elsewhere.nothing_is_read", nullcontext)
    elsewhere()
    there = running.run(config, root=tmp_path / "there", workers=1)
    assert sent
    assert set(map(type, sent)) == {type(None)}
    assert there.results.read_bytes() == here.results.read_bytes()


def test_which_images_any_machine_can_read() -> None:
    told = {
        "signs": {"kind": "signs"},
        "photos": {"kind": "photos"},
        "bucket": {"kind": "folder", "path": "s3://bucket/images"},
        "table": {"kind": "parquet", "path": "hf://datasets/a/b/test.parquet"},
        "folder": {"kind": "folder", "path": "images"},
        "table here": {"kind": "parquet", "path": "test.parquet"},
    }
    found = {name: SOURCES.parse(node).everywhere for name, node in told.items()}
    assert found == dict.fromkeys(("signs", "photos", "bucket", "table"), True) | dict.fromkeys(
        ("folder", "table here"), False
    )
    both = [told["signs"], told["folder"]]
    assert SOURCES.parse({"kind": "joined", "of": [told["signs"]]}).everywhere
    assert not SOURCES.parse({"kind": "joined", "of": both}).everywhere
