"""Windows and macOS, as far as Linux can say: names that are stored, files that are written, processes, links."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clearsight.data.executors.main_guard import _guarded
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.yaml_reader import load
from clearsight.pipelines.evaluation.run import run

HOUSE = Path(__file__).parents[2]
REFUSED = set('<>:"|?*\\')
"""Characters that file names on Windows cannot hold."""
RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10)),
}


WRONG = {
    r"^(?:import|from) (?:fcntl|grp|msvcrt|pwd|resource|termios|winreg)\b": "some systems lack it: import it where it is used",
    r"get_context\((?!\"spawn\"\))": "Windows and macOS start processes by spawn",
    r"\bstr\([^\n]*\brelative_to\(": "holds the system's separator: as_posix()",
    r"\.write_text\(": "gets other ends of lines on Windows: write_bytes()",
    r"\.read_text\((?![^)\n]*encoding)": "is read in the system's encoding",
}
"""What code must not hold, and why."""


def test_code_keeps_to_what_every_system_has() -> None:
    found = []
    for room in ("clearsight", "data", "restore", "defend", "pipelines"):
        for path in sorted((HOUSE / room).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for pattern, why in WRONG.items():
                found += [
                    f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]} {why}"
                    for match in re.finditer(pattern, text, re.MULTILINE)
                ]
    assert not found


@pytest.mark.slow
@pytest.mark.long
def test_a_run_writes_names_that_every_system_takes(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    config = make_config(
        conditions={
            "clean": {"kind": "identity"},
            "Dark+1.5": {"kind": "low_light", "each": {"severity": [1, 2]}},
            "CON": [{"kind": "gaussian_noise", "severity": 1}, {"kind": "jpeg_compression", "severity": 2}],
        },
    )
    written = run(config, root=tmp_path / "runs", workers=1)
    names = [path.relative_to(tmp_path).as_posix() for path in written.path.rglob("*")]
    assert len(names) > 20
    for name in names:
        for part in name.split("/"):
            assert not set(part) & REFUSED, name
            assert part == part.rstrip(". "), name
            assert part.partition(".")[0].lower() not in RESERVED, name
    # macOS and Windows take names for one that differ in case alone.
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.slow
def test_images_behind_a_link_and_in_another_place_are_the_same_run(
    make_config: Callable[..., Evaluate], images: Path, tmp_path: Path
) -> None:
    plain = {"conditions": {"clean": {"kind": "identity"}}, "images": 0}
    (tmp_path / "link").symlink_to(images, target_is_directory=True)
    shutil.copytree(images, tmp_path / "copied")
    shutil.move(tmp_path / "copied", tmp_path / "moved to: another place")
    places = (images, tmp_path / "link", tmp_path / "moved to: another place")
    runs = [
        run(
            make_config(data={"kind": "folder", "path": str(place)}, **plain),
            root=tmp_path / f"r{i}",
            workers=1,
        )
        for i, place in enumerate(places)
    ]
    assert len({found.results.read_bytes() for found in runs}) == 1
    # A run folder that is a link is gone on with, and another process sees it by either name.
    (tmp_path / "linked").symlink_to(tmp_path / "r0", target_is_directory=True)
    config = make_config(data={"kind": "folder", "path": str(images)}, **plain)
    assert run(config, root=tmp_path / "linked", workers=1).path.name == runs[0].path.name


def test_a_config_that_notepad_wrote_is_read(tmp_path: Path) -> None:
    text = "task: evaluate\nname: n\ndata: {kind: folder, path: bilder}   # Büro\n"
    (tmp_path / "a.yaml").write_bytes(text.encode())
    (tmp_path / "b.yaml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert load(tmp_path / "a.yaml").value == load(tmp_path / "b.yaml").value


SCRIPT = """
import clearsight
from clearsight.data.corruptions.identity import Identity
from clearsight.data.sources.signs import Signs
from clearsight.defend.classifiers.small_convnet import SmallConvNet


def measured():
    net = SmallConvNet(weights="signs-standard-v1")
    return clearsight.evaluate(
        Signs(split="test", count=17), {"plain": net}, conditions=[Identity()], workers=2, chunk=9
    )


"""


@pytest.mark.slow
@pytest.mark.long
def test_a_script_without_a_guard_is_told_to_write_one(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(SCRIPT + "print(measured().table())\n")
    done = subprocess.run(
        [sys.executable, "bare.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(HOUSE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert f"bare.py, line {SCRIPT.count(chr(10)) + 1}: starts 2 processes" in last
    assert "workers=1" in last


def test_what_counts_as_a_guard(tmp_path: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("import a\n\nif __name__ == '__main__':\n    a.b()\n    a.c()\na.d()\n")
    assert [_guarded(script, line) for line in (1, 4, 5, 6)] == [False, True, True, False]
    assert _guarded(tmp_path / "none.py", 1)
