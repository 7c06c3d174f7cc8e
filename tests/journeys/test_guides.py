"""Journeys: what the guides show, done in an empty folder, word for word."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from pages import blocks, done_by, follow
from toy_images import write_images

import clearsight
from clearsight.data.contract.errors import ConfigError
from clearsight.data.sources.imagenet_c import ImageNetC
from clearsight.pipelines.cli.app import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def accuracy() -> dict[tuple[str, str, str], float]:
    """Return the accuracies of the newest run, by system, condition and attack."""
    runs = [path for path in Path("runs").iterdir() if (path / "summary.json").is_file()]
    report = clearsight.open_run(max(runs, key=lambda path: path.stat().st_mtime_ns))
    return {
        (str(row["system"]), str(row["condition"]), str(row["attack"])): float(row["value"])
        for row in report.results()
        if row["metric"] == "accuracy"
    }


@pytest.mark.slow
def test_curves_of_a_notebook() -> None:
    (block,) = (
        block for block in blocks("notebook.md", "A measurement in a cell") if block.file == "curves.py"
    )
    Path("curves.py").write_text(block.text)
    cells = runpy.run_path("curves.py", run_name="notebook")
    report = cells["report"]
    (axes,) = report.plot(over="severity").axes
    told = {(row["system"], row["condition"]): 100 * row["value"] for row in report.results()
            if (row["metric"], row["attack"]) == ("accuracy", "none")}  # fmt: skip
    places = ("clean", *(f"gaussian_noise-{severity}" for severity in (1, 3, 5)))
    for line in axes.get_lines():
        assert list(line.get_xdata()) == [0, 1, 3, 5]
        assert list(line.get_ydata()) == pytest.approx([told[line.get_label(), place] for place in places])
    panels = report.plot(over="eps").axes
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["0", "1/255", "4/255"]
    assert "fgsm" in panels[0].get_title()
    with pytest.raises(ConfigError, match="'accurate' was not measured"):
        report.plot("accurate", over="eps")


@pytest.mark.slow
def test_the_config_for_a_gpu_runs_without_one() -> None:
    (block,) = (block for block in blocks("gpu.md", "Make use of it") if block.file)
    Path("gpu.yaml").write_text(block.text.replace("count: 34", "count: 17"))
    done_by("run", "gpu.yaml", "--device", "cpu", "--workers", "1", "-q")
    assert set(accuracy()) == {("plain", "noise", "none"), ("restored", "noise", "none")}


@pytest.mark.slow
@pytest.mark.long
def test_a_benchmark_of_ones_own_is_written_and_measured(folder: Path) -> None:
    follow("benchmark.md", "Write it")
    figures = accuracy()
    groups = {condition for _, condition, _ in figures}
    assert len(groups) == 1 + 3 + 1 + 15 + 4
    write_images(folder / "my" / "images", 6, (32, 32))
    follow("benchmark.md", "Give it away")
    assert (folder / "rainy" / "manifest.json").is_file()
    assert len(ImageNetC(path="rainy", corruption="snow", severity=5).index().entries) == 6


@pytest.mark.slow
@pytest.mark.long
def test_an_attack_done_right() -> None:
    for block in blocks("attack.md", "Done right, from beginning to end"):
        if block.file:
            Path(block.file).write_text(block.text.replace("count: 34", "count: 17"), encoding="utf-8")
        for words in block.commands:
            if words[0] == "audit":
                # It objects to a filter that is no defence, or agrees: both are answers.
                with pytest.raises(SystemExit) as done:
                    main([*words, "-q", "--workers", "1"])
                assert done.value.code in (None, 0, 1)
            else:
                done_by(*words, *(("-q", "--workers", "1") if words[0] == "run" else ()))
            if words[0] == "run":
                figures = accuracy()
    assert figures["plain", "clean", "much"] < 0.1
    assert figures["plain", "clean", "half"] >= figures["plain", "clean", "pgd"]
    assert figures["filtered", "clean", "blind"] >= figures["filtered", "clean", "pgd"]
