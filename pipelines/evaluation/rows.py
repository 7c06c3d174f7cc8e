"""Batches of one image size, and the per-image rows that a system's outputs make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from clearsight.data.contract.sample import Sample
from clearsight.data.contract.spec import Flow
from clearsight.pipelines.metrics.base import BEFORE, Measurement, Need
from clearsight.pipelines.runs.folder import Row
from clearsight.pipelines.systems.graph import Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clearsight.data.contract.boxes import Boxes
    from clearsight.pipelines.metrics.base import Seen


@dataclass(frozen=True)
class Batch:
    """Images of one size out of a chunk.

    Attributes:
        members: their positions in the chunk.
        images: float32 (n, c, h, w) in [0, 1], corrupted, what enters a system.
        clean: the same before the corruption.
        corrupted: False where the corruption is the identity.
        labels: (n,), None where one of them is not known.
        boxes: (n, k, 6), the true boxes as measurements get them; None where they are not known.
        columns: what was measured of the images before any system saw them.
    """

    members: list[int]
    images: Tensor
    clean: Tensor
    corrupted: bool
    labels: Tensor | None
    columns: Mapping[str, list[Any]]
    boxes: Tensor | None = None


def by_shape(
    samples: Sequence[Sample],
    inputs: Sequence[NDArray[np.uint8]],
    *,
    clean: bool,
    measurements: Sequence[Measurement],
) -> list[Batch]:
    """Return the chunk's images by size.

    Args:
        samples: the images as they were read.
        inputs: the same, corrupted.
        clean: True where the corruption is the identity.
        measurements: what is measured; those that need no system are made here, once for all systems.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault(sample.image.shape, []).append(i)
    out = []
    for members in groups.values():
        reference = to_tensor([samples[i].image for i in members])
        images = to_tensor([inputs[i] for i in members])
        labels = [samples[i].truth for i in members]
        known = None if None in labels else torch.tensor(labels)
        seen: dict[Need, Tensor] = {"reference": reference}
        if not clean:
            seen["corrupted"] = images
        columns = _measured(seen, [each for each in measurements if each.needs <= BEFORE])
        boxes = _padded([samples[i].boxes for i in members])
        out.append(Batch(members, images, reference, not clean, known, columns, boxes))
    return out


def rows_of(
    graph: Graph,
    values: Mapping[str, Tensor],
    batch: Batch,
    measurements: Sequence[Measurement],
    *,
    attacked: Tensor | None = None,
    votes: Tensor | None = None,
    sets: Tensor | None = None,
) -> list[Row]:
    """Return one row an image of the batch: the prediction, and what was measured.

    Args:
        graph: the system.
        values: the outputs of its nodes, by name.
        batch: what it was given before any attack.
        measurements: what is measured.
        attacked: (n, c, h, w), what it was given if it was attacked.
        votes: (n,), the class that most fresh draws predict, if the system is random.
        sets: (n, classes), the conformal sets, if the system gives any.
    """
    seen: dict[Need, Tensor | None] = {
        "reference": batch.clean,
        "corrupted": batch.images if batch.corrupted else None,
        "entered": batch.images if batch.corrupted else None,
        "labels": batch.labels,
        "boxes": batch.boxes,
        "votes": None if votes is None else votes.cpu(),
        "sets": None if sets is None else sets.cpu(),
    }
    columns: dict[str, list[Any]] = {}
    if attacked is not None:
        seen["entered"] = attacked.cpu()
    if graph.gives is Flow.LOGITS:
        seen["logits"] = logits = values[graph.steps[-1].name].float().cpu()
        columns |= _scores(logits, batch.labels)
    if graph.screen:
        seen["suspicion"] = values[graph.screen].float().cpu()
    if graph.gives is Flow.BOXES:
        seen["detections"] = _in_pixels_of(batch.clean, graph, values)
    if graph.restored and values[graph.restored].shape == batch.clean.shape:
        seen["restored"] = values[graph.restored].float().cpu()
    there = {need: tensor for need, tensor in seen.items() if tensor is not None}
    columns |= _measured(there, [each for each in measurements if not each.needs <= BEFORE])
    columns |= batch.columns
    return [{name: column[i] for name, column in columns.items()} for i in range(len(batch.members))]


def _padded(boxes: Sequence[Boxes | None]) -> Tensor | None:
    """Return the true boxes of images (n, k, 6), filled up with class -1; None where one's are not known."""
    known = [each.items for each in boxes if each is not None]
    if len(known) < len(boxes):
        return None
    out = torch.zeros(len(known), max(map(len, known)), 6, dtype=torch.float64)
    out[:, :, 4] = -1
    for row, items in zip(out, known, strict=True):
        if items:
            row[: len(items)] = torch.tensor(items, dtype=torch.float64)
    return out


def _in_pixels_of(images: Tensor, graph: Graph, values: Mapping[str, Tensor]) -> Tensor:
    """Return a system's boxes in pixels of these images: a restorer before the detector may enlarge them."""
    last = graph.steps[-1]
    entered, found = values[last.inputs[0]], values[last.name].float().cpu().clone()
    factors = [have / given for have, given in zip(images.shape[2:], entered.shape[2:], strict=True)]
    # Height and width of images, x and y of boxes.
    found[:, :, :4] *= torch.tensor([factors[1], factors[0]] * 2)
    return found


def _scores(logits: Tensor, labels: Tensor | None) -> dict[str, list[Any]]:
    """Return the columns that every run has though no metric measures them."""
    columns = {"prediction": logits.softmax(1).max(1).indices}
    if labels is not None:
        right = labels[:, None]
        others = logits.scatter(1, right, -torch.inf).amax(1)
        columns["margin"] = logits.gather(1, right)[:, 0] - others
    return {name: column.tolist() for name, column in columns.items()}


def _measured(seen: Seen, measurements: Sequence[Measurement]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for measurement in measurements:
        columns |= measurement.measured(seen)
    return columns


def to_tensor(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return images (h, w, c) as float32 (n, c, h, w) in [0, 1]."""
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return stacked.to(torch.float32).div_(255).contiguous()


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """Return one image (c, h, w) in [0, 1] as uint8 (h, w, c)."""
    scaled = image.float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous().numpy()
