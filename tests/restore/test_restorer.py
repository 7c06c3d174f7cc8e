from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Gradient
from clearsight.restore.base import ArrayRestorerSpec, RestorerFacts, RestorerSpec
from clearsight.restore.classical.gamma import Gamma
from clearsight.restore.learned.ffdnet import FFDNet
from clearsight.restore.learned.unet_denoiser import UNetDenoiser
from clearsight.restore.noise_conditioned import NoiseConditioned
from clearsight.restore.ops.noise_level import estimate_sigma
from clearsight.restore.ops.pad import pad


class Picky(RestorerSpec):
    kind: Literal["picky"] = "picky"

    @property
    def facts(self):
        return RestorerFacts(channels=(3,), minimum=12, multiple_of=8, scale=2, receptive_field=1)

    def restore(self, x, network):
        assert min(x.shape[2:]) >= 12
        assert x.shape[2] % 8 == x.shape[3] % 8 == 0
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) * 3 - 1


class Short(RestorerSpec):
    kind: Literal["short"] = "short"

    def restore(self, x, network):
        return x[:, :, 1:]


class Scribbler(ArrayRestorerSpec):
    kind: Literal["scribbler"] = "scribbler"
    gradient = Gradient.BLOCKED

    def restore_array(self, image):
        assert image.dtype == np.float32
        assert image.flags.c_contiguous
        image *= 0.5
        return image


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(1, 9))
def test_pad_meets_the_needs_and_keeps_the_image(height, width, minimum, multiple_of):
    x = torch.arange(float(height * width)).view(1, 1, height, width)
    y = pad(x, minimum=minimum, multiple_of=multiple_of)
    assert torch.equal(y[:, :, :height, :width], x)
    for before, after in zip(x.shape[2:], y.shape[2:], strict=True):
        assert after >= minimum
        assert after % multiple_of == 0
        assert after < max(before, minimum) + multiple_of
    assert torch.equal(y[0, 0, -1, -1], x[0, 0, -1, -1])


@pytest.mark.parametrize("size", [(1, 1), (17, 23), (16, 24), (12, 40)])
def test_padded_cropped_clamped(size):
    x = torch.linspace(0, 1, 3 * size[0] * size[1]).view(1, 3, *size)
    y = Picky().build()(x)
    expected = (x * 3 - 1).clamp(0, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(y, expected)


@pytest.mark.slow
def test_padding_exports_with_dynamic_sizes():
    import onnxruntime

    class Blur(Picky):
        def restore(self, x, network):
            return torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")

    part = Blur().build()
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        part,
        (torch.rand(2, 3, 18, 21),),
        dynamo=True,
        verbose=False,
        input_names=["image"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for size in ((1, 3, 5, 9), (2, 3, 16, 24), (1, 3, 33, 17)):
        x = torch.linspace(0, 1, int(np.prod(size))).view(size)
        (found,) = session.run(None, {"image": x.numpy()})
        assert np.array_equal(found, part(x).numpy())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 1, 16, 16), "takes 3 channels"),
        (torch.zeros(3, 16, 16), "expects float images"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "uint8"),
    ],
)
def test_refuses_what_does_not_fit(images, message):
    with pytest.raises(ShapeError, match=message):
        Picky().build()(images)


def test_a_result_that_is_too_small_is_named():
    with pytest.raises(ShapeError, match="short: returned"):
        Short().build()(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("channels", [1, 3])
def test_array_hooks_get_a_copy_and_stop_autograd(channels):
    x = torch.rand(2, channels, 6, 7, generator=Rng(0).torch()).requires_grad_()
    before = x.detach().clone()
    y = Scribbler().build()(x)
    assert torch.equal(x.detach(), before)
    assert torch.equal(y, before * 0.5)
    assert not y.requires_grad


def test_type_of_the_batch_is_kept_and_no_surrogate_is_an_error():
    part = Scribbler().build()
    assert part(torch.zeros(1, 1, 4, 4, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(NotImplementedError):
        part.surrogate(torch.zeros(1, 1, 4, 4))


def test_modules_carry_no_weights_and_stay_in_eval_mode():
    part = Gamma().build()
    assert part.network is None
    assert not part.training
    assert not part.state_dict()


@pytest.mark.parametrize("kind", [UNetDenoiser, FFDNet])
@pytest.mark.parametrize("size", [(64, 64), (65, 67), (57, 90)])
def test_the_noise_is_judged_on_the_image_and_not_on_its_padding(
    kind: type[NoiseConditioned], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rows and columns that padding repeats are flat along themselves: they looked like the quietest places.
    smooth = torch.linspace(0.2, 0.8, size[1]).expand(2, 3, *size)
    x = smooth + 0.1 * torch.randn(2, 3, *size, generator=Rng(1).torch())
    expected = estimate_sigma(x)
    torch.testing.assert_close(expected.flatten(), torch.full((2,), 0.1), rtol=0.15, atol=0.0)
    told = []

    def restored(_spec: object, padded: torch.Tensor, _network: object, sigma: torch.Tensor) -> torch.Tensor:
        told.append((tuple(padded.shape[2:]), sigma))
        return padded

    monkeypatch.setattr(kind, "restore_told", restored)
    part = kind().build()
    assert torch.equal(part(x), x.clamp(0.0, 1.0))
    assert torch.equal(part.restored(x), x)
    for padded, sigma in told:
        assert all(side % part.facts.multiple_of == 0 for side in padded)
        assert torch.equal(sigma, expected)
    assert len(told) == 2
