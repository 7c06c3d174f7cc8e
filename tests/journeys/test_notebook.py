"""Journey: a notebook: a metric defined in a cell, a run, what it shows."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from pages import follow

from clearsight.data.contract import registering
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.registry import REGISTERED, registries


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Execute the page's cells in a folder of their own, and forget what they registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        yield from executed()


def executed() -> Iterator[dict[str, Any]]:
    follow("own.md", "A class in a script or a notebook")
    yield runpy.run_path("notebook.py", run_name="notebook")
    REGISTERED.clear()
    for registry in registries():
        registry.forget()
    registering._rebuild()


@pytest.mark.slow
def test_a_class_of_a_cell_is_measured_and_shown(cells: dict[str, Any]) -> None:
    report = cells["report"]
    figures = {
        row["condition"]: (row["value"], row["n"]) for row in report.results() if row["metric"] == "top_two"
    }
    assert figures.keys() == {"clean", "gaussian_noise-5"}
    assert all(0 <= value <= 1 and n == 20 for value, n in figures.values())


def test_a_report_shows_itself(cells: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    report = cells["report"]
    assert repr(report).endswith(": 1 systems, 2 cells)")
    page = report._repr_html_()
    assert page.startswith("<pre")
    assert "plain" in page
    assert "<script" not in page

    (axes,) = report.plot("top_two").axes
    assert axes.get_ylabel() == "Top 2, %"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["clean", "gaussian_noise-5"]
    (bars,) = axes.containers
    drawn = bars.lines[0].get_ydata()
    told = [100 * row["value"] for row in report.results() if row["metric"] == "top_two"]
    assert list(drawn) == pytest.approx(told)
    with pytest.raises(ConfigError, match="plot: 'top_tow' was not measured; did you mean 'top_two'"):
        report.plot("top_tow")

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pip install pandas"):
        report.to_pandas()
    monkeypatch.setitem(sys.modules, "pandas", ModuleType("pandas"))
    monkeypatch.setattr(sys.modules["pandas"], "DataFrame", list, raising=False)
    assert report.to_pandas() == report.results()
