from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError, WeightsError
from clearsight.data.contract.method import MODEL, UNKNOWN, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.sources.files import Files
from clearsight.data.weights import REQUIRED, find, state
from clearsight.pipelines.cli.train import Own, adapted
from clearsight.pipelines.config.train import Augment, TrainConfig
from clearsight.pipelines.training.loop import CHECKPOINT, StepReport, train
from clearsight.pipelines.training.photos import Photos, as_images, decode_photos
from clearsight.pipelines.training.publishing import Trained
from clearsight.pipelines.training.restoring import score_restorer
from clearsight.restore.learned.unet_denoiser import UNetDenoiser
from clearsight.restore.quality.psnr_ssim import psnr
from clearsight.restore.restorer import Restorer
from clearsight.restore.training.base import Pair, RestorerMethod
from clearsight.restore.training.denoise import Denoise

UNLABELLED = torch.full((3,), UNKNOWN)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 smooth images of several sizes."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(24):
        height, width = 40 + number, 64 - number
        rows, columns = np.mgrid[:height, :width] / 20.0
        waves = Rng(4).at("waves", number).numpy().uniform(0.2, 2.0, (3, 2))
        image = np.stack([np.sin(a * rows + b * columns) for a, b in waves], axis=2)
        Image.fromarray(((image + 1.0) * 127.5).astype(np.uint8)).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def make(photographs: Path) -> Callable[..., TrainConfig]:
    def config(**changes: Any) -> TrainConfig:
        told = {
            "name": "toy",
            "data": {"kind": "files", "path": str(photographs)},
            "validation": {"fraction": 0.2},
            "model": {"kind": "unet_denoiser", "width": 4},
            "method": {"kind": "denoise"},
            "augment": {"crop": 0, "rotate": True},
            "patch": 32,
            "optimiser": {"kind": "adamw", "rate": 3e-3},
            "schedule": {"warmup": 0.1},
            "epochs": 2,
            "batch": 4,
            "ema": 0.9,
            "checks": 2,
            "clip": 1.0,
        }
        return TrainConfig.model_validate(told | changes)

    return config


class KilledError(Exception):
    """Stands for a kill between two steps."""


def stop_after(step: int) -> Callable[[StepReport], None]:
    def tell(progress: StepReport) -> None:
        if progress.step == step:
            raise KilledError

    return tell


def tensors(done: Trained) -> dict[str, Tensor]:
    return state(str(done.weights.folder))


@pytest.mark.slow
def test_a_denoiser_learns_and_its_card_says_how(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    done = train(make(epochs=40, optimiser={"kind": "adamw", "rate": 1e-2}), folder=tmp_path, device="cpu")
    card = done.weights.card
    assert set(REQUIRED) <= card.keys()
    assert card["spec"]["kind"] == "unet_denoiser"
    assert card["data"]["images"] == {"train": 19, "validation": 5}
    figure = card["figures"]["validation"]
    for level in (15, 25, 50):
        told = figure[f"sigma{level}"]
        assert told["low"] <= told["psnr"] <= told["high"]
        # Noise of sigma levels alone would give 20 log10(255 / sigma); clamping helps a little.
        assert 20 * np.log10(255 / level) - 0.2 < told["input"] < 20 * np.log10(255 / level) + 2
    assert figure["sigma50"]["psnr"] > figure["sigma50"]["input"] + 1
    assert figure["n"] == 5


@pytest.mark.slow
def test_the_stored_weights_are_those_that_were_measured(
    make: Callable[..., TrainConfig], tmp_path: Path, photographs: Path
) -> None:
    config = make()
    done = train(config, folder=tmp_path, device="cpu")
    model = UNetDenoiser(weights=str(done.weights.folder)).build()
    assert model.spec.width == 4  # type: ignore[attr-defined]
    source = Files(path=str(photographs))
    held = [entry for entry in source.index().entries if entry.id in _held_out(config)]
    found = score_restorer(model, Denoise(), decode_photos(source, held), state=None)
    assert found.figure()["sigma25"] == done.weights.card["figures"]["validation"]["sigma25"]


def _held_out(config: TrainConfig) -> set[str]:
    from clearsight.pipelines.training.image_set import split

    return {entry.id for entry in split(config.data, config.validation).validation}


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(
    make: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearsight.pipelines.training.loop.SAVE_SECONDS", 0.0)
    whole = tensors(train(make(), folder=tmp_path / "whole", device="cpu"))
    with pytest.raises(KilledError):
        train(make(), folder=tmp_path / "parts", device="cpu", on_progress=stop_after(3))
    assert (tmp_path / "parts" / CHECKPOINT).is_file()
    again = tensors(train(make(), folder=tmp_path / "parts", device="cpu"))
    assert whole.keys() == again.keys()
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


@pytest.mark.slow
def test_init_takes_over_what_fits(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    first = train(make(), folder=tmp_path / "first", device="cpu").weights.folder
    # No step at all would be no run: a rate of nearly nothing leaves the weights where they began.
    still = {"kind": "adamw", "rate": 1e-9}
    grey = {"kind": "unet_denoiser", "width": 4, "channels": 1}
    second = train(
        make(model=grey, init=str(first), optimiser=still), folder=tmp_path / "second", device="cpu"
    )
    old, new = state(str(first)), tensors(second)
    kept = {name for name in old if old[name].shape == new[name].shape}
    assert {name for name in old if name not in kept} == {"head.weight", "tail.weight"}
    assert all(torch.allclose(old[name], new[name], atol=1e-3) for name in kept)
    with pytest.raises(ConfigError, match=r"no tensor of .* fits"):
        train(
            make(model={"kind": "dncnn", "depth": 3, "width": 4}, init=str(first)),
            folder=tmp_path / "third",
            device="cpu",
        )


def test_the_method_must_fit_the_model(make: Callable[..., TrainConfig], photographs: Path) -> None:
    with pytest.raises(ValidationError, match=r"'standard' does not train a restorer; these do: .*denoise"):
        make(method={"kind": "standard"})
    with pytest.raises(ValidationError, match=r"'denoise' does not train a classifier"):
        make(model={"kind": "small_convnet"})
    with pytest.raises(ValidationError, match="takes no 'reference'"):
        make(reference={"kind": "files", "path": str(photographs)})
    with pytest.raises(ValidationError, match="needs 'reference'"):
        make(method={"kind": "enlighten_gan"}, model={"kind": "enlighten", "width": 16})


def test_patches_must_fit_the_network_and_the_images(
    make: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="36 is not divisible by 8"):
        train(make(patch=36), folder=tmp_path, device="cpu")
    with pytest.raises(ConfigError, match=r"crops of 64 are wanted"):
        train(make(patch=64), folder=tmp_path, device="cpu")


@pytest.mark.slow
def test_unpaired_methods_see_both_and_are_judged_on_the_reference(
    make: Callable[..., TrainConfig], photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = tmp_path / "dark"
    dark.mkdir()
    for path in sorted(photographs.glob("*.png"))[:6]:
        Image.fromarray(np.asarray(Image.open(path)) // 4).save(dark / f"dark-{path.name}")
    seen: list[tuple[float, float]] = []

    class Unpaired(RestorerMethod):
        kind: Literal["unpaired"] = "unpaired"
        needs_reference: ClassVar[bool] = True

        @property
        def conditions(self) -> tuple[str, ...]:
            return ("dark",)

        def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
            return Pair(images / 4, images)

        def step(
            self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
        ) -> Iterator[tuple[str, Tensor]]:
            assert batch.reference is not None
            assert batch.reference.shape == batch.images.shape
            seen.append((float(batch.images.max()), float(batch.reference.max())))
            model: Any = networks[MODEL]
            yield MODEL, model.restored(batch.images, batch.images[:, :1, :1, :1]).square().mean()

    config = make(data={"kind": "files", "path": str(dark)})
    config = config.model_copy(
        update={"method": Unpaired(), "reference": Files(path=str(photographs)), "epochs": 3.0}
    )
    with pytest.warns(UserWarning, match="Pydantic serializer warnings"):
        done = train(config, folder=tmp_path / "run", device="cpu")
    assert max(dark for dark, _ in seen) < 0.26
    assert min(normal for _, normal in seen) > 0.5
    assert done.weights.card["data"]["images"]["validation"] == 5
    assert all(name in done.scores for name in ("validation",))


def test_adaptation_starts_from_weights_and_takes_folders(tmp_path: Path) -> None:
    recipe = TrainConfig.model_validate(
        {
            "name": "enlighten",
            "data": {"kind": "files", "path": "low"},
            "reference": {"kind": "files", "path": "normal"},
            "model": {"kind": "enlighten", "width": 32},
            "method": {"kind": "enlighten_gan", "feature_network": "none"},
            "minutes": 1,
        }
    )
    assert adapted(recipe, Own()) == recipe
    mine = adapted(recipe, Own(dark="night", normal="day", init="my-weights", size=256))
    assert mine.name == "enlighten-adapted"
    assert (mine.data.kind, mine.data.path, mine.data.size) == ("files", "night", 256)  # type: ignore[attr-defined]
    assert mine.reference is not None
    assert mine.reference.path == "day"  # type: ignore[attr-defined]
    assert mine.model.weights == "my-weights"
    assert "my-weights" in mine.publish.about
    # The form of the network comes from the weights' card, not from the recipe.
    assert mine.model.model_fields_set == {"kind", "weights"}
    with pytest.raises(ConfigError, match="both folders or neither"):
        adapted(recipe, Own(dark="night"))
    with pytest.raises(ConfigError, match="goes with --dark"):
        adapted(recipe, Own(size=64))
    supervised = recipe.model_copy(update={"method": Denoise(), "reference": None})
    with pytest.raises(ConfigError, match="learns from one folder"):
        adapted(supervised, Own(dark="night", normal="day"))
    with pytest.raises(WeightsError, match="no weights"):
        train(mine, folder=tmp_path, device="cpu")


@pytest.mark.slow
def test_fine_tuning_keeps_the_form_of_the_weights(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    first = train(make(), folder=tmp_path / "first", device="cpu").weights.folder
    mine = adapted(make(model={"kind": "unet_denoiser", "width": 8}), Own(init=str(first)))
    done = train(mine.within(0.01), folder=tmp_path / "second", device="cpu")
    assert find(str(done.weights.folder)).card["spec"]["width"] == 4


def test_photos_give_crops_of_the_right_pixels() -> None:
    sizes = [(12, 20), (16, 11), (30, 30)]
    pixels: list[Tensor] = []
    starts: list[int] = []
    for number, (height, width) in enumerate(sizes):
        starts.append(sum(len(each) for each in pixels))
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        image = torch.stack([torch.full_like(rows, number), rows, columns], dim=2)
        pixels.append(image.reshape(-1, 3).to(torch.uint8))
    places = torch.tensor(starts), torch.tensor(sizes)
    photos = Photos(torch.cat(pixels), *places, ("a", "b", "c"), "", UNLABELLED)
    rows = torch.tensor([0, 1, 2] * 60)
    plain = (photos.patches(rows, 8, 3, Augment(flip=False), Rng(0).torch()) * 255).round().long()
    assert (plain[:, 0, 0, 0] == rows).all()
    assert (plain[:, 0] == rows[:, None, None]).all()
    top, left = plain[:, 1, 0, 0], plain[:, 2, 0, 0]
    assert (plain[:, 1] == top[:, None, None] + torch.arange(8)[:, None]).all()
    assert (plain[:, 2] == left[:, None, None] + torch.arange(8)).all()
    for number, (height, width) in enumerate(sizes):
        own = rows == number
        assert top[own].unique().numel() > min(4, height - 8)
        assert top[own].max() <= height - 8
        assert left[own].max() <= width - 8
    assert len(symmetries(photos.patches(rows, 8, 3, Augment(rotate=True), Rng(0).torch()))) == 8
    # Mirrored up and down and turned by a quarter: that generates the other mirror images too.
    alone = photos.patches(rows, 8, 3, Augment(flip=False, rotate=True), Rng(0).torch())
    assert len(symmetries(alone)) == 8
    assert len(symmetries(photos.patches(rows, 8, 3, Augment(flip=True), Rng(0).torch()))) == 2


def symmetries(patches: torch.Tensor) -> set[tuple[int, int, int, int]]:
    """Return in which of the eight ways rows and columns, which channels 1 and 2 count, were turned."""
    levels = (patches * 255).round().long()
    return {
        (
            int(each[1, 0, 1] - each[1, 0, 0]),
            int(each[2, 0, 1] - each[2, 0, 0]),
            int(each[1, 1, 0] - each[1, 0, 0]),
            int(each[2, 1, 0] - each[2, 0, 0]),
        )
        for each in levels
    }


def test_photos_are_cut_in_the_middle_and_grey_is_luma() -> None:
    image = torch.randint(0, 256, (30, 21, 3), generator=Rng(1).torch(), dtype=torch.uint8)
    photos = Photos(
        image.view(-1, 3), torch.tensor([0]), torch.tensor([[30, 21]]), ("a",), "", UNLABELLED[:1]
    )
    whole = photos.whole(0, 3)
    assert torch.equal(whole[0], image.permute(2, 0, 1) / 255)
    assert torch.equal(photos.whole(0, 3, side=10, multiple_of=4)[0], whole[0, :, 11:19, 6:14])
    grey = photos.whole(0, 1)
    assert torch.allclose(
        grey[0, 0], torch.einsum("c,chw->hw", torch.tensor([0.299, 0.587, 0.114]), whole[0])
    )
    assert torch.allclose(
        as_images(torch.full((1, 2, 2, 3), 77, dtype=torch.uint8), 1), torch.tensor(77 / 255)
    )


def test_validation_noise_is_the_same_in_every_run(photographs: Path) -> None:
    source = Files(path=str(photographs), take=3)
    photos = decode_photos(source, source.index().entries)
    model = UNetDenoiser(width=4, sigma=0.1).build()
    first, second = (score_restorer(model, Denoise(), photos) for _ in range(2))
    assert first == second
    # Fresh weights are the identity, so after is before.
    assert first.after == first.before
    clean = photos.whole(0, 3)
    pair = Denoise().pair(model, clean, "sigma25", Rng(20_000).at(photos.ids[0], "sigma25"))
    assert first.after["sigma25"][0] == float(psnr(pair.degraded.clamp(0, 1), clean))


def test_noise_has_the_strength_that_is_told() -> None:
    method = Denoise(lowest=10 / 255, highest=50 / 255)
    model = UNetDenoiser(width=4, sigma=0.1).build()
    pair = method.degrade(model, torch.full((64, 3, 32, 32), 0.5), Rng(0))
    assert pair.sigma is not None
    measured = (pair.degraded - pair.target).std(dim=(1, 2, 3))
    assert torch.allclose(measured, pair.sigma.flatten(), rtol=0.06)
    assert 10 / 255 <= pair.sigma.min() < 14 / 255
    assert 46 / 255 < pair.sigma.max() <= 50 / 255
