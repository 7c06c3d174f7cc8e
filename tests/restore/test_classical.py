"""Classical restorers do what they are for: figures on real photos, and independent references."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import skimage.data
import skimage.restoration
import torch

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.classical.median import comparators
from clearsight.restore.ops.psf import DiskKernel, FileKernel, GaussianKernel, MotionKernel
from clearsight.restore.quality.psnr_ssim import luminance, psnr

KERNELS = (GaussianKernel(sigma=1.5), DiskKernel(radius=4), MotionKernel(length=13, angle=30))
shared = pytest.mark.skipif("CLEARSIGHT_DATA" not in os.environ, reason="CLEARSIGHT_DATA is not set")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def photo(name: str, size: int = 160, at: int = 100) -> torch.Tensor:
    array = getattr(skimage.data, name)()[at : at + size, at : at + size].astype(np.float32) / 255
    return torch.from_numpy(np.atleast_3d(array)).permute(2, 0, 1)[None]


def noise(x: torch.Tensor, sigma: float) -> torch.Tensor:
    generator = Rng(0).at("noise", x.shape[1], x.shape[2]).torch()
    return (x + sigma * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def run(kind: str, x: torch.Tensor, **fields) -> torch.Tensor:
    with torch.no_grad():
        return RESTORERS[kind](**fields).build()(x)


# ------------------------------------------------------------------------------------------------ noise
@pytest.mark.parametrize(
    ("kind", "gain"),
    [
        ("bilateral", 6.0),
        ("non_local_means", 6.5),
        ("total_variation", 5.5),
        ("wavelet", 6.5),
        ("median", 4.0),
    ],
)
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "camera"])
def test_default_denoisers_gain_decibels(kind, gain, name):
    clean = photo(name)
    noisy = noise(clean, 25 / 255)
    assert float(psnr(run(kind, noisy), clean) - psnr(noisy, clean)) > gain


@pytest.mark.parametrize("kind", ["bilateral", "non_local_means", "total_variation", "wavelet"])
@pytest.mark.parametrize("level", [10, 50])
def test_sigma_sets_the_strength(kind, level):
    clean = photo("coffee")
    noisy = noise(clean, level / 255)
    right = psnr(run(kind, noisy, sigma=level / 255), clean)
    wrong = psnr(run(kind, noisy, sigma=(60 - level) / 255), clean)
    assert float(right - psnr(noisy, clean)) > 3
    assert float(right) > float(wrong) + 1


def test_median_is_scipy_median():
    x = noise(photo("astronaut", 40), 0.2)
    for size in (3, 5, 7):
        expected = scipy.ndimage.median_filter(x.numpy(), size=(1, 1, size, size), mode="reflect")
        assert np.array_equal(run("median", x, size=size).numpy(), expected)


@pytest.mark.parametrize("count", [9, 25, 49])
def test_sorting_network_finds_the_median_of_any_order(count):
    rows = Rng(1).at(count).numpy().integers(0, 12, size=(2000, count))
    columns = list(rows.T.copy())
    for low, high in comparators(count):
        smaller = np.minimum(columns[low], columns[high])
        columns[low], columns[high] = smaller, np.maximum(columns[low], columns[high])
    assert np.array_equal(columns[count // 2], np.median(rows, axis=1))


def test_median_removes_salt_and_pepper():
    clean = photo("camera")
    drawn = torch.rand(clean.shape, generator=Rng(4).torch())
    speckled = torch.where(drawn < 0.05, 0.0, torch.where(drawn > 0.95, 1.0, clean))
    assert float(psnr(run("median", speckled), clean) - psnr(speckled, clean)) > 9


@pytest.mark.slow
def test_total_variation_is_the_minimiser_that_scikit_image_finds():
    x = noise(photo("camera", 64), 0.1)
    exact = x[0, 0].double().numpy()
    expected = skimage.restoration.denoise_tv_chambolle(exact, weight=0.1, eps=1e-12, max_num_iter=20_000)
    found = run("total_variation", x, sigma=0.1, strength=1.0, iterations=300)[0, 0].numpy()
    assert np.abs(found - expected.clip(0, 1)).max() < 1e-3


def test_non_local_means_is_no_worse_than_scikit_image():
    clean = photo("chelsea", 96)
    noisy = noise(clean, 0.1)
    image = skimage.restoration.denoise_nl_means(
        noisy[0].permute(1, 2, 0).numpy(),
        patch_size=3,
        patch_distance=6,
        h=0.06,
        sigma=0.1,
        fast_mode=False,
        channel_axis=2,
    )
    reference = torch.from_numpy(image).permute(2, 0, 1)[None].clamp(0, 1)
    assert float(psnr(run("non_local_means", noisy, sigma=0.1), clean)) > float(psnr(reference, clean)) - 0.1


def test_wavelet_without_noise_reconstructs():
    x = photo("astronaut", 50)
    for basis in ("haar", "daubechies2"):
        assert (run("wavelet", x, sigma=1e-6, basis=basis, levels=4) - x).abs().max() < 1e-5


# ------------------------------------------------------------------------------------------------- blur
def blurred(clean: torch.Tensor, kernel) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a camera would record (borders lost, noise, 8 bits) and the truth behind it."""
    taps = kernel.taps()
    radius = taps.shape[0] // 2
    out = np.stack([scipy.signal.convolve2d(plane, taps, mode="valid") for plane in clean[0].numpy()])
    recorded = noise(torch.from_numpy(out.astype(np.float32))[None], 1 / 255)
    return (recorded * 255).round() / 255, clean[:, :, radius:-radius, radius:-radius]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.kind)
@pytest.mark.parametrize("kind", ["tikhonov", "wiener", "richardson_lucy"])
@pytest.mark.parametrize("name", ["astronaut", "camera"])
@pytest.mark.slow
def test_deconvolution_gains_decibels_up_to_the_border(kind, kernel, name):
    recorded, truth = blurred(photo(name, 220, 60), kernel)
    restored = run(kind, recorded, kernel=kernel)
    assert float(psnr(restored, truth) - psnr(recorded, truth)) > 1.8
    frame = torch.ones_like(truth, dtype=torch.bool)
    frame[:, :, 8:-8, 8:-8] = False
    left, before = ((t - truth)[frame].square().mean() for t in (restored, recorded))
    assert left < 1.6 * before, "the border rings"
    if kind != "richardson_lucy":
        mirrored = run(kind, recorded, kernel=kernel, border_rounds=0)
        assert left < (mirrored - truth)[frame].square().mean()


def test_tikhonov_is_scikit_image_wiener_inside():
    kernel = GaussianKernel(sigma=1.2)
    recorded, _ = blurred(photo("camera", 220, 60), kernel)
    expected = skimage.restoration.wiener(recorded[0, 0].numpy(), kernel.taps(), balance=0.02, clip=False)
    found = run("tikhonov", recorded, kernel=kernel, weight=0.02)[0, 0].numpy()
    inside = (slice(50, -50), slice(50, -50))
    assert np.abs(found - expected.clip(0, 1))[inside].max() < 5e-3


def test_richardson_lucy_is_scikit_image_inside_and_better_at_the_border():
    kernel = GaussianKernel(sigma=1.5)
    recorded, truth = blurred(photo("camera", 180, 60), kernel)
    expected = skimage.restoration.richardson_lucy(recorded[0, 0].numpy(), kernel.taps(), num_iter=60)
    reference = torch.from_numpy(expected.astype(np.float32))[None, None]
    found = run("richardson_lucy", recorded, kernel=kernel, iterations=60)
    assert float(psnr(found, reference, border=40)) > 38
    assert float(psnr(found, truth)) > float(psnr(reference, truth)) + 1


@pytest.mark.slow
def test_deconvolution_keeps_the_brightness():
    for kernel in KERNELS:
        x = torch.full((1, 1, 40, 50), 0.3)
        for kind in ("wiener", "tikhonov", "richardson_lucy"):
            assert torch.allclose(run(kind, x, kernel=kernel), x, atol=1e-3)


@shared
@pytest.mark.shared
def test_camera_shake_of_a_real_camera_is_undone(tmp_path):
    """Levin et al. 2009: photographs of a shaken camera; this set stores kernel 6 rotated and off its centre."""
    with tarfile.open(Path(os.environ["CLEARSIGHT_DATA"]) / "levin32.tar") as archive:

        def read(name: str) -> np.ndarray:
            member = archive.extractfile(name)
            assert member is not None
            return cv2.imdecode(np.frombuffer(member.read(), np.uint8), cv2.IMREAD_GRAYSCALE)

        np.save(tmp_path / "kernel.npy", read("gt/kernel6.png")[::-1, ::-1].astype(float))
        sharp, shaken = (
            torch.from_numpy(read(name).astype(np.float32) / 255)[None, None]
            for name in ("gt/im1.png", "blurred/im1_kernel6_img.png")
        )
    kernel = FileKernel(path=str(tmp_path / "kernel.npy"))

    def best(x: torch.Tensor) -> float:
        shifts = [(down, right) for down in range(-6, 7) for right in range(-6, 7)]
        return max(float(psnr(torch.roll(x, shift, (2, 3)), sharp, border=15)) for shift in shifts)

    before = best(shaken)
    for kind in ("tikhonov", "wiener", "richardson_lucy"):
        assert best(run(kind, shaken, kernel=kernel)) > before + 8


# ---------------------------------------------------------------------------------------------- kernels
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.kind)
def test_kernels_are_centred_and_sum_to_one(kernel):
    taps = kernel.taps()
    side = taps.shape[0]
    assert taps.shape == (side, side)
    assert side % 2 == 1
    assert taps.min() >= 0
    assert taps.sum() == pytest.approx(1)
    at = np.arange(side) - side // 2
    assert abs((taps.sum(1) * at).sum()) < 1e-9
    assert abs((taps.sum(0) * at).sum()) < 1e-9


def test_motion_runs_counter_clockwise():
    taps = MotionKernel(length=9, angle=45).taps()
    middle = taps.shape[0] // 2
    assert taps[middle - 2, middle + 2] > 0.05
    assert taps[middle + 2, middle + 2] == 0


def test_kernel_files(tmp_path):
    taps = np.array([[0.0, 2.0], [0.0, 2.0], [0.0, 0.0]])
    np.save(tmp_path / "k.npy", taps)
    kernel = FileKernel(path=str(tmp_path / "k.npy"))
    assert kernel.taps().shape == (3, 3)
    assert kernel.taps().sum() == pytest.approx(1)
    assert kernel.taps()[0, 1] == 0.5
    first = kernel.key()
    np.save(tmp_path / "k.npy", taps + 1)
    assert kernel.key() != first, "another kernel is another key"
    cv2.imwrite(str(tmp_path / "k.png"), np.eye(5, dtype=np.uint8) * 255)
    assert FileKernel(path=str(tmp_path / "k.png")).taps()[2, 2] == pytest.approx(0.2)


@pytest.mark.parametrize(
    "content", [np.zeros((3, 3)), -np.ones((3, 3)), np.ones(3), np.ones((129, 3)), np.full((3, 3), np.nan)]
)
def test_bad_kernel_files_are_refused(tmp_path, content):
    np.save(tmp_path / "bad.npy", content)
    with pytest.raises(DataError, match="kernel"):
        FileKernel(path=str(tmp_path / "bad.npy")).taps()


def test_missing_and_unreadable_kernel_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        FileKernel(path=str(tmp_path / "none.npy")).key()
    for name in ("text.npy", "text.png"):
        (tmp_path / name).write_text("no kernel")
        with pytest.raises(DataError, match="text"):
            FileKernel(path=str(tmp_path / name)).taps()


# ------------------------------------------------------------------------------------- tone and the rest
def test_clahe_and_equalisation_are_close_to_opencv():
    grey = skimage.data.camera()
    x = torch.from_numpy(grey.astype(np.float32) / 255)[None, None]
    reference = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    found = run("clahe", x, clip_limit=2.0, tiles=8)[0, 0].numpy() * 255
    assert np.abs(found - reference).mean() < 3
    assert np.abs(found - reference).max() < 8
    found = run("histogram_equalization", x)[0, 0].numpy() * 255
    assert np.abs(found - cv2.equalizeHist(grey)).mean() < 1.5


def test_tone_maps_spread_a_dark_image_and_keep_its_colours():
    dark = photo("coffee") * 0.25
    for kind in ("clahe", "histogram_equalization"):
        out = run(kind, dark)
        assert float(out.std()) > 1.3 * float(dark.std())
        assert float(out.mean()) > float(dark.mean())
        saturation = [float((t.amax(1) - t.amin(1)).mean() / t.amax(1).mean()) for t in (dark, out)]
        assert saturation[1] > 0.75 * saturation[0]


def test_clip_limit_sets_the_contrast():
    x = 0.3 + 0.2 * photo("camera", 128)
    contrast = [float(run("clahe", x, clip_limit=limit).std()) for limit in (1.0, 2.0, 4.0, 8.0)]
    assert float(x.std()) < contrast[0]
    assert contrast == sorted(contrast)


def test_gamma_curve():
    x = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    assert torch.allclose(run("gamma", x, gamma=0.5), x.sqrt(), atol=1e-6)
    assert torch.allclose(run("gamma", x, gamma=1.0), x)
    assert float(run("gamma", x * 0.2).mean()) > 1.5 * 0.2 * 0.5


def test_unsharp_mask_sharpens():
    clean = photo("camera")
    soft = torch.from_numpy(scipy.ndimage.gaussian_filter(clean.numpy(), (0, 0, 1, 1)))
    assert float(psnr(run("unsharp_mask", soft), clean) - psnr(soft, clean)) > 1
    flat = torch.full((1, 3, 9, 9), 0.4)
    assert torch.allclose(run("unsharp_mask", flat), flat, atol=1e-6)


def test_jpeg_removes_noise_and_its_surrogate_is_close():
    clean = photo("chelsea")
    part = RESTORERS.parse({"kind": "jpeg_squeeze", "quality": 50}).build()
    noisy = noise(clean, 16 / 255)
    assert float(psnr(part(noisy), clean) - psnr(noisy, clean)) > 2
    assert float(psnr(part.surrogate(clean), part(clean))) > 38
    from PIL import Image

    buffer = io.BytesIO()
    pixels = (clean[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=50)
    expected = np.asarray(Image.open(buffer)).astype(np.float32) / 255
    assert np.array_equal(part(clean)[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_cubic_convolution(scale):
    x = photo("astronaut", 24)
    opencv = run("bicubic", x, scale=scale, sharpness=-0.75)
    torch_like = torch.nn.functional.interpolate(x, scale_factor=scale, mode="bicubic").clamp(0, 1)
    edge = 3 * scale
    assert (opencv - torch_like)[:, :, edge:-edge, edge:-edge].abs().max() < 1e-5
    keys = torch.nn.functional.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1)
    found = run("bicubic", x, scale=scale)
    assert (found - keys)[:, :, edge:-edge, edge:-edge].abs().max() < 1e-5


@shared
@pytest.mark.shared
@pytest.mark.parametrize(("scale", "published"), [(2, 33.66), (3, 30.39), (4, 28.42)])
def test_bicubic_figure_of_set5(scale, published):
    scores = []
    with tarfile.open(Path(os.environ["CLEARSIGHT_DATA"]) / "set5.tar") as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is None:
                continue
            image = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
            sharp = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
            height, width = (size // scale * scale for size in sharp.shape[2:])
            sharp = sharp[:, :, :height, :width]
            small = torch.nn.functional.interpolate(
                sharp, scale_factor=1 / scale, mode="bicubic", antialias=True
            )
            small = (small.clamp(0, 1) * 255).round() / 255
            large = (run("bicubic", small, scale=scale) * 255).round() / 255
            scores.append(float(psnr(luminance(large), luminance(sharp), border=scale)))
    assert np.mean(scores) == pytest.approx(published, abs=0.05)
