from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.tasks import TASKS
from clearsight.pipelines.config.yaml_reader import parse
from clearsight.pipelines.runs.grid import make_grid

HOUSE = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "task": "evaluate",
    "name": "t",
    "data": {"kind": "photos", "size": 32},
    "parts": {"bright": {"kind": "gamma", "gamma": 0.5}, "median": {"kind": "median"}},
    "systems": {"plain": ["bright"], "two": ["median", "bright"]},
    "conditions": {"clean": {"kind": "identity"}},
}


def config(**changes: Any) -> Evaluate:
    return Evaluate.model_validate(BASE | changes)


def test_conditions_expand() -> None:
    found = config(
        conditions={
            "clean": {"kind": "identity"},
            "one": {"kind": "fog", "severity": 2},
            "noise": {
                "kind": "gaussian_noise",
                "each": {"severity": [1, 5], "table": ["imagenet_c", "cifar_c"]},
            },
            "c15": {"set": "imagenet_c_15", "severity": [1, 3]},
            "extra": {"set": "imagenet_c_extra_4", "severity": 2, "table": "cifar_c"},
        }
    ).expanded()
    assert [c.name for c in found["one"]] == ["one"]
    assert [c.name for c in found["noise"]] == [
        f"gaussian_noise-{s}-table={t}" for s in (1, 5) for t in ("imagenet_c", "cifar_c")
    ]
    assert len(found["c15"]) == 30
    assert {c.corruption.table for c in found["extra"]} == {"cifar_c"}
    names = [c.name for group in found.values() for c in group]
    assert len(names) == len(set(names))


def test_equal_conditions_of_two_groups_are_measured_once() -> None:
    grid = make_grid(
        config(
            conditions={
                "fogs": {"kind": "fog", "each": {"severity": [1, 2]}},
                "c15": {"set": "imagenet_c_15", "severity": 1},
                "other": {"kind": "fog", "each": {"severity": [1]}, "table": "cifar_c"},
            }
        )
    )
    assert grid.groups["fogs"] == ("fog-1", "fog-2")
    assert "fog-1" in grid.groups["c15"]
    assert grid.groups["other"] == ("other:fog-1",)
    assert len(grid.triples) == 2 * (2 + 14 + 1)


def test_only_written_out_products_are_measured() -> None:
    conditions = {"clean": {"kind": "identity"}, "fog": {"kind": "fog"}}
    assert len(make_grid(config(conditions=conditions)).triples) == 4
    some = [{"conditions": ["clean"]}, {"conditions": ["fog", "clean"], "systems": ["two"]}]
    assert make_grid(config(conditions=conditions, measure=some)).triples == (
        ("plain", "clean", "none"),
        ("two", "clean", "none"),
        ("two", "fog", "none"),
    )


def test_keys_change_with_content_only() -> None:
    def keys(seed: int = 0, **changes: Any) -> list[str]:
        grid = make_grid(config(**changes))
        return [c.key for c in grid.cells(data="d", seed=seed, chunk=8, setting={})]

    assert keys() == keys(name="other", title="x", images=1)
    assert keys() != keys(seed=1)
    on_ray = config(resources={"cpus": 2, "gpus": 1, "memory": 4, "seconds": 60})
    assert on_ray.identity() == config().identity()
    assert str(on_ray.resources) == "2 CPUs, 1 GPUs, 4 GiB of memory, at most 60 s"
    assert keys() != keys(parts=BASE["parts"] | {"bright": {"kind": "gamma", "gamma": 0.6}})
    renamed = {"a": ["bright"], "b": ["median", "bright"]}
    assert keys() == keys(systems=renamed)


def test_round_trip() -> None:
    first = config(
        conditions={"c": {"set": "imagenet_c_15"}, "n": {"kind": "fog", "each": {"severity": [1]}}}
    )
    again = Evaluate.model_validate(first.model_dump(mode="json"))
    assert again == first
    assert again.key() == first.key()


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"nmae": "x"}, "nmae", "unknown field 'nmae'; did you mean 'name'?"),
        ({"chunk": 0}, "chunk", "chunk: Input should be greater than or equal to 1, got 0"),
        ({"compare": {"baseline": "plan"}}, "", "no system 'plan'; did you mean 'plain'?"),
        ({"systems": {"plain": ["brihgt"]}}, "", "system 'plain': no part 'brihgt'; did you mean 'bright'?"),
        (
            {"parts": {"bright": {"kind": "gama"}}},
            "parts.bright",
            "unknown kind 'gama'; did you mean 'gamma'?",
        ),
        ({"parts": {"bright": {"gamma": 1}}}, "parts.bright", "needs a 'kind'"),
        (
            {"parts": {"bright": {"kind": "gamma", "gama": 1}}},
            "parts.bright.gama",
            "unknown field 'gama'; did you mean 'gamma'?",
        ),
        (
            {"conditions": {"f": {"kind": "fog", "severity": 9}}},
            "conditions.f.severity",
            "less than or equal to 5, got 9",
        ),
        ({"conditions": {"f": {"kind": "fogg"}}}, "conditions.f", "unknown kind 'fogg'; did you mean 'fog'?"),
        (
            {"conditions": {"f": {"kind": "fog", "each": {"severity": [9]}}}},
            "conditions.f.each",
            "less than or equal to 5",
        ),
        (
            {"conditions": {"f": {"kind": "fog", "each": {"severty": [1]}}}},
            "conditions.f.each",
            "did you mean 'severity'?",
        ),
        (
            {"conditions": {"f": {"kind": "fogg", "each": {"severity": [1]}}}},
            "conditions.f.each",
            "did you mean 'fog'?",
        ),
        ({"conditions": {"f": {"set": "imagenet_c"}}}, "conditions.f.set", "imagenet_c_15"),
        ({"metrics": ["acuracy"]}, "metrics.0", "did you mean 'accuracy'?"),
        ({"measure": [{"conditions": ["cleen"]}]}, "", "no condition 'cleen'; did you mean 'clean'?"),
        ({"attacks": {"a": {"kind": "pdg"}}}, "attacks.a", "unknown kind 'pdg'"),
        ({"data": {"kind": "parqet"}}, "data", "did you mean 'parquet'?"),
        ({"name": "a/b"}, "name", "name"),
    ],
)
def test_mistakes_name_line_field_and_near_miss(changes: dict[str, Any], place: str, words: str) -> None:
    document = parse(yaml.safe_dump(BASE | changes, sort_keys=False), Path("x.yaml"))
    with pytest.raises(ConfigError) as caught:
        document.parse(Evaluate)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    steps = tuple(int(step) if step.isdigit() else step for step in place.split(".") if step)
    assert message.startswith(f"x.yaml:{document.lines[steps]}: {place}"), message


@pytest.mark.slow
def test_the_shipped_schemas_are_fresh(tmp_path: Path) -> None:
    # In a process of its own: descriptions are filled in before anything is built.
    subprocess.run(
        [sys.executable, "-m", "clearsight", "schema", "--out", str(tmp_path)],
        check=True,
        cwd=HOUSE,
    )
    for task in TASKS.kinds:
        shipped = (HOUSE / "pipelines" / "schema" / f"{task}.json").read_text(encoding="utf-8")
        assert shipped == (tmp_path / f"{task}.json").read_text(encoding="utf-8"), "run `make schema`"
        assert '"description": "Root of all random streams."' in shipped or task != "evaluate"


def measured(**fields: Any) -> list[tuple[str, ...]]:
    return [block.attacks for block in Evaluate.model_validate(BASE | fields).blocks()]


def test_attacks_that_are_named_are_measured() -> None:
    pgd = {"kind": "pgd", "eps": "8/255", "steps": 2}
    assert measured() == [("none",)]
    assert measured(attacks={"pgd": pgd}) == [("none", "pgd")]
    assert measured(attacks={"none": {"kind": "none"}, "pgd": pgd}) == [("none", "pgd")]
    condition = next(iter(BASE["conditions"]))
    assert measured(attacks={"pgd": pgd}, measure=[{"conditions": [condition], "attacks": ["pgd"]}]) == [
        ("pgd",)
    ]


def test_an_attack_that_is_measured_nowhere_is_refused() -> None:
    condition = next(iter(BASE["conditions"]))
    fields = {"attacks": {"pgd": {"kind": "pgd"}}, "measure": [{"conditions": [condition]}]}
    with pytest.raises(ValidationError, match="the attack 'pgd' is measured nowhere; name it in a block"):
        Evaluate.model_validate(BASE | fields)
