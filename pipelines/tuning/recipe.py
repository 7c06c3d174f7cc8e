"""Writes the chain that was chosen as a config that ``clearsight run`` takes."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from clearsight.data.contract.spec import Spec, kind_of
from clearsight.pipelines.config.tune import Tune
from clearsight.pipelines.tuning.candidates import Candidate
from clearsight.pipelines.tuning.rounds import config_of
from clearsight.pipelines.tuning.sides import part_of

HEAD = """\
# Written by clearsight tune (config '{name}').
# The images are those that judged the chain: put yours in their place.
"""


def recipe(config: Tune, chosen: Candidate, alone: Candidate) -> str:
    """Return the YAML: the chosen chain beside nothing in front, under the conditions of the config."""
    import yaml

    both = [alone] if chosen.name == alone.name else [alone, chosen]
    source = part_of(config, judging=True, take=config.judged)
    evaluate = config_of(config, config.name, both, source, whole=True, title=config.title)
    told: dict[str, Any] = {
        "task": "evaluate",
        "name": config.name,
        "title": evaluate.title or config.name,
        "seed": config.seed,
        "chunk": config.chunk,
        "data": _plain(source),
        "parts": {name: _plain(spec) for name, spec in evaluate.parts.items()},
        "systems": {each.name: _short(each) for each in both},
        "conditions": {name: _plain(node) for name, node in config.conditions.items()},
        "metrics": ["accuracy"],
        "compare": {"baseline": alone.name},
    }
    return HEAD.format(name=config.name) + yaml.safe_dump(
        told, sort_keys=False, allow_unicode=True, width=110
    )


def _short(candidate: Candidate) -> Any:
    """Return the wiring; of a plain chain the names of its parts."""
    if candidate.gate is None:
        return list(candidate.parts)
    return {name: node | {"of": _listed(node["of"])} for name, node in candidate.nodes.items()}


def _listed(names: Any) -> Any:
    return list(names) if isinstance(names, tuple) else names


def _plain(node: Any) -> Any:
    """Return a spec as a person would write it: what was said of it, and its kind."""
    if isinstance(node, (list, tuple)):
        return [_plain(each) for each in node]
    if isinstance(node, dict):
        return {name: _plain(value) for name, value in node.items()}
    if not hasattr(node, "model_fields_set"):
        return str(node) if isinstance(node, PurePath) else node
    said = {name: getattr(node, name) for name in type(node).model_fields if name in node.model_fields_set}
    said |= getattr(node, "model_extra", None) or {}
    kind = {"kind": kind_of(node)} if isinstance(node, Spec) and "kind" in type(node).model_fields else {}
    return {name: _plain(value) for name, value in (kind | said).items() if value is not None}
