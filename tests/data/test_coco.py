"""Images with boxes: COCO's format as it should be, and as strangers write it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearsight.data.contract.boxes import Box, Boxes
from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.sources import coco_annotations
from clearsight.data.sources.coco import Coco
from clearsight.data.sources.coco_annotations import read_annotations
from clearsight.data.sources.joined import Joined

HEIGHT, WIDTH = 40, 60


def png(value: int, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(out, "png")
    return out.getvalue()


def described(*boxes: Any, images: int = 2, **changes: Any) -> dict[str, Any]:
    """Describe images 1, 2, ... with one box each of ``boxes``, all in image 1, of class 'cat' (id 3)."""
    told: dict[str, Any] = {
        "images": [
            {"id": n, "file_name": f"images/{n}.png", "height": HEIGHT, "width": WIDTH}
            for n in range(1, images + 1)
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 3, "bbox": box} for n, box in enumerate(boxes)
        ],
    }
    return told | changes


def folder(root: Path, told: Any, images: int = 2) -> Path:
    (root / "images").mkdir(parents=True)
    for n in range(1, images + 1):
        (root / "images" / f"{n}.png").write_bytes(png(n))
    (root / "annotations.json").write_text(told if isinstance(told, str) else json.dumps(told))
    return root


def reasons(told: Any) -> list[str]:
    content = told if isinstance(told, bytes) else json.dumps(told).encode()
    return [skipped.reason for skipped in read_annotations(content, where="a.json").left_out]


def test_boxes_come_with_their_images_and_images_without_boxes_stay(tmp_path: Path) -> None:
    told = described([1, 2, 3, 4.5])
    told["annotations"].append(
        {"id": 8, "image_id": 1, "category_id": 9, "bbox": [0, 0, 60, 40], "iscrowd": 1}
    )
    source = Coco(path=str(folder(tmp_path / "set", told)))
    index = source.index()
    assert index.classes == ("cat", "dog")  # in the order of their ids, 3 and 9
    assert [entry.id for entry in index.entries] == ["images/1.png", "images/2.png"]
    assert index.passed_over == ()
    first, second = source.read(index.entries)
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert first.truth is None
    assert first.boxes == Boxes((Box(1, 2, 3, 4.5, 0), Box(0, 0, 60, 40, 1, True)), HEIGHT, WIDTH)
    assert second.boxes == Boxes((), HEIGHT, WIDTH)
    assert (second.image == 2).all()


def test_a_tar_file_is_read_in_place_and_annotations_may_lie_beside_it(tmp_path: Path) -> None:
    told = described([1, 2, 3, 4])
    members = {f"./images/{n}.png": png(n) for n in (1, 2)} | {"readme.txt": b"no image"}
    sources = []
    for name, inside in (("inside", True), ("beside", False)):
        place = tmp_path / name
        place.mkdir()
        files = members | ({"annotations.json": json.dumps(told).encode()} if inside else {})
        with tarfile.open(place / "set.tar", "w") as archive:
            for member, content in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        if not inside:
            (place / "annotations.json").write_text(json.dumps(told))
        sources.append(Coco(path=str(place / "set.tar")))
    loose = Coco(path=str(folder(tmp_path / "loose", told)))
    keys = {source.fingerprint(source.index().entries) for source in (*sources, loose)}
    assert len(keys) == 1
    index = sources[0].index()
    assert [skipped.id for skipped in index.passed_over] == ["readme.txt"]
    (sample,) = sources[0].read(index.entries[:1])
    assert isinstance(sample, Sample)
    assert sample.boxes is not None
    assert sample.boxes.items == (Box(1, 2, 3, 4, 0),)


def test_the_fingerprint_follows_boxes(tmp_path: Path) -> None:
    keys = []
    for n, box in enumerate(([1, 2, 3, 4], [1, 2, 3, 5])):
        source = Coco(path=str(folder(tmp_path / str(n), described(box))))
        keys.append(source.fingerprint(source.index().entries))
    assert keys[0] != keys[1]


def test_a_label_map_renumbers_boxes_and_keeps_images(tmp_path: Path) -> None:
    told = described([1, 2, 3, 4])
    told["annotations"].append({"id": 5, "image_id": 2, "category_id": 9, "bbox": [0, 0, 5, 5]})
    path = str(folder(tmp_path / "set", told))
    index = Coco(path=path, label_map={"cat": 15}).index()
    assert [entry.boxes.items for entry in index.entries if entry.boxes] == [(Box(1, 2, 3, 4, 15),), ()]
    assert index.classes[15] == "cat"
    assert Coco(path=path, label_map={"cat": 15}).mapped
    with pytest.raises(ConfigError, match="names no class 'fox'"):
        Coco(path=path, label_map={"fox": 0}).index()
    joined = Joined.model_validate({"of": [{"kind": "coco", "path": path}]}).index()
    assert joined.entries[1].boxes is not None


def test_boxes_follow_resizing_and_cutting(tmp_path: Path) -> None:
    # 40x60 becomes 20x30 by area, whose middle 20x20 begins at x = 5.
    path = str(folder(tmp_path / "set", described([20, 10, 20, 10], [0, 0, 9, 40], [0, 0, 20, 40])))
    (sample,) = Coco(path=path, size=20, take=1).read(Coco(path=path).index().entries[:1])
    assert isinstance(sample, Sample)
    assert sample.image.shape == (20, 20, 3)
    # The second lies in what was cut off; half of the third does.
    assert sample.boxes == Boxes((Box(5, 5, 10, 5, 0), Box(0, 0, 5, 20, 0)), 20, 20)
    (cut,) = Coco(path=path, crop=0.5).read(Coco(path=path).index().entries[:1])
    assert isinstance(cut, Sample)
    # The middle 20x20 of 40x60 begins at (20, 10).
    assert cut.image.shape == (20, 20, 3)
    assert cut.boxes == Boxes((Box(0, 0, 20, 10, 0),), 20, 20)


def test_boxes_follow_images_far_longer_than_wide() -> None:
    from clearsight.data.media.resize import covering, middle
    from clearsight.data.sources.selection import fit_boxes

    # A white square on black shows where its box must be.
    image = np.zeros((16, 1600, 3), np.uint8)
    image[4:12, 797:803] = 255
    boxes = Boxes((Box(797, 4, 6, 8, 0),), 16, 1600)
    placed = fit_boxes(boxes, image.shape[:2], 64, 1.0)
    assert placed is not None
    (box,) = placed.items
    there = np.argwhere(middle(covering(image, 64, 64), 64, 64)[..., 0] > 127)
    assert [box.y, box.x] == pytest.approx(there.min(0), abs=1)
    assert [box.y + box.height, box.x + box.width] == pytest.approx(there.max(0) + 1, abs=1)


def test_an_image_of_another_size_than_its_boxes_is_skipped(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", described([1, 2, 3, 4]))
    (root / "images" / "1.png").write_bytes(png(1, 41))
    source = Coco(path=str(root))
    first, second = source.read(source.index().entries)
    assert isinstance(first, Skipped)
    assert "has 41x60 pixels, its boxes belong to an image of 40x60" in first.reason
    assert isinstance(second, Sample)


def test_what_is_not_there_and_what_is_not_named_is_told(tmp_path: Path) -> None:
    told = described(images=3)
    told["images"][1]["file_name"] = "../../outside.png"
    index = Coco(path=str(folder(tmp_path / "set", told, images=1))).index()
    assert [entry.id for entry in index.entries] == ["images/1.png"]
    assert {skipped.id for skipped in index.passed_over} == {"../../outside.png", "images/3.png"}
    assert all("is not there" in skipped.reason for skipped in index.passed_over)
    more = Coco(path=str(folder(tmp_path / "more", described(images=1), images=2))).index()
    assert [(s.id, s.reason) for s in more.passed_over] == [
        ("images/2.png", "is not named by annotations.json")
    ]


def test_boxes_are_clipped_and_counted() -> None:
    told = described([-5, -5, 15, 15], [50, 30, 100, 100], [1, 1, 2, 2], [60, 0, 5, 5], [-9, 0, 9, 9])
    found = read_annotations(json.dumps(told).encode(), where="a.json")
    assert found.images[0].boxes.items == (Box(0, 0, 10, 10, 0), Box(50, 30, 10, 10, 0), Box(1, 1, 2, 2, 0))
    assert [skipped.reason for skipped in found.left_out] == [
        "2 boxes clipped to their image, and used (annotation 0, annotation 1)",
        "2 boxes outside their image (annotation 3, annotation 4)",
    ]


@pytest.mark.parametrize(
    "box",
    [None, "1,2,3,4", [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, "3", 4], [1, 2, True, 4], [1, 2, 10**400, 4], {}],
)
def test_what_is_no_box_is_left_out(box: Any) -> None:
    assert reasons(described(box)) == ["1 boxes that are not four finite numbers (annotation 0)"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_left_out(number: str) -> None:
    content = json.dumps(described([1, 2, "N", 4])).replace('"N"', number).encode()
    assert reasons(content) == ["1 boxes that are not four finite numbers (annotation 0)"]


@pytest.mark.parametrize("box", [[1, 2, 0, 4], [1, 2, 3, 0], [5, 5, -3, 4]])
def test_boxes_without_area_are_left_out(box: list[int]) -> None:
    assert reasons(described(box)) == ["1 boxes without an area (annotation 0)"]


def test_unknown_images_and_classes_and_copies_are_left_out_and_counted() -> None:
    good = {"id": 0, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}
    told = described(
        annotations=[good, good, good | {"id": 1, "image_id": 77}, good | {"id": 2, "image_id": [1]}]
    )
    told["annotations"] += [good | {"id": 3 + n, "category_id": 4} for n in range(5)]
    found = read_annotations(json.dumps(told).encode(), where="a.json")
    assert len(found.images[0].boxes.items) == 1
    assert [skipped.reason for skipped in found.left_out] == [
        "1 boxes that are there twice (annotation 0)",
        "2 boxes of images that are not listed (annotation 1, annotation 2)",
        "5 boxes of classes that are not listed (annotation 3, annotation 4, annotation 5, ...)",
    ]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"images": None}, "has no list 'images'"),
        ({"images": [3]}, "has no list 'images'"),
        ({"annotations": {}}, "has no list 'annotations'"),
        ({"categories": []}, "has no categories"),
        ({"categories": [{"id": 1, "name": 5}]}, "no 'id' or no 'name'"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "or have id 1"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "called 'a'"),
        ({"images": [{"id": 1}]}, "no 'id' or no 'file_name'"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}, "id 1"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "./a"}]}, "name 'a'"),
        (
            {
                "annotations": [
                    {"id": 4, "image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1]},
                    {"id": 4, "image_id": 1, "category_id": 3, "bbox": [0, 0, 2, 2]},
                ]
            },
            "two annotations have the id 4",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_annotations(json.dumps(described() | changes).encode(), where="a.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"images": ' + b"9" * 9999 + b"}"]
)
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="a.json: ") as caught:
        read_annotations(content, where="a.json")
    assert len(str(caught.value)) < 250


def test_images_without_a_size_are_left_out_and_counted() -> None:
    told = described([1, 2, 3, 4])
    del told["images"][1]["width"]
    found = read_annotations(json.dumps(told).encode(), where="a.json")
    assert [image.file_name for image in found.images] == ["images/1.png"]
    assert found.left_out[0].reason == "1 images without their height and width in pixels (images/2.png)"


def test_too_many_boxes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_annotations, "MOST_BOXES", 8)
    with pytest.raises(DataError, match="holds 9 boxes, at most 8 are read"):
        reasons(described(*[[1, 1, 2, 2]] * 9))
    monkeypatch.setattr(coco_annotations, "MOST_IN_IMAGE", 4)
    with pytest.raises(DataError, match=r"image 'images/1.png' has more than 4 boxes"):
        reasons(described(*[[1, 1, 2, 2]] * 5))


@pytest.mark.slow
def test_a_million_boxes_of_one_image_are_refused_within_seconds() -> None:
    rows = ",".join('{"image_id":1,"category_id":3,"bbox":[1,1,2,2]}' for _ in range(1_000_000))
    content = json.dumps(described()).replace('"annotations": []', f'"annotations": [{rows}]').encode()
    with pytest.raises(DataError, match=r"has more than 5,000 boxes"):
        read_annotations(content, where="a.json")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "images", "boxes", "unnamed"),
    [("dawn_fog_110_boxes.tar", 110, 742, 0), ("ruie_underwater_boxes_dev.tar", 149, 668, 275)],
)
def test_real_sets_are_read_whole(name: str, images: int, boxes: int, unnamed: int) -> None:
    try:
        index = Coco(path=name).index()
    except DataError:
        pytest.skip(f"needs {name} in CLEARSIGHT_DATA")
    assert len(index.entries) == images
    assert sum(len(entry.boxes.items) for entry in index.entries if entry.boxes) == boxes
    assert len(index.passed_over) == unnamed
    assert isinstance(Coco(path=name).read(index.entries[:1])[0], Sample)
