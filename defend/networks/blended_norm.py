"""Batch normalisation whose statistics are part stored, part of the batch at hand."""

from __future__ import annotations

from torch import Tensor, nn


class BlendedNorm(nn.Module):
    """A trained batch normalisation that mixes in the batch's own mean and variance.

    Of n images the batch's statistics weigh n / (n + prior), the stored ones the rest (Schneider et al. 2020,
    arXiv:2006.16971). Nothing is updated: the next batch starts from the stored ones again.

    Args:
        norm: the trained layer, with stored statistics.
        prior: strength of the stored statistics, in images; 0 leaves them out.
    """

    def __init__(self, norm: nn.BatchNorm2d, prior: float) -> None:
        """Take over the layer."""
        super().__init__()
        self.norm, self.prior = norm, prior

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h, w), normalised."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        share = len(x) / (len(x) + self.prior)
        mean = norm.running_mean.lerp(x.mean(dim=(0, 2, 3)), share)
        variance = norm.running_var.lerp(x.var(dim=(0, 2, 3), unbiased=False), share)
        # As written out, because batch_norm gives no gradient for statistics that it is handed.
        y = (x - mean[:, None, None]) * (variance + norm.eps).rsqrt()[:, None, None]
        if norm.affine:
            y = y * norm.weight[:, None, None] + norm.bias[:, None, None]
        return y


def blend_norms(network: nn.Module, prior: float) -> int:
    """Replace every batch normalisation of a network that stores statistics; return how many there were."""
    places = [
        (parent, name)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.BatchNorm2d) and child.track_running_stats
    ]
    for parent, name in places:
        setattr(parent, name, BlendedNorm(getattr(parent, name), prior))
    return len(places)
