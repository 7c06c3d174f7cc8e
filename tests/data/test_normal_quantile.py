"""Normal quantiles: scipy's, to the last bit, without scipy."""

import numpy as np
import pytest
from scipy.special import ndtri

from clearsight.data.corruptions.normal_quantile import normal_quantile


def test_every_edge_of_the_table_of_normal_numbers_is_that_of_scipy():
    edges = np.arange(1, 1 << 16) / (1 << 16)
    assert np.array_equal(normal_quantile(edges), ndtri(edges))


def test_far_out_too():
    far = 10.0 ** -np.arange(1.0, 14.0)
    assert np.allclose(normal_quantile(far), ndtri(far), rtol=1e-13)
    assert normal_quantile(np.array([0.5])) == 0.0


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 1e-15, float("nan")])
def test_what_is_no_probability_or_too_near_to_0_or_1_is_refused(wrong):
    with pytest.raises(ValueError, match="a probability is from"):
        normal_quantile(np.array([wrong]))
