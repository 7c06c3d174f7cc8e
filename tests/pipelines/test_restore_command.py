from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from clearsight.data.contract.errors import ClearsightError, ConfigError, DataError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.data.media.images import decode, to_float, to_uint8
from clearsight.data.media.lossless import StoredImage, encode, read_image
from clearsight.data.weights import save, shipped
from clearsight.pipelines.cli.app import app, main
from clearsight.pipelines.restoring import chain as chains
from clearsight.pipelines.restoring import worker as workers
from clearsight.pipelines.restoring.chain import read_chain
from clearsight.pipelines.restoring.journal import NAME
from clearsight.pipelines.restoring.plan import read_plan
from clearsight.pipelines.restoring.worker import Worker
from clearsight.restore.classical.median import Median
from clearsight.restore.learned.unet_denoiser import UNetDenoiser

HOUSE = Path(__file__).parents[2]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKE, ORIENTATION, EXIF, WIDTH = 0x010F, 0x0112, 0x8769, 0xA002


def noise(name: str, *shape: int) -> np.ndarray:
    return Rng(0).at(name).numpy().integers(0, 256, shape).astype(np.uint8)


def write(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def clearsight(*arguments: object) -> None:
    app(["restore", *map(str, arguments), "--quiet", "--device", "cpu"], standalone_mode=False)


def median(pixels: np.ndarray) -> np.ndarray:
    return to_uint8(Median().build()(torch.from_numpy(to_float(pixels[None]))).numpy())[0]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "in" / "a.png", noise("a", 30, 40, 3))
    write(tmp_path / "in" / "deep" / "er" / "b.TIF", noise("b", 21, 17))
    write(tmp_path / "in" / "deep" / "c.gif", noise("c", 16, 16))
    return tmp_path / "in"


def test_a_folder_keeps_its_names_and_a_broken_file_is_named(folder, tmp_path, capsys):
    (folder / "deep" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("no image")
    write(folder / ".hidden.png", noise("h", 8, 8))
    with pytest.raises(DataError, match="2 of 5 files could not be used"):
        clearsight(folder, tmp_path / "out", "--with", "median")
    assert files(tmp_path / "out") == [NAME, "a.png", "deep/c.png", "deep/er/b.TIF"]
    assert np.array_equal(decode(tmp_path / "out" / "a.png"), median(noise("a", 30, 40, 3)))
    with Image.open(tmp_path / "out" / "deep" / "er" / "b.TIF") as grey:
        assert (grey.mode, grey.format) == ("L", "TIFF")
        assert np.array_equal(np.asarray(grey)[:, :, None], median(noise("b", 21, 17, 1)))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("skipped deep/broken.jpg: ") for line in lines) == 1
    assert "skipped empty.png: is empty" in lines
    assert "note deep/c.gif: written as c.png" in lines
    assert lines[-1].endswith("out: 3 restored")


def test_the_program_ends_with_one_line_and_one(folder, tmp_path, capsys):
    (folder / "empty.png").touch()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(SystemExit) as left:
        main(["restore", str(folder), str(tmp_path / "out"), "--with", "median", "--device", "cpu"])
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert "restore: 4 of 4" in said
    assert said.splitlines()[-1] == f"error: {folder}: 1 of 4 files could not be used"


@pytest.mark.slow
def test_the_help_needs_no_torch():
    code = (
        "import sys\nfrom clearsight.pipelines.cli.app import main\ntry:\n    main(['restore', '--help'])\n"
        "except SystemExit as e:\n    assert not e.code\nassert not {'torch', 'cv2'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--with" in done.stdout


@pytest.mark.slow
def test_orientation_is_applied_and_the_rest_of_the_metadata_kept(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = 6, "Maker"
    exif.get_ifd(EXIF)[WIDTH] = 40
    ramp = np.repeat(np.linspace(0, 255, 40).astype(np.uint8)[None, :, None], 24, 0).repeat(3, 2)
    for name in ("a.jpg", "a.png", "a.webp"):
        path = write(tmp_path / name, ramp, exif=exif, icc_profile=SRGB)
        clearsight(path, tmp_path / "out" / name, "--with", "bicubic")
        with Image.open(tmp_path / "out" / name) as found:
            assert found.size == (48, 80)
            assert found.getexif()[ORIENTATION] == 1
            assert found.getexif()[MAKE] == "Maker"
            assert found.getexif().get_ifd(EXIF)[WIDTH] == 48
            assert found.info["icc_profile"] == SRGB
            column = np.asarray(found)[:, 20, 0].astype(int)
            assert column[0] < 5
            assert column[-1] > 250


@pytest.mark.parametrize(
    ("mode", "ending"), [("LA", "png"), ("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tif")]
)
def test_transparency_passes_through_and_grows_along(tmp_path, mode, ending):
    layers = noise(mode, 20, 24, len(mode))
    layers[:, :, -1] = np.linspace(0, 255, 24).astype(np.uint8)
    path = write(
        tmp_path / f"a.{ending}", layers, **({"lossless": True, "exact": True} if ending == "webp" else {})
    )
    for words in ("median", "bicubic"):
        clearsight(path, tmp_path / words, "--with", words)
    with (
        Image.open(tmp_path / "median" / path.name) as same,
        Image.open(tmp_path / "bicubic" / path.name) as large,
    ):
        assert same.mode == large.mode == mode
        found = np.asarray(same)
        assert np.array_equal(found[:, :, -1], layers[:, :, -1])
        assert np.array_equal(found[:, :, :-1], median(layers[:, :, :-1]))
        assert large.size == (48, 40)
        assert (np.diff(np.asarray(large)[7, :, -1].astype(int)) >= 0).all()


@pytest.mark.slow
def test_sixteen_bits_stay(tmp_path):
    import cv2

    deep = Rng(0).at("deep").numpy().integers(0, 65536, (20, 25)).astype(np.uint16)
    for ending in ("png", "tif", "pgm"):
        cv2.imwrite(str(tmp_path / f"grey.{ending}"), deep)
        clearsight(tmp_path / f"grey.{ending}", tmp_path / "out", "--with", "median")
        found = cv2.imread(str(tmp_path / "out" / f"grey.{ending}"), cv2.IMREAD_UNCHANGED)
        assert found.dtype == np.uint16
        # A median only moves values about.
        assert np.array_equal(found[1:-1, 1:-1], cv2.medianBlur(deep, 3)[1:-1, 1:-1])
    colours = np.dstack([deep, deep[::-1], deep[:, ::-1]])
    for ending in ("png", "tif", "ppm"):
        cv2.imwrite(str(tmp_path / f"colour.{ending}"), colours)
        clearsight(tmp_path / f"colour.{ending}", tmp_path / "out", "--with", "median")
        found = cv2.imread(str(tmp_path / "out" / f"colour.{ending}"), cv2.IMREAD_UNCHANGED)
        assert found.dtype == np.uint16
        assert np.array_equal(found[1:-1, 1:-1], cv2.medianBlur(colours, 3)[1:-1, 1:-1])


def test_what_a_format_cannot_hold_is_said(tmp_path, capsys):
    pixels = noise("x", 8, 8, 3)
    with pytest.raises(DataError, match="JPEG files cannot hold transparency; write PNG"):
        encode(StoredImage(pixels, alpha=pixels[:, :, 0]), tmp_path / "x.jpg")
    with pytest.raises(DataError, match="not written as '.gif'"):
        encode(StoredImage(pixels), tmp_path / "x.gif")
    profile = bytes(16) + b"CMYK" + bytes(200)
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "x.jpg", icc_profile=profile)
    clearsight(tmp_path / "x.jpg", tmp_path / "out", "--with", "median")
    assert "note x.jpg: its colour profile" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "x.jpg") as found:
        assert found.mode == "RGB"
        assert "icc_profile" not in found.info


def test_of_an_animation_the_first_image_is_restored(tmp_path, capsys):
    first, second = (Image.fromarray(noise(name, 9, 9)) for name in "fs")
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    clearsight(tmp_path / "x.gif", tmp_path / "out", "--with", "median")
    assert "note x.gif: only the first of its images is restored" in capsys.readouterr().out
    assert read_image(tmp_path / "out" / "x.png").pixels.shape[:2] == (9, 9)


@pytest.mark.slow
def test_what_is_there_is_kept_and_what_changed_is_made_again(folder, tmp_path, capsys):
    out = tmp_path / "out"
    clearsight(folder, out, "--with", "median")
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    clearsight(folder, out, "--with", "median", "--resume")
    assert capsys.readouterr().out.splitlines()[-1].endswith("0 restored, 3 were there")
    write(folder / "a.png", noise("new", 12, 12, 3))
    (out / "deep" / "c.png").unlink()
    clearsight(folder, out, "--with", "median")
    assert capsys.readouterr().out.splitlines()[-1].endswith("2 restored, 1 were there")
    assert decode(out / "a.png").shape == (12, 12, 3)
    assert (out / "deep/er/b.TIF").stat().st_mtime_ns == before["deep/er/b.TIF"]


def cut_off(path, other):
    os.truncate(path, path.stat().st_size // 2)


def one_bit(path, other):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def of_another(path, other):
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [cut_off, one_bit, of_another])
def test_a_result_that_is_not_what_was_written_is_restored_again_and_named(folder, tmp_path, capsys, damage):
    out = tmp_path / "out"
    clearsight(folder, out, "--with", "median")
    before = {name: (out / name).read_bytes() for name in files(out)}
    damage(out / "a.png", out / "deep" / "c.png")
    clearsight(folder, out, "--with", "median")
    said = capsys.readouterr().out
    assert "note a.png: the result was damaged or changed: restored again" in said
    assert said.splitlines()[-1].endswith("1 restored, 2 were there")
    assert {name: (out / name).read_bytes() for name in files(out) if name != NAME} == {
        name: content for name, content in before.items() if name != NAME
    }


@pytest.mark.slow
def test_an_input_that_changed_is_restored_again_whatever_its_size_and_time(folder, tmp_path, capsys):
    out, source = tmp_path / "out", write(folder / "d.bmp", noise("d", 12, 12, 3))
    clearsight(folder, out, "--with", "median")
    facts = source.stat()
    write(source, noise("other", 12, 12, 3))
    os.utime(source, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert source.stat().st_size == facts.st_size
    clearsight(folder, out, "--with", "median")
    assert "1 restored, 3 were there" in capsys.readouterr().out
    assert np.array_equal(decode(out / "d.bmp"), median(noise("other", 12, 12, 3)))
    os.utime(source)
    clearsight(folder, out, "--with", "median")
    assert "0 restored, 4 were there" in capsys.readouterr().out, "a new time alone changes nothing"


ODD = ["7", "null", "[]", '"a.png"', '{"name": []}', '{"name": {}}', '{"name": "a.png"}', "[" * 5000]
ODD += ['{"name": "a.png", "input": 1, "result": []}', "\x00", '{"name": "a.png", "bytes": 3, "time": 4}']


@pytest.mark.parametrize("line", ODD)
@pytest.mark.slow
def test_lines_of_odd_types_in_the_journal_are_passed_over(folder, tmp_path, capsys, line):
    out = tmp_path / "out"
    clearsight(folder, out, "--with", "median")
    head, *others = (out / NAME).read_text().splitlines()
    (out / NAME).write_text("\n".join([head, *(each for each in others if "a.png" not in each), line, ""]))
    clearsight(folder, out, "--with", "median")
    assert capsys.readouterr().out.splitlines()[-1].endswith("1 restored, 2 were there")
    (out / NAME).write_text("\n".join([line, *others, ""]))
    with pytest.raises(ConfigError, match=r"restored otherwise \(--with \?\)"):
        clearsight(folder, out, "--with", "median")


@pytest.mark.slow
def test_two_chains_do_not_mix(folder, tmp_path):
    out = tmp_path / "out"
    clearsight(folder, out, "--with", "median")
    content = (out / "a.png").read_bytes()
    with pytest.raises(ConfigError, match=r"restored otherwise \(--with median\); .*--fresh"):
        clearsight(folder, out, "--with", "median,gamma")
    assert (out / "a.png").read_bytes() == content
    clearsight(folder, out, "--with", "median,gamma", "--fresh")
    assert (out / "a.png").read_bytes() != content


@pytest.mark.slow
def test_files_of_others_are_not_replaced_unasked(folder, tmp_path):
    out = tmp_path / "out"
    mine = write(out / "a.png", noise("mine", 5, 5, 3)).read_bytes()
    for given, where in ((folder, out), (folder / "a.png", out), (folder / "a.png", out / "a.png")):
        with pytest.raises(ConfigError, match=r"a\.png: exists already.*--fresh"):
            clearsight(given, where, "--with", "median")
    assert (out / "a.png").read_bytes() == mine
    clearsight(folder / "a.png", out, "--with", "median", "--fresh")
    assert np.array_equal(decode(out / "a.png"), median(noise("a", 30, 40, 3)))


@pytest.mark.slow
def test_inputs_are_never_overwritten(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    for given, out in (
        ("in", "in"),
        ("in", "link"),
        ("in/a.png", "in"),
        ("in/a.png", "in/a.png"),
        ("in/a.png", "link/../in/a.png"),
        ("in/deep/**/*", "in/deep"),
    ):
        with pytest.raises(ConfigError, match=r"OUT|is an input"):
            clearsight(given, out, "--with", "median", "--fresh")
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before


def test_out_below_in_is_not_read_again(folder):
    for _ in range(2):
        clearsight(folder, folder / "restored", "--with", "median")
    assert files(folder / "restored") == [NAME, "a.png", "deep/c.png", "deep/er/b.TIF"]


def test_plans(folder, tmp_path):
    write(folder / "deep" / "c.png", noise("c", 4, 4))
    plan = read_plan(str(folder / "deep" / "*"), tmp_path / "out")
    assert [(item.name, item.target.name) for item in plan.items] == [
        ("c.gif", "c.gif.png"),
        ("c.png", "c.png"),
    ]
    for given, out, words in (
        (folder / "none", "out", "no such file"),
        (folder / "*.jpg", "out", "no images or videos"),
        (folder, "out.png", "has to be a folder"),
        (folder / "a.png", "out.gif", "'.gif' is not written"),
    ):
        with pytest.raises(ClearsightError, match=words):
            read_plan(str(given), tmp_path / out)


@pytest.mark.slow
def test_a_killed_call_leaves_whole_files_and_goes_on(tmp_path):
    for i in range(20):
        write(tmp_path / "in" / f"{i:02}.png", noise(str(i), 48, 48, 3))
    call = [
        sys.executable,
        "-m",
        "clearsight",
        "restore",
        "in",
        "out",
        "--with",
        "non_local_means",
        "-q",
    ]
    process = subprocess.Popen(
        call, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(HOUSE), "OMP_NUM_THREADS": "1"}
    )
    out, deadline = tmp_path / "out", time.monotonic() + 200
    while len(list(out.glob("*.png"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    there = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 3 <= len(there) < 20
    for name in there:
        assert decode(out / name).shape == (48, 48, 3)
    # A kill in the middle of a line and of a file.
    with (out / NAME).open("a") as journal:
        journal.write('{"name": "07.p')
    (out / ".19.png.1234.tmp").write_bytes(b"half")
    clearsight(tmp_path / "in", out, "--with", "non_local_means")
    assert files(out) == [NAME, *(f"{i:02}.png" for i in range(20))]
    kept = [name for name, when in there.items() if (out / name).stat().st_mtime_ns == when]
    # The last ones may have been written without being noted.
    assert len(kept) >= len(there) - 4
    assert '"07.p\n' not in (out / NAME).read_text()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    import cv2

    path = tmp_path / "clips" / "clip.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (48, 32))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for level in range(0, 200, 20):
        writer.write(np.full((32, 48, 3), (level, 128, 255 - level), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("ending", ["avi", "mp4"])
def test_a_video_keeps_its_frames_and_their_rate(video, tmp_path, ending, capsys):
    import cv2

    out = tmp_path / "out" / f"clip.{ending}"
    clearsight(video, out, "--with", "median,bicubic")
    capture = cv2.VideoCapture(str(out))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12)
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert len(frames) == 10
    assert frames[0].shape == (64, 96, 3)
    for level, frame in zip(range(0, 200, 20), frames, strict=True):
        assert np.abs(frame.mean(axis=(0, 1)) - (level, 128, 255 - level)).max() < 12
    assert files(out.parent) == [out.name]
    assert "note clip.avi: sound is not kept" in capsys.readouterr().out


def test_videos_and_images_in_one_folder(video, tmp_path, capsys):
    write(video.parent / "a.png", noise("a", 8, 8, 3))
    (video.parent / "broken.mp4").write_bytes(b"no video at all")
    for made in ("2 restored", "0 restored, 2 were there"):
        with pytest.raises(DataError, match="1 of 3 files"):
            clearsight(video.parent, tmp_path / "out", "--with", "median")
        said = capsys.readouterr().out
        assert "skipped broken.mp4: is not a video that OpenCV can read\n" in said
        assert made in said
    assert files(tmp_path / "out") == [NAME, "a.png", "clip.avi"]


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        ("medain", [], "did you mean 'median'"),
        ("median,,gama", [], "did you mean 'gamma'"),
        (",", [], "names no restorer"),
        ("dncnn", [], "'dncnn' is a network and needs weights"),
        ("onnx_restorer", [], "'onnx_restorer' needs path, which a word cannot give"),
        ("median", ["--sigma", "auto"], "none of median takes a noise level"),
        ("unsharp_mask", ["--sigma", "0.1"], "none of unsharp_mask takes"),
        ("wavelet", ["--sigma", "25"], "'25' does not suit wavelet: .*less than or equal to 1"),
        ("wavelet", ["--sigma", "much"], "'much' does not suit wavelet: 'much' is not a number"),
        ("median,clahe", ["--tile", "64"], "clahe: cannot be computed in tiles"),
        ("median", ["--tile", "0"], "'0' is not a tile size; write auto, none or 512"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(folder, tmp_path, words, more, message):
    with pytest.raises(ConfigError, match=message):
        clearsight(folder, tmp_path / "out", "--with", words, *more)
    assert not list(tmp_path.glob("out/**/*.png"))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Weights of four denoisers, as if they were shipped."""
    card = dict.fromkeys(("data", "recipe", "seed", "minutes", "machine", "figures", "limits", "licence"), "")
    made = []
    for name, fields in {
        "denoise-color-v2": {"channels": 3},
        "denoise-color-v10": {"channels": 3},
        "denoise-gray-v1": {"channels": 1},
        "denoise-real-v1": {"channels": 3, "blind": True},
    }.items():
        spec = UNetDenoiser(width=4, **fields)
        made.append(
            save(
                tmp_path / "home" / "weights" / name,
                spec.network().state_dict(),
                card | {"id": name, "spec": spec.model_dump(mode="json")},
            )
        )
    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(chains, "shipped", lambda: [*shipped(), *made])
    return tmp_path / "home" / "weights"


def test_tasks_are_the_newest_weights_that_suit_the_image(weights):
    chain = read_chain("denoise, denoise-real", None)
    assert [step.spec.weights for step in chain.steps(3)] == ["denoise-color-v10", "denoise-real-v1"]
    assert [step.spec.weights for step in chain.steps(1)] == ["denoise-gray-v1", "denoise-real-v1"]
    assert {"denoise", "denoise-real", "denoise-gray-v1", "median", "plug_and_play"} <= set(chains.known())
    assert not {"dncnn", "onnx_restorer", "spandrel"} & set(chains.known())
    for word in ("denoise-color-v2", str(weights / "denoise-color-v2")):
        (step,) = read_chain(word, None).steps(1)
        assert step.spec.weights == word
    with pytest.raises(ConfigError, match="did you mean 'denoise'"):
        read_chain("denose", None)
    (weights / "denoise-color-v10" / "card.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot read the card"):
        read_chain(str(weights / "denoise-color-v10"), None)


def test_the_noise_level_is_told_to_those_that_take_it(weights):
    steps = read_chain("denoise,median,wavelet,denoise-real", "25/255").colour
    assert [getattr(step.spec, "sigma", None) for step in steps] == [25 / 255, None, 25 / 255, "auto"]
    steps = read_chain("denoise,wavelet", "auto").colour
    assert [step.estimate for step in steps] == [False, True]
    with pytest.raises(ConfigError, match="none of denoise-real takes a noise level"):
        read_chain("denoise-real", "auto")
    assert read_chain("denoise", "auto").key() != read_chain("denoise", "0.1").key()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.slow
def test_weights_restore_in_tiles_as_in_one(weights, channels):
    pixels = noise("w", 150, 170, channels)
    chain = read_chain("denoise,denoise-real,wavelet", "auto")
    whole = Worker(chain, None, "cpu")(pixels)
    assert whole.shape == pixels.shape
    tiled = Worker(chain, 48, "cpu")(pixels)
    # Sums in another order may round the other way.
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_smaller_tiles_stay_for_the_next_image(monkeypatch):
    asked: list[Any] = []
    told: list[Any] = []

    def short_of_memory(restorer, x, tile, *, device, say):
        asked.append(tile)
        if tile == "auto":
            say("out of memory", 256)
        return restorer(x)

    monkeypatch.setattr(workers, "restore_tiled", short_of_memory)
    work = Worker(read_chain("median", None), "auto", "cpu", told.append)
    for _ in range(2):
        work(noise("m", 9, 9, 3))
    assert asked == ["auto", 256]
    assert told == ["out of memory"]
