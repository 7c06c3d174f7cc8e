"""The contestants: every shipped restoration network, and the classical methods with tuned constants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import nn

from clearsight.data.contract.errors import WeightsError
from clearsight.data.weights import Weights, shipped
from clearsight.restore.catalogue import RESTORERS

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.restore.base import RestorerSpec

# The constants with the best mean PSNR over colour crops of 8 photos of the BSDS500 training part, from the
# grids that `python benchmarks/restoration.py --tune` searches; the test sets decided nothing.
CLASSICAL_DENOISERS: dict[int, dict[str, dict[str, Any]]] = {
    15: {
        "median": {"size": 3},
        "bilateral": {"sigma": 15 / 255, "reach": 2.0, "tolerance": 1.5},
        "total_variation": {"sigma": 15 / 255, "strength": 0.9, "iterations": 60},
        "non_local_means": {"sigma": 15 / 255, "tolerance": 0.8},
        "wavelet": {"sigma": 15 / 255, "basis": "daubechies2", "levels": 4, "strength": 1.5},
        "sliding_dct": {"sigma": 15 / 255},
        "bm3d": {"sigma": 15 / 255},
    },
    25: {
        "median": {"size": 3},
        "bilateral": {"sigma": 25 / 255, "reach": 2.0, "tolerance": 1.5},
        "total_variation": {"sigma": 25 / 255, "strength": 1.0, "iterations": 60},
        "non_local_means": {"sigma": 25 / 255, "tolerance": 0.7},
        "wavelet": {"sigma": 25 / 255, "basis": "haar", "levels": 4, "strength": 1.5},
        "sliding_dct": {"sigma": 25 / 255},
        "bm3d": {"sigma": 25 / 255},
    },
    50: {
        "median": {"size": 5},
        "bilateral": {"sigma": 50 / 255, "reach": 2.0, "tolerance": 2.0},
        "total_variation": {"sigma": 50 / 255, "strength": 1.25, "iterations": 60},
        "non_local_means": {"sigma": 50 / 255, "tolerance": 0.7},
        "wavelet": {"sigma": 50 / 255, "basis": "haar", "levels": 4, "strength": 1.5},
        "sliding_dct": {"sigma": 50 / 255},
        "bm3d": {"sigma": 50 / 255},
    },
}
"""Standard deviation in levels -> kind -> fields."""
# As above, on 5 crops with a motion and a defocus kernel and noise of one level.
DECONVOLVERS: dict[str, dict[str, Any]] = {
    "richardson_lucy": {"iterations": 40},
    "tikhonov": {"weight": 0.001},
    "wiener": {"sigma": 2 / 255},
    "plug_and_play": {"sigma": 2 / 255},
}
"""Kind -> fields; others that take a kernel keep their defaults."""
METHOD_OF_TASK = {
    "denoise": ("denoise",),
    "real": ("denoise", "realistic"),
    "deblur": ("deblur",),
    "sr": ("super_resolution",),
    "lowlight": ("enlighten_gan", "zero_dce"),
}
"""Task -> training methods whose weights take part in it."""
ENLIGHTENERS: dict[str, dict[str, Any]] = {
    "gamma 0.45": {"kind": "gamma", "gamma": 0.45},
    "CLAHE": {"kind": "clahe"},
    "histogram equalization": {"kind": "histogram_equalization"},
}


def resolved(node: dict[str, Any]) -> RestorerSpec:
    """Return the spec that a mapping describes, with the fields from the card of its weights."""
    return RESTORERS.parse(node).resolved()


@dataclass(frozen=True)
class Contestant:
    """Something that restores: one part, or several one after another.

    Attributes:
        label: what tables call it.
        nodes: a mapping for each part, as in YAML; none at all for the input as it is.
        learned: True for a network with shipped weights.
    """

    label: str
    nodes: tuple[dict[str, Any], ...]
    learned: bool = False

    @cached_property
    def module(self) -> nn.Module:
        """Return the parts in a row, in eval mode."""
        return nn.Sequential(*(RESTORERS.parse(node).build() for node in self.nodes)).eval()

    @property
    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(p.numel() for p in self.module.parameters()) if self.learned else 0

    def takes(self, channels: int) -> bool:
        """Tell whether every part accepts this number of channels."""
        return all(channels in resolved(node).facts.channels for node in self.nodes)

    def __call__(self, x: Tensor) -> Tensor:
        """Restore (n, c, h, w)."""
        out: Tensor = self.module(x)
        return out


INPUT = Contestant("input", ())
"""The degraded image that all others start from."""


def method_of(weights: Weights) -> str:
    """Return the kind of the training method that made the weights, '' where the card does not say."""
    recipe = weights.card.get("recipe")
    method = recipe.get("method") if isinstance(recipe, dict) else None
    return str(method.get("kind", "")) if isinstance(method, dict) else ""


def networks(task: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (id, node) of every shipped network that was trained for the task."""
    for weights in shipped():
        kind = str(weights.card["spec"].get("kind"))
        if kind in RESTORERS.kinds and method_of(weights) in METHOD_OF_TASK[task]:
            name = weights.folder.name
            yield name, {"kind": kind, "weights": name}


def denoisers(sigma: int, channels: int) -> list[Contestant]:
    """Return the denoisers for noise of ``sigma`` levels: with a noise map, sigma is given or estimated."""
    found = [
        Contestant(kind, ({"kind": kind, **fields},)) for kind, fields in CLASSICAL_DENOISERS[sigma].items()
    ]
    for name, node in networks("denoise"):
        spec = resolved(node)
        if spec.conditioned_on("noise_level"):
            found.append(Contestant(f"{name}, sigma told", (node | {"sigma": sigma / 255},), learned=True))
            found.append(Contestant(f"{name}, sigma auto", (node | {"sigma": "auto"},), learned=True))
        else:
            found.append(Contestant(f"{name}, blind", (node,), learned=True))
    return [each for each in found if each.takes(channels)]


def blind(task: str) -> list[Contestant]:
    """Return the networks of a task as blind methods: a noise map is estimated from the image."""
    return [Contestant(name, (node,), learned=True) for name, node in networks(task)]


def enlargers(scale: int) -> list[Contestant]:
    """Return bicubic enlargement and the shipped super-resolvers of a scale."""
    bicubic = Contestant("bicubic", ({"kind": "bicubic", "scale": scale},))
    found = blind("sr")
    right = [each for each in found if resolved(each.nodes[0]).facts.scale == scale]
    return [bicubic, *right]


def enlighteners() -> list[Contestant]:
    """Return tone curves and shipped low-light networks, these also behind the colour denoiser."""
    classical = [Contestant(label, (node,)) for label, node in ENLIGHTENERS.items()]
    learned = blind("lowlight")
    first = next((each for each in blind("denoise") if each.takes(3)), None)
    if first is None:
        return [*classical, *learned]
    behind = [
        Contestant(f"{first.label} + {each.label}", (*first.nodes, *each.nodes), learned=True)
        for each in learned
    ]
    return [*classical, *learned, *behind]


def _is_ready(spec: RestorerSpec) -> bool:
    """Tell whether the weights that a method names are there; it is left out of the tables otherwise."""
    try:
        spec.ready()
    except WeightsError:
        return False
    return True


def deconvolvers(kernel: str) -> list[Contestant]:
    """Return every non-blind deblurring method, with the kernel in the .npy file ``kernel``."""
    found = []
    for kind, spec in RESTORERS.kinds.items():
        if "kernel" in spec.model_fields and spec.model_fields["kernel"].default != "auto":
            node = {"kind": kind, "kernel": {"kind": "file", "path": kernel}, **DECONVOLVERS.get(kind, {})}
            if _is_ready(RESTORERS.parse(node)):
                found.append(Contestant(f"{kind} (kernel told)", (node,)))
    return found
