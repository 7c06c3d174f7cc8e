"""The packages that are shipped: what is in them, and that they work far from the repository and beside a user's code."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from clearsight.data.sources.signs import Signs

pytestmark = pytest.mark.slow

HOUSE = Path(__file__).parents[2]
ROOMS = ("data", "restore", "defend", "pipelines")
MODEL = """
import sys
from pathlib import Path

from torch import nn

import pipelines.steps
import restore
from data.norm import MEAN

for module in (pipelines.steps, restore, sys.modules["data.norm"]):
    assert Path(module.__file__).is_relative_to(Path(__file__).parent), module.__file__


class Mean(nn.Module):
    def forward(self, x):
        return restore.spread(pipelines.steps.mean(x) - MEAN, CLASSES)
"""
PROJECT = {
    "data/__init__.py": "",
    "data/norm.py": "MEAN = 0.25\n",
    "data/data.py": "raise RuntimeError('nobody asked for this')\n",
    "defend.py": "raise RuntimeError('nobody asked for this')\n",
    "pipelines/steps.py": "def mean(x):\n    return x.mean((2, 3))\n",
    "restore.py": "def spread(x, classes):\n    return x.repeat(1, 15)[:, :classes]\n",
    "mine.py": MODEL,
}
"""A user's project whose modules have the names of the rooms: a package, a folder without ``__init__.py``, files."""
RECIPE = """
task: evaluate
name: far
data: {kind: signs, split: test, count: 24}
parts:
  median: {kind: median}
  classify: {kind: python, call: 'mine:Mean', classes: CLASSES}
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
    environment |= {"COLUMNS": "160", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def succeed(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Run a command that must not fail and return what it prints."""
    done = call(*command, cwd=cwd, path=path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def build(source: Path, out: Path, kind: str) -> Path:
    succeed(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", out, ".", cwd=source)
    return next(out.glob("clearsight-*.whl" if kind == "wheel" else "clearsight-*.tar.gz"))


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds clearsight alone; what it depends on is that of this environment."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        return self.folder / "bin" / "clearsight"

    @property
    def site(self) -> Path:
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.folder)}))

    def pip(self, *arguments: str | Path) -> str:
        return succeed(sys.executable, "-m", "pip", "--python", self.python, *arguments, cwd=self.folder)

    @classmethod
    def make(cls, folder: Path, *install: str | Path) -> Environment:
        made = cls(folder)
        venv.create(folder, symlinks=True)
        # A line in a .pth file puts a folder on the import path without reading the .pth files in that folder:
        # an editable install of clearsight in this environment stays out.
        (made.site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        made.pip("install", "--no-deps", "--no-build-isolation", *install)
        return made


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the repository, so that no build folder is left in it."""
    for module in ("build", "setuptools"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install clearsight[dev])")
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("clearsight", *ROOMS, "tests", "benchmarks"):
        shutil.copytree(HOUSE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(HOUSE / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(checkout, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment.make(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """The project of a user's, far from the repository."""
    classes = str(len(Signs(split="test", count=24).index().classes))
    for name, text in (PROJECT | {"far.yaml": RECIPE}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text.replace("CLASSES", classes))
    return tmp_path


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def shipped_files() -> set[str]:
    """Return every file of the rooms, under the name that it has in the wheel."""
    files = [path for room in ROOMS for path in (HOUSE / room).rglob("*") if path.is_file()]
    inside = {f"clearsight/{path.relative_to(HOUSE).as_posix()}" for path in files if path.suffix != ".pyc"}
    return inside | {
        f"clearsight/{path.name}" for path in (HOUSE / "clearsight").glob("*.*") if path.is_file()
    }


def test_the_wheel_holds_one_package_and_all_of_it(wheel: Path) -> None:
    inside = names_in(wheel)
    metadata = {name for name in inside if name.split("/")[0].endswith(".dist-info")}
    assert inside - metadata == shipped_files()
    assert any(name.endswith("licenses/LICENSE") for name in metadata)
    assert "clearsight/py.typed" in inside
    for folder, ending in (
        ("pipelines/schema/", ".json"),
        ("pipelines/recipes/", ".yaml"),
        ("pipelines/report/", ".html"),
        ("defend/weights/", "model.safetensors"),
        ("defend/weights/", "card.json"),
        ("restore/weights/", "model.safetensors"),
    ):
        matching = [
            name for name in inside if name.startswith(f"clearsight/{folder}") and name.endswith(ending)
        ]
        assert matching, folder + ending


def test_the_source_archive_builds_the_same_wheel(
    checkout: Path, wheel: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = build(checkout, tmp_path, "sdist")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "clearsight/py.typed"):
        assert (source / name).is_file(), name
    assert names_in(build(source, tmp_path, "wheel")) == names_in(wheel)


def test_pip_lists_nothing_outside_the_package(installed: Environment) -> None:
    listed = installed.pip("show", "--files", "clearsight").partition("Files:\n")[2].split()
    tops = {name.split("/")[0] for name in listed if not name.startswith("..")}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"clearsight"}
    # pip writes the console script with a path from site-packages.
    outside = [Path(name).name for name in listed if name.startswith("..")]
    assert outside == ["clearsight"]


def test_import_is_light(installed: Environment, tmp_path: Path) -> None:
    done = call(installed.python, "-X", "importtime", "-c", "import clearsight", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "clearsight" in imported
    assert not imported & {"torch", "cv2", "numpy", "pydantic", "pydantic_core", "pyarrow", "scipy", "yaml"}


@pytest.mark.parametrize("how", ["command", "module"])
def test_help_answers(installed: Environment, far: Path, how: str) -> None:
    start = (installed.command,) if how == "command" else (installed.python, "-m", "clearsight")
    assert "run" in succeed(*start, "--help", cwd=far)


def test_a_recipe_runs_beside_modules_named_like_the_rooms(installed: Environment, far: Path) -> None:
    succeed(installed.command, "run", "far.yaml", "--quiet", "--workers", "1", cwd=far, path=far)
    (folder,) = (far / "runs").iterdir()
    assert (folder / "DONE").is_file()
    assert (folder / "report.html").stat().st_size > 0


@pytest.mark.parametrize("how", ["command", "module"])
def test_a_module_called_data_hides_nothing(installed: Environment, far: Path, how: str) -> None:
    shutil.rmtree(far / "data")
    (far / "data.py").write_text(
        "import sys\n\nnorm = sys.modules['data.norm'] = sys.modules[__name__]\nMEAN = 0.25\n"
    )
    start = (installed.command,) if how == "command" else (installed.python, "-m", "clearsight")
    succeed(*start, "check", "far.yaml", cwd=far, path=far)


def test_an_editable_install_is_the_checkout(
    checkout: Path, far: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    editable = Environment.make(tmp_path_factory.mktemp("editable"), "--editable", checkout)
    code = (
        "import clearsight, clearsight.pipelines.cli.app as app, clearsight.restore.classical.median as median\n"
        "import data.norm, restore\n"
        "print(*(module.__file__ for module in (clearsight, app, median)), sep='\\n')"
    )
    for place in succeed(editable.python, "-c", code, cwd=far).splitlines():
        assert Path(place).is_relative_to(checkout)
    assert "run" in succeed(editable.python, "-m", "clearsight", "--help", cwd=checkout)
    # The checkout has folders named data, restore, ...: pytest starts in it and must find the package none the less.
    told = succeed(
        editable.python, "-m", "pytest", "tests/data/test_philox.py", "-p", "no:cacheprovider", cwd=checkout
    )
    assert "passed" in told
