"""Calibration error of the probabilities of all classes, not of the predicted one alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.column import Column, Display, percent
from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows, Seen


class ClasswiseECE(Measurement):
    """Mean over classes of the ECE of each class's probability (Kull et al. 2019), corrected as `ECE` is.

    For every class all images count, each with the probability that it was given and whether it is of that
    class. Most probabilities of many classes are near 0, so the figure is small: compare systems by it, not
    with ECE. Its interval is the mean of the classes' intervals, and so wide rather than narrow.
    """

    kind: Literal["classwise_ece"] = "classwise_ece"
    bins: Annotated[int, Field(ge=1, le=1000)] = 15
    """Number of bins of equal width."""
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="class_probabilities", label="Probabilities", dtype="list[float32]"),
        Column(name="class_of_truth", label="Class", dtype="int32"),
    )
    display: ClassVar[Display | None] = percent(
        "Class-wise ECE",
        "mean over classes of the calibration error of their probability",
        better="lower",
        digits=2,
    )
    purpose: ClassVar[str] = "calibration of the probabilities of all classes"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels"})

    @property
    def variant(self) -> str:
        """Return how many bins there are, where that is unusual."""
        return "" if self.bins == 15 else f"{self.bins} bins"

    @property
    def mean_of(self) -> str | None:
        """Return None: it is no mean over images."""
        return None

    def over_images(self, rows: Rows) -> NDArray[np.float64] | None:
        """Return None: it is no mean over images."""
        return None

    def measure(self, seen: Seen) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Return the probabilities of all classes, and the true one."""
        probabilities = seen["logits"].softmax(1)
        return {"class_probabilities": list(probabilities), "class_of_truth": seen["labels"].int()}

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the mean error in [0, 1]; nothing is drawn."""
        import numpy as np

        from clearsight.defend.calibration_error import calibration_error

        table = np.stack([np.asarray(each, np.float64) for each in rows["class_probabilities"]])
        truths = rows["class_of_truth"]
        each = [
            calibration_error(table[:, label], (truths == label).astype(np.float64), self.bins)
            for label in range(table.shape[1])
        ]
        value, low, high = np.mean(each, axis=0).tolist()
        return Estimate(value, low, high, "debiased")
