"""Named sets of corruptions and the reference errors of ImageNet-C (Hendrycks & Dietterich 2019)."""

from __future__ import annotations

IMAGENET_C_15 = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The common corruptions, in the order of the paper."""
IMAGENET_C_EXTRA_4 = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The four that are kept apart: for validation, or as types a system has never seen."""

SETS: dict[str, tuple[str, ...]] = {
    "imagenet_c_15": IMAGENET_C_15,
    "imagenet_c_extra_4": IMAGENET_C_EXTRA_4,
    "imagenet_c_19": IMAGENET_C_15 + IMAGENET_C_EXTRA_4,
}
"""Name of a set -> kinds of its corruptions."""

ALEXNET_SOURCE = (
    "AlexNet, mean top-1 error over severities 1 to 5 on ImageNet-C (Hendrycks & Dietterich 2019)"
)
"""What a mean corruption error that divides by `ALEXNET_ERRORS` must name as its baseline."""
ALEXNET_ERRORS: dict[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""Mean error of AlexNet per type, on full ImageNet-C only: mCE = mean over types of error / this x 100."""
