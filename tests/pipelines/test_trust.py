"""The trust boundary: which configs execute code of others, and that asking executes none."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

import clearsight
from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.weights import REQUIRED, save
from clearsight.defend.classifiers.small_convnet import SmallConvNet
from clearsight.pipelines.advice.advise import classifier_of
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.config import trust
from clearsight.pipelines.config.registries import GROUPS, PARTS
from clearsight.pipelines.config.trust import foreign_code

CODE = """
from pathlib import Path
Path({mark!r}).write_text("executed")
def make():
    raise RuntimeError
"""
EVALUATE = """
task: evaluate
name: c
data: {{kind: signs, count: 4}}
parts: {{net: {part}}}
systems: {{plain: [net]}}
conditions: {{clean: {{kind: identity}}}}
"""
TRAIN = """
task: train
name: t
data: {{kind: signs, count: 4}}
model: {part}
epochs: 1
"""


def done_by(*words: str) -> None:
    """Run a command that succeeds."""
    with pytest.raises(SystemExit) as done:
        main(words)
    assert not done.value.code


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that the code of `code` writes when it is executed."""
    (tmp_path / "net.py").write_text(CODE.format(mark=str(tmp_path / "mark")))
    return tmp_path / "mark"


@pytest.mark.parametrize(("task", "wrapped"), [(EVALUATE, False), (EVALUATE, True), (TRAIN, False)])
def test_a_config_that_executes_code_is_refused_unseen(
    task: str, wrapped: bool, mark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = f'{{kind: python, call: "{tmp_path}/net.py:make", classes: 17}}'
    if wrapped:
        part = f"{{kind: adapted, classifier: {part}}}"
    (tmp_path / "c.yaml").write_text(task.format(part=part))
    with pytest.raises(SystemExit) as done:
        main(["check", str(tmp_path / "c.yaml"), "--untrusted"])
    assert done.value.code == 2
    assert f"kind python calls '{tmp_path}/net.py:make'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="executes code: "):
        clearsight.check(tmp_path / "c.yaml", untrusted=True)
    assert not mark.exists()


@pytest.mark.parametrize("recipe", ["quickstart", "signs-standard"])
def test_shipped_recipes_execute_no_code(recipe: str) -> None:
    assert clearsight.check(recipe, untrusted=True).name


def test_a_kind_of_a_plug_in_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PARTS.parse({"kind": "median"})
    assert foreign_code(spec) == []
    monkeypatch.setattr(type(spec), "__module__", "somebody.elses")
    assert foreign_code(spec) == ["median: kind median is from the package 'somebody.elses'"]


def test_what_a_list_of_values_becomes_is_looked_at_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Below `each`, `mixed` and lists, a kind is a word in a mapping before it is a corruption."""
    monkeypatch.setattr(CORRUPTIONS["fog"], "__module__", "somebody.elses")
    forms = (
        "{kind: fog, severity: 1}",
        "{kind: fog, each: {severity: [1, 2]}}",
        "{kind: contrast, each: {kind: [contrast, fog], severity: [1]}}",
        "[{kind: contrast, severity: 1}, {kind: fog, severity: 1}]",
        "{mixed: [{kind: contrast, severity: 1}, {kind: fog, severity: 1}]}",
    )
    for form in forms:
        part = "{kind: small_convnet, weights: signs-standard-v1}"
        text = EVALUATE.format(part=part).replace("{kind: identity}", form)
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ConfigError, match="kind fog is from the package 'somebody.elses'"):
            clearsight.check(tmp_path / "c.yaml", untrusted=True)


def test_a_card_of_weights_executes_nothing(mark: Path, tmp_path: Path) -> None:
    """A card may name code; nobody who takes weights by a word calls it."""
    calls = {"kind": "python", "call": f"{tmp_path}/net.py:make", "classes": 17}
    cards = {
        "w1": calls,
        "w2": {"kind": "adapted", "classifier": calls},
        "w3": {"kind": "tent", "classifier": calls},
    }
    for name, spec in cards.items():
        about = dict.fromkeys(REQUIRED, "") | {"id": name, "spec": spec}
        save(tmp_path / name, {}, {field: told for field, told in about.items() if field != "sha256"})
        word = str(tmp_path / name)
        with pytest.raises(ValidationError):
            clearsight.load(word)
        with pytest.raises(ConfigError, match="of which a word says too little"):
            classifier_of(word)
        with pytest.raises(ClearsightError):
            SmallConvNet(weights=word).resolved()
        for words in (
            ["restore", str(tmp_path), str(tmp_path / "out"), "--with", word],
            ["weights", "verify", word],
        ):
            with pytest.raises(SystemExit) as done:
                main(words)
            assert done.value.code
    assert not mark.exists()


@pytest.mark.slow
def test_reading_a_run_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder names the code that was measured; reports and comparisons do not import it."""
    made = "\n".join(
        (
            "import torch",
            "def make():",
            "    return torch.nn.Sequential(",
            "        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 17))",
        )
    )
    mark, code = tmp_path / "mark", tmp_path / "net.py"
    code.write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n{made}\n")
    part = f'{{kind: python, call: "{code}:make", classes: 17}}'
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(EVALUATE.format(part=part).replace("count: 4", "count: 4, pixels: 16"))
    done_by("run", "c.yaml", "--workers", "1", "--quiet")
    (folder,) = Path("runs").iterdir()
    assert mark.exists()
    mark.unlink()
    done_by("report", str(folder))
    done_by("compare", str(folder), str(folder))
    assert clearsight.open_run(folder).results()
    assert not mark.exists()


def test_every_kind_that_imports_code_says_so() -> None:
    kinds = {kind for registry in GROUPS.values() for kind in registry if kind.executes}
    assert {kind.model_fields["kind"].default for kind in kinds} == {"python", "python_restorer"}
    assert all(kind.executes in kind.model_fields for kind in kinds)
    assert trust.OWN == "clearsight."


def test_a_checkpoint_that_was_pickled_whole_is_refused(mark: Path, tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    import pickle  # noqa: TID251 (what a stranger does)

    class Bad:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.write_text, (mark, "executed")

    (tmp_path / "x.pth").write_bytes(pickle.dumps(Bad(), protocol=2))
    (tmp_path / "c.yaml").write_text(EVALUATE.format(part=f"{{kind: spandrel, path: {tmp_path}/x.pth}}"))
    with pytest.raises(ClearsightError, match="cannot read it"):
        clearsight.check(tmp_path / "c.yaml")
    assert not mark.exists()
