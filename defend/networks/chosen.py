"""Some of a network's logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError


class Chosen(nn.Module):
    """A network and the places of the logits that are kept."""

    def __init__(self, network: nn.Module, only: Sequence[int], place: str) -> None:
        """Keep both; ``place`` is what messages call the part."""
        super().__init__()
        self.network, self.only, self.place = network, list(only), place

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, chosen).

        Raises:
            ConfigError: the network gives fewer logits.
        """
        out: Tensor = self.network(x)
        if out.ndim != 2 or out.shape[1] <= max(self.only):
            raise ConfigError(
                f"the network gives {tuple(out.shape)}, which has no logit {max(self.only)}",
                where=self.place,
                hint="fix 'only'",
            )
        return out[:, self.only]


class LogitsOf(nn.Module):
    """A network whose output carries logits as an attribute."""

    def __init__(self, network: nn.Module) -> None:
        """Keep the network."""
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        out: Tensor = self.network(x).logits
        return out
