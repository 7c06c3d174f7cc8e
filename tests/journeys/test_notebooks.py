"""The notebooks of the documentation: they run, what is stored is what they give, and the site shows them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

HOUSE = Path(__file__).parents[2]
NOTEBOOKS = sorted((HOUSE / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.slow
def test_a_notebook_gives_what_is_stored(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (pip install clearsight[dev])")
    nbformat = pytest.importorskip(
        "nbformat", reason="nbformat is not installed (pip install clearsight[dev])"
    )
    client: Any = pytest.importorskip(
        "nbclient", reason="nbclient is not installed (pip install clearsight[dev])"
    )
    monkeypatch.setenv("PYTHONPATH", str(HOUSE), prepend=os.pathsep)
    stored = nbformat.read(path, as_version=4)
    executed = nbformat.read(path, as_version=4)
    client.NotebookClient(executed, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for before, after in zip(stored.cells, executed.cells, strict=True):
        if before.cell_type == "code":
            assert [kinds(output) for output in before.outputs] == [kinds(output) for output in after.outputs]


def kinds(output: Any) -> list[str]:
    """Return in which forms a cell gives something."""
    return sorted(output.get("data", {output.output_type: None}))


def test_there_are_three_that_ran_to_their_end() -> None:
    hooks = site_hooks()
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        assert "Traceback" not in text
        page = hooks.notebook(text)
        assert page.startswith("# ")
        assert page.count("```python") == text.count('"cell_type": "code"')
        assert '"execution_count": null' not in text
        assert "<pre" in page or "data:image/png;base64," in page


def site_hooks() -> Any:
    spec = importlib.util.spec_from_file_location("hooks", HOUSE / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks
