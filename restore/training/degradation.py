"""Telling what is wrong with an image: the damage that is drawn in training is itself the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.method import MODEL, Method, TrainBatch
from clearsight.data.contract.spec import Flow, Number
from clearsight.data.corruptions.base import BY_SIZE, TABLES, Table, fitting
from clearsight.restore.sense_base import DAMAGE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.sense import Sense

CLEAN = "clean"
SIDES = (32, 64, 96, 160, 224)
KINDS: Mapping[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "darkness": ("low_light",),
    "overexposure": ("brightness",),
    "low_contrast": ("fog", "contrast"),
    "compression": ("jpeg_compression", "pixelate"),
    "weather": ("snow", "frost", "spatter"),
}
"""Kinds of corruptions, by the damage that they are. Elastic distortion and saturation count as none."""
ORDER = ("darkness", "overexposure", "low_contrast", "weather", "blur", "noise", "compression")
"""In which order damage comes about: before the lens, in it, on the sensor, in the file."""
NOISY_DARK = "darkness"
"""Damage that adds noise itself, so that the presence of noise is not judged."""
NOISE_FLOOR = 0.05
"""Added to the true level, which errors of the level are divided by: weak noise counts more than strong."""
Share = Annotated[Number, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Drawn:
    """Damaged images and what was done to them.

    Attributes:
        images: (n, 3, h, w), in 8 bits.
        presence: (n, kinds), 1 where the damage was done.
        judged: (n, kinds), 0 where its presence does not enter the loss.
        severity: (n, kinds), severity from 1 to 5; 0 where there is no target: not done, or by another table.
        noise_level: (n,), standard deviation of what the noise changed, for values in [0, 1].
        level_judged: (n,), 0 where it is not known.
    """

    images: Tensor
    presence: Tensor
    judged: Tensor
    severity: Tensor
    noise_level: Tensor
    level_judged: Tensor


class Degradation(Method):
    """Damage photographs with one or two kinds of damage; the network is to say which, and how bad.

    No labels are needed: what is drawn is the target. Severities are those of the corruptions at the size of
    the crop; a share of the draws takes the constants of another size, so that milder and stronger damage
    than the benchmark's is seen too, and teaches presence alone.
    """

    kind: Literal["degradation"] = "degradation"
    purpose: ClassVar[str] = "tells kind and severity of damage, without labels"
    trains: ClassVar[Flow] = Flow.DAMAGE

    clean: Share = 0.3
    """Share of the images that are left as they are."""
    twice: Share = 0.3
    """Share of the damaged images that have two kinds of damage."""
    other_tables: Share = 0.4
    """Share of the damage whose severity constants are drawn from all tables, whatever the size."""
    sides: Annotated[tuple[Annotated[int, Field(ge=16, le=1024)], ...], Field(min_length=1)] = SIDES
    """Sides in pixels of the square crops; each batch has one of them. Smaller photographs are
    left out of it, and batches of large crops hold fewer."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the names of what validation measures: no damage, and each kind of it alone."""
        return (CLEAN, *DAMAGE)

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the cross-entropy of the presence plus the errors of severities and noise level."""
        model: Sense = networks[MODEL]  # type: ignore[assignment]
        drawn = self.draw(batch.images, batch.ids, rng)
        yield MODEL, loss(model, drawn)

    def draw(self, images: Tensor, ids: Sequence[str], rng: Rng, *, only: str | None = None) -> Drawn:
        """Damage images, each in its own way.

        Args:
            images: (n, 3, h, w) in [0, 1].
            ids: n names. What happens to an image depends on its name and on ``rng`` alone.
            rng: the stream of a step.
            only: do this (a kind of damage or ``clean``) to every image, by the constants of its size.
        """
        import torch

        levels = images.mul(255.0).round().byte().permute(0, 2, 3, 1).cpu().contiguous()
        out, n = levels.clone(), len(levels)
        presence, judged = torch.zeros(n, len(DAMAGE)), torch.ones(n, len(DAMAGE))
        severity, level, known = torch.zeros(n, len(DAMAGE)), torch.zeros(n), torch.ones(n)
        noise = DAMAGE.index("noise")
        for row, name in enumerate(ids):
            stream = rng.at(name)
            draw = stream.numpy()
            image = levels[row].numpy()
            for damage in self._chosen(draw, only):
                column = DAMAGE.index(damage)
                before = image
                image, own, told = self._damaged(image, damage, draw, stream, fixed=only is not None)
                presence[row, column] = 1.0
                severity[row, column] = own if told else 0.0
                if damage == "noise":
                    judged[row, column], known[row] = 1.0, 1.0
                    level[row] = float((image.astype("float32") - before).std() / 255.0)
                elif damage == NOISY_DARK:
                    judged[row, noise], known[row] = 0.0, 0.0
            out[row] = torch.from_numpy(image)
        made = out.permute(0, 3, 1, 2).contiguous().to(images) / 255.0
        return Drawn(made, *(each.to(images) for each in (presence, judged, severity, level, known)))

    def _chosen(self, draw: np.random.Generator, only: str | None) -> list[str]:
        """Return the kinds of damage of one image, in the order in which they come about."""
        if only is not None:
            return [] if only == CLEAN else [only]
        if draw.random() < self.clean:
            return []
        count = 2 if draw.random() < self.twice else 1
        chosen = draw.permutation(len(DAMAGE))[:count]
        return [damage for damage in ORDER if DAMAGE.index(damage) in chosen]

    def _damaged(
        self, image: NDArray[np.uint8], damage: str, draw: np.random.Generator, stream: Rng, *, fixed: bool
    ) -> tuple[NDArray[np.uint8], int, bool]:
        """Return the damaged image, its severity, and whether that is by the constants of its size."""
        kinds = KINDS[damage]
        kind = kinds[int(draw.integers(len(kinds)))]
        severity = 1 + int(draw.integers(5))
        table: Table = BY_SIZE
        if not fixed and draw.random() < self.other_tables:
            table = TABLES[int(draw.integers(len(TABLES)))]
        corruption = CORRUPTIONS[kind].model_validate({"severity": severity, "table": BY_SIZE})
        offered = corruption.tables()
        if table in offered:
            corruption = corruption.model_copy(update={"table": table})
        told = corruption.table in (BY_SIZE, fitting(min(image.shape[:2]), offered))
        return corruption(image, stream.at(damage)), severity, told


def loss(model: Sense, drawn: Drawn) -> Tensor:
    """Return the mean cross-entropy of the presence plus the errors of severities and noise level."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    presence, severity, noise_level = model.raw(drawn.images)
    each = binary_cross_entropy_with_logits(presence, drawn.presence, reduction="none")
    total = (each * drawn.judged).sum() / drawn.judged.sum().clamp_min(1.0)
    told = (drawn.severity > 0).to(severity)
    total = total + 0.1 * ((severity - drawn.severity).abs() * told).sum() / told.sum().clamp_min(1.0)
    relative = (noise_level - drawn.noise_level).abs() / (drawn.noise_level + NOISE_FLOOR)
    # Apart, and of equal weight: most images have no noise, so that predicting 0 for all would win.
    for noisy in (drawn.noise_level > 0, drawn.noise_level == 0):
        judged = drawn.level_judged * noisy.to(relative)
        total = total + 0.2 * (relative * judged).sum() / judged.sum().clamp_min(1.0)
    return total
