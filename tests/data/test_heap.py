"""Memory that was freed is used again without asking the system for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from clearsight.data.heap import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(16 * 2**20)  # 128 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
took = keep_freed_memory()
faults()
print(int(took), usual, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of glibc's malloc")
def test_large_blocks_are_used_again() -> None:
    said = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout
    took, usual, kept = map(int, said.split())
    if not took:
        pytest.skip("this C library has no mallopt")
    # Without it, the system hands out (and clears) every page of every block anew.
    assert kept < usual / 10


def test_other_systems_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from clearsight.data.heap import keep_freed_memory

    monkeypatch.setattr(sys, "platform", "win32")
    assert not keep_freed_memory()
