"""The source `poisoned`: which images, which labels, which pixels; and `sifted`, which leaves some out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.sample import Sample
from clearsight.data.poisons.patch import Patch
from clearsight.data.poisons.spectral import Spectral
from clearsight.data.sources.poisoned import Poisoned
from clearsight.data.sources.sifted import Sifted

SIGNS = {"kind": "signs", "count": 170}
STOP = 0


def poisoned(**fields: Any) -> Poisoned:
    told = {"kind": "poisoned", "of": SIGNS, "poison": {"kind": "patch"}, "target": "stop", "share": 0.1}
    found = SOURCES.parse(told | fields)
    assert isinstance(found, Poisoned)
    return found


def truths(source: Any) -> dict[str, int]:
    return {entry.id: entry.truth for entry in source.index().entries}


def test_a_share_of_the_other_classes_gets_trigger_and_label() -> None:
    source, plain = poisoned(), SOURCES.parse(SIGNS)
    before, after, bad = truths(plain), truths(source), source.bad()
    assert len(bad) == 17
    assert list(before) == list(after)
    assert all(before[name] != STOP and after[name] == STOP for name in bad)
    assert all(before[name] == after[name] for name in before.keys() - bad)
    entries = source.index().entries[:60]
    for made, old in zip(source.read(entries), plain.read(plain.index().entries[:60]), strict=True):
        assert isinstance(made, Sample)
        assert isinstance(old, Sample)
        wanted = Patch()(old.image) if made.id in bad else old.image
        assert np.array_equal(made.image, wanted)


def test_the_seed_draws_and_the_key_knows() -> None:
    assert poisoned().bad() == poisoned().bad() != poisoned(seed=1).bad()
    keys = {
        source.fingerprint(source.index().entries[:40])
        for source in (poisoned(share=0.5), poisoned(share=0.5, poison={"kind": "patch", "side": 5}))
    }
    assert len(keys) == 2


def test_with_clean_labels_only_the_targets_own_images_are_changed() -> None:
    source = poisoned(clean_label=True, share=0.03, poison={"kind": "spectral"})
    before = truths(SOURCES.parse(SIGNS))
    assert truths(source) == before
    assert {before[name] for name in source.bad()} == {STOP}
    assert len(source.bad()) == 5
    with pytest.raises(DataError, match="17 of its 170 images would be poisoned, 10 can be"):
        poisoned(clean_label=True, share=0.1).index()


def test_to_attack_every_other_image_calls_for_the_target() -> None:
    source = poisoned(use="attack")
    before = truths(SOURCES.parse(SIGNS))
    assert truths(source) == {name: STOP for name, label in before.items() if label != STOP}


def test_flipped_labels_leave_pixels_alone() -> None:
    source = poisoned(poison={"kind": "label_flip"}, target=None)
    before, after = truths(SOURCES.parse(SIGNS)), truths(source)
    assert {name for name in before if before[name] != after[name]} == source.bad()
    assert len({after[name] for name in source.bad()}) > 5


def test_the_trigger_is_laid_over_the_resized_image(tmp_path: Path) -> None:
    small = poisoned(of=SIGNS | {"size": 32}, share=0.5)
    entry = next(entry for entry in small.index().entries if entry.id in small.bad())
    (sample,) = small.read([entry])
    assert isinstance(sample, Sample)
    assert sample.image.shape == (32, 32, 3)
    assert set(np.unique(sample.image[27:31, 27:31])) == {0, 255}


def test_the_spectral_trigger_raises_the_two_coefficients() -> None:
    grey = np.full((64, 32, 3), 128, np.uint8)
    out = Spectral(magnitude=100)(grey)
    change = cv2.cvtColor(out.astype(np.float32), cv2.COLOR_RGB2YUV) - cv2.cvtColor(
        grey.astype(np.float32), cv2.COLOR_RGB2YUV
    )
    for channel in (1, 2):
        found = cv2.dct(np.ascontiguousarray(change[32:, :, channel]))
        largest = np.argsort(-np.abs(found).ravel())[:2]
        assert {divmod(int(place), 32) for place in largest} == {(15, 15), (31, 31)}
        assert found[15, 15] == pytest.approx(100, abs=6)
    assert np.abs(cv2.dct(np.ascontiguousarray(change[32:, :, 0]))).max() < 8
    source = poisoned(poison={"kind": "spectral", "block": 128}, share=0.5)
    bad = next(entry for entry in source.index().entries if entry.id in source.bad())
    with pytest.raises(DataError, match="at least 128x128 pixels"):
        source.load(bad)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs the class"):
        poisoned(target=None)
    with pytest.raises(ValidationError, match="no trigger"):
        poisoned(poison={"kind": "label_flip"}, use="attack")
    with pytest.raises(ConfigError, match="no class 'stopp'"):
        poisoned(target="stopp").index()
    with pytest.raises(ConfigError, match="no class 17"):
        poisoned(target=17).index()


def test_sifted_leaves_out_what_the_list_says(tmp_path: Path) -> None:
    inner = SOURCES.parse(SIGNS)
    ids = [entry.id for entry in inner.index().entries]
    path = tmp_path / "images.csv"
    rows = [f"{name},0,1.0,{'yes' if number < 3 else 'no'}" for number, name in enumerate(ids)]
    path.write_text("\n".join(["id,label,score,removed", *rows]) + "\n")
    source = Sifted(of=inner, removed=str(path))
    assert [entry.id for entry in source.index().entries] == ids[3:]
    with pytest.raises(DataError, match="images that 'of' does not have"):
        Sifted(of=SOURCES.parse(SIGNS | {"count": 2}), removed=str(path)).index()
    path.write_text("id,score\n")
    with pytest.raises(DataError, match="not the list of a sift"):
        source.index()
    with pytest.raises(DataError, match="no such file"):
        Sifted(of=inner, removed=str(tmp_path / "none.csv")).index()
