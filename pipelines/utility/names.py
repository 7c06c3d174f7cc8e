"""What images may be for, by the names that configs use. No torch here."""

from __future__ import annotations

from typing import Literal

from clearsight.data.contract.spec import Flow

UtilityName = Literal["classification", "detection"]
FLOWS: dict[UtilityName, Flow] = {"classification": Flow.LOGITS, "detection": Flow.BOXES}
"""What a system must give to be of that use."""
