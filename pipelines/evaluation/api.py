"""`evaluate` and `open_run`: what ``clearsight run`` does, as a function, and what it wrote, as an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.spec import PartSpec, kind_of
from clearsight.data.corruptions.base import Corruption
from clearsight.data.home import expanded
from clearsight.data.sources.base import Source
from clearsight.defend.attacks.base import Attack
from clearsight.defend.certify.base import Certificate
from clearsight.pipelines.config.evaluate import Compare, Evaluate
from clearsight.pipelines.config.stop import Stop
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.runs.sealed import complete, read_summary
from clearsight.pipelines.systems.graph import Graph, chain

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

    from clearsight.data.contract.progress import Progress


Corruptions: TypeAlias = Corruption | Sequence[Corruption]
"""One condition: a corruption, or several in order."""


@dataclass(frozen=True)
class Report:
    """A finished run.

    Attributes:
        folder: its run folder.
        summary: what ``summary.json`` holds.
    """

    folder: Path
    summary: Mapping[str, Any]

    @property
    def page(self) -> Path:
        """Return the path of the HTML report."""
        return self.folder / "report.html"

    def results(self) -> list[dict[str, str | int | float]]:
        """Return one mapping a (system, condition, attack, metric).

        Keys: ``system``, ``condition``, ``attack``, ``n`` (images), ``metric``, ``value``, ``low`` and
        ``high`` (95 % interval) and ``interval`` (its method).
        """
        import csv
        import io

        folder = RunFolder(self.folder)
        text = complete(folder).read(folder.summary_csv).decode("utf-8")
        return [
            dict(row) | {"n": int(row["n"])} | {name: float(row[name]) for name in ("value", "low", "high")}
            for row in csv.DictReader(io.StringIO(text, newline=""))
        ]

    def means(self) -> list[dict[str, str | int | float]]:
        """Return one mapping a (system, group of conditions, attack, metric): means over the group.

        Keys: ``system``, ``group`` (as named below ``conditions``, or ``all corruptions``),
        ``attack``, ``conditions`` (how many), ``metric``, ``value``, ``low`` and ``high`` (95 % interval),
        ``interval`` (its method). The metrics ``mce`` and ``relative_mce`` are mean corruption errors, as
        shares; ``source``, empty for other metrics, says by whose errors they are divided.
        """
        found: list[dict[str, str | int | float]] = []
        for entry in self.summary["aggregates"]:
            place = {name: entry[name] for name in ("system", "group", "attack", "conditions")}
            ratios = {name: entry[name] for name in ("mce", "relative_mce")}
            for metric, figure in (entry["metrics"] | ratios).items():
                if figure is not None:
                    told = {"value": figure["value"], "low": figure["low"], "high": figure["high"]}
                    how = {"interval": figure["method"], "source": figure.get("source", "")}
                    found.append({**place, "metric": metric, **told, **how})
        return found

    def table(self) -> str:
        """Return the headline table, and those of certificates, as text."""
        from rich.console import Console

        from clearsight.pipelines.report.terminal import certificates, headline

        console = Console(width=160, highlight=False, force_jupyter=False)
        with console.capture() as capture:
            console.print(headline(dict(self.summary)), *certificates(dict(self.summary)))
        return capture.get()

    def __repr__(self) -> str:
        """Return one line: where it is, and how much was measured."""
        cells, systems = len(self.summary["cells"]), len(self.summary["systems"])
        return f"Report({str(self.folder)!r}: {systems} systems, {cells} cells)"

    def _repr_html_(self) -> str:
        """Return the headline table, and those of certificates, as HTML: what a notebook shows."""
        from clearsight.pipelines.report.notebook import to_html

        return to_html(self.summary)

    def to_pandas(self) -> Any:
        """Return `results` as a pandas data frame, one row a (system, condition, attack, metric).

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ConfigError(
                "pandas is not installed", where="to_pandas", hint="pip install pandas"
            ) from None
        return pd.DataFrame(self.results())

    def plot(
        self, metric: str = "accuracy", over: Literal["conditions", "severity", "eps"] = "conditions"
    ) -> Figure:
        """Return a chart of one metric of every system, with its intervals.

        Args:
            metric: which one.
            over: ``conditions``: every condition and attack; ``severity``: a curve for each corruption;
                ``eps``: a curve for each attack that was made at several sizes.

        Raises:
            ConfigError: it was not measured, or at no two severities or sizes.
        """
        if over == "conditions":
            from clearsight.pipelines.report.notebook import chart

            return chart(self.results(), metric)
        if over not in ("severity", "eps"):
            raise ConfigError(
                f"cannot plot over '{over}'", where="plot", hint="known: conditions, severity, eps"
            )
        from clearsight.pipelines.report.plotted_curves import curves

        return curves(self.summary, metric, over)

    def to_html(self) -> Path:
        """Write ``report.html`` into the run folder again and return its path."""
        from clearsight.pipelines.report.page import renew_report

        return renew_report(self.folder)

    def rows(self) -> pa.Table:
        """Return one row per (system, condition, attack, image)."""
        import pyarrow as pa
        from pyarrow import parquet

        folder = RunFolder(self.folder)
        return parquet.read_table(pa.BufferReader(complete(folder).read(folder.results)))


def open_run(folder: str | PathLike[str]) -> Report:
    """Return a finished run: its summary, its results, its report.

    Args:
        folder: a run folder, such as ``runs/2026-01-31_quickstart_0123abcd``.

    Raises:
        RunError: it is no run folder, the run is not finished, or its figures were damaged or changed.
    """
    place = RunFolder(expanded(Path(folder)))
    return Report(place.path, read_summary(place))


def evaluate(
    data: Source,
    systems: Mapping[str, Graph | PartSpec],
    *,
    conditions: Sequence[Corruptions] | Mapping[str, Corruptions],
    attacks: Sequence[Attack] | Mapping[str, Attack] | None = None,
    certify: Mapping[str, Certificate] | None = None,
    metrics: Sequence[Metric] | None = None,
    seed: int = 0,
    baseline: str | None = None,
    name: str = "evaluation",
    chunk: int = 64,
    stop: Stop | None = None,
    root: str | PathLike[str] = "runs",
    workers: int = 0,
    device: str = "auto",
    fresh: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Measure systems on images under every condition and attack.

    Args:
        data: labelled (or, for restoration alone, unlabelled) images.
        systems: name -> what `chain` or `wire` returned, or a single part.
        conditions: a corruption each, or several that are applied in order; a sequence of conditions is named
            ``<kind>-<severity>`` (``clean`` for the identity), joined by ``+`` where there are several.
        attacks: adversaries; a sequence is named by kind (``pgd``, ``pgd.2``). No adversary where left out.
        certify: name -> certificate, made for every system under every condition; none where left out.
        metrics: what is measured; the usual ones where left out.
        seed: root of all random streams.
        baseline: name of the system that the others are compared with.
        name: part of the name of the run folder.
        chunk: images computed together.
        stop: when a condition has seen enough images; all of them where left out.
        root: where run folders are kept.
        workers: processes; 0 is one a core (one on a GPU). Results do not depend on it. Several need the
            usual ``if __name__ == "__main__":`` guard in a script.
        device: ``auto``, ``cpu`` or ``cuda``.
        fresh: start over where an equal run exists.
        on_progress: called with (stage, done, all).

    Raises:
        pydantic.ValidationError: a name or value that does not fit.
        ClearsightError: images, weights or files that do not fit; the message says what to do.
    """
    from clearsight.pipelines.evaluation.run import run

    graphs = {label: item if isinstance(item, Graph) else chain(item) for label, item in systems.items()}
    parts: dict[str, PartSpec] = {}
    wiring: dict[str, dict[str, dict[str, Any]]] = {}
    for label, graph in graphs.items():
        own = {part: f"{label}.{part}" for part in graph.parts}
        parts |= {own[part]: spec for part, spec in graph.parts.items()}
        wiring[label] = {
            step.name: {"use": own[step.part_name], "of": step.inputs} for step in graph.every_step
        }
    document: dict[str, Any] = {
        "task": "evaluate",
        "name": name,
        "seed": seed,
        "chunk": chunk,
        "data": data,
        "parts": parts,
        "systems": wiring,
        "conditions": conditions if isinstance(conditions, Mapping) else _named(conditions),
        "certify": dict(certify or {}),
        "metrics": None if metrics is None else tuple(metrics),
        "stop": stop,
        "compare": Compare(baseline=baseline) if baseline else None,
    }
    if attacks:
        document["attacks"] = dict(attacks) if isinstance(attacks, Mapping) else _numbered(attacks)
        document["measure"] = [
            {
                "conditions": tuple(document["conditions"]),
                "attacks": tuple(document["attacks"]),
                "certify": tuple(certify or ()),
            }
        ]
    config = Evaluate.model_validate(document)
    folder = run(
        config, root=Path(root), workers=workers, device=device, fresh=fresh, on_progress=on_progress
    )
    return Report(folder.path, read_summary(folder))


def _numbered(attacks: Sequence[Attack]) -> dict[str, Attack]:
    out: dict[str, Attack] = {}
    for attack in attacks:
        stem = kind_of(attack)
        number = sum(name == stem or name.startswith(f"{stem}.") for name in out)
        out[f"{stem}.{number + 1}" if number else stem] = attack
    return out


def _named(conditions: Sequence[Corruptions]) -> dict[str, Corruptions]:
    out: dict[str, Corruptions] = {}
    for condition in conditions:
        steps = (condition,) if isinstance(condition, Corruption) else condition
        stem = "+".join(map(_stem, steps))
        number = sum(name == stem or name.startswith(f"{stem}.") for name in out)
        out[f"{stem}.{number + 1}" if number else stem] = condition
    return out


def _stem(corruption: Corruption) -> str:
    kind = kind_of(corruption)
    return "clean" if kind == "identity" else f"{kind}-{corruption.severity}"
