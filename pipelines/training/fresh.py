"""What a training starts from: networks with fresh or given weights, their optimisers and their average."""

from __future__ import annotations

import torch
from torch import nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.initial import initialise
from clearsight.data.weights import state as weights_of
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.systems.device import layout
from clearsight.pipelines.systems.precision import full_outputs
from clearsight.pipelines.training.average import Average
from clearsight.pipelines.training.dividing import divided
from clearsight.pipelines.training.optimiser import optimiser
from clearsight.pipelines.training.ranks import Ranks
from clearsight.pipelines.training.state import State
from clearsight.pipelines.training.task import TrainingTask


def fresh_state(config: TrainConfig, task: TrainingTask, rng: Rng, ranks: Ranks, device: str) -> State:
    """Return the state before the first step; equal in all processes.

    Args:
        config: what is trained.
        task: its images.
        rng: the stream of the run.
        ranks: the processes that passes through the networks are divided among.
        device: where the networks are.

    Raises:
        ConfigError: the weights to start from do not fit, or the network cannot be compiled here.
    """
    spec = task.spec
    model: nn.Module = spec.build()
    if spec.weights is None:
        initialise(model.get_submodule("network"), rng.at("initial"))
    if config.init is not None:
        _take_over(model, config.init)
    model = task.wrapped(model, rng.at("initial"))
    networks = config.method.networks(model)
    for name, network in networks.items():
        if network is not model and not getattr(network, "pretrained", False):
            initialise(network, rng.at("initial", name))
    for network in networks.values():
        order = layout(network, device)
        network.to(device=device, memory_format=order).train()  # type: ignore[call-overload]
    if config.compile and layout(model, device) is torch.contiguous_format:
        raise ConfigError(
            "torch crashes on a CPU when it compiles strided 1x1 convolutions",
            where="compile",
            hint="leave it out",
        )
    if config.precision != "fp32":
        full_outputs(networks.values())
    divided(networks, ranks)
    averaged = config.ema is not None or config.swa is not None
    average = Average(model, config.ema) if averaged else None
    optimisers = {
        name: optimiser(network.parameters(), config.optimiser)
        for name, network in networks.items()
        if any(parameter.requires_grad for parameter in network.parameters())
    }
    return State(networks, optimisers, average)


def _take_over(model: nn.Module, weights: str) -> None:
    """Copy the tensors that fit; the network's others stay fresh."""
    network = model.get_submodule("network")
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in weights_of(weights).items()
        if name in own and own[name].shape == value.shape
    }
    if not fitting:
        raise ConfigError(f"no tensor of '{weights}' fits the model", where="init")
    network.load_state_dict(own | fitting)
