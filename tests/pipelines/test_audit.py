"""The audit: probes, attacks and verdict on honest systems and on systems that hide their gradient."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.pipelines.audit.audit import audit
from clearsight.pipelines.audit.careless import OneDraw
from clearsight.pipelines.audit.derive import (
    MARGIN,
    TARGETED,
    Threat,
    derive,
    subjects_of,
    without_restorers,
)
from clearsight.pipelines.audit.probes import ProbeImages, probe
from clearsight.pipelines.audit.verdict import _Figures, _losses_agree
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.runs.audit import parse_audit
from clearsight.pipelines.runs.facts import DataFacts
from clearsight.pipelines.runs.folder import read_json
from clearsight.pipelines.runs.summary import CellFigures, RunSummary
from clearsight.pipelines.systems.graph import chain, wire
from clearsight.restore.catalogue import RESTORERS

Make = Callable[..., Evaluate]
HERE = Path(__file__).parent
LINF = Threat("linf", 8 / 255)


def images(n: int = 6) -> ProbeImages:
    coarse = torch.rand(n, 3, 4, 4, generator=Rng(3).at("audit").torch())
    images = 0.1 + 0.5 * torch.nn.functional.interpolate(coarse, size=(12, 10), mode="bilinear")
    labels = torch.arange(n) % 3
    images[torch.arange(n), labels] += 0.2
    return ProbeImages(images, labels, tuple(map(str, range(n))))


def probed(*parts: dict[str, Any], way: str | None = None) -> dict[str, Any]:
    classifier = {"kind": "python", "call": "toy:brightest", "classes": 3}
    if way:
        classifier |= {"call": "broken:misled", "arguments": {"way": way}}
    graph = chain(*(RESTORERS.parse(p) for p in parts), CLASSIFIERS.parse(classifier))
    found = probe(graph.build(), images(), LINF).checks
    order = ("fine", "suspect", "unreliable")
    worst: dict[str, Any] = {}
    for check in found:
        before = worst.get(check.check)
        if before is None or order.index(check.verdict) > order.index(before.verdict):
            worst[check.check] = check
    return worst


@pytest.mark.slow
def test_probes_find_nothing_in_an_honest_system() -> None:
    for parts in ([], [{"kind": "gamma"}], [{"kind": "random_resize"}], [{"kind": "bit_depth", "bits": 5}]):
        found = probed(*parts)
        assert {c.verdict for c in found.values()} == {"fine"}, found
        assert set(found) == {
            "outputs_probabilities",
            "batch_dependent",
            "random_outputs",
            "part_gradients",
            "system_gradient",
            "loss_along_gradient",
        }


@pytest.mark.parametrize(
    ("way", "check", "verdict"),
    [
        ("probabilities", "outputs_probabilities", "suspect"),
        ("batchy", "batch_dependent", "unreliable"),
        ("noisy", "random_outputs", "unreliable"),
        ("falsified", "part_gradients", "unreliable"),
        ("half_hidden", "part_gradients", "unreliable"),
        ("detached", "part_gradients", "unreliable"),
    ],
)
def test_probes_find_what_is_broken(way: str, check: str, verdict: str) -> None:
    assert probed(way=way)[check].verdict == verdict


def test_a_blocked_part_is_said() -> None:
    spec = RESTORERS.parse({"kind": "clahe"})
    if str(spec.gradient) != "blocked":
        pytest.skip("clahe declares a surrogate")
    assert probed({"kind": "clahe"})["part_gradients"].verdict == "unreliable"


def test_one_draw_gives_every_draw_the_same_numbers() -> None:
    rng = OneDraw(0, ("audit",))
    assert rng.at("a", 0) == rng.at("a", 7)
    assert rng.at("a", 0) != rng.at("b", 0)


def test_without_restorers_keeps_the_classifiers(make_config: Make) -> None:
    parts = make_config(
        parts={
            "median": {"kind": "median"},
            "gamma": {"kind": "gamma"},
            "mix": {"kind": "mean_images"},
            "vote": {"kind": "mean_logits"},
            "one": {"kind": "python", "call": "toy:brightest", "classes": 3},
            "two": {"kind": "python", "call": "toy:brightest", "classes": 3, "arguments": {"gain": 2.0}},
        },
        systems={"plain": ["one"]},
    ).parts
    assert without_restorers(wire(["one"], parts)) is None
    bare = without_restorers(wire(["median", "gamma", "one"], parts))
    assert bare is not None
    assert wire(bare, parts).fingerprint() == wire(["one"], parts).fingerprint()
    nodes: dict[str, Any] = {
        "a": {"use": "median"},
        "b": {"use": "gamma"},
        "m": {"use": "mix", "of": ("a", "b")},
        "l1": {"use": "one", "of": "m"},
        "l2": {"use": "two", "of": "a"},
        "out": {"use": "vote", "of": ("l1", "l2")},
    }
    from clearsight.pipelines.systems.graph import Node

    graph = wire({name: Node.model_validate(node) for name, node in nodes.items()}, parts)
    bare = without_restorers(graph)
    assert bare is not None
    assert set(bare) == {"l1", "l2", "out"}
    assert bare["l1"].inputs == bare["l2"].inputs == ("image",)


def test_the_run_of_an_audit(make_config: Make) -> None:
    config = make_config()
    subjects = subjects_of(config, ["restored"])
    assert subjects.undefended == {"restored": "plain"}, "a system of the config that is the same already"
    run = derive(config, subjects, LINF, take=5, passable=("restored", "plain"))
    assert run.data.take == 5
    assert set(run.conditions) == {"clean"}
    assert set(run.systems) == {"restored", "plain"}
    assert run.compare is not None
    assert run.compare.baseline == "plain"
    blocks = {block.systems: set(block.attacks) for block in run.blocks()}
    assert {"none", "fgsm", "pgd-20", "pgd-40", "oblivious", "transfer-plain"} <= blocks[("restored",)]
    assert "oblivious" not in blocks[("plain",)]
    assert max(LINF.curve()) == pytest.approx(128 / 255)
    closed = derive(config, subjects, LINF, take=5, passable=("plain",))
    blocks = {block.systems: set(block.attacks) for block in closed.blocks()}
    assert not {"fgsm", "pgd-20"} & blocks[("restored",)], "no gradient comes through"
    assert "oblivious" in blocks[("restored",)], "the classifier alone lets it through"


def test_every_system_without_a_name_of_its_own_gets_its_ablation(make_config: Make) -> None:
    config = make_config(systems={"restored": ["median", "classify"]}, compare=None)
    subjects = subjects_of(config, [])
    assert subjects.undefended == {"restored": "classify-alone"}
    assert subjects.names == ("restored",)


@pytest.mark.parametrize(("norm", "eps"), [("l2", 0.5), ("l1", 12.0), ("linf", 1 / 255)])
def test_curves_grow(norm: str, eps: float) -> None:
    curve = Threat(norm, eps).curve()
    assert list(curve) == sorted({eps, *curve} - {eps})
    assert len(curve) >= 2


def test_bad_questions_are_refused(make_config: Make, tmp_path: Path) -> None:
    config = make_config()
    with pytest.raises(ConfigError, match="did you mean 'restored'"):
        subjects_of(config, ["restord"])
    with pytest.raises(ConfigError, match="no norm"):
        audit(config, norm="l7", root=tmp_path)
    with pytest.raises(ConfigError, match="audits nothing"):
        audit(config, eps=0.0, root=tmp_path)
    with pytest.raises(ConfigError, match="write 8/255"):
        audit(config, eps=8.0, root=tmp_path)
    images_only = make_config(systems={"plain": ["classify"], "only": ["median"]})
    with pytest.raises(ConfigError, match="nothing to attack"):
        subjects_of(images_only, ["only"])
    assert subjects_of(images_only, []).names == ("plain",)


def figures_of(**right: float) -> _Figures:
    """Return the figures of one system from the share that each attack leaves right."""
    cells = [
        CellFigures(
            "0" * 64, "it", "clean", name.replace("_", "-"), 64, {"accuracy": Estimate(v, v, v, "wilson")}
        )
        for name, v in right.items()
    ]
    data = DataFacts("signs", "signs", 64)
    return _Figures(RunSummary(schema=1, name="it", data=data, systems=[], cells=cells), "it", LINF)


def test_losses_that_disagree_are_said() -> None:
    """A decoy class draws the cross-entropy and the margin; only going for each class finds the way."""
    check = _losses_agree(figures_of(none=0.95, pgd_40=0.69, margin_40=0.66, targeted_20=0.0))
    assert check is not None
    assert check.verdict == "unreliable"
    assert check.value == pytest.approx(0.69)
    assert "'targeted-20' leaves 0.0 % right, 'pgd-40' 69.0 %" in check.words
    honest = _losses_agree(figures_of(none=0.6, pgd_40=0.40, margin_40=0.36, targeted_20=0.35))
    assert honest is not None
    assert honest.verdict == "fine", "what adversarially trained networks show"
    assert _losses_agree(figures_of(none=0.95, square_300=0.5)) is None, "no gradient comes through"


def test_the_targeted_attack_needs_four_classes(make_config: Make) -> None:
    config = make_config()
    subjects = subjects_of(config, ["restored"])
    for classes, there in ((None, False), (3, False), (10, True)):
        run = derive(config, subjects, LINF, take=5, passable=("restored", "plain"), classes=classes)
        names = {name for block in run.blocks() for name in block.attacks}
        assert MARGIN in names
        assert (TARGETED in names) is there


def written(config: Evaluate, folder: Path) -> str:
    path = folder / "config.yaml"
    told = config.model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(told))
    return str(path)


def leave(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return int(left.value.code or 0)


@pytest.mark.slow
def test_the_command(make_config: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(make_config(images=0), tmp_path)
    common = ("--out", str(tmp_path / "runs"), "--workers", "1", "-q", "--take", "6")
    assert leave("audit", config, *common, "--system", "plain") == 0
    said = capsys.readouterr().out
    assert "plain: trustworthy" in said
    assert "verdict: trustworthy" in said
    (folder,) = (tmp_path / "runs").iterdir()
    told = json.loads((folder / "audit.json").read_text())
    assert told["verdict"] == "trustworthy"
    assert told["systems"][0]["undefended"] is None
    assert (folder / "report.html").exists()
    chunks = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/chunk-*.parquet")}
    assert leave("audit", config, *common, "--system", "plain") == 0
    assert {p: p.stat().st_mtime_ns for p in folder.glob("cells/*/chunk-*.parquet")} == chunks, "resumed"
    assert leave("audit", config, *common, "--eps", "much") == 2
    assert leave("audit", config, *common, "--eps", "8") == 2
    assert leave("audit", str(tmp_path / "missing.yaml"), *common) == 2


@pytest.mark.slow
def test_the_command_condemns(make_config: Make, tmp_path: Path) -> None:
    parts = {
        "squeeze": {"kind": "bit_depth"},
        "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
    }
    config = make_config(parts=parts, systems={"squeezed": ["squeeze", "classify"]}, compare=None, images=0)
    folder, verdict = audit(config, take=6, eps=0.12, root=tmp_path, workers=1)
    (system,) = verdict.systems
    assert system.undefended == "classify-alone"
    bad = {check.check for check in system.checks if check.verdict == "unreliable"}
    assert "careless" in bad, "the raw gradient ends at the rounding"
    assert verdict.verdict == "unreliable"
    assert read_json(folder.audit) == verdict.to_json()
    assert parse_audit(read_json(folder.audit)) == verdict


TOYS = {
    "quantiser": ({"kind": "bit_depth"}, {"careless", "false_security"}),
    "jpeg": ({"kind": "jpeg_squeeze", "quality": 50}, {"careless", "false_security"}),
    "clamp": ({"kind": "toy_clamp"}, {"part_gradients"}),
    "resize": ({"kind": "random_resize"}, {"careless", "false_security"}),
    "no_grad": ({"kind": "toy_no_grad"}, {"careless", "part_gradients", "broken_gradient"}),
    "killer": ({"kind": "toy_killer"}, {"careless", "part_gradients", "broken_gradient"}),
}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_six_broken_toys_are_flagged_and_fall(tmp_path: Path) -> None:
    """In front of a trained network, in a process of its own that finds the toys as an installed package."""
    package = tmp_path / "site" / "broken-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[clearsight]\nbroken = broken\n")
    config = {
        "task": "evaluate",
        "name": "toys",
        "data": {"kind": "signs", "split": "test"},
        "parts": {name: spec for name, (spec, _) in TOYS.items()}
        | {"classify": {"kind": "small_convnet", "weights": "signs-standard-v1"}},
        "systems": {name: [name, "classify"] for name in TOYS},
        "conditions": {"clean": {"kind": "identity"}},
        "images": 0,
    }
    (tmp_path / "toys.yaml").write_text(yaml.safe_dump(config))
    path = os.pathsep.join([str(tmp_path / "site"), str(HERE), str(HERE.parents[1])])
    words = f"audit {tmp_path / 'toys.yaml'} -q --take 8 --eps 16/255 --workers 1 --out {tmp_path / 'runs'}"
    done = subprocess.run(
        [sys.executable, "-m", "clearsight", *words.split()],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ) | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1, done.stderr
    (file,) = (tmp_path / "runs").glob("*/audit.json")
    told = json.loads(file.read_text())
    assert told["verdict"] == "unreliable"
    for entry in told["systems"]:
        flags = {check["check"] for check in entry["checks"] if check["verdict"] != "fine"}
        assert flags >= TOYS[entry["system"]][1], (entry["system"], flags)
        assert entry["clean"]["value"] >= 0.7
        undefended = entry["undefended_worst"]["value"]
        assert undefended <= 0.05
        assert abs(entry["worst"]["value"] - undefended) <= 0.02, entry["system"]
