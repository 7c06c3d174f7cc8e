"""Writes the chain that was chosen as a config that ``clearsight run`` takes."""

from __future__ import annotations

from typing import Any

from clearsight.data.contract.written import written
from clearsight.data.sides import side_of
from clearsight.pipelines.config.tune import Tune
from clearsight.pipelines.tuning.candidates import Candidate
from clearsight.pipelines.tuning.rounds import config_of

HEAD = """\
# Written by clearsight tune (config '{name}').
# The images are those that judged the chain: put yours in their place.
"""


def recipe(config: Tune, chosen: Candidate, alone: Candidate) -> str:
    """Return the YAML: the chosen chain beside the classifier alone, under the conditions of the config."""
    import yaml

    both = [alone] if chosen.name == alone.name else [alone, chosen]
    source = side_of(config.data, config.judge, judging=True, take=config.judged)
    evaluate = config_of(config, config.name, both, source, whole=True, title=config.title)
    told: dict[str, Any] = {
        "task": "evaluate",
        "name": config.name,
        "title": evaluate.title or config.name,
        "seed": config.seed,
        "chunk": config.chunk,
        "data": written(source),
        "parts": written(evaluate.parts),
        "systems": {each.name: _short(each) for each in both},
        "conditions": written(config.conditions),
        "metrics": ["accuracy"],
        "compare": {"baseline": alone.name},
    }
    return HEAD.format(name=config.name) + yaml.safe_dump(
        told, sort_keys=False, allow_unicode=True, width=110
    )


def _short(candidate: Candidate) -> Any:
    """Return the wiring; of a plain chain the names of its parts."""
    return list(candidate.parts) if candidate.gate is None else candidate.nodes
