"""Regular expressions from configs, refused where their search could take longer than anybody waits."""

from __future__ import annotations

import re
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]  # the one parser that reads what re.compile reads
from typing import Any

from clearsight.data.contract.errors import ConfigError

LONGEST = 500
"""Characters of a pattern."""
MOST_REPEATS = 3
"""Open repeats allowed in a pattern: with n of them a name of m characters may take m to the n steps."""
LONGEST_NAME = 1000
"""Characters of a name that is searched."""
OPEN = 16
"""A repeat that allows more repetitions than this counts as open."""
REPEATS = ("MAX_REPEAT", "MIN_REPEAT")


@lru_cache(maxsize=64)
def compiled(pattern: str, where: str) -> re.Pattern[str]:
    """Return a pattern whose search ends soon on any name of at most `LONGEST_NAME` characters.

    Args:
        pattern: as ``re`` reads it.
        where: field, for messages.

    Raises:
        ConfigError: an invalid or too long pattern, or one with nested (``(a+)+``) or too many open repeats.
    """
    if len(pattern) > LONGEST:
        raise ConfigError(f"a regular expression has {LONGEST} characters at most", where=where)
    try:
        made, tree = re.compile(pattern), _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"'{pattern}' is no regular expression: {error}", where=where) from None
    if _repeats(tree, inside=False, where=where) > MOST_REPEATS:
        raise ConfigError(f"'{pattern}' has more than {MOST_REPEATS} open repeats", where=where)
    return made


def _repeats(tree: Any, *, inside: bool, where: str) -> int:
    """Return the number of open repeats in a parsed pattern; refuse those within others."""
    count = 0
    for step, given in tree:
        found, below = 0, inside
        if str(step) in REPEATS and given[1] > OPEN:
            if inside:
                raise ConfigError(
                    "a repeat within a repeat can take forever to search",
                    where=where,
                    hint="write (a+)+ as a+, and so on",
                )
            found, below = 1, True
        count += found + sum(_repeats(each, inside=below, where=where) for each in _parts(given))
    return count


def _parts(given: Any) -> list[Any]:
    """Return the patterns within a step of a parsed pattern."""
    if isinstance(given, _parser.SubPattern):
        return [given]
    if isinstance(given, (list, tuple)):
        return [part for each in given for part in _parts(each)]
    return []
