"""Temporary modes of a network in training, while it is attacked or evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def attacked(model: nn.Module) -> Iterator[None]:
    """Hold a model in eval mode, its parameters without gradients, which the backward pass then skips."""
    training = model.training
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        model.train(training)


@contextmanager
def unrecorded(model: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the statistics of the batch without adding them to the running ones."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    recording = [
        module for module in model.modules() if isinstance(module, kinds) and module.track_running_stats
    ]
    for module in recording:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in recording:
            module.track_running_stats = True
