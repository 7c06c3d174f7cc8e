"""What every restorer claims of itself is checked here; a new file is tested by being there."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import save_file
from tiny_onnx import tiny
from torch import Tensor

from clearsight.data.contract.field_docs import describe_fields
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.data.weights import save
from clearsight.restore.base import ArrayRestorerSpec, RestorerSpec
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.restorer import Restorer

SMALL: dict[str, dict[str, Any]] = {
    "amplified_unet": {"width": 4, "gain": 4},
    "auto_exposure": {"gain": 4},
    "bilateral": {"reach": 1.0},
    "blind_wiener": {"kernel": {"kind": "disk", "radius": 1}, "sigma": 0.02},
    "bm3d": {"search": 3, "sigma": 0.05},
    "clarity": {"width": 4, "deep": 1, "hidden": 8},
    "dark_channel": {"patch": 3, "radius": 2, "light": (0.9,)},
    "dncnn": {"depth": 4, "width": 8},
    "enlighten": {"width": 16},
    "ffdnet": {"depth": 4, "width": 8, "sigma": 0.1},
    "gentle_denoiser": {"sigma": 0.15},
    "nafnet": {"width": 8, "encoder": (1,), "decoder": (1,)},
    "non_local_means": {"search": 1},
    "richardson_lucy": {"iterations": 2, "kernel": {"kind": "gaussian", "sigma": 0.8}},
    "sliding_dct": {"side": 4, "sigma": 0.1},
    "span": {"width": 8, "blocks": 1},
    "srcnn": {"scale": 2},
    "tikhonov": {"border_rounds": 1},
    "total_variation": {"iterations": 2},
    "underwater_fusion": {"levels": 2},
    "unet_denoiser": {"width": 4, "sigma": 0.1},
    "vdsr": {"depth": 3, "width": 8, "scale": 2},
    "wavelet": {"levels": 1},
    "white_balance": {"gains": (1.2, 0.9, 1.1)},
    "wiener": {"border_rounds": 1, "kernel": {"kind": "motion", "length": 3, "angle": 20}},
}
"""Fields that make a kind cheap to test; a kind that is not listed is tested with its defaults."""
FAST_EXPORTS = ("median", "srcnn")
"""A classical and a learned kind whose export is tried by the fast tests too; of a new kind, it is a slow test."""
KINDS = tuple(RESTORERS.kinds)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def _files(tmp_path_factory):
    """Write what the kinds of `FOREIGN` read, and tell it to `small`."""
    for kind, write in FOREIGN.items():
        SMALL[kind] = write(tmp_path_factory.mktemp(kind))


@cache
def small(kind: str) -> RestorerSpec:
    if kind == "spandrel" and (find_spec("spandrel") is None or find_spec("einops") is None):
        pytest.skip("spandrel is not installed (pip install clearsight[spandrel])")
    return RESTORERS.parse({"kind": kind} | SMALL.get(kind, {}))


def tiny_checkpoint(folder: Path) -> dict[str, Any]:
    """Write a Real-ESRGAN Compact of two convolutions."""
    shapes = {"body.0.weight": (4, 3, 3, 3), "body.0.bias": (4,), "body.1.weight": (4,)}
    shapes |= {"body.2.weight": (12, 4, 3, 3), "body.2.bias": (12,)}
    draw = Rng(2).at("checkpoint").torch()
    tensors = {name: 0.1 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    save_file(tensors, folder / "net.safetensors")
    return {"path": str(folder / "net.safetensors")}


def tiny_denoisers(folder: Path) -> dict[str, Any]:
    """Write a denoiser for colour and one for grey."""
    told = ("id", "data", "recipe", "seed", "minutes", "machine", "figures", "limits", "licence")
    for channels, name in ((3, "denoiser"), (1, "denoiser_gray")):
        spec = RESTORERS.parse({"kind": "unet_denoiser", "channels": channels, "width": 4, "sigma": 0.1})
        card = dict.fromkeys(told, "") | {"spec": spec.model_dump(mode="json", exclude={"weights"})}
        save(folder / name, spec.network().state_dict(), card)
    files = {name: str(folder / name) for name in ("denoiser", "denoiser_gray")}
    return files | {"iterations": 2, "kernel": {"kind": "gaussian", "sigma": 0.8}}


def tiny_blind(folder: Path) -> dict[str, Any]:
    """Tell the blur, and write the denoisers."""
    return tiny_denoisers(folder) | {"sigma": 0.02}


def tiny_file(folder: Path) -> dict[str, Any]:
    """Write a blur."""
    return {"path": str(tiny(folder / "blur.onnx", gives=("image",)))}


def tiny_code(folder: Path) -> dict[str, Any]:
    """Write a blur with weights as a user's torch module."""
    (folder / "blur.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Blur(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.weight = nn.Parameter(torch.full((3, 1, 3, 3), 1 / 9))\n\n"
        "    def forward(self, x):\n        x = nn.functional.pad(x, (1, 1, 1, 1), mode='replicate')\n"
        "        return nn.functional.conv2d(x, self.weight, groups=3)\n"
    )
    return {"call": f"{folder}/blur.py:Blur", "channels": (3,), "receptive_field": 3}


FOREIGN = {
    "blind_plug_and_play": tiny_blind,
    "onnx_restorer": tiny_file,
    "plug_and_play": tiny_denoisers,
    "python_restorer": tiny_code,
    "spandrel": tiny_checkpoint,
}
"""Kinds that need files: what writes them returns the fields."""


def images(n: int, channels: int, height: int, width: int, name: str = "") -> Tensor:
    """Return smooth shapes with some noise, values in [0, 1]."""
    generator = Rng(7).at("restorers", name, n, channels, height, width).torch()
    coarse = torch.rand(n, channels, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0.05, 0.95)
    return (smooth + 0.03 * torch.randn(smooth.shape, generator=generator)).clamp(0.01, 0.99)


def fixed(part: Restorer, *images: int) -> Restorer:
    """Let a stochastic part draw the same numbers in every call, for the images of these numbers."""
    if part.spec.stochastic:
        part.streams = [Rng(4).at("part", i) for i in images]
    return part


def channels_of(kind: str) -> tuple[int, ...]:
    return small(kind).build().facts.channels


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(17, 23), (32, 32)])
@pytest.mark.parametrize("n", [1, 3])
def test_shape_range_and_purity(kind, size, n):
    part = small(kind).build()
    for channels in part.facts.channels:
        x = images(n, channels, *size)
        before = x.clone()
        fixed(part, *range(n))
        with torch.no_grad():
            y = part(x)
            again = part(x)
        assert torch.equal(x, before), "the input was changed in place"
        assert y.shape == (n, channels, size[0] * part.facts.scale, size[1] * part.facts.scale)
        assert y.dtype == torch.float32
        assert torch.isfinite(y).all()
        assert y.min() >= 0
        assert y.max() <= 1
        assert torch.equal(y, again)
        if part.spec.stochastic:
            with torch.no_grad():
                others = [fixed(part, *range(i, i + n))(x) for i in range(10, 15)]
            assert not all(torch.equal(y, other) for other in others), "it says that it is random, and is not"


@pytest.mark.parametrize("kind", KINDS)
def test_black_white_and_tiny_images_survive(kind):
    part = small(kind).build()
    for value in (0.0, 1.0):
        y = part(torch.full((1, part.facts.channels[0], 5, 3), value))
        assert torch.isfinite(y).all()
    assert part(images(1, part.facts.channels[0], 1, 1)).shape[2] == part.facts.scale


@pytest.mark.parametrize("kind", KINDS)
def test_batch_split_changes_nothing(kind):
    part = small(kind).build()
    x = images(3, part.facts.channels[-1], 17, 23)
    with torch.no_grad():
        whole = fixed(part, 0, 1, 2)(x)
        single = torch.cat([fixed(part, i)(image[None]) for i, image in enumerate(x)])
    tolerance = 0.0 if isinstance(part.spec, ArrayRestorerSpec) else 1e-6
    assert (whole - single).abs().max() <= tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_claim(kind):
    part = fixed(small(kind).build().double(), 0, 1)
    for channels in part.facts.channels:
        x = images(2, channels, 17, 23).double().requires_grad_()
        y = part(x)
        if part.spec.gradient is Gradient.EXACT:
            check_derivative(part, x, y)
            continue
        assert not y.requires_grad, "the forward pass pretends to have a gradient"
        if part.spec.gradient is Gradient.SURROGATE:
            stand_in = part.surrogate(x)
            assert stand_in.shape == y.shape
            assert (stand_in - y).abs().mean() < 0.1
            (gradient,) = torch.autograd.grad(stand_in.square().sum(), x)
            assert torch.isfinite(gradient).all()
            assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


def check_derivative(part: torch.nn.Module, x: Tensor, y: Tensor) -> None:
    """Compare autograd with central differences along random directions, weighting the outputs at random."""
    agreed = 0
    for trial in range(3):
        generator = Rng(3).at("direction", trial).torch()
        direction = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        weights = torch.randn(y.shape, generator=generator, dtype=x.dtype)
        (gradient,) = torch.autograd.grad((y * weights).sum(), x, retain_graph=True)
        assert torch.isfinite(gradient).all()
        predicted = float((gradient * direction).sum())
        step = 1e-7
        with torch.no_grad():
            ahead = (part(x + step * direction) * weights).sum()
            behind = (part(x - step * direction) * weights).sum()
        measured = float(ahead - behind) / (2 * step)
        scale = float(gradient.norm() * direction.norm())
        assert scale > 0
        agreed += abs(predicted - measured) <= 1e-5 * scale
    # A kink may lie within one step, not within all three.
    assert agreed >= 2


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_at_black_and_white(kind):
    part = small(kind).build()
    if part.spec.gradient is not Gradient.EXACT:
        pytest.skip("has no gradient of its own")
    for value in (0.0, 1.0):
        x = torch.full((1, part.facts.channels[-1], 17, 23), value, requires_grad=True)
        (gradient,) = torch.autograd.grad(part(x).sum(), x)
        assert torch.isfinite(gradient).all()


def exports() -> list[object]:
    return [pytest.param(kind, marks=[] if kind in FAST_EXPORTS else [pytest.mark.slow]) for kind in KINDS]


@pytest.mark.parametrize("kind", exports())
@pytest.mark.slow
def test_onnx_claim(kind):
    spec = small(kind)
    if spec.onnx != "ok":
        assert len(spec.onnx) > 10, "say why it cannot be exported"
        return
    import onnxruntime

    part = spec.build()
    channels = part.facts.channels[-1]
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        part,
        (images(2, channels, 24, 28),),
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["image"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    assert program is not None
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for n, height, width in ((1, 17, 23), (3, 40, 32)):
        x = images(n, channels, height, width)
        with torch.no_grad():
            expected = part(x).numpy()
        (found,) = session.run(None, {"image": x.numpy()})
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_yaml_round_trip_and_stable_key(kind):
    required = [field for field in RESTORERS[kind].model_fields.values() if field.is_required()]
    for spec in (small(kind), *([] if required else [RESTORERS[kind]()])):
        text = yaml.safe_dump(spec.model_dump(mode="json"))
        again = RESTORERS.parse(yaml.safe_load(text))
        assert again == spec
        assert again.key() == spec.key()
        assert hash(again) == hash(spec)
    assert spec.purpose
    describe_fields(RestorerSpec)
    undocumented = [
        name
        for name, field in RESTORERS[kind].model_fields.items()
        if name != "kind" and not field.description
    ]
    assert not undocumented


@pytest.mark.parametrize("kind", KINDS)
def test_receptive_field_claim(kind):
    part = small(kind).build()
    side = part.facts.receptive_field
    if side is None:
        pytest.skip("claims no bound")
    assert side % 2 == 1
    reach, scale = side // 2, part.facts.scale
    size = 2 * reach + 9
    x = images(1, part.facts.channels[-1], size, size)
    changed = x.clone()
    at = size // 2
    changed[:, :, at, at] = 1.0 - changed[:, :, at, at]
    with torch.no_grad():
        difference = (part(x) - part(changed)).abs()
    near = torch.zeros_like(difference, dtype=torch.bool)
    low, high = (at - reach) * scale, (at + reach + 1) * scale
    near[:, :, low:high, low:high] = True
    assert difference[near].max() > 1e-4, "the pixel has no effect at all"
    # Fourier transforms spread rounding errors over the whole image.
    assert difference[~near].max() <= 2e-6


def takes(kind: str, **fields: Any) -> bool:
    """Return whether the kind accepts these fields."""
    try:
        RESTORERS.parse(small(kind).model_dump() | fields)
    except ValidationError:
        return False
    return True


def shaken(kind: str, **fields: Any) -> Restorer:
    """Return the part with these fields and with the same random weights each time: fresh ones do nothing."""
    part = RESTORERS.parse(small(kind).model_dump() | fields).build()
    with torch.no_grad():
        for name, tensor in part.named_parameters():
            noise = torch.randn(tensor.shape, generator=Rng(5).at("shaken", kind, name).torch())
            tensor.add_(noise * 0.7 * (2.0 / max(tensor[0].numel(), 8)) ** 0.5)
    return part


@pytest.mark.parametrize("kind", KINDS)
def test_flow_claim(kind):
    part = small(kind).build()
    assert (part.spec.takes, part.spec.gives, part.spec.variadic) == ((Flow.IMAGES,), Flow.IMAGES, False)
    x = images(1, part.facts.channels[-1], 17, 23)
    with pytest.raises(TypeError):
        part(x, x)


@pytest.mark.parametrize("kind", KINDS)
def test_trainable_claim(kind):
    part = shaken(kind).train()
    own = {} if part.network is None else dict(part.network.named_parameters())
    assert part.spec.trainable == (bool(own) and takes(kind, weights="any"))
    if not part.spec.trainable:
        return
    restored = part.restored(images(2, part.facts.channels[-1], 33, 41))
    restored.square().mean().backward()
    for name, parameter in own.items():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fact", "field", "one", "other"),
    [
        ("noise_level", "sigma", "5/255", "50/255"),
        ("kernel", "kernel", {"kind": "gaussian", "sigma": 0.8}, {"kind": "gaussian", "sigma": 1.6}),
    ],
)
def test_conditioning_claim(kind, fact, field, one, other):
    spec = small(kind)
    assert spec.conditioning <= {"noise_level", "kernel"}, "no test knows this fact"
    assert (fact in spec.conditioning) == spec.conditioned_on(fact) == takes(kind, **{field: one})
    if fact not in spec.conditioning:
        return
    part, changed = shaken(kind, **{field: one}), shaken(kind, **{field: other})
    x = images(1, part.facts.channels[-1], 33, 41)
    with torch.no_grad():
        assert (part(x) - changed(x)).abs().max() > 1e-4, "it is told, and does not use it"


@pytest.mark.slow
def test_specs_load_without_heavy_imports():
    code = (
        "import sys; from clearsight.restore.catalogue import RESTORERS; RESTORERS.kinds;"
        "print([m for m in ('torch', 'cv2', 'numpy', 'scipy', 'skimage', 'kornia') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert out.stdout.strip() == "[]"
