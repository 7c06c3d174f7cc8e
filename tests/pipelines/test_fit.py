"""``clearsight fit``: right values, the right images, and weights that stand where they belong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from PIL import Image

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.estimator import Observation
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.executors.choice import Backend
from clearsight.data.sides import refuse_test_images, refuse_training_images
from clearsight.data.sources.base import Entry, Source
from clearsight.data.sources.folder import Folder
from clearsight.data.sources.joined import Joined
from clearsight.data.weights import save
from clearsight.defend.calibrators.temperature import Temperature
from clearsight.defend.calibrators.vector_scaling import VectorScaling
from clearsight.pipelines.cli.check import command as check
from clearsight.pipelines.cli.fit import command
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.fit import Fit
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.evaluation import image_chunks
from clearsight.pipelines.evaluation.job import read_unchanged
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.export.export import Options, export
from clearsight.pipelines.fitting import observing
from clearsight.pipelines.fitting.fit import fit
from clearsight.pipelines.systems.graph import Node, chain, network_key, wire

Make = Callable[..., Fit]
TOY = {"kind": "python", "call": "toy:brightest", "arguments": {"gain": 300.0}, "classes": 3}
COUNT = 90


def probable() -> torch.nn.Module:
    return torch.nn.Sequential(toy.brightest(60.0), torch.nn.Softmax(1))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make configs over flat images whose classes the toy mistakes where a channel was drawn the brightest."""
    folder = tmp_path / "flat"
    for i in range(COUNT):
        image = np.full((16, 16, 3), 100, np.uint8)
        image[:, :, (i + (i % 5 == 0)) % 3] += 10 + i % 7
        place = folder / ("red", "green", "blue")[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:02d}.png")

    def config(**changes: Any) -> Fit:
        base: dict[str, Any] = {
            "task": "fit",
            "name": "toy",
            "chunk": 8,
            "data": {"kind": "folder", "path": str(folder), "label_map": {"red": 0, "green": 1, "blue": 2}},
            "judge": {"fraction": 0.3},
            "parts": {"median": {"kind": "median"}, "classify": TOY},
            "system": ["classify"],
            "estimator": {"kind": "temperature"},
        }
        return Fit.model_validate(base | changes)

    return config


def drawn(factor: float, offset: tuple[float, ...], count: int) -> Callable[[], Iterator[Observation]]:
    """Return observations whose labels are drawn from softmax(logits * factor + offset)."""

    def rows() -> Iterator[Observation]:
        draw = Rng(5).at("drawn").numpy()
        for _ in range(count):
            logits = torch.from_numpy(2.0 * draw.normal(size=len(offset)))
            shares = (logits * factor + torch.tensor(offset).double()).softmax(0).numpy()
            yield Observation(logits, int(draw.choice(len(offset), p=shares)))

    return rows


@pytest.mark.parametrize("factor", [0.25, 1.0, 2.0])
@pytest.mark.slow
def test_the_temperature_that_drew_the_labels_is_found(factor: float) -> None:
    found = Temperature().fit(drawn(factor, (0.0,) * 5, 20_000), Rng(0))
    assert float(found["temperature"]) == pytest.approx(1 / factor, rel=0.04)


def test_it_is_that_of_an_independent_optimiser() -> None:
    rows = drawn(0.6, (0.0,) * 4, 500)
    logits = torch.stack([row.value for row in rows()])
    truths = torch.tensor([row.truth for row in rows()])
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [scale], max_iter=200, tolerance_grad=1e-14, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits * scale, truths)
        loss.backward()
        return loss

    optimiser.step(closure)
    found = Temperature().fit(rows, Rng(0))["temperature"]
    assert float(found) == pytest.approx(1 / scale.item(), rel=1e-5)


@pytest.mark.slow
def test_factors_and_offsets_that_drew_the_labels_are_found() -> None:
    found = VectorScaling(decay=0).fit(drawn(0.5, (0.0, 1.0, -1.0), 20_000), Rng(0))
    assert found["factor"].tolist() == pytest.approx([0.5] * 3, abs=0.05)
    # Offsets are known up to one number for all.
    away = found["offset"] - found["offset"][0]
    assert away.tolist() == pytest.approx([0.0, 1.0, -1.0], abs=0.08)


def test_what_cannot_be_fitted_is_told() -> None:
    def sure() -> Iterator[Observation]:
        yield from (Observation(torch.eye(3)[i % 3], i % 3) for i in range(30))

    def wrong() -> Iterator[Observation]:
        yield from (Observation(torch.eye(3)[i % 3], (i + 1) % 3) for i in range(30))

    with pytest.raises(DataError, match=r"no temperature is best for these 30 images.*right about all"):
        Temperature().fit(sure, Rng(0))
    with pytest.raises(DataError, match="say nothing of the classes"):
        Temperature().fit(wrong, Rng(0))
    few = drawn(1.0, (3.0, 0.0, -6.0), 40)
    with pytest.raises(DataError, match=r"1 of 3 classes have fewer than 5 images \(2\).*temperature"):
        VectorScaling().fit(few, Rng(0))


@pytest.mark.slow
def test_a_fit_is_written_used_and_measured(make: Make, tmp_path: Path) -> None:
    config = make()
    done = fit(config, root=tmp_path / "runs", workers=1)
    card = json.loads((done.weights.folder / "card.json").read_text())
    # Every fifth image is mistaken: the toy is much too sure.
    assert done.values["temperature"] > 1.2
    assert card["figures"]["judge"] == done.figures
    assert done.figures["nll_difference"]["high"] < 0
    assert done.images + done.figures["images"] == COUNT
    assert card["behind"] == [network_key(config.parts["classify"])]
    calibrated = {"kind": "temperature", "weights": str(done.weights.folder)}
    told = Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "used",
            "data": config.data.model_dump(),
            "parts": {"classify": TOY, "calibrate": calibrated},
            "systems": {"plain": ["classify"], "calibrated": ["classify", "calibrate"]},
            "conditions": {"clean": {"kind": "identity"}},
            "attacks": {"none": {"kind": "none"}, "pgd": {"kind": "pgd", "eps": "8/255", "steps": 3}},
            "metrics": [{"kind": "accuracy"}, {"kind": "nll"}],
            "compare": {"baseline": "plain"},
        }
    )
    summary = json.loads((run(told, root=tmp_path / "runs", workers=1).path / "summary.json").read_text())
    cells = {(c["system"], c["attack"]): c["metrics"] for c in summary["cells"]}
    plain, ours = cells["plain", "none"], cells["calibrated", "none"]
    assert plain["accuracy"]["value"] == ours["accuracy"]["value"]
    assert ours["nll"]["value"] < plain["nll"]["value"]
    assert cells["calibrated", "pgd"]["accuracy"]["value"] < ours["accuracy"]["value"]


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped_with_the_same_bytes(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(
        conditions={"clean": {"kind": "identity"}, "noise": {"kind": "gaussian_noise", "severity": 2}}
    )
    whole = fit(config, root=tmp_path / "a", workers=1)
    read, calls = read_unchanged, []

    def stopped(source: Source, entries: Sequence[Entry], digests: Sequence[str]) -> list[Sample]:
        calls.append(entries)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return read(source, entries, digests)

    monkeypatch.setattr(image_chunks, "read_unchanged", stopped)
    with pytest.raises(KeyboardInterrupt):
        fit(config, root=tmp_path / "b", workers=1)
    (damaged,) = (tmp_path / "b").glob("*/observations/fit-00001.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    again = fit(config, root=tmp_path / "b", workers=1)
    chunks = -(-again.images // 8) + -(-again.figures["images"] // 8)
    assert len(calls) == 4 + chunks - 3 + 1, "three were there, one of them was damaged"
    model = "model.safetensors"
    assert (again.weights.folder / model).read_bytes() == (whole.weights.folder / model).read_bytes()
    assert again.figures == whole.figures


@pytest.mark.slow
def test_processes_change_nothing(make: Make, tmp_path: Path) -> None:
    config = make(system=["median", "classify"])
    one = fit(config, root=tmp_path / "a", workers=1)
    two = fit(config, root=tmp_path / "b", workers=2)
    assert one.values == two.values
    assert one.figures == two.figures


@pytest.mark.slow
def test_it_stands_only_behind_what_it_was_fitted_behind(make: Make, tmp_path: Path) -> None:
    done = fit(make(), root=tmp_path, workers=1)
    calibrate = PARTS.parse({"kind": "temperature", "weights": str(done.weights.folder)})
    same, other = PARTS.parse(TOY), PARTS.parse(TOY | {"arguments": {"gain": 4.0}})
    chain(PARTS.parse({"kind": "median"}), same, calibrate).build()
    with pytest.raises(ConfigError, match="was fitted behind another classifier"):
        chain(other, calibrate).build()
    nodes = {
        "a": Node(use="same"),
        "b": Node(use="other"),
        "vote": Node(use="mean", of=("a", "b")),
        "out": Node(use="calibrate", of="vote"),
    }
    parts = {
        "same": same,
        "other": other,
        "mean": PARTS.parse({"kind": "mean_logits"}),
        "calibrate": calibrate,
    }
    with pytest.raises(
        ConfigError, match=r"part 'calibrate'.*fitted behind another classifier.*fit it again"
    ):
        wire(nodes, parts).build()
    chain(other, PARTS.parse({"kind": "temperature", "value": 2.0})).build()


def test_weights_may_be_called_by_name_or_by_place() -> None:
    from clearsight.data.weights import find

    name = "temperature-cifar10-jpeg75-trades-v1"
    for weights in ("cifar10-jpeg75-trades-v1", str(find("cifar10-jpeg75-trades-v1").folder)):
        classify = PARTS.parse({"kind": "preact_resnet", "weights": weights})
        chain(classify, PARTS.parse({"kind": "temperature", "weights": name})).ready()
        chain(classify, PARTS.parse({"kind": "temperature", "weights": str(find(name).folder)})).ready()


@pytest.mark.slow
def test_a_calibrated_system_is_exported(tmp_path: Path) -> None:
    classify = PARTS.parse({"kind": "small_convnet", "classes": 3, "width": 8})
    graph = chain(classify, PARTS.parse({"kind": "temperature", "value": 2.5}))
    done = export(graph, tmp_path, name="x", options=Options())
    assert done.manifest["verification"]["agrees"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimator": {"kind": "temperature", "value": 2.0}}, "says already what would be fitted"),
        ({"estimator": {"kind": "median"}}, "median"),
        ({"system": ["median"]}, "takes logits, but the system gives images"),
        ({"system": ["classifi"]}, "no part 'classifi'"),
        ({"parts": {}}, "at least 1"),
    ],
)
def test_configs_that_do_not_fit(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_too_few_and_unlabelled_images_are_refused(make: Make, tmp_path: Path) -> None:
    folder = str(tmp_path / "flat")
    names = {"red": 0, "green": 1, "blue": 2}
    few = make(data={"kind": "folder", "path": folder, "take": 24, "label_map": names})
    with pytest.raises(DataError, match=r"\d+ images are left to fit, at least 20 are needed.*'judge'"):
        fit(few, root=tmp_path / "runs", workers=1)
    unlabelled = make(data={"kind": "files", "path": str(tmp_path / "flat" / "red" / "*.png")})
    with pytest.raises(DataError, match="images have no label"):
        fit(unlabelled, root=tmp_path / "runs", workers=1)


def test_images_that_a_card_names_are_refused(tmp_path: Path) -> None:
    net = {"kind": "small_convnet", "weights": "signs-standard-v1"}

    def config(split: str, classify: dict[str, Any] = net) -> Fit:
        return Fit.model_validate(
            {
                "task": "fit",
                "name": "x",
                "data": {
                    "kind": "signs",
                    "split": split,
                    "count": 4000 if split == "train" else 1000,
                    "pixels": 64,
                },
                "parts": {"classify": classify},
                "system": ["classify"],
                "estimator": {"kind": "temperature"},
            }
        )

    with pytest.raises(
        ConfigError, match=r"3592 of these images are the training part of 'signs-standard-v1'"
    ):
        fit(config("train"), root=tmp_path, workers=1)
    with pytest.raises(ConfigError, match=r"\d+ of these images are the test part of 'signs-standard-v1'"):
        fit(config("test"), root=tmp_path, workers=1)
    inside = {"kind": "adapted", "classifier": net}
    with pytest.raises(ConfigError, match="are the training part of 'signs-standard-v1'"):
        fit(config("train", inside), root=tmp_path, workers=1)


def test_the_command(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    (tmp_path / "flat" / "red" / "notes.txt").write_text("x")
    path = tmp_path / "fit.yaml"
    path.write_text(yaml.safe_dump(make().model_dump(mode="json", exclude_unset=True)))
    check(path, measure=False)
    assert "fine; fits 'toy' on 90 images" in " ".join(capsys.readouterr().out.split())
    command(path, tmp_path / "runs", workers=1, device="cpu", quiet=True, backend=Backend())
    shown = " ".join(capsys.readouterr().out.split())
    assert "passed over" in shown
    assert "notes.txt" in shown
    assert "images; temperature " in shown
    assert "on images that took no part: before " in shown
    folder = Path(shown.partition("weights: ")[2])
    assert (folder / "model.safetensors").is_file()
    assert (folder.parents[1] / "config.yaml").read_text() == path.read_text()


def test_a_system_that_gives_probabilities_is_warned_of(make: Make, tmp_path: Path) -> None:
    parts = {"classify": {"kind": "python", "call": "test_fit:probable", "classes": 3}}
    done = fit(make(parts=parts), root=tmp_path, workers=1)
    assert any("probabilities" in warning for warning in done.warnings)


@pytest.mark.slow
def test_conditions_are_drawn_for_each_image_with_one_table(make: Make, tmp_path: Path) -> None:
    each = {"kind": "gaussian_noise", "each": {"severity": [1, 5]}}
    config = make(conditions={"clean": {"kind": "identity"}, "noise": each})
    seen: dict[str, list[Any]] = {}

    class Spy(observing.Side):
        def corrupted(self, sample: Any) -> Any:
            out = super().corrupted(sample)
            seen.setdefault(sample.id, []).append(float(np.abs(out.astype(int) - sample.image).mean()))
            return out

    noisy = fit(config, root=tmp_path / "a", workers=1)
    plain = fit(make(), root=tmp_path / "b", workers=1)
    assert noisy.values["temperature"] != plain.values["temperature"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clearsight.pipelines.fitting.fit.Side", Spy)
        again = fit(config, root=tmp_path / "c", workers=1)
    assert again.values == noisy.values
    changes = [change for (change,) in seen.values()]
    assert len(changes) == COUNT
    assert COUNT // 6 < sum(change == 0 for change in changes) < COUNT // 2
    assert {condition.corruption.table for condition in config.expanded()[1:]} == {"by_size"}


def test_images_of_joined_sources_are_found_too(make: Make, tmp_path: Path) -> None:
    held = {"hold_out": {"per_class": 5}, "label_map": {"red": 0, "green": 1, "blue": 2}}
    told = {
        "kind": "joined",
        "of": [{"kind": "folder", "path": str(tmp_path / "flat"), **held, "subset": "train"}],
    }
    make()
    card = dict.fromkeys(("id", "machine", "limits", "licence"), "x") | {
        "spec": {"kind": "small_convnet"},
        "data": {},
        "figures": {},
        "seed": 0,
        "minutes": 0,
        "recipe": {"data": told, "validation": {"per_class": 5}, "test": told},
    }
    weights = str(save(tmp_path / "w", {"x": torch.zeros(1)}, card).folder)
    every = Folder(path=str(tmp_path / "flat"), label_map=held["label_map"])
    for data in (every, Joined(of=(every,))):
        with pytest.raises(ConfigError, match="60 of these images are the training part"):
            refuse_training_images(data, weights)
        with pytest.raises(ConfigError, match="75 of these images are the test part"):
            refuse_test_images(data, weights)
    apart = every.model_copy(
        update={"hold_out": Folder.model_validate(told["of"][0]).hold_out, "subset": "held_out"}
    )
    refuse_test_images(apart, weights)
    refuse_training_images(apart, weights)
