from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from clearsight.data.contract.errors import ClearsightError, ConfigError, DataError, RunError
from clearsight.data.contract.rng import Rng
from clearsight.data.executors.choice import Backend
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation import worker as runner
from clearsight.pipelines.evaluation.job import CellChunk
from clearsight.pipelines.evaluation.machines import pinned_kind
from clearsight.pipelines.evaluation.plan import Plan, prepare
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.markdown import markdown
from clearsight.pipelines.systems.device import kind_of_machine

Make = Callable[..., Evaluate]


def bytes_of(folder: Path) -> bytes:
    return (folder / "results.parquet").read_bytes()


@pytest.fixture
def finished(make_config: Make, tmp_path: Path) -> Path:
    return run(make_config(), root=tmp_path / "runs", workers=1).path


def test_a_run_leaves_a_complete_folder(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "config.yaml",
        "resolved.json",
        "environment.json",
        "cells",
        "images",
        "results.parquet",
        "timings.parquet",
        "summary.json",
        "summary.csv",
        "report.html",
        "log.txt",
        "DONE",
    }
    assert not list(finished.rglob("*.tmp"))
    rows = parquet.read_table(finished / "results.parquet")
    assert rows.num_rows == 2 * 3 * 30
    assert "seconds" not in rows.column_names


def test_a_run_says_which_kind_of_machine_computed_it(finished: Path) -> None:
    kind = kind_of_machine("cpu")
    assert kind.startswith("CPU ")
    timing = json.loads((finished / "summary.json").read_text())["timing"]
    assert timing["machines"] == {kind: 2 * 3 * 4}
    assert kind in (finished / "report.html").read_text()
    assert "machine" not in parquet.read_table(finished / "results.parquet").column_names


@pytest.mark.slow
def test_a_pinned_run_refuses_another_kind_of_machine(make_config: Make, tmp_path: Path) -> None:
    config = make_config()
    folder = run(config, root=tmp_path, workers=1, pin_kind=True)
    missing = next(folder.cells.glob("*/seal-00000.json"))
    for path in (folder.done, missing):
        path.unlink()
    assert run(config, root=tmp_path, workers=1, pin_kind=True).done.exists()
    plan = prepare(config, root=tmp_path, device="cpu")
    assert pinned_kind(plan, Backend()) == kind_of_machine("cpu")
    elsewhere = replace(plan, job=replace(plan.job, pinned="CPU of another make, AVX2"))
    with pytest.raises(RunError, match="--pin-kind: a machine of another kind would compute"):
        runner.start_measuring(elsewhere.job)(CellChunk("clean", 0, plan.cells[:1]))
    timing = next(folder.cells.glob("*/timing-00000.json"))
    timing.write_text(timing.read_text().replace(kind_of_machine("cpu"), "GPU of some kind"))
    with pytest.raises(RunError, match="machines of several kinds have computed this run: .*GPU of some"):
        pinned_kind(plan, Backend())


def test_summary_agrees_with_the_rows(finished: Path) -> None:
    rows = parquet.read_table(finished / "results.parquet").to_pylist()
    summary = json.loads((finished / "summary.json").read_text())
    for cell in summary["cells"]:
        mine = [r for r in rows if all(r[k] == cell[k] for k in ("system", "condition", "attack"))]
        right = np.array([r["correct"] for r in mine])
        assert cell["n"] == len(mine) == 30
        assert cell["metrics"]["accuracy"]["value"] == pytest.approx(right.mean())
        assert [r["prediction"] == r["label"] for r in mine] == right.tolist()
        if cell["versus"]:
            base = [
                r["correct"] for r in rows if r["system"] == "plain" and r["condition"] == cell["condition"]
            ]
            assert cell["versus"]["difference"] == pytest.approx(right.mean() - np.mean(base))
            assert cell["versus"]["gained"] == sum(a and not b for a, b in zip(right, base, strict=True))
    clean = next(c for c in summary["cells"] if c["condition"] == "clean" and c["system"] == "plain")
    assert clean["metrics"]["accuracy"]["value"] == 1.0
    assert clean["versus"] is None
    assert clean["metrics"]["psnr_in"] is None
    noisy = next(
        c for c in summary["cells"] if c["condition"] == "gaussian_noise-5" and c["system"] == "plain"
    )
    # The constants that fit images of 24x20 pixels, CIFAR-C's: a standard deviation of 0.1.
    assert 19 < noisy["metrics"]["psnr_in"]["value"] < 22
    group = next(a for a in summary["aggregates"] if a["system"] == "restored")
    each = [
        c["metrics"]["accuracy"]["value"]
        for c in summary["cells"]
        if c["system"] == "restored" and "noise" in c["condition"]
    ]
    assert group["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(each))


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_equal(make_config: Make, finished: Path, tmp_path: Path) -> None:
    before, summary = bytes_of(finished), (finished / "summary.csv").read_bytes()
    chunks = sorted(finished.glob("cells/*/chunk-*.parquet"))
    assert len(chunks) == 2 * 3 * 4
    for path in chunks[::3]:
        path.unlink()
    for name in ("results.parquet", "summary.json", "DONE"):
        (finished / name).unlink()
    kept = {path: path.stat().st_mtime_ns for path in finished.glob("cells/*/chunk-*.parquet")}
    again = run(make_config(), root=tmp_path / "runs", workers=1).path
    assert again == finished
    assert bytes_of(again) == before
    assert (again / "summary.csv").read_bytes() == summary
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items()), (
        "a finished chunk was made again"
    )


@pytest.mark.slow
def test_order_and_processes_change_nothing(
    make_config: Make, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = run(make_config(), root=tmp_path / "two", workers=2).path
    assert bytes_of(two) == bytes_of(finished)
    forward = Plan.missing
    monkeypatch.setattr(Plan, "missing", lambda plan: forward(plan)[::-1])
    backward = run(make_config(), root=tmp_path / "back", workers=1).path
    assert bytes_of(backward) == bytes_of(finished)


@pytest.mark.slow
def test_an_equal_run_is_found_again_and_fresh_begins_anew(
    make_config: Make, finished: Path, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    assert run(make_config(), root=root, workers=1).path == finished
    assert run(make_config(seed=1), root=root, workers=1).path != finished
    anew = run(make_config(), root=root, workers=1, fresh=True).path
    assert anew != finished
    assert bytes_of(anew) == bytes_of(finished)


@pytest.mark.slow
def test_a_failing_worker_stops_the_run_and_keeps_what_is_done(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, root = make_config(), tmp_path / "runs"
    measure, calls = runner.Bench.measure, []

    def fail_later(bench: runner.Bench, chunk: CellChunk, sent: None) -> int:
        calls.append(chunk)
        if len(calls) == 4:
            raise RunError("the machine has no more memory")
        return measure(bench, chunk)

    monkeypatch.setattr(runner.Bench, "measure", fail_later)
    with pytest.raises(RunError, match="no more memory"):
        run(config, root=root, workers=1)
    folder = next(root.iterdir())
    assert not (folder / "DONE").exists()
    assert len(list(folder.glob("cells/*/chunk-*.parquet"))) == 3 * 2
    assert "stopped: the machine has no more memory" in (folder / "log.txt").read_text()
    monkeypatch.undo()
    assert bytes_of(run(config, root=root, workers=1).path) == bytes_of(
        run(config, root=tmp_path / "b", workers=1).path
    )


@pytest.mark.slow
def test_odd_images_are_used_or_listed(make_config: Make, images: Path, tmp_path: Path) -> None:
    red = images / "red"
    rng = Rng(0).at("odd").numpy()
    Image.fromarray(rng.integers(0, 255, (40, 31), dtype=np.uint8)).save(red / "grey.png")
    Image.fromarray(rng.integers(0, 65535, (33, 32), dtype=np.uint16)).save(red / "deep.png")
    Image.fromarray(rng.integers(0, 255, (32, 32, 4), dtype=np.uint8), "RGBA").save(red / "alpha.png")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(red / "one.png")
    (red / "broken.png").write_bytes((red / "002.png").read_bytes()[:100])
    (red / "text.png").write_text("no image")
    size = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    (red / "huge.png").write_bytes(head + struct.pack(">I", 99) + b"IDAT" + zlib.compress(bytes(99)))
    folder = run(make_config(), root=tmp_path / "runs", workers=1).path
    skipped = {
        item["id"].rpartition("/")[2]: item["reason"]
        for item in json.loads((folder / "skipped.json").read_text())
    }
    assert set(skipped) == {"one.png", "broken.png", "text.png", "huge.png"}
    assert "pixels" in skipped["huge.png"]
    assert "1x1" in skipped["one.png"]
    assert json.loads((folder / "summary.json").read_text())["data"]["skipped"]
    assert parquet.read_table(folder / "results.parquet").num_rows == 2 * 3 * 33


def test_nothing_usable_is_an_error(make_config: Make, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "x.png").write_text("no image")
    with pytest.raises(DataError, match="none of 1 images can be used"):
        run(make_config(data={"kind": "folder", "path": str(folder)}), root=tmp_path / "runs", workers=1)


def test_a_label_outside_the_classes_is_an_error(make_config: Make, tmp_path: Path) -> None:
    parts = {"classify": {"kind": "python", "call": "toy:brightest", "classes": 3}}
    config = make_config(parts=parts, systems={"plain": ["classify"]})
    data = config.data.model_copy(update={"label_map": {"blue": 0, "green": 1, "red": 7}})
    with pytest.raises(ConfigError, match=r"has label 7.*knows classes 0 to 2.*label_map"):
        prepare(config.model_copy(update={"data": data}), root=tmp_path, device="cpu")


@pytest.mark.slow
def test_shuffled_labels_score_at_chance(make_config: Make, images: Path, tmp_path: Path) -> None:
    files = sorted(images.rglob("*.png"))
    order = Rng(3).at("shuffle").numpy().permutation(len(files))
    contents = [path.read_bytes() for path in files]
    for path, i in zip(files, order, strict=True):
        path.write_bytes(contents[i])
    folder = run(
        make_config(conditions={"clean": {"kind": "identity"}}), root=tmp_path / "runs", workers=1
    ).path
    cell = json.loads((folder / "summary.json").read_text())["cells"][0]["metrics"]["accuracy"]
    assert cell["low"] < 1 / 3 < cell["high"]


@pytest.mark.slow
def test_metrics_that_cannot_be_had_are_refused(make_config: Make, images: Path, tmp_path: Path) -> None:
    unlabelled = {"kind": "files", "path": str(images)}
    with pytest.raises(ConfigError, match="metric 'accuracy' needs correct, but nothing here has labels"):
        run(make_config(data=unlabelled, metrics=["accuracy"], compare=None), root=tmp_path, workers=1)
    folder = run(make_config(data=unlabelled, compare=None), root=tmp_path, workers=1).path
    assert json.loads((folder / "summary.json").read_text())["metrics"] == ["psnr", "ssim", "psnr_in"]


@pytest.mark.slow
def test_luminance_and_niqe_are_measured_on_demand(make_config: Make, images: Path, tmp_path: Path) -> None:
    for path in images.rglob("*.png"):
        with Image.open(path) as small:
            small.resize((120, 100)).save(path)
    wanted = ["psnr", "psnr_y", "ssim_y", "niqe"]
    folder = run(make_config(metrics=wanted), root=tmp_path / "runs", workers=1).path
    cells = json.loads((folder / "summary.json").read_text())["cells"]
    found = next(c for c in cells if c["system"] == "restored" and c["condition"] == "gaussian_noise-5")
    values = {name: found["metrics"][name]["value"] for name in wanted}
    assert values["psnr_y"] > values["psnr"]
    assert 0 < values["ssim_y"] < 1
    assert values["niqe"] > 1
    assert "ssim" not in found["metrics"]


def test_images_too_small_for_niqe_are_refused(make_config: Make, tmp_path: Path) -> None:
    with pytest.raises(ClearsightError, match="96"):
        run(make_config(metrics=["niqe"]), root=tmp_path, workers=1)


def test_an_unknown_device_is_refused(make_config: Make, tmp_path: Path) -> None:
    with pytest.raises(ClearsightError, match="known: auto, cpu, cuda"):
        run(make_config(), root=tmp_path, device="tpu")


def test_markdown_tables_hold_the_figures(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    text = markdown(summary)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| system | clean | noise |"
    assert any(row.startswith("| gaussian_noise |") for row in rows)
    assert any(row.startswith("| gaussian_noise-5 |") for row in rows)
    kind = next(k for k in summary["kinds"] if k["system"] == "restored")
    assert f"{100 * kind['metrics']['accuracy']['value']:.1f} [" in text


def test_markdown_has_a_table_of_every_metric_that_is_asked_for(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    metric = next(name for name in summary["metrics"] if name != "accuracy")
    text = markdown(summary, [metric])
    assert text.startswith(markdown(summary))
    rows = [line for line in text.removeprefix(markdown(summary)).splitlines() if line.startswith("| ")]
    assert rows[0] == "| condition | plain | restored |"
    measured = {c["condition"] for c in summary["cells"] if metric in c["metrics"]}
    assert measured <= {row.split(" | ")[0].removeprefix("| ") for row in rows[2:]}
    with pytest.raises(ClearsightError, match=rf"'nope' was not measured.*{metric}"):
        markdown(summary, ["nope"])
