"""The quick way to a named stream is the documented one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clearsight.data.contract.rng import Rng


@given(seed=st.integers(-(2**63), 2**63), name=st.text(max_size=8))
def test_key_is_the_first_half_of_the_digest(seed, name):
    rng = Rng(seed).at(name)
    expected = np.random.Generator(np.random.Philox(key=rng.integer(128)))
    np.testing.assert_array_equal(rng.numpy().random(5), expected.random(5))
    np.testing.assert_array_equal(
        rng.numpy().integers(0, 2**64 - 1, 9, np.uint64),
        Rng(seed, (name,)).numpy().integers(0, 2**64 - 1, 9, np.uint64),
    )
