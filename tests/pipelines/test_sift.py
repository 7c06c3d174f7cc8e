"""``task: sift``: a toy whose features give the poisoned images away, the lists it writes, and being killed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file
from typer.testing import CliRunner

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import AttackError, DataError
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.config.sift import Sift
from clearsight.pipelines.sifting.sift import sift

DATA = {
    "kind": "poisoned",
    "of": {"kind": "signs", "count": 510},
    "poison": {"kind": "patch", "side": 8},
    "target": "stop",
    "share": 0.01,
}


def told(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "task": "sift",
        "name": "toy",
        "data": DATA,
        "parts": {"classify": {"kind": "python", "call": "toy:corner_classes", "classes": 17}},
        "system": ["classify"],
        "filter": {"kind": "spectral_signatures", "share": 0.01},
    }
    return base | changes


def make(**changes: Any) -> Sift:
    return Sift.model_validate(told(**changes))


@pytest.mark.slow
def test_the_poisoned_images_are_named(tmp_path: Path) -> None:
    config = make()
    done = sift(config, root=tmp_path, workers=1)
    bad = SOURCES.parse(DATA).bad()  # type: ignore[attr-defined]
    rows = list(csv.DictReader((done.folder / "images.csv").read_text(encoding="utf-8").splitlines()))
    removed = {row["id"] for row in rows if row["removed"] == "yes"}
    assert len(rows) == 510
    assert bad <= removed
    assert done.figures["found"] == pytest.approx(
        {"n": 5, "of": 5, "share": 1.0, "low": 0.5655, "high": 1.0}, abs=1e-4
    )
    false = done.figures["falsely_removed"]
    assert (false["n"], false["of"]) == (len(removed) - 5, 505)
    kept = SOURCES.parse({"kind": "sifted", "of": DATA, "removed": str(done.folder / "images.csv")})
    assert {entry.id for entry in kept.index().entries} == {row["id"] for row in rows} - removed


@pytest.mark.slow
def test_a_killed_sift_goes_on_and_gives_equal_bytes(tmp_path: Path) -> None:
    first = sift(make(), root=tmp_path / "a", workers=1)
    whole = sift(make(), root=tmp_path / "b", workers=1)
    (kept,) = (tmp_path / "b").glob("features_toy_*")
    lost = sorted((kept / "features").glob("*.safetensors"))
    before = lost[0].stat().st_mtime_ns
    lost[1].write_bytes(b"half")
    (whole.folder / "images.csv").unlink()
    again = sift(make(), root=tmp_path / "b", workers=1)
    assert lost[0].stat().st_mtime_ns == before
    assert load_file(lost[1])["features"].shape == (64, 2)
    assert (again.folder / "images.csv").read_bytes() == (first.folder / "images.csv").read_bytes()


@pytest.mark.slow
def test_another_filter_looks_at_the_same_features(tmp_path: Path) -> None:
    first = sift(make(), root=tmp_path, workers=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    other = sift(make(filter={"kind": "spectre", "share": 0.01}), root=tmp_path, workers=1)
    assert other.folder != first.folder
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == before


def test_sources_that_are_not_known_to_be_poisoned_get_a_list_only(tmp_path: Path) -> None:
    done = sift(make(data={"kind": "signs", "count": 34}), root=tmp_path, workers=1)
    assert set(json.loads((done.folder / "sift.json").read_text())) == {"images", "removed", "skipped"}


@pytest.mark.slow
def test_the_command_prints_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps(told()))
    done = CliRunner().invoke(app, ["sift", str(tmp_path / "s.yaml"), "--out", str(tmp_path), "-q"])
    assert done.exit_code == 0, done.output
    assert "8 of 510 images would be removed (1.6 %)" in done.output
    assert "5 of 5 (100.0 %, 56.6 % to 100.0 %) are among them" in done.output


@pytest.mark.slow
def test_what_cannot_be_sifted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="a classifier has to be at its end"):
        make(parts={"median": {"kind": "median"}}, system=["median"])
    with pytest.raises(AttackError, match="no linear layer"):
        sift(
            make(parts={"c": {"kind": "python", "call": "toy:unlinear", "classes": 17}}, system=["c"]),
            root=tmp_path,
            workers=1,
        )
    unlabelled = {"kind": "joined", "of": [{"kind": "signs", "count": 34}], "labels": False}
    with pytest.raises(DataError, match="every image needs a label"):
        sift(make(data=unlabelled), root=tmp_path, workers=1)
