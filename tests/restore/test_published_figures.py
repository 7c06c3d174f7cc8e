"""The metric code, checked with a network whose figure is published."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from clearsight.restore.quality.psnr_ssim import psnr


def members(archive: Path, ending: str) -> Iterator[bytes]:
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            if member.isfile() and member.name.endswith(ending):
                file = tar.extractfile(member)
                assert file is not None
                yield file.read()


def dncnn(weights: bytes) -> nn.Sequential:
    """Return DnCNN-S: 17 convolutions of 64 channels, the batch normalisation merged into them."""
    layers: list[nn.Module] = [nn.Conv2d(1, 64, 3, padding=1), nn.ReLU()]
    for _ in range(15):
        layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1))
    # The authors published it as a PyTorch file; weights_only reads tensors and runs nothing.
    state = torch.load(io.BytesIO(weights), weights_only=True)  # noqa: TID251
    network.load_state_dict({key.removeprefix("model."): value for key, value in state.items()})
    return network.eval()


@pytest.fixture
def all_threads():
    """The one test that is mostly convolutions may use all cores; its figure has a tolerance."""
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_dncnn_on_bsd68(shared_data, all_threads):
    """Zhang et al. (2017) give 29.23 dB for sigma 25.

    Protocol: noise from Philox 4x64 with key 0, drawn for one image after the other in order of the names;
    noisy input neither clipped nor rounded; output clamped to [0, 1], not rounded.
    """
    (weights,) = members(shared_data / "peer_dncnn25.tar", ".pth")
    network = dncnn(weights)
    draw = np.random.Generator(np.random.Philox(key=0))
    found = []
    for data in members(shared_data / "bsd68_gray.tar", ".png"):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        clean = torch.from_numpy(image.astype(np.float32) / 255)[None, None]
        noise = torch.from_numpy(draw.standard_normal(clean.shape, dtype=np.float32))
        noisy = clean + 25 / 255 * noise
        with torch.inference_mode():
            restored = (noisy - network(noisy)).clamp(0, 1)
        found.append(float(psnr(restored, clean)))
    assert len(found) == 68
    assert np.mean(found) == pytest.approx(29.23, abs=0.03)
