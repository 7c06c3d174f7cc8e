from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from clearsight.data.contract.rng import Rng
from clearsight.pipelines.cli.app import main

HOUSE = Path(__file__).parents[2]
TOYS = HOUSE / "tests" / "pipelines"
CLI = [sys.executable, "-m", "clearsight"]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{HOUSE}{os.pathsep}{TOYS}", "COLUMNS": "160"}


def process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [*CLI, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def clearsight(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command in this process, which has torch imported already."""
    monkeypatch.syspath_prepend(str(TOYS))
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        monkeypatch.chdir(cwd)
        with pytest.raises(SystemExit) as done:
            main(arguments)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        code = done.value.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return call


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def write_config(folder: Path) -> Path:
    """Write a config of 32 cells over 48 images."""
    for label, name in enumerate(("blue", "green", "red")):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(16):
            noise = Rng(1).at(name, i).numpy().integers(0, 120, (24, 24, 3))
            noise[:, :, label] += 25
            Image.fromarray(noise.astype(np.uint8)).save(folder / "images" / name / f"{i}.png")
    told = {
        "task": "evaluate",
        "name": "cli",
        "chunk": 4,
        "data": {"kind": "folder", "path": "images"},
        "parts": {
            "nlm": {"kind": "non_local_means"},
            "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
        },
        "systems": {"plain": ["classify"], "restored": ["nlm", "classify"]},
        "conditions": {"clean": {"kind": "identity"}, "c15": {"set": "imagenet_c_15", "severity": 3}},
        "compare": {"baseline": "plain"},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(told, sort_keys=False))
    return path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


QUICK = """
import sys
from clearsight.pipelines.cli.app import main
for arguments in {commands}:
    try:
        main(arguments)
    except SystemExit as e:
        assert not e.code, (arguments, e.code)
    heavy = {{'torch', 'cv2', 'kornia', 'skimage', 'albumentations', 'onnxruntime'}} & set(sys.modules)
    assert not heavy, (arguments, heavy)
    print('end of', *arguments)
"""


@pytest.mark.slow
def test_quick_commands_load_neither_torch_nor_opencv(config: Path) -> None:
    commands = [
        ["--help"],
        ["list"],
        ["list", "restorers"],
        ["show", "median"],
        ["schema", "evaluate"],
        ["check", "config.yaml"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", QUICK.format(commands=commands)], cwd=config.parent, env=environment(),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rest = done.stdout
    for arguments in commands:
        said, _, rest = rest.partition(f"end of {' '.join(arguments)}\n")
        assert said.strip(), arguments


def test_check_counts_cells_and_passes(config: Path, clearsight: Call) -> None:
    done = clearsight("check", "config.yaml", cwd=config.parent)
    assert done.returncode == 0
    assert "32 cells" in done.stdout
    assert "768" in done.stdout  # 16 conditions x 48 images


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("kind: non_local_means", "kind: non_local_meens", "config.yaml:8: parts.nlm: unknown kind"),
        ("chunk: 4", "chunk: many", "config.yaml:3: chunk: "),
        ("path: images", "path: pictuers", "pictuers: no such file or folder"),
        ("call: toy:brightest", "call: toy:darkest", "darkest"),
        ("classes: 3", "classes: 2", "classes"),
        ("name: cli", "name: cli\nname: again", "config.yaml:3: 'name' is given twice (first in line 2)"),
        ("task: evaluate", "task: train", "use: clearsight train config.yaml"),
        ("baseline: plain", "baseline: plian", "did you mean 'plain'?"),
    ],
)
def test_mistakes_are_one_line_and_a_bad_exit(
    config: Path, old: str, new: str, words: str, clearsight: Call
) -> None:
    change(config, old, new)
    done = clearsight("run", "config.yaml", "--quiet", "--workers", "1", cwd=config.parent)
    assert done.returncode in (1, 2), done.stderr
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_mistake_ends_the_process(config: Path) -> None:
    change(config, "path: images", "path: pictuers")
    done = process("run", "config.yaml", "--quiet", "--workers", "1", cwd=config.parent)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_version_is_the_packages(tmp_path: Path, clearsight: Call) -> None:
    from clearsight.pipelines.runs.versions import clearsight_version

    assert clearsight("--version", cwd=tmp_path).stdout.strip() == f"clearsight {clearsight_version()}"


def test_unknown_words_on_the_command_line(tmp_path: Path, clearsight: Call) -> None:
    for arguments in (["run", "none.yaml"], ["show", "medain"], ["list", "restorer"], ["schema", "evalute"]):
        done = clearsight(*arguments, cwd=tmp_path)
        assert done.returncode == 2, arguments
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "did you mean 'median'?" in clearsight("show", "medain", cwd=tmp_path).stderr


def workers_of(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                process.joinpath("cwd").resolve() == folder
                and b"spawn" in process.joinpath("cmdline").read_bytes()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def halve(config: Path) -> None:
    """Leave half of the images: enough chunks for a kill in their middle."""
    change(config, "path: images", "path: images\n  take: 24")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    config = write_config(tmp_path_factory.mktemp("undisturbed"))
    halve(config)
    done = process("run", "config.yaml", "--quiet", "--workers", "1", cwd=config.parent)
    assert done.returncode == 0, done.stderr
    (folder,) = config.parent.glob("runs/*_cli_*")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find orphans")
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_killed_run_goes_on_and_ends_equal(config: Path, how: signal.Signals, undisturbed: Path) -> None:
    home = config.parent
    halve(config)
    running = subprocess.Popen(
        [*CLI, "run", "config.yaml", "--quiet", "--workers", "2"], cwd=home, env=environment(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(home.glob("runs/*/cells/*/chunk-*.parquet"))) < 20:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(how)
    _, said = running.communicate(timeout=60)
    if how is signal.SIGINT:
        assert running.returncode == 130
        assert said.strip() == "stopped; run the same command again to go on"
    (folder,) = home.glob("runs/*_cli_*")
    chunks = 32 * 6
    assert 20 <= len(list(folder.glob("cells/*/chunk-*.parquet"))) < chunks
    assert not (folder / "DONE").exists()
    while workers_of(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not workers_of(home), "workers outlive the run"
    again = process("run", "config.yaml", "--quiet", cwd=home)
    assert again.returncode == 0, again.stderr
    assert list(home.glob("runs/*_cli_*")) == [folder]
    for name in ("results.parquet", "summary.csv"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
