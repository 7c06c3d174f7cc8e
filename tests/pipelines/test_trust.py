"""The trust boundary: which configs execute code of others, and that asking executes none."""

from __future__ import annotations

from pathlib import Path

import pytest

import clearsight
from clearsight.data.contract.errors import ClearsightError, ConfigError
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


def test_every_kind_that_imports_code_says_so() -> None:
    kinds = {kind for registry in GROUPS.values() for kind in registry if kind.executes}
    assert {kind.model_fields["kind"].default for kind in kinds} == {"python"}
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
