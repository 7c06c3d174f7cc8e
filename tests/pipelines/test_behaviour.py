"""What a run says, before it measures, of systems whose figures would not hold; and where it stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clearsight.data.contract.errors import DataError
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.plan import prepare
from clearsight.pipelines.evaluation.run import run

CODE = """
import torch
from torch import nn


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 17)

    def forward(self, x):
        return self.head(x.mean((2, 3)))


class Softmax(Plain):
    def forward(self, x):
        return super().forward(x).softmax(1)


class Dropout(Plain):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class Noise(Plain):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x))


class BatchStatistics(Plain):
    def forward(self, x):
        out = super().forward(x)
        return (out - out.mean(0)) / (out.std(0, unbiased=False) + 0.1)


class Flat(Plain):
    def forward(self, x):
        spread = x.std((1, 2, 3), keepdim=True)
        return super().forward((x - x.mean()) / spread)


class Infinite(Plain):
    def forward(self, x):
        return super().forward(x) / (x.amax((1, 2, 3)) > 0.99).float()[:, None]
"""


def config(folder: Path, what: str, **fields: Any) -> Evaluate:
    (folder / "m.py").write_text(CODE)
    part = {"kind": "python", "call": f"{folder / 'm.py'}:{what}", "classes": 17} | fields
    return Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "behaviour",
            "data": {"kind": "signs", "split": "test", "count": 12, "size": 32},
            "parts": {"a": part, "blur": {"kind": "median"}},
            "systems": {"plain": ["a"], "restored": ["blur", "a"]},
            "conditions": {"clean": {"kind": "identity"}},
        }
    )


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("Softmax", "gives probabilities where logits are expected"),
        ("Dropout", "gives different outputs for equal images"),
        ("Noise", "gives different outputs for equal images"),
        ("BatchStatistics", "gives an image other outputs in company than alone"),
    ],
)
def test_systems_whose_figures_do_not_hold_are_named(what: str, words: str, tmp_path: Path) -> None:
    warnings = prepare(config(tmp_path, what), root=tmp_path / "runs", device="cpu").warnings
    assert len(warnings) == 2
    assert all(words in warning for warning in warnings)
    assert [warning.split("'")[1] for warning in warnings] == ["plain", "restored"]


def test_nothing_is_said_of_sound_systems(tmp_path: Path) -> None:
    assert prepare(config(tmp_path, "Plain"), root=tmp_path / "runs", device="cpu").warnings == ()
    told = config(tmp_path, "Softmax", output="probabilities")
    assert prepare(told, root=tmp_path / "runs", device="cpu").warnings == ()


def test_the_warning_stands_in_summary_and_report(tmp_path: Path) -> None:
    folder = run(config(tmp_path, "Softmax"), root=tmp_path / "runs", workers=1, device="cpu")
    words = "gives probabilities where logits are expected"
    assert words in folder.summary.read_text(encoding="utf-8")
    assert words in folder.report.read_text(encoding="utf-8")


@pytest.mark.parametrize("what", ["Flat", "Infinite"])
def test_values_that_are_not_finite_end_the_run_with_the_image(what: str, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(CODE)
    import numpy as np

    from clearsight.data.media.images import encode_png

    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(6):
            pixels = (
                np.random.Generator(np.random.Philox(key=number))
                .integers(0, 256, (16, 16, 3))
                .astype(np.uint8)
            )
            pixels[0, 0] = 255
            if (name, number) == ("b", 3):
                pixels[:] = 120
            (tmp_path / "in" / name / f"{number}.png").write_bytes(encode_png(pixels))
    fields = {"data": {"kind": "folder", "path": str(tmp_path / "in"), "label_map": {"a": 0, "b": 1}}}
    made = Evaluate.model_validate(config(tmp_path, what).model_dump() | fields)
    with pytest.raises(DataError) as caught:
        run(made, root=tmp_path / "runs", workers=1, device="cpu")
    message = str(caught.value)
    assert "part 'a' gives values that are not finite for image 'b/3.png'" in message
    assert "system 'plain', condition 'clean'" in message
    assert not list((tmp_path / "runs").rglob("chunk-*.parquet"))
