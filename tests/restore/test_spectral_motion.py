"""Motion that is read off the spectrum: direction, course and way; found where it is, and only there, and undone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from test_blind_wiener import batch, photographs

from clearsight.restore.classical.blind_wiener import BlindWiener
from clearsight.restore.ops.psf import DiskKernel, FadingMotionKernel, MotionKernel
from clearsight.restore.ops.spectral_motion import spectral_motion
from clearsight.restore.quality.psnr_ssim import psnr


def moved(image: np.ndarray, kernel: MotionKernel | FadingMotionKernel | DiskKernel) -> np.ndarray:
    # filter2D correlates: convolution needs the kernel turned by half a circle.
    return np.rint(cv2.filter2D(image.astype(np.float64), -1, kernel.taps()[::-1, ::-1])).clip(0, 255)


def found(kernel: MotionKernel | FadingMotionKernel) -> list[MotionKernel | FadingMotionKernel | None]:
    """Return the motion that is found in each photograph that was moved by this one."""
    return [spectral_motion(moved(image, kernel).mean(2) / 255) for image in photographs()]


def turned(angle: float, truth: float, circle: float) -> float:
    """Return the difference of two angles in degrees, of which ``circle`` are all alike."""
    return abs((angle - truth + circle / 2) % circle - circle / 2)


@pytest.mark.parametrize("angle", [-120.0, 0.0, 25.0])
def test_a_fading_motion_and_its_way_are_found(angle: float) -> None:
    kernels = found(FadingMotionKernel(sigma=10, angle=angle))
    right = [
        isinstance(kernel, FadingMotionKernel)
        and turned(kernel.angle, angle, 360) < 6
        and 5 <= kernel.sigma <= 19
        for kernel in kernels
    ]
    assert sum(right) >= 3, kernels


@pytest.mark.parametrize("angle", [-60.0, 10.0, 90.0])
def test_a_motion_at_constant_speed_is_found(angle: float) -> None:
    kernels = found(MotionKernel(length=15, angle=angle))
    right = [
        isinstance(kernel, MotionKernel)
        and turned(kernel.angle, angle, 180) < 4
        and abs(kernel.length - 15) <= 2
        for kernel in kernels
    ]
    assert sum(right) >= 3, kernels


def test_images_that_did_not_move_stay_as_they_are() -> None:
    # Not the fourth, a floodlit rocket at night of nothing but vertical lines, which is taken for moved.
    for image in photographs()[:3]:
        for still in (image, moved(image, DiskKernel(radius=5)), image // 4, 255 - image):
            assert spectral_motion(still.mean(2) / 255) is None
    for luma in (np.zeros((224, 224)), np.ones((63, 300)), np.full((100, 100), 0.5)):
        assert spectral_motion(luma) is None


@pytest.mark.slow
def test_motion_is_undone_and_may_be_left() -> None:
    sharp = photographs()
    kernels: list[FadingMotionKernel | MotionKernel] = [
        FadingMotionKernel(sigma=8, angle=-30),
        MotionKernel(length=13, angle=70),
        FadingMotionKernel(sigma=12, angle=160),
    ]
    x = batch([moved(image, kernel) for image, kernel in zip(sharp, kernels, strict=False)])
    clean = batch(sharp[: len(kernels)])
    restored = BlindWiener().build()(x)
    gains = [
        (psnr(restored[i : i + 1], clean[i : i + 1]) - psnr(x[i : i + 1], clean[i : i + 1])).item()
        for i in range(3)
    ]
    assert min(gains) > 2, gains
    left = BlindWiener(motion=False).build()(x)
    assert not torch.equal(left, restored)


def test_a_fading_kernel_starts_in_the_middle() -> None:
    taps = FadingMotionKernel(sigma=2, angle=0).taps()
    assert taps.shape == (13, 13)
    assert np.array_equal(np.flatnonzero(taps.any(1)), [6])
    line = taps[6]
    assert np.all(line[:6] == 0)
    assert line[6:] == pytest.approx(
        np.exp(-0.5 * (np.arange(7) / 2) ** 2) / np.exp(-0.5 * (np.arange(7) / 2) ** 2).sum()
    )
    up = FadingMotionKernel(sigma=2, angle=90).taps()
    assert up == pytest.approx(np.rot90(taps))
