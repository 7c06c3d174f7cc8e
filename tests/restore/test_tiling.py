from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from clearsight.data.contract.errors import ConfigError, DataError, RunError, ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.initial import fresh
from clearsight.restore.base import RestorerFacts, RestorerSpec
from clearsight.restore.classical.bicubic import Bicubic
from clearsight.restore.classical.clahe import CLAHE
from clearsight.restore.classical.gamma import Gamma
from clearsight.restore.classical.histogram_equalization import HistogramEqualization
from clearsight.restore.classical.median import Median
from clearsight.restore.classical.non_local_means import NonLocalMeans
from clearsight.restore.classical.unsharp_mask import UnsharpMask
from clearsight.restore.classical.wavelet import Wavelet
from clearsight.restore.classical.wiener import Wiener
from clearsight.restore.tiling.spans import spans
from clearsight.restore.tiling.tiling import AUTO_PIXELS, LEAST_TILE, check_tile, restore_chain, restore_tiled


class Strided(nn.Module):
    """Down by four in two strides, up again, with the zero padding of every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(6, 6, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(6, 12, 2, 2))

    def forward(self, x):
        return functional.pixel_shuffle(self.up(self.down(x)) + 0.5, 2)


class StridedSpec(RestorerSpec):
    kind: Literal["strided"] = "strided"

    @property
    def facts(self):
        return RestorerFacts(channels=(3,), minimum=10, multiple_of=4, scale=2, receptive_field=31)

    def network(self):
        return fresh(Strided)


class NoiseTold(RestorerSpec):
    """Adds the noise level that it is told, or that it measures over the whole image."""

    kind: Literal["noise_told"] = "noise_told"
    sigma: float | Literal["auto"] = "auto"

    @property
    def facts(self):
        return RestorerFacts(receptive_field=1, multiple_of=4)

    def prepared(self, x):
        assert x.shape[0] == 1
        return self.model_copy(update={"sigma": x.mean().item()}) if self.sigma == "auto" else self

    def restore(self, x, network):
        told = x.mean(dim=(1, 2, 3), keepdim=True) if self.sigma == "auto" else self.sigma
        return x * 0.5 + told * 0.5


RESTORERS = {
    "median": Median(size=5).build(),
    "unsharp_mask": UnsharpMask(sigma=1.5).build(),
    "bicubic_x2": Bicubic(scale=2).build(),
    "bicubic_x3": Bicubic(scale=3).build(),
    "strided": StridedSpec().build(),
    "gamma": Gamma().build(),
    "noise_told": NoiseTold().build(),
}


def images(*size: int) -> torch.Tensor:
    return torch.rand(size, generator=Rng(0).at(*size).torch())


def quiet(line: str, side: int) -> None:
    raise AssertionError(line)


@pytest.mark.parametrize("name", sorted(RESTORERS))
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(7, 40), st.integers(1, 2))
@torch.inference_mode()
def test_tiles_equal_the_whole(name, height, width, tile, count):
    restorer, x = RESTORERS[name], images(count, 3, height, width)
    found = restore_tiled(restorer, x, tile, say=quiet)
    whole = restorer(x)
    assert found.shape == whole.shape
    assert (found - whole).abs().max() <= 1e-5


@pytest.mark.parametrize(
    "spec",
    [Wavelet(levels=2), NonLocalMeans(search=3), Wiener()],
    ids=lambda spec: spec.kind,
)
@torch.inference_mode()
def test_methods_of_larger_reach_equal_the_whole(spec):
    restorer = spec.build()
    x = images(1, 3, 70, 93)
    assert (restore_tiled(restorer, x, 40) - restorer(x)).abs().max() <= 1e-5


@torch.inference_mode()
def test_a_halo_that_is_too_small_would_be_seen():
    class Blind(StridedSpec):
        kind: Any = "blind"

        @property
        def facts(self):
            return RestorerFacts(channels=(3,), minimum=10, multiple_of=4, scale=2, receptive_field=1)

    restorer, x = Blind().build(), images(1, 3, 64, 64)
    assert (restore_tiled(restorer, x, 16) - restorer(x)).abs().max() > 1e-4


@given(
    st.integers(1, 500),
    st.integers(1, 200),
    st.integers(0, 9),
    st.integers(1, 16),
    st.integers(1, 9),
)
def test_spans_cover_the_axis_once(size, tile, halo, step, least):
    halo, least = halo * step, least * step
    cut = spans(size, tile, halo=halo, step=step, least=least)
    assert [span.start for span in cut] == [0, *[span.stop for span in cut[:-1]]]
    assert cut[-1].stop == size
    for span in cut:
        assert 0 <= span.first <= span.start < span.stop <= span.last <= size
        assert span.stop - span.start <= -(-tile // step) * step
        assert span.first % step == 0
        assert span.last % step == 0 or span.last == size
        assert span.last - span.first >= min(size, least)
        assert span.first == 0 or span.start - span.first >= halo
        assert span.last == size or span.last - span.stop >= halo


@pytest.mark.parametrize("spec", [HistogramEqualization(), CLAHE()], ids=lambda spec: spec.kind)
def test_what_needs_the_whole_image_is_refused_by_name(spec):
    restorer, x = spec.build(), images(1, 3, 20, 20)
    with pytest.raises(ConfigError, match=f"{spec.kind}: cannot be computed in tiles.*auto or none"):
        restore_tiled(restorer, x, 16)
    with pytest.raises(ConfigError, match=spec.kind):
        restore_chain([RESTORERS["median"], restorer], x, 16)
    for tile in ("auto", None):
        assert torch.equal(restore_tiled(restorer, x, tile), restorer(x))


def test_no_tile_of_nothing_and_no_wrong_images():
    with pytest.raises(ConfigError, match="at least 1"):
        check_tile(Median(), 0)
    with pytest.raises(ShapeError, match="strided: takes 3 channels"):
        restore_tiled(RESTORERS["strided"], images(1, 1, 20, 20), 8)


def test_what_enlarging_would_make_too_large_is_refused_before_the_work():
    enlarge = RESTORERS["bicubic_x2"]
    for call in (enlarge, lambda x: restore_tiled(enlarge, x, 64), lambda x: restore_chain([enlarge], x)):
        with pytest.raises(DataError, match=r"10000x2501 pixels enlarged 2 times are 100,040,000"):
            call(torch.zeros(1, 1, 1, 1).expand(1, 3, 2501, 10_000))
    few = torch.zeros(1, 3, 40, 40)
    with pytest.raises(DataError, match=r"40x40 pixels enlarged 512 times"):
        restore_chain([enlarge] * 9, few)


@torch.inference_mode()
def test_a_chain_is_tiled_step_by_step():
    chain = [RESTORERS[name] for name in ("median", "strided", "noise_told", "unsharp_mask")]
    x = images(1, 3, 50, 61)
    whole = x
    for restorer in chain:
        whole = restorer(whole)
    assert (restore_chain(chain, x, 20) - whole).abs().max() <= 1e-5


@torch.inference_mode()
def test_what_the_whole_image_tells_is_found_out_once_an_image():
    seen = []

    class Counting(NoiseTold):
        kind: Any = "counting"

        def prepared(self, x):
            seen.append(tuple(x.shape))
            return super().prepared(x)

    dark_and_light = torch.cat([images(1, 3, 30, 33) * 0.2, images(1, 3, 30, 33)])
    restorer = Counting().build()
    found = restore_tiled(restorer, dark_and_light, 8)
    # The estimate sees the image as the restorer does, padded up to a multiple of four.
    assert seen == [(1, 3, 32, 36)] * 2
    assert (found - restorer(dark_and_light)).abs().max() <= 1e-5
    assert restorer.spec == Counting()


class Hungry(RestorerSpec):
    """Asks for more memory than there is where the window has more pixels than ``most``."""

    kind: Literal["hungry"] = "hungry"
    most: int = 0
    message: str = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"
    error: Literal["cpu", "cuda", "array", "other"] = "cpu"
    receptive_field: int | None = 3

    @property
    def facts(self):
        return RestorerFacts(receptive_field=self.receptive_field)

    def restore(self, x, network):
        if x.shape[2] * x.shape[3] > self.most:
            raise {
                "cpu": RuntimeError(self.message),
                "cuda": torch.OutOfMemoryError("CUDA out of memory"),
                "array": MemoryError("Unable to allocate 9 GiB"),
                "other": RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
            }[self.error]
        return 1 - x


@pytest.mark.parametrize("error", ["cpu", "cuda", "array"])
@pytest.mark.parametrize("tile", ["auto", 1000])
def test_too_little_memory_halves_the_tiles_and_says_so(error, tile):
    told = []
    x = images(1, 1, 500, 700)
    restorer = Hungry(most=110**2, error=error).build()
    assert torch.equal(restore_tiled(restorer, x, tile, say=lambda *line: told.append(line)), 1 - x)
    assert [side for _, side in told] == [350, 175, 87]
    for line, side in told:
        assert line.startswith("hungry: out of memory with ")
        assert line.endswith(f"going on with tiles of {side} pixels")


def test_by_default_the_log_says_so(caplog):
    restore_tiled(Hungry(most=100**2).build(), images(1, 1, 120, 120))
    assert "going on with tiles of 64 pixels" in caplog.text


def test_smallest_tiles_that_do_not_fit_are_an_error():
    told = []
    with pytest.raises(RunError, match=rf"hungry: out of memory for 300x200 pixels .* {LEAST_TILE} pixels"):
        restore_tiled(Hungry(most=8).build(), images(1, 1, 200, 300), say=lambda *line: told.append(line))
    assert len(told) == 3


@pytest.mark.parametrize(("spec", "tile"), [(Hungry(), None), (Hungry(receptive_field=None), "auto")])
def test_a_whole_that_does_not_fit_is_an_error(spec, tile):
    with pytest.raises(RunError, match="as a whole; use tile auto"):
        restore_tiled(spec.build(), images(1, 1, 200, 300), tile, say=quiet)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        restore_tiled(Hungry(error="other").build(), images(1, 1, 200, 300), say=quiet)


def test_auto_tiles_large_images_only():
    sizes = []

    class Watched(Gamma):
        kind: Any = "watched"

        def restore(self, x, network):
            sizes.append(tuple(x.shape[2:]))
            return x

    restorer = Watched().build()
    small = torch.zeros(1, 1, 1024, AUTO_PIXELS // 1024)
    restore_tiled(restorer, small)
    assert sizes == [small.shape[2:]]
    sizes.clear()
    restore_tiled(restorer, torch.zeros(1, 1, 1024, AUTO_PIXELS // 1024 + 1))
    assert len(sizes) == 6
    assert max(max(size) for size in sizes) <= 512


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
def test_windows_travel_to_the_device_one_by_one():
    restorer, x = StridedSpec().build().to("cuda"), images(1, 3, 90, 110)
    found = restore_tiled(restorer, x, 32, device="cuda")
    assert found.device.type == "cpu"
    assert (found - restorer(x.to("cuda")).cpu()).abs().max() <= 1e-5
