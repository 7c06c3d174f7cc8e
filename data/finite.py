"""The one rule for values that are not finite.

A NaN or an infinite value is never counted, ranked, averaged, clamped or written. Where it belongs to an
image, that image is refused by its name; where it belongs to no image (the loss of a step, weights, a
figure), the command ends with a line that says where it arose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clearsight.data.contract.errors import DataError

HINT = "look for a division by zero (a flat image?) or an overflow, or leave the image out"


def refuse_non_finite(
    values: Any,
    what: str,
    names: Sequence[str] | None = None,
    *,
    where: str = "",
    hint: str = HINT,
) -> None:
    """Raise `DataError` where one of n images has a value that is not finite.

    Args:
        values: (n, ...), an array or a tensor, on whatever device.
        what: says what they are: ``the logits are``, ``part 'denoise' gives values that are``.
        names: of the n images; None: messages number them, unless there is only one.
        where: what else the message names.
        hint: what to do about it.
    """
    bad = first_non_finite(values)
    if bad is None:
        return
    image = f"image {bad + 1} of {len(values)}" if names is None else f"image '{names[bad]}'"
    of = "" if names is None and len(values) == 1 else f" for {image}"
    raise DataError(f"{what} not finite{of}", where=where, hint=hint)


def first_non_finite(values: Any) -> int | None:
    """Return the place of the first of n images that has a value that is not finite, None where none has."""
    values = values if isinstance(values, np.ndarray) else values.detach()
    # A finite sum has finite terms, which is ten times faster to see; else each value is tested.
    with np.errstate(all="ignore"):
        if np.isfinite(float(values.sum())):
            return None
    if isinstance(values, np.ndarray):
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    else:
        finite = values.isfinite().flatten(1).all(1) if values.ndim > 1 else values.isfinite()
        finite = finite.cpu().numpy()
    return None if finite.all() else int(finite.argmin())
