"""`audit`: the whole checklist on the systems of a config: probes, a run of attacks, a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.sample import Sample
from clearsight.data.executors.in_process import InProcess
from clearsight.defend.attacks.base import LARGEST
from clearsight.pipelines.audit.careless import careless
from clearsight.pipelines.audit.derive import NORMS, Subjects, Threat, derive, subjects_of
from clearsight.pipelines.audit.probes import Probed, ProbeImages, probe
from clearsight.pipelines.audit.verdict import judge
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.rows import to_tensor
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.evaluation.worker import one_thread
from clearsight.pipelines.report.page import write_report
from clearsight.pipelines.runs.audit import AuditSummary
from clearsight.pipelines.runs.folder import write_json
from clearsight.pipelines.runs.sealed import read_summary, revouch
from clearsight.pipelines.runs.summary import parse_summary
from clearsight.pipelines.systems.device import choose_device
from clearsight.pipelines.systems.system import System

PROBED = 16
"""Images that the probes look at."""


def audit(
    config: Evaluate,
    *,
    systems: Sequence[str] = (),
    take: int = 64,
    norm: str = "linf",
    eps: float = 8 / 255,
    root: Path = Path("runs"),
    workers: int = 0,
    device: str = "auto",
    fresh: bool = False,
    on_progress: Progress | None = None,
) -> tuple[RunFolder, AuditSummary]:
    """Audit systems: can the robustness that attacks find be believed?

    The run is an ordinary one, so it resumes where it was stopped; ``audit.json`` is written into its folder,
    and into its report.

    Args:
        config: the user's; its data, parts, systems and first condition (a clean one if there is one) count.
        systems: names of those to audit; all that classify where left out.
        take: images at most.
        norm: ``linf``, ``l2`` or ``l1``.
        eps: radius, for pixels in [0, 1].
        root: where run folders are kept.
        workers: processes; 0 is one a core.
        device: ``auto``, ``cpu`` or ``cuda``; the probes always run on the CPU.
        fresh: start over where an equal audit exists.
        on_progress: called with (stage, done, all).

    Returns:
        The run folder, and what ``audit.json`` holds.

    Raises:
        ClearsightError: the config, its images or its weights cannot be used.
    """
    if norm not in NORMS:
        raise ConfigError(f"no norm '{norm}'", where="--norm", hint=f"known: {', '.join(NORMS)}")
    if not eps > 0:
        raise ConfigError(f"a radius of {eps:g} audits nothing", where="--eps", hint="write 8/255")
    if eps > LARGEST[norm]:
        hint = f"if it was meant for 0 to 255, write {eps:g}/255"
        raise ConfigError(f"{eps:g} is too large for pixels in [0, 1]", where="--eps", hint=hint)
    choose_device(device)
    subjects, threat = subjects_of(config, systems), Threat(norm, eps)
    # Refuses what cannot be run before the probes take their time.
    derive(config, subjects, threat, take=take, passable=tuple(subjects.graphs)).ready()
    with one_thread():
        probed = _probe_all(config, subjects, threat, on_progress)
    passable = [name for name, found in probed.items() if found.path is not None]
    classes = min(found.classes for found in probed.values())
    folder = run(
        derive(config, subjects, threat, take=take, passable=passable, classes=classes),
        root=root,
        workers=workers,
        device=device,
        fresh=fresh,
        on_progress=on_progress,
    )
    verdict = judge(parse_summary(read_summary(folder)), subjects, threat, probed)
    write_json(folder.audit, verdict.to_json())
    revouch(folder, folder.audit, write_report(folder.path))
    return folder, verdict


@dataclass(frozen=True)
class _ProbeJob:
    images: ProbeImages
    subjects: Subjects
    threat: Threat


def _probe_all(
    config: Evaluate, subjects: Subjects, threat: Threat, on_progress: Progress | None
) -> dict[str, Probed]:
    job = _ProbeJob(_images(config, subjects), subjects, threat)
    count = len(subjects.graphs)
    results: dict[str, Probed] = {}
    if on_progress:
        on_progress("probe", 0, count)
    for name, probed in InProcess().map(_start_probing, job, subjects.graphs):
        results[name] = probed
        if on_progress:
            on_progress("probe", len(results), count)
    return results


def _start_probing(job: _ProbeJob) -> Callable[[str], Probed]:
    """Return a function that probes a system by name."""

    def probe_one(name: str) -> Probed:
        system = job.subjects.graphs[name].build()
        for parameter in system.parameters():
            parameter.requires_grad_(False)
        return _probe(system, job.images, job.threat, thorough=name in job.subjects.names)

    return probe_one


def _probe(system: System, images: ProbeImages, threat: Threat, *, thorough: bool) -> Probed:
    probed = probe(system, images, threat)
    if not thorough or probed.path is None:
        return probed
    extra = careless(system, images, threat, probed.path)
    return replace(probed, checks=(*probed.checks, extra)) if extra else probed


def _images(config: Evaluate, subjects: Subjects) -> ProbeImages:
    """Return the first images that have one size, under the condition of the audit."""
    data = config.data.model_copy(update={"take": min(PROBED, config.data.take or PROBED)})
    samples = [s for s in data.read(data.index().entries) if isinstance(s, Sample) and s.truth is not None]
    if not samples:
        raise DataError("no labelled image can be read: an attack needs labels", where="data")
    same = [s for s in samples if s.image.shape == samples[0].image.shape]
    root = Rng(config.seed).at("corrupt")
    corrupted = [subjects.condition.corruption.of(s, root) for s in same]
    labels = torch.tensor([s.truth for s in same])
    return ProbeImages(to_tensor(corrupted), labels, tuple(s.id for s in same))
