from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clearsight.data.contract import registry as registries
from clearsight.data.contract.errors import ClearsightError, ConfigError, WeightsError, first_line, near_miss
from clearsight.data.contract.registry import Registry
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Number, Spec
from clearsight.data.home import locate, replace_file
from clearsight.data.weights import CARD, MODEL, find, save, shipped, state, verify

HOUSE = Path(__file__).parents[2]


class Thing(Spec):
    kind: Literal["thing"] = "thing"
    size: int = 3
    eps: Number = 0.5


class Box(Spec):
    kind: Literal["box"] = "box"
    inside: Thing = Thing()


def test_keys_are_stable() -> None:
    # A change here makes every old result unfindable: it must be on purpose.
    assert Thing().key() == "dd6012103008564207bd80b961d4c34366d2f42ca38057178c28c8822dfe4362"
    assert Thing().key() == Thing(size=3, eps="1/2").key()
    assert Thing().key() != Thing(size=4).key()
    assert Box().key() != Box(inside=Thing(size=4)).key()


def test_a_new_revision_is_a_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Thing().key(), Box().key()
    monkeypatch.setattr(Thing, "revision", 2)
    assert Thing().key() != before[0]
    assert Box().key() != before[1], "the revision of what is inside counts"


def test_specs_are_frozen_and_strict_about_names() -> None:
    with pytest.raises(ValidationError):
        Thing().size = 4  # type: ignore[misc]
    with pytest.raises(ValidationError, match="did you mean 'size'"):
        Thing(siez=4)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Thing(eps=float("nan"))
    assert hash(Thing()) == hash(Thing())


@given(
    st.integers(0, 2**40),
    st.lists(st.text(max_size=5), max_size=3),
    st.lists(st.text(max_size=5), max_size=3),
)
def test_streams_are_named_not_drawn(seed: int, first: list[str], second: list[str]) -> None:
    one, other = Rng(seed).at(*first), Rng(seed).at(*second)
    same = first == second
    assert (one.digest() == other.digest()) == same
    assert one.numpy().random() == Rng(seed).at(*first).numpy().random()


def test_streams_of_both_libraries_are_reproducible_and_apart() -> None:
    stream = Rng(0).at("a")
    assert torch.equal(torch.rand(4, generator=stream.torch()), torch.rand(4, generator=stream.torch()))
    assert not np.allclose(stream.numpy().random(4), Rng(0).at("b").numpy().random(4))
    assert Rng(0).at("a", "b") == Rng(0).at("a").at("b")
    assert Rng(0).at("ab").digest() != Rng(0).at("a", "b").digest()
    # Golden: a change makes every published figure unreproducible.
    assert Rng(0).at("corrupt", "fog", 3, "cifar10/test/00042").integer(32) == 1416268691


def test_two_kinds_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = type(
        "Twin",
        (Thing,),
        {"__module__": "second", "kind": "thing", "__annotations__": {"kind": Literal["thing"]}},
    )
    first, second = ModuleType(Thing.__module__), ModuleType("second")
    first.Thing, second.Twin = Thing, twin  # type: ignore[attr-defined]
    monkeypatch.setattr(registries, "_modules", lambda packages: iter([first, second]))
    # A registry is remembered for good; this one shall not be.
    monkeypatch.setattr(registries, "_REGISTRIES", [])
    with pytest.raises(ConfigError, match="two things are called 'thing'"):
        _ = Registry("thing", Spec, "nowhere").kinds


def test_errors_are_one_line_with_place_and_advice() -> None:
    error = ClearsightError("it is broken", where="a.yaml:3", hint="fix it")
    assert str(error) == "a.yaml:3: it is broken; fix it"
    assert near_miss("fgo", ["fog", "snow"]) == "did you mean 'fog'? known: fog, snow"
    assert near_miss("zzz", ["fog"]) == "known: fog"


@pytest.mark.slow
def test_a_package_of_the_users_joins_by_entry_point(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from typing import Literal\nfrom clearsight.data.corruptions.base import Corruption\n"
        "class Soot(Corruption):\n    kind: Literal['soot'] = 'soot'\n    purpose = 'soot on the lens'\n"
    )
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clearsight]\nparts = mine\n")
    done = subprocess.run(
        [sys.executable, "-m", "clearsight", "list", "corruptions"],
        env=os.environ | {"PYTHONPATH": f"{HOUSE}{os.pathsep}{tmp_path}"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "soot on the lens" in done.stdout, done.stderr


def card(**more: object) -> dict[str, object]:
    told: dict[str, object] = dict.fromkeys(
        ("data", "recipe", "seed", "minutes", "machine", "figures", "limits", "licence"), "x"
    )
    return told | {"id": "w", "spec": {"kind": "thing"}} | more


def test_weights_round_trip_in_half_precision(tmp_path: Path) -> None:
    tensors = {"a": torch.linspace(0, 1, 7), "n": torch.tensor(3)}
    weights = save(tmp_path / "w", tensors, card())
    verify(weights)
    back = state(str(tmp_path / "w"))
    assert back["a"].dtype == torch.float32
    assert back["n"] == 3
    torch.testing.assert_close(back["a"], tensors["a"], atol=5e-4, rtol=1e-3)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    save(tmp_path / "w", {"a": torch.ones(3)}, card())
    (tmp_path / "w" / MODEL).write_bytes(b"x")
    with pytest.raises(WeightsError, match="sha256 differs"):
        state(str(tmp_path / "w"))
    (tmp_path / "w" / MODEL).unlink()
    with pytest.raises(WeightsError, match="the file is missing"):
        state(str(tmp_path / "w"))
    (tmp_path / "w" / CARD).write_text('{"id": "w"}')
    with pytest.raises(WeightsError, match="the card lacks spec, data"):
        find(str(tmp_path / "w"))
    (tmp_path / "w" / CARD).write_text("{")
    with pytest.raises(WeightsError, match="cannot read the card"):
        find(str(tmp_path / "w"))
    with pytest.raises(WeightsError, match="no weights 'nowhere'"):
        find("nowhere")


def test_all_shipped_weights_are_whole_and_light() -> None:
    found = list(shipped())
    for weights in found:
        verify(weights)
        assert weights.card["id"] == weights.folder.name
    # Both rooms together stay below 48 MB, what a user downloads with the package.
    for room, most in (("restore", 20), ("defend", 24)):
        files = [weights.folder / MODEL for weights in found if weights.folder.parts[-3] == room]
        assert sum(file.stat().st_size for file in files) < most * 2**20
        assert all(file.stat().st_size < 16 * 2**20 for file in files)


def test_files_appear_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    replace_file(path, b"old")

    def no_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", no_disk)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_paths_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here", "told", "home/data"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CLEARSIGHT_DATA", str(tmp_path / "told"))
    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "home"))
    with pytest.raises(ClearsightError, match="looked in .*here.*told.*home"):
        locate("x")
    for name in ("home/data", "told", "here"):
        (tmp_path / name / "x").touch()
        assert locate("x") == (tmp_path / name / "x").resolve()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  \n  late  \n"), "late"),
        (RuntimeError(), "RuntimeError"),
        (KeyError(""), "''"),
    ],
)
def test_the_first_line_of_an_error_says_something(error: Exception, line: str) -> None:
    assert first_line(error) == line
