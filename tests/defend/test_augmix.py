from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch import Tensor

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.defend.training.augmix import AugMix
from clearsight.defend.training.chains.mixing import draw, mixed
from clearsight.defend.training.chains.operations import OPERATIONS, apply_operations
from clearsight.defend.training.versions import jensen_shannon


def random_images(n: int = 6, size: int = 32, seed: int = 0) -> Tensor:
    """Return uint8 images of different contrast: noise over gradients, one flat, one of two levels."""
    stream = Rng(seed).at("images").numpy()
    rows, columns = np.mgrid[0:size, 0:size] / size
    out = []
    for index in range(n):
        low, high = sorted(stream.integers(0, 256, 2))
        base = low + (high - low) * (rows if index % 2 else columns)[..., None] * stream.uniform(0.2, 1, 3)
        out.append(np.clip(base + stream.normal(0, 6, (size, size, 3)), 0, 255))
    out.append(np.full((size, size, 3), 77.0))
    out.append(np.where(stream.uniform(size=(size, size, 3)) < 0.5, 30.0, 200.0))
    return torch.from_numpy(np.stack(out).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


def apply_one(images: Tensor, operation: str, level: float, sign: float = 1.0) -> Tensor:
    n = len(images)
    kind = torch.full((n,), OPERATIONS.index(operation))
    return apply_operations(images, kind, torch.full((n,), level), torch.full((n,), sign))


def by_pillow(image: Tensor, operation: str, level: float, sign: float) -> Tensor:
    """Return what the paper's code does to one image, written with Pillow."""
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy())
    side = pillow.size[0]
    how = Image.Resampling.BILINEAR
    move = sign * int(level * (side / 3) / 10)
    shear = sign * level * 0.3 / 10
    maps = {
        "shear_x": (1, shear, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, shear, 1, 0),
        "translate_x": (1, 0, move, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, move),
    }
    if operation in maps:
        out = pillow.transform(pillow.size, Image.Transform.AFFINE, maps[operation], resample=how)
    elif operation == "rotate":
        out = pillow.rotate(sign * int(level * 30 / 10), resample=how)
    elif operation == "posterize":
        # Pillow refuses 0 bits, the strongest setting.
        out = ImageOps.posterize(pillow, 4 - int(level * 4 / 10))
    elif operation == "solarize":
        out = ImageOps.solarize(pillow, 256 - int(level * 256 / 10))
    else:
        out = ImageOps.autocontrast(pillow) if operation == "autocontrast" else ImageOps.equalize(pillow)
    return torch.from_numpy(np.array(out)).permute(2, 0, 1)


@pytest.mark.parametrize("level", [0.1, 1.7, 2.9, 6.3, 9.9])
@pytest.mark.parametrize("operation", ["autocontrast", "equalize", "posterize", "solarize"])
def test_operations_on_levels_equal_pillow(operation: str, level: float) -> None:
    images = random_images()
    found = apply_one(images, operation, level)
    for ours, image in zip(found, images, strict=True):
        assert torch.equal(ours, by_pillow(image, operation, level, 1.0))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("level", [0.1, 1.7, 2.9, 9.9])
@pytest.mark.parametrize("operation", OPERATIONS[4:])
def test_geometric_operations_are_pillows_within_a_level(operation: str, level: float, sign: float) -> None:
    images = random_images()
    found = apply_one(images, operation, level, sign)
    for ours, image in zip(found, images, strict=True):
        gap = (ours.int() - by_pillow(image, operation, level, sign).int()).abs()
        # A position on the image's very border may fall on either side of it.
        assert (gap > 1).float().mean() < 0.01


def test_minus_one_changes_nothing_and_input_is_kept() -> None:
    images = random_images()
    before = images.clone()
    n = len(images)
    out = apply_operations(images, torch.full((n,), -1), torch.ones(n), torch.ones(n))
    assert torch.equal(out, before)
    apply_one(images, "solarize", 9.0)
    assert torch.equal(images, before)


def test_each_image_gets_its_own_operation() -> None:
    images = random_images()[:4]
    kinds = torch.tensor([OPERATIONS.index(name) for name in ("equalize", "rotate", "solarize", "shear_x")])
    levels, signs = torch.tensor([3.0, 2.0, 2.5, 1.0]), torch.tensor([1.0, -1.0, 1.0, 1.0])
    together = apply_operations(images, kinds, levels, signs)
    for row in range(4):
        own = slice(row, row + 1)
        assert torch.equal(together[own], apply_operations(images[own], kinds[own], levels[own], signs[own]))


def test_draws_have_the_papers_distributions() -> None:
    ids = tuple(f"set/{number}" for number in range(1500))
    found = draw(ids, Rng(0), copies=2, width=3, depth=3, severity=3.0)
    assert found.operations.shape == (3000, 3, 3)
    lengths = (found.operations >= 0).sum(2)
    assert np.allclose([(lengths == n).mean() for n in (1, 2, 3)], 1 / 3, atol=0.03)
    assert (found.operations[:, :, 0] >= 0).all()
    assert found.levels.min() >= 0.1
    assert found.levels.max() <= 3.0
    assert set(np.unique(found.signs)) == {-1.0, 1.0}
    assert np.allclose(found.weights.sum(1), 1.0, atol=1e-5)
    # Dirichlet(1, 1, 1): each share is Beta(1, 2) with variance 1/18. Beta(1, 1) is uniform.
    assert found.weights.var() == pytest.approx(1 / 18, rel=0.1)
    assert found.share.mean() == pytest.approx(0.5, abs=0.03)
    assert found.share.var() == pytest.approx(1 / 12, rel=0.1)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), channels=st.sampled_from([1, 3]), size=st.sampled_from([(32, 32), (17, 29)])
)
def test_mixes_stay_in_range_and_shape(seed: int, channels: int, size: tuple[int, int]) -> None:
    images = torch.rand(3, channels, *size, generator=Rng(seed).torch())
    found = mixed(images, ("a", "b", "c"), Rng(seed))
    assert len(found) == 2
    for each in found:
        assert each.shape == images.shape
        assert each.dtype == torch.float32
        assert each.min() >= 0
        assert each.max() <= 1


def test_an_image_depends_on_its_id_not_on_its_place() -> None:
    images = random_images().float() / 255
    ids = tuple(f"p{number}" for number in range(len(images)))
    first, second = mixed(images, ids, Rng(3))
    order = torch.tensor([5, 2, 7, 0])
    again, beside = mixed(images[order], tuple(ids[row] for row in order), Rng(3))
    assert torch.equal(first[order], again)
    assert torch.equal(second[order], beside)
    assert not torch.equal(first, second)
    other = mixed(images, ids, Rng(4))[0]
    assert not torch.equal(first, other)


def test_divergence_is_the_formula() -> None:
    logits = [torch.randn(5, 4, generator=Rng(n).torch(), dtype=torch.float64) for n in range(3)]
    p = np.stack([np.exp(each.numpy()) / np.exp(each.numpy()).sum(1, keepdims=True) for each in logits])
    middle = p.mean(0)

    def entropy(q: np.ndarray) -> np.ndarray:
        return -(q * np.log(q)).sum(-1)

    expected = (entropy(middle) - entropy(p).mean(0)).mean()
    assert float(jensen_shannon(*logits)) == pytest.approx(expected, rel=1e-9)
    assert float(jensen_shannon(logits[0], logits[0], logits[0])) == pytest.approx(0.0, abs=1e-12)
    sure = 50.0 * torch.eye(3, dtype=torch.float64)
    apart = float(jensen_shannon(*(row[None] for row in sure)))
    assert apart == pytest.approx(np.log(3), rel=1e-3)


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3 * 64, 4, generator=Rng(1).torch()) * 0.1)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return x.flatten(1) @ self.weight


def test_step_yields_cross_entropy_plus_divergence() -> None:
    model, images = Linear(), torch.rand(4, 3, 8, 8, generator=Rng(0).torch())
    batch = TrainBatch(images, torch.tensor([0, 1, 2, 3]), ("a", "b", "c", "d"))
    [(player, loss)] = AugMix().step({MODEL: model}, batch, Rng(5))
    assert player == "model"
    assert model.seen == [12]
    first, second = mixed(images, batch.ids, Rng(5))
    logits = [each.flatten(1) @ model.weight for each in (images, first, second)]
    natural = torch.nn.functional.cross_entropy(logits[0], batch.labels)
    assert float(loss.detach()) == pytest.approx(
        float((natural + 12 * jensen_shannon(*logits)).detach()), rel=1e-5
    )
    loss.backward()
    assert model.weight.grad is not None


def test_without_divergence_one_mix_is_trained_on() -> None:
    model, images = Linear(), torch.rand(4, 3, 8, 8, generator=Rng(0).torch())
    batch = TrainBatch(images, torch.tensor([0, 1, 2, 3]), ("a", "b", "c", "d"))
    [(_, loss)] = AugMix(jsd=0).step({MODEL: model}, batch, Rng(5))
    assert model.seen == [4]
    assert loss.requires_grad


def test_labels_are_needed() -> None:
    batch = TrainBatch(torch.rand(2, 3, 8, 8, generator=Rng(0).torch()), None, ("a", "b"))
    with pytest.raises(DataError, match="labels"):
        list(AugMix().step({MODEL: Linear()}, batch, Rng(0)))
