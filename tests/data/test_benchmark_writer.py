"""The benchmark writer: published layouts, equal bytes however the work was cut, resumable at any moment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data

from clearsight.data.benchmark.names import file_names, folder_names, safe
from clearsight.data.benchmark.sets import ALEXNET_ERRORS, SETS
from clearsight.data.benchmark.write import expand, write_benchmark
from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.media.images import decode, encode_png
from clearsight.data.sources.base import Entry
from clearsight.data.sources.cifar_c import CifarC
from clearsight.data.sources.files import Files
from clearsight.data.sources.folder import Folder
from clearsight.data.sources.imagenet_c import ImageNetC

KINDS = ("gaussian_noise", "fog", "contrast")


@pytest.fixture
def photos(tmp_path):
    """Forty cuts of photographs in two classes, one damaged file among them."""
    root = tmp_path / "photos"
    images = [skimage.data.astronaut(), skimage.data.coffee()]
    for label, name in enumerate(("astronaut", "coffee")):
        (root / name).mkdir(parents=True)
        for number in range(20):
            cut = images[label][number * 4 : number * 4 + 96, 60 : 60 + 96]
            small = cv2.resize(cut, (24, 24), interpolation=cv2.INTER_AREA)
            (root / name / f"{number:03d}.png").write_bytes(encode_png(small))
    (root / "coffee" / "007.png").write_bytes(b"not an image")
    return root


def tree(folder):
    """Return the sha256 of every file by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(photos, out, layout, **options):
    return write_benchmark(Folder(path=str(photos)), out, expand(KINDS), layout=layout, seed=3, **options)


@pytest.mark.slow
def test_files_hold_what_an_evaluation_would_see(photos, tmp_path):
    steps = []
    done = write(
        photos, tmp_path / "c", "imagenet_c", workers=1, on_progress=lambda *step: steps.append(step)
    )
    assert (done.images, done.corruptions, done.made) == (39, 15, 39 * 15)
    assert [skipped.id for skipped in done.skipped] == ["coffee/007.png"]
    assert steps[-1] == (40, 40)
    assert steps == sorted(steps)
    source = Folder(path=str(photos))
    for entry, sample in zip(
        source.index().entries[:3], source.read(source.index().entries[:3]), strict=True
    ):
        assert isinstance(sample, Sample)
        corruptions: Iterable[Any] = expand(KINDS, severities=(1, 4))
        for corruption in corruptions:
            file = tmp_path / "c" / corruption.kind / str(corruption.severity) / entry.name
            wanted = corruption(sample.image, Rng(3).at("corrupt", sample.id))
            np.testing.assert_array_equal(decode(file), wanted)
    back = ImageNetC(path=str(tmp_path / "c"), corruption="fog", severity=4).index()
    assert back.classes == ("astronaut", "coffee")
    assert len(back.entries) == 39


@pytest.mark.slow
def test_arrays_hold_what_an_evaluation_would_see(photos, tmp_path):
    done = write(photos, tmp_path / "c", "cifar_c", workers=1)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "checksums.sha256",
        *sorted(f"{kind}.npy" for kind in KINDS),
        "labels.npy",
        "manifest.json",
    ]
    labels = np.load(tmp_path / "c" / "labels.npy")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.tile([0] * 20 + [1] * 19, 5))
    source = Folder(path=str(photos))
    samples = [sample for sample in source.read(source.index().entries) if isinstance(sample, Sample)]
    assert done.images == len(samples) == 39
    for kind in KINDS:
        array = np.load(tmp_path / "c" / f"{kind}.npy")
        assert array.shape == (195, 24, 24, 3)
        for severity in (1, 5):
            for place in (0, 17, 38):
                sample = samples[place]
                wanted = CORRUPTIONS[kind](severity=severity)(sample.image, Rng(3).at("corrupt", sample.id))
                np.testing.assert_array_equal(array[(severity - 1) * 39 + place], wanted)
    back = CifarC(path=str(tmp_path / "c"), corruption="fog", severity=2)
    assert len(back.index().entries) == 39


@pytest.mark.parametrize("layout", ["imagenet_c", "cifar_c"])
@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(photos, tmp_path, layout):
    write(photos, tmp_path / "one", layout, workers=1)
    write(photos, tmp_path / "two", layout, workers=2)
    one = tree(tmp_path / "one")
    assert one == tree(tmp_path / "two")
    assert len(one) == (39 * 15 + 2 if layout == "imagenet_c" else 6)


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("layout", ["imagenet_c", "cifar_c"])
@pytest.mark.slow
def test_a_killed_run_goes_on_to_equal_bytes(photos, tmp_path, layout):
    write(photos, tmp_path / "whole", layout, workers=1)

    def kill(done, total):
        if done > total // 3:
            raise KilledError

    with pytest.raises(KilledError):
        write(photos, tmp_path / "cut", layout, workers=1, on_progress=kill)
    assert not (tmp_path / "cut" / "manifest.json").exists()
    (tmp_path / "cut" / ".half.png.123.tmp").write_bytes(b"half a file")
    resumed = write(photos, tmp_path / "cut", layout, workers=1)
    assert 0 < resumed.made < 39 * 15
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


def cut_off(path: Path, other: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def one_bit(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def of_another(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("layout", ["imagenet_c", "cifar_c"])
@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("damage", [cut_off, one_bit, of_another])
@pytest.mark.slow
def test_damaged_files_are_made_again(photos, tmp_path, layout, finished, damage):
    whole = tmp_path / "c"
    write(photos, whole, layout, workers=1)
    before = tree(whole)
    assert all(line.split("  ")[0] == before[line.split("  ")[1]] for line in lines(whole))
    assert {line.split("  ")[1] for line in lines(whole)} == before.keys() - {
        "checksums.sha256",
        "manifest.json",
    }
    fog, other = (sorted([*whole.glob(f"{kind}/**/*.png"), *whole.glob(f"{kind}.npy")]) for kind in KINDS[1:])
    for path in fog[::9]:
        damage(path, other[0])
    if not finished:
        plan = {name: json.loads((whole / "manifest.json").read_text())[name] for name in ("key", "config")}
        (whole / "unfinished.json").write_text(json.dumps(plan))
        (whole / "manifest.json").unlink()
    again = write(photos, whole, layout, workers=1)
    assert again.made == (len(fog[::9]) if layout == "imagenet_c" else 39 * 5)
    assert tree(whole) == before


def lines(folder):
    return (folder / "checksums.sha256").read_text().splitlines()


@pytest.mark.slow
def test_a_damaged_part_of_an_array_is_made_again(photos, tmp_path):
    write(photos, tmp_path / "whole", "cifar_c", workers=1)

    def damage(done, total):
        if done == total:
            one_bit(next((tmp_path / "c").glob(".parts*/fog/000001.npy")), tmp_path)

    with pytest.raises(DataError, match="000001.npy: is damaged; run again"):
        write(photos, tmp_path / "c", "cifar_c", workers=1, on_progress=damage)
    assert write(photos, tmp_path / "c", "cifar_c", workers=1).made > 0
    assert tree(tmp_path / "c") == tree(tmp_path / "whole")


@pytest.mark.parametrize("layout", ["imagenet_c", "cifar_c"])
@pytest.mark.slow
def test_an_image_that_changes_under_way_is_left_out(photos, tmp_path, layout):
    last = photos / "coffee" / "019.png"

    def change(done, total):
        last.write_bytes((photos / "coffee" / "018.png").read_bytes())

    done = write(photos, tmp_path / "c", layout, workers=1, on_progress=change)
    assert [(s.id, s.reason) for s in done.skipped][1:] == [
        ("coffee/019.png", "has changed since it was first read")
    ]
    assert not list((tmp_path / "c").rglob("coffee/019.png"))


@pytest.mark.parametrize("layout", ["imagenet_c", "cifar_c"])
@pytest.mark.slow
def test_lost_files_are_made_again(photos, tmp_path, layout):
    write(photos, tmp_path / "c", layout, workers=1)
    before = tree(tmp_path / "c")
    lost = [path for path in (tmp_path / "c").rglob("*") if path.is_file() and "fog" in str(path)][::7]
    for path in lost:
        path.unlink()
    again = write(photos, tmp_path / "c", layout, workers=1)
    assert again.made == (len(lost) if layout == "imagenet_c" else 39 * 5)
    assert tree(tmp_path / "c") == before
    assert write(photos, tmp_path / "c", layout, workers=1).made == 0


@pytest.mark.slow
def test_another_configuration_is_refused(photos, tmp_path):
    write(photos, tmp_path / "c", "imagenet_c", workers=1)
    source = Folder(path=str(photos))
    with pytest.raises(ConfigError, match=r"other settings \(seed differ"):
        write_benchmark(source, tmp_path / "c", expand(KINDS), layout="imagenet_c", seed=4, workers=1)
    with pytest.raises(ConfigError, match="corruptions differ"):
        write_benchmark(source, tmp_path / "c", expand(["fog"]), layout="imagenet_c", seed=3, workers=1)
    (photos / "coffee" / "008.png").write_bytes((photos / "coffee" / "009.png").read_bytes())
    with pytest.raises(ConfigError, match="images differ"):
        write(photos, tmp_path / "c", "imagenet_c", workers=1)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        write(photos, tmp_path / "d", "imagenet_c", workers=1)


@pytest.mark.slow
def test_the_manifest_says_what_was_made(photos, tmp_path):
    write(photos, tmp_path / "c", "imagenet_c", workers=1)
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    assert manifest["images"] == 39
    assert manifest["skipped"][0]["id"] == "coffee/007.png"
    config = manifest["config"]
    assert (config["seed"], config["layout"], config["classes"]) == (3, "imagenet_c", ["astronaut", "coffee"])
    assert set(config["versions"]) >= {"clearsight", "numpy", "opencv-python-headless"}
    fog = [item for item in config["corruptions"] if item["kind"] == "fog" and item["severity"] == 4]
    assert fog[0]["constants"] == {"plasma": [1, 2]}
    assert all(item["constants"] for item in config["corruptions"])


def test_layouts_refuse_what_they_cannot_hold(photos, tmp_path):
    source = Folder(path=str(photos))
    with pytest.raises(ConfigError, match=r"severities 1 to 5 .* \[1, 2\]"):
        write_benchmark(source, tmp_path / "c", expand(["fog"], severities=(1, 2)), layout="cifar_c")
    with pytest.raises(ConfigError, match="twice"):
        write_benchmark(source, tmp_path / "c", expand(["fog"]) * 2, layout="imagenet_c")
    mixed = [CORRUPTIONS["fog"](severity=1), CORRUPTIONS["fog"](severity=2, table="cifar_c")]
    with pytest.raises(ConfigError, match="different settings"):
        write_benchmark(source, tmp_path / "c", mixed, layout="imagenet_c")
    with pytest.raises(DataError, match="stores labels"):
        write_benchmark(Files(path=str(photos)), tmp_path / "c", expand(["fog"]), layout="cifar_c")
    assert not (tmp_path / "c").exists()
    (photos / "coffee" / "019.png").write_bytes(encode_png(np.zeros((30, 40, 3), np.uint8)))
    with pytest.raises(DataError, match=r"differ in size: 24x24 and 30x40; .*set size"):
        write_benchmark(source, tmp_path / "c", expand(["fog"]), layout="cifar_c", workers=1)


@pytest.mark.slow
def test_images_that_are_too_small_are_listed(photos, tmp_path):
    (photos / "astronaut" / "004.png").write_bytes(encode_png(np.zeros((15, 40, 3), np.uint8)))
    done = write(photos, tmp_path / "c", "imagenet_c", workers=1)
    assert [skipped.id for skipped in done.skipped] == ["astronaut/004.png", "coffee/007.png"]
    assert "at least 16x16" in done.skipped[0].reason
    assert not list((tmp_path / "c").rglob("astronaut/004.*"))


def test_unlabelled_images_have_no_class_folders(photos, tmp_path):
    source = Files(path=str(photos), take=5)
    done = write_benchmark(
        source, tmp_path / "c", expand(["contrast"]), layout="imagenet_c", workers=1, image_format="jpeg"
    )
    files = list((tmp_path / "c" / "contrast" / "1").iterdir())
    assert done.images == len(files)
    assert {path.suffix for path in files} == {".jpg"}


def test_expand_knows_sets_and_kinds():
    assert len(expand(["imagenet_c_15"])) == 75
    assert len(expand(["imagenet_c_19", "fog"])) == 95
    assert {corruption.table for corruption in expand(["fog"], table="cifar_c")} == {"cifar_c"}
    with pytest.raises(ConfigError, match="did you mean 'imagenet_c_15'"):
        expand(["imagenet_c15"])


def test_sets_name_registered_kinds():
    for kinds in SETS.values():
        assert set(kinds) <= set(CORRUPTIONS.kinds)
    assert tuple(ALEXNET_ERRORS) == SETS["imagenet_c_15"]
    extra = {kind for kind, cls in CORRUPTIONS.kinds.items() if cls.group == "extra"} - {
        "albumentations",
        "python",
    }
    assert extra == set(SETS["imagenet_c_extra_4"])


def test_names_are_safe_and_never_twice():
    assert safe("../a b/ç.") == "a_b"
    assert safe("...") == "_"
    assert safe("CON") == "_CON"
    entries = [
        Entry(str(place), label, name, place)
        for place, (label, name) in enumerate([(0, "x/a.png"), (0, "y/A.jpg"), (1, "a.png"), (0, "b.png")])
    ]
    assert file_names(entries) == ["a~0", "A~1", "a", "b"]
    assert folder_names(["cat", "Cat", "dog"]) == ["cat~0", "Cat~1", "dog"]
