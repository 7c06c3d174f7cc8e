"""Images whose purpose is that objects are found in them."""

from __future__ import annotations

from clearsight.data.contract.spec import Flow
from clearsight.pipelines.utility.base import Utility


class Detection:
    """Outputs are boxes, see `Flow.BOXES`; how good they are is a figure of all images together."""

    flow = Flow.BOXES
    primary = "ap50"


BOXES: Utility = Detection()
