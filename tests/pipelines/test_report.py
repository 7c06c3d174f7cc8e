"""The report: what it says equals the summary, and the page stands alone."""

from __future__ import annotations

import copy
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import report_fixture as fixture

from clearsight.data.contract.errors import RunError
from clearsight.pipelines.report import tables
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.findings import findings, tallies
from clearsight.pipelines.report.page import write_report
from clearsight.pipelines.report.terminal import headline
from clearsight.pipelines.report.words import point_span, points, probability, quantity

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Reads a page: checks that tags balance, and keeps attributes, ids and text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def report(folder: Path, made: dict[str, Any], *, images: bool = True, **options: Any) -> tuple[str, Page]:
    run = fixture.write_run(folder, made)
    if images:
        fixture.add_images(run, made, **options)
    source = write_report(run).read_text(encoding="utf-8")
    return source, Page(source)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Page]:
    made = fixture.summary(kinds=["gaussian_noise", "fog", "zoom_blur"], severities=(1, 3, 5))
    return made, *report(tmp_path_factory.mktemp("report") / "run", made)


def test_every_section_is_there(usual: tuple[dict[str, Any], str, Page]) -> None:
    _, source, page = usual
    for section in (
        "run",
        "headline",
        "severity",
        "conditions",
        "measures",
        "images",
        "cost",
        "skipped",
        "fine",
    ):
        assert f'<section id="{section}">' in source
        assert f'href="#{section}"' in source
    for words in ("small_convnet", "signs-standard-v1", "truncated file", "random signs", "max-T", "2.13.0"):
        assert words in page.text


def test_config_is_verbatim(usual: tuple[dict[str, Any], str, Page]) -> None:
    _, source, _ = usual
    (code,) = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", source, re.S)
    assert "".join(Page(f"<p>{code}</p>").words) == fixture.CONFIG


def test_page_asks_for_nothing(usual: tuple[dict[str, Any], str, Page]) -> None:
    _, source, page = usual
    assert not re.search(r"https?:|@import|//[a-z]+\.[a-z]", re.sub(r"base64,[^\"]+", "", source))
    assert all(a.startswith(("#", "data:")) for key in ("src", "href") for a in page.attributes(key))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]+)\)", source))
    assert "script" not in {tag for tag, _ in page.tags}


def test_ids_are_unique_and_every_link_has_its_target(usual: tuple[dict[str, Any], str, Page]) -> None:
    _, source, page = usual
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = [a[1:] for a in page.attributes("href") if a.startswith("#")]
    targets += [t[1:] for t in re.findall(r"url\(([^)]+)\)", source)]
    assert set(targets) <= set(ids)


def test_charts_take_the_colours_of_the_page(usual: tuple[dict[str, Any], str, Page]) -> None:
    _, source, _ = usual
    drawings = re.findall(r"<svg.*?</svg>", source, re.S)
    assert len(drawings) == 3 + 2
    for drawing in drawings:
        assert not re.search(r"#[0-9a-f]{6}\b(?!-)", re.sub(r'(href|id)="[^"]*"|url\([^)]*\)', "", drawing))
        assert "<text" not in drawing or "DejaVu" not in drawing
    assert "var(--s1)" in drawings[0] + drawings[1]


def test_figures_equal_the_summary(usual: tuple[dict[str, Any], str, Page]) -> None:
    made, source, page = usual
    for entry in made["aggregates"]:
        found = entry["metrics"]["accuracy"]
        assert quantity(found["value"], "accuracy") in source
        if gap := entry["versus"]:
            assert points(gap["difference"]) in page.text
            assert point_span(gap["low"], gap["high"]) in page.text
    hints = " ".join(page.attributes("title"))
    for cell in made["cells"]:
        if cell["versus"] and cell["condition"] != "clean":
            shown = quantity(cell["metrics"]["accuracy"]["value"], "accuracy")
            wanted = f"{cell['condition']}: Accuracy {shown}"
            assert wanted in hints
            assert f"p = {probability(cell['versus']['p_adjusted'])}" in hints


def test_tallies_count_the_verdicts() -> None:
    made = fixture.summary()
    (tally,) = tallies(Figures(made))
    verdicts = [c["versus"]["verdict"] for c in made["cells"] if c["versus"] and c["condition"] != "clean"]
    assert (tally.helps, tally.hurts) == (verdicts.count("helps"), verdicts.count("hurts"))
    assert tally.total == len(verdicts) == 95


def set_gap(entry: dict[str, Any], difference: float, verdict: str) -> None:
    entry["versus"] |= {"difference": difference, "low": difference - 0.01, "high": difference + 0.01}
    entry["versus"] |= {"verdict": verdict}


def test_findings_say_plainly_where_it_hurts_clean_first() -> None:
    made = fixture.summary(kinds=["zoom_blur"], severities=(1, 2, 3, 4, 5))
    for cell in made["cells"]:
        if cell["condition"] == "clean" and cell["versus"]:
            set_gap(cell, -0.031, "hurts")
    text = " ".join(findings(Figures(made)))
    assert text.startswith(
        "On 300 images, compared with \u2018plain\u2019, restoration with \u2018restored\u2019 costs 3.1 points on "
        "clean images ("
    )
    assert "Restoration hurts here: on clean images" in text
    assert "It helps under 0 of 5 corrupted conditions" in text


def test_findings_of_one_group_alone_speak_of_corruptions() -> None:
    made = fixture.summary(kinds=["zoom_blur", "motion_blur"], severities=(1, 3))
    assert {a["group"] for a in made["aggregates"]} >= {"blur"}
    made["aggregates"] = [a for a in made["aggregates"] if a["group"] == "blur"]
    for entry in made["aggregates"]:
        if entry["versus"]:
            set_gap(entry, 0.052, "helps")
    first = findings(Figures(made))[0]
    assert "gains 5.2 points over all corruptions (" in first
    alone = fixture.summary(kinds=["fog"], severities=(3,))
    assert "under the one corruption (" in findings(Figures(alone))[0]


def test_findings_do_not_speak_of_restoration_where_nothing_is_restored() -> None:
    made = fixture.summary(("plain", "restored", "augmix", "third"), kinds=["zoom_blur", "fog"])
    for entry in made["cells"] + made["aggregates"]:
        if entry["system"] == "augmix":
            entry["metrics"]["psnr"] = None
        if entry["versus"]:
            set_gap(entry, -0.02, "hurts")
    told = {name: next(t for t in findings(Figures(made)) if name in t) for name in ("restored", "augmix")}
    assert told["augmix"].startswith("\u2018augmix\u2019 costs 2.0 points on clean images")
    assert "estoration" not in told["augmix"]
    assert "Restoration hurts here: on clean images, over all corruptions" in told["restored"]


def test_findings_say_of_each_system_what_it_gains_and_costs() -> None:
    made = fixture.summary(("plain", "a", "b", "c", "d"), kinds=["fog", "shot_noise"])
    gaps = {"a": 0.09, "b": 0.09, "c": -0.04, "d": 0.0}
    for entry in made["aggregates"] + made["cells"]:
        if not entry["versus"]:
            continue
        verdict = {0.09: "helps", -0.04: "hurts"}.get(gaps[entry["system"]], "unclear")
        set_gap(entry, gaps[entry["system"]], verdict)
        if entry["system"] == "a" and entry.get("group") == "weather":
            set_gap(entry, -0.14, "hurts")
    told = findings(Figures(made))
    assert len(told) == 4, "one a system"
    for name, text in zip("abcd", told, strict=True):
        assert f"\u2018{name}\u2019" in text
    assert "gains 9.0 points on clean images, gains 9.0 points over all corruptions" in told[0]
    assert "loses 14.0 in weather" in told[0], "the loss in a column is not left out for a gain elsewhere"
    assert "costs" not in told[1], "what ties for the best gain is no villain"
    assert "Restoration hurts" not in told[1]
    assert "costs 4.0 points on clean images" in told[2]
    assert "makes no clear difference on clean images (0.0 points)" in told[3]


@pytest.mark.slow
def test_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    made = fixture.summary(kinds=["fog", "frost"], severities=(1, 5))
    run = fixture.write_run(tmp_path / "run", made)
    fixture.add_images(run, made)
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


@pytest.mark.parametrize("attacks", [("none",), ("none", "pgd-linf")])
@pytest.mark.slow
def test_names_are_escaped(tmp_path: Path, attacks: tuple[str, ...]) -> None:
    evil = '<img src=x onerror=alert(1)> & "quoted" {{ 7 * 7 }}'
    made = fixture.summary(("plain", evil), kinds=["fog"], severities=(1, 3), attacks=attacks)
    made["title"] = "</title><script>alert(1)</script>"
    made["data"]["classes"] = [evil] * 5
    made["conditions"][1]["kind"] = "<i>fog</i>"
    source, page = report(tmp_path / "run", made)
    assert "<script" not in source
    assert "<i>fog" not in source
    assert not page.attributes("onerror")
    assert evil in page.text


@pytest.mark.parametrize(
    "options",
    [
        {"systems": ("plain",), "kinds": ["fog"], "severities": (3,), "baseline": None},
        {"systems": ("plain",), "kinds": ["fog"], "severities": (3,)},
        {"systems": ("plain",), "kinds": []},
        {"systems": ("plain", "restored"), "kinds": []},
        {"systems": ("plain", "restored"), "kinds": ["fog", "snow"], "baseline": None},
        {"systems": ("plain", "restored"), "kinds": ["fog"], "severities": (3,), "attacks": ("pgd",)},
        {"systems": ("x" * 90, "y" * 90), "baseline": "x" * 90, "kinds": ["fog"]},
    ],
    ids=str,
)
def test_degenerate_runs(tmp_path: Path, options: dict[str, Any]) -> None:
    made = fixture.summary(**options)
    _, page = report(tmp_path / "run", made, label=False)
    assert page.text.count("On 300 images") == 1
    assert headline(made).row_count == len(options["systems"])


def test_run_without_a_classifier_speaks_of_psnr(tmp_path: Path) -> None:
    made = fixture.summary(kinds=["fog", "snow"], baseline=None)
    for entry in made["cells"] + made["aggregates"]:
        entry["metrics"] |= {"accuracy": None, "ece": None}
    _, page = report(tmp_path / "run", made)
    assert "No system has a classifier" in page.text
    assert "mean PSNR over all corruptions" in page.text


def test_run_without_any_figure(tmp_path: Path) -> None:
    made = fixture.summary(kinds=["fog"])
    for entry in made["cells"] + made["aggregates"]:
        entry["metrics"] = {"accuracy": None}
        entry["versus"] = None
    made["aggregates"] = []
    _, page = report(tmp_path / "run", made, images=False)
    assert "no metric has a value" in page.text


def test_bare_run_folder(tmp_path: Path) -> None:
    made = fixture.summary(kinds=["fog"])
    for system in made["systems"]:
        system["ms_per_image"] = None
        system["parts"] = []
        system["chain"] = "mean(classify(image), classify(denoise(image)))"
    made["timing"], made["complete"] = None, False
    run = fixture.write_run(tmp_path / "run", made)
    for name in ("config.yaml", "environment.json"):
        (run / name).unlink()
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "This run is not complete" in page.text
    assert "mean(classify(image), classify(denoise(image)))" in page.text
    assert "images" not in page.attributes("id")


@pytest.mark.slow
def test_big_run_stays_small(tmp_path: Path) -> None:
    made = fixture.summary(("plain", *(f"system-{i}" for i in range(5))))
    source, page = report(tmp_path / "run", made, samples=3, size=224)
    assert len(made["conditions"]) == 96
    assert len(source.encode()) < 5_000_000
    assert "shown as JPEG" in page.text
    assert len([1 for tag, _ in page.tags if tag == "img"]) >= 14


def test_missing_and_foreign_images(tmp_path: Path) -> None:
    made = fixture.summary(kinds=["fog"])
    run = fixture.write_run(tmp_path / "run", made)
    fixture.add_images(run, made)
    (tmp_path / "secret.png").write_bytes(b"not for the page")
    listing = run / "images" / "images.json"
    listing.write_text(listing.read_text().replace("bad.png", "../../secret.png"))
    (run / "images" / "good.png").unlink()
    source = write_report(run).read_text(encoding="utf-8")
    assert "image missing" in source
    assert "bm90IGZvciB0aGUgcGFnZQ" not in source


def test_right_and_wrong_are_told_without_colour(usual: tuple[dict[str, Any], str, Page]) -> None:
    _, source, page = usual
    assert source.count('class="unseen">right:') == source.count("guess right") - 1  # the legend has one more
    assert "✓" in page.text
    assert "✗" in page.text


def test_two_sets_of_one_corruption_do_not_hide_each_other() -> None:
    made = fixture.summary(kinds=["fog"], severities=(1, 3))
    twins = [copy.deepcopy(c) | {"name": f"my-{c['name']}", "group": "mine"} for c in made["conditions"][1:]]
    made["conditions"] += twins
    rows = Figures(made).rows()
    assert sorted(name for row in rows for name in row.conditions.values()) == sorted(
        c["name"] for c in made["conditions"][1:]
    )


def test_predictions_are_left_out_where_there_is_no_classifier(tmp_path: Path) -> None:
    made = fixture.summary(kinds=["fog"])
    run = fixture.write_run(tmp_path / "run", made)
    fixture.add_images(run, made)
    listing = run / "images" / "images.json"
    shots = [shot | {"prediction": None, "confidence": None} for shot in json.loads(listing.read_text())]
    listing.write_text(json.dumps(shots))
    source = write_report(run).read_text(encoding="utf-8")
    assert "data:image/png" in source
    assert 'class="guess' not in source


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no summary.json"), ("{", "cannot be read"), ("[]", "not a JSON"), ('{"schema": 2}', "schema 2")],
)
def test_damaged_folders_are_refused(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(RunError, match=words):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_terminal_table_says_the_same(usual: tuple[dict[str, Any], str, Page]) -> None:
    from rich.console import Console

    made, _, _ = usual
    made = json.loads(json.dumps(made).replace('"restored"', '"[red]x"'))
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(headline(made))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO
    assert "[red]x" in text
    gap = next(a["versus"] for a in made["aggregates"] if a["group"] == "all corruptions" and a["versus"])
    assert f"{points(gap['difference'])} {gap['verdict']}" in text


@pytest.mark.parametrize("synthetic", ["synthetic", "partly synthetic", ""])
def test_drawings_are_called_so_beside_every_table(
    synthetic: str, usual: tuple[dict[str, Any], str, Page]
) -> None:
    made = json.loads(json.dumps(usual[0]))
    made["data"]["synthetic"] = synthetic
    caption = str(headline(made).caption)
    assert caption.endswith(f" {synthetic} images") == bool(synthetic)
    assert findings(Figures(made))[0].startswith(
        f"On {made['data']['samples']} {synthetic} images".replace("  ", " ")
    )


@pytest.mark.slow
def test_report_needs_no_torch() -> None:
    code = "import sys, clearsight.pipelines.report.page, clearsight.pipelines.report.terminal; "
    code += "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.031, "+3.1"), (-0.031, "\u22123.1"), (0.0, "0.0"), (-0.0001, "0.0"), (None, "\u2013")],
)
def test_points(value: float | None, text: str) -> None:
    assert points(value) == text


def test_a_corruption_at_severity_0_is_clean() -> None:
    made = fixture.summary(kinds=["gaussian_noise", "fog"], severities=(1, 3))
    by_identity = Figures(made)
    made["conditions"] = [c | {"kind": "fog"} if c["severity"] == 0 else c for c in made["conditions"]]
    by_severity = Figures(made)
    assert by_severity.clean == by_identity.clean == "clean"
    assert by_severity.columns() == by_identity.columns()
    assert [column.group for column in by_severity.columns()][:2] == ["clean", "all corruptions"]
    assert by_severity.rows() == by_identity.rows()
    assert tables.headline(by_severity) == tables.headline(by_identity)


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "summary.json", "audit.json"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, name: str) -> None:
    run = fixture.write_run(tmp_path / "run", fixture.summary(kinds=["fog"], severities=(1,)))
    (run / name).write_bytes(b"na\xffme: toy")
    with pytest.raises(RunError, match=rf"{re.escape(name)}: is damaged"):
        write_report(run)
