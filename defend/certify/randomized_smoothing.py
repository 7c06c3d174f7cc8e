"""Randomised smoothing."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.defend.certify.smoothing import Smoothing


class RandomizedSmoothing(Smoothing):
    """The L2 ball in which most noisy versions of an image keep getting its class (Cohen et al. 2019).

    ``n0`` versions choose the class, ``n`` others bound its probability p from below (Clopper-Pearson), and
    sigma times the normal quantile of p is the radius. Where p may be one half or less it abstains. With
    restorers in front of the classifier this is denoised smoothing (Salman et al. 2020).
    """

    kind: Literal["randomized_smoothing"] = "randomized_smoothing"
    purpose: ClassVar[str] = "L2 radius by votes under Gaussian noise, for the whole system"
