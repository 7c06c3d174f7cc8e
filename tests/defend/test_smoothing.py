"""Smoothing against what is known exactly: linear classifiers, slabs, the binomial distribution."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
import torch
from attack_toys import Precise, ToyTarget, attack_batch_of, flattened, linear, random_images
from pydantic import ValidationError
from scipy import stats
from torch import Tensor, nn

from clearsight.data.contract.rng import Rng
from clearsight.defend.bounds import votes as counting
from clearsight.defend.bounds.confidence import looks_of, lower_bound, upper_bound, votes_needed
from clearsight.defend.bounds.halves import half
from clearsight.defend.certify.dual_randomized_smoothing import DualRandomizedSmoothing
from clearsight.defend.certify.randomized_smoothing import RandomizedSmoothing
from clearsight.defend.target import AttackBatch

PHI = NormalDist()
SHAPE = (1, 4, 4)
ONE = torch.arange(1)


def certify(
    certificate: RandomizedSmoothing | DualRandomizedSmoothing,
    model: nn.Module,
    batch: AttackBatch,
    classes: int = 2,
) -> Tensor:
    return certificate(ToyTarget(Precise(model), classes, len(batch)), batch, Rng(0).at("certify"))


class Slab(nn.Module):
    """Class 0 where the first pixel lies in (low, high), else class 1."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        pixel = x.flatten(1)[:, 0]
        inside = ((pixel > self.low) & (pixel < self.high)).float()
        return torch.stack([inside, 1.0 - inside], dim=1)


# Bounds


@pytest.mark.parametrize(
    ("votes", "n"), [(0, 10), (1, 10), (9, 10), (10, 10), (700, 1000), (99_900, 100_000)]
)
def test_the_bounds_are_those_of_clopper_and_pearson(votes: int, n: int) -> None:
    exact = stats.binomtest(votes, n, alternative="greater").proportion_ci(0.999, method="exact").low
    assert lower_bound(votes, n, 0.001) == pytest.approx(exact, abs=1e-12)
    above = stats.binomtest(votes, n, alternative="less").proportion_ci(0.999, method="exact").high
    assert upper_bound(votes, n, 0.001) == pytest.approx(above, abs=1e-12)


@pytest.mark.parametrize("p", [0.5, 0.6, 0.9, 0.99])
def test_the_confidence_statement_holds_in_2000_certifications(p: float) -> None:
    # A bound above the truth is a certificate that is wrong; alpha is large so that 2,000 of them can show it.
    alpha, n = 0.05, 400
    draws = Rng(1).at("coverage", p).numpy().binomial(n, p, size=2000)
    wrong = np.mean([lower_bound(int(votes), n, alpha) > p for votes in draws])
    # Three standard errors above alpha; the exact probability is told by the distribution itself.
    assert wrong <= alpha + 3 * sqrt(alpha * (1 - alpha) / 2000)
    exact = sum(stats.binom.pmf(votes, n, p) for votes in range(n + 1) if lower_bound(votes, n, alpha) > p)
    assert exact <= alpha


def test_the_bounds_of_all_looks_hold_together_in_2000_certifications() -> None:
    # Whoever stops at the look that suits him best is wrong no more often than alpha.
    alpha, p, looks = 0.05, 0.7, looks_of(4000)
    generator = Rng(2).at("looks").numpy()
    wrong = 0
    for _ in range(2000):
        votes = np.cumsum(generator.random(looks[-1]) < p)
        wrong += any(lower_bound(int(votes[look - 1]), look, alpha / len(looks)) > p for look in looks)
    assert wrong / 2000 <= alpha


def test_the_least_number_of_votes_is_exact() -> None:
    for alpha in (0.001, 0.01, 0.05):
        n = votes_needed(0.0, alpha)
        assert lower_bound(n, n, alpha) > 0.5 >= lower_bound(n - 1, n - 1, alpha)


# Radii


@pytest.mark.slow
def test_a_linear_classifier_is_certified_up_to_its_boundary() -> None:
    # The smoothed linear classifier is itself, so its radius is the distance to the boundary: Cohen et al., 3.2.3.
    layer = linear(2, SHAPE)
    model, images = flattened(layer), random_images(24, SHAPE)
    batch = attack_batch_of(model, images)
    normal = layer.weight[0] - layer.weight[1]
    distance = ((images.flatten(1) @ normal).abs() / normal.norm()).double()
    found = certify(RandomizedSmoothing(sigma=0.25, n=4000, alpha=0.001), model, batch)
    proved = found[:, 0] >= 0
    assert proved.sum() > 12
    assert (found[proved, 0] == batch.labels[proved]).all()
    assert (found[:, 1] <= distance + 1e-6).all()
    reachable = distance < 0.25 * 2.0
    assert (found[:, 1] > distance - 0.25 * 0.15)[reachable & proved].all()


@pytest.mark.slow
def test_a_slab_is_certified_to_its_exact_radius_and_no_further() -> None:
    # p(x) = Phi((high - x) / s) - Phi((low - x) / s); the vote changes where it falls to one half, which is nearer
    # than the edge of the slab. A radius of Cohen's form is smaller still, by the second edge that noise may cross.
    low, high, sigma, x = 0.2, 1.0, 0.25, 0.6

    def p(at: float) -> float:
        return PHI.cdf((high - at) / sigma) - PHI.cdf((low - at) / sigma)

    exact = next(r for r in np.arange(0.0, 0.5, 1e-4) if p(x + r) <= 0.5)
    image = torch.full((1, *SHAPE), x)
    batch = AttackBatch(image, torch.tensor([0]), ("slab",), ONE)
    found = certify(RandomizedSmoothing(sigma=sigma, n=20_000), Slab(low, high), batch)
    ideal = sigma * PHI.inv_cdf(p(x))
    assert found[0, 0] == 0
    assert ideal - 0.02 < found[0, 1] <= ideal < exact
    # Just beyond the exact radius the smoothed answer is another one, and is certified as such or not at all.
    beyond = AttackBatch(image + exact + 0.05, torch.tensor([0]), ("slab",), ONE)
    assert certify(RandomizedSmoothing(sigma=sigma, n=20_000), Slab(low, high), beyond)[0, 0] != 0


def test_it_abstains_where_the_vote_is_even() -> None:
    layer = linear(2, SHAPE)
    normal = (layer.weight[0] - layer.weight[1]).view(1, *SHAPE)
    image = random_images(1, SHAPE)
    image -= normal * (image * normal).sum() / (normal * normal).sum()
    batch = AttackBatch(image, torch.tensor([0]), ("edge",), ONE)
    found = certify(RandomizedSmoothing(n=400), flattened(layer), batch)
    assert found[0, :2].tolist() == [-1.0, 0.0]


@pytest.mark.slow
def test_a_wanted_radius_ends_images_early_and_stays_sound() -> None:
    layer = linear(2, SHAPE)
    model, images = flattened(layer), random_images(24, SHAPE)
    batch = attack_batch_of(model, images)
    normal = layer.weight[0] - layer.weight[1]
    distance = ((images.flatten(1) @ normal).abs() / normal.norm()).double()
    early = RandomizedSmoothing(sigma=0.25, n=4000, radius=0.2)
    found = certify(early, model, batch)
    samples = found[:, 3]
    assert (found[:, 1] <= distance + 1e-6).all()
    assert samples.min() == early.n0 + 100
    assert samples.mean() < 0.6 * early.passes()
    # What is decided is what all votes would have decided, but for images at the very radius.
    whole = certify(RandomizedSmoothing(sigma=0.25, n=4000), model, batch)
    clear = (distance - 0.2).abs() > 0.03
    assert torch.equal((found[:, 1] >= 0.2)[clear], (whole[:, 1] >= 0.2)[clear])


def test_noise_is_that_of_the_image_for_any_batch_size() -> None:
    model, images = flattened(linear(3, SHAPE)), random_images(5, SHAPE)
    batch = attack_batch_of(model, images)
    fields = {"n0": 20, "n": 60}
    found = [certify(RandomizedSmoothing(batch=size, **fields), model, batch, 3) for size in (1, 7, 64, 500)]
    assert all(torch.equal(each, found[0]) for each in found)
    assert (found[0][:, 3] == 80).all()


@pytest.mark.parametrize("stop", [0, 3, 11, 17])
def test_a_killed_certificate_continues_and_ends_equal(monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    monkeypatch.setattr(counting, "KEPT_AFTER", 2)
    model, images = flattened(linear(3, SHAPE)), random_images(5, SHAPE)
    batch = attack_batch_of(model, images)
    certificate = DualRandomizedSmoothing(batch=16, n0=20, n=60)
    whole = certify(certificate, model, batch, 3)
    target = ToyTarget(Precise(model), 3, 5)
    asked: list[int] = []

    def logits(x: Tensor, rows: Tensor) -> Tensor:
        asked.append(len(x))
        if len(asked) == stop + 1:
            raise KeyboardInterrupt
        with torch.no_grad():
            return target.model(x)

    monkeypatch.setattr(target, "logits", logits)
    with pytest.raises(KeyboardInterrupt):
        certificate(target, batch, Rng(0).at("certify"))
    before = len(asked)
    assert torch.equal(certificate(target, batch, Rng(0).at("certify")), whole)
    # No more than two batches were computed twice.
    assert len(asked) - before <= 2 * (7 + 19) - stop + 2


# Two halves


def test_the_halves_are_filled_up_from_themselves_alone() -> None:
    images = random_images(2, (3, 5, 6))
    for parity in (0, 1):
        found = half(images, parity)
        known = (torch.arange(5)[:, None] + torch.arange(6)) % 2 == parity
        assert torch.equal(found[:, :, known], images[:, :, known])
        other = images.clone()
        other[:, :, ~known] = 7.0
        assert torch.equal(half(other, parity), found)
        row, column = 2, 2 + (parity == 0)
        around = images[:, :, [row - 1, row + 1, row, row], [column, column, column - 1, column + 1]]
        assert torch.allclose(found[:, :, row, column], around.mean(2), atol=1e-6)


class EvenAlone(nn.Module):
    """Decides by the pixels of the even half, which are those that `half` leaves as they are when it is theirs.

    Given the odd half it says class 0 with a margin of its own: both halves are linear classifiers, at distances
    that a test chooses.
    """

    def __init__(self, even: float, odd: float) -> None:
        super().__init__()
        self.even, self.odd = even, odd

    def forward(self, x: Tensor) -> Tensor:
        # Pixel (0, 0) is even and (0, 1) odd. A half that was filled up repeats its own values: the second pixel
        # of the first row is then the mean of its even neighbours, and so on; which half it is shows at the corner.
        even = (x[:, 0, 0, 1] - (x[:, 0, 0, 0] + x[:, 0, 0, 2] + x[:, 0, 1, 1]) / 3).abs() < 1e-5
        margin = torch.where(even, x[:, 0, 0, 0] - self.even, x[:, 0, 0, 1] - self.odd)
        return torch.stack([margin, -margin], dim=1)


def probability(pixel: float, threshold: float, sigma: float) -> float:
    return PHI.cdf((pixel - threshold) / sigma)


def test_the_root_of_the_sum_of_squares_certifies_too_much() -> None:
    # Both halves are decided by one pixel each; at (0.9, 0.5) the even half is 0.4 from its boundary and the odd
    # half on it. The smoothed answer is the class whose probabilities sum to more than 1.
    sigma, even, odd = 0.25, 0.5, 0.5
    image = torch.full((1, *SHAPE), 0.3)
    image[0, 0, 0, 0], image[0, 0, 0, 1] = 0.9, 0.5
    first, second = 0.9 - even, 0.5 - odd
    sound, claimed = (first + second) / sqrt(2), sqrt(first**2 + second**2)
    assert sound < claimed

    def total(moved: float) -> float:
        return probability(0.9 - moved, even, sigma) + probability(0.5 - moved, odd, sigma)

    # A perturbation of half its square in each half, as long as the sound radius, makes the vote even: the radius
    # is exact. One that is longer, but shorter than what the other formula claims, turns the answer.
    assert total(sound / sqrt(2)) == pytest.approx(1.0)
    longer = 0.5 * (sound + claimed)
    assert longer < claimed
    assert total(longer / sqrt(2)) < 1.0

    certificate = DualRandomizedSmoothing(sigma=sigma, n=4000, n0=400)
    model = EvenAlone(even, odd)
    batch = AttackBatch(image, torch.tensor([0]), ("pair",), ONE)
    found = certify(certificate, model, batch)
    assert found[0, 0] == 0
    assert sound - 0.05 < found[0, 1] <= sound
    moved = image.clone()
    moved[0, 0, 0, :2] -= longer / sqrt(2)
    turned = certify(certificate, model, AttackBatch(moved, torch.tensor([0]), ("pair",), ONE))
    assert turned[0, 2] == 1
    # The bounds of the two halves hold together: the released formula would exceed what is true by far.
    low = [PHI.inv_cdf(p) * sigma for p in found[0, 4:].tolist()]
    assert sqrt(max(0.0, low[0]) ** 2 + max(0.0, low[1]) ** 2) > sound


def test_alpha_is_divided_between_the_halves() -> None:
    one, two = RandomizedSmoothing(alpha=0.001), DualRandomizedSmoothing(alpha=0.002)
    assert two.largest == pytest.approx(sqrt(2) * one.largest)
    certificate = DualRandomizedSmoothing(alpha=0.01, n=100)
    found = certificate.bounded([90, 80], 100)
    assert found.bounds == (lower_bound(90, 100, 0.005), lower_bound(80, 100, 0.005))
    assert certificate.bounded([100, 0], 100).radius == 0.0


# What cannot be asked for


def test_too_few_votes_are_refused_in_one_line() -> None:
    with pytest.raises(
        ValidationError, match=r"n: 9 votes certify nothing at alpha 0\.001, .* at least 10 are needed"
    ):
        RandomizedSmoothing(n=9)
    assert RandomizedSmoothing(n=10).largest > 0
    with pytest.raises(
        ValidationError, match=r"radius: 1000 votes .* certify at most 0\.\d+, not 1; take more votes"
    ):
        RandomizedSmoothing(sigma=0.25, n=1000, radius=1.0)
    with pytest.raises(ValidationError, match=r"at least 11 are needed"):
        DualRandomizedSmoothing(n=10)
