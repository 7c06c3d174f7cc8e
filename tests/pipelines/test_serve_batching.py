from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest
from asking import pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_onnx import CLASSES, tiny

from clearsight.data.contract.errors import DataError
from clearsight.data.media.lossless import StoredImage
from clearsight.pipelines.inference import compute
from clearsight.pipelines.inference.inputs import Arrived, arrived, wanted
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.serving.batching import Batching
from clearsight.pipelines.serving.limits import Budget, Counter, returned


@pytest.fixture
def session(tmp_path) -> Session:
    return Session(tiny(tmp_path / "m.onnx", gives=("logits", "image")), "cpu", 1)


@pytest.fixture
def sizes() -> list[int]:
    return []


@pytest.fixture
def batching(sizes) -> Iterator[Batching]:
    made = Batching(sizes.append)
    yield made
    made.close(10)


class Held:
    """Keeps the thread busy until it is let go."""

    def __init__(self, batching: Batching) -> None:
        self.event = threading.Event()
        batching.worker.submit(self.event.wait)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.event.set()


def image(session: Session, name: str, *shape: int) -> Arrived:
    return arrived(name, StoredImage(pixels(name, *shape)), wanted(session.deployed, None))


def test_answers_go_to_those_who_asked_and_equal_the_sessions(session, batching, sizes):
    shapes = [(8, 9, 3), (12, 8, 3), (7, 7, 3)]
    given_ = [image(session, str(at), *shapes[at % 3]) for at in range(42)]
    expected = session.classify([each.image.pixels for each in given_])
    restored = session.restore([each.image.pixels for each in given_])
    with Held(batching):
        asked = [
            batching.submit(session, each, top=1 + at % 3, wants_image=at % 2 == 0)
            for at, each in enumerate(given_)
        ]
    for at, future in enumerate(asked):
        found = future.result(20)
        assert found.error is None
        assert [label for label, _ in found.ranked] == [name for name, _ in expected.top(1 + at % 3)[at]]
        assert found.ranked[0][1] == pytest.approx(expected.probabilities[at].max(), abs=1e-6)
        assert (found.image is None) == (at % 2 == 1)
        if found.image is not None:
            assert np.array_equal(found.image, restored[at])
    # Everything of a size that waited went along in one batch.
    assert sizes == [14, 14, 14]


def test_batches_are_as_large_as_the_session_says(session, batching, sizes, monkeypatch):
    monkeypatch.setattr(Session, "batch", lambda self, height, width: 4)
    with Held(batching):
        asked = [
            batching.submit(session, image(session, str(at), 8, 8, 3), top=1, wants_image=False)
            for at in range(10)
        ]
    assert {each.result(20).ranked[0][0] for each in asked} <= set(CLASSES)
    assert sizes == [4, 4, 2]


def test_a_poisoned_image_spoils_only_itself(session, batching, monkeypatch):
    inner = compute.Computer._outputs
    bad = pixels("2", 8, 8, 3)

    def picky(self, images):
        if any(np.array_equal(each, bad) for each in images):
            raise DataError("spoilt")
        return inner(self, images)

    monkeypatch.setattr(compute.Computer, "_outputs", picky)
    with Held(batching):
        asked = [
            batching.submit(session, image(session, str(at), 8, 8, 3), top=1, wants_image=True)
            for at in range(5)
        ]
    found = [each.result(20) for each in asked]
    assert [each.error is not None for each in found] == [False, False, True, False, False]


def test_what_nobody_foresaw_reaches_those_who_asked_and_the_thread_lives_on(session, batching, monkeypatch):
    inner = compute.Computer.__call__
    monkeypatch.setattr(compute.Computer, "__call__", lambda self, block: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        batching.submit(session, image(session, "a", 8, 8, 3), top=1, wants_image=False).result(20)
    monkeypatch.setattr(compute.Computer, "__call__", inner)
    assert batching.submit(session, image(session, "a", 8, 8, 3), top=1, wants_image=False).result(20).ranked


def test_cancelled_images_are_never_computed(session, batching, sizes):
    with Held(batching):
        asked = [
            batching.submit(session, image(session, str(at), 8, 8, 3), top=1, wants_image=False)
            for at in range(6)
        ]
        for each in asked[::2]:
            assert each.cancel()
    assert all(each.result(20).ranked for each in asked[1::2])
    assert sizes == [3]
    held = Held(batching)
    last = batching.submit(session, image(session, "x", 8, 8, 3), top=1, wants_image=False)
    threading.Timer(0.1, held.event.set).start()
    batching.close(10)
    with pytest.raises(CancelledError):
        last.result(0)


def test_a_budget_is_shared_out_in_turn():
    async def work() -> list[str]:
        budget, order = Budget(10), []

        async def one(name: str, amount: int) -> None:
            with returned(await budget.take(amount)) as share:
                order.append(name)
                await asyncio.sleep(0.01)
                share.shrink(amount // 2)
                await asyncio.sleep(0.01)

        # The small one does not overtake the large one; more than there is takes everything.
        tasks = [asyncio.create_task(one(*each)) for each in (("a", 8), ("large", 99), ("b", 1), ("c", 2))]
        await asyncio.gather(*tasks)
        assert budget.free == 10
        return order

    assert asyncio.run(work()) == ["a", "large", "b", "c"]


@settings(max_examples=60, deadline=None)
@given(
    amounts=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    cancelled=st.sets(st.integers(0, 11)),
    steps=st.integers(0, 6),
)
def test_nothing_of_a_budget_is_lost_whoever_leaves(amounts, cancelled, steps):
    async def work() -> None:
        budget, held = Budget(10), Counter(10)

        async def one(amount: int) -> None:
            with returned(await budget.take(amount)):
                assert held.add(min(amount, 10))
                try:
                    await asyncio.sleep(0)
                finally:
                    held.remove(min(amount, 10))

        tasks = [asyncio.create_task(one(each)) for each in amounts]
        for _ in range(steps):
            await asyncio.sleep(0)
        for at in cancelled:
            if at < len(tasks):
                tasks[at].cancel()
        found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert all(each is None or isinstance(each, asyncio.CancelledError) for each in found)
        assert (budget.free, held.held, list(budget.waiting)) == (10, 0, [])

    asyncio.run(work())
