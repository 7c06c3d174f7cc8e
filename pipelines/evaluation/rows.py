"""Batches of one image size, and the per-image rows that a system's outputs make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.sample import Sample
from clearsight.data.contract.spec import Flow
from clearsight.pipelines.runs.folder import Row
from clearsight.pipelines.systems.graph import Graph
from clearsight.restore.quality.niqe import niqe
from clearsight.restore.quality.psnr_ssim import luminance, psnr, ssim

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """Images of one size out of a chunk.

    Attributes:
        members: their positions in the chunk.
        images: (n, c, h, w), corrupted, what enters a system.
        clean: (n, c, h, w), before the corruption.
        labels: (n,), None where one of them is not known.
        psnr_in: of ``images`` against ``clean``; None where they are the same.
        ssim_in: the same, where it is wanted.
    """

    members: list[int]
    images: Tensor
    clean: Tensor
    labels: Tensor | None
    psnr_in: list[float | None]
    ssim_in: list[float | None]


def by_shape(
    samples: Sequence[Sample], inputs: Sequence[NDArray[np.uint8]], *, clean: bool, extra: frozenset[str]
) -> list[Batch]:
    """Return the chunk's images by size.

    Args:
        samples: the images as they were read.
        inputs: the same, corrupted.
        clean: True where the corruption is the identity.
        extra: costly columns that are wanted.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault(sample.image.shape, []).append(i)
    out = []
    for members in groups.values():
        truth = to_tensor([samples[i].image for i in members])
        images = to_tensor([inputs[i] for i in members])
        labels = [samples[i].label for i in members]
        known = None if None in labels else torch.tensor(labels)
        nothing: list[float | None] = [None] * len(members)
        before = nothing if clean else psnr(images, truth).tolist()
        similar = nothing if clean or "ssim_in" not in extra else ssim(images, truth).tolist()
        out.append(Batch(members, images, truth, known, before, similar))
    return out


def rows_of(graph: Graph, values: dict[str, Tensor], batch: Batch, extra: frozenset[str]) -> list[Row]:
    """Return one row an image of the batch: scores, and the quality of what was restored.

    Args:
        graph: the system.
        values: the outputs of its nodes, by name.
        batch: what went in.
        extra: costly columns that are wanted.
    """
    columns: dict[str, list[float | None]] = {"psnr_in": batch.psnr_in, "ssim_in": batch.ssim_in}
    if graph.gives is Flow.LOGITS:
        columns |= _scores(values[graph.steps[-1].name].float().cpu(), batch.labels)
    if graph.restored and values[graph.restored].shape == batch.clean.shape:
        restored = values[graph.restored].float().cpu()
        columns["psnr_out"] = psnr(restored, batch.clean).tolist()
        columns |= _extra(restored, batch.clean, extra)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _extra(restored: Tensor, clean: Tensor, extra: frozenset[str]) -> dict[str, list[float | None]]:
    """Return the wanted ones of the columns that compare restored and clean images."""
    known: dict[str, Callable[[], Tensor]] = {
        "ssim_out": lambda: ssim(restored, clean),
        "psnr_y_out": lambda: psnr(luminance(restored), luminance(clean)),
        "ssim_y_out": lambda: ssim(luminance(restored), luminance(clean)),
        "niqe_out": lambda: niqe(restored),
    }
    return {name: measure().tolist() for name, measure in known.items() if name in extra}


def _scores(logits: Tensor, labels: Tensor | None) -> dict[str, list[float | None]]:
    probabilities = logits.softmax(1)
    confidence, prediction = probabilities.max(1)
    out = {"prediction": prediction, "confidence": confidence}
    if labels is not None:
        right = labels[:, None]
        others = logits.scatter(1, right, -torch.inf).amax(1)
        out |= {
            "correct": prediction == labels,
            "loss": functional.cross_entropy(logits, labels, reduction="none"),
            "brier": (probabilities - functional.one_hot(labels, logits.shape[1])).square().sum(1),
            "margin": logits.gather(1, right)[:, 0] - others,
        }
    return {name: column.tolist() for name, column in out.items()}


def to_tensor(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return images (h, w, c) as float32 (n, c, h, w) in [0, 1]."""
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return stacked.to(torch.float32).div_(255).contiguous()


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """Return one image (c, h, w) in [0, 1] as uint8 (h, w, c)."""
    scaled = image.float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous().numpy()
