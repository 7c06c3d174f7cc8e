"""What a lower precision costs: accuracy and PSNR of a converted file, paired with its fp32 one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.contract.spec import kind_of
from clearsight.data.finite import refuse_non_finite
from clearsight.data.paired_family import score_interval
from clearsight.data.statistics import paired_bootstrap, wilson
from clearsight.pipelines.export.sample_images import CORRUPTIONS, SampleImages, at_size, batch, corrupted
from clearsight.pipelines.export.verify import Runner
from clearsight.pipelines.export.wrap import Form
from clearsight.restore.quality.psnr_ssim import psnr

BATCH = 16
FP32 = "use --variant fp32"


@dataclass
class Cost:
    """One condition: each list has one value per image, each pair is before and after the conversion.

    Attributes:
        right: 1 where the class is the label (or, without labels, that of the fp32 file).
        same: 1 where both files predict the same class.
        psnr: image output -> dB against the clean image.
        between: image output -> dB of the converted file's image against the fp32 file's.
    """

    right: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    same: list[float] = field(default_factory=list)
    psnr: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    between: dict[str, list[float]] = field(default_factory=dict)


def costs(before: Runner, after: Runner, form: Form, images: SampleImages) -> dict[str, Any]:
    """Return accuracy and PSNR of two files with paired 95 % intervals of their difference.

    Args:
        before: the fp32 file.
        after: the converted one.
        form: of both.
        images: its ``measured`` ones are used, clean and corrupted.

    Returns:
        Plain data: ``images``, ``from``, ``labels``, ``lost`` (mean accuracy over all conditions, before
        minus after; without labels, agreement), ``lost_db`` (likewise for PSNR) and ``conditions``.
    """
    by_condition: dict[str, Cost] = {"clean": Cost()}
    for name, clean, changed in _conditions(images, form):
        cost = by_condition.setdefault(name, Cost())
        for start in range(0, len(changed), BATCH):
            part = changed[start : start + BATCH]
            fed = batch(part, form.input.channels)
            truth = batch(clean[start : start + BATCH], form.input.channels)
            _compare(cost, form, (before(fed), after(fed)), truth, part, labelled=images.labelled)
    return {
        "images": len(images.measured),
        "from": images.origin,
        "labels": "the images' own" if images.labelled else "those of the fp32 file",
        "lost": _mean_loss([cost.right for cost in by_condition.values()]),
        "lost_db": _mean_loss([pair for cost in by_condition.values() for pair in cost.psnr.values()]),
        "conditions": {name: _told(name, cost) for name, cost in by_condition.items()},
    }


def _conditions(images: SampleImages, form: Form) -> Iterator[tuple[str, Sequence[Sample], Sequence[Sample]]]:
    """Yield condition, clean and corrupted images of one size."""
    height, width = form.input.height, form.input.width
    shapes: dict[tuple[int, int], list[Sample]] = {}
    for sample in images.measured:
        at = (height or sample.image.shape[0], width or sample.image.shape[1])
        at = (max(at[0], form.input.minimum), max(at[1], form.input.minimum))
        shapes.setdefault(at, []).extend(at_size([sample], *at))
    for clean in shapes.values():
        yield "clean", clean, clean
        for corruption in CORRUPTIONS:
            yield kind_of(corruption), clean, [corrupted(sample, corruption) for sample in clean]


def _compare(
    cost: Cost,
    form: Form,
    outputs: tuple[list[NDArray[Any]], list[NDArray[Any]]],
    truth: Tensor,
    samples: Sequence[Sample],
    *,
    labelled: bool,
) -> None:
    names = [sample.id for sample in samples]
    for output, one, other in zip(form.outputs, *outputs, strict=True):
        refuse_non_finite(one, f"output '{output.name}' of the fp32 file is", names)
        refuse_non_finite(other, f"output '{output.name}' of the converted file is", names, hint=FP32)
        if output.gives == "logits":
            predicted = one.argmax(1), other.argmax(1)
            labels = np.array([s.truth for s in samples]) if labelled else predicted[0]
            for kept, classes in zip(cost.right, predicted, strict=True):
                kept += (classes == labels).astype(float).tolist()
            cost.same += (predicted[0] == predicted[1]).astype(float).tolist()
        if output.gives != "image":
            continue
        first, second = (_float(each, form) for each in (one, other))
        cost.between.setdefault(output.name, []).extend(psnr(first, second).tolist())
        if first.shape == truth.shape:
            pair = cost.psnr.setdefault(output.name, ([], []))
            for kept, image in zip(pair, (first, second), strict=True):
                kept += psnr(image, truth).tolist()


def _float(images: NDArray[Any], form: Form) -> Tensor:
    values = torch.from_numpy(np.ascontiguousarray(images))
    return values.permute(0, 3, 1, 2).float() / 255.0 if form.input.dtype == "uint8" else values


def _mean_loss(pairs: Sequence[tuple[list[float], list[float]]]) -> float | None:
    differences = [np.mean(before) - np.mean(after) for before, after in pairs if before]
    return round(float(np.mean(differences)), 6) if differences else None


def _told(name: str, cost: Cost) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if cost.right[0]:
        before, after = (np.asarray(right, dtype=np.float64) for right in cost.right)
        out["accuracy"] = _paired(cost.right, score_interval(after - before))
        low, high = wilson(int(sum(cost.same)), len(cost.same))
        out["same_class"] = {"share": _round(float(np.mean(cost.same))), "of": len(cost.same)}
        out["same_class"]["between"] = [_round(low), _round(high)]
    for output, pair in cost.psnr.items():
        ends = paired_bootstrap(pair[1], pair[0], Rng(0).at("deploy", name, output))
        out[f"psnr of {output}"] = _paired(pair, ends)
    for output, values in cost.between.items():
        out[f"dB between {output}"] = _round(float(np.mean(values)))
    return out


def _paired(pair: tuple[list[float], list[float]], interval: tuple[float, float]) -> dict[str, Any]:
    before, after = pair
    return {
        "before": _round(float(np.mean(before))),
        "after": _round(float(np.mean(after))),
        "difference": _round(float(np.mean(after) - np.mean(before))),
        "interval": [_round(end) for end in interval],
    }


def _round(value: float) -> float:
    return round(value, 5)
