"""Quantiles of the standard normal distribution, without scipy, which takes a third of a second to load.

The rational approximations of Cephes (S. L. Moshier, ``ndtri.c``), evaluated in the same order, which scipy
uses too: the last bit is the same, as a test checks.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAIL = 0.13533528323661269189
"""exp(-2): probabilities below it, or above 1 minus it, belong to the tails."""
LEAST = 1.3e-14
"""exp(-32): Cephes has other constants further out, which nothing here needs."""
ROOT = 2.50662827463100050242
"""Square root of 2 pi."""
MIDDLE = (
    (
        *(-5.99633501014107895267e1, 9.80010754185999661536e1, -5.66762857469070293439e1),
        *(1.39312609387279679503e1, -1.23916583867381258016),
    ),
    (
        *(1.0, 1.95448858338141759834, 4.67627912898881538453, 8.63602421390890590575e1),
        *(-2.25462687854119370527e2, 2.00260212380060660359e2, -8.20372256168333339912e1),
        *(1.59056225126211695515e1, -1.18331621121330003142),
    ),
)
FAR = (
    (
        *(4.05544892305962419923, 3.15251094599893866154e1, 5.71628192246421288162e1),
        *(4.40805073893200834700e1, 1.46849561928858024014e1, 2.18663306850790267539),
        *(-1.40256079171354495875e-1, -3.50424626827848203418e-2, -8.57456785154685413611e-4),
    ),
    (
        *(1.0, 1.57799883256466749731e1, 4.53907635128879210584e1, 4.13172038254672030440e1),
        *(1.50425385692907503408e1, 2.50464946208309415979, -1.42182922854787788574e-1),
        *(-3.80806407691578277194e-2, -9.33259480895457427372e-4),
    ),
)
"""Coefficients of numerator and denominator, the highest power first, between the tails and in them."""


def normal_quantile(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the distribution function has these values.

    Args:
        probability: `LEAST` to 1 - `LEAST`, any shape.

    Raises:
        ValueError: a value outside.
    """
    import numpy as np

    if not ((probability >= LEAST) & (probability <= 1 - LEAST)).all():
        raise ValueError(f"a probability is from {LEAST} to 1 - {LEAST} here")
    upper = probability > 1 - TAIL
    lower_half = np.where(upper, 1 - probability, probability)
    tail = lower_half <= TAIL
    out = np.empty(probability.shape)
    centred = lower_half[~tail] - 0.5
    squared = centred * centred
    bend = squared * _polynomial(squared, MIDDLE[0]) / _polynomial(squared, MIDDLE[1])
    out[~tail] = (centred + centred * bend) * ROOT
    # Logarithms one by one, by the C library: those of numpy differ in the last bit on some CPUs.
    root = np.array([sqrt(-2.0 * log(value)) for value in lower_half[tail].tolist()])
    near = root - np.array([log(value) for value in root.tolist()]) / root
    inverse = 1.0 / root
    far = near - inverse * _polynomial(inverse, FAR[0]) / _polynomial(inverse, FAR[1])
    out[tail] = np.where(upper[tail], far, -far)
    return out


def _polynomial(x: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    import numpy as np

    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total
