"""What a release says of itself in several places is the same in all of them; what installs without torch works so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from clearsight.pipelines.cli.endings import FULL

HOUSE = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
IMPORTED_AS = {"opencv-python-headless": "cv2", "scikit-image": "skimage", "onnxruntime-gpu": "onnxruntime"}
WITHOUT_TORCH = """
import sys
for name in {names!r}:
    sys.modules[name] = None
from clearsight.pipelines.cli.app import main
main({arguments!r})
"""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=;\[ ]", requirement)[0] for requirement in requirements}


def test_one_version() -> None:
    citation = yaml.safe_load((HOUSE / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (HOUSE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    headings = re.findall(r"^## \[(.+?)\]", changes, re.MULTILINE)
    # What is not released yet stands above the versions that are.
    assert headings[0] == "Unreleased"
    assert not headings[1:] or headings[1] == PROJECT["version"]


def test_the_changelog_is_in_the_common_format() -> None:
    text = (HOUSE / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Results may change"}
    assert len(re.findall(r"^### ", text, re.MULTILINE)) == len(kinds) * len(
        re.findall(r"^## ", text, re.MULTILINE)
    )


def test_what_runs_exported_files_has_no_heavy_package() -> None:
    text = (HOUSE / "docs" / "deploy.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\$ pip install (onnxruntime .*)$", text, re.MULTILINE)
    light = {IMPORTED_AS.get(name, name) for name in line.split()}
    assert light & FULL == {"onnxruntime", "cv2"}
    # A missing package of any other set is told in one line.
    own = {IMPORTED_AS.get(name, name) for name in names(PROJECT["dependencies"])}
    assert own >= FULL
    assert not own & (names(EXTRAS["serve"]) | names(EXTRAS["docs"]))


@pytest.mark.parametrize("arguments", [["run", "quickstart"], ["export", "quickstart", "-o", "x"]])
@pytest.mark.slow
def test_a_command_that_needs_torch_says_so_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    code = WITHOUT_TORCH.format(names=sorted(FULL - {"onnxruntime"}), arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(HOUSE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"error: this command needs \w+; pip install .*\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    "form", sorted((HOUSE / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda p: p.stem
)
def test_the_forms_of_issues_are_forms(form: Path) -> None:
    told = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem == "config":
        assert told.keys() == {"blank_issues_enabled"}
        return
    assert {"name", "description", "body"} <= told.keys()
    assert all(
        field["type"] in ("textarea", "input") and field["attributes"]["label"] for field in told["body"]
    )
    assert len({field["id"] for field in told["body"]}) == len(told["body"])
