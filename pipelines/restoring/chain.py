"""Which restorers the words of ``--with`` mean: tasks of shipped weights, weights, or classical kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clearsight.data.contract.errors import ConfigError, WeightsError, first_line, near_miss
from clearsight.data.contract.spec import content_key
from clearsight.data.home import expanded
from clearsight.data.weights import CARD, kind_of_weights, shipped
from clearsight.restore.base import RestorerSpec
from clearsight.restore.catalogue import RESTORERS

REVISION = 2
"""Raised when the same words come to give different files."""
VERSIONED = re.compile(r"(?P<name>.+)-v(?P<version>\d+)")
PREFERRED = {3: ("-color", "", "-gray"), 1: ("-gray", "", "-color")}
"""Channels of the image -> suffixes of a task's weights, the preferred one first."""


@dataclass(frozen=True)
class Step:
    """One restorer of a chain.

    Attributes:
        spec: the restorer.
        estimate: whether ``sigma`` is estimated for every image here, because the restorer cannot do it.
    """

    spec: RestorerSpec
    estimate: bool = False


@dataclass(frozen=True)
class Chain:
    """Restorers that are applied to images, in this order.

    Attributes:
        words: as the user wrote them.
        sigma: as the user wrote it.
        colour: steps for images with three channels.
        grey: steps for images with one channel.
    """

    words: tuple[str, ...]
    sigma: str | None
    colour: tuple[Step, ...]
    grey: tuple[Step, ...]

    def steps(self, channels: int) -> tuple[Step, ...]:
        """Return the steps for images with this many channels (1 or 3)."""
        return self.grey if channels == 1 else self.colour

    def key(self) -> str:
        """Return the key of everything that decides the restored pixels."""
        sides = [
            [[step.spec.fingerprint(), step.estimate] for step in side] for side in (self.colour, self.grey)
        ]
        return content_key([REVISION, *sides])


def read_chain(text: str, sigma: str | None) -> Chain:
    """Return the chain that a comma-separated list of words stands for.

    Args:
        text: each word is a task of shipped weights (``denoise`` for ``denoise-color-v1``; the newest
            version counts), the id or folder of weights, a kind of restorer that needs no weights, or a YAML
            file that describes a restorer as a config does (``{kind: python_restorer, call: ...}``).
        sigma: standard deviation of the noise for values in [0, 1], such as ``25/255``, or ``auto``; passed
            to every step that takes a noise level.

    Raises:
        ConfigError: an unknown word, no word at all, or a noise level that no step can take.
        WeightsError: weights that are missing, damaged or do not fit.
    """
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise ConfigError("names no restorer", where="--with", hint=near_miss("", known()))
    colour, grey = (tuple(_step(_node(word, channels), sigma, word) for word in words) for channels in (3, 1))
    for step in (*colour, *grey):
        step.spec.ready()
    if sigma is not None and not any(_takes_noise(step.spec) for step in (*colour, *grey)):
        raise ConfigError(f"none of {', '.join(words)} takes a noise level", where="--sigma")
    return Chain(words, sigma, colour, grey)


def known() -> list[str]:
    """Return the words that mean something here: tasks and ids of shipped weights, and classical kinds."""
    ids = _ids()
    kinds = [kind for kind, spec in RESTORERS.kinds.items() if not spec.trainable and not spec.needed()]
    tasks = {re.sub("-(color|gray)$", "", name) for name, _ in map(_versioned, ids)}
    return sorted({*tasks, *ids, *kinds})


def _ids() -> list[str]:
    return [weights.folder.name for weights in shipped() if weights.card["spec"]["kind"] in RESTORERS.kinds]


def _versioned(name: str) -> tuple[str, int]:
    """Split ``denoise-color-v1`` into ``denoise-color`` and 1."""
    match = VERSIONED.fullmatch(name)
    return (match["name"], int(match["version"])) if match else (name, 0)


def _newest(task: str, channels: int) -> str | None:
    for variant in PREFERRED[channels]:
        found = [name for name in _ids() if _versioned(name)[0] == task + variant]
        if found:
            return max(found, key=lambda name: _versioned(name)[1])
    return None


def _node(word: str, channels: int) -> dict[str, Any]:
    """Return the mapping that describes the restorer of a word."""
    if word.endswith((".yaml", ".yml")):
        return _described(word)
    weights = _newest(word, channels)
    if weights is None and (Path(word) / CARD).is_file():
        weights = word
    if weights is None and word in RESTORERS.kinds:
        if RESTORERS[word].trainable:
            raise ConfigError(
                f"'{word}' is a network and needs weights",
                where="--with",
                hint="name weights instead; known: " + ", ".join(known()),
            )
        if missing := RESTORERS[word].needed():
            raise ConfigError(
                f"'{word}' needs {', '.join(missing)}, which a word cannot give",
                where="--with",
                hint="use it as a part in a config; known words: " + ", ".join(known()),
            )
        return {"kind": word}
    try:
        kind = kind_of_weights(
            weights or word, RESTORERS.kinds, refused="which restores no images", where="--with"
        )
    except WeightsError as error:
        if weights or Path(word).is_dir():
            raise
        raise ConfigError(
            f"'{word}' is neither a task nor weights nor a kind of restorer",
            where="--with",
            hint=near_miss(word, known()),
        ) from error
    return {"kind": kind, "weights": weights or word}


def _described(word: str) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: there is no such file, or no such mapping in it.
    """
    import yaml

    try:
        node = yaml.safe_load(expanded(word).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read: {first_line(error)}", where=f"--with '{word}'") from None
    if not isinstance(node, dict) or node.get("kind") not in RESTORERS.kinds:
        raise ConfigError(
            "describes no restorer",
            where=f"--with '{word}'",
            hint="write one mapping: {kind: median, size: 5}",
        )
    return node


def _step(node: dict[str, Any], sigma: str | None, word: str) -> Step:
    spec = RESTORERS.of_word(node, word, where="--with")
    if sigma is None or not _takes_noise(spec):
        return Step(spec)
    try:
        return Step(RESTORERS.parse(node | {"sigma": sigma}))
    except ValidationError as error:
        if sigma == "auto":
            return Step(spec, estimate=True)
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"'{sigma}' does not suit {word}: {reason}", where="--sigma") from None


def _takes_noise(spec: RestorerSpec) -> bool:
    """Return whether the restorer uses a noise level; for a network, its weights may decide that."""
    return spec.resolved().conditioned_on("noise_level")
