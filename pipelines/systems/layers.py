"""The layers of a system that is one classifier: what bound-based certificates propagate through."""

from __future__ import annotations

from torch import nn

from clearsight.defend.bounds.layers import Scale, unrolled
from clearsight.pipelines.systems.system import System


def layers_of_system(system: System) -> list[tuple[str, nn.Module]]:
    """Return the normalisation of the images and the layers of the network, by name.

    What the network does beside its layers is found by comparing the logits
    (`clearsight.defend.bounds.layers.refuse_other`).

    Args:
        system: a single classifier; `clearsight.pipelines.systems.certifiable` lets no other pass.
    """
    (classifier,) = system.classifiers
    scale = Scale(1.0 / classifier.std, -classifier.mean / classifier.std)
    return [("normalisation", scale), *unrolled(classifier.network)]
