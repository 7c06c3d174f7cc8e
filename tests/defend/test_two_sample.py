"""The two-sample test: its size, its power, its statistic by hand, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.defend.uncertainty.two_sample import SemanticKernel, discrepancy, two_sample


def drawn(n: int, name: str, shift: float = 0.0) -> Tensor:
    return torch.randn(n, 6, generator=Rng(0).at(name).torch()) + shift


def p_of(first: Tensor, second: Tensor, name: str, permutations: int = 39) -> float:
    both = torch.cat([first, second])
    return two_sample(
        SemanticKernel.median(first, first)(both, both), len(first), Rng(1).at(name), permutations
    ).p


def test_the_statistic_is_the_distance_of_mean_embeddings() -> None:
    # With a linear kernel it is the squared distance of the means.
    first, second = drawn(7, "a"), drawn(5, "b", 1.0)
    both = torch.cat([first, second])
    expected = (first.mean(0) - second.mean(0)).square().sum()
    assert torch.allclose(discrepancy(both @ both.T, 7), expected, atol=1e-5)


def test_equal_distributions_are_suspected_no_more_often_than_promised() -> None:
    found = [p_of(drawn(20, f"a{i}"), drawn(20, f"b{i}"), str(i)) for i in range(150)]
    # Three standard errors above the promise.
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert 0.4 < np.mean(found) < 0.6


def test_another_distribution_is_found() -> None:
    found = [p_of(drawn(20, f"a{i}"), drawn(20, f"b{i}", 1.5), str(i)) for i in range(20)]
    assert np.mean(np.array(found) <= 0.05) == 1.0


def test_the_kernel_is_a_likeness_and_features_count_beside_pixels() -> None:
    features, pixels = drawn(6, "f"), drawn(6, "p").view(6, 1, 2, 3)
    kernel = SemanticKernel.median(features, pixels)
    likeness = kernel(features, pixels)
    assert torch.allclose(likeness.diagonal(), torch.ones(6))
    assert torch.allclose(likeness, likeness.T)
    assert float(torch.linalg.eigvalsh(likeness.double()).min()) > -1e-6
    assert not torch.allclose(likeness, kernel(features.flip(0), pixels))
    assert not torch.allclose(likeness, kernel(features, pixels.flip(0)))
    leaf = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discrepancy(kernel(leaf, pixels), 3), leaf)
    assert gradient.abs().sum() > 0


def test_equal_sets_and_equal_calls() -> None:
    same = drawn(8, "same")
    both = torch.cat([same, same])
    likeness = SemanticKernel.median(same, same)(both, both)
    found = two_sample(likeness, 8, Rng(2))
    assert found.statistic == pytest.approx(0, abs=1e-6)
    assert found.p == 1.0
    assert found == two_sample(likeness, 8, Rng(2))


def test_too_few_images_and_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="sets of 3 and 5 images cannot be compared; take at least 4 each"):
        two_sample(torch.ones(8, 8), 3, Rng(0))
    with pytest.raises(DataError, match="not finite"):
        two_sample(torch.full((8, 8), torch.nan), 4, Rng(0))
