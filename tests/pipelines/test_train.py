from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError, DataError, RunError
from clearsight.data.contract.method import MODEL, Method, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.sources.base import HoldOut
from clearsight.data.sources.folder import Folder
from clearsight.data.weights import REQUIRED, find, state, verify
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.pipelines.config.train import SGD, AdamW, Augment, Schedule, TrainConfig
from clearsight.pipelines.training.augment import as_floats, augmented, mirrored
from clearsight.pipelines.training.average import Average
from clearsight.pipelines.training.checkpoint import Checkpoint, read, write
from clearsight.pipelines.training.image_set import ImageSet, decode, split
from clearsight.pipelines.training.loop import CHECKPOINT, StepReport, train
from clearsight.pipelines.training.optimiser import factor, optimiser
from clearsight.pipelines.training.publishing import Trained
from clearsight.pipelines.training.scoring import Score, score
from clearsight.pipelines.training.state import State

CLASSES = ("blue", "green", "red")


class KilledError(Exception):
    """Stands for a kill between two steps."""


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 noisy images of three colours, 16x16, in class folders."""
    folder = tmp_path_factory.mktemp("colours")
    for number in range(120):
        kind = number % 3
        image = Rng(7).at("image", number).numpy().integers(0, 160, (16, 16, 3))
        image[:, :, 2 - kind] += 60
        place = folder / CLASSES[kind]
        place.mkdir(exist_ok=True)
        Image.fromarray(image.astype(np.uint8)).save(place / f"{number:03d}.png")
    return folder


@pytest.fixture
def make(colours: Path) -> Callable[..., TrainConfig]:
    def config(**changes: Any) -> TrainConfig:
        source = {"kind": "folder", "path": str(colours), "hold_out": {"per_class": 8}}
        base: dict[str, Any] = {
            "name": "toy",
            "data": source | {"subset": "train"},
            "validation": {"per_class": 6},
            "test": source | {"subset": "held_out"},
            "model": {"kind": "small_convnet", "width": 4, "blocks": 1},
            "augment": {"crop": 2, "flip": True, "cutout": 4},
            "optimiser": {"kind": "sgd", "rate": "5e-2"},
            "epochs": 2,
            "batch": 16,
            "checks": 4,
            "ema": 0.9,
        }
        merged = base | changes
        return TrainConfig.model_validate({k: v for k, v in merged.items() if v is not ...})

    return config


def accuracy(done: Trained) -> float:
    score = done.scores["test"]
    assert isinstance(score, Score)
    return score.accuracy


def tensors(done: Trained) -> dict[str, Tensor]:
    return state(str(done.weights.folder))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stop_after(step: int) -> Callable[[StepReport], None]:
    def tell(progress: StepReport) -> None:
        if progress.step == step:
            raise KilledError

    return tell


@pytest.mark.slow
def test_learns_and_writes_usable_weights(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    seen: list[StepReport] = []
    done = train(make(epochs=6), folder=tmp_path, device="cpu", on_progress=seen.append)
    assert accuracy(done) > 0.9
    assert seen[-1].share == 1.0
    assert seen[-1].step == done.steps == 6 * (78 // 16)
    checks = [each.check for each in seen if each.check]
    assert len(checks) == 4
    verify(done.weights)
    model = CLASSIFIERS.parse({"kind": "small_convnet", "weights": str(done.weights.folder)}).build()
    assert model.class_names == CLASSES
    test = make().test
    assert test is not None
    part = decode(test, test.index().entries)
    assert score(model, part, "cpu") == done.scores["test"]


@pytest.mark.slow
def test_labels_that_mean_nothing_are_not_learned(
    make: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shuffled(samples: Any, where: str) -> Tensor:
        labels = torch.tensor([sample.truth for sample in samples])
        return labels[torch.randperm(len(labels), generator=Rng(0).at(len(labels)).torch())]

    monkeypatch.setattr("clearsight.pipelines.training.image_set._labels", shuffled)
    done = train(make(epochs=3), folder=tmp_path, device="cpu")
    assert accuracy(done) < 0.65


@pytest.mark.parametrize("method", ["standard", "augmix"])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.slow
def test_resume_is_exact(
    make: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, method: str
) -> None:
    monkeypatch.setattr("clearsight.pipelines.training.loop.SAVE_SECONDS", 0.0)
    config = make(optimiser={"kind": kind, "rate": 0.01}, method={"kind": method})
    whole = train(config, folder=tmp_path / "whole", device="cpu")
    for step in (1, 4, 5, 7):
        with pytest.raises(KilledError):
            train(config, folder=tmp_path / "parts", device="cpu", on_progress=stop_after(step))
    seen: list[StepReport] = []
    parts = train(config, folder=tmp_path / "parts", device="cpu", on_progress=seen.append)
    # The step that a kill interrupted was not saved, so the run goes on one step earlier.
    assert seen[0].step == 7
    assert equal(tensors(whole), tensors(parts))
    assert whole.scores == parts.scores
    assert whole.weights.sha256 == parts.weights.sha256


KILL = """
import os, signal, sys
from pathlib import Path
import clearsight.pipelines.training.loop
from clearsight.pipelines.config.train import TrainConfig

clearsight.pipelines.training.loop.SAVE_SECONDS = 0.0

def kill(progress):
    if progress.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

config = TrainConfig.model_validate_json(Path(sys.argv[1]).read_text())
clearsight.pipelines.training.loop.train(config, folder=Path(sys.argv[2]), device="cpu", on_progress=kill)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_resume_after_a_real_kill_is_exact(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config, told = make(), tmp_path / "config.json"
    told.write_text(config.model_dump_json())
    house = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(told), str(tmp_path / "parts")],
        env=os.environ | {"PYTHONPATH": house, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    whole = train(config, folder=tmp_path / "whole", device="cpu")
    seen: list[StepReport] = []
    parts = train(config, folder=tmp_path / "parts", device="cpu", on_progress=seen.append)
    assert seen[0].step == 5
    assert equal(tensors(whole), tensors(parts))


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    first = train(make(), folder=tmp_path, device="cpu")
    seen: list[StepReport] = []
    again = train(make(), folder=tmp_path, device="cpu", on_progress=seen.append)
    assert not seen
    assert first.weights.card == again.weights.card


@pytest.mark.slow
def test_seed_decides_and_nothing_global_does(
    make: Callable[..., TrainConfig], tmp_path: Path, no_global_rng: None
) -> None:
    runs = [train(make(seed=seed), folder=tmp_path / name, device="cpu") for seed, name in SEEDS]
    assert equal(tensors(runs[0]), tensors(runs[1]))
    assert not equal(tensors(runs[0]), tensors(runs[2]))


SEEDS = ((0, "a"), (0, "b"), (1, "c"))


@pytest.mark.slow
def test_budget_in_minutes_is_kept(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    seen: list[StepReport] = []
    done = train(make(), minutes=0.03, folder=tmp_path, device="cpu", on_progress=seen.append)
    assert 1.8 <= done.seconds < 4
    assert done.weights.card["minutes"] == round(done.seconds / 60, 2)
    assert done.weights.card["recipe"]["minutes"] == 0.03
    rates = [each.rate for each in seen]
    assert rates.index(max(rates)) not in (0, len(rates) - 1)
    assert all(one.share <= other.share for one, other in pairwise(seen))


@pytest.mark.slow
def test_card_says_everything(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    told = {"id": "toy-v1", "about": "colours", "licence": "CC0-1.0", "limits": "a toy"}
    config = make(publish=told | {"folder": str(tmp_path / "out")})
    done = train(config, folder=tmp_path / "run", device="cpu")
    assert done.weights.folder == tmp_path / "out"
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert set(REQUIRED) <= card.keys()
    assert card["id"] == "toy-v1"
    assert (card["licence"], card["limits"], card["data"]["about"]) == ("CC0-1.0", "a toy", "colours")
    assert card["spec"]["classes"] == 3
    assert card["spec"]["class_names"] == list(CLASSES)
    assert card["spec"]["width"] == 4
    assert card["data"]["images"] == {"train": 78, "validation": 18, "test": 24}
    assert len(set(card["data"]["fingerprints"].values())) == 3
    figure = card["figures"]["test"]
    assert figure["n"] == 24
    assert figure["low"] <= figure["accuracy"] <= figure["high"]
    assert TrainConfig.model_validate(card["recipe"]).method == config.method
    assert find(str(tmp_path / "out")).sha256 == card["sha256"]


@pytest.mark.slow
def test_weights_are_a_place_to_start_from(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    first = train(make(epochs=6), folder=tmp_path / "one", device="cpu")
    model = {"kind": "small_convnet", "width": 4, "blocks": 1, "weights": str(first.weights.folder)}
    seen: list[StepReport] = []
    config = make(model=model, epochs=1, optimiser={"rate": 1e-9, "kind": "sgd"})
    second = train(config, folder=tmp_path / "two", device="cpu", on_progress=seen.append)
    assert accuracy(second) == pytest.approx(accuracy(first), abs=0.1)
    assert "weights" not in second.weights.card["spec"]


@pytest.mark.parametrize("rule", [{"per_class": 5}, {"fraction": 0.2}])
def test_validation_never_overlaps_training(colours: Path, rule: dict[str, Any]) -> None:
    source = Folder(path=str(colours), hold_out=HoldOut(per_class=8), subset="train")
    sides = split(source, HoldOut.model_validate(rule))
    train_ids, validation = ({entry.id for entry in side} for side in (sides.train, sides.validation))
    tested = {entry.id for entry in source.model_copy(update={"subset": "held_out"}).index().entries}
    assert validation
    assert not train_ids & validation
    assert not tested & (train_ids | validation)
    assert len(train_ids | validation | tested) == 120


def test_test_images_that_are_trained_on_are_refused(
    make: Callable[..., TrainConfig], tmp_path: Path, colours: Path
) -> None:
    with pytest.raises(ConfigError, match=r"24 test images are also trained on|test images are also"):
        train(make(test={"kind": "folder", "path": str(colours)}), folder=tmp_path, device="cpu")


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    for number, size in enumerate((20, 24)):
        place = tmp_path / f"class{number}"
        place.mkdir()
        Image.fromarray(np.zeros((size, size, 3), np.uint8)).save(place / "a.png")
    source = Folder(path=str(tmp_path))
    with pytest.raises(ConfigError, match=r"\(20, 20\) to \(24, 24\).*size: 64"):
        decode(source, source.index().entries)
    sized = source.model_copy(update={"size": 16})
    assert decode(sized, sized.index().entries).images.shape == (2, 16, 16, 3)


def test_no_readable_image_is_an_error(tmp_path: Path) -> None:
    for number in range(2):
        place = tmp_path / f"class{number}"
        place.mkdir()
        (place / "a.png").write_bytes(b"not an image")
    source = Folder(path=str(tmp_path))
    with pytest.raises(DataError, match="no image can be read"):
        decode(source, source.index().entries)


@pytest.mark.slow
def test_changed_data_do_not_resume(make: Callable[..., TrainConfig], tmp_path: Path, colours: Path) -> None:
    train(make(epochs=1), folder=tmp_path, device="cpu")
    fewer = {"kind": "folder", "path": str(colours), "hold_out": {"per_class": 9}, "subset": "train"}
    with pytest.raises(RunError, match="data have changed"):
        train(make(epochs=1, data=fewer, test=None), folder=tmp_path, device="cpu")


@pytest.mark.slow
def test_damaged_and_foreign_checkpoints_are_named(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    train(make(epochs=1), folder=tmp_path, device="cpu")
    wider = {"kind": "small_convnet", "width": 5, "blocks": 1}
    with pytest.raises(RunError, match="does not fit"):
        train(make(epochs=1, model=wider), folder=tmp_path, device="cpu")
    (tmp_path / CHECKPOINT).write_bytes(b"half a file")
    with pytest.raises(RunError, match="is not a readable checkpoint"):
        train(make(epochs=1), folder=tmp_path, device="cpu")


def test_a_loss_that_is_no_number_stops_the_run(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not finite.*lower optimiser.rate"):
        train(make(optimiser={"kind": "sgd", "rate": 1e30}), folder=tmp_path, device="cpu")


@pytest.mark.parametrize(
    "method", [{"kind": "standard"}, {"kind": "adversarial", "eps": "2/255", "steps": 2}]
)
@pytest.mark.slow
def test_half_precision_reaches_the_same_accuracy(
    make: Callable[..., TrainConfig], method: dict[str, Any], tmp_path: Path
) -> None:
    found = {}
    for told in ("fp32", "bf16"):
        done = train(make(precision=told, method=method, epochs=6), folder=tmp_path / told, device="cpu")
        found[told] = accuracy(done)
    # 24 test images: the standard error of an accuracy near one is below 6 points.
    assert found["fp32"] > 0.8
    assert abs(found["bf16"] - found["fp32"]) < 0.13


def test_budget_must_be_one(make: Callable[..., TrainConfig]) -> None:
    for told in ({"minutes": 1, "epochs": 1}, {"minutes": None, "epochs": None}):
        with pytest.raises(ValidationError, match="either 'minutes' or 'epochs'"):
            make(**told)
    assert make().within(None) == make()
    assert make().within(2.0).epochs is None
    with pytest.raises(ConfigError, match="more than 0 minutes"):
        make().within(0)


def test_the_words_on_the_card_are_not_part_of_the_key(make: Callable[..., TrainConfig]) -> None:
    assert make(publish={"about": "one"}).key() == make(publish={"about": "other"}).key()
    assert make(batch=7).key() != make(batch=8).key()


def test_unknown_devices_are_refused(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown device 'tpu'"):
        train(make(), folder=tmp_path, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            train(make(), folder=tmp_path, device="cuda")


class TwoPlayers(Method):
    """The model and a judge of its logits, each with a loss of its own, beside a frozen module."""

    kind: Literal["two_players"] = "two_players"

    def networks(self, model: nn.Module) -> dict[str, nn.Module]:
        frozen = nn.Linear(3, 3)
        frozen.requires_grad_(False)
        frozen.pretrained = True  # type: ignore[assignment]
        return {MODEL: model, "judge": nn.Linear(3, 2), "frozen": frozen}

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        logits = networks[MODEL](batch.images)
        yield "judge", networks["judge"](logits.detach()).square().mean()
        yield MODEL, nn.functional.cross_entropy(logits, batch.labels) + networks["judge"](logits).mean()


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.slow
def test_networks_have_optimisers_of_their_own_and_resume(
    make: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearsight.pipelines.training.loop.SAVE_SECONDS", 0.0)
    config = make().model_copy(update={"method": TwoPlayers()})
    whole = train(config, folder=tmp_path / "whole", device="cpu")
    groups = read(tmp_path / "whole" / CHECKPOINT).tensors.keys()
    assert {"optimiser.model", "optimiser.judge", "network.model", "network.judge"} <= groups
    assert not any("frozen" in group for group in groups)
    with pytest.raises(KilledError):
        train(config, folder=tmp_path / "parts", device="cpu", on_progress=stop_after(5))
    assert equal(tensors(whole), tensors(train(config, folder=tmp_path / "parts", device="cpu")))


def test_average_is_the_formula() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm2d(2))
    expected = {name: value.clone().double() for name, value in module.state_dict().items()}
    average = Average(module, 0.5)
    for step in range(1, 8):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=Rng(step).torch()))
            module.get_buffer("1.num_batches_tracked").add_(1)
        average.update(module)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value.double()
    for name, value in average.state.items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), expected[name], atol=1e-6)
    assert int(average.state["1.num_batches_tracked"]) == 7


def test_schedule_warms_up_and_falls_as_a_cosine() -> None:
    schedule = Schedule(warmup=0.2, final=0.1)
    assert factor(schedule, 0.0) == 0.01
    assert factor(schedule, 0.1) == pytest.approx(0.5)
    assert factor(schedule, 0.2) == pytest.approx(1.0)
    assert factor(schedule, 0.6) == pytest.approx(0.55)
    assert factor(schedule, 1.0) == pytest.approx(0.1)
    assert factor(Schedule(warmup=0), 0.0) == 1.0
    assert factor(Schedule(warmup=1), 1.0) == 0.0


def test_norms_and_biases_do_not_decay() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    for how in (SGD(), AdamW()):
        decays = {
            parameter.ndim: group["weight_decay"]
            for group in optimiser(module.parameters(), how).param_groups
            for parameter in group["params"]
        }
        assert decays == {4: how.decay, 1: 0.0}


def test_augmentation_off_changes_nothing() -> None:
    images = torch.randint(0, 256, (4, 9, 7, 3), generator=Rng(0).torch(), dtype=torch.uint8)
    still = augmented(images, Augment(crop=0, flip=False), Rng(1).torch())
    assert torch.equal(still, as_floats(images))
    assert still.shape == (4, 3, 9, 7)
    assert still.dtype == torch.float32
    assert still.max() <= 1


def test_augmentation_moves_mirrors_and_cuts() -> None:
    ramp = (torch.arange(16)[:, None] * 16 + torch.arange(16)).to(torch.uint8)
    images = ramp[None, :, :, None].expand(200, 16, 16, 3).contiguous()
    moved = (augmented(images, Augment(crop=3, flip=False), Rng(2).torch()) * 255).round().long()
    # The centre pixel tells the shift, for it never comes from beyond the border.
    shifts = {(int(value) // 16 - 8, int(value) % 16 - 8) for value in moved[:, 0, 8, 8]}
    assert len(shifts) > 40
    assert {max(abs(y), abs(x)) for y, x in shifts} == {0, 1, 2, 3}
    flipped = (augmented(images, Augment(crop=0, flip=True), Rng(2).torch()) * 255).round().long()
    turned = [torch.equal(each[0], ramp.long().flip(1)) for each in flipped]
    straight = [torch.equal(each[0], ramp.long()) for each in flipped]
    assert all(one != other for one, other in zip(turned, straight, strict=True))
    assert 70 < sum(turned) < 130
    white = torch.full((50, 16, 16, 3), 255, dtype=torch.uint8)
    cut = augmented(white, Augment(crop=0, flip=False, cutout=6), Rng(3).torch())
    sizes = (cut == 0.5).sum((1, 2, 3)) // 3
    assert sizes.max() == 36
    assert sizes.min() >= 9
    assert ((cut == 0.5) | (cut == 1)).all()


def test_turns_and_zooms_move_the_image_about_its_centre() -> None:
    rows, columns = torch.meshgrid(torch.arange(33), torch.arange(49), indexing="ij")
    dot = (((rows - 16) ** 2 + (columns - 36) ** 2) <= 9).to(torch.uint8) * 255
    images = dot[None, :, :, None].repeat(64, 1, 1, 3)

    def centres(**how: float) -> Tensor:
        made = augmented(images, Augment(crop=0, flip=False, **how), Rng(4).torch())[:, 0]
        mass = made.sum((1, 2))
        return torch.stack([(made * axis).sum((1, 2)) / mass for axis in (rows - 16.0, columns - 24.0)], 1)

    turned = centres(degrees=20)
    # Twelve pixels right of the centre: a turn keeps the distance, in pixels, also where sides differ.
    assert (turned.norm(dim=1) - 12).abs().max() < 0.3
    angles = torch.rad2deg(torch.atan2(turned[:, 0], turned[:, 1]))
    assert 15 < angles.abs().max() < 20.5
    assert -4 < angles.mean() < 4
    zoomed = centres(zoom=0.25)
    assert zoomed[:, 0].abs().max() < 0.1
    assert 12 / 1.26 < zoomed[:, 1].min() < 11
    assert 13 < zoomed[:, 1].max() < 12 / 0.74


def test_brightness_multiplies_all_values_of_an_image_by_one_factor() -> None:
    grey = torch.full((200, 8, 8, 3), 100, dtype=torch.uint8)
    factors = augmented(grey, Augment(crop=0, flip=False, brightness=0.3), Rng(5).torch()) / (100 / 255)
    each = factors.mean((1, 2, 3))
    assert (factors - each[:, None, None, None]).abs().max() < 1e-5
    assert 0.7 <= each.min() < 0.72
    assert 1.28 < each.max() <= 1.3
    bright = augmented(grey * 2 + 40, Augment(crop=0, flip=False, brightness=0.3), Rng(5).torch())
    assert bright.max() == 1.0


def test_changes_for_classifiers_are_refused_for_restorers() -> None:
    fields = {
        "task": "train",
        "name": "x",
        "data": {"kind": "photos"},
        "model": {"kind": "unet_denoiser"},
        "method": {"kind": "denoise"},
        "minutes": 1,
        "augment": {"degrees": 5},
    }
    with pytest.raises(ValidationError, match=r"'augment\.degrees' is for classifiers"):
        TrainConfig.model_validate(fields)


def test_mirrored_positions_reflect() -> None:
    found = mirrored(torch.arange(-4, 8), 4)
    assert found.tolist() == [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert mirrored(torch.tensor([-2, 0, 5]), 1).tolist() == [0, 0, 0]


def test_score_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randint(0, 256, (5, 8, 8, 3), generator=Rng(0).torch(), dtype=torch.uint8)
    part = ImageSet(images, torch.tensor([0, 1, 0, 1, 0]), tuple("abcde"), "")
    other = {name: value * 0 if value.is_floating_point() else value for name, value in before.items()}
    zero = score(model, part, "cpu", state=other)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert (zero.right, zero.n) == (3, 5)
    assert zero.loss == pytest.approx(np.log(2), rel=1e-6)
    assert score(model, part, "cpu", batch=2) == score(model, part, "cpu", batch=2)
    with pytest.raises(DataError, match="labelled"):
        score(model, ImageSet(images, None, tuple("abcde"), ""), "cpu")


def test_checkpoint_round_trip_and_atomic_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    first = Checkpoint({"model": {"a.b": torch.arange(3.0)}, "best": {"n": torch.tensor(7)}}, {"step": 3})
    write(path, first)
    found = read(path)
    assert found.facts == {"step": 3}
    assert torch.equal(found.tensors["model"]["a.b"], torch.arange(3.0))
    assert int(found.tensors["best"]["n"]) == 7

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(path, Checkpoint({}, {"step": 4}))
    assert read(path).facts == {"step": 3}
    assert [each.name for each in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_checkpoint_with_one_wrong_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write(path, Checkpoint({"model": {"a": torch.arange(3.0)}}, {"step": 3}))
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(bytes(damaged))
        with pytest.raises(RunError, match="it is damaged, or was written by an older version; delete it"):
            read(path)
    path.rename(tmp_path / "other")
    (tmp_path / "other").write_bytes(whole)
    with pytest.raises(RunError, match="it is damaged"):
        read(tmp_path / "other")


ODD: list[Any] = ["x", {}, [1], [[]], {"x": 1}, [None, None]]


@pytest.mark.slow
def test_facts_of_odd_types_are_refused(make: Callable[..., TrainConfig], tmp_path: Path) -> None:
    train(make(epochs=1), folder=tmp_path, device="cpu")
    path = tmp_path / CHECKPOINT
    whole = read(path)
    model = make().model.model_copy(update={"classes": 3}).build()
    networks: dict[str, nn.Module] = {MODEL: model}
    optimisers: dict[str, torch.optim.Optimizer] = {MODEL: optimiser(model.parameters(), make().optimiser)}
    refused = 0
    for name in ("step", "elapsed", "checked", "best_rank", "curve", "whole", "stretch"):
        for odd in ODD:
            write(path, Checkpoint(whole.tensors, whole.facts | {name: odd}))
            try:
                State(networks, optimisers, None).resume(read(path), path, whole.facts["data"])
            except RunError:
                refused += 1
    assert refused >= 7 * 4
    for facts in ODD:
        write(path, Checkpoint(whole.tensors, facts))
        with pytest.raises(RunError, match="data have changed|not a readable checkpoint"):
            State(networks, optimisers, None).resume(read(path), path, whole.facts["data"])


RECIPES = sorted((Path(__file__).parents[2] / "pipelines" / "recipes" / "train").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_valid(path: Path) -> None:
    from clearsight.pipelines.config.yaml_reader import load

    config = TrainConfig.model_validate(load(path).value)
    assert config.test is not None or config.reference is not None
    assert config.publish.limits
    assert config.publish.about
    if "signs" in path.stem or "gtsrb" in path.stem:
        assert not config.augment.flip
    assert TrainConfig.model_validate_json(config.model_dump_json()).key() == config.key()
