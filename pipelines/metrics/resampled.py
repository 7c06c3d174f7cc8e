"""`ResampledMetric`: a figure that is no mean over images, with its interval from resamples of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clearsight.data.contract.estimate import Estimate
from clearsight.data.statistics import percentiles
from clearsight.pipelines.metrics.base import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows

RESAMPLES = 1000
"""Bootstrap resamples of the images."""


class ResampledMetric(Metric):
    """Base of metrics of all images together. A subclass adds ``kind``, ``columns`` and `resampled`.

    The interval is the bootstrap's percentile interval: images are drawn with replacement, with all that was
    found and all that was there in them, and the figure is computed again.
    """

    @property
    def mean_of(self) -> str | None:
        """Return None: it is no mean over images."""
        return None

    def resampled(self, rows: Rows, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Hook: return the figure in every resample (b,), nan where it is not defined.

        Args:
            rows: column name -> one entry an image.
            weights: (b, images), how often each image is in each resample.
        """
        raise NotImplementedError

    def estimate(self, rows: Rows, rng: Rng) -> Estimate | None:
        """Return the figure with its interval over images; None where there was nothing to find in any."""
        import numpy as np

        images = len(next(iter(rows.values())))
        value = float(self.resampled(rows, np.ones((1, images), np.int64))[0])
        if np.isnan(value):
            return None
        low, high = ends(self.resampled(rows, resamples(images, rng)))
        return Estimate(value, low, high, "bootstrap over images")


def resamples(images: int, rng: Rng) -> NDArray[Any]:
    """Return `RESAMPLES` draws of images with replacement, int64 (b, images): how often each was drawn."""
    import numpy as np

    return rng.numpy().multinomial(images, np.full(images, 1.0 / images), size=RESAMPLES)


def ends(values: NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of what resamples gave; nan where it is defined in none of them."""
    import numpy as np

    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    return percentiles(known, confidence)
