"""When the conditions of a run ended, in words: after all images, or after enough of them."""

from __future__ import annotations

from clearsight.pipelines.report.words import count
from clearsight.pipelines.runs.summary import RunSummary


def images_of(run: RunSummary) -> str:
    """Return how many images were looked at: ``300 images``, or ``128 to 300 images a condition``.

    Images that a program drew are called ``synthetic images``.
    """
    image = f"{run.data.synthetic} image".lstrip()
    seen = sorted({cell.n for cell in run.cells})
    if run.stop is None or not seen or seen == [run.data.samples]:
        return count(run.data.samples, image)
    text = f"{seen[0]:,} to {count(seen[-1], image)}" if len(seen) > 1 else count(seen[0], image)
    return f"{text} a condition (of {run.data.samples:,})"


def ending(run: RunSummary) -> str:
    """Return the sentence on the rule by which conditions ended; nothing where there was none."""
    if run.stop is None:
        return ""
    ended = {cell.condition: cell.n for cell in run.cells}
    early = [name for name, n in ended.items() if n < run.data.samples]
    looks = ", ".join(f"{look:,}" for look in run.stop.looks)
    return (
        f"A condition ended when the interval of every accuracy under it was {run.stop.half_width:g} points"
        f" or less to each side: {len(early)} of {len(ended)} did before the last image. One looked after"
        f" {looks} images, and all intervals hold at every look."
    )
