"""Machines of a Ray cluster that die in the middle of a run: the results are those of an undisturbed one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.executors.choice import Backend
from clearsight.pipelines.cli.configs import read_evaluate
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run

pytest.importorskip("ray", reason="Ray is not installed: pip install 'clearsight[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.filterwarnings("default")]

SIGNS: dict[str, Any] = {
    "task": "evaluate",
    "name": "killed",
    "chunk": 4,
    "data": {"kind": "signs", "split": "test", "count": 12},
    "parts": {"median": {"kind": "median"}, "net": {"kind": "small_convnet", "weights": "signs-standard-v1"}},
    "systems": {"plain": ["net"], "median": ["median", "net"]},
    "conditions": {"clean": {"kind": "identity"}, "noise": {"kind": "gaussian_noise", "severity": 3}},
    "images": 2,
}
ATTACKED = SIGNS | {
    "chunk": 2,
    "data": {"kind": "signs", "split": "test", "count": 2},
    "systems": {"plain": ["net"]},
    "conditions": {"clean": {"kind": "identity"}},
    # Of its members two: the whole would take minutes.
    "attacks": {"aa": {"kind": "autoattack", "version": "rand", "norm": "linf", "eps": 0.004}},
}


@contextmanager
def two_raylets() -> Iterator[list[Any]]:
    """A cluster of three raylets, of which two have one CPU each and the first, the driver's, none."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        os.environ["RAY_ADDRESS"] = cluster.address
        yield nodes
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        ray.shutdown()
        cluster.shutdown()


def pid_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def busy(node: Any) -> bool:
    """Whether a worker of this raylet does a unit: Ray names its processes after what they do."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid_of(node) and b"ray::_do" in (path / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def killed_in_the_middle(config: Evaluate, root: Path, ready: Callable[[RunFolder], bool]) -> RunFolder:
    with two_raylets() as nodes:
        over = threading.Event()

        def kill() -> None:
            while not over.is_set():
                begun = [RunFolder(path) for path in root.glob("*") if ready(RunFolder(path))]
                if begun and (at_work := [node for node in nodes if busy(node)]):
                    os.kill(pid_of(at_work[-1]), signal.SIGKILL)
                    return
                time.sleep(0.05)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            return run(config, root=root, device="cpu", backend=Backend("ray"))
        finally:
            over.set()
            killer.join()


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("content", "ready"),
    [
        (SIGNS, lambda folder: any(folder.cells.glob("*/seal-*.json"))),
        (ATTACKED, lambda folder: any(folder.cells.glob("*/partial-*.safetensors"))),
        (None, lambda folder: len(list(folder.cells.glob("*/seal-*.json"))) > 20),
    ],
    ids=["corrupted", "autoattack", "quickstart"],
)
def test_a_killed_raylet_changes_no_byte(
    content: dict[str, Any] | None, ready: Callable[[RunFolder], bool], tmp_path: Path
) -> None:
    config = read_evaluate(Path("quickstart"))[1] if content is None else Evaluate.model_validate(content)
    whole = run(config, root=tmp_path / "local", workers=1, device="cpu")
    folder = killed_in_the_middle(config, tmp_path / "ray", ready)
    assert "its machine died" in folder.log.read_text()
    assert folder.results.read_bytes() == whole.results.read_bytes()
    assert {path.name for path in folder.images.iterdir()} == {path.name for path in whole.images.iterdir()}
    assert not list(folder.cells.glob("*/partial-*"))
