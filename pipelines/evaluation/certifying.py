"""Certifies the images of one chunk through one system."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from clearsight.data.contract.column import Column
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.disk import Disk, KeptFile
from clearsight.defend.bounds.votes import Noisy
from clearsight.defend.certify.base import Certificate
from clearsight.defend.certify.smoothing import Smoothing
from clearsight.defend.target import AttackBatch
from clearsight.pipelines.evaluation.job import Job, timing_of
from clearsight.pipelines.evaluation.rows import Batch
from clearsight.pipelines.runs.certified import certified_to_bytes
from clearsight.pipelines.runs.folder import Row
from clearsight.pipelines.runs.grid import CertifiedCell
from clearsight.pipelines.systems.gradient_paths import find_path
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.target import SystemTarget, View

CERTIFICATE = "(certificate)"
"""What the timings call the time of a certificate; no part can have this name."""


def certify_chunk(
    job: Job,
    cell: CertifiedCell,
    number: int,
    system: System,
    samples: list[Sample],
    batches: list[Batch],
    disk: Disk,
) -> None:
    """Certify the images of a chunk that the certificate asks for, and store what was found.

    Args:
        job: of the run.
        cell: what is certified.
        number: of the chunk.
        system: set to the certificate's noise level, on the device.
        samples: the images as they were read.
        batches: the same, corrupted.
        disk: where the files go.
    """
    certificate, folder = job.certificates[cell.certificate], job.folder
    seal = job.seal(cell, number, disk)
    memories = job.memories(cell, number, len(batches), disk)
    chosen = job.certified(certificate)
    seconds = 0.0
    rows: dict[int, Row] = {}
    for k, batch in enumerate(batches):
        at = [j for j, i in enumerate(batch.members) if job.positions(number)[i] in chosen]
        if not at or batch.labels is None:
            continue
        members = [batch.members[j] for j in at]
        ids = tuple(samples[i].id for i in members)
        images, labels = batch.images[at].to(job.device), batch.labels[at].to(job.device)
        place = torch.arange(len(ids), device=job.device)
        prober = _Prober(job, cell, certificate, system, memories[k])
        asked = AttackBatch(images, labels, ids, place)
        begin = perf_counter()
        found = prober.certified(asked)
        seconds += perf_counter() - begin
        for row, under in zip(found, prober.attacked(asked), strict=True):
            row |= under
        rows |= dict(zip(members, found, strict=True))
    seal.write(folder.timing(cell.key, number), timing_of(job, len(rows), {CERTIFICATE: seconds}))
    ordered = [rows[i] for i in sorted(rows)]
    seal.write(folder.chunk(cell.key, number), certified_to_bytes(ordered, columns_of(certificate)))
    # Last, because it is what marks the chunk as done.
    seal.close()
    for memory in memories:
        memory.remove()


def column_under(attack: str) -> str:
    """Return the name of the column that says whether the smoothed system withstood an attack."""
    return f"right under {attack}"


def columns_of(certificate: Certificate) -> tuple[Column, ...]:
    """Return the columns of a row: those of the certificate, then one for each attack on it."""
    under = (Column(name=column_under(name), label=name, dtype="bool") for name in certificate.attacks)
    return (*certificate.columns, *under)


@dataclass(frozen=True)
class _Prober:
    """Certifies a batch, and attacks what was certified."""

    job: Job
    cell: CertifiedCell
    certificate: Certificate
    system: System
    memory: KeptFile

    def certified(self, batch: AttackBatch) -> list[Row]:
        """Return one row an image."""
        seed = Rng(self.job.seed)
        view: View = "labels" if self.certificate.sees == "labels" else "scores"
        target = SystemTarget(
            self.system, batch.ids, seed.at("draw"), view=view, name=self.cell.system, memory=self.memory
        )
        found = self.certificate(target, batch, seed.at("certify"))
        names = [column.name for column in self.certificate.columns]
        return [
            {"id": name, "label": label, **dict(zip(names, values, strict=True))}
            for name, label, values in zip(batch.ids, batch.labels.tolist(), found.tolist(), strict=True)
        ]

    def attacked(self, batch: AttackBatch) -> list[Row]:
        """Return whether each attack was withstood, one row an image."""
        under = {column_under(name): self._stands(name, batch).tolist() for name in self.certificate.attacks}
        return [{column: right[i] for column, right in under.items()} for i in range(len(batch))]

    def _stands(self, name: str, batch: AttackBatch) -> Tensor:
        """Return which images (n,) the smoothed system still gets right after an attack, by a vote."""
        attack, certificate, seed = self.job.attacks[name], self.certificate, Rng(self.job.seed)
        if not isinstance(certificate, Smoothing):
            raise TypeError(f"{type(certificate).__name__} smooths nothing that could be attacked")
        path = find_path(self.system, batch.images) if attack.sees == "gradient" else None
        target = SmoothedTarget(
            self.system,
            batch.ids,
            seed.at("draw", "attack"),
            eot=attack.averaged,
            stand_ins=path.stand_ins if path else {},
            name=self.cell.system,
            noisy=certificate.noisy,
        )
        images = attack(target, batch, seed.at("attack"))
        judge = SystemTarget(
            self.system, batch.ids, seed.at("draw"), view="labels", name=self.cell.system, memory=None
        )
        attacked = AttackBatch(images, batch.labels, batch.ids, batch.rows)
        votes = certificate.votes(judge, attacked, seed.at("certify", "judge", name))
        return votes.argmax(1) == batch.labels.cpu()


@dataclass
class SmoothedTarget(SystemTarget):
    """A smoothed system as its attacker sees it: every look draws fresh noise, ``eot`` looks are averaged.

    Attributes:
        noisy: maps images and standard normal noise to what the system sees.
    """

    noisy: Noisy = lambda images, noise: images + noise

    @property
    def stochastic(self) -> bool:
        """Return True: the attacker does not know the noise."""
        return True

    def _forward(self, x: Tensor, rows: Tensor) -> Tensor:
        at = rows.cpu()
        drawn = zip(at.tolist(), self._draws[at].tolist(), strict=True)
        streams = [self.rng.at("noise", self.ids[i], k).torch() for i, k in drawn]
        noise = torch.stack([torch.randn(x.shape[1:], generator=stream) for stream in streams])
        return super()._forward(self.noisy(x, noise.to(x.device)), rows)
