"""Passes through a network, divided among the processes of a training.

A network that is `divided` is the same function of a whole batch as before. Each process sends its part of
the rows through it and gets the outputs of all rows, so that a method, its attack and its losses see the
whole batch everywhere: what weighs images against each other, or stops some of them early, needs no second
form. Gradients of inputs come back whole as well; those of weights are added up.

torch's own DistributedDataParallel cannot serve here: it expects one forward and one backward pass a step
through the module that it wraps, and averages the gradients of losses that must not look at other processes'
images.

Within a divided pass each process holds ``size`` times its own share of every gradient, so that the mean over
processes is the whole; what was not divided is equal everywhere and its own mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.training.ranks import Ranks


class _Part(Function):
    """The rows of this process. A process that has none takes the first row, whose outputs are left out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks, ctx.n = ranks, len(x)
        part = x[ranks.rows(len(x))]
        return (part if len(part) else x[:1]).clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        return _whole(slopes[0], ctx.n, ctx.ranks) / ctx.ranks.size, None


class _Whole(Function):
    """The rows of all processes."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, n: int, ranks: Ranks) -> Tensor:
        ctx.ranks, ctx.n = ranks, n
        return ranks.gathered(part, n)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        ranks: Ranks = ctx.ranks
        part = _part(slopes[0], ranks) * ranks.size
        rows = range(ctx.n)[ranks.rows(ctx.n)]
        return part if len(rows) else part * 0.0, None, None


class _Sum(Function):
    """The sum over processes, of a tensor that each has within a divided pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        """Return the sum."""
        ctx.ranks = ranks
        return ranks.summed(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Return the sum of what the processes' parts of the loss say of it."""
        return summed(slopes[0], ctx.ranks), None


def _part(x: Tensor, ranks: Ranks) -> Tensor:
    out: Tensor = _Part.apply(x, ranks)  # type: ignore[no-untyped-call]
    return out


def _whole(part: Tensor, n: int, ranks: Ranks) -> Tensor:
    out: Tensor = _Whole.apply(part, n, ranks)  # type: ignore[no-untyped-call]
    return out


def summed(x: Tensor, ranks: Ranks) -> Tensor:
    """Return the sum over processes, of a tensor that each has within a divided pass."""
    out: Tensor = _Sum.apply(x, ranks)  # type: ignore[no-untyped-call]
    return out


class Divider:
    """Hooks that divide the passes through modules; of modules within each other, those of the outermost.

    Attributes:
        ranks: the processes.
        n: rows of the batch whose pass is divided at this moment; None outside.
    """

    def __init__(self, ranks: Ranks) -> None:
        """Begin outside of any pass."""
        self.ranks = ranks
        self.n: int | None = None
        self._outermost: nn.Module | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Divider:
        """Return itself: copies of a network belong to the same processes."""
        return self

    def attach(self, network: nn.Module) -> None:
        """Divide all passes through a network, and let its weights have the gradients of whole batches.

        Methods call a classifier as a whole, and of a restorer or a sense what is called ``network`` in it.
        """
        inner = [each for name, each in network.named_modules() if name.split(".")[-1] == "network"]
        for module in (network, *inner):
            module.register_forward_pre_hook(self._enter, with_kwargs=True)
            module.register_forward_hook(self._leave, always_call=True)
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.register_hook(self._averaged)  # type: ignore[no-untyped-call]

    def _averaged(self, slope: Tensor) -> Tensor:
        return self.ranks.summed(slope) / self.ranks.size if self.ranks.dividing else slope

    def _enter(
        self, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        tensors = [each for each in (*inputs, *named.values()) if isinstance(each, Tensor) and each.dim()]
        if self._outermost is not None or not self.ranks.dividing or not tensors:
            return None
        self._outermost, self.n = module, len(tensors[0])

        def part(value: Any) -> Any:
            rows = isinstance(value, Tensor) and value.dim() and len(value) == self.n
            return _part(value, self.ranks) if rows else value

        return tuple(map(part, inputs)), {name: part(value) for name, value in named.items()}

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if module is not self._outermost or self.n is None:
            return None
        n, self.n, self._outermost = self.n, None, None
        return None if output is None else self._whole(output, n)

    def _whole(self, output: Any, n: int) -> Any:
        if isinstance(output, (tuple, list)):
            return type(output)(self._whole(each, n) for each in output)
        rows = max(1, len(range(n)[self.ranks.rows(n)]))
        if not isinstance(output, Tensor) or not output.dim() or len(output) != rows:
            raise ConfigError(
                "the network does not give one output an image, so its batches cannot be divided",
                where="model",
                hint="train it in one process",
            )
        return _whole(output, n, self.ranks)


def divided(networks: Mapping[str, nn.Module], ranks: Ranks) -> None:
    """Divide the passes through these networks among processes; batch normalisation sees whole batches.

    Call it before optimisers are made and after fresh weights were drawn.

    Args:
        networks: name -> network; they are changed in place.
        ranks: the processes; where there is but one, nothing changes.
    """
    if ranks.size == 1:
        return
    divider = Divider(ranks)
    for network in {id(each): each for each in networks.values()}.values():
        whole_batch_norms(network, divider)
        divider.attach(network)


def whole_batch_norms(network: nn.Module, divider: Divider) -> None:
    """Let all batch normalisation in a network use the statistics of whole batches, in place."""
    for module in network.modules():
        kind = WHOLE.get(type(module))
        if kind is not None:
            # The same object, so that whoever holds it, or its parameters, still does.
            module.__class__ = kind
            module.divider = divider  # type: ignore[assignment]


class _WholeBatchNorm:
    """Mixed into a kind of batch normalisation: statistics of the whole batch, over all processes.

    torch's SyncBatchNorm is for GPUs only. Statistics of each part by itself would make a training depend on
    the number of processes.
    """

    divider: Divider

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch (n, c, ...) as torch's module does one that is not divided."""
        layer: Any = self
        n = self.divider.n
        if not layer.training or n is None or not self.divider.ranks.dividing:
            out: Tensor = super().forward(x)  # type: ignore[misc]
            return out
        wide = x if x.dtype is torch.float64 else x.float()
        mean, variance, count = self._statistics(wide, n)
        if layer.track_running_stats and layer.running_mean is not None:
            _record(layer, mean.detach(), variance.detach() * count / max(count - 1, 1))
        scale = (variance + layer.eps).rsqrt()
        shift = -mean * scale
        if layer.affine:
            scale, shift = scale * layer.weight, shift * layer.weight + layer.bias
        view = (1, -1, *(1 for _ in x.shape[2:]))
        return torch.addcmul(shift.view(view), wide, scale.view(view)).to(x.dtype)

    def _statistics(self, x: Tensor, n: int) -> tuple[Tensor, Tensor, int]:
        """Return mean (c,), biased variance (c,) and values in a channel, of the whole batch."""
        ranks = self.divider.ranks
        axes = [0, *range(2, x.dim())]
        own = torch.stack(torch.var_mean(x, axes, correction=0))
        # Each process's own row, the others' zero: the sum is what all have, to the last bit.
        rows = x.new_zeros(ranks.size, 1, 1)
        rows[ranks.rank] = 1.0
        variances, means = summed(rows * own, ranks).unbind(1)
        counts = x.new_tensor([len(range(n)[ranks.rows(n, rank)]) for rank in range(ranks.size)])[:, None] / n
        mean = (counts * means).sum(0)
        # Chan et al. 1979: variances of parts make that of the whole without squares of large means.
        variance = (counts * (variances + (means - mean).square())).sum(0)
        return mean, variance, n * x[0, 0].numel()


@torch.no_grad()
def _record(layer: Any, mean: Tensor, variance: Tensor) -> None:
    """Add statistics to the running ones, as torch does it."""
    layer.num_batches_tracked.add_(1)
    weight = 1.0 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean.to(layer.running_mean), weight)
    layer.running_var.lerp_(variance.to(layer.running_var), weight)


class WholeBatchNorm1d(_WholeBatchNorm, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the batches of all processes."""


class WholeBatchNorm2d(_WholeBatchNorm, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` over the batches of all processes."""


class WholeBatchNorm3d(_WholeBatchNorm, nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d` over the batches of all processes."""


WHOLE: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: WholeBatchNorm1d,
    nn.BatchNorm2d: WholeBatchNorm2d,
    nn.BatchNorm3d: WholeBatchNorm3d,
}
"""Kind of batch normalisation -> the one that takes its place."""
