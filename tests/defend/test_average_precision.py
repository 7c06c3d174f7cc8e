"""Average precision: closed forms, plain loops written from the rules, and pycocotools where it is installed."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np
import pytest

from clearsight.defend.average_precision import (
    Matched,
    average_precision,
    joined,
    over_classes,
    recall_at_precision,
)
from clearsight.defend.box_matching import EVERY, THRESHOLDS, match, overlaps

ALL = range(len(THRESHOLDS))
CASES = 50
Image = dict[str, np.ndarray]


def case(seed: int) -> list[Image]:
    """Return images with crowds, ties of scores and of overlaps, empty ones, and classes without any box."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    classes = int(rng.integers(1, 5))
    images = []
    for _ in range(int(rng.integers(1, 12))):
        true = int(rng.choice([0, 1, 3, 9]))
        boxes = np.concatenate([rng.integers(0, 40, (true, 2)), rng.integers(1, 30, (true, 2))], 1).astype(
            float
        )
        labels = rng.integers(0, classes, true)
        # Most detections lie near a true box; whole numbers make overlaps exact, and often equal.
        found = int(rng.choice([0, 2, 12, 130]))
        if true:
            near = rng.integers(0, true, found)
            moved = boxes[near] + rng.integers(-3, 4, (found, 4))
            told = np.where(rng.random(found) < 0.8, labels[near], rng.integers(0, classes, found))
        else:
            moved = rng.integers(1, 30, (found, 4)).astype(float)
            told = rng.integers(0, classes, found)
        moved[:, 2:] = moved[:, 2:].clip(min=1)
        images.append(
            {
                "true": boxes,
                "true_labels": labels,
                "crowd": rng.random(true) < 0.25,
                "found": moved,
                "scores": rng.integers(0, 9, found) / 8 if seed % 2 else rng.random(found),
                "labels": told,
            }
        )
    return images


def ours(images: list[Image]) -> Matched:
    bits = [
        match(*(each[n] for n in ("found", "scores", "labels", "true", "true_labels", "crowd")))
        for each in images
    ]
    return joined(
        [each["scores"] for each in images],
        [each["labels"] for each in images],
        [matched for matched, _ in bits],
        [ignored for _, ignored in bits],
        [each["true_labels"][~each["crowd"]] for each in images],
    )


def overlap(one: np.ndarray, other: np.ndarray, crowd: bool) -> float:
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    inter = max(wide, 0) * max(high, 0)
    area = one[2] * one[3]
    return inter / (area if crowd else area + other[2] * other[3] - inter)


def finds(image: Image, k: int, free: list[int], threshold: float) -> int | None:
    """Return which of the boxes that are free detection k finds: real ones before crowds."""
    for crowd in (False, True):
        best, most = None, min(threshold, 1 - 1e-10)
        for g in free:
            if bool(image["crowd"][g]) == crowd:
                share = overlap(image["found"][k], image["true"][g], crowd)
                if share >= most:
                    best, most = g, share
        if best is not None:
            return best
    return None


def by_loops(images: list[Image], label: int, threshold: float) -> float | None:
    """Average precision of a class, as the rules say it, detection by detection."""
    rows: list[tuple[float, int, int, str]] = []
    truths = 0
    for number, image in enumerate(images):
        true = [k for k in range(len(image["true"])) if image["true_labels"][k] == label]
        truths += sum(not image["crowd"][k] for k in true)
        mine = [k for k in range(len(image["found"])) if image["labels"][k] == label]
        mine.sort(key=lambda k: -image["scores"][k])
        taken: set[int] = set()
        for rank, k in enumerate(mine[:100]):
            best = finds(image, k, [g for g in true if g not in taken], threshold)
            if best is not None and not image["crowd"][best]:
                taken.add(best)
            kind = "miss" if best is None else "crowd" if image["crowd"][best] else "hit"
            rows.append((-image["scores"][k], number, rank, kind))
    if not truths:
        return None
    hits = false = 0
    points = []
    for *_, kind in sorted(rows):
        hits += kind == "hit"
        false += kind == "miss"
        if kind != "crowd":
            points.append((hits / truths, hits / (hits + false)))
    total = 0.0
    for recall in np.linspace(0, 1, 101):
        total += max((p for r, p in points if r >= recall), default=0.0)
    return total / 101


def by_pycocotools(images: list[Image]) -> tuple[float, float]:
    """Return AP50:95 and AP50."""
    pytest.importorskip("pycocotools")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        told: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
        results = []
        for number, image in enumerate(images):
            told["images"].append({"id": number + 1, "height": 100, "width": 100})
            for box, label, crowd in zip(image["true"], image["true_labels"], image["crowd"], strict=True):
                told["annotations"].append(
                    {
                        "id": len(told["annotations"]) + 1,
                        "image_id": number + 1,
                        "category_id": int(label) + 1,
                        "bbox": box.tolist(),
                        "area": float(box[2] * box[3]),
                        "iscrowd": int(crowd),
                    }
                )
            results += [
                {
                    "image_id": number + 1,
                    "category_id": int(label) + 1,
                    "bbox": box.tolist(),
                    "score": float(score),
                }
                for box, label, score in zip(image["found"], image["labels"], image["scores"], strict=True)
            ]
        told["categories"] = [{"id": n + 1, "name": str(n)} for n in range(5)]
        if not results:
            return 0.0, 0.0
        true = COCO()
        true.dataset = told
        true.createIndex()
        evaluation = COCOeval(true, true.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        precision = evaluation.eval["precision"][:, :, :, 0, -1]

    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else -1.0

    return mean(precision), mean(precision[0])


@pytest.mark.parametrize("seed", range(CASES))
def test_equal_to_pycocotools(seed: int) -> None:
    images = case(seed)
    found = ours(images)
    values = [over_classes(average_precision(found, found.once(), which))[0] for which in (ALL, [0])]
    for mine, theirs in zip(values, by_pycocotools(images), strict=True):
        assert (-1.0 if np.isnan(mine) else mine) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("seed", range(0, CASES, 5))
def test_equal_to_plain_loops(seed: int) -> None:
    images = case(seed)
    found = ours(images)
    for t in (0, 3, 9):
        values = dict(zip(found.classes, average_precision(found, found.once(), [t])[0], strict=True))
        for label in range(5):
            expected = by_loops(images, label, THRESHOLDS[t])
            assert (label in values) == (expected is not None)
            if expected is not None:
                assert values[label] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", [2, 6, 12, 26])  # without equal scores, whose order copies would change
def test_weights_stand_for_copies_of_images(seed: int) -> None:
    images = case(seed)
    found = ours(images)
    rng = np.random.Generator(np.random.Philox(key=seed))
    weights = rng.multinomial(len(images), np.ones(len(images)) / len(images), size=5)
    fast = average_precision(found, weights, ALL)
    recall = recall_at_precision(found, weights, 0, 0.5)
    for b, often in enumerate(weights):
        copies = ours([image for image, n in zip(images, often, strict=True) for _ in range(n)])
        places = [found.classes.index(label) for label in copies.classes]
        slow = average_precision(copies, copies.once(), ALL)[0]
        assert fast[b][places] == pytest.approx(slow, abs=1e-12)
        assert recall[b][places] == pytest.approx(recall_at_precision(copies, copies.once(), 0, 0.5)[0])
        others = [k for k in range(len(found.classes)) if k not in places]
        assert np.isnan(fast[b][others]).all()
        assert over_classes(fast)[b] == pytest.approx(slow.mean()) if len(slow) else True


def one_class(*outcomes: bool, true: int) -> Matched:
    """Return detections of one image in falling order of their scores: True finds a box at every threshold."""
    n = len(outcomes)
    bits = np.where(outcomes, EVERY, 0)
    zeros = np.zeros(n, np.int64)
    return joined([np.arange(n, 0, -1.0)], [zeros], [bits], [zeros], [np.zeros(true, np.int64)])


def test_closed_forms() -> None:
    # One of two boxes first: recalls 0 to 0.5 (51 of 101) at precision 1.
    found = one_class(True, true=2)
    assert average_precision(found, found.once(), ALL)[0, 0] == pytest.approx(51 / 101)
    # A false alarm first: both boxes at precision 2/3 at the end, made non-increasing.
    found = one_class(False, True, True, true=2)
    assert average_precision(found, found.once(), [0])[0, 0] == pytest.approx(2 / 3)
    assert recall_at_precision(found, found.once(), 0, 2 / 3)[0, 0] == 1.0
    assert recall_at_precision(found, found.once(), 0, 0.67)[0, 0] == 0.0
    assert recall_at_precision(one_class(True, False, True, true=2), found.once(), 0, 0.9)[0, 0] == 0.5
    nothing = one_class(true=3)
    assert average_precision(nothing, nothing.once(), ALL).tolist() == [[0.0]]
    unknown = one_class(True, true=0)
    assert average_precision(unknown, unknown.once(), ALL).shape == (1, 0)
    assert np.isnan(over_classes(average_precision(unknown, unknown.once(), ALL))).all()


def test_overlaps_of_known_boxes() -> None:
    found = np.array([[0.0, 0, 2, 2], [5, 5, 1, 1]])
    true = np.array([[1.0, 0, 2, 2], [0, 0, 4, 4]])
    share = overlaps(found, true, np.array([False, True]))
    assert share.tolist() == [[2 / 6, 1.0], [0.0, 0.0]]
    empty = overlaps(np.zeros((1, 4)), np.zeros((1, 4)), np.array([False]))
    assert empty.tolist() == [[0.0]]


def test_the_second_detection_of_a_box_is_a_false_alarm_and_a_crowd_is_neither() -> None:
    boxes = np.array([[0.0, 0, 10, 10]] * 3 + [[50.0, 50, 5, 5]])
    matched, ignored = match(
        boxes,
        np.array([0.5, 0.9, 0.7, 0.3]),
        np.zeros(4, int),
        np.array([[0.0, 0, 10, 10], [40, 40, 60, 60]]),
        np.zeros(2, int),
        np.array([False, True]),
    )
    assert matched.tolist() == [0, EVERY, 0, 0]
    assert ignored.tolist() == [0, 0, 0, EVERY]
