"""The view of a system that attacks get: gradients through any chain, counters, draws, threat models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pyarrow import parquet
from torch import Tensor

from clearsight.data.contract.errors import AttackError, ConfigError, DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Gradient
from clearsight.data.corruptions.identity import Identity
from clearsight.data.disk import KeptFile
from clearsight.defend.attacks.apgd import APGD
from clearsight.defend.attacks.base import BallAttack
from clearsight.defend.attacks.fgsm import FGSM
from clearsight.defend.attacks.none import NoAttack
from clearsight.defend.attacks.pgd import PGD
from clearsight.defend.classifiers.python import PythonClassifier
from clearsight.defend.search.losses import cross_entropy
from clearsight.defend.target import AttackBatch
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.api import evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.folder import read_json
from clearsight.pipelines.systems.gradient_paths import find_path
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.target import SystemTarget
from clearsight.restore.base import ArrayRestorerSpec, RestorerSpec
from clearsight.restore.classical.gamma import Gamma
from clearsight.restore.classical.total_variation import TotalVariation
from clearsight.restore.classical.unsharp_mask import UnsharpMask

if TYPE_CHECKING:
    from torch import nn

CLASSIFY = PythonClassifier(call="toy:brightest", classes=3)


class Jitter(RestorerSpec):
    """Adds noise of its own."""

    kind: Literal["jitter"] = "jitter"
    stochastic: ClassVar[bool] = True

    def randomized(
        self, x: Tensor, network: nn.Module | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        noise = torch.stack([torch.randn(x.shape[1:], generator=g) for g in generators])
        return x + 0.05 * noise


class Coarse(RestorerSpec):
    """Rounds to 8 grey levels, but claims an exact gradient."""

    kind: Literal["coarse"] = "coarse"

    def restore(self, x: Tensor, network: nn.Module | None) -> Tensor:
        return (x * 7).round() / 7


class Honest(Coarse):
    """The same, with a surrogate."""

    kind: Literal["honest"] = "honest"  # type: ignore[assignment]
    gradient: ClassVar[Gradient] = Gradient.SURROGATE

    def surrogate(self, x: Tensor, network: nn.Module | None) -> Tensor:
        return x


class Stretch(RestorerSpec):
    """Saturates three values of four."""

    kind: Literal["stretch"] = "stretch"

    def restore(self, x: Tensor, network: nn.Module | None) -> Tensor:
        return ((x - 0.5) * 4 + 0.5).clamp(0, 1)


class Numpy(ArrayRestorerSpec):
    """A part that leaves torch: halves the distance to grey."""

    kind: Literal["halve"] = "halve"

    def restore_array(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        return (image + np.float32(0.5)) / np.float32(2)

    def surrogate(self, x: Tensor, network: nn.Module | None) -> Tensor:
        return (x + 0.5) / 2


def images(n: int = 6, size: int = 12) -> Tensor:
    return torch.rand(n, 3, size, size, generator=Rng(1).torch())


def target_of(*parts: Any, n: int = 6, **settings: Any) -> SystemTarget:
    system = chain(*parts, CLASSIFY).build()
    settings.setdefault("stand_ins", find_path(system, images(n)).stand_ins)
    return SystemTarget(system, [f"p{i}" for i in range(n)], Rng(0), **settings)


def test_the_gradient_through_exact_parts_is_that_of_finite_differences() -> None:
    target, x, rows = target_of(Gamma(gamma=0.7), UnsharpMask()), images(2, 8), torch.arange(2)
    labels = torch.tensor([0, 1])
    slope = target.gradient(x, rows, cross_entropy(labels))
    direction = torch.randn(x.shape, generator=Rng(2).torch())
    step = 1e-3
    up, down = (
        cross_entropy(labels)(target.logits(x + sign * step * direction, rows)) for sign in (1.0, -1.0)
    )
    numeric = (up - down) / (2 * step)
    torch.testing.assert_close((slope.gradient * direction).sum((1, 2, 3)), numeric, rtol=0.05, atol=1e-4)


def test_a_chain_of_numpy_and_torch_parts_has_a_gradient_and_keeps_its_values() -> None:
    target, x, rows = target_of(Numpy(), TotalVariation(), n=3), images(3), torch.arange(3)
    slope = target.gradient(x, rows, cross_entropy(torch.zeros(3, dtype=torch.int64)))
    assert (slope.gradient != 0).float().mean() > 0.9
    torch.testing.assert_close(slope.logits, target.system(x), rtol=0, atol=0)


def test_a_surrogate_is_used_where_declared_and_where_a_claim_is_broken() -> None:
    x = images(4)
    honest, broken = (find_path(chain(part, CLASSIFY).build(), x) for part in (Honest(), Coarse()))
    assert list(honest.how.values()) == ["surrogate", "exact"]
    assert honest.broken == ()
    assert list(broken.how.values()) == ["identity", "exact"]
    assert broken.broken == ("0_coarse",)


def test_values_that_a_clamp_holds_are_passed_straight_through() -> None:
    x = images(2)
    target = target_of(Stretch(), n=2)
    assert list(find_path(target.system, x).how.values()) == ["leaky", "exact"]
    both = target.gradient(x, torch.arange(2), lambda logits: logits[:, :2]).gradient
    held = (Stretch().restore(x, None) - 0.5).abs() == 0.5
    assert 0.5 < held.float().mean() < 0.9
    # The toy's logit is the channel's mean times 4; the stretch multiplies by 4 where it lets pass.
    for k in range(2):
        through = both[:, k, k] * x[0, 0].numel()
        torch.testing.assert_close(through, torch.where(held[:, k], 4.0, 16.0))
    torch.testing.assert_close(target.logits(x, torch.arange(2)), target.system(x), rtol=0, atol=0)


@pytest.mark.parametrize("part", [Honest(), Coarse()], ids=["declared", "hidden"])
def test_a_quantiser_is_passed(part: RestorerSpec) -> None:
    target, x = target_of(part), images()
    labels = target.system(x).argmax(1)
    batch = AttackBatch(x, labels, tuple(target.ids), torch.arange(len(x)))
    found = PGD(eps=16 / 255, steps=20)(target, batch, Rng(0))
    assert (target.system(found).argmax(1) != labels).float().mean() > 0.8


def test_every_forward_and_backward_is_counted_for_its_image() -> None:
    target, x = target_of(), images()
    target.logits(x[:2], torch.tensor([4, 1]))
    target.gradient(x[:1], torch.tensor([4]), lambda logits: logits[:, :2])
    assert target.queries.tolist() == [0, 1, 0, 0, 2, 0]
    assert target.backwards.tolist() == [0, 0, 0, 0, 2, 0]


def test_several_losses_give_several_gradients() -> None:
    target, x, rows = target_of(), images(2), torch.arange(2)
    both = target.gradient(x, rows, lambda logits: logits[:, :2]).gradient
    assert both.shape == (2, 2, 3, 12, 12)
    for k in range(2):
        one = target.gradient(x, rows, lambda logits, k=k: logits[:, k]).gradient  # type: ignore[misc]
        torch.testing.assert_close(both[:, k], one)


def test_random_parts_draw_by_image_and_call_not_by_batch() -> None:
    x = images(3)
    whole, alone = target_of(Jitter(), n=3, eot=2), target_of(Jitter(), n=3, eot=2)
    expected = whole.logits(x, torch.arange(3))[1:2]
    torch.testing.assert_close(alone.logits(x[1:2], torch.tensor([1])), expected)
    assert not torch.equal(alone.logits(x[1:2], torch.tensor([1])), expected)
    assert whole.queries.tolist() == [2, 2, 2]


@pytest.mark.parametrize("attack", [PGD(eps=0.3, steps=3), APGD(eps=0.3, steps=3)], ids=["pgd", "apgd"])
def test_random_systems_are_searched_to_the_end(attack: BallAttack) -> None:
    x = images(4)
    steady, random = target_of(n=4), target_of(Jitter(), n=4, eot=2)
    for target in (steady, random):
        labels = target.logits(x, torch.arange(4)).argmax(1)
        batch = AttackBatch(x, labels, tuple(target.ids), torch.arange(4))
        attack(target, batch, Rng(0))
    # At this radius one step is enough, but for a fresh draw the boundary lies elsewhere.
    assert int(steady.backwards.max()) < 3
    # An image whose first look, in other draws, is wrong already is left alone.
    assert set(random.backwards.tolist()) <= {0, 2 * 3}
    assert (random.backwards == 2 * 3).sum() >= 3


def test_views_show_no_more_than_they_say() -> None:
    x, rows = images(), torch.arange(6)
    labels = target_of(view="labels").logits(x, rows)
    assert set(labels.unique().tolist()) == {0.0, 1.0}
    for view in ("scores", "labels"):
        with pytest.raises(AttackError, match=f"shows {view} only"):
            target_of(view=view).gradient(x, rows, cross_entropy(torch.zeros(6, dtype=torch.int64)))


def test_logits_that_are_not_finite_are_named() -> None:
    target, x = target_of(), images(2)
    x[1] = torch.nan
    with pytest.raises(DataError, match="logits that are not finite for image 'p1'"):
        target.logits(x, torch.arange(2))


def test_memory_brings_tensors_and_counters_back(tmp_path: Path) -> None:
    first = target_of(memory=KeptFile(tmp_path / "m.safetensors"))
    first.logits(images(), torch.arange(6))
    first.report("a", tried=6, broken=1, since=(0, 0))
    first.remember("a", images=torch.ones(2, 3))
    again = target_of(memory=KeptFile(tmp_path / "m.safetensors"))
    kept = again.recall("a")
    assert kept is not None
    torch.testing.assert_close(kept["images"], torch.ones(2, 3))
    assert again.queries.tolist() == [1] * 6
    assert again.members == [{"member": "a", "tried": 6, "broken": 1, "queries": 6, "backwards": 0}]
    assert again.recall("b") is None


ATTACKS: dict[str, dict[str, Any]] = {
    "none": {"kind": "none"},
    "pgd": {"kind": "pgd", "eps": "16/255", "steps": 8},
    "blind": {"kind": "pgd", "eps": "16/255", "steps": 8, "threat": "oblivious"},
    "moved": {"kind": "pgd", "eps": "16/255", "steps": 8, "threat": "transfer", "source": "plain"},
}


@pytest.mark.slow
def test_a_run_measures_threat_models_side_by_side(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    config = make_config(attacks=ATTACKS, measure=[{"conditions": ["clean"], "attacks": list(ATTACKS)}])
    folder = run(config, root=tmp_path, workers=1)
    cells = {(c["system"], c["attack"]): c for c in read_json(folder.summary)["cells"]}

    def accuracy(system: str, attack: str) -> float:
        return float(cells[system, attack]["metrics"]["accuracy"]["value"])

    assert accuracy("plain", "pgd") <= accuracy("plain", "none")
    assert accuracy("plain", "blind") == accuracy("plain", "pgd") == accuracy("plain", "moved")
    assert accuracy("restored", "pgd") <= accuracy("restored", "blind") == accuracy("restored", "moved")
    rows = parquet.read_table(next((folder.path / "cells").glob("*/chunk-00000.parquet"))).column_names
    assert {"linf", "l2", "l1", "queries", "backwards", "zero_gradients", "loss_before"} <= set(rows)


@pytest.mark.slow
def test_kept_images_are_the_attacked_ones(make_config: Callable[..., Evaluate], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    attacks = {"pgd": ATTACKS["pgd"] | {"keep": True}}
    config = make_config(
        attacks=attacks,
        conditions={"clean": {"kind": "identity"}},
        measure=[{"conditions": ["clean"], "attacks": ["pgd"], "systems": ["plain"]}],
    )
    folder = run(config, root=tmp_path, workers=1)
    found = [load_file(path) for path in sorted((folder.path / "cells").glob("*/adversarial-*.safetensors"))]
    assert sum(map(len, found)) == 30
    assert all(
        image.shape == (3, 20, 24) and image.dtype == torch.float32 for f in found for image in f.values()
    )


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ({"kind": "pgd", "eps": 8}, "write 8/255"),
        ({"kind": "pgd", "threat": "transfer"}, "'source' names the other system"),
        ({"kind": "pgd", "threat": "transfer", "source": "plian"}, "did you mean 'plain'"),
        ({"kind": "pgd", "threat": "scores"}, "needs to see gradient"),
        ({"kind": "pgd", "norm": "l3"}, "norm"),
    ],
    ids=["levels", "no-source", "typo", "view", "norm"],
)
def test_bad_attacks_are_refused(
    make_config: Callable[..., Evaluate], tmp_path: Path, attack: dict[str, Any], words: str
) -> None:
    def attempt() -> None:
        config = make_config(attacks={"a": attack}, measure=[{"conditions": ["clean"], "attacks": ["a"]}])
        run(config, root=tmp_path, workers=1)

    with pytest.raises((ValueError, ConfigError), match=words):
        attempt()


def test_a_blocked_part_and_an_exact_attack_on_a_surrogate_are_refused(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    parts = {"jpeg": {"kind": "jpeg_squeeze"}, "classify": CLASSIFY.model_dump(exclude_none=True)}
    exact = {"a": {"kind": "pgd", "through": "exact"}}
    config = make_config(
        parts=parts,
        systems={"plain": ["classify"], "jpeg": ["jpeg", "classify"]},
        attacks=exact,
        measure=[{"conditions": ["clean"], "attacks": ["a"]}],
    )
    with pytest.raises(
        AttackError, match=r"part 'jpeg' \(jpeg_squeeze\) of system 'jpeg' has a surrogate only"
    ):
        run(config, root=tmp_path, workers=1)


def test_python_and_yaml_attack_alike(images: Path, tmp_path: Path) -> None:
    from clearsight.data.sources.folder import Folder

    report = evaluate(
        Folder(path=str(images)),
        {"plain": chain(CLASSIFY)},
        conditions=[Identity()],
        attacks=[NoAttack(), FGSM(eps=16 / 255)],
        root=tmp_path,
        workers=1,
    )
    assert [c["attack"] for c in report.summary["cells"]] == ["none", "fgsm"]


def test_the_system_is_a_module_whose_values_do_not_change_under_stand_ins() -> None:
    system: System = chain(Honest(), CLASSIFY).build()
    x = images()
    path = find_path(system, x)
    plain, bent = system.trace(x), system.trace(x, stand_ins=path.stand_ins)
    for name in plain:
        torch.testing.assert_close(plain[name], bent[name], rtol=0, atol=0)
