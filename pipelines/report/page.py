"""Writes ``report.html``: one file that a browser shows without a network and without scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.home import replace_file
from clearsight.data.seals import Seal
from clearsight.pipelines.report import attack_tables, charts, tables
from clearsight.pipelines.report.answer import answer
from clearsight.pipelines.report.attack_strips import attack_album
from clearsight.pipelines.report.audit import audit_of
from clearsight.pipelines.report.certified import certified_tables
from clearsight.pipelines.report.class_tables import by_class
from clearsight.pipelines.report.detected import by_class_measures
from clearsight.pipelines.report.downloads import downloads
from clearsight.pipelines.report.ending import ending, images_of
from clearsight.pipelines.report.eps_chart import MOST, curves
from clearsight.pipelines.report.every_measure import every_measure
from clearsight.pipelines.report.figures import Figures, groups_of, value, versus
from clearsight.pipelines.report.findings import FEW, findings, tallies
from clearsight.pipelines.report.flags import flags
from clearsight.pipelines.report.gallery import gallery
from clearsight.pipelines.report.gradient_images import gradient_album
from clearsight.pipelines.report.method_table import MARKS, method_table
from clearsight.pipelines.report.other_images import other_images
from clearsight.pipelines.report.reliability import VOID
from clearsight.pipelines.report.risk_coverage import risk_charts
from clearsight.pipelines.report.screened import screened_tables
from clearsight.pipelines.report.strips import album
from clearsight.pipelines.report.templates import engine
from clearsight.pipelines.report.words import count, plain
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.facts import PartFacts, SystemFacts
from clearsight.pipelines.runs.sealed import complete, revouch

METHODS = {"wilson": "Wilson score", "bootstrap": "studentised bootstrap over images"}


def renew_report(run: Path) -> Path:
    """Write the report of a complete run again, from files that match the run's seal.

    An image that does not match is left out, and counted on the page.

    Raises:
        RunError: the run is not complete, or one of its figures was damaged or changed.
    """
    folder = RunFolder(run)
    seal = complete(folder)
    shown = (folder.summary, folder.config, folder.environment, folder.audit)
    for path in (*shown, folder.images_index, folder.gradients_index):
        if seal.checksum(path):
            seal.read(path)
    return revouch(folder, write_report(run, seal))


def write_report(run: Path, seal: Seal | None = None, summary: dict[str, Any] | None = None) -> Path:
    """Write the report of a run beside its figures and return the file's path.

    Reads ``summary.json`` and, where they exist, ``config.yaml``, ``environment.json``, ``audit.json`` and
    ``images/``.
    The same run folder always gives the same bytes.

    Args:
        run: the run folder.
        seal: images must match it; None: they are not checked.
        summary: in place of what ``summary.json`` holds.

    Raises:
        RunError: the summary or another file is missing, damaged or of another schema.
    """
    folder = RunFolder(run)
    if summary is None:
        summary = _json(folder.summary)
    if summary is None:
        raise RunError("has no summary.json", where=str(run), hint="let the run finish, or summarise it")
    text = _text(folder.config) or ""
    context = _context(folder, Figures(summary), text, _json(folder.environment) or {}, seal)
    page = engine().get_template("page.html").render(context, audit=audit_of(_json(folder.audit)))
    replace_file(folder.report, page.encode("utf-8"))
    return folder.report


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"is damaged: {error}", where=str(path), hint="run the same config again") from None


def _json(path: Path) -> dict[str, Any] | None:
    text = _text(path)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise RunError(f"cannot be read: {error}", where=str(path)) from None
    if not isinstance(content, dict):
        raise RunError("is not a JSON object", where=str(path))
    return content


def _context(
    folder: RunFolder, figures: Figures, config: str, environment: Mapping[str, Any], seal: Seal | None
) -> dict[str, Any]:
    """Return everything that the templates name."""
    run, sentences = figures.run, findings(figures)
    multiples = [(attack, charts.families(figures, attack)) for attack in figures.attacks]
    return {
        "summary": run,
        "title": run.title or plain(run.name),
        "data": run.data,
        "figures": figures,
        "metric": display_of(figures.primary or "accuracy"),
        "sentences": sentences,
        "short": answer(figures) if len(figures.others) > FEW else "",
        "downloads": downloads(figures),
        "pairs": gallery(folder, figures, seal),
        "detail": every_measure(figures),
        "tallies": tallies(figures),
        "facts": _facts(figures),
        "chains": [(system, _chain(system)) for system in figures.systems],
        "parts": _parts(figures),
        "blocks": tables.headline(figures),
        "column_note": tables.column_note,
        "column_title": tables.column_title,
        "column_label": tables.column_label,
        "multiples": [(attack, found) for attack, found in multiples if found],
        "key": charts.key(figures),
        "heats": tables.heat(figures),
        "measures": [
            *by_class_measures(figures),
            *tables.measures(figures),
            *other_images(figures),
            *screened_tables(figures),
        ],
        "cells": tables.every_cell(figures),
        "album": album(folder, figures, seal),
        "costs": tables.costs(figures),
        "groups": list(
            dict.fromkeys(group for condition in run.conditions for group in groups_of(condition))
        ),
        "weights": _weights(figures),
        "methods": _methods(figures),
        "ending": ending(run),
        "environment": _flat(environment),
        "config": config,
        "risk_charts": risk_charts(figures),
        "risk_key": charts.key(figures, "u") if run.risk_curves else [],
        "certified": certified_tables(figures),
        "certified_key": charts.key(figures, "w") if run.certified else [],
        **_attacks(folder, figures, seal),
    }


def _attacks(folder: RunFolder, figures: Figures, seal: Seal | None) -> dict[str, Any]:
    """Return what the sections on attacks name."""
    found, drawn = flags(figures), curves(figures)
    gaps = [*map(versus, figures.cells), *map(versus, attack_tables.worst_entries(figures))]
    return {
        "distrusted": {flag.attack for flag in found if flag.verdict == "unreliable"},
        "unreliable": [flag for flag in found if flag.verdict == "unreliable"],
        "suspect": [flag for flag in found if flag.verdict == "suspect"],
        "voids": any(gap and gap.verdict == VOID for gap in gaps),
        "curves": drawn,
        "most_curves": MOST,
        "curve_key": charts.key(figures, "q") if drawn else [],
        "places": attack_tables.places(figures),
        "worst": attack_tables.worst(figures),
        "sides": attack_tables.sides(figures),
        "struck": attack_album(folder, figures, seal),
        "side_by_side": method_table(figures),
        "marks": MARKS,
        "classes": by_class(figures),
        "slopes": gradient_album(folder, figures, seal),
    }


def _facts(figures: Figures) -> list[str]:
    """Return the short facts below the title."""
    run = figures.run
    skipped = len(run.data.skipped)
    facts = [
        run.started,
        images_of(run) + (f", {skipped} skipped" if skipped else ""),
        count(len(figures.systems), "system"),
        count(len(figures.conditions), "condition"),
        count(len(figures.attacks), "attack") if set(figures.attacks) - figures.unattacked else "",
        f"seed {run.seed}",
        f"run {run.key[:12]}",
    ]
    return [fact for fact in facts if fact]


def _chain(system: SystemFacts) -> list[str]:
    """Return the steps of a plain chain; one text as it is for any other graph."""
    steps = [step.strip() for step in system.chain.split("\u2192")]
    known = {part.name for part in system.parts} | {"image"}
    return steps if set(steps) <= known else [system.chain]


def _parts(figures: Figures) -> list[dict[str, Any]]:
    """Return each distinct part once, with its facts as text and the systems it stands in."""
    found: dict[str, dict[str, Any]] = {}
    for system in figures.systems:
        for part in system.parts:
            identity = json.dumps(asdict(part), sort_keys=True, default=str, allow_nan=False)
            entry = found.setdefault(identity, {**_part(part), "systems": []})
            if system.name not in entry["systems"]:
                entry["systems"].append(system.name)
    return list(found.values())


def _part(part: PartFacts) -> dict[str, Any]:
    spec = {k: v for k, v in part.spec.items() if k not in ("kind", "weights") and v is not None}
    settings = ", ".join(f"{plain(k)} {_setting(v)}" for k, v in spec.items())
    return {
        "name": part.name,
        "kind": part.kind,
        "settings": settings or "defaults",
        "weights": part.weights or "none",
        "gradient": part.gradient or "–",
        "random": "yes" if part.stochastic else "no",
        "onnx": part.onnx or "–",
        "parameters": "–" if part.parameters is None else f"{part.parameters:,}",
    }


def _setting(item: Any) -> str:
    """Return a parameter's value, floats with four digits: the exact ones are in resolved.json."""
    if isinstance(item, float):
        return f"{item:.4g}"
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, allow_nan=False)


def _weights(figures: Figures) -> list[dict[str, str]]:
    """Return each set of weights once: its id, checksum, and where its card stands."""
    found = {}
    for system in figures.systems:
        for part in system.parts:
            if name := part.weights:
                card = f"{name}/card.json" if "/" in name else f"weights/{name}/card.json"
                found[name] = {"name": name, "sha256": part.sha256 or "not recorded", "card": card}
    return list(found.values())


def _methods(figures: Figures) -> list[str]:
    """Return the names of the interval methods that the cells' figures carry."""
    estimates = [value(cell, figures.primary or "") for cell in figures.cells]
    methods = {METHODS.get(e.method, e.method) for e in estimates if e and e.method}
    return sorted(methods, key=str.lower)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested facts as pairs of a dotted name and a text."""
    pairs: list[tuple[str, str]] = []
    for key, item in tree.items():
        if isinstance(item, Mapping):
            pairs += _flat(item, f"{prefix}{key}.")
        elif isinstance(item, list):
            pairs.append((f"{prefix}{key}", ", ".join(map(str, item)) or "–"))
        else:
            pairs.append((f"{prefix}{key}", "–" if item is None else str(item)))
    return pairs
