"""A restorer in an ONNX file."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.data.contract.errors import ConfigError
from clearsight.data.onnx_part import OnnxPart
from clearsight.restore.base import RestorerFacts, RestorerSpec

TRIAL = 32
"""Side in pixels of the black trial image, for files without a fixed input size."""


class OnnxRestorer(OnnxPart, RestorerSpec):
    """A restorer that onnxruntime runs: images to images, in [0, 1] or uint8, channels first or last.

    A file of ``clearsight export --taps`` gives restored images beside logits: named here it is measured
    by PSNR, named as ``onnx`` by accuracy. The scale is found by a trial run.
    """

    purpose: ClassVar[str] = "a restorer in an ONNX file (no gradients)"

    kind: Literal["onnx_restorer"] = "onnx_restorer"

    @property
    def facts(self) -> RestorerFacts:
        """Return what the file says of its input, and the scale that a trial run shows.

        Raises:
            ConfigError: the output is not the input enlarged by a whole number.
            WeightsError: the file is missing, damaged or no ONNX model.
        """
        import torch

        network = self.network()
        taken = network.input
        height, width = (size or max(TRIAL, taken.minimum) for size in (taken.height, taken.width))
        out = network(torch.zeros(1, taken.channels, height, width))
        scale = out.shape[2] // height
        if scale < 1 or tuple(out.shape[1:]) != (taken.channels, height * scale, width * scale):
            raise ConfigError(
                f"gives {tuple(out.shape)} for {(1, taken.channels, height, width)}, not images enlarged by a"
                " whole number",
                where=self.place,
            )
        return RestorerFacts(scale=scale, channels=(taken.channels,), minimum=taken.minimum)
