"""Files of a run folder are believed only if they are what was written: damage is repaired or refused, by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from toy_images import write_images

from clearsight.data.contract.errors import ClearsightError, DataError, RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.sample import Sample
from clearsight.data.seals import Seal, unwrapped, wrapped
from clearsight.data.sources.folder import Folder
from clearsight.defend.attacks.replay import Replay
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.api import open_run
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.page import renew_report

CLASSES = ("blue", "green", "red")
MADE = ("chunk", "timing", "attack", "adversarial")
"""Files of a chunk beside its seal."""
WHOLE = ("results.parquet", "timings.parquet", "summary.json", "summary.csv", "resolved.json", "report.html")

Damage = Callable[[Path, Path], None]
"""Gets a file and another one of its kind, of another cell or chunk."""


def config(images: Path) -> Evaluate:
    return Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "damage",
            "chunk": 8,
            "data": {"kind": "folder", "path": str(images)},
            "parts": {"classify": {"kind": "python", "call": "toy:brightest", "classes": 3}},
            "systems": {"plain": ["classify"]},
            "conditions": {"clean": {"kind": "identity"}},
            "attacks": {
                "pgd": {"kind": "pgd", "eps": "16/255", "steps": 2, "keep": True},
                "fgsm": {"kind": "fgsm", "eps": "8/255", "keep": True},
            },
            "measure": [{"conditions": ["clean"], "attacks": ["pgd", "fgsm"]}],
            "metrics": ["accuracy"],
            "images": 2,
        }
    )


def again(images: Path, root: Path) -> Path:
    return run(config(images), root=root, workers=1, device="cpu").path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", 15, (20, 24), CLASSES, digits=3)


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return again(images, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs" / finished.name))


def gone(path: Path, other: Path) -> None:
    path.unlink()


def empty(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def cut_off(path: Path, other: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def one_bit(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def of_another(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


def odd_types(path: Path, other: Path) -> None:
    path.write_text('{"images": [], "seconds": 7, "about": 3, "files": null, "sha256": {}}')


DAMAGES: tuple[Damage, ...] = (gone, empty, cut_off, one_bit, of_another, odd_types)


def rewritten(change: Callable[[pa.Table], pa.Table]) -> Damage:
    def damage(path: Path, other: Path) -> None:
        parquet.write_table(change(parquet.read_table(path)), path)

    return damage


def wrong_labels(table: pa.Table) -> pa.Table:
    wrong = pa.array([(label + 1) % 3 for label in table["label"].to_pylist()], pa.int32())
    return table.set_column(table.schema.get_field_index("label"), "label", wrong)


REWRITTEN = {
    "a row is missing": rewritten(lambda table: table.slice(1)),
    "a row is there twice": rewritten(lambda table: pa.concat_tables([table, table.slice(0, 1)])),
    "rows in another order": rewritten(lambda table: table.take(list(range(len(table)))[::-1])),
    "a foreign column": rewritten(lambda table: table.append_column("foreign", pa.array([1] * len(table)))),
    "a column is missing": rewritten(lambda table: table.drop_columns(["loss"])),
    "other labels": rewritten(wrong_labels),
}


def damages() -> list[Any]:
    anywhere = [
        pytest.param(kind, damage, id=f"{kind}-{damage.__name__}")
        for kind in (*MADE, "seal")
        for damage in DAMAGES
    ]
    rows = [pytest.param("chunk", damage, id=f"chunk-{name}") for name, damage in REWRITTEN.items()]
    return [*anywhere, *rows]


def damaged_file(folder: Path, kind: str, damage: Damage) -> Path:
    path, other = sorted(folder.glob(f"cells/*/{kind}-*"))[:2]
    damage(path, other)
    return path


@pytest.mark.parametrize(("kind", "damage"), damages())
@pytest.mark.slow
def test_a_damaged_chunk_is_measured_again_and_named(
    kind: str, damage: Damage, finished: Path, copy: Path, images: Path
) -> None:
    path = damaged_file(copy, kind, damage)
    whole = (finished / path.relative_to(copy)).read_bytes()
    changed = not path.exists() or path.read_bytes() != whole
    assert again(images, copy.parent) == copy
    for name in ("results.parquet", "summary.csv"):
        assert (copy / name).read_bytes() == (finished / name).read_bytes()
    for file in finished.glob("cells/*/*"):
        if not file.name.startswith(("timing", "seal")):
            assert (copy / file.relative_to(finished)).read_bytes() == file.read_bytes()
    # A chunk without a seal is one that was never finished; two attacks may have noted the same.
    named = f"{path.parent.name}/{path.name}" in (copy / "log.txt").read_text()
    assert named == (changed and (kind, damage) != ("seal", gone))
    told = json.loads((copy / "summary.json").read_text())["warnings"]
    assert any(path.name in warning for warning in told) == named


@pytest.mark.parametrize("swapped", ["cells", "chunks"])
def test_whole_chunks_in_the_wrong_place_are_found(
    swapped: str, finished: Path, copy: Path, images: Path
) -> None:
    one, two = sorted(copy.glob("cells/*"))
    if swapped == "cells":
        one.rename(copy / "aside")
        two.rename(one)
        (copy / "aside").rename(two)
    else:
        for path in one.glob("*-00000.*"):
            shutil.copyfile(path, path.with_name(path.name.replace("-00000.", "-00001.")))
    again(images, copy.parent)
    assert (copy / "results.parquet").read_bytes() == (finished / "results.parquet").read_bytes()
    assert "is that of another" in (copy / "log.txt").read_text()


@pytest.mark.parametrize("damage", [gone, empty, one_bit], ids=lambda damage: damage.__name__)
def test_a_picture_of_the_report_is_made_again(
    damage: Damage, finished: Path, copy: Path, images: Path
) -> None:
    shown = sorted(copy.glob("images/*.png"))
    for path in shown:
        damage(path, path)
    page = renew_report(copy).read_text()
    assert page.count("image missing") > 0
    again(images, copy.parent)
    for path in shown:
        assert path.read_bytes() == (finished / "images" / path.name).read_bytes()


def test_a_run_without_its_pictures_ends(finished: Path, copy: Path, images: Path) -> None:
    shutil.rmtree(copy / "images")
    (copy / "DONE").unlink()
    again(images, copy.parent)
    names = {path.name for path in (finished / "images").iterdir()}
    assert {path.name for path in (copy / "images").iterdir()} == names


@pytest.mark.parametrize("name", [*WHOLE, "DONE", "images/images.json", "images/gradients.json"])
@pytest.mark.parametrize("damage", [gone, cut_off, one_bit, odd_types], ids=lambda damage: damage.__name__)
@pytest.mark.slow
def test_done_is_believed_with_its_files_alone(
    name: str, damage: Damage, finished: Path, copy: Path, images: Path
) -> None:
    damage(copy / name, copy / name)
    assert again(images, copy.parent) == copy
    assert (copy / "results.parquet").read_bytes() == (finished / "results.parquet").read_bytes()
    assert open_run(copy).results() == open_run(finished).results()
    assert "already complete" not in (copy / "log.txt").read_text()
    again(images, copy.parent)
    assert "already complete" in (copy / "log.txt").read_text()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("summary.json", open_run),
        ("summary.json", renew_report),
        ("summary.csv", lambda folder: open_run(folder).results()),
        ("results.parquet", lambda folder: open_run(folder).rows()),
        ("images/images.json", renew_report),
        ("DONE", open_run),
        ("DONE", renew_report),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("damage", [empty, one_bit, odd_types], ids=lambda damage: damage.__name__)
def test_readers_refuse_changed_figures(
    name: str, read: Callable[[Path], object], damage: Damage, copy: Path
) -> None:
    damage(copy / name, copy / name)
    with pytest.raises(RunError, match=rf"{name.rpartition('/')[2]}: is damaged.*run the same config again"):
        read(copy)


@pytest.mark.slow
def test_folders_of_older_versions_are_refused_or_measured_again(
    finished: Path, copy: Path, images: Path
) -> None:
    (copy / "DONE").write_bytes(b"")
    for path in copy.glob("cells/*/seal-*.json"):
        path.unlink()
    with pytest.raises(RunError, match="older version; run the same config again"):
        open_run(copy)
    again(images, copy.parent)
    assert (copy / "results.parquet").read_bytes() == (finished / "results.parquet").read_bytes()


@pytest.mark.parametrize("damage", [gone, cut_off, one_bit, of_another], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", ["adversarial", "seal", "resolved"])
def test_replayed_images_are_those_that_were_kept(kind: str, damage: Damage, copy: Path) -> None:
    attack = Replay(path=str(copy), system="plain", attack="pgd")
    whole = attack.key()
    key = next(iter(attack.files())).parent.name
    path = copy / "resolved.json" if kind == "resolved" else copy / "cells" / key / f"{kind}-00000.json"
    if kind == "adversarial":
        path = path.with_suffix(".safetensors")
    others = [other for other in copy.glob(f"cells/*/{path.name}") if other != path]
    damage(path, (others or [copy / "summary.json"])[0])
    if (kind, damage) == ("seal", gone):
        assert attack.key() != whole
        return
    with pytest.raises(ClearsightError, match=path.name):
        attack.key()


def over(path: Path) -> None:
    """Put other pixels into an image; neither size nor time of the file change."""
    facts, content = path.stat(), sorted(path.parent.iterdir())[1].read_bytes()
    path.write_bytes(content[: facts.st_size].ljust(facts.st_size, b"\0"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize("change", [over, Path.unlink, lambda path: path.write_bytes(b"")], ids="oge")
@pytest.mark.slow
def test_an_image_that_changes_after_intake_is_refused(
    change: Callable[[Path], object], images: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(images, tmp_path / "data"))
    path = sorted(data.glob("green/*.png"))[0]

    def on_progress(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("measure", 0):
            change(path)

    with pytest.raises(DataError, match=f"image 'green/{path.name}'.*run again, and all images are taken in"):
        run(config(data), root=tmp_path / "runs", workers=1, device="cpu", on_progress=on_progress)
    assert not list(tmp_path.glob("runs/*/DONE"))
    begun = next((tmp_path / "runs").iterdir())
    other = again(data, tmp_path / "runs")
    assert other != begun, "the figures stand under the fingerprint of the new images"


def test_what_digests_say_is_what_is_read(images: Path) -> None:
    source = Folder(path=str(images))
    entries = source.index().entries
    digests = source.digests(entries)
    assert all(isinstance(sample, Sample) for sample in source.read(entries, digests))
    moved = source.read(entries, (*digests[1:], digests[0]))
    assert not any(isinstance(sample, Sample) for sample in moved)
    assert source.fingerprint(entries, digests) == source.fingerprint(entries)


def test_a_seal_says_no_more_than_it_was_told(tmp_path: Path) -> None:
    file, place = tmp_path / "a" / "file", tmp_path / "seal.json"
    file.parent.mkdir()
    seal = Seal(tmp_path, place, {"cell": "x"})
    seal.write(file, b"content")
    seal.close()
    assert Seal(tmp_path, place, {"cell": "x"}).opened().read(file) == b"content"
    with pytest.raises(RunError, match="is that of another cell"):
        Seal(tmp_path, place, {"cell": "y"}).opened()
    with pytest.raises(RunError, match="is not vouched for"):
        seal.read(place)
    text = place.read_bytes()
    for at in range(len(text)):
        changed = bytearray(text)
        changed[at] ^= 1
        place.write_bytes(bytes(changed))
        try:
            found = Seal(tmp_path, place, {"cell": "x"}).opened()
        except RunError:
            continue
        assert found.files == seal.files, at


def test_a_memory_of_an_attack_is_its_own() -> None:
    kept = wrapped(b"state", "cell/partial-00000-0")
    assert unwrapped(kept, "cell/partial-00000-0") == b"state"
    assert unwrapped(kept, "cell/partial-00001-0") is None
    assert unwrapped(kept[:-1], "cell/partial-00000-0") is None
    assert unwrapped(b"", "cell/partial-00000-0") is None
    for at in range(len(kept)):
        changed = bytearray(kept)
        changed[at] ^= 1
        assert unwrapped(bytes(changed), "cell/partial-00000-0") is None


def test_run_folders_know_their_chunks(finished: Path) -> None:
    folder = RunFolder(finished)
    (key, *_) = {path.name for path in (finished / "cells").iterdir()}
    assert folder.done_chunks(key) == [0, 1]
    assert folder.done_chunks("0" * 64) == []
