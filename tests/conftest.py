"""Fixtures for every room, and settings that keep results equal on every machine."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import typed
from hypothesis import settings

if TYPE_CHECKING:
    from clearsight.pipelines.config.evaluate import Evaluate

CHECKED = (
    *("config", "runs", "systems", "metrics", "utility", "checks", "analysis", "report"),
    *("evaluation", "fitting", "tuning", "audit", "advice", "restoring"),
)
"""Sub-packages of pipelines whose annotations are checked: all but training, whose tests hand in stand-ins, and
those that end in a file, a process or a socket (cli, api, export, inference, serving)."""

torch.set_num_threads(1)
typed.install(
    "clearsight.data",
    "clearsight.defend",
    *(f"clearsight.pipelines.{name}" for name in CHECKED),
    # Not `restore.training`, whose tests hand in stand-ins for restorers.
    *(f"clearsight.restore.{name}" for name in ("base", "noise_conditioned", "classical", "learned", "ops")),
)
# Equal examples on every machine and in every run, however slow: the first call of a function builds its checks.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

LEGACY_NUMPY = ("seed", "rand", "randn", "randint", "random", "normal", "uniform", "choice", "shuffle")
PYTHON = ("seed", "random", "randint", "uniform", "gauss", "choice", "choices", "shuffle", "sample")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Leave annotations unchecked in tests marked ``wrong_types``, which say why."""
    marker = item.get_closest_marker("wrong_types")
    if marker is None:
        return (yield)
    (_reason,) = marker.args
    with typed.unchecked():
        return (yield)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the development data sets."""
    told = os.environ.get("CLEARSIGHT_DATA")
    if not told or not Path(told).is_dir():
        pytest.skip("CLEARSIGHT_DATA does not name the folder with the development data")
    return Path(told)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 30 noisy images of three colours, 24x20, in class folders."""
    from toy_images import write_images

    # Folders are sorted by name, so blue is class 0; the toy's class 0 is the red channel.
    return write_images(tmp_path / "images", 30, (20, 24), ("blue", "green", "red"), digits=3)


@pytest.fixture
def make_config(images: Path) -> Callable[..., Evaluate]:
    """Make configs of runs over `images`, with changed fields."""
    from clearsight.pipelines.config.evaluate import Evaluate

    def make(**changes: Any) -> Evaluate:
        base: dict[str, Any] = {
            "task": "evaluate",
            "name": "toy",
            "chunk": 8,
            "data": {"kind": "folder", "path": str(images)},
            "parts": {
                "median": {"kind": "median"},
                "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
            },
            "systems": {"plain": ["classify"], "restored": ["median", "classify"]},
            "conditions": {
                "clean": {"kind": "identity"},
                "noise": {"kind": "gaussian_noise", "each": {"severity": [3, 5]}},
            },
            "compare": {"baseline": "plain"},
            "images": 2,
        }
        return Evaluate.model_validate(base | changes)

    return make


@pytest.fixture
def no_global_rng(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test if the generators of ``random``, ``numpy.random`` or ``torch`` are drawn from or seeded.

    The module functions of ``random`` and ``numpy.random`` raise where they are called. Draws from torch's
    default generator happen in C++ and cannot be caught there: its state is compared at the end, as are the
    states of the other two (a function that was imported by name escapes the patch, not the comparison).
    """

    def refuse(name: str) -> object:
        def fail(*_: object, **__: object) -> None:
            raise AssertionError(
                f"{name} draws from a global generator: use clearsight.data.contract.rng.Rng"
            )

        return fail

    before = _states()
    for module, names in ((random, PYTHON), (np.random, LEGACY_NUMPY)):
        for name in names:
            monkeypatch.setattr(module, name, refuse(f"{module.__name__}.{name}"))
    monkeypatch.setattr(torch, "manual_seed", refuse("torch.manual_seed"))
    yield
    monkeypatch.undo()
    for name, (then, now) in {k: (before[k], v) for k, v in _states().items()}.items():
        assert then == now, f"the global generator of {name} was used: use clearsight.data.contract.rng.Rng"


def _states() -> dict[str, object]:
    state: Any = np.random.get_state()  # noqa: NPY002
    kind, keys, *rest = state
    return {
        "random": random.getstate(),
        "numpy": (kind, keys.tobytes(), *rest),
        "torch": torch.default_generator.get_state().numpy().tobytes(),
    }
