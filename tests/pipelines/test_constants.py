"""Severity constants: which published table a figure means, and for which size, is decided by one rule and said.

Left out, they are those that were chosen for images of the nearest size: in a call, in a run, in a benchmark.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from clearsight.data.benchmark.write import Layout, expand, write_benchmark
from clearsight.data.catalogue import CORRUPTIONS, SOURCES
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.base import SIZES, TABLES, Corruption, Table, constants_in_words, fitting
from clearsight.data.corruptions.gaussian_noise import GaussianNoise
from clearsight.data.corruptions.jpeg_compression import JpegCompression
from clearsight.data.media.images import encode_png
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.plan import prepare
from clearsight.pipelines.evaluation.run import run

FIT: dict[int, Table] = {32: "cifar_c", 64: "tiny_imagenet_c", 224: "imagenet_c"}
runner = CliRunner()


def drawn_image(side: int, name: str = "x") -> np.ndarray:
    return Rng(0).at(name, side).numpy().integers(0, 256, (side, side, 3)).astype(np.uint8)


def folder(path: Path, sides: list[int]) -> Path:
    """Two classes, one image a side in each."""
    for label in ("a", "b"):
        (path / label).mkdir(parents=True)
        for number, side in enumerate(sides):
            (path / label / f"{number}.png").write_bytes(encode_png(drawn_image(side, f"{label}{number}")))
    return path


@given(st.integers(16, 4000))
@pytest.mark.slow
def test_the_table_of_the_nearest_size(side: int) -> None:
    expected = "cifar_c" if side <= 45 else "tiny_imagenet_c" if side <= 119 else "imagenet_c"
    assert fitting(side) == expected
    assert GaussianNoise().fitted(side).table == expected
    for told in TABLES:
        assert GaussianNoise(table=told).fitted(side).table == told


@pytest.mark.parametrize(
    "kind", [kind for kind in CORRUPTIONS.kinds if kind not in ("albumentations", "python")]
)
@pytest.mark.parametrize("side", [32, 64, 224])
def test_a_call_takes_the_constants_of_the_images_own_size(kind: str, side: int) -> None:
    image, stream = drawn_image(side), Rng(1).at("x")
    severity = 0 if kind == "identity" else 2
    told = CORRUPTIONS.parse({"kind": kind, "severity": severity, "table": FIT[side]})
    left = CORRUPTIONS.parse({"kind": kind, "severity": severity})
    assert np.array_equal(left(image, stream), told(image, stream))


class TwoTables(Corruption):
    """What somebody wrote before there were three tables."""

    kind: Literal["two_tables"] = "two_tables"
    LEVEL: ClassVar[dict[Table, tuple[int, ...]]] = {
        "imagenet_c": (1, 2, 3, 4, 5),
        "cifar_c": (6, 7, 8, 9, 10),
    }

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.full_like(image, self.LEVEL[self.table][self.severity - 1])


def test_a_corruption_with_fewer_tables_takes_the_nearest_it_has() -> None:
    assert [int(TwoTables(severity=1)(drawn_image(side), Rng(0))[0, 0, 0]) for side in (32, 64, 224)] == [
        6,
        6,
        1,
    ]
    with pytest.raises(ValidationError, match="two_tables has no constants of 'tiny_imagenet_c'"):
        TwoTables(table="tiny_imagenet_c")


def config(path: Path, conditions: dict[str, Any]) -> Evaluate:
    return Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "constants",
            "data": {"kind": "folder", "path": str(path)},
            "parts": {"median": {"kind": "median"}},
            "systems": {"plain": ["median"]},
            "conditions": conditions,
        }
    )


CONDITIONS: dict[str, Any] = {
    "clean": {"kind": "identity"},
    "one": {"kind": "gaussian_noise", "severity": 2},
    "each": {"kind": "fog", "each": {"severity": [1, 3]}},
    "set": {"set": "imagenet_c_15", "severity": 1},
    "mixed": {"mixed": "imagenet_c_15", "severity": [1, 2]},
    "night": [{"kind": "low_light"}, {"kind": "jpeg_compression", "table": "imagenet_c"}],
}


@pytest.mark.parametrize("side", [32, 64, 224])
def test_a_run_fixes_one_table_for_every_form_of_condition(side: int, tmp_path: Path) -> None:
    plan = prepare(config(folder(tmp_path / "in", [side]), CONDITIONS), root=tmp_path, device="cpu")
    tables = {name: each.corruption.all_tables for name, each in plan.grid.conditions.items()}
    assert tables.pop("clean") == ()
    assert set(tables.pop("night")) == {FIT[side], "imagenet_c"}
    assert set(tables.values()) == {(FIT[side],)}
    assert len(tables) == 18
    assert all(
        "by_size" not in str(each.identity())
        for name, each in plan.job.corruptions.items()
        if name != "clean"
    )


def test_images_of_several_sizes_get_the_table_of_the_median(tmp_path: Path) -> None:
    path = folder(tmp_path / "in", [32, 60, 70, 300])
    plan = prepare(config(path, {"one": {"kind": "gaussian_noise"}}), root=tmp_path, device="cpu")
    assert plan.grid.conditions["one"].corruption.all_tables == ("tiny_imagenet_c",)


@pytest.mark.slow
def test_table_and_size_stand_in_check_summary_and_report(tmp_path: Path) -> None:
    path = folder(tmp_path / "in", [32])
    made = run(
        config(path, {"one": {"kind": "gaussian_noise"}}), root=tmp_path / "runs", workers=1, device="cpu"
    )
    words = "severity constants of CIFAR-C (chosen for 32x32 pixels)"
    assert words in json.loads(made.summary.read_text())["data"]["description"]
    assert words in made.report.read_text()
    yaml = tmp_path / "c.yaml"
    yaml.write_text(
        f"task: evaluate\nname: c\ndata: {{kind: folder, path: {path}}}\nparts: {{m: {{kind: median}}}}\n"
        "systems: {plain: [m]}\nconditions: {one: {kind: gaussian_noise}, two: {kind: fog, table: imagenet_c}}\n"
    )
    done = runner.invoke(app, ["check", str(yaml)])
    assert done.exit_code == 0, done.output
    assert (
        "images of 32x32 pixels; severity constants of CIFAR-C (chosen for 32x32 pixels) and ImageNet-C"
        " (chosen for 224x224 pixels)" in done.output
    )


@pytest.mark.parametrize(
    ("layout", "side", "table"),
    [("cifar_c", 32, "cifar_c"), ("cifar_c", 64, "cifar_c"), ("imagenet_c", 64, "tiny_imagenet_c"),
     ("imagenet_c", 32, "cifar_c"), ("imagenet_c", 224, "imagenet_c")],
)  # fmt: skip
def test_a_benchmark_is_written_with_the_constants_of_its_layout_or_size(
    layout: Layout, side: int, table: Table, tmp_path: Path
) -> None:
    source = SOURCES.parse({"kind": "folder", "path": str(folder(tmp_path / "in", [side]))})
    written = write_benchmark(
        source, tmp_path / "out", expand(["jpeg_compression"]), layout=layout, workers=1
    )
    assert written.tables == (table,)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())["config"]
    size = SIZES[table]
    assert manifest["tables"] == {table: f"chosen for {size}x{size} pixels"}
    assert manifest["looked_at"] == {f"{side}x{side}": 2}
    assert [each["constants"] for each in manifest["corruptions"]] == [
        {"quality": quality} for quality in JpegCompression.QUALITY[table]
    ]
    told = {"kind": layout, "path": str(tmp_path / "out"), "corruption": "jpeg_compression", "severity": 3}
    back = SOURCES.parse(told)
    (first, *_) = back.read(back.index().entries)
    expected = JpegCompression(severity=3, table=table)(drawn_image(side, "a0"), Rng(0))
    assert np.array_equal(first.image, expected)  # type: ignore[union-attr]


def test_the_command_says_it(tmp_path: Path) -> None:
    path = folder(tmp_path / "in", [64])
    arguments = ["corrupt", str(path), str(tmp_path / "out"), "--set", "fog", "--severity", "1", "--quiet"]
    done = runner.invoke(app, [*arguments, "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert constants_in_words(["tiny_imagenet_c"]) in " ".join(done.output.split())
