"""The card of weights as a model card in the format of the hub: YAML front matter, then Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from clearsight.data.weights import Weights
from clearsight.pipelines.cli.card import card_lines
from clearsight.pipelines.config.registries import GROUPS

LICENCES = {
    licence.lower(): licence.lower()
    for licence in (
        *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense", "CC0-1.0", "CC-BY-4.0"),
        *("CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "GPL-3.0", "AGPL-3.0", "LGPL-3.0", "MPL-2.0"),
    )
}
"""Licences that the hub has ids for."""
TASKS = {
    "classifiers": "image-classification",
    "restorers": "image-to-image",
    "detectors": "object-detection",
}
"""Group of kinds -> what the hub calls their task."""
MEASURES = {
    "accuracy": "accuracy",
    "agreement": "agreement",
    "named": "recall",
    "left_alone": "specificity",
    "psnr": "psnr",
    "coverage": "coverage",
    "ece": "ece",
    "nll": "nll",
}
"""Name of a figure in a card -> type of the metric on the hub."""


def model_card(weights: Weights, repo: str = "owner/name") -> str:
    """Return the text of a ``README.md`` for weights.

    Args:
        weights: with their card.
        repo: where they will lie on the hub; it goes into the example.
    """
    card = weights.card
    front = yaml.safe_dump(_front(card), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n{_body(card, repo)}"


def _front(card: Mapping[str, Any]) -> dict[str, Any]:
    licence = str(card["licence"])
    known = LICENCES.get(licence.lower())
    told: dict[str, Any] = {"license": known or "other"}
    if known is None:
        told["license_name"] = licence
    told["library_name"] = "clearsight"
    kind = card["spec"]["kind"]
    task = next((task for group, task in TASKS.items() if kind in GROUPS[group].kinds), None)
    if task:
        told["pipeline_tag"] = task
    told["tags"] = ["clearsight", kind, "image-restoration" if task == TASKS["restorers"] else "robustness"]
    if results := list(_results(card, task or "other")):
        told["model-index"] = [{"name": card["id"], "results": results}]
    return told


def _results(card: Mapping[str, Any], task: str) -> Iterator[dict[str, Any]]:
    """Yield an entry of the model index for each part that the card has figures of."""
    data = card["data"]
    about = str(data.get("about", "")) if isinstance(data, dict) else str(data)
    source = data.get("source") if isinstance(data, dict) else None
    kind = str(source.get("kind", "unknown")) if isinstance(source, dict) else "unknown"
    figures = card["figures"] if isinstance(card["figures"], dict) else {}
    for part, figure in figures.items():
        metrics = list(_metrics(figure, ())) if isinstance(figure, dict) else []
        if metrics:
            dataset = {"name": about or kind, "type": kind, "split": part}
            yield {"task": {"type": task}, "dataset": dataset, "metrics": metrics}


def _metrics(figure: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for name, value in figure.items():
        if isinstance(value, dict):
            if name in MEASURES and "value" in value:
                yield _metric(name, value["value"], value, place)
            else:
                yield from _metrics(value, (*place, name))
        elif name in MEASURES and isinstance(value, (int, float)):
            yield _metric(name, value, figure, place)


def _metric(name: str, value: float, beside: Mapping[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    words = " ".join((*place, name))
    # The interval of an entry is that of its first figure.
    first = "value" in beside or next(known for known in beside if known in MEASURES) == name
    if first and all(isinstance(beside.get(end), (int, float)) for end in ("low", "high")):
        words += f" [{beside['low']:g}, {beside['high']:g}]"
    return {"type": MEASURES[name], "name": words, "value": value}


def _body(card: Mapping[str, Any], repo: str) -> str:
    kind = card["spec"]["kind"]
    rows = "\n".join(
        f"| {heading} | {_cell(text)} |"
        for heading, text in card_lines(card, f"hub:{repo}")
        if heading != "use"
    )
    return f"""# {card["id"]}

Weights of a `{kind}` of clearsight, which chains image restorers in front of classifiers and measures
whether that helps. In a config:

```yaml
parts:
  it: {{kind: {kind}, weights: "hub:{repo}"}}    # "hub:{repo}@<commit>" for exactly these
```

In Python:

```python
import clearsight

part = clearsight.load("hub:{repo}")
```

It needs `pip install 'clearsight[hub]'`. `model.safetensors` is checked against the sha256 in `card.json`,
which says everything: data, recipe, seed, versions.

| | |
| --- | --- |
{rows}
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
