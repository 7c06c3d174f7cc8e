"""Finishes the certificates of a run: joins their chunks, sums them up, writes their tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import kind_of
from clearsight.data.contract.text import cell as in_cell
from clearsight.data.contract.text import csv_text
from clearsight.data.home import replace_file
from clearsight.defend.certify.base import Certificate
from clearsight.pipelines.analysis.certified import CertifiedRows, certified_figures, radii_of
from clearsight.pipelines.evaluation.certifying import CERTIFICATE, column_under
from clearsight.pipelines.runs.certified import CertificateFacts, CertifiedFigures, certified_rows
from clearsight.pipelines.runs.columns import Columns, Triple, floats
from clearsight.pipelines.runs.facts import Time
from clearsight.pipelines.runs.folder import table_to_bytes
from clearsight.pipelines.systems.certifiable import told_parts

if TYPE_CHECKING:
    import pyarrow as pa

    from clearsight.data.seals import Seal
    from clearsight.pipelines.evaluation.plan import Plan
    from clearsight.pipelines.runs.grid import CertifiedCell


def certificate_facts(plan: Plan) -> list[CertificateFacts]:
    """Return what the summary says of the certificates of a run."""
    return [
        CertificateFacts(
            name=name,
            kind=kind_of(certificate),
            norm=certificate.norm,
            noise=certificate.noise,
            settings=certificate.model_dump(mode="json", exclude={"kind"}, exclude_none=True),
        )
        for name, certificate in plan.grid.certificates.items()
    ]


def finish_certificates(plan: Plan, columns: Mapping[Triple, Columns]) -> list[CertifiedFigures]:
    """Write the tables of certified images and accuracies, and return the figures.

    Args:
        plan: a run whose chunks are all there.
        columns: those of the attacked cells, for certificates that do not smooth the system.

    Raises:
        RunError: a file of a chunk is not what its seal says.
    """
    if not plan.certified:
        return []
    folder, tables, figures = plan.job.folder, [], []
    for cell in plan.certified:
        seals = [plan.job.seal(cell, number).opened() for number in range(plan.job.chunks)]
        table = _table(plan, cell, seals)
        figures.append(_figures(plan, cell, table, columns, seals))
        for name in ("certificate", "condition", "system"):
            table = table.add_column(0, name, [[getattr(cell, name)] * table.num_rows])
        tables.append(table)
    import pyarrow as pa

    whole = pa.concat_tables(tables, promote_options="default").combine_chunks()
    replace_file(folder.certificates, table_to_bytes(whole))
    replace_file(folder.certificates_csv, _csv(figures).encode())
    return figures


def _table(plan: Plan, cell: CertifiedCell, seals: Sequence[Seal]) -> pa.Table:
    import pyarrow as pa

    folder = plan.job.folder
    return pa.concat_tables(
        [certified_rows(seal.read(folder.chunk(cell.key, number))) for number, seal in enumerate(seals)]
    )


def _figures(
    plan: Plan,
    cell: CertifiedCell,
    table: pa.Table,
    columns: Mapping[Triple, Columns],
    seals: Sequence[Seal],
) -> CertifiedFigures:
    certificate, grid = plan.grid.certificates[cell.certificate], plan.grid
    alike = [other for other in grid.certificates.values() if other.norm == certificate.norm]
    radii = radii_of(certificate.norm, max(other.largest for other in alike))
    found = {name: floats(table.column(name)) for name in table.column_names if name != "id"}
    rng = Rng(plan.config.seed).at("summary", "certified", cell.system, cell.condition, cell.certificate)
    figures = certified_figures(
        cell, CertifiedRows(found, _upper(plan, cell, certificate, found, columns)), radii, rng
    )
    told = told_parts(grid.graphs[cell.system]) if certificate.noise is not None else []
    return replace(figures, told=told, ms_per_image=_time(plan, cell, seals))


def _upper(
    plan: Plan,
    cell: CertifiedCell,
    certificate: Certificate,
    found: Columns,
    columns: Mapping[Triple, Columns],
) -> dict[str, tuple[float, np.ndarray]]:
    """Return attack -> radius and surviving images (n,): of the smoothed system, or of the plain one."""
    attacks = plan.grid.attacks
    if certificate.noise is not None:
        return {
            name: (attacks[name].radius[1], found[column_under(name)] == 1.0)  # type: ignore[index]
            for name in certificate.attacks
        }
    chosen = sorted(plan.job.certified(certificate))
    return {
        name: (attack.radius[1], columns[cell.system, cell.condition, name]["correct"][chosen] == 1.0)
        for name, attack in attacks.items()
        if attack.radius is not None
        and attack.radius[0] == certificate.norm
        and attack.threat == "adaptive"
        and (cell.system, cell.condition, name) in columns
    }


def _time(plan: Plan, cell: CertifiedCell, seals: Sequence[Seal]) -> Time:
    folder, each = plan.job.folder, []
    for number, seal in enumerate(seals):
        told = json.loads(seal.read(folder.timing(cell.key, number)))
        if told["images"]:
            each.append(1000.0 * told["seconds"][CERTIFICATE] / told["images"])
    low, value, high = (float(q) for q in np.quantile(each, (0.025, 0.5, 0.975)))
    return Time(round(value, 4), round(low, 4), round(high, 4))


def _csv(figures: Sequence[CertifiedFigures]) -> str:
    rows: list[list[object]] = [
        ["system", "condition", "certificate", "n", "radius", "certified", "low", "high"]
    ]
    for cell in figures:
        place = [*map(in_cell, (cell.system, cell.condition, cell.certificate)), cell.n]
        rows.extend([*place, s.radius, s.value, s.low, s.high] for s in cell.shares)
    return csv_text(rows)
