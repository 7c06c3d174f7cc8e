"""`show_parts`: images on their way through every part of a system, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.spec import Flow, PartSpec
from clearsight.pipelines.systems.graph import IMAGE, Graph, chain

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor


def show_parts(system: Graph | PartSpec, images: Sequence[NDArray[np.uint8]]) -> Figure:
    """Return a figure: a column an image, a row each for the image and what every part made of it.

    Below a column stands what the system says of the image, where it says a class.

    Args:
        system: what `chain` returned, or a single part.
        images: uint8 (h, w, 3), all of one size, such as ``Source.read`` and corruptions give.

    Raises:
        DataError: there is no image, or they differ in size.
    """
    import torch

    from clearsight.pipelines.report.figure import ShownFigure

    if len({image.shape for image in images}) != 1:
        raise DataError("give images of one size, at least one", where="show_parts")
    graph = system if isinstance(system, Graph) else chain(system)
    built = graph.build()
    batch = torch.stack([torch.tensor(image).permute(2, 0, 1) / 255 for image in images])
    with torch.no_grad():
        seen = built.trace(batch)
    shown = [IMAGE, *(step.name for step in graph.steps if step.spec.gives is Flow.IMAGES)]
    canvas = ShownFigure(figsize=(1.6 * len(images), 1.8 * len(shown)), layout="constrained", dpi=72)
    for row, name in enumerate(shown):
        for column, pixels in enumerate(seen[name]):
            axes = canvas.add_subplot(len(shown), len(images), row * len(images) + column + 1)
            axes.imshow(pixels.permute(1, 2, 0).clamp(0, 1).numpy(), cmap="gray")
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(name)
            if row == len(shown) - 1 and graph.gives is Flow.LOGITS:
                words = _words(seen[graph.steps[-1].name][column], built.class_names)
                axes.set_xlabel(words, fontsize="small")
    return canvas


def _words(logits: Tensor, names: tuple[str, ...]) -> str:
    sure, label = logits.softmax(0).max(0)
    return f"{names[int(label)] if names else int(label)}, {float(sure):.0%}"
