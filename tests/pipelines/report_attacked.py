"""A made-up run of two systems under attack, for the tests of the report: drawn, not measured."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import report_fixture as fixture
from test_report import Page

from clearsight.pipelines.report.page import write_report

LEVELS = {
    ("plain", "none"): 0.90,
    ("restored", "none"): 0.88,
    ("plain", "pgd-2"): 0.40,
    ("restored", "pgd-2"): 0.55,
    ("plain", "pgd-8"): 0.00,
    ("restored", "pgd-8"): 0.02,
    ("plain", "weak-8"): 0.20,
    ("restored", "weak-8"): 0.30,
    ("plain", "blind"): 0.00,
    ("restored", "blind"): 0.60,
    ("plain", "aa"): 0.10,
    ("restored", "aa"): 0.12,
}
ADVERSARIES = {
    "none": (None, None, None),
    "pgd-2": ("pgd", "adaptive", 2 / 255),
    "pgd-8": ("pgd", "adaptive", 8 / 255),
    "weak-8": ("pgd", "adaptive", 8 / 255),
    "blind": ("pgd", "oblivious", 8 / 255),
    "aa": ("autoattack", "adaptive", 0.5),
}


def attacked() -> dict[str, Any]:
    found = fixture.summary(kinds=[], attacks=tuple(ADVERSARIES))
    found["attacks"] = [descriptor(name) for name in ADVERSARIES]
    for cell in found["cells"]:
        place = (cell["system"], cell["attack"])
        cell["metrics"]["accuracy"] = fixture.wilson(LEVELS[place], cell["n"])
        if cell["versus"]:
            cell["versus"] = fixture.gap(LEVELS[place] - LEVELS["plain", cell["attack"]], cell["n"])
        cell |= facts(*place)
    found["worst"] = [worst_case("plain", 0.0, None), worst_case("restored", 0.02, 0.02)]
    return found


def descriptor(name: str) -> dict[str, Any]:
    kind, threat, eps = ADVERSARIES[name]
    norm = None if eps is None else "l2" if kind == "autoattack" else "linf"
    told = {"threat": threat, "sees": threat and "gradient", "source": None, "through": threat and "bpda"}
    return {"name": name, "kind": kind or "none", **told, "norm": norm, "eps": eps}


def facts(system: str, attack: str) -> dict[str, Any]:
    if attack == "none":
        return {"attacked": None, "checks": [], "reliable": None}
    through = {"classify": "exact"}
    if system == "restored" and attack != "blind":
        through = {"restorer_1": "surrogate", **through}
    members = [{"member": "apgd-ce", "tried": 270, "broken": 200, "queries": 5000, "backwards": 4900}]
    cost: dict[str, Any] = {
        "images": 270,
        "queries": 23.14,
        "backwards": 20.4,
        "linf": 8 / 255,
        "l2": 1.7,
        "l1": 80.2,
    }
    cost |= {"through": through, "broken": [], "members": members if attack == "aa" else []}
    return {"attacked": cost, "checks": [check("fine", "All is well.")], "reliable": True}


def check(verdict: str, words: str) -> dict[str, Any]:
    return {"check": "zero_gradients", "verdict": verdict, "value": 0.97, "words": words}


def worst_case(system: str, level: float, difference: float | None) -> dict[str, Any]:
    return {
        "system": system,
        "condition": "clean",
        "norm": "linf",
        "eps": 8 / 255,
        "attacks": ["pgd-8", "weak-8", "blind"],
        "n": 300,
        "clean": True,
        "accuracy": fixture.wilson(level, 300),
        "majority": None,
        "versus": None if difference is None else fixture.gap(difference, 300),
        "reliable": True,
        "unreliable": [],
    }


def cell_of(made: dict[str, Any], system: str, attack: str) -> dict[str, Any]:
    return next(c for c in made["cells"] if (c["system"], c["attack"]) == (system, attack))


def condemn(made: dict[str, Any], system: str, attack: str) -> None:
    cell = cell_of(made, system, attack)
    cell |= {"checks": [check("unreliable", "97 % of the gradient is <zero>.")], "reliable": False}
    for entry in made["worst"]:
        if entry["system"] == system and attack in entry["attacks"]:
            entry |= {"reliable": False, "unreliable": [attack]}


AUDIT = {
    "schema": 1,
    "verdict": "unreliable",
    "norm": "linf",
    "eps": 8 / 255,
    "images": 64,
    "systems": [
        {
            "system": "restored",
            "verdict": "unreliable",
            "undefended": "classifier alone",
            "clean": fixture.wilson(0.9, 64),
            "worst": fixture.wilson(0.5, 64),
            "oblivious": None,
            "undefended_worst": fixture.wilson(0.0, 64),
            "checks": [
                check("fine", "Fine words.") | {"attack": None},
                check("unreliable", "Square broke <more>.") | {"attack": "pgd-20"},
            ],
        }
    ],
}


def add_attacked_images(folder: Path, made: dict[str, Any]) -> None:
    fixture.add_images(folder, made)
    listing = folder / "images" / "images.json"
    shots = json.loads(listing.read_text())
    (folder / "images" / "bad.png").write_bytes(fixture.image("clean", 64, 0.1))
    for attack in ("pgd-8", "blind"):
        for sample in range(2):
            for name in ("plain", "restored"):
                shot = {"condition": "clean", "sample": f"signs/test/{sample:06d}", "label": sample}
                shot |= {"system": name, "attack": attack, "prediction": 3, "confidence": 0.71}
                shot |= {"file": "good.png" if name == "restored" else None}
                shot |= {"adversarial": "bad.png" if attack == "pgd-8" else "clean.png"}
                shots.append(shot | {"before": {"prediction": 1, "confidence": 0.93}})
    listing.write_text(json.dumps(shots))


def section(source: str, name: str) -> str:
    return source.split(f'<section id="{name}">')[1].split("</section>")[0]


def text_of(table: Any, width: int = 120) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return str(console.file.getvalue())  # type: ignore[attr-defined]  # it is the StringIO


def page_of(folder: Path, made: dict[str, Any]) -> tuple[str, Page]:
    source = write_report(fixture.write_run(folder, made)).read_text(encoding="utf-8")
    return source, Page(source)
