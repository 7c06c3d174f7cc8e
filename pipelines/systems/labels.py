"""Whether the logits of a classifier mean the classes of the data: checked before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clearsight.data.contract.errors import ConfigError
from clearsight.data.sources.entries import Entry
from clearsight.defend.classifier import Classifier
from clearsight.pipelines.systems.system import System

SHOWN = 12
"""Most classes that a hint writes a whole ``label_map`` for."""


def check_system(
    name: str, system: System | Classifier, entries: Iterable[Entry], data: Sequence[str], *, mapped: bool
) -> None:
    """Raise `ConfigError` where a system's classes, or a classifier's alone, are not those of the data.

    See `check_labels`.
    """
    found = system.detector if isinstance(system, System) else None
    classes, names = (found.classes, found.class_names) if found else (system.classes, system.class_names)
    if classes is not None:
        check_labels(entries, data, mapped=mapped, system=name, classes=classes, names=names)


def check_labels(
    entries: Iterable[Entry],
    data: Sequence[str],
    *,
    mapped: bool,
    system: str,
    classes: int,
    names: Sequence[str],
) -> None:
    """Raise `ConfigError` unless label i of the data is logit i of the classifier.

    Where both sides name their classes, the names must be equal, in order. Where only the data
    name them, there must be as many as logits; data without names may use fewer. Under a ``label_map`` the
    user has said what means what, and only contradictions to the names are refused. No label may lie beyond
    the logits.

    Args:
        entries: the images.
        data: names of the data's classes, empty where there are none.
        mapped: whether the data's labels were given by a ``label_map``.
        system: name of the system, for messages.
        classes: number of its logits.
        names: their names, empty where unknown.
    """
    where = f"system '{system}'"
    if names and len(names) != classes:
        raise ConfigError(f"names {len(names)} of its {classes} classes", where=where, hint="fix class_names")
    used = _labels(entries, data, system, classes)
    if mapped:
        _check_mapped(used, data, names, where)
        return
    if not used or not data or _numbers(data):
        return
    if not names or _numbers(names):
        if len(data) != classes:
            raise ConfigError(
                f"the data have {len(data)} classes, the classifier has {classes} without names",
                where=where,
                hint="say with data.label_map which index each class has, or name the classifier's classes"
                " with class_names",
            )
        return
    if tuple(names) != tuple(data):
        raise ConfigError(_difference(data, names), where=where, hint=_hint(data, names))


def _labels(entries: Iterable[Entry], data: Sequence[str], system: str, classes: int) -> set[int]:
    """Return the labels that occur."""
    used: set[int] = set()
    for entry in entries:
        for label in _labels_of(entry):
            if not 0 <= label < classes:
                named = f" ({data[label]})" if 0 <= label < len(data) else ""
                raise ConfigError(
                    f"image '{entry.id}' has label {label}{named}, but system '{system}' knows "
                    f"classes 0 to {classes - 1}",
                    where="data",
                    hint="map the data's classes to the system's with 'label_map', or use another system",
                )
            used.add(label)
    return used


def _labels_of(entry: Entry) -> set[int]:
    """Return the class of an image, or those of its boxes."""
    if entry.boxes is not None:
        return {box.label for box in entry.boxes.items}
    return set() if entry.truth is None else {entry.truth}


def _check_mapped(used: set[int], data: Sequence[str], names: Sequence[str], where: str) -> None:
    places = {name: place for place, name in enumerate(names)}
    for label in sorted(used):
        place = places.get(data[label], label)
        if place != label:
            raise ConfigError(
                f"label_map gives '{data[label]}' the index {label}, the classifier calls {place} by that"
                " name",
                where=where,
                hint="fix data.label_map",
            )


def _numbers(names: Sequence[str]) -> bool:
    """Return whether names only repeat their places: such data or classifiers have no names."""
    return all(name == str(place) for place, name in enumerate(names))


def _difference(data: Sequence[str], names: Sequence[str]) -> str:
    if sorted(data) == sorted(names):
        return "has the data's classes in another order"
    if len(data) != len(names):
        return f"was trained on {len(names)} classes, the data have {len(data)}"
    place = next(i for i, (one, other) in enumerate(zip(data, names, strict=True)) if one != other)
    return (
        f"was trained on other classes than the data have: number {place} is '{names[place]}' there and"
        f" '{data[place]}' here"
    )


def _hint(data: Sequence[str], names: Sequence[str]) -> str:
    shared = {name: place for place, name in enumerate(names) if name in data}
    if shared and len(shared) <= SHOWN:
        told = ", ".join(f"'{name}': {place}" for name, place in shared.items())
        return f"write data.label_map: {{{told}}}"
    return (
        "map the data's classes with data.label_map; where only the words differ, give the classifier"
        " class_names as the data have them"
    )
