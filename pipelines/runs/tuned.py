"""What a search for the best chain found: made by `tuning`, shown on the terminal and as a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Round:
    """A round of the search.

    Attributes:
        images: that every candidate saw.
        candidates: how many there were.
        kept: names of those that went on; of the last round, its Pareto front.
    """

    images: int
    candidates: int
    kept: list[str]


@dataclass(frozen=True)
class Judged:
    """A candidate on images that took no part in the search.

    Attributes:
        name: of the chain.
        score: weighted mean accuracy over the conditions, 0 to 1.
        groups: entry of ``conditions`` -> mean accuracy.
        ms: median milliseconds an image.
        searched: its score in the last round of the search; None for chains that were only judged.
        difference: of the score from that of nothing in front, with the ends of its interval ``low`` and
            ``high``; the intervals of all judged chains hold jointly. None for nothing in front.
    """

    name: str
    score: float
    groups: dict[str, float]
    ms: float | None
    searched: float | None
    difference: float | None
    low: float | None
    high: float | None

    @property
    def change(self) -> str:
        """Return ``helps`` or ``hurts`` where the interval excludes 0, else ``unclear``."""
        if self.low is None or self.high is None:
            return "unclear"
        return "helps" if self.low > 0 else "hurts" if self.high < 0 else "unclear"


@dataclass(frozen=True)
class Tuned:
    """A finished search.

    Attributes:
        name: of the config.
        title: heading.
        folder: where everything was written.
        candidates: size of the search space.
        rounds: of the search.
        judged: nothing in front first, then the front of the search, then chains that were only judged.
        images: that judged.
        groups: entries of ``conditions``.
        chosen: name of the chain in the recipe.
        overruled: the choice of the search clearly hurt on the images that judged, so nothing is in front.
        recipe: name of the file that ``clearsight run`` takes.
        run: folder of the judgement's run, below ``folder``.
    """

    name: str
    title: str
    folder: str
    candidates: int
    rounds: list[Round]
    judged: list[Judged]
    images: int
    groups: list[str]
    chosen: str
    overruled: bool
    recipe: str
    run: str

    @property
    def verdict(self) -> str:
        """Return the result in one sentence."""
        found = next(each for each in self.judged if each.name == self.chosen)
        if self.overruled:
            return (
                "Leave the images alone: what the search chose clearly hurts on images that it had not seen."
            )
        if found.difference is None or found.low is None or found.high is None:
            return "Leave the images alone: no chain was better than nothing in front."
        gain, low, high = (100 * value for value in (found.difference, found.low, found.high))
        change = {"helps": "helps", "hurts": "hurts", "unclear": "makes no clear difference"}[found.change]
        interval = f"[{low:+.1f}, {high:+.1f}]"
        return f"{self.chosen} {change}: {gain:+.1f} points {interval} on {self.images} new images."
