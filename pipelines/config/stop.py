"""`Stop`: when a condition of ``task: evaluate`` has seen enough images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clearsight.data.contract.spec import Number, Spec


class Stop(Spec):
    """End a condition as soon as the accuracy of each of its systems is known well enough.

    Images then come in the order of a hash of their ids, and the intervals are checked after planned
    numbers of them. All systems and attacks of a condition end together, so that they stay paired. Every
    interval of the run is widened so that it holds at whichever look its condition ended
    (``clearsight.data.sequential``).
    """

    half_width: Annotated[Number, Field(gt=0, lt=50)]
    """Half the width of a 95 % interval of an accuracy, in percentage points, that is narrow enough."""
    least: Annotated[int, Field(ge=10)] = 100
    """Images before the first look."""
