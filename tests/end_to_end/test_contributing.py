"""Every example of CONTRIBUTING.md, as the one file of a plug-in package: listed, contract-tested, used in a run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
GUIDE = (HOUSE / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = r"```python\n# (\w+)\.py\n(.*?)```"
EXAMPLES: dict[str, str] = dict(re.findall(BLOCK, GUIDE, re.DOTALL))
"""Name of the module, which is the kind too -> its source."""
TASK = "class_counts"
"""The example that is no kind of a part but a task with a command of its own."""
TESTED = {
    "test_corruptions.py": ("vignette",),
    "test_sources.py": ("stripes",),
    "test_restorers.py": ("box_mean", "opening", "two_convolutions"),
    "test_classifiers.py": ("pooled_convolution",),
    "test_calibrators.py": ("prior_shift",),
    "test_attack_detectors.py": ("low_confidence",),
    "test_senses.py": ("pooled_sense",),
    "test_attacks.py": ("random_corner",),
    "test_certificates.py": ("uniform_smoothing",),
    "test_methods.py": ("pixel_dropout",),
    "test_poisons.py": ("stripe",),
    "test_poison_filters.py": ("far_from_median",),
    "test_fusions.py": ("max_logits",),
    "test_gates.py": ("contrast_gate",),
}
"""Contract tests that apply to the examples."""
CONFIG = """
task: evaluate
name: contributed
data: {kind: stripes, count: 20}
parts:
  smooth: {kind: box_mean}
  open: {kind: opening}
  restore: {kind: two_convolutions}
  classify: {kind: pooled_convolution, classes: 2}
  vote: {kind: max_logits}
  gate: {kind: contrast_gate}
  sensed: {kind: damage_gate, sense: {kind: pooled_sense}}
  calibrate: {kind: prior_shift, weights: WEIGHTS}
  watch: {kind: low_confidence}
systems:
  plain: [classify]
  restored: [smooth, open, restore, classify]
  both:
    clean: {use: smooth, of: image}
    a: {use: classify, of: image}
    b: {use: classify, of: clean}
    out: {use: vote, of: [a, b]}
  gated:
    clean: {use: smooth, of: image}
    chosen: {use: gate, of: [image, clean]}
    out: {use: classify, of: chosen}
  calibrated:
    clean: {use: smooth, of: image}
    chosen: {use: sensed, of: [image, clean]}
    answer: {use: classify, of: chosen}
    out: {use: calibrate, of: answer}
    watched: {use: watch, of: answer}
conditions:
  clean: {kind: identity}
  dark: {kind: vignette, severity: 4}
attacks:
  none: {kind: none}
  noise: {kind: random_corner, eps: 16/255}
certify:
  box: {kind: uniform_smoothing, n0: 4, n: 20, images: 2}
measure:
  - {conditions: [clean, dark], attacks: [none, noise]}
  - {conditions: [clean], certify: [box], systems: [plain]}
metrics: [{kind: accuracy}, {kind: overconfidence}]
compare: {baseline: plain}
"""
FIT = """
task: fit
name: shift
data: {kind: stripes, count: 80}
parts: {classify: {kind: pooled_convolution, classes: 2}}
system: [classify]
estimator: {kind: prior_shift}
publish: {folder: shift}
"""
USE = """
import clearsight

for model, method in (("pooled_convolution", "pixel_dropout"), ("two_convolutions", "inpaint")):
    config = {
        "name": method, "data": {"kind": "stripes"}, "model": {"kind": model, "width": 4},
        "method": {"kind": method}, "epochs": 1, "batch": 8, "patch": 16, "checks": 1,
    }
    trained = clearsight.train(config, device="cpu")
    print(method, type(clearsight.load(str(trained.weights.folder))).__name__)
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write the package with its entry points, and return the environment in which it is installed."""
    folder = tmp_path_factory.mktemp("site")
    package, facts = folder / "my_package", folder / "my_package-1.0.dist-info"
    package.mkdir()
    facts.mkdir()
    (package / "__init__.py").write_text("")
    for name, code in EXAMPLES.items():
        (package / f"{name}.py").write_text(code, encoding="utf-8")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    points = [f"{name} = my_package.{name}" for name in EXAMPLES]
    (facts / "entry_points.txt").write_text("\n".join(["[clearsight]", *points]) + "\n")
    path = os.pathsep.join([str(folder), str(HOUSE)])
    return os.environ | {"PYTHONPATH": path, "CLEARSIGHT_HOME": str(folder)}


def run(arguments: list[str], env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_the_guide_has_an_example_for_every_row() -> None:
    rows = re.findall(r"^\| \[[^\]]+\]\(#([\w-]+)\) \|", GUIDE, re.MULTILINE)
    headings = re.findall(r"^### (.+)$", GUIDE, re.MULTILINE)
    assert rows == [heading.lower().replace(" ", "-") for heading in headings]
    assert len(rows) == 20
    assert len(EXAMPLES) == 19
    for name, code in EXAMPLES.items():
        assert (f'task: Literal["{name}"]' if name == TASK else f'kind: Literal["{name}"] = "{name}"') in code


def test_every_folder_that_the_guide_names_is_scanned() -> None:
    from clearsight.pipelines.config.registries import GROUPS

    scanned = {package for registry in GROUPS.values() for package in registry.packages}
    table = GUIDE.partition("| to add a")[2].partition("\n\n")[0]
    folders = re.findall(r"`([\w/]+)/`", table)
    assert len(folders) == 19
    # Executors are named where they are chosen: they are no kinds of a registry.
    named = {f"clearsight.{folder.replace('/', '.')}" for folder in folders}
    assert named - scanned == {"clearsight.data.executors"}


@pytest.mark.slow
def test_every_example_is_listed(plugin: dict[str, str], tmp_path: Path) -> None:
    shown = run(["-m", "clearsight", "list"], plugin, tmp_path)
    missing = [name for name in EXAMPLES if not re.search(rf"^{name}\s", shown, re.MULTILINE)]
    assert missing == [TASK]


@pytest.mark.slow
def test_a_task_has_its_command(plugin: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: class_counts\nname: mine\ndata: {kind: stripes, count: 5}\n")
    assert run(["-m", "clearsight", "count", "mine.yaml", "-q"], plugin, tmp_path).split() == [
        "across:",
        "3",
        "down:",
        "2",
    ]
    assert "Count the images of each class." in run(["-m", "clearsight", "--help"], plugin, tmp_path)
    assert "fine; counts 'mine' on 5 images" in run(
        ["-m", "clearsight", "check", "mine.yaml"], plugin, tmp_path
    )


@pytest.mark.slow
def test_every_example_keeps_its_contract(plugin: dict[str, str]) -> None:
    files = [f"tests/contract/{name}" for name in TESTED]
    chosen = " or ".join(name for names in TESTED.values() for name in names)
    arguments = ["-m", "pytest", "-vv", "-p", "no:cacheprovider", "-m", "not slow", "-k", chosen]
    shown = run([*arguments, *files], plugin, HOUSE)
    for file, names in TESTED.items():
        for name in names:
            assert len(re.findall(rf"{file}::\w+\[.*{name}.*\] PASSED", shown)) >= 5, (file, name)


@pytest.mark.slow
def test_every_example_is_usable_in_a_run(plugin: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "fit.yaml").write_text(FIT)
    assert "fitted to 56 images" in run(["-m", "clearsight", "fit", "fit.yaml", "-q"], plugin, tmp_path)
    (tmp_path / "mine.yaml").write_text(CONFIG.replace("WEIGHTS", "shift"))
    assert "both" in run(["-m", "clearsight", "run", "mine.yaml", "-q"], plugin, tmp_path)
    (summary,) = tmp_path.glob("runs/*/summary.csv")
    text = summary.read_text(encoding="utf-8")
    for system in ("plain", "restored", "both", "gated", "calibrated"):
        assert re.search(rf"^{system},dark,noise,20,overconfidence,", text, re.MULTILINE)
    (certified,) = tmp_path.glob("runs/*/certificates.csv")
    assert re.search(r"^plain,clean,box,2,0\.0,", certified.read_text(encoding="utf-8"), re.MULTILINE)
    assert run(["-c", USE], plugin, tmp_path).split() == [
        "pixel_dropout",
        "Classifier",
        "inpaint",
        "Restorer",
    ]
