"""``clearsight data get``."""

from __future__ import annotations

from clearsight.data.downloads import get
from clearsight.pipelines.cli.console import console, progress


def command(name: str, *, quiet: bool) -> None:
    """Download a data set and print where it is and how a config names it."""
    with progress(quiet=quiet) as tell:
        folder = get(name, on_progress=lambda done, total: tell(name, done, total))
    console().print(f"{folder}\nuse it as  data: {{kind: {name}}}", markup=False, soft_wrap=True)
