"""What certificates found: the rows of ``certificates.parquet``, and their figures in ``summary.json``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.column import Column
from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.runs.facts import Time
from clearsight.pipelines.runs.folder import Row, arrow_type, table_to_bytes

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CertificateFacts:
    """A certificate.

    Attributes:
        name: in the config.
        kind: of the registry.
        norm: in which its radii are measured.
        noise: standard deviation of the noise of a smoothed system; None where none is smoothed.
        settings: its fields.
    """

    name: str
    kind: str
    norm: str
    noise: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CertifiedShare(Estimate):
    """The share of images that are certified for their own class to a radius."""

    radius: float


@dataclass(frozen=True)
class UpperBound(Estimate):
    """Accuracy of the certified images under an attack of one radius: robust accuracy is no higher.

    Attributes:
        attack: its name.
        radius: of the attack.
        contradicted: images that were certified to this radius or more and that the attack broke.
    """

    attack: str
    radius: float
    contradicted: int = 0


@dataclass(frozen=True)
class CertifiedStep:
    """A radius, and how many images are certified for their own class to it or further."""

    radius: float
    images: int


@dataclass(frozen=True)
class CertifiedFigures:
    """A system under a condition, certified.

    Attributes:
        n: certified images.
        shares: certified accuracy by radius.
        average_radius: mean over images of the radius; 0 where the class is wrong or it abstains.
        abstained: share of images of which nothing is certified.
        steps: every radius at which the certified accuracy falls.
        upper: what attacks of the same run left of the same images.
        told: parts that were given the noise level.
        samples: mean number of noisy versions of an image; None where none are drawn.
        ms_per_image: what certifying one image took.
    """

    key: str
    system: str
    condition: str
    certificate: str
    n: int
    shares: list[CertifiedShare]
    average_radius: Estimate
    abstained: Estimate
    steps: list[CertifiedStep] = field(default_factory=list)
    upper: list[UpperBound] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    samples: float | None = None
    ms_per_image: Time | None = None


def certified_schema(columns: Iterable[Column]) -> pa.Schema:
    """Return the columns of a row: the image, then what the certificate found of it."""
    import pyarrow as pa

    found = [(column.name, arrow_type(column.dtype)) for column in columns]
    return pa.schema([("id", pa.string()), ("label", pa.int32()), *found])


def certified_to_bytes(rows: Sequence[Row], columns: Sequence[Column]) -> bytes:
    """Return the content of a chunk file of certified images."""
    import pyarrow as pa

    whole = [row | {c.name: _typed(row[c.name], c) for c in columns} for row in rows]
    return table_to_bytes(pa.Table.from_pylist(whole, schema=certified_schema(columns)))


def certified_rows(content: bytes) -> pa.Table:
    """Return the rows of a chunk file."""
    import pyarrow as pa
    from pyarrow import parquet

    return parquet.read_table(pa.BufferReader(content))


def _typed(value: float, column: Column) -> float | int | bool:
    return bool(value) if column.dtype == "bool" else int(value) if "int" in column.dtype else value
