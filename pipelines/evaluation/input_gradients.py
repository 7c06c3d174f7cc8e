"""Images of the gradient of the loss with respect to the input: what a system looks at.

Networks trained adversarially have input gradients that show edges and shapes of the object; those of others
look like noise (Tsipras et al. 2019, "Robustness May Be at Odds with Accuracy", figure 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.errors import AttackError, ClearsightError, first_line
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.home import replace_file
from clearsight.data.media.images import encode_png
from clearsight.data.statistics import significant
from clearsight.pipelines.evaluation.rows import to_tensor, to_uint8
from clearsight.pipelines.evaluation.worker import one_thread
from clearsight.pipelines.runs.folder import write_json
from clearsight.pipelines.systems.gradient_paths import find_path
from clearsight.pipelines.systems.target import SystemTarget
from clearsight.pipelines.systems.threats import is_attack, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from clearsight.pipelines.evaluation.plan import Plan
    from clearsight.pipelines.systems.system import System

IMAGES = 2
"""Images of a run whose gradients are kept."""
EOT = 8
"""Draws that the gradient of a system with random parts is averaged over."""
CLIPPED = 0.99
"""Quantile of the absolute gradient of an image that gets full colour."""


def keep_gradients(plan: Plan) -> None:
    """Write the gradients of a run with attacks into ``images/``, and last the index beside them.

    The images are the first and the middle one of those that the report keeps, clean and labelled. An
    entry of the index names the sample, the system, the files of input and gradient, and ``scale``: the
    absolute gradient that has full colour. Where there is no gradient, its file is None and ``why`` says so.

    Nothing is done where the run has no attack, keeps no images, or has no labels.
    """
    folder = plan.job.folder
    if not any(map(is_attack, plan.grid.attacks.values())):
        return
    chosen = _chosen(plan)
    if not chosen:
        return
    folder.images.mkdir(exist_ok=True)
    entries = []
    with one_thread():
        for number, name in enumerate(plan.grid.measured):
            entries += _of_system(plan, name, number, chosen)
    for position, sample in chosen.items():
        _write(folder.gradient_input(position), to_tensor([sample.image])[0])
    order = {sample.id: i for i, sample in enumerate(chosen.values())}
    write_json(folder.gradients_index, sorted(entries, key=lambda entry: order[entry["sample"]]))


def _chosen(plan: Plan) -> dict[int, Sample]:
    """Return position -> image; chosen without looking at predictions."""
    shown = sorted(plan.job.shown)
    positions = list(dict.fromkeys(shown[i * len(shown) // IMAGES] for i in range(IMAGES) if shown))
    found = zip(positions, plan.job.samples(positions), strict=True)
    return {i: sample for i, sample in found if sample.truth is not None}


def _of_system(plan: Plan, name: str, number: int, chosen: dict[int, Sample]) -> list[dict[str, Any]]:
    """Return the entries of one system, and write its images; the system is freed on return."""
    system, entries, folder = plan.grid.graphs[name].build().to(plan.job.device), [], plan.job.folder
    for position, sample in chosen.items():
        told: dict[str, Any] = {"file": None, "scale": None, "why": None}
        try:
            gradient = input_gradient(system, sample, name=name, seed=plan.job.seed, device=plan.job.device)
        except ClearsightError as error:
            told["why"] = error.what
        except RuntimeError as error:
            # A part may fail in the backward pass alone; that must not spoil a run that is measured.
            told["why"] = f"the backward pass failed: {first_line(error)}"
        else:
            shown, scale = colours(gradient)
            if scale > 0:
                path = folder.gradient(number, position)
                told |= {"file": path.name, "scale": significant(scale, 4)}
                _write(path, shown)
            else:
                told["why"] = "it is zero in nearly every pixel"
        about = {"sample": sample.id, "label": sample.truth, "system": name}
        entries.append(about | {"input": folder.gradient_input(position).name} | told)
    return entries


def input_gradient(
    system: System, sample: Sample, *, name: str, seed: int = 0, device: str = "cpu"
) -> Tensor:
    """Return the gradient (c, h, w) of the cross-entropy of the true class with respect to an image.

    It goes through every part as an adaptive attack does: surrogates where a part has no gradient of its
    own, a mean over `EOT` draws where parts are random.

    Args:
        system: in eval mode, on the device.
        sample: a labelled image.
        name: what messages call the system.
        seed: root of the draws of random parts.
        device: where the system is.

    Raises:
        AttackError: a part lets no gradient through, the logits are not finite, or lack the true class.
    """
    refuse(system.graph, through="bpda", system=name, attack="input gradient")
    x = to_tensor([sample.image]).to(device)
    path = find_path(system, x)
    draws = Rng(seed).at("draw", "input gradient")
    target = SystemTarget(system, [sample.id], draws, eot=EOT, stand_ins=path.stand_ins, name=name)
    label = torch.tensor([sample.truth], device=device)
    if target.classes <= int(label):
        raise AttackError(f"it has no class {int(label)}", where=f"system '{name}'")
    slope = target.gradient(
        x,
        torch.zeros(1, dtype=torch.int64, device=device),
        lambda logits: functional.cross_entropy(logits, label, reduction="none"),
    )
    return slope.gradient[0].float().cpu()


def colours(gradient: Tensor) -> tuple[Tensor, float]:
    """Return a gradient (c, h, w) as an image in [0, 1], and the absolute gradient that has full colour.

    The scale is the same for both signs and all channels of an image: 0 is the grey 128/255, the `CLIPPED`
    quantile of the absolute gradient the full colour, and what lies beyond is clipped. Channels stay colours.
    """
    scale = float(torch.quantile(gradient.abs().flatten()[:: _stride(gradient)], CLIPPED))
    unit = (gradient / scale).clamp(-1, 1) if scale > 0 else torch.zeros_like(gradient)
    return (128 + 127 * unit) / 255, scale


def _stride(gradient: Tensor) -> int:
    # torch.quantile takes 2^24 values at most; every k-th value of so large an image is enough.
    return -(-gradient.numel() // (1 << 24))


def _write(path: Path, image: Tensor) -> None:
    replace_file(path, encode_png(to_uint8(image)))
