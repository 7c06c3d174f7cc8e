"""Specs as a person would write them in YAML: what was said, without what weights or defaults say anyway."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from clearsight.data.contract.spec import PartSpec, Spec, kind_of
from clearsight.data.weights import find


def written(value: Any) -> Any:
    """Return a spec, or a list or mapping of specs, as nodes of YAML.

    A spec becomes its kind and the fields that were set; of a part with weights, those that their card does
    not say as well.

    Raises:
        WeightsError: weights of a part are missing, or their card is damaged.
    """
    if isinstance(value, (list, tuple)):
        return [written(each) for each in value]
    if isinstance(value, dict):
        return {name: written(each) for name, each in value.items()}
    if isinstance(value, PurePath):
        return str(value)
    if not isinstance(value, BaseModel):
        return value
    kind = {"kind": kind_of(value)} if isinstance(value, Spec) and "kind" in type(value).model_fields else {}
    return kind | {name: written(each) for name, each in _said(value).items() if name not in kind}


def _said(node: BaseModel) -> dict[str, Any]:
    """Return the fields that were set, and are not None, in the order of the class."""
    fields = {name: getattr(node, name) for name in type(node).model_fields if name in node.model_fields_set}
    fields |= node.model_extra or {}
    if isinstance(node, PartSpec) and node.weights is not None:
        card = node.in_current_words(find(node.weights).card["spec"])
        values = node.model_dump(mode="json")
        fields = {
            name: each for name, each in fields.items() if name == "weights" or values[name] != card.get(name)
        }
    return {name: each for name, each in fields.items() if each is not None}
