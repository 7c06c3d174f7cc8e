"""Damaged and odd input by the thousand: configs, images, deployed files, run folders.

Every case is refused in one line, or taken with a result that holds; never a traceback, never a hang. Case n of a
kind is a function of the seed: ``python tests/fuzz.py --only image:17 --seed 0`` does it again.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image
from tiny_onnx import tiny

from clearsight.data.contract.deployed import KEY
from clearsight.data.contract.errors import ClearsightError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.media.images import decode
from clearsight.data.media.lossless import decode_image
from clearsight.data.onnx_run import stuck
from clearsight.pipelines.cli import check
from clearsight.pipelines.cli.configs import RECIPES
from clearsight.pipelines.cli.run import report_command
from clearsight.pipelines.evaluation.unfinished import so_far
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.runs.sealed import read_summary
from clearsight.pipelines.runs.summary import parse_summary

CPU_SECONDS = 30
"""Of one case: what takes longer hangs. Of the processor, so that a busy machine changes nothing."""
WALL_SECONDS = 900
"""After which a case that waits for something ends the whole program."""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "none",
        "1e999999999",
        "8/255",
        "../..",
        "/dev/zero",
        "~nobody",
        "\0",
        "\ud800",
        "\x1b[31m",
        "=1+1",
    ),
    *([], [1], ["a", "b"], {}, {"kind": "median"}, {"kind": "x"}, [[[[]]]], {"each": {}}),
)
RUN = """
task: evaluate
name: fuzz
data: {kind: signs, count: 6, pixels: 24}
parts:
  net: {kind: small_convnet, width: 4, classes: 17}
  median: {kind: median}
systems: {plain: [net], median: [median, net]}
conditions: {clean: {kind: identity}, noise: {kind: gaussian_noise}}
compare: {baseline: plain}
images: 1
"""


class HangError(Exception):
    """A case that takes too long."""


class WrongError(Exception):
    """A case that was taken, and whose result does not hold."""


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with one to four places changed, cut out, doubled or cut off."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not found:
            break
        at, length = int(rng.integers(len(found))), int(rng.integers(1, 9))
        how = rng.integers(6)
        if how == 0:
            found[at] ^= 1 << int(rng.integers(8))
        elif how == 1:
            found[at : at + length] = rng.bytes(length)
        elif how == 2:
            found[at : at + 4] = b"\xff\xff\xff\x7f"
        elif how == 3:
            del found[at : at + length]
        elif how == 4:
            found[at:at] = found[max(0, at - 64) : at]
        else:
            del found[at:]
    return bytes(found)


class Fuzz:
    """The kinds of cases; each method does one and raises where something is wrong."""

    def __init__(self, folder: Path) -> None:
        """Make what is damaged."""
        self.folder = folder
        self.recipes = [path.read_text(encoding="utf-8") for path in sorted(RECIPES.rglob("*.yaml"))]
        self.images = list(self._images())
        self.model = tiny(folder / "model.onnx", gives=("logits", "image"))
        self.pixels: Any = np.full((1, 9, 8, 3), 100, np.uint8)
        self.logits = Session(self.model, "cpu", 1).classify(self.pixels).logits
        self.run: Path | None = None

    @staticmethod
    def _images() -> Iterator[bytes]:
        drawn = Rng(0).at("fuzz", "image").numpy().integers(0, 256, (11, 13, 3)).astype(np.uint8)
        modes = {"PNG": "RGB RGBA L LA P 1 I;16", "JPEG": "RGB L CMYK", "WEBP": "RGB RGBA", "GIF": "P L"}
        modes |= {
            "TIFF": "RGB RGBA L CMYK 1 I;16 LAB",
            "BMP": "RGB L 1",
            "PPM": "RGB L 1",
            "AVIF": "RGB RGBA",
        }
        for form, names in modes.items():
            for mode in names.split():
                image = Image.fromarray(drawn)
                if mode == "I;16":
                    image = Image.fromarray(drawn[:, :, 0].astype(np.uint16) * 257)
                elif mode != "LAB":
                    image = image.convert(mode)
                out = io.BytesIO()
                image.save(out, form)
                yield out.getvalue()

    def config(self, rng: np.random.Generator) -> None:
        """Change a shipped recipe, and check it."""
        text = self.recipes[int(rng.integers(len(self.recipes)))]
        lines = text.split("\n")
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(lines)))
            name, colon, _ = lines[at].partition(": ")
            odd = ODD[int(rng.integers(len(ODD)))]
            how = rng.integers(5)
            if how <= 1 and colon:
                lines[at] = f"{name}: {json.dumps(odd)}"
            elif how == 2:
                del lines[at]
            elif how == 3:
                lines.insert(at, lines[int(rng.integers(len(lines)))])
            else:
                lines[at] = mutated(lines[at].encode(), rng).decode("utf-8", "replace")
            lines = lines or [""]
        path = self.folder / "config.yaml"
        path.write_text("\n".join(lines), encoding="utf-8")
        check.command(path, measure=False, untrusted=True)

    def image(self, rng: np.random.Generator) -> None:
        """Damage an image, and decode it twice in both ways."""
        data = mutated(self.images[int(rng.integers(len(self.images)))], rng)
        pixels = decode(data, name="x")
        kept = decode_image(data, "x").pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise WrongError(f"{pixels.dtype} {pixels.shape}")
        if pixels.shape[:2] != kept.shape[:2]:
            raise WrongError(f"{pixels.shape} and {kept.shape}")
        if not np.array_equal(pixels, decode(data, name="x")):
            raise WrongError("decoded twice, it differs")

    def deployed(self, rng: np.random.Generator) -> None:
        """Damage a deployed file or its description; what is taken still gives its logits."""
        path = self.folder / "damaged.onnx"
        model = onnx.load(self.model)
        (entry,) = [each for each in model.metadata_props if each.key == KEY]
        if described := rng.integers(3) > 0:
            told = json.loads(entry.value)
            place = told
            while True:
                step = (
                    list(place)[int(rng.integers(len(place)))]
                    if isinstance(place, dict)
                    else int(rng.integers(len(place)))
                )
                if not isinstance(place[step], (dict, list)) or not place[step] or rng.integers(4) == 0:
                    place[step] = ODD[int(rng.integers(len(ODD)))]
                    break
                place = place[step]
            entry.value = json.dumps(told)
            path.write_bytes(model.SerializeToString())
        else:
            path.write_bytes(mutated(self.model.read_bytes(), rng))
        found = Session(path, "cpu", 1).classify(self.pixels)
        if described and not np.allclose(found.logits, self.logits, atol=1e-5):
            raise WrongError("other logits by another description")
        if not np.isfinite(found.probabilities).all():
            raise WrongError("probabilities that are no numbers")

    def run_folder(self, rng: np.random.Generator) -> None:
        """Damage files of a finished run and report on it, or run it again; what is said is still true."""
        whole = self.run = self.run or self._run()
        place = self.folder / "damaged" / whole.name
        shutil.rmtree(place.parent, ignore_errors=True)
        shutil.copytree(whole, place)
        for _ in range(1 if rng.integers(3) else 2):
            self._damage(place, rng)
        if rng.integers(12) == 0:
            self._run(place.parent)
            _same(place, whole, "results.parquet", "summary.csv")
            return
        finished = RunFolder(place).done.is_file()
        report_command(place, markdown=bool(rng.integers(2)))
        if not finished:
            told, known = so_far(RunFolder(place)).summary, parse_summary(read_summary(RunFolder(whole)))
            cells = {(cell.system, cell.condition, cell.attack): cell.metrics for cell in known.cells}
            for cell in told.cells:
                if cells[cell.system, cell.condition, cell.attack] != cell.metrics:
                    raise WrongError(f"other figures for {cell.system} under {cell.condition}")
        elif "Some image files are missing" not in RunFolder(place).report.read_text(encoding="utf-8"):
            _same(place, whole, "report.html")

    def _damage(self, place: Path, rng: np.random.Generator) -> None:
        files = sorted(path for path in place.rglob("*") if path.is_file())
        victim, other = (files[int(at)] for at in rng.integers(len(files), size=2))
        how = rng.integers(6)
        if how == 0:
            victim.unlink()
        elif how == 1:
            victim.write_bytes(json.dumps(ODD[int(rng.integers(len(ODD)))]).encode())
        elif how == 2:
            victim.write_bytes(other.read_bytes())
        else:
            victim.write_bytes(mutated(victim.read_bytes(), rng))

    def _run(self, root: Path | None = None) -> Path:
        from clearsight.pipelines.config.evaluate import Evaluate
        from clearsight.pipelines.config.yaml_reader import parse
        from clearsight.pipelines.evaluation.run import run

        config = parse(RUN, Path("fuzz.yaml")).parse(Evaluate)
        return run(config, text=RUN, root=root or self.folder / "runs", workers=1, device="cpu").path


def _same(place: Path, whole: Path, *names: str) -> None:
    for name in names:
        if (place / name).read_bytes() != (whole / name).read_bytes():
            raise WrongError(f"another {name}, without a word")


KINDS = ("config", "image", "deployed", "run_folder")
SHARE = {"config": 4, "image": 8, "deployed": 4, "run_folder": 1}
"""Cases of each kind in a round: some are quicker than others."""


def one(fuzz: Fuzz, kind: str, seed: int, number: int) -> str:
    """Do one case; return ``taken`` or ``refused``, or what went wrong."""
    work: Callable[[np.random.Generator], None] = getattr(fuzz, kind)
    rng = Rng(seed).at("fuzz", kind, number).numpy()
    faulthandler.dump_traceback_later(WALL_SECONDS, exit=True)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            work(rng)
    except ClearsightError as error:
        return "refused" if str(error).strip() else "refused without a word"
    except OSError as error:
        # The command line says these in one line too.
        return "refused" if error.filename or error.strerror else f"OSError: {error}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 (what a case raises is what is looked for)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
    return "taken"


def _hang(number: int, frame: object) -> None:
    raise HangError(f"more than {CPU_SECONDS} seconds")


def main() -> int:
    """Fuzz until the time or the cases are used up; say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--only", help="one case, such as image:17")
    given = parser.parse_args()
    signal.signal(signal.SIGPROF, _hang)
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    wrong: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(Path(folder))
        for kind, number in _order(given.only, given.kinds.split(","), given.cases):
            if time.monotonic() - began > given.seconds:
                break
            said = one(fuzz, kind, given.seed, number)
            counts[kind][said if said in ("taken", "refused") else "wrong"] += 1
            if said not in ("taken", "refused"):
                wrong.append(f"{kind}:{number}: {said}")
                sys.stdout.write(f"seed {given.seed}, {wrong[-1]}\n")
                sys.stdout.flush()
    for kind, found in counts.items():
        told = ", ".join(f"{found[name]} {name}" for name in ("taken", "refused", "wrong"))
        sys.stdout.write(f"{kind}: {sum(found.values())} cases, {told}\n")
    total = sum(sum(found.values()) for found in counts.values())
    sys.stdout.write(
        f"seed {given.seed}: {total} cases in {time.monotonic() - began:.0f} s, {len(wrong)} wrong\n"
    )
    sys.stdout.flush()
    if stuck():
        os._exit(1)
    return bool(wrong)


def _order(only: str | None, kinds: list[str], cases: int) -> Iterator[tuple[str, int]]:
    if only:
        kind, _, number = only.partition(":")
        yield kind, int(number)
        return
    numbers: Counter[str] = Counter()
    done = 0
    while done < cases:
        for kind in kinds:
            for _ in range(SHARE[kind]):
                yield kind, numbers[kind]
                numbers[kind] += 1
                done += 1


if __name__ == "__main__":
    raise SystemExit(main())
