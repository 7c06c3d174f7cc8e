"""Figures from the literature, printed beside ours but never mixed with them: other machines, other code."""

from __future__ import annotations

PUBLISHED: dict[str, tuple[str, tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "bsd68_gray": (
        "PSNR in dB, grey BSD68; Zhang et al. 2017 (DnCNN), 2018 (FFDNet), 2021 (DRUNet)",
        ("sigma 15", "sigma 25", "sigma 50"),
        {
            "BM3D": ("31.08", "28.57", "25.60"),
            "DnCNN": ("31.73", "29.23", "26.23"),
            "FFDNet": ("31.63", "29.19", "26.29"),
            "DRUNet": ("31.91", "29.48", "26.59"),
        },
    ),
    "cbsd68": (
        "PSNR in dB over R, G and B, CBSD68; the same papers and Zamir et al. 2022 (Restormer)",
        ("sigma 15", "sigma 25", "sigma 50"),
        {
            "CBM3D": ("33.52", "30.71", "27.38"),
            "DnCNN": ("33.90", "31.24", "27.95"),
            "FFDNet": ("33.87", "31.21", "27.96"),
            "DRUNet": ("34.30", "31.69", "28.51"),
            "Restormer": ("34.35", "31.75", "28.56"),
        },
    ),
    "sr-2": (
        "PSNR in dB on Y, x2; Dong et al. 2016 (SRCNN), Kim et al. 2016 (VDSR), Wan et al. 2024 (SPAN)",
        ("Set5",),
        {"bicubic": ("33.66",), "SRCNN": ("36.66",), "VDSR": ("37.53",), "SPAN": ("38.08",)},
    ),
    "sr-4": (
        "PSNR in dB on Y, x4; the same papers, Shi et al. 2016 (ESPCN), Sun et al. 2023 (SAFMN), Liang et "
        "al. 2021 (SwinIR)",
        ("Set5", "Set14"),
        {
            "bicubic": ("28.42", "26.00"),
            "SRCNN": ("30.48", "27.49"),
            "ESPCN": ("30.52", "27.42"),
            "VDSR": ("31.35", "28.01"),
            "SAFMN (0.24 M)": ("32.18", "28.60"),
            "SwinIR-light": ("32.44", "28.77"),
        },
    ),
    "haze-sots": (
        "PSNR in dB, all 500 images of SOTS indoor; Li et al. 2019 (RESIDE), Song et al. 2022 (gUNet)",
        ("SOTS indoor",),
        {
            "dark channel prior": ("16.62",),
            "AOD-Net": ("20.51",),
            "FFA-Net": ("36.39",),
            "gUNet-T": ("37.99",),
        },
    ),
}
"""Table -> (measure and sources, columns, method -> figures)."""


def published(table: str) -> str:
    """Return the block of a table as Markdown, or '' where there is none."""
    if table not in PUBLISHED:
        return ""
    about, columns, rows = PUBLISHED[table]
    lines = [
        f"Published, not measured here: {about}.",
        "",
        "| published method | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
        *(f"| {name} | " + " | ".join(figures) + " |" for name, figures in rows.items()),
    ]
    return "\n".join(lines) + "\n"
