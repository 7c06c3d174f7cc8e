"""Systems side by side, accuracy by class and input gradients: what the page says equals the run folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import report_fixture as fixture
from report_attacked import attacked, cell_of, condemn, page_of, section
from test_report import Page

from clearsight.data.benchmark.sets import SETS
from clearsight.data.contract.run_folder import RunFolder
from clearsight.pipelines.analysis.training_cost import training_of
from clearsight.pipelines.report.class_tables import CLASSES, by_class
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.gradient_images import gradient_album
from clearsight.pipelines.report.markdown import markdown
from clearsight.pipelines.report.method_table import Cell, MethodTable, method_table
from clearsight.pipelines.report.page import write_report

CARD = {
    "minutes": 36.44,
    "epochs": 8.97,
    "steps": 3329,
    "machine": "CPU x86_64, 1 threads",
    "recipe": {"method": {"kind": "fat_trades"}},
}


@pytest.fixture
def made() -> dict[str, Any]:
    """A run of two systems under attack, whose classifier has a card."""
    found = attacked()
    for system in found["systems"]:
        system["parts"][-1]["training"] = asdict(training_of(CARD))
    found["per_class"] = per_class()
    return found


def per_class(classes: int = 3) -> dict[str, Any]:
    shares = {
        ("plain", "none"): [0.9, 0.5, 0.9],
        ("restored", "none"): [0.8, 0.7, 0.6],
        ("plain", None): [0.0, 0.0, 0.0],
        ("restored", None): [0.2, 0.1, 0.1],
    }
    entries = []
    for (system, attack), value in shares.items():
        value = (value * classes)[:classes]
        about = {"system": system, "attack": attack, "attacks": [attack] if attack else ["pgd-8", "weak-8"]}
        ball = {"norm": None, "eps": None} if attack else {"norm": "linf", "eps": 8 / 255}
        found: dict[str, Any] = {
            "value": value,
            "low": [v / 2 for v in value],
            "high": [v / 2 + 0.5 for v in value],
        }
        worst, best = min(range(classes), key=value.__getitem__), max(range(classes), key=value.__getitem__)
        spread = round(value[best] - value[worst], 4)
        found |= {"worst": worst, "best": best, "spread": spread, "by_chance": 0.25}
        entries.append(about | ball | found)
    return {"condition": "clean", "n": [100] * classes, "entries": entries}


def table_of(made: dict[str, Any]) -> MethodTable:
    found = method_table(Figures(made))
    assert found is not None
    return found


def column(made: dict[str, Any], label: str) -> dict[str, Cell | None]:
    table = table_of(made)
    index = next(i for i, head in enumerate(table.heads) if head.label == label)
    return {row.system: row.cells[index] for row in table.rows}


def marks(made: dict[str, Any], label: str) -> dict[str, str]:
    return {name: cell.mark for name, cell in column(made, label).items() if cell}


def test_columns_come_in_the_order_of_the_config(made: dict[str, Any]) -> None:
    heads = [(head.label, head.note.replace("\xa0", " ")) for head in table_of(made).heads]
    assert heads == [
        ("natural", "no attack"),
        ("pgd-2", "L∞ 2/255"),
        ("pgd-8", "L∞ 8/255"),
        ("weak-8", "L∞ 8/255"),
        ("blind", "oblivious, L∞ 8/255"),
        ("aa", "L2 0.5"),
        ("worst case", "L∞ 8/255, 3 attacks"),
        ("ECE", "no attack"),
    ]


def test_every_figure_is_that_of_the_summary(made: dict[str, Any]) -> None:
    for attack in ("pgd-2", "weak-8", "aa"):
        for name, cell in column(made, attack).items():
            figure = cell_of(made, name, attack)["metrics"]["accuracy"]
            assert cell is not None
            assert cell.value == f"{100 * figure['value']:.1f}"
            assert cell.interval == f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f}"
    ece = cell_of(made, "plain", "none")["metrics"]["ece"]
    cell = column(made, "ECE")["plain"]
    assert cell is not None
    assert cell.value == f"{100 * ece['value']:.1f}"


def test_the_best_is_marked_and_what_overlaps_it(made: dict[str, Any]) -> None:
    assert marks(made, "pgd-2") == {"plain": "", "restored": "best"}
    assert marks(made, "natural") == {"plain": "best", "restored": "near"}
    for name, low in (("plain", 0.05), ("restored", 0.30)):
        cell_of(made, name, "none")["metrics"]["ece"] = {
            "value": low,
            "low": low - 0.01,
            "high": low + 0.01,
            "method": "bootstrap",
        }
    assert marks(made, "ECE") == {"plain": "best", "restored": ""}, "less is better"


def test_a_paired_test_tells_more_apart_than_intervals(made: dict[str, Any]) -> None:
    def told(p: float, *attacks: str) -> dict[str, Any]:
        pair = {"first": "restored", "second": "plain", "p": p}
        return {"attack": None, "norm": None, "eps": None, "attacks": list(attacks), "pairs": [pair]}

    made["pairs"] = [told(0.001, "none"), told(0.2, "pgd-2"), told(0.04, "pgd-8", "weak-8", "blind")]
    assert marks(made, "natural") == {"plain": "best", "restored": ""}, "the intervals overlap"
    assert marks(made, "pgd-2") == {"plain": "near", "restored": "best"}
    assert marks(made, "worst case") == {"plain": "", "restored": "best"}
    third = made["systems"][0] | {"name": "third"}
    made["systems"].append(third)
    made["worst"].append(made["worst"][0] | {"system": "third"})
    made["pairs"][2]["pairs"].append({"first": "restored", "second": "third", "p": 0.04})
    assert marks(made, "worst case") == {"plain": "near", "restored": "best", "third": "near"}, "Holm"


def test_nothing_is_best_where_all_are_equal(made: dict[str, Any]) -> None:
    for name in ("plain", "restored"):
        cell_of(made, name, "pgd-8")["metrics"]["accuracy"] = fixture.wilson(0.0, 300)
    assert marks(made, "pgd-8") == {"plain": "", "restored": ""}


def test_a_figure_that_proves_nothing_is_never_marked(made: dict[str, Any]) -> None:
    assert marks(made, "blind") == {"plain": "", "restored": ""}, "the attacker did not know the restorer"
    condemn(made, "restored", "pgd-2")
    cell = column(made, "pgd-2")["restored"]
    assert cell is not None
    assert (cell.mark, cell.flag, cell.value) == ("", "unreliable", "55.0")
    assert "55.0 ! [" in markdown(made)


def test_unlike_sets_of_attacks_do_not_share_a_column(made: dict[str, Any]) -> None:
    made["worst"][1]["attacks"] = ["pgd-8", "weak-8"]
    heads = [head.note.replace("\xa0", " ") for head in table_of(made).heads if head.label == "worst case"]
    assert heads == ["L∞ 8/255, 3 attacks", "L∞ 8/255, 2 attacks"]
    assert marks(made, "worst case") == {"plain": ""}


def test_training_stands_beside_the_figures(tmp_path: Path, made: dict[str, Any]) -> None:
    row = table_of(made).rows[0]
    assert (row.methods, row.machines) == (["fat trades"], ["CPU x86_64, 1 threads"])
    assert row.costs == ["36\xa0min, 9.0\xa0epochs"]
    classify = made["systems"][1]["parts"][-1]
    classify["training"] |= {"minutes": 200, "back_propagations": 6.248, "init": "first-v1"}
    restorer = asdict(training_of(CARD | {"machine": "GPU"}))
    made["systems"][1]["parts"].insert(0, {**classify, "name": "denoise", "training": restorer})
    row = table_of(made).rows[1]
    assert row.methods == ["denoise: fat trades", "classify: fat trades"]
    assert (
        row.costs[1]
        == "classify: 3.3\xa0h, 9.0\xa0epochs, 6.2\xa0attack gradients an\xa0image and\xa0epoch, from first-v1"
    )
    text = Page(section(page_of(tmp_path / "run", made)[0], "methods")).text.replace("\xa0", " ")
    assert "6.2 attack gradients an image and epoch" in text
    assert "GPU" in text


@pytest.mark.parametrize(
    ("card", "method"),
    [({}, None), ({"recipe": "by hand"}, None), ({"recipe": {"method": "at"}}, None), (CARD, "fat_trades")],
    ids=["empty", "words", "unknown", "whole"],
)
def test_a_card_may_say_less(card: dict[str, Any], method: str | None) -> None:
    found = training_of(card)
    assert found.method == method
    assert found.back_propagations is None
    assert set(asdict(found)) == {
        "method",
        "init",
        "machine",
        "minutes",
        "epochs",
        "steps",
        "back_propagations",
    }


def test_no_card_no_training_columns(tmp_path: Path) -> None:
    source, _ = page_of(tmp_path / "run", attacked())
    text = Page(section(source, "methods")).text
    assert "Training cost" not in text
    assert "natural" in text


def test_corruption_error_is_that_of_the_fifteen(made: dict[str, Any]) -> None:
    kinds = [*SETS["imagenet_c_15"], "spatter"]
    other = fixture.summary(kinds=kinds, severities=(1, 3), attacks=("none",))
    for condition in other["conditions"]:
        condition["groups"] = [condition["group"], *(["c15"] if condition["kind"] in kinds[:15] else [])]
    whole = [a for a in other["aggregates"] if a["group"] == "all corruptions"]
    for aggregate in whole:
        accuracy = fixture.wilson(0.6 if aggregate["system"] == "plain" else 0.75, 300)
        named = {"group": "c15", "conditions": 30, "metrics": {"accuracy": accuracy}}
        other["aggregates"].append(aggregate | named)
    other["cells"] += [c for c in made["cells"] if c["attack"] != "none"]
    other["attacks"] = made["attacks"]
    table = table_of(other)
    head = table.heads[-1]
    assert (head.label, head.note) == ("corruption error", "15 types, 30 conditions")
    cells = column(other, "corruption error")
    assert [(c.value, c.mark, c.extra) for c in cells.values() if c] == [
        ("40.0", "", "mCE 70.0\xa0%"),
        ("25.0", "best", "mCE 70.0\xa0%"),
    ]


@pytest.mark.parametrize("cut", ["systems", "attacks"])
def test_one_system_or_no_attack_has_no_table(tmp_path: Path, made: dict[str, Any], cut: str) -> None:
    if cut == "systems":
        made["systems"] = made["systems"][:1]
    kept = {s["name"] for s in made["systems"]}
    for key in ("cells", "worst"):
        made[key] = [e for e in made[key] if e["system"] in kept]
    if cut == "attacks":
        made["cells"] = [c for c in made["cells"] if c["attack"] == "none"]
        made |= {"attacks": made["attacks"][:1], "worst": [], "per_class": None}
    assert method_table(Figures(made)) is None
    assert "side by side" not in markdown(made)
    source, _ = page_of(tmp_path / "run", made)
    assert 'id="methods"' not in source


def test_markdown_has_the_same_table(made: dict[str, Any]) -> None:
    lines = markdown(made).splitlines()
    start = next(
        i for i, line in enumerate(lines) if line.startswith("| side by side | natural (no attack) |")
    )
    heads, plain = (line.split(" | ") for line in (lines[start], lines[start + 2]))
    assert len(heads) == len(plain) == 2 + len(table_of(made).heads) + 1
    assert plain[1].startswith("**90.0** [86.")
    assert plain[1].endswith("] ●")
    assert plain[-2:] == ["fat trades", "36 min, 9.0 epochs (CPU x86_64, 1 threads) |"]


def test_classes_by_systems(tmp_path: Path, made: dict[str, Any]) -> None:
    found = by_class(Figures(made))
    assert found is not None
    natural, worst = found.tables
    assert (natural.title, natural.note) == ("without an attack", "100 images a class")
    assert worst.title.replace("\xa0", " ") == "in the worst case at L∞ 8/255"
    assert [label for label, _ in natural.rows] == ["stop", "yield", "no entry"]
    lowest = [[cell.symbol for _, row in table.rows if (cell := row[1])] for table in found.tables]
    assert lowest == [["", "", "▼"], ["", "▼", "▼"]], "all of the lowest are marked"
    assert natural.spread == ["40.0", "20.0"]
    words = {name: text.replace("\xa0", " ") for name, text in found.sentences}
    assert words["plain"] == (
        "Without an attack the lowest is yield with 50.0 %, the highest are stop and no entry with 90.0 %: "
        "40.0 points apart; in the worst case at L∞ 8/255 every class has 0.0 %."
    )
    assert "20.0 points apart, which equally hard classes would show by chance too" in words["restored"]
    condemn(made, "restored", "weak-8")
    source, _ = page_of(tmp_path / "run", made)
    assert section(source, "classes").count('class="flag unreliable"') == 1


def test_without_a_worst_case_the_strongest_attack_stands_for_it(made: dict[str, Any]) -> None:
    told = made["per_class"]["entries"]
    for entry in [e for e in told if e["attack"] is None]:
        told.remove(entry)
        for name, lift in (("blind", 0.0), ("pgd-2", 0.3), ("aa", 0.1)):
            value = [v + lift for v in entry["value"]]
            told.append(entry | {"attack": name, "attacks": [name], "value": value})
    found = by_class(Figures(made))
    assert found is not None
    # 'blind' did not know the restorer.
    assert [t.title.replace("\xa0", " ") for t in found.tables] == ["without an attack", "under aa (L2 0.5)"]


def test_of_many_classes_the_lowest_are_shown(made: dict[str, Any]) -> None:
    made["per_class"] = per_class(60)
    found = by_class(Figures(made))
    assert found is not None
    assert [(len(t.rows), t.left_out) for t in found.tables] == [(CLASSES, 60 - CLASSES)] * 2
    assert "20 classes" in found.sentences[0][1]
    assert by_class(Figures(made | {"per_class": None})) is None
    assert by_class(Figures({k: v for k, v in made.items() if k != "per_class"})) is None


def test_the_page_shows_gradients_and_says_where_there_are_none(tmp_path: Path, made: dict[str, Any]) -> None:
    folder = fixture.write_run(tmp_path / "run", made)
    assert gradient_album(RunFolder(folder), Figures(made)).strips == []
    fixture.add_images(folder, made)
    common = {"sample": "signs/test/000000", "label": 1, "input": "clean.png"}
    entries = [
        common | {"system": "restored", "file": None, "scale": None, "why": "it is <sealed>"},
        common | {"system": "plain", "file": "good.png", "scale": 0.0123, "why": None},
    ]
    (folder / "images" / "gradients.json").write_text(json.dumps(entries))
    (strip,) = gradient_album(RunFolder(folder), Figures(made)).strips
    assert [tile.title for tile in strip.tiles] == ["image", "plain", "restored"]
    assert [tile.note for tile in strip.tiles] == ["", "full colour at 0.012", "it is <sealed>"]
    source = write_report(folder).read_text()
    text = Page(section(source, "gradients")).text
    assert "no gradient" in text
    assert "it is <sealed>" in text
    ids = Page(source).attributes("id")
    assert len(ids) == len(set(ids))
    assert {"methods", "classes", "gradients"} <= set(ids)
    assert {a[1:] for a in Page(source).attributes("href") if a.startswith("#")} <= set(ids)
