"""Numbers as words: one way to write each quantity, shared by the page and the terminal."""

from __future__ import annotations

import math

from clearsight.pipelines.runs.displays import display_of

MINUS = "\u2212"
NONE = "\u2013"
SYMBOLS = {"helps": "\u25b2", "hurts": "\u25bc", "unclear": "\u25cb", "void": "\u00d7"}
"""Marks of the verdicts: a shape each, so that colour is never the only carrier."""
CHANGES = {"better": "helps", "worse": "hurts", "unclear": "unclear"}
"""Verdict that a change between two runs is marked as."""
VERDICTS = {"void": "proves nothing"}
"""Words of the verdicts that are not their own name."""
FLAGS = {"unreliable": "!", "suspect": "?"}
"""Marks of figures that a check speaks against."""
NORMS = {"linf": "L\u221e", "l2": "L2", "l1": "L1"}
THREATS = {
    "adaptive": "the attacker knows every part",
    "oblivious": "the attacker knows the classifier alone",
    "transfer": "images made on another system",
    "scores": "the attacker sees the scores alone",
    "labels": "the attacker sees the predicted class alone",
}


def number(value: float | None, digits: int = 1) -> str:
    """Return a number with a true minus sign, or a dash for none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def quantity(value: float | None, metric: str, *, unit: bool = True) -> str:
    """Return a metric's value as it is written, such as ``81.0 %``."""
    form = display_of(metric)
    text = number(None if value is None else value * form.scale, form.digits)
    return f"{text}\u00a0{form.unit}" if unit and form.unit and text != NONE else text


def span(low: float | None, high: float | None, metric: str) -> str:
    """Return an interval such as ``76.2 to 85.1``, or nothing where it is not known."""
    if low is None or high is None:
        return ""
    return f"{quantity(low, metric, unit=False)} to {quantity(high, metric, unit=False)}"


def points(difference: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign: ``+3.1``."""
    text = number(None if difference is None else difference * 100.0)
    return text if text[0] in (MINUS, NONE) or text == "0.0" else f"+{text}"


def point_span(low: float | None, high: float | None) -> str:
    """Return an interval of a difference such as ``+1.0 to +5.0``."""
    return "" if low is None or high is None else f"{points(low)} to {points(high)}"


def probability(p: float | None) -> str:
    """Return a p-value such as ``0.002`` or ``< 0.001``."""
    if p is None:
        return NONE
    return "<\u00a00.001" if p < 0.001 else f"{p:.3f}"


def count(n: int, one: str, many: str = "") -> str:
    """Return ``1 image`` or ``1,200 images``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def plain(name: str) -> str:
    """Return an identifier as a reader says it: ``gaussian_noise`` becomes ``gaussian noise``."""
    return name.replace("_", " ")


def size(norm: str | None, eps: float | None) -> str:
    """Return a perturbation's size: of the L-infinity norm in grey levels where they are whole, ``8/255``."""
    if eps is None:
        return NONE
    levels = eps * 255
    if norm == "linf" and abs(levels - round(levels)) < 1e-4 and abs(eps - round(eps, 2)) > 1e-9:
        return f"{round(levels)}/255"
    return f"{eps:.4g}"


def radius(norm: str | None, eps: float | None) -> str:
    """Return a ball such as ``L\u221e 8/255``; nothing where an attack has none."""
    return "" if norm is None or eps is None else f"{NORMS.get(norm, norm)}\u00a0{size(norm, eps)}"


def marked(text: str, flag: str) -> str:
    """Return a figure with the mark of its flag, for tables without colour: ``3.1 % !``."""
    return f"{text}\u00a0{FLAGS[flag]}" if flag else text
