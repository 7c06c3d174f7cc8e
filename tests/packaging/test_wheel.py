"""The wheel: what is in it, and that it works far from the repository."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clearsight.data.sources.signs import Signs

pytestmark = pytest.mark.slow

HOUSE = Path(__file__).parents[2]
ROOMS = ("data", "restore", "defend", "pipelines")
SHIPPED = {".py", ".safetensors", ".json", ".yaml", ".html", ".css", ".js", ".typed"}
CODE = """
from torch import nn


class Mean(nn.Module):
    def forward(self, x):
        mean = x.mean((2, 3))
        return mean.repeat(1, 15)[:, :CLASSES]
"""
RECIPE = """
task: evaluate
name: far
data: {kind: signs, split: test, count: 24}
parts:
  median: {kind: median}
  classify: {kind: python, call: mine.py:Mean, classes: CLASSES}
systems:
  plain: [classify]
  median: [median, classify]
conditions:
  clean: {kind: identity}
  noise: {kind: gaussian_noise}
metrics: [accuracy]
compare: {baseline: plain}
"""


def call(*command: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command without the repository on the import path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    environment["COLUMNS"] = "160"
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that no build folder is left in the repository."""
    for module in ("build", "setuptools"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install clearsight[dev])")
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*ROOMS, "tests", "benchmarks"):
        shutil.copytree(HOUSE / name, folder / "house" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HOUSE / name, folder / "house")
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ".")
    done = call(*command, cwd=folder / "house")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(folder.glob("clearsight-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a folder; what it depends on is that of this environment."""
    folder = tmp_path_factory.mktemp("site")
    done = call(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--target",
        folder,
        wheel,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """A folder of a user's that has a ``data`` folder, and in it a ``data.py``, of its own."""
    classes = str(len(Signs(split="test", count=24).index().classes))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.py").write_text("raise RuntimeError('not the room')\n")
    (tmp_path / "mine.py").write_text(CODE.replace("CLASSES", classes))
    (tmp_path / "far.yaml").write_text(RECIPE.replace("CLASSES", classes))
    return tmp_path


def test_wheel_holds_the_rooms_and_nothing_else(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    top = {name.split("/")[0] for name in inside}
    assert {name for name in top if not name.endswith(".dist-info")} == set(ROOMS)
    wanted = {
        path.relative_to(HOUSE).as_posix()
        for room in ROOMS
        for path in (HOUSE / room).rglob("*")
        if path.is_file() and (path.suffix in SHIPPED or path.name == "py.typed")
    }
    assert wanted - inside == set()
    assert {f"{room}/py.typed" for room in ROOMS} <= inside
    for folder, ending in (
        ("pipelines/schema/", ".json"),
        ("pipelines/recipes/", ".yaml"),
        ("pipelines/report/", ".html"),
        ("defend/weights/", "model.safetensors"),
        ("defend/weights/", "card.json"),
    ):
        assert any(name.startswith(folder) and name.endswith(ending) for name in inside), folder + ending
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_help_answers(installed: Path, tmp_path: Path) -> None:
    done = call(sys.executable, installed / "bin" / "clearsight", "--help", cwd=tmp_path, path=installed)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


def test_the_installed_rooms_are_used(installed: Path, tmp_path: Path) -> None:
    code = "import data, restore, defend, pipelines as p; print(*(m.__file__ for m in (data, restore, defend, p)))"
    done = call(sys.executable, "-c", code, cwd=tmp_path, path=installed)
    assert done.returncode == 0, done.stderr
    assert all(Path(place).is_relative_to(installed) for place in done.stdout.split())


def test_a_recipe_runs_beside_a_folder_called_data(installed: Path, far: Path) -> None:
    command = (
        sys.executable,
        installed / "bin" / "clearsight",
        "run",
        "far.yaml",
        "--quiet",
        "--workers",
        "1",
    )
    done = call(*command, cwd=far, path=installed)
    assert done.returncode == 0, done.stderr
    (folder,) = (far / "runs").iterdir()
    assert (folder / "DONE").is_file()
    assert (folder / "report.html").stat().st_size > 0


def test_what_hides_the_rooms_is_named(installed: Path, far: Path) -> None:
    (far / "data.py").write_text("x = 1\n")
    # The command works: the working folder is not on its import path.
    script = installed / "bin" / "clearsight"
    assert call(sys.executable, script, "check", "far.yaml", cwd=far, path=installed).returncode == 0
    # Python's -m puts the working folder first; then the message says what is wrong.
    done = call(sys.executable, "-m", "clearsight", "check", "far.yaml", cwd=far, path=installed)
    assert done.returncode != 0
    assert f"Python finds {far / 'data.py'}, which hides it" in done.stderr
