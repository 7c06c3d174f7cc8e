"""A written benchmark is read back with the classes of its source, whatever they are called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearsight.data.benchmark.write import Layout, expand, write_benchmark
from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample
from clearsight.data.media.images import encode_png
from clearsight.data.sources.base import Source

NAMINGS = {
    "integers": tuple(map(str, range(13))),
    "not ASCII": tuple(f"знак-{number}" for number in range(12)),
    "spaces": ("a b", "a-b", "a_b", "a", "B", "b"),
    "devices": ("con", "nul", ".hidden", "..", "x/y"),
    "one": ("only",),
    "many": tuple(f"c{number}" for number in range(120)),
}


def parquet(path: Path, names: tuple[str, ...], *, named: bool = True) -> Source:
    """Two images a class whose grey level tells the class."""
    labels = [number % len(names) for number in range(2 * len(names))]
    rows = [
        {"bytes": encode_png(np.full((16, 16, 3), 40 + label, np.uint8)), "path": f"{number}.png"}
        for number, label in enumerate(labels)
    ]
    told = {"info": {"features": {"label": {"names": list(names), "_type": "ClassLabel"}}}}
    table = pa.table({"image": rows, "label": labels})
    if named:
        table = table.replace_schema_metadata({"huggingface": json.dumps(told)})
    pq.write_table(table, path)
    return SOURCES.parse({"kind": "parquet", "path": str(path)})


def levels(source: Source) -> list[tuple[str, int]]:
    """Return (class name, mean grey level) of every image."""
    index = source.index()
    made = [sample for sample in source.read(index.entries) if isinstance(sample, Sample)]
    assert len(made) == len(index.entries)
    return sorted(
        (index.classes[entry.truth or 0], round(float(sample.image.mean())))
        for entry, sample in zip(index.entries, made, strict=True)
    )


@pytest.mark.parametrize("layout", ["imagenet_c", "cifar_c"])
@pytest.mark.parametrize("naming", sorted(NAMINGS))
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.slow
def test_classes_come_back(naming: str, layout: Layout, named: bool, tmp_path: Path) -> None:
    names = NAMINGS[naming]
    source = parquet(tmp_path / "set.parquet", names, named=named)
    # A mild brightening: classes are told apart by order, not by exact levels.
    write_benchmark(source, tmp_path / "out", expand(["brightness"]), layout=layout, workers=1)
    back = SOURCES.parse(
        {"kind": layout, "path": str(tmp_path / "out"), "corruption": "brightness", "severity": 1}
    )
    assert back.index().classes == source.index().classes
    written, clean = levels(back), levels(source)
    assert [name for name, _ in written] == [name for name, _ in clean]
    order = [level for _, level in sorted(zip((c for _, c in clean), (w for _, w in written), strict=True))]
    assert order == sorted(order)


def test_a_plain_reader_of_class_folders_gets_them_too(tmp_path: Path) -> None:
    source = parquet(tmp_path / "set.parquet", NAMINGS["integers"])
    write_benchmark(
        source, tmp_path / "out", expand(["brightness"], severities=[1]), layout="imagenet_c", workers=1
    )
    folder = SOURCES.parse({"kind": "folder", "path": str(tmp_path / "out" / "brightness" / "1")})
    assert folder.index().classes == NAMINGS["integers"]
    (tmp_path / "out" / "brightness" / "1" / "foreign").mkdir()
    with pytest.raises(DataError, match=r"'foreign' is no class of its manifest\.json"):
        folder.index()


def test_a_manifest_of_something_else_is_no_matter(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    (tmp_path / "manifest.json").write_text('{"config": {"classes": ["b", "a"]}}')
    assert SOURCES.parse({"kind": "folder", "path": str(tmp_path)}).index().classes == ("a", "b")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        SOURCES.parse({"kind": "folder", "path": str(tmp_path)}).index()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=24, unique=True)
)
@pytest.mark.slow
def test_any_number_and_naming_of_classes_comes_back(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every pair of writer and reader: two layouts, and class folders read alone."""
    place = tmp_path_factory.mktemp("any")
    source = parquet(place / "set.parquet", tuple(names))
    clean = levels(source)
    for layout, severities in (("imagenet_c", [1]), ("cifar_c", [1, 2, 3, 4, 5])):
        out = place / layout
        made = expand(["brightness"], severities=severities)
        write_benchmark(source, out, made, layout=layout, workers=1)  # type: ignore[arg-type]
        told = {"kind": layout, "path": str(out), "corruption": "brightness", "severity": 1}
        readers = [SOURCES.parse(told)]
        if layout == "imagenet_c":
            readers.append(SOURCES.parse({"kind": "folder", "path": str(out / "brightness" / "1")}))
        for reader in readers:
            assert reader.index().classes == source.index().classes
            written = levels(reader)
            assert [name for name, _ in written] == [name for name, _ in clean]
            brighter = {after - before for (_, after), (_, before) in zip(written, clean, strict=True)}
            assert max(brighter) - min(brighter) <= 1
