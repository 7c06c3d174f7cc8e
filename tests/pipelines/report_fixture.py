"""Made-up run folders for the tests of the report: the figures are drawn, not measured."""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

FAMILIES = {
    "noise": ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"],
    "blur": ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"],
    "weather": ["snow", "frost", "fog", "brightness", "spatter"],
    "digital": ["contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"],
}
CONFIG = """# yaml-language-server: $schema=../schema/evaluate.json
task: evaluate
name: quickstart
seed: 0
data: {kind: signs, take: 300}      # <made up> & "quoted"
systems:
  plain: [classify]
"""


def chance(*what: object) -> float:
    """Return a number in [0, 1) that depends on ``what`` alone."""
    return int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:6], "big") / 2**48


def wilson(p: float, n: int) -> dict[str, Any]:
    z = 1.96
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
    return {"value": p, "low": low, "high": high, "method": "wilson"}


def gap(difference: float, n: int) -> dict[str, Any]:
    half = 0.9 / math.sqrt(n)
    verdict = "unclear" if abs(difference) < half else "helps" if difference > 0 else "hurts"
    p = max(0.0, 0.5 - abs(difference) * 5)
    return {
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "p": p / 4,
        "p_adjusted": p,
        "gained": round(max(0.0, difference) * n) + 4,
        "lost": round(max(0.0, -difference) * n) + 4,
        "verdict": verdict,
    }


def system(name: str, baseline: str | None, restorer: str | None) -> dict[str, Any]:
    """Return a system: a classifier, behind a restorer unless that is None."""
    classifier = {
        "name": "classify",
        "kind": "small_convnet",
        "spec": {"kind": "small_convnet", "width": 32, "weights": "signs-standard-v1"},
        "weights": "signs-standard-v1",
        "sha256": hashlib.sha256(b"classify").hexdigest(),
        "gradient": "exact",
        "stochastic": False,
        "onnx": "ok",
        "parameters": 123456,
    }
    parts = [classifier]
    if restorer:
        extra: dict[str, Any] = {
            "name": restorer,
            "kind": restorer,
            "spec": {"kind": restorer, "strength": 0.5},
            "weights": None,
        }
        extra |= {"sha256": None, "gradient": "surrogate", "stochastic": True, "onnx": "no", "parameters": 0}
        parts.insert(0, extra)
    time = 1.2 + (4 + 20 * chance(name) if restorer else 0)
    return {
        "name": name,
        "baseline": name == baseline,
        "chain": " → ".join(["image", *(str(part["name"]) for part in parts)]),
        "parts": parts,
        "ms_per_image": {"value": time, "low": time * 0.93, "high": time * 1.12},
    }


def conditions(kinds: list[str] | None, severities: tuple[int, ...]) -> list[dict[str, Any]]:
    found = [
        {
            "name": "clean",
            "group": "clean",
            "kind": "identity",
            "severity": 0,
            "table": "imagenet_c",
            "family": "none",
        }
    ]
    for family, members in FAMILIES.items():
        for kind in members:
            if kinds is None or kind in kinds:
                found += [
                    {
                        "name": f"{kind}-{s}",
                        "group": family,
                        "kind": kind,
                        "severity": s,
                        "table": "imagenet_c",
                        "family": family,
                    }
                    for s in severities
                ]
    return found


def summary(
    systems: tuple[str, ...] = ("plain", "restored"),
    *,
    baseline: str | None = "plain",
    kinds: list[str] | None = None,
    severities: tuple[int, ...] = (1, 2, 3, 4, 5),
    attacks: tuple[str, ...] = ("none",),
    n: int = 300,
) -> dict[str, Any]:
    """Return a summary of schema 1; the first system is a bare classifier, the others restore before it."""
    made = [system(name, baseline, f"restorer_{i}" if i else None) for i, name in enumerate(systems)]
    places = conditions(kinds, severities)
    levels: dict[tuple[str, str, str], float] = {}
    cells = []
    for attack in attacks:
        for place in places:
            for index, name in enumerate(systems):
                levels[name, place["name"], attack] = level = _level(index, name, place, attack, n)
                base = levels.get((baseline or "", place["name"], attack))
                compared = baseline is not None and name != baseline and base is not None
                cells.append(
                    {
                        "key": hashlib.sha256(repr((name, place["name"], attack)).encode()).hexdigest()[:16],
                        "system": name,
                        "condition": place["name"],
                        "attack": attack,
                        "n": n,
                        "metrics": _metrics(level, index, place, n),
                        "versus": gap(level - base, n) if compared and base is not None else None,
                    }
                )
    corrupted = [p for p in places if p["kind"] != "identity"]
    groups = {
        group: [p for p in corrupted if p["group"] == group]
        for group in dict.fromkeys(p["group"] for p in corrupted)
    }
    groups["all corruptions"] = corrupted
    aggregates = []
    for attack in attacks:
        for group, members in groups.items():
            for index, name in enumerate(systems):
                if members:
                    aggregates.append(_aggregate(levels, name, index, group, members, attack, baseline, n))
    return {
        "schema": 1,
        "name": "quickstart",
        "title": "",
        "key": "ab12" * 16,
        "task": "evaluate",
        "seed": 0,
        "started": "2026-11-21",
        "complete": True,
        "data": {
            "kind": "signs",
            "description": f"signs (synthetic), test, {n} images, 64x64",
            "samples": n,
            "classes": ["stop", "yield", "no_entry", "priority", "limit_30"],
            "skipped": [{"id": "signs/test/000007", "reason": "cannot be decoded: truncated file"}],
        },
        "systems": made,
        "conditions": places,
        "attacks": [{"name": a, "kind": "none" if a == "none" else "pgd"} for a in attacks],
        "cells": cells,
        "aggregates": aggregates,
        "kinds": [],
        "comparison": {
            "baseline": baseline,
            "confidence": 0.95,
            "test": "random signs of each image's differences",
            "correction": "the largest statistic of a system's comparisons (max-T)",
            "interval": "score intervals that hold for all comparisons of a system at once",
        },
        "metrics": ["accuracy", "ece", "psnr"],
        "timing": {"seconds": 92.1, "workers": 2},
    }


def _level(index: int, name: str, place: dict[str, Any], attack: str, n: int) -> float:
    severity = place["severity"]
    hard = 0.05 + 0.11 * chance(place["kind"])
    level = 0.96 - severity * hard - (0.5 if attack != "none" else 0.0)
    if index:
        lift = {"noise": 0.045, "blur": -0.015, "weather": 0.008, "digital": 0.004}.get(place["family"], 0.0)
        level += severity * lift * (0.5 + chance(name, place["kind"])) - 0.035 * (severity == 0) * index / 2
    return round(min(0.99, max(0.02, level)) * n) / n


def _metrics(level: float, index: int, place: dict[str, Any], n: int) -> dict[str, Any]:
    clean = place["severity"] == 0
    before = None if clean else 32 - 2.5 * place["severity"]
    after = None if clean or not index else 33 - 2.1 * place["severity"]

    def flat(number: float | None) -> dict[str, Any] | None:
        return (
            None
            if number is None
            else {"value": number, "low": number - 0.2, "high": number + 0.2, "method": "bootstrap"}
        )

    return {
        "accuracy": wilson(level, n),
        "ece": {
            "value": (1 - level) / 4,
            "low": (1 - level) / 5,
            "high": (1 - level) / 3,
            "method": "bootstrap",
        },
        "psnr": flat(after),
        "psnr_in": flat(before),
    }


def _aggregate(
    levels: dict[tuple[str, str, str], float],
    name: str,
    index: int,
    group: str,
    members: list[dict[str, Any]],
    attack: str,
    baseline: str | None,
    n: int,
) -> dict[str, Any]:
    def mean(who: str) -> float:
        return sum(levels[who, m["name"], attack] for m in members) / len(members)

    compared = baseline is not None and name != baseline
    versus = gap(mean(name) - mean(baseline or name), n * 6) if compared else None
    if versus:
        versus = {k: v for k, v in versus.items() if k not in ("p", "gained", "lost")}
    whole = group == "all corruptions"
    entry = _metrics(mean(name), index, {"severity": 3}, n * 6)
    return {
        "system": name,
        "group": group,
        "attack": attack,
        "conditions": len(members),
        "metrics": entry,
        "versus": versus,
        "mce": {
            "value": 0.7,
            "low": 0.66,
            "high": 0.74,
            "method": "bootstrap",
            "source": "AlexNet (Hendrycks & Dietterich 2019)",
        }
        if whole
        else None,
        "relative_mce": None,
    }


def image(seed: str, size: int = 64, noise: float = 0.0) -> bytes:
    """Return a PNG of a made-up sign."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (size, size), (120 + int(60 * chance(seed, "sky")), 150, 170))
    draw = ImageDraw.Draw(image)
    edge = size // 6
    draw.ellipse((edge, edge, size - edge, size - edge), fill=(200, 30, 40), outline=(250, 250, 250), width=3)
    draw.rectangle((size // 3, size * 4 // 9, size * 2 // 3, size * 5 // 9), fill=(250, 250, 250))
    if noise:
        pixels = image.load()
        assert pixels is not None
        for i in range(size * size):
            x, y = i % size, i // size
            shift = int(255 * noise * (chance(seed, i) - 0.5))
            r, g, b = pixels[x, y]  # type: ignore[misc]  # an RGB image
            pixels[x, y] = (
                max(0, min(255, r + shift)),
                max(0, min(255, g + shift)),
                max(0, min(255, b + shift)),
            )
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def add_images(
    run: Path, made: dict[str, Any], *, samples: int = 2, size: int = 64, label: bool = True
) -> None:
    """Write ``images/`` for every third condition and the clean one."""
    folder = run / "images"
    folder.mkdir()
    (folder / "clean.png").write_bytes(image("clean", size))
    (folder / "bad.png").write_bytes(image("bad", size, 0.9))
    (folder / "good.png").write_bytes(image("good", size, 0.25))
    entries = []
    for place in [c for c in made["conditions"] if c["severity"] in (0, 3)]:
        for sample in range(samples):
            truth = sample % 5 if label else None
            shared = {"condition": place["name"], "sample": f"signs/test/{sample:06d}", "label": truth}
            name = "clean.png" if place["severity"] == 0 else "bad.png"
            entries.append(shared | {"system": None, "file": name, "prediction": None, "confidence": None})
            for index, one in enumerate(made["systems"]):
                guess = sample % 5 if chance(place["name"], one["name"], sample) < 0.6 else (sample + 1) % 5
                shot = {"system": one["name"], "file": "good.png" if index else None, "prediction": guess}
                entries.append(shared | shot | {"confidence": 0.5 + chance(guess, place["name"]) / 2})
    (folder / "images.json").write_text(json.dumps(entries), encoding="utf-8")


def write_run(run: Path, made: dict[str, Any], config: str = CONFIG) -> Path:
    """Write a run folder around a summary."""
    run.mkdir(parents=True)
    (run / "summary.json").write_text(json.dumps(made), encoding="utf-8")
    (run / "config.yaml").write_text(config, encoding="utf-8")
    environment = {
        "python": "3.11.2",
        "platform": "Linux x86-64",
        "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    }
    (run / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    return run
