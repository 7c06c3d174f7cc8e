"""Images before and after restoration: those whose prediction it saved or broke, and three to open with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.seals import Seal
from clearsight.pipelines.report.answer import best
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.strips import (
    Album,
    Entry,
    Tile,
    class_name,
    guess_of,
    order,
    read,
    shots_of,
    show,
)
from clearsight.pipelines.runs.summary import Comparison

MOST = 8
"""Most images of each fate in the gallery."""
OPENING = 3
"""Images on the first screen."""
BUDGET = 400_000
"""Bytes of all these images, at most (base64 adds a third)."""
FATES = {(False, True): "saved", (True, False): "broken"}
"""What became of a prediction, by whether it was right before and after; all else stayed as it was."""
SAME = {(True, True): "right before and after", (False, False): "wrong before and after"}


@dataclass(frozen=True)
class Place:
    """One image of one system; the image before is that of the condition."""

    system: str
    condition: str
    sample: str
    fate: str


@dataclass(frozen=True)
class Pair:
    """An image before and after one system's restoration, with what the classifier said of each."""

    system: str
    title: str
    sample: str
    label: str
    fate: str
    tiles: tuple[Tile, Tile]


@dataclass
class Gallery:
    """The pairs of a page.

    Attributes:
        opening: for the first screen, of the system that helps most.
        fates: saved and broken ones, and how many images of the whole run each stands for, by system.
        album: what was left out or changed to keep the page small.
    """

    opening: list[Pair] = field(default_factory=list)
    fates: dict[str, list[Pair]] = field(default_factory=dict)
    counts: list[tuple[str, int, int]] = field(default_factory=list)
    album: Album = field(default_factory=lambda: Album([]))


def gallery(run: RunFolder, figures: Figures, seal: Seal | None = None) -> Gallery:
    """Return the pairs of a run; none where no images were kept or nothing is compared.

    The first screen shows a saved image, a broken one, and further ones in the order of the strips, each
    under a condition of its own.

    Raises:
        RunError: ``images/images.json`` is there and cannot be read.
    """
    made = Gallery(album=Album([], seal))
    shots = shots_of(run, figures)
    places = {name: list(_places(figures, shots, name)) for name in figures.others}
    drawer = _Drawer(run, figures, shots, made.album)
    first = best(figures)
    if first is not None:
        made.opening = list(filter(None, map(drawer.pair, _opening(places.get(first, [])))))
    for fate in FATES.values():
        turns = [[place for place in found if place.fate == fate] for found in places.values()]
        mixed = [place for place in chain(*zip_longest(*map(_spread, turns))) if place]
        made.fates[fate] = list(filter(None, map(drawer.pair, mixed[:MOST])))
    if any(made.fates.values()):
        made.counts = [_count(figures, name) for name in figures.others]
    return made


def _places(
    figures: Figures, shots: Mapping[tuple[str, str], Mapping[str | None, Entry]], system: str
) -> Iterator[Place]:
    """Yield where a system restored an image whose prediction before is known."""
    for condition, sample in order(figures, shots):
        here = shots[condition, sample]
        before, after = here.get(figures.baseline), here.get(system)
        if None not in here or before is None or after is None or after["file"] is None:
            continue
        rights = tuple(guess.right for each in (before, after) for guess in guess_of(figures, each, ""))
        if len(rights) == 2 and None not in rights:
            known = (bool(rights[0]), bool(rights[1]))
            yield Place(system, condition, sample, FATES.get(known) or SAME[known])


def _opening(places: list[Place]) -> list[Place]:
    """Return a saved image, a broken one, and others under further conditions until there are enough."""
    fates = [next((place for place in places if place.fate == fate), None) for fate in FATES.values()]
    chosen = [place for place in fates if place]
    for place in _spread(places):
        if len(chosen) < OPENING and all(place.condition != other.condition for other in chosen):
            chosen.append(place)
    return chosen


def _spread(places: list[Place]) -> list[Place]:
    """Return places with every condition once, before any comes again."""
    turns: dict[str, list[Place]] = {}
    for place in places:
        turns.setdefault(place.condition, []).append(place)
    return [place for turn in zip_longest(*turns.values()) for place in turn if place]


def _count(figures: Figures, name: str) -> tuple[str, int, int]:
    """Return how many predictions a system saved and broke in the whole run, without attacks."""
    found = [
        cell.versus
        for cell in figures.cells
        if cell.system == name and cell.attack in figures.unattacked and isinstance(cell.versus, Comparison)
    ]
    return name, sum(each.gained for each in found), sum(each.lost for each in found)


class _Drawer:
    """Makes pairs while there is room on the page."""

    def __init__(
        self,
        run: RunFolder,
        figures: Figures,
        shots: Mapping[tuple[str, str], Mapping[str | None, Entry]],
        album: Album,
    ) -> None:
        self.run, self.figures, self.shots, self.album = run, figures, shots, album
        self.spent = 0

    def pair(self, place: Place) -> Pair | None:
        """Return the images of a place; None where they are too large for what is left."""
        figures, here = self.figures, self.shots[place.condition, place.sample]
        tiles, size = [], 0
        for title, image, said in (
            ("before", here[None], here[figures.baseline]),
            (place.system, here[place.system], here[place.system]),
        ):
            content = read(self.run.images, image.get("file"), self.album)
            tile, used = show(title, content, guess_of(figures, said, ""), self.album)
            tiles.append(tile)
            size += used
        if self.spent + size > BUDGET:
            self.album.left_out += 1
            return None
        self.spent += size
        label = class_name(figures, here[place.system].get("label"))
        title = figures.title(place.condition)
        return Pair(place.system, title, place.sample, label, place.fate, (tiles[0], tiles[1]))
