"""Checkpoints of other people's restoration networks, read by the library spandrel."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError, WeightsError, first_line

TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
"""Modules that spandrel imports names from, for two of its forty architectures."""
MISFITS = (AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What spandrel's constructors raise where a state dict is not quite of their architecture."""


class ForeignNetwork(nn.Module):
    """A network that spandrel recognised, with what spandrel knows about calling it.

    Attributes:
        architecture: spandrel's name for it.
        scale: output size / input size.
        channels: of input and output.
        minimum: smallest side that it takes.
        multiple_of: sides must be multiples of this.
    """

    def __init__(self, descriptor: Any) -> None:
        """Keep the module of a ``spandrel.ImageModelDescriptor`` in eval mode and float32."""
        super().__init__()
        self.architecture = str(descriptor.architecture.name)
        self.scale, self.channels = int(descriptor.scale), int(descriptor.input_channels)
        self.minimum = max(1, int(descriptor.size_requirements.minimum))
        self.multiple_of = int(descriptor.size_requirements.multiple_of)
        self.model: nn.Module = descriptor.model.float().eval()
        # The descriptor's own call is wrapped in inference mode; the function below it keeps the gradient.
        self._call = descriptor._call_fn

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h * scale, w * scale), not clamped, for (n, c, h, w)."""
        # Plain order where a gradient is asked for: see `Classifier` on strided 1x1 convolutions.
        x = x.contiguous() if x.requires_grad else x
        # One by one: spandrel promises nothing for batches, and some of its noise maps hold one image.
        return torch.cat([cast(Tensor, self._call(self.model, image)) for image in torch.split(x, 1)])


def load(path: Path) -> ForeignNetwork:
    """Read a checkpoint and build the network that its tensors fit.

    Args:
        path: ``.safetensors`` or ``.pth``, a state dict (also inside ``params_ema`` and the like).

    Raises:
        ConfigError: spandrel, or a package that it needs, is not installed.
        WeightsError: the file is damaged, its architecture is unknown, or it does not restore grey or RGB
            images.
    """
    spandrel, state = library(), _state(path)
    # Constructors draw initial weights from torch's global generator; its state is put back.
    with torch.random.fork_rng(devices=[]):
        try:
            descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
        except spandrel.UnsupportedModelError:
            names = ", ".join(list(state)[:3])
            raise WeightsError(
                f"spandrel does not know this architecture (tensors {names}, ...)", where=str(path)
            ) from None
        except MISFITS as error:
            raise WeightsError(
                f"spandrel cannot build it: {type(error).__name__}: {first_line(error)}",
                where=str(path),
            ) from None
    _usable(descriptor, spandrel, path)
    return ForeignNetwork(descriptor)


def library() -> ModuleType:
    """Import spandrel.

    Raises:
        ConfigError: it, or einops, is not installed.
    """
    try:
        with _without_torchvision():
            return importlib.import_module("spandrel")
    except ImportError as error:
        raise ConfigError(
            f"package '{error.name}' is not installed",
            where="spandrel",
            hint="pip install clearsight[spandrel], or without torchvision:"
            " pip install einops && pip install --no-deps spandrel",
        ) from error


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Let ``import spandrel`` succeed where torchvision is not installed.

    spandrel imports every architecture at once, and LaMa and RestoreFormer take three names from torchvision.
    They get stand-ins that refuse to work; the modules are gone from ``sys.modules`` after the import, so
    that no other code mistakes them for torchvision.
    """
    if "spandrel" in sys.modules or find_spec("torchvision") is not None:
        yield
        return
    stand_ins = {name: ModuleType(name) for name in TORCHVISION}
    for name in ("InterpolationMode", "rotate", "normalize"):
        setattr(stand_ins[TORCHVISION[-1]], name, _needs_torchvision)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _needs_torchvision(*_: object, **__: object) -> None:
    raise ConfigError(
        "this architecture (RestoreFormer) needs torchvision",
        where="spandrel",
        hint="install the torchvision that belongs to your torch",
    )


def _state(path: Path) -> dict[str, Any]:
    """Return what the file holds, without running any code of it."""
    from pickle import UnpicklingError  # noqa: TID251 (the name of an error, nothing is unpickled with it)

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return dict(load_file(path))
        # weights_only: torch's reader accepts tensors and plain containers and refuses everything else; the
        # known hole in it (CVE-2025-32434) is closed in torch 2.6, the oldest that is allowed here.
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except (SafetensorError, UnpicklingError, EOFError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"cannot read it: {first_line(error)}",
            where=str(path),
            hint="the file is damaged, or holds more than tensors: save its state dict as .safetensors",
        ) from None
    if not isinstance(state, dict):
        raise WeightsError(f"holds a {type(state).__name__}, not a state dict", where=str(path))
    return state


def _usable(descriptor: Any, spandrel: ModuleType, path: Path) -> None:
    name = descriptor.architecture.name
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise WeightsError(f"{name} fills in what a mask marks: it is not a restorer", where=str(path))
    takes, gives = descriptor.input_channels, descriptor.output_channels
    if takes != gives or takes not in (1, 3):
        raise WeightsError(f"{name} maps {takes} channels to {gives}; 1 or 3 are usable", where=str(path))
    if descriptor.size_requirements.square:
        raise WeightsError(f"{name} takes only square images", where=str(path))
