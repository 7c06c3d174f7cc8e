"""Which metrics a run reports, and what has to be measured for them: all from what the metrics declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Flow, content_key, kind_of
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.registries import METRICS
from clearsight.pipelines.metrics.base import Measurement, Metric, Need
from clearsight.pipelines.runs.folder import RESERVED
from clearsight.pipelines.runs.grid import Grid
from clearsight.pipelines.systems.conformal import conformal

DEFAULT_METRICS = (
    *("accuracy", "majority_accuracy", "ece", "set_coverage", "set_size", "suspicion"),
    *("ap50", "ap", "recall_at_precision"),
    *("psnr", "ssim", "psnr_in"),
)
SCORES: dict[str, frozenset[Need]] = {
    "prediction": frozenset({"logits"}),
    "margin": frozenset({"logits", "labels"}),
}
"""Columns that every run has though no metric measures them."""
GIVEN_BY: dict[Need, str] = {
    "labels": "labels",
    "logits": "a classifier",
    "restored": "a restorer",
    "votes": "random parts",
    "sets": "a conformal part at its end",
    "suspicion": "a detector of attacked images",
    "detections": "a detector",
    "boxes": "boxes",
}


def metrics_of(config: Evaluate, grid: Grid, *, labelled: bool) -> tuple[Metric, ...]:
    """Return the metrics of a run: those of the config, or the usual ones that are defined for it.

    Args:
        config: what is asked for.
        grid: the systems.
        labelled: whether every image has a label.

    Raises:
        ConfigError: a metric needs what no system or image has.
    """
    have = _available(grid, labelled=labelled)
    if config.metrics is None:
        usual = [METRICS[kind]() for kind in DEFAULT_METRICS]
        return tuple(metric for metric in usual if not any(needs - have for _, needs in _read(metric)))
    for metric in config.metrics:
        lacking = {name: needs - have for name, needs in _read(metric) if needs - have}
        if lacking:
            missing = sorted(set().union(*lacking.values()))
            raise ConfigError(
                f"metric '{kind_of(metric)}' needs {', '.join(sorted(lacking))}, but nothing here has "
                + " and ".join(GIVEN_BY[need] for need in missing),
                where="metrics",
            )
    _refuse_twins(config.metrics)
    return config.metrics


def _refuse_twins(metrics: Sequence[Metric]) -> None:
    """Refuse two metrics whose figures would have one name."""
    known: dict[str, Metric] = {}
    for metric in metrics:
        if known.setdefault(metric.figure, metric) != metric:
            raise ConfigError(
                f"'{metric.figure}' is there twice with other fields, and would have one name",
                where="metrics",
                hint="leave one of them out",
            )


def measurements_of(metrics: Sequence[Metric], further: Sequence[str] = ()) -> tuple[Measurement, ...]:
    """Return what is measured for these metrics, and in every run, by kind.

    Args:
        metrics: of the run.
        further: kinds of measurements that are wanted besides.

    Raises:
        ConfigError: two of them write one column, or one writes a column of the run itself.
    """
    chosen: dict[str, Measurement] = {}
    for measurement in _wanted(metrics):
        if chosen.setdefault(kind_of(measurement), measurement) != measurement:
            raise ConfigError(
                f"'{kind_of(measurement)}' is there twice with other fields, and would fill one column",
                where="metrics",
                hint="leave one of them out",
            )
    usual = {kind for kind, entry in METRICS.kinds.items() if _always(entry)}
    for kind in (usual | _also(chosen) | set(further)) - set(chosen):
        chosen[kind] = _default(kind)
    owners: dict[str, str] = dict.fromkeys(RESERVED, "the run itself")
    for kind, measurement in sorted(chosen.items()):
        for column in measurement.columns:
            if owners.setdefault(column.name, kind) != kind:
                raise ConfigError(
                    f"metric '{kind}' writes the column '{column.name}' of {owners[column.name]}",
                    where="metrics",
                    hint="give the column another name",
                )
    return tuple(chosen[kind] for kind in sorted(chosen))


def key_of(measurements: Iterable[Measurement]) -> str:
    """Return the content key of what is measured."""
    return content_key([[kind_of(each), each.identity()] for each in measurements])


def _available(grid: Grid, *, labelled: bool) -> frozenset[Need]:
    graphs = grid.graphs.values()
    have: set[Need] = {"reference", "corrupted", "entered"}
    if labelled:
        have.add("labels")
    if any(graph.restored for graph in graphs):
        have.add("restored")
    if any(graph.gives is Flow.LOGITS for graph in graphs):
        have.add("logits")
        if any(spec.stochastic for graph in graphs for spec in graph.parts.values()):
            have.add("votes")
        if any(conformal(graph) for graph in graphs):
            have.add("sets")
        if any(graph.screen for graph in graphs):
            have.add("suspicion")
    if any(graph.gives is Flow.BOXES for graph in graphs):
        have |= {"detections", "boxes"}  # A run of a detector on images without boxes is refused.
    return frozenset(have)


def _read(metric: Metric) -> Iterator[tuple[str, frozenset[Need]]]:
    """Yield the columns that a metric reads, and what each is measured of."""
    for column in metric.columns:
        if isinstance(metric, Measurement):
            yield column.name, metric.needs
        elif column.name in SCORES:
            yield column.name, SCORES[column.name]
        else:
            yield column.name, _owner(metric, column.name).needs


def _owner(metric: Metric, column: str) -> Measurement:
    """Return the measurement of a column that ``metric`` only reads."""
    for kind, entry in METRICS.kinds.items():
        if issubclass(entry, Measurement) and column in (own.name for own in entry.columns):
            return _default(kind)
    raise ConfigError(f"metric '{kind_of(metric)}' reads '{column}', which nothing measures", where="metrics")


def _wanted(metrics: Sequence[Metric]) -> Iterator[Measurement]:
    measured = {
        column.name for metric in metrics if isinstance(metric, Measurement) for column in metric.columns
    }
    for metric in metrics:
        if isinstance(metric, Measurement):
            yield metric
        else:
            for column in metric.columns:
                if column.name not in measured | SCORES.keys():
                    yield _owner(metric, column.name)


def _always(entry: type[Metric]) -> bool:
    return issubclass(entry, Measurement) and entry.always


def _also(chosen: dict[str, Measurement]) -> set[str]:
    return {kind for measurement in chosen.values() for kind in measurement.also}


def _default(kind: str) -> Measurement:
    made = METRICS[kind]()
    if not isinstance(made, Measurement):
        raise TypeError(f"'{kind}' measures nothing")
    return made
