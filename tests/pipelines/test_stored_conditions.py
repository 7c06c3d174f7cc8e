"""`on_disk`: a published benchmark's own files as many conditions of one run, with the figures of computed ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from clearsight.data.benchmark.write import expand, write_benchmark
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.contract.spec import kind_of
from clearsight.data.corruptions.stored import StoredDamage
from clearsight.data.sources.base import Entry
from clearsight.data.sources.cifar_c import CifarC
from clearsight.data.sources.folder import Folder
from clearsight.data.sources.imagenet_c import ImageNetC
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.fit import Fit
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.folder import read_json

Make = Callable[..., Evaluate]
KINDS = ("gaussian_noise", "contrast")
LEVELS = (2, 4)


@pytest.fixture
def imagenet_c(tmp_path: Path, images: Path) -> tuple[Folder, Path]:
    """Return the undamaged images, and a benchmark of them in ImageNet-C's layout."""
    source = Folder(path=str(images))
    write_benchmark(
        source, tmp_path / "c", expand(KINDS, severities=LEVELS), layout="imagenet_c", seed=0, workers=1
    )
    return source, tmp_path / "c"


def told(source: Folder, root: Path, layout: str = "imagenet_c", **more: Any) -> dict[str, Any]:
    """Return the parts of a config that measure the stored files, and nothing else."""
    node = {"on_disk": layout, "path": str(root), "corruptions": list(KINDS), "severity": list(LEVELS)}
    return {
        "data": source.model_dump(),
        "conditions": {"clean": {"kind": "identity"}, "stored": node | more},
    }


def rows(folder: Any) -> list[tuple[Any, ...]]:
    table = parquet.read_table(folder.results).to_pylist()
    return sorted((r["condition"], r["id"], r["system"], r["prediction"], r["margin"]) for r in table)


def test_every_corruption_and_severity_is_a_condition(make_config: Make, imagenet_c: Any) -> None:
    config = make_config(**told(*imagenet_c))
    (clean,), stored = config.expanded().values()
    assert [condition.name for condition in stored] == [
        *("gaussian_noise-2", "gaussian_noise-4", "contrast-2", "contrast-4")
    ]
    damage = stored[1].corruption
    assert (kind_of(damage), damage.severity, damage.group, damage.clean) == (
        "gaussian_noise",
        4,
        "noise",
        False,
    )
    assert damage.all_tables == ("imagenet_c",)
    assert clean.corruption.clean
    whole = make_config(**told(*imagenet_c, corruptions=None, severity=[1, 2, 3, 4, 5]))
    assert len(whole.expanded()["stored"]) == 75


@pytest.mark.slow
def test_the_figures_are_those_of_computing_them(make_config: Make, imagenet_c: Any, tmp_path: Path) -> None:
    config = make_config(**told(*imagenet_c))
    found = run(config, root=tmp_path / "runs", workers=1)
    # Written with the streams that a run of the same seed draws from: every row must be equal.
    each = {"kind": "gaussian_noise", "each": {"severity": list(LEVELS)}}
    computed = make_config(
        **told(*imagenet_c) | {"conditions": {"clean": {"kind": "identity"}, "stored": each}}
    )
    other = run(computed, root=tmp_path / "runs", workers=1)
    mine = [row for row in rows(found) if not row[0].startswith("contrast")]
    assert mine == rows(other)
    assert len(rows(found)) > len(mine) > 0
    # On two processes, and after the folder has moved: the same bytes under the same key.
    source, root = imagenet_c
    moved = root.rename(tmp_path / "elsewhere")
    again = run(make_config(**told(source, moved)), root=tmp_path / "more", workers=2)
    assert again.results.read_bytes() == found.results.read_bytes()


def test_what_the_files_hold_is_in_the_key(imagenet_c: Any) -> None:
    source, root = imagenet_c
    damage = StoredDamage(source=ImageNetC(path=str(root), corruption="contrast", severity=2))
    entries = source.index().entries
    before = damage.bound(entries).identity()
    assert damage.bound(entries[:-1]).identity() != before
    path = root / "contrast" / "2" / "green" / "001.png"
    path.write_bytes((root / "contrast" / "4" / "green" / "001.png").read_bytes())
    assert damage.bound(entries).identity() != before


@pytest.mark.slow
def test_an_image_without_its_file_is_left_out_everywhere_and_named(
    make_config: Make, imagenet_c: Any, tmp_path: Path
) -> None:
    source, root = imagenet_c
    (root / "contrast" / "4" / "green" / "004.png").unlink()
    found = run(make_config(**told(source, root)), root=tmp_path / "runs", workers=1)
    seen = {(row[0], row[1]) for row in rows(found)}
    assert len(seen) == 29 * 5
    assert not any(name == "green/004.png" for _, name in seen)
    (skipped,) = read_json(found.skipped)
    assert skipped["id"] == "green/004.png"
    assert "contrast, severity 4" in skipped["reason"]


def test_a_damaged_file_is_named_with_what_to_do(make_config: Make, imagenet_c: Any, tmp_path: Path) -> None:
    source, root = imagenet_c
    (root / "contrast" / "2" / "blue" / "000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"contrast, severity 2, blue/000.png.*delete it") as caught:
        run(make_config(**told(source, root)), root=tmp_path / "runs", workers=1)
    assert "left out" in (caught.value.hint or "")


def test_another_size_says_what_to_set(make_config: Make, imagenet_c: Any, tmp_path: Path) -> None:
    source, root = imagenet_c
    larger = source.model_copy(update={"size": 40})
    with pytest.raises(DataError, match=r"20x24 pixels, the undamaged image 40x40"):
        run(make_config(**told(larger, root)), root=tmp_path / "runs", workers=1)


def test_cifar_c_pairs_by_number_and_refuses_other_images(tmp_path: Path) -> None:
    images = Rng(3).at("images").numpy().integers(0, 200, (8, 32, 32, 3), np.uint8)
    labels = np.array([0, 1] * 4)
    np.save(tmp_path / "fog.npy", np.concatenate([images + level for level in range(5)]))
    np.save(tmp_path / "labels.npy", np.tile(labels, 5))
    damage = StoredDamage(source=CifarC(path=str(tmp_path), corruption="fog", severity=3))
    entries = [Entry(f"cifar10/test/{row:05d}", int(labels[row]), "", row) for row in (1, 6)]
    assert damage.lacking(entries) == {}
    sample = Sample("cifar10/test/00006", images[6], 0)
    assert np.array_equal(damage.of(sample, Rng(0)), images[6] + 2)
    far = Entry("cifar10/test/00009", 1, "", 9)
    assert list(damage.lacking([far])) == ["cifar10/test/00009"]
    shuffled = [Entry("cifar10/test/00000", 1, "", 0), Entry("cifar10/test/00002", 0, "", 2)]
    with pytest.raises(DataError, match="means 1 for other images"):
        damage.lacking(shuffled)


def test_what_cannot_be_is_refused(make_config: Make, imagenet_c: Any, tmp_path: Path) -> None:
    source, root = imagenet_c
    with pytest.raises(ValidationError, match="'set' says already"):
        make_config(**told(source, root, set="imagenet_c_15"))
    missing = make_config(**told(source, root, corruptions=["contrasts"]))
    with pytest.raises(DataError, match="has no corruption 'contrasts'") as caught:
        missing.ready()
    assert "contrast" in (caught.value.hint or "")
    with pytest.raises(ValidationError, match="files on disk are for measuring"):
        Fit.model_validate(
            {
                "task": "fit",
                "name": "no",
                "data": source.model_dump(),
                "parts": {"classify": {"kind": "python", "call": "toy:brightest", "classes": 3}},
                "system": ["classify"],
                "estimator": {"kind": "temperature"},
                "conditions": told(source, root)["conditions"],
            }
        )
