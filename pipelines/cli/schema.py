"""``clearsight schema``: JSON schemas of the configs, for editors that complete and check YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clearsight.data.contract.field_docs import describe_fields
from clearsight.data.contract.spec import Spec
from clearsight.data.home import replace_file, writable_folder
from clearsight.pipelines.config.registries import GROUPS
from clearsight.pipelines.config.tasks import TASKS


def schema_of(task: str) -> dict[str, Any]:
    """Return the JSON schema of one task's config."""
    model = TASKS[task]
    for registry in GROUPS.values():
        _ = registry.kinds
    describe_fields(Spec)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}


def text_of(task: str) -> str:
    """Return the file's text."""
    return _text(schema_of(task))


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def command(task: str | None, out: Path | None) -> None:
    """Print or write schemas."""
    chosen = tuple(TASKS.kinds) if task is None else (task,)
    if out is None:
        import sys

        schemas = {name: schema_of(name) for name in chosen}
        shown = schemas if task is None else schemas[chosen[0]]
        sys.stdout.write(_text(shown))
        return
    writable_folder(out)
    for name in chosen:
        replace_file(out / f"{name}.json", text_of(name).encode())
