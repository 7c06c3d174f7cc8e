"""`Queue`: trainings one after the other, each a recipe with a budget; a list of configs, no task itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clearsight.data.contract.spec import Number, Spec


class Entry(Spec):
    """One training of a queue."""

    recipe: Annotated[str, Field(min_length=1)]
    """The name of a shipped recipe, or a file; a relative path starts at the queue's folder."""
    minutes: Annotated[Number, Field(gt=0)] | None = None
    """Another budget in place of the recipe's."""
    set: tuple[str, ...] = ()
    """Values in place of the recipe's, as ``--set`` takes them: ``model.width=48``."""


class Queue(Spec):
    """Trainings in the order in which they are done."""

    trainings: Annotated[tuple[Entry, ...], Field(min_length=1, max_length=1000)]
    """Run one at a time; finished ones are skipped, stopped ones are resumed."""
