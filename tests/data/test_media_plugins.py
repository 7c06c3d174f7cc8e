"""HEIC and JPEG XL through plug-ins that are not there, are there, or are broken; depths that Pillow cuts."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.data.contract.errors import DataError
from clearsight.data.media.deep import depth
from clearsight.data.media.images import decode, suffixes
from clearsight.data.media.listing import found, written
from clearsight.data.media.lossless import decode_image
from clearsight.data.media.plugins import HEIC, JXL, PLUGINS, Plugin, advice, plugin_of

HEADS = {
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "JXL": b"\0\0\0\x0cJXL \r\n\x87\n",
}
FAKE = """
import io
from PIL import Image, ImageFile

HEAD = {head!r}

class Fake(ImageFile.ImageFile):
    format = "{form}"

    def _open(self):
        self.inner = Image.open(io.BytesIO(self.fp.read()[len(HEAD):]))
        self._mode, self._size = self.inner.mode, self.inner.size
        self.tile = []

    def load(self):
        if self.inner is not None:
            self.im, self.inner = self.inner.convert(self.mode).im, None
        return Image.Image.load(self)

def {register}():
    Image.register_open(Fake.format, Fake, lambda head: head.startswith(HEAD[:12]))
{called}
"""


@pytest.fixture(params=PLUGINS, ids=lambda plugin: plugin.format)
def fake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """Install a module that reads a PNG file behind the first bytes of the format."""
    plugin: Plugin = request.param
    name = plugin.register or "register"
    code = FAKE.format(
        head=HEADS[plugin.format],
        form=plugin.format,
        register=name,
        called="" if plugin.register else "register()",
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / f"{plugin.module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, plugin.module, raising=False)
    Image.init()
    yield plugin
    sys.modules.pop(plugin.module, None)
    Image.OPEN.pop(plugin.format, None)
    if plugin.format in Image.ID:
        Image.ID.remove(plugin.format)


def encoded(form: str) -> tuple[np.ndarray, bytes]:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return pixels, HEADS[form] + out.getvalue()


def test_an_installed_plugin_is_used(fake: Plugin, tmp_path: Path) -> None:
    pixels, data = encoded(fake.format)
    assert np.array_equal(decode(data), pixels)
    assert np.array_equal(decode_image(data, "x").pixels, pixels)
    (tmp_path / "in").mkdir()
    for ending in fake.endings:
        (tmp_path / "in" / f"a{ending.upper()}").write_bytes(data)
        assert ending in suffixes()
        assert written(f"a{ending}") == "a.png"
    listed = found(str(tmp_path / "in"), None)
    assert len(listed.names) == len(fake.endings)
    assert not listed.passed_over


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.format)
@pytest.mark.parametrize("broken", ["", "raise OSError('libde265.so.0: cannot open')", "x = 1"])
def test_without_a_plugin_the_advice_is_given(
    plugin: Plugin, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, plugin.module, None)
    if broken:
        monkeypatch.delitem(sys.modules, plugin.module)
        (tmp_path / f"{plugin.module}.py").write_text(broken)
        monkeypatch.syspath_prepend(tmp_path)
    _, data = encoded(plugin.format)
    with pytest.raises(DataError, match=f"is a {plugin.format} image.*pip install {plugin.package}"):
        decode(data, name="x")
    assert advice(plugin.endings[0]) == f"pip install {plugin.package}"
    monkeypatch.delitem(sys.modules, plugin.module, raising=False)


def test_what_is_not_installed_is_passed_over_with_advice(tmp_path: Path) -> None:
    missing = [plugin for plugin in PLUGINS if not plugin.installed]
    (tmp_path / "a.png").write_bytes(encoded("HEIF")[1][len(HEADS["HEIF"]) :])
    for plugin in missing:
        (tmp_path / f"b{plugin.endings[0]}").write_bytes(b"x")
    told = {skipped.id: skipped.reason for skipped in found(str(tmp_path), None).passed_over}
    for plugin in missing:
        assert f"pip install {plugin.package}" in told[f"b{plugin.endings[0]}"]


def test_no_plugin_is_imported_before_an_image_needs_it(fake: Plugin, tmp_path: Path) -> None:
    code = (
        "import sys; from clearsight.data.media.images import decode, suffixes; suffixes();"
        f"decode(open({str(tmp_path / 'a.png')!r}, 'rb').read());"
        f"assert {fake.module!r} not in sys.modules"
    )
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r});" + code],
        check=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (HEADS["HEIF"], HEIC),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", HEIC),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", None),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", None),
        (b"\xff\x0a", JXL),
        (HEADS["JXL"], JXL),
        (b"\xff\xd8\xff", None),
        (b"\xff\xff\xff\xffftyp", None),
        (b"\x89PNG", None),
    ],
)
def test_formats_are_known_by_their_first_bytes(head: bytes, wanted: Plugin | None) -> None:
    assert plugin_of(head) == wanted


@pytest.mark.parametrize(("bits", "wanted"), [(0x00, 8), (0x40, 10), (0x60, 12)])
def test_the_depth_of_avif_files_is_read(bits: int, wanted: int) -> None:
    out = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(out, "AVIF")
    with Image.open(io.BytesIO(out.getvalue())) as image:
        data = bytearray(out.getvalue())
        at = data.find(b"av1C") + 6
        assert data[at] & 0x60 == 0
        data[at] |= bits
        assert depth(image, bytes(data)) == wanted


def test_what_is_deeper_than_its_plugin_reads_is_restored_by_no_one(fake: Plugin) -> None:
    pixels, data = encoded(fake.format)
    if fake is HEIC:
        data += b"hvcC" + bytes(17) + b"\xfa"
        with pytest.raises(DataError, match=r"HEIF files of this kind are read with 8 bits.*16-bit PNG"):
            decode_image(data, "x")
    assert np.array_equal(decode(data), pixels)
