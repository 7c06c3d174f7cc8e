"""Units on a Ray cluster of this machine: results, files, errors, dead processes and hanging ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import ray_units
from ray_units import pack, start_adding

from clearsight.data.contract.errors import RunError
from clearsight.data.executors.choice import Backend, executor_for
from clearsight.data.executors.resources import Resources

pytest.importorskip("ray", reason="Ray is not installed: pip install 'clearsight[ray]'")


@pytest.fixture(scope="module")
def ray_of_one() -> Iterator[None]:
    """Let workers find the tests' modules, and stop the cluster that the first test starts."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(ray_units.__file__).parent), prepend=os.pathsep)
        yield
        ray.shutdown()


def done(folder: Path, units: list[int], seconds: float | None = None) -> dict[int, int]:
    backend = Backend("ray", resources=Resources(seconds=seconds))
    executor = executor_for(units, 1, where="here", backend=backend)
    with closing(executor.map(start_adding, folder, units, pack(folder))) as results:
        return dict(results)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("ray_of_one")
def test_units_come_back_from_ray_with_their_files(tmp_path: Path) -> None:
    assert done(tmp_path, [3, 11, 12]) == {3: 3, 11: 21, 12: 22}
    assert {path.name: path.read_text() for path in (tmp_path / "sums").iterdir()} == {
        "3": "3",
        "11": "21",
        "12": "22",
    }
    with pytest.raises(ValueError, match="13 is not for adding"):
        done(tmp_path, [13])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("ray_of_one")
def test_a_unit_whose_process_dies_or_hangs_goes_on_from_what_it_had_posted(tmp_path: Path) -> None:
    assert done(tmp_path, [14]) == {14: 24}
    assert done(tmp_path, [15], seconds=3.0) == {15: 25}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sums"]
    with pytest.raises(RunError, match="here: 16 failed 3 times, at last: its process died"):
        done(tmp_path, [16])
