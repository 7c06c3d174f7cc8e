from __future__ import annotations

import csv
import io
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_onnx import CLASSES, tiny

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.text import cell
from clearsight.data.media.images import decode
from clearsight.data.media.lossless import StoredImage, read_image
from clearsight.data.sources.selection import fit
from clearsight.pipelines.cli.app import app, main
from clearsight.pipelines.inference import compute, infer, tiles
from clearsight.pipelines.inference.inputs import arrived, read, wanted
from clearsight.pipelines.inference.items import find, targets
from clearsight.pipelines.inference.session import Session


def noise(name: str, *shape: int, deep: bool = False) -> np.ndarray:
    drawn = Rng(0).at(name).numpy().integers(0, 65536 if deep else 256, shape)
    return drawn.astype(np.uint16 if deep else np.uint8)


def write(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def clearsight(*arguments: object) -> None:
    given = [*map(str, arguments), "--quiet", "--provider", "cpu", "--threads", "1"]
    app(["infer", *given], standalone_mode=False)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny(tmp_path / "model.onnx", gives=("logits", "image"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for at in range(6):
        write(tmp_path / "in" / f"{at}.png", noise(str(at), 10 + at % 2, 12, 3))
    write(tmp_path / "in" / "sub" / "grey.png", noise("grey", 9, 9))
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    write(tmp_path / "in" / ".hidden.png", noise("h", 8, 8))
    return tmp_path / "in"


def test_a_folder_gives_a_table_and_restored_images_and_names_what_is_broken(model, folder, tmp_path, capsys):
    with pytest.raises(DataError, match="1 of 8 files could not be used"):
        clearsight(model, folder, "--csv", tmp_path / "o.csv", "--save-restored", tmp_path / "out")
    found = rows(tmp_path / "o.csv")
    assert [row["path"] for row in found] == [*(f"{at}.png" for at in range(6)), "sub/grey.png"]
    session = Session(model, "cpu", 1)
    for row in found:
        pixels = decode(folder / row["path"])
        said = session.classify([pixels])
        assert row["label"] == said.names[0]
        assert float(row["probability"]) == pytest.approx(said.probabilities.max(), abs=1e-6)
        assert {row["label"], row["label_2"], row["label_3"]} == set(CLASSES)
        assert (int(row["height"]), int(row["width"]), row["frame"]) == (*pixels.shape[:2], "")
        assert np.array_equal(decode(tmp_path / "out" / row["path"]), session.restore([pixels])[0])
    failed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(failed) == 1
    assert failed[0].startswith("failed broken.jpg: ")


@pytest.mark.slow
def test_a_table_is_gone_on_with_and_ends_the_same(model, folder, tmp_path, monkeypatch):
    (folder / "broken.jpg").unlink()
    monkeypatch.setattr(infer, "BLOCK", 3)
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    clearsight(model, folder, "--csv", whole)
    clearsight(model, folder, "--csv", part)
    data = whole.read_bytes()
    record = tmp_path / ".part.csv.clearsight"
    key, *ends = record.read_text().splitlines()
    # The head, then three blocks of at most three rows.
    assert len(ends) == 4
    computed = []
    inner = compute.Computer.__call__

    def watched(self, block):
        computed.extend(block)
        return inner(self, block)

    monkeypatch.setattr(compute.Computer, "__call__", watched)
    sizes = [int(end.split()[0]) for end in ends]
    for cut in (len(data), len(data) - 5, sizes[2], sizes[2] + 7, sizes[1], sizes[0]):
        part.write_bytes(data[:cut])
        # A kill can come before the record of a block, and in the middle of it.
        record.write_text(
            "\n".join([key, *(end for end, at in zip(ends, sizes, strict=True) if at <= cut), "12"])
        )
        computed.clear()
        clearsight(model, folder, "--csv", part, "--resume")
        assert part.read_bytes() == data
        done = max(at for at, end in enumerate(sizes) if end <= cut)
        assert len(computed) == 7 - min(7, 3 * done)


ODD = [
    "",
    "7",
    "x y",
    "[1, 2]",
    "99999999999999999999 0",
    "-1 " + "0" * 64,
    "12 " + "0" * 64,
    "\x00",
    "\udcff",
]


@pytest.mark.parametrize("line", ODD)
@pytest.mark.slow
def test_a_record_of_odd_lines_is_refused_or_passed_over(model, folder, tmp_path, line):
    (folder / "broken.jpg").unlink()
    table, record = tmp_path / "o.csv", tmp_path / ".o.csv.clearsight"
    clearsight(model, folder, "--csv", table)
    before, (key, *ends) = table.read_bytes(), record.read_text().splitlines()
    record.write_bytes("\n".join([key, *ends, line, ""]).encode("utf-8", "surrogateescape"))
    clearsight(model, folder, "--csv", table, "--resume")
    assert table.read_bytes() == before
    for lines in ([key, line, ""], [line, *ends, ""], [key]):
        record.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        with pytest.raises(ConfigError, match="was changed since|was made by another file"):
            clearsight(model, folder, "--csv", table, "--resume")


@pytest.mark.slow
def test_rows_that_changed_are_refused(model, folder, tmp_path):
    (folder / "broken.jpg").unlink()
    table = tmp_path / "o.csv"
    clearsight(model, folder, "--csv", table)
    before = table.read_bytes()
    digit = before.index(b"0.") + 2
    for changed in (
        before[:digit] + bytes([before[digit] ^ 1]) + before[digit + 1 :],
        before.replace(b"3.png", b"8.png"),
        before + b"9.png,red,1.000000,8,8,\n" + before,
    ):
        table.write_bytes(changed)
        if changed.startswith(before):
            clearsight(model, folder, "--csv", table, "--resume")
            assert table.read_bytes() == before, "what no record speaks of is cut off"
        else:
            with pytest.raises(ConfigError, match="was changed since"):
                clearsight(model, folder, "--csv", table, "--resume")


def test_a_mended_and_a_new_image_are_added(model, folder, tmp_path):
    with pytest.raises(DataError):
        clearsight(model, folder, "--csv", tmp_path / "o.csv", "--save-restored", tmp_path / "out")
    write(folder / "broken.jpg", noise("m", 20, 20, 3))
    write(folder / "00.png", noise("n", 8, 8, 3))
    (tmp_path / "out" / "3.png").unlink()
    clearsight(model, folder, "--csv", tmp_path / "o.csv", "--save-restored", tmp_path / "out", "--resume")
    names = [row["path"] for row in rows(tmp_path / "o.csv")]
    assert names[-2:] == ["00.png", "broken.jpg"]
    assert len(set(names)) == len(names) == 9
    assert (tmp_path / "out" / "3.png").is_file()


@pytest.mark.slow
def test_tables_of_something_else_are_left_alone(model, folder, tmp_path):
    (folder / "broken.jpg").unlink()
    table = tmp_path / "o.csv"
    clearsight(model, folder, "--csv", table)
    before = table.read_bytes()
    with pytest.raises(ConfigError, match="exists already; --resume continues it, --fresh replaces it"):
        clearsight(model, folder, "--csv", table)
    for options in (["--top", 2], ["--size", 8]):
        with pytest.raises(ConfigError, match="made by another file, or with other options"):
            clearsight(model, folder, "--csv", table, "--resume", *options)
    table.write_bytes(before.replace(b",12,", b",12,13,"))
    with pytest.raises(ConfigError, match="was changed since"):
        clearsight(model, folder, "--csv", table, "--resume")
    clearsight(model, folder, "--csv", table, "--fresh")
    assert table.read_bytes() == before
    with pytest.raises(ConfigError, match="give --csv too"):
        clearsight(model, folder, "--resume")


def test_ctrl_c_leaves_whole_rows(model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(infer, "BLOCK", 2)
    inner, calls = compute.Computer.__call__, []

    def interrupted(self, block):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return inner(self, block)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(compute.Computer, "__call__", interrupted)
    monkeypatch.setattr(infer, "WRITTEN_BEHIND", 0)
    with pytest.raises(SystemExit) as left:
        main(["infer", str(model), str(folder), "--csv", str(tmp_path / "o.csv"), "--provider", "cpu", "-q"])
    monkeypatch.setattr(compute.Computer, "__call__", inner)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert left.value.code == 130
    assert "run the same command again" in capsys.readouterr().err
    assert [row["path"] for row in rows(tmp_path / "o.csv")] == ["0.png", "1.png", "2.png", "3.png"]
    with pytest.raises(DataError):
        clearsight(model, folder, "--csv", tmp_path / "o.csv", "--resume")
    assert len(rows(tmp_path / "o.csv")) == 7


def test_a_list_of_odd_names_on_standard_input(model, tmp_path, monkeypatch, capsys):
    names = ["a,b.png", '"q".png', "=1+1.png", "é\u202e.png", os_name := "raw\udcff.png", "e\x1b[31m.png"]
    for name in names:
        write(tmp_path / name, noise("x", 8, 8, 3))
    monkeypatch.chdir(tmp_path)
    given = b"\0".join([*(name.encode("utf-8", "surrogateescape") for name in names), b"gone\x1b[2J.png"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    with pytest.raises(DataError, match="1 of 7"):
        clearsight(model, "-", "--csv", tmp_path / "o.csv", "--save-restored", tmp_path / "out")
    assert [row["path"] for row in rows(tmp_path / "o.csv")] == list(map(cell, names))
    assert (tmp_path / "out" / os_name).is_file()
    told = capsys.readouterr().err
    assert "failed gone\\x1b[2J.png: " in told
    assert "\x1b" not in told
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b.png\r\n\na,b.png\n")))
    assert [item.name for item in find("-", None)[0]] == ["a,b.png"]


def test_restored_images_never_leave_their_folder(model, tmp_path, monkeypatch):
    write(tmp_path / "work" / "in" / "a.png", noise("x", 8, 8, 3))
    write(tmp_path / "b.png", noise("y", 8, 8, 3))
    monkeypatch.chdir(tmp_path / "work")
    lines = ["../b.png", str(tmp_path / "b.png"), "in/../in/a.png", "in/a.png", "~", "..", "/"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
    items = find("-", None)[0]
    goals = targets(items, tmp_path / "out")
    assert all((tmp_path / "out") in goal.parents and ".." not in goal.parts for goal in goals.values())
    assert len(set(goals.values())) == len(lines)
    with pytest.raises(ConfigError, match="would be overwritten"):
        targets(items, tmp_path)
    with pytest.raises(DataError, match="no such file"):
        find(str(tmp_path / "none"), None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        find(str(tmp_path / "empty"), None)
    assert [item.name for item in find(str(tmp_path / "w*" / "**" / "*.png"), None)[0]] == ["work/in/a.png"]
    assert find(str(tmp_path), tmp_path / "work")[0] == find(str(tmp_path / "*.png"), None)[0]


def test_kinds_of_images_are_read_as_they_were_measured(tmp_path, model):
    want = wanted(Session(model, "cpu", 1).deployed, None)
    rgba = noise("rgba", 8, 8, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    cases = {
        "rgba.png": write(tmp_path / "rgba.png", rgba),
        "deep.png": write(tmp_path / "deep.png", noise("deep", 8, 8, deep=True)),
        "turned.jpg": write(tmp_path / "turned.jpg", noise("t", 8, 12, 3), exif=exif),
        "grey.png": write(tmp_path / "grey.png", noise("g", 8, 8)),
    }
    Image.fromarray(noise("cmyk", 8, 8, 4), "CMYK").save(tmp_path / "cmyk.jpg")
    cases["cmyk.jpg"] = tmp_path / "cmyk.jpg"
    for name, path in cases.items():
        found = read(path, name, want)
        assert np.array_equal(found.inputs[0], decode(path))
        assert found.notes == ()
    assert (found := read(cases["turned.jpg"], "x", want)).width == 8
    assert found.height == 12
    many = [Image.fromarray(noise(str(at), 8, 8, 3)) for at in range(3)]
    many[0].save(tmp_path / "a.gif", save_all=True, append_images=many[1:])
    assert read(tmp_path / "a.gif", "a.gif", want).notes == ("only the first of its images is used",)


@pytest.mark.slow
def test_files_that_only_restore_keep_depth_grey_and_transparency(tmp_path):
    file = tiny(tmp_path / "img.onnx", gives=("image",))
    write(tmp_path / "in" / "deep.png", noise("deep", 8, 9, deep=True))
    write(tmp_path / "in" / "grey.png", noise("grey", 8, 9))
    write(tmp_path / "in" / "rgba.png", noise("rgba", 8, 9, 4))
    clearsight(file, tmp_path / "in", "--save-restored", tmp_path / "out", "--csv", tmp_path / "o.csv")
    session = Session(file, "cpu", 1)
    with Image.open(tmp_path / "out" / "deep.png") as deep:
        assert deep.mode == "I;16"
        plane = noise("deep", 8, 9, deep=True)[None, None].repeat(3, 1).astype(np.float32) / 65535
        exact = session.restore(plane)[0].mean(axis=0) * 65535
        assert np.abs(np.asarray(deep) - exact).max() < 2
    grey = read_image(tmp_path / "out" / "grey.png")
    assert np.array_equal(grey.pixels[:, :, 0], session.restore([noise("grey", 8, 9)])[0][:, :, 0])
    rgba = read_image(tmp_path / "out" / "rgba.png")
    assert np.array_equal(rgba.alpha, noise("rgba", 8, 9, 4)[:, :, 3])
    assert np.array_equal(rgba.pixels, session.restore([noise("rgba", 8, 9, 4)[:, :, :3]])[0])
    assert list(rows(tmp_path / "o.csv")[0]) == ["path", "width", "height", "frame"]
    plain = tiny(tmp_path / "grey.onnx", gives=("image",), channels=1)
    write(tmp_path / "c.png", noise("c", 8, 9, 3))
    clearsight(plain, tmp_path / "c.png", "--save-restored", tmp_path / "out")
    assert np.array_equal(decode(tmp_path / "out" / "c.png"), session.restore([noise("c", 8, 9, 3)])[0])


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_large_images_are_restored_in_tiles_that_equal_the_whole(scale, tmp_path, monkeypatch):
    file = tiny(tmp_path / "img.onnx", gives=("image",), scale=scale)
    path = write(tmp_path / "a.png", noise("a", 75, 93, 3))
    whole = Session(file, "cpu", 1).restore([decode(path)])[0]
    seen = []
    inner = Session.run

    def watched(self, x, batch=None):
        seen.append(x.shape)
        return inner(self, x, batch)

    monkeypatch.setattr(Session, "run", watched)
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiles.in_tiles, "__defaults__", (32,))
    clearsight(file, path, "--save-restored", tmp_path / "out")
    # Two more than tiles: the middle is looked at twice, to see that tiles equal the whole.
    assert len(seen) == 9 + 2
    assert max(max(shape[1:3]) for shape in seen) <= 34
    assert np.array_equal(decode(tmp_path / "out" / "a.png"), whole)
    both = Session(tiny(tmp_path / "both.onnx", gives=("logits", "image")), "cpu", 1)
    assert not tiles.tiled(both.deployed, 5000, 5000)
    global_ = Session(tiny(tmp_path / "g.onnx", gives=("image",), halo=None), "cpu", 1)
    assert not tiles.tiled(global_.deployed, 5000, 5000)


@pytest.mark.slow
def test_sizes_are_fitted_as_data_sources_do_or_refused_by_name(tmp_path, folder, capsys):
    want = wanted(Session(tiny(tmp_path / "free.onnx"), "cpu", 1).deployed, 20)
    for shape in ((40, 30, 3), (9, 14, 3), (20, 20, 3), (33, 20, 3)):
        pixels = noise(str(shape), *shape)
        (made,) = arrived("a", StoredImage(pixels), want).inputs
        assert np.array_equal(made, fit(pixels, 20, 1.0))
    fixed = tiny(tmp_path / "fixed.onnx", height=8, width=6)
    with pytest.raises(DataError, match="1 of 8"):
        clearsight(fixed, folder, "--csv", tmp_path / "o.csv")
    assert rows(tmp_path / "o.csv")[0]["width"] == "12"
    only = tiny(tmp_path / "only.onnx", gives=("image",), height=12, width=12)
    write(tmp_path / "a.png", noise("a", 8, 8, 3))
    capsys.readouterr()
    with pytest.raises(DataError):
        clearsight(only, tmp_path / "a.png", "--save-restored", tmp_path / "out")
    assert "takes images of 12x12 pixels only; give --size" in capsys.readouterr().err
    clearsight(only, tmp_path / "a.png", "--save-restored", tmp_path / "out", "--size", 12)
    assert decode(tmp_path / "out" / "a.png").shape == (12, 12, 3)
    with pytest.raises(ConfigError, match="takes images of 6x8 pixels only, not 9x9"):
        clearsight(fixed, folder, "--size", 9)


@pytest.mark.slow
def test_calls_that_cannot_work_are_refused(tmp_path, folder):
    classify, restore = tiny(tmp_path / "c.onnx"), tiny(tmp_path / "r.onnx", gives=("image",))
    with pytest.raises(ConfigError, match="gives no images"):
        clearsight(classify, folder, "--save-restored", tmp_path / "out")
    with pytest.raises(ConfigError, match="give --save-restored DIR"):
        clearsight(restore, folder)
    with pytest.raises(ConfigError, match="'x' is not a batch size"):
        clearsight(classify, folder, "--batch", "x")


def test_a_failing_image_does_not_spoil_its_batch(model, tmp_path, monkeypatch, capsys):
    for at in range(4):
        write(tmp_path / "in" / f"{at}.png", noise(str(at), 8, 8, 3))
    inner = compute.Computer._outputs

    def picky(self, images):
        if any(np.array_equal(image, noise("2", 8, 8, 3)) for image in images):
            raise DataError("spoilt")
        return inner(self, images)

    monkeypatch.setattr(compute.Computer, "_outputs", picky)
    with pytest.raises(DataError, match="1 of 4"):
        clearsight(model, tmp_path / "in")
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == ["0.png", "1.png", "3.png"]
    assert "failed 2.png: spoilt" in err


@pytest.mark.parametrize("saved", [False, True])
def test_videos_give_a_row_a_frame(model, tmp_path, saved, monkeypatch):
    import cv2

    monkeypatch.setattr(infer, "BLOCK", 4)
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    for at in range(10):
        writer.write(np.full((24, 32, 3), 25 * at, np.uint8))
    writer.release()
    options = ["--save-restored", tmp_path / "out"] if saved else []
    clearsight(model, tmp_path / "v.avi", "--csv", tmp_path / "o.csv", *options)
    found = rows(tmp_path / "o.csv")
    assert [row["frame"] for row in found] == [str(at) for at in range(10)]
    assert {(row["path"], row["width"], row["height"]) for row in found} == {("v.avi", "32", "24")}
    assert (tmp_path / "out" / "v.avi").exists() == saved
    before = (tmp_path / "o.csv").read_bytes()
    clearsight(model, tmp_path / "v.avi", "--csv", tmp_path / "o.csv", "--resume", *options)
    assert (tmp_path / "o.csv").read_bytes() == before
