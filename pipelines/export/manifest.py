"""What is written about an exported file: its metadata, and ``manifest.json`` beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import onnx

from clearsight.data.contract.deployed import KEY, Deployed
from clearsight.data.contract.errors import ConfigError
from clearsight.data.home import replace_file
from clearsight.data.weights import find
from clearsight.pipelines.export.wrap import Form
from clearsight.pipelines.runs.versions import library_versions
from clearsight.pipelines.systems.graph import Graph

MANIFEST = "manifest.json"
FORMAT = 1
Variant = Literal["fp32", "fp16", "int8"]
EXPORTERS = ("onnx", "onnxscript")
RUNTIMES = ("onnxruntime-gpu", "onnxruntime")


def described(graph: Graph, name: str, form: Form, variant: Variant) -> Deployed:
    """Return the description of a file."""
    alone = graph.unrestored
    ids = sorted({weights for spec in graph.parts.values() for weights in spec.weights_inside()})
    return Deployed(
        name=name,
        chain=graph.describe().replace("→", "->"),
        variant=variant,
        input=form.input,
        outputs=form.outputs,
        classes=form.classes,
        config_key=graph.fingerprint(),
        unrestored_key="" if alone is None else alone.fingerprint(),
        weights={weights: find(weights).sha256 for weights in ids},
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Return package -> version of everything that decides what is exported."""
    known = {name: version(name) for name in EXPORTERS}
    return library_versions() | known | {"onnxruntime": _runtime()}


def _runtime() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def labelled(model: bytes, deployed: Deployed) -> bytes:
    """Return an ONNX file with its description in the metadata, and without the exporter's metadata.

    The exporter's names source files by their path on this machine, at every node.
    """
    proto = onnx.load_from_string(model)
    for each in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        del each.metadata_props[:]
    for each in (*proto.graph.input, *proto.graph.output, *proto.functions):
        del each.metadata_props[:]
    onnx.helper.set_model_props(proto, {KEY: deployed.to_json()})
    proto.producer_name = "clearsight"
    proto.producer_version = deployed.versions.get("clearsight", "")
    proto.doc_string = deployed.chain
    return bytes(proto.SerializeToString(deterministic=True))


def entry(model: bytes, file: str, deployed: Deployed, findings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the manifest says of one file."""
    proto = onnx.load_from_string(model)
    return {
        "sha256": hashlib.sha256(model).hexdigest(),
        "bytes": len(model),
        "opset": next(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")),
        "ir_version": proto.ir_version,
        "deployed": json.loads(json.dumps(asdict(deployed), allow_nan=False)),
        **findings,
        "run": {
            "command": f"clearsight infer {file} IMAGES",
            "python": f"from clearsight.pipelines.inference.session import Session; Session('{file}')",
        },
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder, an empty one where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {"format": FORMAT, "files": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found["files"], dict):
            raise TypeError("'files' is not a mapping")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"it is damaged: {error!r}", where=str(path), hint="delete it, or export into another folder"
        ) from None
    return dict(found)


def write(folder: Path, file: str, model: bytes, entry: Mapping[str, Any]) -> Path:
    """Put a verified file into its folder and note it in the manifest; each appears whole or not at all."""
    manifest = read_manifest(folder)
    manifest["files"] = dict(sorted((manifest["files"] | {file: dict(entry)}).items()))
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / file, model)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(folder / MANIFEST, text.encode())
    return folder / file
