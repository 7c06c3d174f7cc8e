"""What weights on the hub of Hugging Face are called: ``hub:owner/name@revision``."""

from __future__ import annotations

import re

HEAD = "hub:"
OWNED = r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+"
"""``owner/name``."""
REPO = rf"(?:{OWNED}|[A-Za-z0-9_.-]+)"
"""The same; the oldest data sets have no owner."""
REVISION = r"[^\s@:?*\[\]\\^~]+"
"""A branch, a tag or a commit, as git allows their names."""
COMMIT = re.compile(r"[0-9a-f]{40}")
MAIN = "main"
NAME = re.compile(rf"{HEAD}({OWNED})(?:@({REVISION}))?")


def on_hub(name: str) -> bool:
    """Return whether weights are named by their place on the hub."""
    return name.startswith(HEAD)


def pinned_name(name: str) -> str:
    """Return a name of weights on the hub with the commit in place of the revision; other text as it is.

    Raises:
        ConfigError: huggingface_hub is missing.
        DataError: there is no such repository, the hub refuses, or does not answer.
    """
    match = NAME.fullmatch(name)
    if match is None or COMMIT.fullmatch(match[2] or ""):
        return name
    from clearsight.data.remote.hub import repo_at

    return f"{HEAD}{match[1]}@{repo_at('model', match[1], match[2] or MAIN).commit}"
