"""A condition that is a list: the corruptions in order, each with numbers of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.gaussian_noise import GaussianNoise
from clearsight.data.corruptions.identity import Identity
from clearsight.data.corruptions.jpeg_compression import JpegCompression
from clearsight.data.corruptions.low_light import LowLight
from clearsight.data.corruptions.mixed import MixedCorruption
from clearsight.data.corruptions.sequence import CorruptionSequence, in_order
from clearsight.data.sources.folder import Folder
from clearsight.defend.classifiers.python import PythonClassifier
from clearsight.pipelines.cli.check import command as check
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.yaml_reader import parse
from clearsight.pipelines.evaluation import worker
from clearsight.pipelines.evaluation.api import evaluate
from clearsight.pipelines.evaluation.job import CellChunk
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.runs.folder import read_json

Make = Callable[..., Evaluate]
NIGHT = [{"kind": "low_light", "severity": 3}, {"kind": "jpeg_compression", "severity": 2}]
NOISE = {"kind": "gaussian_noise", "severity": 3}
IMAGE = Rng(0).at("image").numpy().integers(0, 256, (24, 20, 3), dtype=np.uint8)
STREAM = Rng(5).at("corrupt", "toy/1")


def test_the_steps_are_applied_one_after_the_other() -> None:
    dark, packed = LowLight(severity=3), JpegCompression(severity=2)
    both = CorruptionSequence(steps=(dark, packed))
    assert np.array_equal(both(IMAGE, STREAM), packed(dark(IMAGE, STREAM), STREAM))
    assert (both.kind, both.severity, both.table) == ("low_light + jpeg_compression", 3, "by_size")
    assert CorruptionSequence(steps=(packed, dark)).key() != both.key()


def test_equal_steps_draw_different_numbers() -> None:
    noise = GaussianNoise(severity=3)
    twice = CorruptionSequence(steps=(noise, noise))(IMAGE, STREAM)
    once = noise(IMAGE, STREAM)
    assert np.array_equal(twice, noise(once, STREAM.at("step", 1)))
    assert not np.array_equal(twice, noise(once, STREAM))


def test_a_list_of_one_is_the_entry_alone(make_config: Make) -> None:
    noise = GaussianNoise(severity=3)
    assert in_order((noise,)) == in_order(noise) == noise
    alone, listed = make_config(conditions={"c": NOISE}), make_config(conditions={"c": [NOISE]})
    assert alone.expanded() == listed.expanded()


def test_sequences_survive_json_and_objects(make_config: Make) -> None:
    config = make_config(conditions={"night": NIGHT})
    assert Evaluate.model_validate(config.model_dump(mode="json")) == config
    (condition,) = config.expanded()["night"]
    assert make_config(conditions={"night": condition.corruption}) == config
    assert make_config(conditions={"night": NIGHT[::-1]}).key() != config.key()


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("[]", r"c.yaml:2: conditions.night: .*at least 1 item"),
        (
            "[{kind: fog}, {kind: low_lite}]",
            r"c.yaml:2: conditions.night.1: unknown kind 'low_lite'.*low_light",
        ),
        ("[{kind: fog, severity: 9}]", r"c.yaml:2: conditions.night.0.severity: .*less than or equal to 5"),
    ],
)
def test_mistakes_name_the_place(node: str, message: str) -> None:
    text = (
        f"conditions:\n  night: {node}\ntask: evaluate\nname: x\ndata: {{kind: signs}}\n"
        "parts: {m: {kind: median}}\nsystems: {m: [m]}\n"
    )
    with pytest.raises(ConfigError, match=message):
        parse(text, Path("c.yaml")).parse(Evaluate)


@pytest.mark.slow
def test_a_run_is_killed_and_resumed_and_names_the_steps(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config(conditions={"clean": {"kind": "identity"}, "night": NIGHT, "noise": [NOISE]})
    whole = run(config, root=tmp_path / "whole", workers=1)
    measure, calls = worker.Bench.measure, []

    def stop(bench: worker.Bench, chunk: CellChunk, sent: None) -> int:
        calls.append(chunk)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return measure(bench, chunk)

    monkeypatch.setattr(worker.Bench, "measure", stop)
    with pytest.raises(KeyboardInterrupt):
        run(config, root=tmp_path / "parts", workers=1)
    monkeypatch.undo()
    resumed = run(config, root=tmp_path / "parts", workers=1)
    rows = "results.parquet"
    assert (resumed.path / rows).read_bytes() == (whole.path / rows).read_bytes()
    # The entry alone gives the rows of a list of one.
    alone = run(
        config.model_copy(
            update={"conditions": config.conditions | make_config(conditions={"noise": NOISE}).conditions}
        ),
        root=tmp_path / "alone",
        workers=1,
    )
    assert parquet.read_table(alone.path / rows) == parquet.read_table(whole.path / rows)
    figures = Figures(read_json(whole.summary))
    assert figures.title("night") == "low light 3 then jpeg compression 2"
    assert [row.label for row in figures.rows()] == ["low_light + jpeg_compression", "gaussian_noise"]
    assert "low light + jpeg compression" in (whole.path / "report.html").read_text()
    (tmp_path / "c.yaml").write_text((whole.path / "config.yaml").read_text())
    check(tmp_path / "c.yaml", measure=False)
    assert "3 conditions" in " ".join(capsys.readouterr().out.split())


def test_python_takes_lists_too(images: Path, tmp_path: Path) -> None:
    report = evaluate(
        Folder(path=str(images)),
        {"plain": PythonClassifier(call="toy:brightest", classes=3)},
        conditions=[Identity(), [LowLight(severity=3), JpegCompression(severity=2)]],
        root=tmp_path,
        workers=1,
    )
    names = [condition["name"] for condition in report.summary["conditions"]]
    assert names == ["clean", "low_light-3+jpeg_compression-2"]


def test_nothing_is_no_sequence() -> None:
    with pytest.raises(ValidationError, match="at least 2 items"):
        CorruptionSequence(steps=())


def test_in_a_stream_every_image_gets_one_corruption_of_the_set(make_config: Make) -> None:
    (stream,) = make_config(
        conditions={"stream": {"mixed": "imagenet_c_extra_4", "severity": [2, 4]}}
    ).expanded()["stream"]
    mixed = stream.corruption
    assert isinstance(mixed, MixedCorruption)
    assert (stream.name, mixed.kind, mixed.severity, mixed.clean) == ("stream", "one of 8", 4, False)
    drawn = set()
    for number in range(60):
        rng = Rng(5).at("corrupt", number)
        out = mixed(IMAGE, rng)
        assert np.array_equal(out, mixed(IMAGE, rng))
        alone = [np.array_equal(out, choice(IMAGE, rng)) for choice in mixed.choices]
        assert any(alone)
        drawn.add(alone.index(True))
    assert len(drawn) == 8


def test_a_stream_is_written_back_as_it_was_read(make_config: Make) -> None:
    config = make_config(conditions={"stream": {"mixed": "imagenet_c_15", "severity": 3}})
    again = make_config(conditions=config.model_dump(mode="json")["conditions"])
    assert again.key() == config.key()
