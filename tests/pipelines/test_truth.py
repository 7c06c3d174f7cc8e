"""Checks of attacks: figures that a fooled attack leaves too high are marked as unreliable, honest ones are not."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from clearsight.defend.attacks.base import Attack, BallAttack
from clearsight.defend.attacks.fgsm import FGSM
from clearsight.defend.attacks.pgd import PGD
from clearsight.defend.attacks.replay import Replay
from clearsight.defend.attacks.swift import Swift
from clearsight.defend.probe import Strength
from clearsight.pipelines.checks.attack_facts import add_up, cost
from clearsight.pipelines.checks.attack_record import AttackRecord, Facts
from clearsight.pipelines.checks.single import checks_of, reliable
from clearsight.pipelines.runs.summary import Check

N = 200


def rows(right: int, **changes: Any) -> dict[str, Any]:
    """Rows of N images of which the first ``right`` are right; all were attacked, and the loss rose."""
    correct = (np.arange(N) < right).astype(float)
    told: dict[str, Any] = {
        "correct": correct,
        "majority": np.full(N, np.nan),
        "loss": np.full(N, 1.0),
        "loss_before": np.full(N, 0.5),
        "confidence": np.full(N, 0.5),
        "queries": np.full(N, 10.0),
        "backwards": np.full(N, 9.0),
        "linf": np.full(N, 0.03),
        "l2": np.full(N, 1.0),
        "l1": np.full(N, 30.0),
        "zero_gradients": np.full(N, 0.1),
    }
    return told | changes


CLEAN = rows(190, loss=np.full(N, 0.5), loss_before=np.full(N, np.nan))


def cell(attack: Attack, right: int = 50, *, name: str = "it", **changes: Any) -> AttackRecord:
    facts = changes.pop("facts", Facts())
    about = {key: changes.pop(key) for key in ("random", "victim_random", "draws") if key in changes}
    return AttackRecord(name, attack, rows(right, **changes), facts, classes=10, **about)


def found(subject: AttackRecord, *others: AttackRecord, clean: Any = CLEAN) -> dict[str, Check]:
    return {check.check: check for check in checks_of(subject, others, clean)}


def black_box(**changes: Any) -> Attack:
    return PGD(threat="transfer", source="other", **changes)


def test_an_honest_attack_passes_every_check() -> None:
    others = [
        cell(FGSM(), 80, name="fgsm"),
        cell(PGD(steps=80), 50, name="longer"),
        cell(PGD(eps=0.01), 90, name="smaller"),
        cell(black_box(), 120, name="transfer"),
    ]
    checks = found(cell(PGD()), *others)
    assert {check.verdict for check in checks.values()} == {"fine"}, checks
    assert set(checks) >= {
        "zero_gradients",
        "untested",
        "broken_gradient",
        "false_gradient",
        "loss_rises",
        "one_step",
        "black_box",
        "larger_eps",
        "more_steps",
        "above_clean",
        "random_outputs",
        "probabilities",
    }
    assert reliable(list(checks.values()))


@pytest.mark.parametrize(("share", "verdict"), [(0.3, "fine"), (0.6, "suspect"), (0.95, "unreliable")])
def test_zero_gradients(share: float, verdict: str) -> None:
    check = found(cell(PGD(), zero_gradients=np.full(N, share)))["zero_gradients"]
    assert check.verdict == verdict
    assert check.value == pytest.approx(share)


def test_gradients_that_nobody_asked_for_are_not_judged() -> None:
    assert "zero_gradients" not in found(cell(PGD(), zero_gradients=np.full(N, np.nan)))


@pytest.mark.parametrize(("dead", "verdict"), [(0, "fine"), (2, "suspect"), (20, "unreliable")])
def test_survivors_with_dead_gradients(dead: int, verdict: str) -> None:
    zeros = np.full(N, 0.0)
    zeros[:dead] = 1.0
    check = found(cell(PGD(), zero_gradients=zeros))["untested"]
    assert check.verdict == verdict
    zeros = zeros[::-1].copy()  # images that are wrong anyhow
    assert found(cell(PGD(), zero_gradients=zeros))["untested"].verdict == "fine"


def test_a_broken_gradient_claim_is_named() -> None:
    check = found(cell(PGD(), facts=Facts({"denoise": "identity"}, ("denoise",))))["broken_gradient"]
    assert check.verdict == "suspect"
    assert "'denoise' (passed by identity)" in check.words


def test_a_gradient_that_is_not_the_slope_is_named() -> None:
    check = found(cell(PGD(), facts=Facts(false=("classify",))))["false_gradient"]
    assert check.verdict == "unreliable"
    assert "'classify'" in check.words
    assert found(cell(PGD()))["false_gradient"].verdict == "fine"


@pytest.mark.parametrize(("broken", "verdict"), [(0, "fine"), (3, "unreliable")])
def test_what_the_closing_square_breaks_condemns_the_gradients(broken: int, verdict: str) -> None:
    sieve = {"member": "sieve", "tried": N, "broken": 30, "queries": 900, "backwards": 800}
    square = {"member": "square", "tried": 60, "broken": broken, "queries": 9000, "backwards": 0}
    facts = Facts(members=(sieve, square))
    check = found(cell(Swift(), facts=facts))["blind_member"]
    assert check.verdict == verdict
    assert check.value == pytest.approx(broken / N)
    chance = found(cell(Swift(), facts=facts, random=True))["blind_member"]
    assert chance.verdict == ("suspect" if broken else "fine"), "random draws may break an image by luck"
    assert "blind_member" not in found(cell(PGD()))


def test_a_loss_that_does_not_rise() -> None:
    falls = np.where(np.arange(N) < 120, 0.4, 1.0)
    assert found(cell(PGD(), loss=falls))["loss_rises"].verdict == "unreliable"
    some = np.where(np.arange(N) < 40, 0.4, 1.0)
    assert found(cell(PGD(), loss=some))["loss_rises"].verdict == "suspect"
    assert "loss_rises" not in found(cell(black_box(), loss=falls)), "made on another system, it may fall"
    still = found(cell(PGD(), l2=np.zeros(N)))["loss_rises"]
    assert still.verdict == "unreliable"
    assert "changed no image" in still.words


def test_images_that_were_wrong_already_do_not_count() -> None:
    queries, backwards = np.full(N, 1.0), np.zeros(N)
    queries[:10], backwards[:10] = 5, 4
    subject = cell(PGD(), queries=queries, backwards=backwards)
    assert subject.worked_on.sum() == cost(subject).images == 10


def test_one_step_stronger_than_many() -> None:
    check = found(cell(PGD(), 60), cell(FGSM(), 50, name="fgsm"))["one_step"]
    assert check.verdict == "unreliable"
    assert check.value == pytest.approx(10 / N)
    assert "'fgsm'" in check.words
    assert "breaks 10 images" in check.words
    assert "one_step" not in found(cell(PGD(), 60), cell(FGSM(eps=0.5), 0)), "another radius"


def test_a_black_box_that_beats_the_white_box() -> None:
    blind = cell(black_box(), 40, name="transfer")
    check = found(cell(PGD(), 60), blind)["black_box"]
    assert check.verdict == "unreliable"
    assert check.value == pytest.approx(20 / N)
    assert "breaks 20 images" in check.words
    better = cell(PGD(restarts=5), 40, name="restarts")
    assert found(cell(PGD(), 60), blind, better)["black_box"].verdict == "suspect", "weak, not fooled"
    other = rows(60)["correct"][::-1].copy()
    crossed = cell(black_box(), correct=other, name="transfer")
    assert found(cell(PGD(), 60), crossed)["black_box"].verdict == "suspect", "as strong, on other images"
    assert "black_box" not in found(blind, cell(PGD(), 60))
    assert "black_box" not in found(cell(FGSM(), 60), blind), "one step is no measure"


def test_images_of_an_earlier_run_are_a_black_box_too() -> None:
    old = Replay(path="runs/x", system="plain", attack="pgd")
    within = cell(old, 40, name="old")
    assert found(cell(PGD(), 60), within)["black_box"].verdict == "unreliable"
    assert "black_box" not in found(cell(PGD(eps=0.01), 60), within), "they lie outside of its ball"


def test_a_larger_radius_must_not_be_weaker() -> None:
    check = found(cell(PGD(eps=0.1), 60), cell(PGD(eps=0.05), 50, name="small"))["larger_eps"]
    assert check.verdict == "unreliable"
    assert "'small'" in check.words
    assert "larger_eps" not in found(cell(PGD(eps=0.1), 60), cell(PGD(eps=0.05, norm="l2"), 50))
    assert "larger_eps" not in found(cell(PGD(eps=0.1, steps=3), 60), cell(PGD(eps=0.05), 50))


def test_twice_the_steps() -> None:
    settled = found(cell(PGD(steps=20), 51), cell(PGD(steps=40), 50))["more_steps"]
    assert settled.verdict == "fine"
    moving = found(cell(PGD(steps=20), 60), cell(PGD(steps=40), 50))["more_steps"]
    assert moving.verdict == "suspect"
    assert moving.value == pytest.approx(0.05)
    assert "40 steps in place of 20" in moving.words


def test_nothing_survives_a_quarter_of_the_range() -> None:
    assert found(cell(PGD(eps=64 / 255), 10))["chance"].verdict == "fine"
    assert found(cell(PGD(eps=64 / 255), 60))["chance"].verdict == "unreliable"
    assert "chance" not in found(cell(PGD(), 60))


def test_more_right_under_attack_than_without() -> None:
    assert found(cell(PGD(), 195))["above_clean"].verdict == "unreliable"
    assert found(cell(black_box(), 195))["above_clean"].verdict == "suspect"


def test_random_parts_need_more_than_one_draw() -> None:
    one = cell(PGD(eot=1), victim_random=True, random=True, draws=1)
    assert found(one)["eot"].verdict == "unreliable"
    many = cell(PGD(), victim_random=True, random=True, draws=10)
    assert found(many)["eot"].verdict == "fine"
    assert "random_outputs" not in found(many)


def test_random_systems_are_judged_by_vote_and_allowed_luck() -> None:
    votes = rows(50)["correct"]
    subject = cell(PGD(), 90, random=True, majority=votes)
    assert subject.accuracy == pytest.approx(50 / N)
    lucky = cell(black_box(), random=True, majority=rows(47)["correct"])
    assert found(subject, lucky)["black_box"].verdict == "fine"
    better = cell(black_box(), random=True, majority=rows(30)["correct"])
    assert found(subject, better)["black_box"].verdict == "unreliable"


def test_equal_images_with_different_losses_betray_a_random_part() -> None:
    before = np.full(N, 0.5)
    before[3] = 0.6
    assert found(cell(PGD(), loss_before=before))["random_outputs"].verdict == "unreliable"


def test_outputs_that_look_like_probabilities() -> None:
    top = np.e / (np.e + 9)
    clean = CLEAN | {"confidence": np.linspace(0.12, top - 1e-6, N)}
    assert found(cell(PGD()), clean=clean)["probabilities"].verdict == "suspect"


def test_checks_become_plain_data() -> None:
    written = asdict(Check("x", "fine", 1 / 3, "Words.").rounded())
    assert written == {"check": "x", "verdict": "fine", "value": 0.3333333333, "words": "Words."}
    assert Check("x", "fine", float("nan"), "").rounded().value is None


def test_facts_of_batches_are_added_up() -> None:
    member = {"member": "apgd", "tried": 4, "broken": 1, "queries": 40, "backwards": 30}
    batches: list[dict[str, Any]] = [
        {"through": {"a": "exact"}, "broken": [], "false": [], "members": [member]},
        {
            "through": {"a": "identity"},
            "broken": ["a"],
            "false": ["b"],
            "members": [member, member | {"member": "fab"}],
        },
        {"through": {"a": "exact"}, "broken": [], "members": []},
    ]
    facts = add_up(batches)
    assert facts.false == ("b",), "one batch is enough"
    assert facts.broken == ("a",)
    assert facts.through == {"a": "identity"}, "the batch on which it was broken counts"
    assert [m["member"] for m in facts.members] == ["apgd", "fab"]
    assert facts.members[0]["queries"] == 80


class Weak(BallAttack):
    kind: Literal["weak"] = "weak"


class Strong(Weak):
    strength: ClassVar[Strength] = Strength.FULL


class Single(Weak):
    strength: ClassVar[Strength] = Strength.ONE_STEP


def test_a_plug_in_attack_declares_its_strength() -> None:
    step = cell(Single(), 50, name="single")
    assert found(cell(Strong(), 60), step)["one_step"].verdict == "unreliable"
    assert "black_box" in found(cell(Strong(), 60), cell(black_box(), 120))
    assert not {"one_step", "black_box"} & found(cell(Weak(), 60), step, cell(black_box(), 120)).keys()
