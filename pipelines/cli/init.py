"""``clearsight init``: a config from what a user has: images, a classifier, restorers."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.home import locate, replace_file
from clearsight.data.user_code import PATTERN
from clearsight.pipelines.cli.console import console

LABELS = "folder with one sub-folder a class, or a parquet file"
TASKS = ("denoise", "median")
"""Restorers that are tried where none is named."""


def command(
    out: Path,
    *,
    images: str | None,
    classifier: str | None,
    restorers: Sequence[str],
    classes: int | None,
    attack: bool,
    force: bool,
    ask: Callable[[str], str] | None = None,
) -> None:
    """Write a config, after checking all but the code that it names, and say what to do with it.

    Args:
        out: the file.
        images: folder or parquet file; asked for where left out and there is a terminal.
        classifier: weights (id or folder), an ONNX file, or ``file.py:name``; asked for likewise.
        restorers: tasks, weights or kinds, each in front of the classifier in a system of its own.
        classes: number of classes of an ONNX file or of code; counted in the images where left out.
        attack: whether an attack is part of it.
        force: replace a file that is there.
        ask: answers a question; None: standard input, where it is a terminal.

    Raises:
        ConfigError: something is missing, means nothing, or the file is there already.
        DataError: there are no such images.
    """
    if out.exists() and not force:
        raise ConfigError("is there already", where=str(out), hint="name another file, or add --force")
    answer = ask or (_asked if sys.stdin.isatty() else None)
    found = images or _need(answer, "--images", f"Images ({LABELS})")
    word = classifier or _need(answer, "--classifier", "Classifier (weights, model.onnx or file.py:name)")
    data = _data(found)
    parts: dict[str, dict[str, Any]] = {"classify": _classifier(word, classes, data)}
    systems = {"plain": ["classify"]}
    for named in restorers or TASKS:
        name = _name(named, parts)
        parts[name] = _restorer(named)
        systems[f"{name}+classify"] = [name, "classify"]
    config: dict[str, Any] = {
        "task": "evaluate",
        "name": _name(out.stem, {}),
        "data": data,
        "parts": parts,
        "systems": systems,
        "conditions": {"clean": {"kind": "identity"}, "c15": {"set": "imagenet_c_15", "severity": [3]}},
    }
    if attack:
        config["attacks"] = {"pgd": {"kind": "pgd", "eps": "4/255", "steps": 10}}
        config["measure"] = [
            {"conditions": ["clean", "c15"]},
            {"conditions": ["clean"], "attacks": ["pgd"]},
        ]
    config["compare"] = {"baseline": "plain"}
    from clearsight.pipelines.config.evaluate import Evaluate

    Evaluate.model_validate(config)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, _written(config).encode())
    screen = console()
    for line in (
        f"{out}: {len(systems)} systems, 16 conditions" + (", 1 attack" if attack else ""),
        f"clearsight check {out}    # cells and costs, before anything runs",
        f"clearsight run {out}",
    ):
        screen.print(line, markup=False, soft_wrap=True)


def _asked(question: str) -> str:
    sys.stderr.write(f"{question}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _need(answer: Callable[[str], str] | None, option: str, question: str) -> str:
    given = "" if answer is None else answer(question)
    if not given:
        raise ConfigError("is needed", where=option, hint=question)
    return given


def _data(path: str) -> dict[str, Any]:
    from clearsight.data.catalogue import images_at

    source = images_at(path)
    if getattr(source, "kind", "") == "files":
        raise DataError("has no sub-folders, so there are no labels", where=path, hint=f"give a {LABELS}")
    # As it was written: a relative path stays one.
    return {"kind": getattr(source, "kind", ""), "path": path}


def _classifier(word: str, classes: int | None, data: Mapping[str, Any]) -> dict[str, Any]:
    if word.endswith(".onnx"):
        locate(word)
        node: dict[str, Any] = {"kind": "onnx", "path": word}
        return node if classes is None else node | {"classes": classes}
    if re.match(PATTERN, word):
        return {"kind": "python", "call": word, "classes": classes or _counted(data)}
    from clearsight.pipelines.advice.advise import classifier_of

    spec = classifier_of(word)
    if spec.weights is None:
        raise ConfigError(
            f"'{word}' is a kind without weights", where="--classifier", hint="name weights, a file or code"
        )
    return {"kind": spec.name, "weights": word}


def _counted(data: Mapping[str, Any]) -> int:
    from clearsight.data.catalogue import SOURCES

    count = len(SOURCES.parse(dict(data)).index().classes)
    if count < 2:
        raise ConfigError("cannot be counted in these images", where="--classes", hint="give the number")
    return count


def _restorer(word: str) -> dict[str, Any]:
    from clearsight.pipelines.restoring.chain import read_chain

    (step,) = read_chain(word, None).colour
    told = step.spec.model_dump(mode="json", exclude_defaults=True)
    return {"kind": step.spec.name} | told


def _name(word: str, taken: Mapping[str, Any]) -> str:
    """Return a name for a config that a word stands for, of letters, digits and dashes."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(word).stem if "." in word else word).strip("-") or "part"
    number = 1
    name = stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _written(config: Mapping[str, Any]) -> str:
    import yaml

    lines = []
    for key, value in config.items():
        if isinstance(value, dict) and value and all(isinstance(v, (dict, list)) for v in value.values()):
            lines += [f"{key}:", *(f"  {name}: {_flow(yaml, each)}" for name, each in value.items())]
        elif isinstance(value, list):
            lines += [f"{key}:", *(f"  - {_flow(yaml, each)}" for each in value)]
        else:
            lines.append(f"{key}: {_flow(yaml, value)}")
    return "\n".join(lines) + "\n"


def _flow(yaml: Any, value: Any) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
