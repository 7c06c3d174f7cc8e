from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from asking import pixels, png, stored
from browser import CHROMIUM, Browser, browser
from served import Served, served
from tiny_onnx import tiny

from clearsight.data.media.images import decode
from clearsight.pipelines.inference.session import Session

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
DONE = (
    "!document.getElementById('result').hidden && !document.getElementById('main').hasAttribute('aria-busy')"
)
LABELS = "[...document.querySelectorAll('#predictions .label')].map((each) => each.innerText)"
READY = "document.getElementById('version')?.textContent"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Served]:
    model = tiny(tmp_path_factory.mktemp("model") / "model.onnx", gives=("logits", "image"))
    with served(model, "--max-megabytes", 0.5) as made:
        yield made


@pytest.fixture(scope="module")
def window(tmp_path_factory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def page(server, window) -> Browser:
    window.events.clear()
    window.open("about:blank")
    window.open(server.url + "/")
    window.until(READY)
    return window


def image(page: Browser, at: str) -> list[int]:
    """Return width, height and the pixels' sum of an image on the page."""
    return page.value(
        f"""(() => {{
            const image = document.getElementById("{at}");
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
            const pen = canvas.getContext("2d");
            pen.drawImage(image, 0, 0);
            const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
            return [canvas.width, canvas.height, data.reduce((sum, value, i) => sum + (i % 4 === 3 ? 0 : value), 0)];
        }})()"""
    )


def test_a_chosen_image_is_shown_before_and_after_with_its_classes(page, tmp_path):
    model = Session(tiny(tmp_path / "m.onnx", gives=("logits", "image")), "cpu", 1)
    for at, shape in enumerate(((40, 30, 3), (300, 200, 3))):
        path = tmp_path / f"{at}.png"
        path.write_bytes(stored(pixels(str(at), *shape)))
        page.value("document.getElementById('result').hidden = true")
        page.choose("#file", path)
        page.until(DONE)
        array = decode(path)
        assert page.value(LABELS) == [name for name, _ in model.classify([array]).top(5)[0]]
        restored = model.restore([array])[0]
        assert image(page, "before") == [shape[1], shape[0], int(array.astype(int).sum())]
        assert image(page, "after") == [shape[1], shape[0], int(restored.astype(int).sum())]
    widths = page.value("[...document.querySelectorAll('.fill')].map((each) => parseFloat(each.style.width))")
    assert sum(widths) == pytest.approx(100, abs=0.1)
    assert widths == sorted(widths, reverse=True)
    assert page.value("document.getElementById('save').href").startswith("blob:")
    assert page.complaints() == []


def test_the_sample_needs_no_file_and_nothing_comes_from_elsewhere(page, server):
    page.value("document.getElementById('try').click()")
    page.until(DONE)
    assert len(page.value(LABELS)) == 3
    assert page.value("document.getElementById('status').innerText").startswith("The sample: ")
    page.open("about:blank")
    page.open(server.url + "/#sample")
    page.until(f"document.getElementById('result') && {DONE}")
    place = urlsplit(server.url).netloc
    away = [
        url
        for url in page.asked()
        if not url.startswith(("blob:", "data:", "about:")) and urlsplit(url).netloc != place
    ]
    assert away == []
    assert page.complaints() == []


def test_errors_are_told_as_text(page, tmp_path, server):
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    path.write_bytes(b"<b>no image</b>")
    page.choose("#file", path)
    told = page.until(
        "!document.getElementById('failure').hidden && document.getElementById('failure').innerText"
    )
    assert told.startswith("The body is not an image in a supported format. Use one of PNG")
    assert page.value("document.querySelectorAll('#failure b, #status img').length") == 0
    assert page.value("document.getElementById('failure').getAttribute('role')") == "alert"
    page.value("document.getElementById('failure').hidden = true")
    (tmp_path / "large.png").write_bytes(bytes(600_000))
    page.choose("#file", tmp_path / "large.png")
    told = page.until(
        "!document.getElementById('failure').hidden && document.getElementById('what').innerText"
    )
    assert told == "The file has 0.57 MB, more than the server takes."
    # A good one afterwards takes the error away.
    (tmp_path / "good.png").write_bytes(png("g", 20, 20, 3))
    page.choose("#file", tmp_path / "good.png")
    page.until(DONE)
    assert page.value("document.getElementById('failure').hidden")


def test_names_of_classes_are_never_markup(page):
    found = page.value(
        """(() => {
            const row = bar({ label: "<img src=x onerror=alert(1)>", probability: 0.5 });
            return [row.querySelectorAll("img").length, row.querySelector(".label").textContent];
        })()"""
    )
    assert found == [0, "<img src=x onerror=alert(1)>"]


def test_the_page_is_worked_by_keyboard_and_named_for_readers(page):
    page.press("Tab", 9)
    assert page.value("document.activeElement.id") == "file"
    label = page.value("document.activeElement.labels[0].innerText")
    assert label.startswith("Choose an image, drop one here, or paste it")
    page.press("Tab", 9)
    assert page.value("document.activeElement.id") == "try"
    page.press("Enter", 13, "\r")
    page.until(DONE)
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]
    }
    assert ("image", "The image as it was given") in named
    assert ("image", "The restored image") in named
    assert any(role == "status" for role, _ in named)
    assert ("heading", "Predictions") in named
    assert not any(role in ("image", "button", "link") and not name for role, name in named)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("target", ["/#sample", "/docs"])
def test_narrow_windows_and_both_schemes(page, server, scheme, target):
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.open("about:blank")
    page.open(server.url + target)
    page.until("document.querySelectorAll('#predictions li, .way').length > 2")
    assert page.value("document.documentElement.scrollWidth") <= 360
    ground, ink = (
        page.value(f"getComputedStyle(document.body).{name}.match(/\\d+/g).map(Number)")
        for name in ("backgroundColor", "color")
    )
    assert (sum(ground) > sum(ink)) == (scheme == "light")
    assert contrast(ground, ink) > 7
    muted = page.value("getComputedStyle(document.querySelector('.facts')).color.match(/\\d+/g).map(Number)")
    assert contrast(ground, muted) > 4.5
    page.call("Emulation.clearDeviceMetricsOverride")


def contrast(one: list[int], other: list[int]) -> float:
    """Return the ratio that WCAG defines."""

    def light(colour: list[int]) -> float:
        parts = [
            value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_documentation_works_without_the_internet(page, server):
    page.open(server.url + "/docs")
    page.until("document.querySelectorAll('.way').length === 9")
    text = page.value("document.body.innerText")
    assert f"curl --data-binary @image.jpg {server.url}/v1/predict" in text
    for word in ("top", "restored", "413", "Retry-After", "image/png", "config_key"):
        assert word in text
    assert page.complaints() == []


def test_a_file_that_only_classifies_shows_no_second_image(window, tmp_path):
    with served(tiny(tmp_path / "m.onnx", gives=("logits",))) as only:
        window.open(only.url + "/#sample")
        window.until(f"document.getElementById('result') && {DONE}")
        assert window.value("document.getElementById('after-figure').hidden")
        assert len(window.value(LABELS)) == 3


def test_a_server_that_is_gone_is_said(window, tmp_path):
    path = Path(tmp_path / "a.png")
    path.write_bytes(png("a", 9, 9, 3))
    with served(tiny(tmp_path / "m.onnx", gives=("logits",))) as short:
        window.open(short.url)
        window.until(READY)
        assert short.stop() == 0
        window.choose("#file", path)
        assert (
            window.until(
                "!document.getElementById('failure').hidden && document.getElementById('what').innerText"
            )
            == "The server does not answer."
        )
