"""The report of attacks: what it says equals the summary, and never claims more than was shown."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_fixture as fixture
from PIL import Image
from report_attacked import (
    ADVERSARIES,
    AUDIT,
    add_attacked_images,
    attacked,
    cell_of,
    check,
    condemn,
    page_of,
    section,
    text_of,
)
from test_report import Page

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.attack_strips import attack_album, magnified
from clearsight.pipelines.report.attack_tables import places, sides, worst
from clearsight.pipelines.report.eps_chart import curves
from clearsight.pipelines.report.figures import Figures, versus
from clearsight.pipelines.report.findings import findings
from clearsight.pipelines.report.flags import flags
from clearsight.pipelines.report.markdown import markdown
from clearsight.pipelines.report.page import write_report
from clearsight.pipelines.report.reliability import VOID
from clearsight.pipelines.report.strips import album
from clearsight.pipelines.report.terminal import headline
from clearsight.pipelines.report.words import quantity, size


@pytest.fixture
def made() -> dict[str, Any]:
    """A run of two systems under six attacks on clean images."""
    return attacked()


def test_page_is_sound_and_stands_alone(tmp_path: Path, made: dict[str, Any]) -> None:
    condemn(made, "restored", "pgd-2")
    source, page = page_of(tmp_path / "run", made)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = [a[1:] for a in page.attributes("href") if a.startswith("#")]
    assert set(targets) | {t[1:] for t in re.findall(r"url\(([^)]+)\)", source)} <= set(ids)
    assert "attacks" in targets
    assert not re.search(r"https?:", source)
    assert "&lt;zero&gt;" in source
    assert "<zero>" not in source


def test_section_equals_the_summary(tmp_path: Path, made: dict[str, Any]) -> None:
    source, _ = page_of(tmp_path / "run", made)
    text = Page(section(source, "attacks")).text
    for cell in made["cells"]:
        assert (
            cell["attack"] == "none" or quantity(cell["metrics"]["accuracy"]["value"], "accuracy") in source
        )
    for words in (
        "23.1",
        "20.4",
        "8.0/255",
        "restorer_1: surrogate",
        "classifier: exact",
        "apgd-ce",
        "5,000",
    ):
        assert words in text
    assert "adaptive: the attacker knows every part · L∞ 8/255" in text.replace("\xa0", " ")
    assert "oblivious: the attacker knows the classifier alone" in text


def test_a_curve_joins_the_clean_cell_and_takes_the_stronger_attack(made: dict[str, Any]) -> None:
    (curve,) = curves(Figures(made))
    assert curve.title == "pgd, L∞"
    assert curve.sizes == ["no attack", "2/255", "8/255"]
    assert [cell.value for cell in curve.rows[0][1] if cell] == ["90.0\xa0%", "40.0\xa0%", "0.0\xa0%"]
    assert "plain 90.0" in curve.svg
    assert not curve.flagged


def test_a_curve_needs_two_sizes_and_no_clean_cell(made: dict[str, Any]) -> None:
    made["cells"] = [c for c in made["cells"] if c["attack"] != "none"]
    (curve,) = curves(Figures(made))
    assert curve.sizes == ["2/255", "8/255"]
    made["cells"] = [c for c in made["cells"] if c["attack"] != "pgd-2"]
    assert curves(Figures(made)) == []


def test_the_chart_marks_what_a_check_speaks_against(made: dict[str, Any]) -> None:
    condemn(made, "restored", "pgd-2")
    (curve,) = curves(Figures(made))
    assert curve.flagged
    assert "var(--paper)" in curve.svg


def test_an_unreliable_figure_is_listed_and_marked_wherever_it_is_shown(
    tmp_path: Path, made: dict[str, Any]
) -> None:
    condemn(made, "restored", "pgd-8")
    source, page = page_of(tmp_path / "run", made)
    assert "These figures are not to be trusted:" in page.text
    assert "97 % of the gradient is <zero>." in page.text
    for name in ("headline", "attacks"):
        assert 'class="flag unreliable"' in section(source, name)
    assert "2.0 % !" in text_of(headline(made))
    assert "2.0 ! [" in markdown(made)
    assert "1 of 10 figures under attack is not to be trusted" in " ".join(findings(Figures(made)))


def test_a_mean_over_conditions_carries_the_doubt_of_its_cells(tmp_path: Path) -> None:
    made = fixture.summary(kinds=["fog", "frost"], severities=(1, 3), attacks=("none", "pgd"))
    made["attacks"][1] |= {"threat": "adaptive", "norm": "linf", "eps": 8 / 255}
    cell = next(c for c in made["cells"] if (c["condition"], c["attack"]) == ("fog-3", "pgd"))
    cell |= {"checks": [check("unreliable", "It is fooled.")], "reliable": False}
    figures = Figures(made)
    doubts_ = {(c.group, c.attack): figures.flag(figures.entry("plain", c)) for c in figures.columns()}
    assert doubts_["all corruptions", "pgd"] == "unreliable"
    assert doubts_["all corruptions", "none"] == doubts_["clean", "pgd"] == ""
    source, page = page_of(tmp_path / "run", made)
    assert "holds figures that are not to be trusted" in Page(section(source, "severity")).text
    assert "On images with fog, severity 3" in page.text


def test_a_suspect_figure_asks_for_a_second_look(tmp_path: Path, made: dict[str, Any]) -> None:
    cell_of(made, "plain", "aa")["checks"] = [check("suspect", "Half of the gradient is zero.")]
    _, page = page_of(tmp_path / "run", made)
    assert "These figures ask for a second look:" in page.text
    assert "not to be trusted" not in page.text
    assert [d.verdict for d in flags(Figures(made))] == ["suspect"]


@pytest.mark.parametrize(
    ("condemned", "attack", "difference", "verdict"),
    [
        (None, "pgd-2", 0.15, "helps"),
        ("restored", "pgd-2", 0.15, VOID),
        ("restored", "pgd-2", -0.15, "hurts"),
        ("plain", "pgd-2", -0.15, VOID),
        ("plain", "pgd-2", 0.15, "helps"),
        (None, "blind", 0.60, VOID),
        (None, "blind", -0.60, "hurts"),
        (None, "blind", 0.0, "unclear"),
    ],
)
def test_a_gain_that_proves_nothing_is_no_help(
    made: dict[str, Any], condemned: str | None, attack: str, difference: float, verdict: str
) -> None:
    if condemned:
        condemn(made, condemned, attack)
    cell_of(made, "restored", attack)["versus"] = fixture.gap(difference, 300)
    found = versus(Figures(made).cell("restored", "clean", attack))
    assert found is not None
    assert found.verdict == verdict


def test_an_oblivious_attack_on_the_classifier_alone_knows_it_all(made: dict[str, Any]) -> None:
    figures = Figures(made)
    assert figures.informed("plain", "blind")
    assert not figures.informed("restored", "blind")


def test_worst_cases_carry_their_doubt(made: dict[str, Any]) -> None:
    made["worst"][1]["versus"] = fixture.gap(0.2, 300)
    row = worst(Figures(made))[1]
    assert row.gap is not None
    assert (row.gap.verdict, row.level.flag) == ("helps", "")
    condemn(made, "restored", "weak-8")
    row = worst(Figures(made))[1]
    assert row.gap is not None
    assert (row.gap.word, row.level.flag, row.unreliable) == ("proves nothing", "unreliable", ["weak-8"])


def test_threat_models_stand_side_by_side(made: dict[str, Any]) -> None:
    found = {(s.system, s.attacks[1]): s for s in sides(Figures(made))}
    side = found["restored", "pgd-8"]
    assert (side.oblivious.value, side.adaptive.value) == ("60.0\xa0%", "2.0\xa0%")
    assert side.words == "it looks 58.0 points safer than it is"
    assert found["plain", "pgd-8"].words == "it is the classifier alone, so both attackers know it all"
    for level, words in (
        (0.9, "the adaptive attack is too weak or was fooled"),
        (0.59, "no clear difference"),
    ):
        for attack in ("pgd-8", "weak-8"):
            cell_of(made, "restored", attack)["metrics"]["accuracy"] = fixture.wilson(level, 300)
        shown = [s for s in sides(Figures(made)) if s.system == "restored"]
        # Of several adaptive attacks of one ball the strongest stands for the attacker.
        assert len(shown) == 1
        assert words in shown[0].words


def test_findings_name_the_threat_model(made: dict[str, Any]) -> None:
    text = " ".join(findings(Figures(made))).replace("\xa0", " ")
    assert "In the worst case over 3 attacks (adaptive and oblivious) at L∞ 8/255 on clean images" in text
    assert "Under the adaptive attack ‘pgd-2’ (L∞ 2/255) on clean images, ‘plain’ keeps 40.0 %" in text
    assert "one who knows every part 2.0 %: it looks 58.0 points safer than it is." in text


def test_findings_do_not_call_an_oblivious_figure_robust(made: dict[str, Any]) -> None:
    made["worst"] = []
    made["cells"] = [c for c in made["cells"] if c["attack"] in ("none", "blind")]
    made["attacks"] = [a for a in made["attacks"] if a["name"] in ("none", "blind")]
    text = " ".join(findings(Figures(made)))
    assert "Under the oblivious attack ‘blind’" in text
    assert "made on the classifier alone, so this does not measure how robust ‘restored’ is" in text
    assert "helps" not in text


def test_findings_of_a_run_with_attacks_alone(made: dict[str, Any]) -> None:
    for key in ("cells", "attacks"):
        made[key] = [e for e in made[key] if e.get("attack", e.get("name")) != "none"]
    first = findings(Figures(made))[0]
    assert first == "On 300 images, 5 attacks were made and nothing was measured without one."
    assert "| system | clean |" not in markdown(made)


def test_terminal_has_a_row_for_each_attack(made: dict[str, Any]) -> None:
    table = headline(made)
    assert table.row_count == len(ADVERSARIES) + 1
    text = text_of(table)
    for words in ("blind (oblivious), L∞ 8/255", "worst of 3, L∞ 8/255", "× +60.0 proves nothing"):
        assert words in text


def test_markdown_tells_threat_and_size(made: dict[str, Any]) -> None:
    text = markdown(made)
    assert "| blind | oblivious | L∞ 8/255 | 0.0 [" in text
    assert "× +60.0 |" in text
    assert "| clean | L∞ 8/255 | pgd-8, weak-8, blind |" in text
    clean = next(line for line in text.splitlines() if line.startswith("| plain |"))
    assert clean.startswith("| plain | 90.0 [")


def test_members_of_a_composition(made: dict[str, Any]) -> None:
    (place,) = places(Figures(made))
    (row, _) = next(group for group in place.groups if group.name == "aa").rows
    assert [(m.name, m.tried, m.broken) for m in row.members] == [("apgd-ce", "270", "200")]
    assert row.moved == "L2\xa01.70"


@pytest.mark.slow
def test_an_audit_comes_first_in_plain_words(tmp_path: Path, made: dict[str, Any]) -> None:
    folder = fixture.write_run(tmp_path / "run", made)
    (folder / "audit.json").write_text(json.dumps(AUDIT))
    source = write_report(folder).read_text()
    assert source.index('id="audit"') < source.index('id="run"')
    text = Page(section(source, "audit")).text
    for words in (
        "Unreliable. At least one check caught an attack being fooled on this system",
        "Not to be trusted: its worst case reads 50.0 %, but the attacks were fooled.",
        "Square broke <more>.",
        "1 check passed",
    ):
        assert words in text
    sound = json.loads(json.dumps(AUDIT).replace('"unreliable"', '"trustworthy"'))
    sound["systems"][0]["checks"] = sound["systems"][0]["checks"][:1]
    (folder / "audit.json").write_text(json.dumps(sound))
    text = Page(section(write_report(folder).read_text(), "audit")).text
    assert "Trustworthy. No check found an attack that was fooled" in text
    assert "leaves 50.0 %, that of ‘classifier alone’ 0.0 %" in text


@pytest.mark.slow
def test_no_audit_no_section_and_a_foreign_one_is_refused(tmp_path: Path, made: dict[str, Any]) -> None:
    folder = fixture.write_run(tmp_path / "run", made)
    assert 'id="audit"' not in write_report(folder).read_text()
    (folder / "audit.json").write_text('{"schema": 7}')
    with pytest.raises(RunError, match="audit of schema 7"):
        write_report(folder)


@pytest.mark.slow
def test_attacked_images_have_strips_of_their_own(tmp_path: Path, made: dict[str, Any]) -> None:
    folder = fixture.write_run(tmp_path / "run", made)
    add_attacked_images(folder, made)
    figures = Figures(made)
    plain_guesses = [
        g.text for s in album(RunFolder(folder), figures).strips for t in s.tiles for g in t.guesses
    ]
    assert "priority" not in plain_guesses
    strips = attack_album(RunFolder(folder), figures).strips
    assert len(strips) == 8
    restored = next(s for s in strips if s.title == "restored under pgd-8")
    assert [t.title for t in restored.tiles] == ["clean", "adversarial", "difference ×10", "restored"]
    # Sample 1 is right without the attack, so it comes before sample 0, which is not.
    assert restored.sample.endswith("1")
    assert [(g.text, g.right) for t in restored.tiles for g in t.guesses] == [
        ("yield", True),
        ("priority", False),
    ]
    assert "oblivious" in next(s for s in strips if s.title == "plain under blind").told
    text = Page(write_report(folder).read_text()).text
    assert "no pixel differs: wrong without an attack" in text
    assert "Images under attack" in text


def test_the_difference_is_magnified_around_grey() -> None:
    def png(values: list[int], size: tuple[int, int] = (1, 3)) -> bytes:
        out = io.BytesIO()
        array = np.array(values, np.uint8).reshape(*size, 1).repeat(3, 2)
        Image.fromarray(array).save(out, "PNG")
        return out.getvalue()

    content, note = magnified(png([10, 20, 30]), png([12, 20, 10]))
    assert note == "at most 20/255"
    assert np.asarray(Image.open(io.BytesIO(content)))[0, :, 0].tolist() == [148, 128, 0]
    assert magnified(png([1, 2, 3]), png([1, 2, 3]))[1] == "no pixel differs"
    assert magnified(png([1, 2, 3]), png([1, 2], (2, 1))) == (b"", "")
    assert magnified(b"", png([1, 2, 3])) == (b"", "")


@pytest.mark.parametrize(
    ("norm", "eps", "text"),
    [
        ("linf", 8 / 255, "8/255"),
        ("linf", 0.2, "0.2"),
        ("linf", 0.03, "0.03"),
        ("l2", 0.5, "0.5"),
        ("l1", 12.0, "12"),
        ("l2", 8 / 255, "0.03137"),
        (None, None, "–"),
    ],
)
def test_size(norm: str | None, eps: float | None, text: str) -> None:
    assert size(norm, eps) == text


@pytest.mark.slow
def test_the_index_of_images_knows_attacked_cells(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    config = make_config(
        attacks={"none": {"kind": "none"}, "fgsm": {"kind": "fgsm", "eps": 0.2, "through": "bpda"}},
        measure=[{"conditions": ["clean"], "attacks": ["none", "fgsm"]}],
    )
    folder = run(config, root=tmp_path / "runs", workers=1).path
    shots = json.loads((folder / "images" / "images.json").read_text())
    struck = [shot for shot in shots if shot["attack"] == "fgsm"]
    assert len(struck) == 4
    for shot in struck:
        assert (folder / "images" / shot["adversarial"]).is_file()
        same = ("system", "sample", "condition")
        twin = next(s for s in shots if s["attack"] == "none" and all(s[k] == shot[k] for k in same))
        assert shot["before"] == {key: twin[key] for key in ("prediction", "confidence")}
        assert "adversarial" not in twin
    assert 'id="attacked-images"' in (folder / "report.html").read_text()
