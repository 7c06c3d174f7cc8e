from __future__ import annotations

import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_onnx import tiny

from clearsight.data.contract.rng import Rng

HOUSE = Path(__file__).parents[2]
BROKEN = 10
CALL = "from clearsight.pipelines.cli.app import main; main()"
KILLED = """
import os, signal
from clearsight.pipelines.inference.table import Table
inner, calls = Table.add, []
def add(self, rows):
    calls.append(1)
    if len(calls) == {at}:
        self.file.write(b"half a ro")
        os.kill(os.getpid(), signal.SIGKILL)
    inner(self, rows)
Table.add = add
from clearsight.pipelines.cli.app import main
main()
"""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A grey PNG of side x side pixels that is a few hundred bytes a million pixels."""
    packer = zlib.compressobj(9)
    row = b"\0" * (side + 1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def mixed(folder: Path) -> None:
    """490 images of all kinds and sizes, and 10 that are broken in different ways."""
    folder.mkdir()
    modes = ("RGB", "L", "RGBA", "P", "CMYK", "I;16", "LA", "1")
    for at in range(490):
        drawn = Rng(0).at("image", at).numpy()
        height, width = drawn.integers(8, 41, 2)
        mode = modes[at % len(modes)]
        pixels = drawn.integers(0, 256, (height, width, 3)).astype(np.uint8)
        if mode == "I;16":
            image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
        else:
            image = Image.fromarray(pixels).convert(mode)
        ending = {"CMYK": "jpg", "RGB": ("png", "jpg", "webp", "bmp", "gif", "tif")[at // 8 % 6]}.get(
            mode, "png"
        )
        image.save(folder / f"{at:03}.{ending}")
    good = (folder / "000.png").read_bytes()
    jpeg = (folder / "004.jpg").read_bytes()
    (folder / "x0.png").write_bytes(b"")
    (folder / "x1.png").write_bytes(b"no image at all")
    (folder / "x2.png").write_bytes(good[: len(good) // 2])
    (folder / "x3.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "x4.png").write_bytes(bomb(12_000))
    (folder / "x5.png").write_bytes(bomb(5_000))
    (folder / "x6.png").write_bytes(good[:40] + bytes(20) + good[60:])
    Image.fromarray(np.zeros((8, 8), np.float32)).save(folder / "x7.tif")
    (folder / "x8.gif").write_bytes(b"GIF89a\x10\x00\x10\x00")
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(folder / "x9.png")


def run(
    model: Path, folder: Path, table: Path, *options: str, code: str = CALL
) -> subprocess.CompletedProcess[str]:
    given = ["infer", str(model), str(folder), "--csv", str(table), "--provider", "cpu", "-q", *options]
    return subprocess.run(
        [sys.executable, "-c", code, *given],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.slow
def test_500_mixed_images_killed_and_gone_on_with(tmp_path):
    mixed(tmp_path / "in")
    model = tiny(tmp_path / "model.onnx", minimum=4)
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    done = run(model, tmp_path / "in", whole)
    assert done.returncode == 1, done.stderr
    lines = whole.read_text().splitlines()
    assert len(lines) == 1 + 490
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed ")]
    assert [line.split()[1].rstrip(":") for line in failed] == sorted(
        f.name for f in (tmp_path / "in").glob("x*")
    )
    assert len(failed) == BROKEN
    assert done.stderr.splitlines()[-1].endswith("10 of 500 files could not be used")

    for at, options in ((3, ()), (2, ("--resume",))):
        killed = run(model, tmp_path / "in", part, *options, code=KILLED.format(at=at))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert part.read_bytes().endswith(b"\nhalf a ro")
    assert 100 < len(part.read_text().splitlines()) < 490
    done = run(model, tmp_path / "in", part, "--resume")
    assert done.returncode == 1, done.stderr
    assert part.read_bytes() == whole.read_bytes()
    assert done.stderr.splitlines()[-1].endswith("10 of 500 files could not be used")


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for at in range(200):
        drawn = Rng(0).at("flat", at).numpy()
        height, width = drawn.integers(8, 257, 2)
        Image.fromarray(drawn.integers(0, 256, (height, width, 3)).astype(np.uint8)).save(
            folder / f"{at:03}.bmp"
        )
    model = tiny(tmp_path / "model.onnx", gives=("logits", "image"))
    code = (
        "import resource, sys\nfrom clearsight.pipelines.cli.infer import command\nfrom pathlib import Path\n"
        "def go(given, table):\n"
        "    command(Path(sys.argv[1]), given, csv=Path(sys.argv[3]) / table, restored=None, top=3,\n"
        "        provider='cpu', threads=1, batch='auto', size=None, resume=None, quiet=True)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "few = go(sys.argv[2] + '/0*.bmp', 'few.csv')\n"
        "all_ = [go(sys.argv[2], f'{at}.csv') for at in range(4)][-1]\n"
        "assert all_ < few + 40_000, (few, all_)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(folder), str(tmp_path)],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
