"""`Metric`: a figure with an interval from per-image rows; `Measurement`: one that measures its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clearsight.data.contract.column import Column, Display
from clearsight.data.contract.errors import DataError, ShapeError
from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.spec import Spec, kind_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from clearsight.data.contract.rng import Rng

    Rows = Mapping[str, NDArray[Any]]
    Seen = Mapping["Need", Tensor]
    """What there is to measure, on the CPU. Images are float32 (n, c, h, w) in [0, 1] of one size; what a
    system or a condition does not have is missing."""

Need = Literal[
    "reference",
    "corrupted",
    "entered",
    "restored",
    "logits",
    "labels",
    "votes",
    "sets",
    "suspicion",
    "detections",
    "boxes",
]
"""``reference``: the images before the corruption. ``corrupted``: after it; missing where it is the
identity. ``entered``: what enters the system, corrupted and attacked; missing where that is the reference.
``restored``: what its last restorer gives, of the size of the reference. ``logits``: float32 (n, classes).
``labels``: int64 (n,). ``votes``: int64 (n,), the class that most fresh draws of a random system predict.
``sets``: bool (n, classes), the conformal sets of a system that ends in a conformal part.
``suspicion``: float32 (n,), what a system's detector of attacked images says.
``detections``: float32 (n, m, 6), as `Flow.BOXES` says, in pixels of the image before any restorer.
``boxes``: float64 (n, k, 6), the true ones: x, y, width, height, class, 1 for a crowd; class -1 fills up."""
BEFORE = frozenset[Need]({"reference", "corrupted"})
"""What does not depend on the system: measured once for all of them."""


class Metric(Spec):
    """Base of metrics. A subclass adds ``kind``, ``columns`` and the hook ``estimate``."""

    columns: ClassVar[tuple[Column, ...]] = ()
    """Columns of the rows that it reads; a sample where one of them is missing (nan) is left out."""
    display: ClassVar[Display | None] = None
    """How its figure is displayed; None: like its first column."""
    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    @classmethod
    def shown(cls) -> Display:
        """Return how its figure is displayed."""
        return cls.display or cls.columns[0]

    @property
    def variant(self) -> str:
        """Hook: return what tells it from others of its kind in one run; empty for the usual fields."""
        return ""

    @property
    def figure(self) -> str:
        """Return what its figure is called in summaries and tables: the kind, and a variant after a colon."""
        return f"{kind_of(self)}:{self.variant}" if self.variant else kind_of(self)

    @property
    def mean_of(self) -> str | None:
        """Return the column that it is the plain mean of, if any: means are taken over conditions too."""
        return None

    def over_images(self, rows: Rows) -> NDArray[np.float64] | None:
        """Return one value an image (n,) whose mean the figure is; None: it is no mean, or one is missing.

        Means over conditions are taken of these values, image by image.

        Args:
            rows: as for a call, of one cell.
        """
        import numpy as np

        values = rows.get(self.mean_of) if self.mean_of else None
        return None if values is None or np.isnan(values).any() else values

    def mean(self, values: NDArray[np.float64], rng: Rng, confidence: float = 0.95) -> Estimate:
        """Return the mean over conditions of what it is `mean_of`.

        Args:
            values: (n,) the mean of each image over the conditions.
            rng: stream for resampling.
            confidence: coverage of the interval.
        """
        from clearsight.data.statistics import bootstrap_mean, clustered_wilson

        if self.columns[0].dtype == "bool":
            return Estimate(float(values.mean()), *clustered_wilson(values, confidence), "clustered wilson")
        ends = bootstrap_mean(values, rng, confidence=confidence)
        return Estimate(float(values.mean()), *ends, "bootstrap")

    def __call__(self, rows: Rows, rng: Rng) -> Estimate | None:
        """Return the estimate, or None where no sample has the columns.

        Args:
            rows: column name -> one float per sample; booleans as 0 and 1, missing as nan (columns of lists:
                one array per sample, missing as None).
            rng: stream for resampling.

        Raises:
            DataError: the figure is not finite.
        """
        import numpy as np

        chosen = {column.name: rows[column.name] for column in self.columns if column.name in rows}
        if len(chosen) < len(self.columns):
            return None
        present = ~np.any([_missing(values) for values in chosen.values()], axis=0)
        if not present.any():
            return None
        estimate = self.estimate({name: values[present] for name, values in chosen.items()}, rng)
        if estimate is None:
            return None
        if not np.isfinite((estimate.value, estimate.low, estimate.high)).all():
            raise DataError(
                f"gives {estimate.value} [{estimate.low}, {estimate.high}], which is not finite",
                where=f"metric '{kind_of(self)}'",
            )
        return estimate

    def estimate(self, rows: Rows, rng: Rng) -> Estimate | None:
        """Hook: return the estimate over at least one complete sample; None where it is not defined."""
        raise NotImplementedError


class MeanMetric(Metric):
    """Base of metrics that are the mean of their column, with a studentised bootstrap interval."""

    @property
    def mean_of(self) -> str | None:
        """Return the column."""
        return self.columns[0].name

    def estimate(self, rows: Rows, rng: Rng) -> Estimate | None:
        """Return the mean with its interval over samples."""
        return self.mean(rows[self.columns[0].name], rng)


class Measurement(MeanMetric):
    """Base of metrics that measure their columns. A subclass adds ``kind``, ``columns`` and `measure`.

    Its figure is the mean of its column unless it overrides ``estimate``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    """What it needs; images for which a system or condition lacks any of it get no value."""
    minimum: ClassVar[int] = 1
    """Smallest height and width that it can measure, in pixels."""
    always: ClassVar[bool] = False
    """True where the columns are measured in every run, whether a metric reads them or not."""
    also: ClassVar[tuple[str, ...]] = ()
    """Kinds of other measurements that are made along with it, because it is read beside them."""

    def measure(self, seen: Seen) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Hook: return column -> one value per image (n,), for a batch that has everything in `needs`.

        Of a column of lists: n tensors of one axis.
        """
        raise NotImplementedError

    def measured(self, seen: Seen) -> dict[str, list[Any]]:
        """Return column -> one value per image; nothing where something that it needs is missing.

        Raises:
            ShapeError: `measure` returned other columns than it declares, or not one value per image.
        """
        if not self.needs <= seen.keys():
            return {}
        values = self.measure(seen)
        shapes = {name: _shape(column) for name, column in values.items()}
        count = len(next(iter(seen.values())))
        if shapes != {column.name: (count,) for column in self.columns}:
            declared = ", ".join(column.name for column in self.columns)
            raise ShapeError(
                f"measured {shapes}, not one value for each of {count} images in {declared}",
                where=f"metric '{kind_of(self)}'",
            )
        return {name: _listed(column) for name, column in values.items()}


def _listed(column: Tensor | Sequence[Tensor]) -> list[Any]:
    """Return a column as numbers; one of lists as lists."""
    if isinstance(column, Sequence):
        return [each.tolist() for each in column]
    return list(column.tolist())


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which images lack a value."""
    import numpy as np

    if values.dtype == object:
        return np.array([each is None for each in values], np.bool_)
    return np.asarray(np.isnan(values))


def _shape(column: Tensor | Sequence[Tensor]) -> tuple[int, ...]:
    """Return the shape of a column; of a list of tensors only its length, where each has one axis."""
    if isinstance(column, Sequence):
        return (len(column),) if all(each.ndim == 1 for each in column) else (len(column), 0)
    return tuple(column.shape)


def share(values: NDArray[np.float64] | NDArray[np.bool_]) -> Estimate:
    """Return the share of ones, with a Wilson score interval."""
    from clearsight.data.statistics import wilson

    ones, n = int(values.sum()), len(values)
    low, high = wilson(ones, n)
    return Estimate(ones / n, low, high, "wilson")
