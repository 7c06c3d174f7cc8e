"""A sense that was fitted by hand: it names severe noise where the finest residual is large, and nothing else."""

from __future__ import annotations

from pathlib import Path

import torch

from clearsight.data.weights import save
from clearsight.restore.networks.degradation_sense import TONES
from clearsight.restore.sense_base import DAMAGE
from clearsight.restore.senses.degradation import DegradationSense

CARD = dict.fromkeys(("data", "recipe", "seed", "minutes", "machine", "figures", "limits", "licence"), "")
MIDDLE = -3.5
"""Logarithm of the mean residual from which noise is named: about 0.03."""


def sense_weights(folder: Path, *, steep: float = 4.0) -> str:
    """Write weights and return their folder.

    Args:
        folder: where to.
        steep: logits a unit of the logarithm of the residual.
    """
    spec = DegradationSense(width=4, hidden=8)
    network = spec.network()
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    # The mean residual is the last but one of the tones, which follow the means and spreads of the colours.
    mean_residual = 6 + TONES - 2
    state["sense.weight"][0, mean_residual] = 1.0
    state["sense.bias"][0] = 10.0
    state["tell.bias"][: len(DAMAGE)] = -6.0
    noise = DAMAGE.index("noise")
    state["tell.weight"][noise, 0] = steep
    state["tell.bias"][noise] = -steep * (10.0 + MIDDLE)
    state["tell.bias"][len(DAMAGE) + noise] = 6.0
    told = CARD | {"id": "toy", "spec": spec.model_dump(mode="json", exclude={"weights"})}
    save(folder, state, told)
    return str(folder)
