"""Commands that are killed half-way end with the bytes of an undisturbed call; `kills.py` does it more often."""

from __future__ import annotations

import pytest
from kills import COMMANDS, kill_and_compare


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("place", "name"), list(enumerate(COMMANDS)))
def test_a_killed_command_ends_the_same(place: int, name: str) -> None:
    assert kill_and_compare(name, kills=2, first=place) > 0
