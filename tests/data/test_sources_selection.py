from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.sources.base import Entry, HoldOut, Index, Source
from clearsight.data.sources.selection import fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ("n01440764_tench", "n02102040 spaniel", "lion, king", "plain")


class Toy(Source):
    """Entries given by hand; the image is one grey level."""

    kind: Literal["toy"] = "toy"
    listed: ClassVar[tuple[Entry, ...]] = ()

    labels: tuple[int | None, ...] = ()
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    gone: tuple[int, ...] = ()

    def scan(self) -> Index:
        return Index(
            tuple(
                Entry(
                    self.ids[n] if self.ids else f"toy/{n:03d}",
                    label,
                    self.names[n] if self.names else f"name{n}",
                    n,
                )
                for n, label in enumerate(self.labels)
            ),
            CLASSES,
        )

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        if int(entry.place) in self.gone:
            raise DataError("is gone", where=entry.id)
        return np.full((6, 9, 3), int(entry.place), np.uint8)

    def content(self, entry: Entry) -> bytes:
        return self.load(entry).tobytes()


def ids(source: Source) -> list[str]:
    return [entry.id for entry in source.index().entries]


def test_per_class_holds_out_the_last_in_stored_order() -> None:
    labels = (0, 1, 0, 1, 0, 1, 1)
    held = Toy(labels=labels, hold_out=HoldOut(per_class=2), subset="held_out")
    assert ids(held) == ["toy/002", "toy/004", "toy/005", "toy/006"]
    train = Toy(labels=labels, hold_out=HoldOut(per_class=2), subset="train")
    assert ids(train) == ["toy/000", "toy/001", "toy/003"]
    everything = Toy(labels=labels, hold_out=HoldOut(per_class=2))
    assert len(ids(everything)) == 7


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3) | st.none(), min_size=1, max_size=40),
    fraction=st.floats(0.05, 0.95),
    tracks=st.integers(1, 9),
)
def test_fraction_splits_every_class_and_never_a_group(
    labels: list[int | None], fraction: float, tracks: int
) -> None:
    names = tuple(f"{label}/t{n % tracks}_{n}" for n, label in enumerate(labels))
    rule = HoldOut(fraction=fraction, group=r"^([^_]+)_")
    sides = []
    for subset in ("train", "held_out"):
        source = Toy.model_validate(
            {"labels": tuple(labels), "names": names, "hold_out": rule, "subset": subset}
        )
        try:
            sides.append(source.index().entries)
        except DataError:
            sides.append(())
    groups = [{entry.name.split("_")[0] for entry in side} for side in sides]
    assert not groups[0] & groups[1]
    assert sorted(entry.place for side in sides for entry in side) == list(range(len(labels)))
    for label in set(labels):
        own = {name.split("_")[0] for name in names if name.startswith(f"{label}/")}
        held = len(own & groups[1])
        if len(own) == 1:
            assert held == 0
        else:
            assert held == min(max(round(fraction * len(own)), 1), len(own) - 1)


def test_fraction_depends_on_ids_only() -> None:
    labels = tuple([0] * 30)
    names = tuple(f"toy/{n:03d}" for n in range(30))
    rule = HoldOut(fraction=0.3)
    straight = set(ids(Toy(labels=labels, ids=names, hold_out=rule, subset="held_out")))
    turned = set(ids(Toy(labels=labels, ids=names[::-1], hold_out=rule, subset="held_out")))
    assert straight == turned
    assert len(straight) == 9


def test_a_group_over_two_classes_stays_whole() -> None:
    source = Toy(
        labels=(0, 1) * 10,
        names=tuple(f"p{n // 2}_x" for n in range(20)),
        hold_out=HoldOut(fraction=0.4, group="^(p[0-9]+)_"),
        subset="held_out",
    )
    places = {int(entry.place) for entry in source.index().entries}
    assert len(places) == 8
    assert all((place ^ 1) in places for place in places)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("^(track", "no regular expression"),
        ("^track", "has no group"),
        ("^(track)", "does not match the name 'name0'"),
    ],
)
def test_bad_group_patterns(pattern: str, message: str) -> None:
    source = Toy(labels=(0, 0), hold_out=HoldOut(fraction=0.5, group=pattern), subset="train")
    with pytest.raises(ConfigError, match=message):
        source.index()


def test_subset_without_rule_and_empty_results() -> None:
    with pytest.raises(ValidationError, match="subset 'train' goes with 'hold_out'"):
        Toy(labels=(0,), subset="train")
    with pytest.raises(ConfigError, match="2 images of each class are held out, and one class has 1"):
        Toy(labels=(0, 1, 1, 1), hold_out=HoldOut(per_class=2), subset="train").index()
    assert (
        len(Toy(labels=(0, 1, 1, 1), hold_out=HoldOut(per_class=2), subset="held_out").index().entries) == 3
    )
    with pytest.raises(DataError, match="no images are left"):
        Toy(labels=(0, 1), label_map={"plain": 1}).index()
    with pytest.raises(DataError, match="holds no images"):
        Toy().index()
    with pytest.raises(DataError, match="share an id"):
        Toy(labels=(0, 0), ids=("a", "a")).index()


def test_label_map_by_name_token_and_synset() -> None:
    source = Toy(labels=(0, 1, 2, 3, None), label_map={"n01440764": 7, "n02102040": 2, "plain": 0})
    index = source.index()
    assert [(entry.place, entry.truth) for entry in index.entries] == [(0, 7), (1, 2), (3, 0)]
    assert len(index.classes) == 8
    assert [index.classes[entry.truth or 0] for entry in index.entries] == [CLASSES[n] for n in (0, 1, 3)]
    assert index.classes[5] == "5"
    assert Toy(labels=(2,), label_map={"lion": 4}).index().entries[0].truth == 4
    assert Toy(labels=(2,), label_map={"lion, king": 4}).index().entries[0].truth == 4
    with pytest.raises(ConfigError, match=r"names no class 'lino'; .*known"):
        Toy(labels=(2,), label_map={"lino": 4}).index()
    with pytest.raises(ConfigError, match="index -1"):
        Toy(labels=(2,), label_map={"lion": -1}).index()


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.integers(0, 3) | st.none(), min_size=1, max_size=50), take=st.integers(1, 60))
def test_take_is_even_nested_and_in_order(labels: list[int | None], take: int) -> None:
    chosen = Toy(labels=tuple(labels), take=take).index().entries
    places = [int(entry.place) for entry in chosen]
    assert places == sorted(places)
    assert len(places) == min(take, len(labels))
    counts = {label: sum(entry.truth == label for entry in chosen) for label in set(labels)}
    for label, count in counts.items():
        if count < labels.count(label):  # only a class that ran out may have fewer than another, less one
            assert count >= max(counts.values()) - 1
    more = Toy(labels=tuple(labels), take=take + 3).index().entries
    assert set(chosen) <= set(more)


def test_take_draws_and_does_not_just_cut() -> None:
    assert ids(Toy(labels=(0,) * 100, take=10)) != [f"toy/{n:03d}" for n in range(10)]


def test_read_reports_what_is_gone_and_fingerprint_notices() -> None:
    whole, holed = Toy(labels=(0, 1, 2)), Toy(labels=(0, 1, 2), gone=(1,))
    entries = whole.index().entries
    found = holed.read(entries)
    assert found[1] == Skipped("toy/001", "toy/001: is gone")
    assert isinstance(found[2], Sample)
    assert whole.fingerprint(entries) != holed.fingerprint(entries)
    assert whole.fingerprint(entries) != Toy(labels=(0, 1, 2), crop=0.5).fingerprint(entries)
    mapped = Toy(labels=(0, 1, 2), label_map={"plain": 3})
    assert mapped.fingerprint(entries) != whole.fingerprint(entries)


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 70), crop=st.floats(0.05, 1.0)
)
def test_fit_always_gives_the_square(height: int, width: int, size: int, crop: float) -> None:
    found = fit(np.full((height, width, 3), 77, np.uint8), size, crop)
    assert found.shape == (size, size, 3)
    assert (np.abs(found.astype(int) - 77) <= 1).all()


def test_fit_leaves_alone_what_fits() -> None:
    image = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (32, 32, 3), np.uint8)
    assert fit(image, 32, 1.0) is image
    assert fit(image, None, 1.0) is image


def test_fit_cuts_the_centre() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:30, 30:50] = 255
    assert (fit(image, 20, 0.5) == 255).all()
    assert (fit(image, None, 0.5) == 255).all()
    assert fit(image, None, 0.5).shape == (20, 20, 3)


def test_fit_averages_when_it_shrinks() -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    found = fit(np.repeat(board[..., None], 3, axis=2), 16, 1.0)
    assert (np.abs(found.astype(int) - 127.5) < 1).all()


def test_paths_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clearsight.data.media.images import encode_png
    from clearsight.data.sources.files import Files

    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(encode_png(np.zeros((4, 4, 3), np.uint8)))
    monkeypatch.chdir(tmp_path)
    assert ids(Files(path="in")) == ["a.png"]
    monkeypatch.chdir("/")
    monkeypatch.setenv("CLEARSIGHT_DATA", str(tmp_path))
    assert ids(Files(path="in")) == ["a.png"]


def test_order_changes_neither_the_images_nor_the_key_of_the_stored_one() -> None:
    labels = (1, 0, 1, 2, 0, 2, 1, 0)
    stored = Toy(labels=labels)
    shuffled, classes = Toy(labels=labels, order="shuffled"), Toy(labels=labels, order="by_class")
    assert sorted(ids(shuffled)) == sorted(ids(classes)) == sorted(ids(stored))
    assert ids(shuffled) != ids(stored)
    assert ids(shuffled) == ids(Toy(labels=labels, order="shuffled"))
    assert [entry.truth for entry in classes.index().entries] == sorted(labels)
    assert "order" not in stored.identity()
    assert len({stored.key(), shuffled.key(), classes.key()}) == 3
