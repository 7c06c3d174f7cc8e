"""What an image is for: classification by hand-computed figures."""

from __future__ import annotations

import math

import torch

from clearsight.pipelines.utility.classification import CLASSES


def test_loss_and_right_of_known_logits() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0], [0.0, 0.0]])
    truths = torch.tensor([1, 1, 0])
    expected = torch.tensor([math.log(4 / 3), math.log(5.0), math.log(2.0)])
    assert torch.allclose(CLASSES.loss(logits, truths), expected)
    assert CLASSES.right(logits, truths).tolist() == [True, False, True]
    assert CLASSES.primary == "correct"
