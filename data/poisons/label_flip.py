"""Wrong labels: the simplest poison."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.data.poisons.base import Poison


class LabelFlip(Poison):
    """Images stay as they are; their label becomes the target, or any other class (Biggio et al. 2012)."""

    kind: Literal["label_flip"] = "label_flip"
    purpose: ClassVar[str] = "wrong labels on unchanged images"
    triggered: ClassVar[bool] = False
