"""Runs ``task: tune``: successive halving on paired samples, then a judgement on images that took no part.

Successive halving (Karnin et al. 2013; Jamieson & Talwalkar 2016): all candidates on few images, the best of
them on more. Every candidate of a round sees the same images under the same conditions. What goes on is
chosen by the Pareto front of score and time; the classifier alone always goes on. The choice is made on the
images of the search; the judgement changes it in one case only, to the classifier alone, where the
choice clearly hurts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.rng import Rng
from clearsight.data.home import replace_file
from clearsight.data.paired_family import judge
from clearsight.data.sides import refuse_test_images, side_of
from clearsight.data.statistics import significant
from clearsight.pipelines.config.tune import Tune
from clearsight.pipelines.runs.folder import write_json
from clearsight.pipelines.runs.tuned import Judged, Round, Tuned
from clearsight.pipelines.tuning.candidates import ALONE, Candidate, candidate, candidates
from clearsight.pipelines.tuning.front import Scored, front, kept
from clearsight.pipelines.tuning.recipe import recipe
from clearsight.pipelines.tuning.rounds import Measured, Numbers, measured, part_times

RESULT, RECIPE, PAGE = "result.json", "best.yaml", "report.html"


@dataclass(frozen=True)
class Machine:
    """Where and how runs are made."""

    root: Path
    workers: int
    device: str
    on_progress: Progress | None

    def measured(
        self,
        config: Tune,
        name: str,
        chosen: Sequence[Candidate],
        *,
        take: int | None,
        judging: bool,
        whole: bool,
    ) -> Measured:
        """Run candidates on one side of the images; ``whole``: every image under all conditions."""
        return measured(
            config,
            name,
            chosen,
            side_of(config.data, config.judge, judging=judging, take=take),
            root=self.root / "runs",
            whole=whole,
            workers=self.workers,
            device=self.device,
            on_progress=self.on_progress,
        )


def tune(
    config: Tune,
    *,
    text: str | None = None,
    root: Path = Path("runs"),
    workers: int = 0,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> Tuned:
    """Search, judge, and write recipe, figures and page; what an equal call measured before is kept.

    Args:
        config: the search space and the conditions.
        text: the YAML it was read from, kept verbatim.
        root: where folders are kept.
        workers: processes; 0 is one a core.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_progress: called with (stage, done, all).

    Raises:
        ClearsightError: the config, the images or the folder cannot be used.
    """
    from clearsight.pipelines.report.tune_page import write_tuned

    config = config.pinned()
    space = candidates(config)
    for weights in config.classifier.weights_inside():
        refuse_test_images(config.data, weights)
    folder = root / f"tune_{config.name}_{config.key()[:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    if text is not None:
        replace_file(folder / "config.yaml", text.encode())
    machine = Machine(folder, workers, device, on_progress)
    rounds, best, last = _search(config, space, machine)
    chosen = choose(front(best), {name: last.of(name, config) for name in last.right}, config.most_ms)
    beside = [
        candidate(config, chain, None, place=len(space) + i, name=name)
        for i, (name, chain) in enumerate(config.beside.items())
    ]
    finalists = [each.candidate for each in best]
    judged_on = _with_alone(space[0], finalists)
    taken = {each.name for each in judged_on}
    judged_on += [each for each in beside if each.name not in taken]
    found = machine.measured(config, "judge", judged_on, take=config.judged, judging=True, whole=True)
    judged = _judged(config, found, judged_on, searched={each.candidate.name: each for each in best})
    verdict = next(each for each in judged if each.name == chosen.name)
    if verdict.change == "hurts":
        chosen = space[0]
    out = Tuned(
        name=config.name,
        title=config.title or config.name,
        folder=str(folder),
        candidates=len(space),
        rounds=rounds,
        judged=judged,
        images=len(next(iter(found.right[ALONE].values()))),
        groups=list(config.conditions),
        chosen=chosen.name,
        overruled=verdict.change == "hurts",
        recipe=RECIPE,
        run=found.folder.path.relative_to(folder).as_posix(),
    )
    replace_file(folder / RECIPE, recipe(config, chosen, space[0]).encode())
    write_json(folder / RESULT, asdict(out))
    write_tuned(folder / PAGE, out)
    return out


def _search(
    config: Tune, space: Sequence[Candidate], machine: Machine
) -> tuple[list[Round], list[Scored], Measured]:
    """Return what every round did, the finalists under all conditions, and the run of that."""
    there = len(side_of(config.data, config.judge, judging=False).index().entries)
    if there < config.first:
        raise DataError(
            f"{there} images are left to search on, and the first round wants {config.first}",
            where="data",
            hint="a smaller 'first', a smaller 'judge', or more images",
        )
    left, images = list(space), config.first
    rounds: list[Round] = []
    times: Mapping[str, float] = {}
    while True:
        number = len(rounds) + 1
        found = machine.measured(config, f"round-{number}", left, take=images, judging=False, whole=False)
        times = times or part_times(found)
        scored = _scored(config, found, left, times)
        last = len(left) <= config.finalists or images >= there
        best = (
            front(scored) if last else kept(scored, max(config.finalists, -(-len(left) // config.reduction)))
        )
        rounds.append(Round(images, len(left), [each.candidate.name for each in best]))
        if last:
            return _final(
                config,
                rounds,
                space[0],
                [each.candidate for each in best[: config.finalists]],
                times,
                machine,
            )
        left = _with_alone(space[0], [each.candidate for each in best])
        images = min(images * config.reduction, there)


def _final(
    config: Tune,
    rounds: list[Round],
    alone: Candidate,
    left: Sequence[Candidate],
    times: Mapping[str, float],
    machine: Machine,
) -> tuple[list[Round], list[Scored], Measured]:
    """Measure the last front as the judgement does, under all conditions, on the images of the search."""
    found = machine.measured(
        config, "final", _with_alone(alone, left), take=config.judged, judging=False, whole=True
    )
    scored = _scored(config, found, left, times)
    images = len(next(iter(found.right[left[0].name].values())))
    rounds.append(Round(images, len(left), [each.candidate.name for each in front(scored)]))
    return rounds, scored, found


def _with_alone(alone: Candidate, others: Sequence[Candidate]) -> list[Candidate]:
    """Return the classifier alone, then the others, which may hold it too."""
    return [alone, *(each for each in others if each.name != ALONE)]


def _scored(
    config: Tune, found: Measured, left: Sequence[Candidate], times: Mapping[str, float]
) -> list[Scored]:
    return [
        Scored(
            each,
            significant(float(np.mean(found.of(each.name, config)))),
            significant(sum(times[part] for part in each.parts)),
        )
        for each in left
    ]


def choose(best: Sequence[Scored], scores: Mapping[str, Numbers], most_ms: float | None) -> Candidate:
    """Return the fastest of the front whose score is within one standard error of the best one's.

    The rule of Breiman et al. (1984) for trees: what a few hundred images cannot tell from the best, and
    takes less time, is preferred. The error is that of the paired difference.

    Args:
        best: the front of the last round, the best score first.
        scores: candidate -> score of each image of that round (n,).
        most_ms: milliseconds that the choice may take; None for any. Where none of the front is fast enough,
            it is the fastest.
    """
    fitting = [each for each in best if most_ms is None or each.ms <= most_ms]
    if not fitting:
        return min(best, key=lambda each: each.ms).candidate
    first = scores[fitting[0].candidate.name]
    for each in sorted(fitting, key=lambda one: (one.speed, one.rank)):
        away = first - scores[each.candidate.name]
        if away.mean() <= away.std(ddof=1) / np.sqrt(len(away)):
            return each.candidate
    return fitting[0].candidate


def _judged(
    config: Tune, found: Measured, chosen: Sequence[Candidate], searched: Mapping[str, Scored]
) -> list[Judged]:
    """Return the judgement: all differences from the classifier alone are one family."""
    alone = found.of(ALONE, config)
    others = [each for each in chosen if each.name != ALONE]
    differences = [found.of(each.name, config) - alone for each in others]
    verdicts = judge(differences, Rng(config.seed).at("tune", "judge")) if others else []
    told = {each.name: verdict for each, verdict in zip(others, verdicts, strict=True)}
    times = {system.name: system.ms_per_image for system in found.summary.systems}
    out = []
    for each in chosen:
        verdict, time, search = told.get(each.name), times[each.name], searched.get(each.name)
        out.append(
            Judged(
                name=each.name,
                score=significant(float(found.of(each.name, config).mean())),
                groups={group: significant(float(v.mean())) for group, v in found.right[each.name].items()},
                ms=time.value if time else None,
                searched=search.score if search else None,
                difference=significant(verdict.difference) if verdict else None,
                low=significant(verdict.low) if verdict else None,
                high=significant(verdict.high) if verdict else None,
            )
        )
    return out
