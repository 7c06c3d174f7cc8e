"""Image restoration in front of classifiers, measured by the accuracy of the classifier behind it.

Everything that scripts and notebooks need, imported on first use: ``import clearsight`` itself
loads neither torch nor OpenCV nor numpy. Parts, corruptions, attacks and sources come from their own modules
(``from clearsight.restore.classical.median import Median``); `list_kinds` lists them.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearsight.pipelines.advice.api import advise as advise
    from clearsight.pipelines.advice.api import sense_images as sense_images
    from clearsight.pipelines.api.images import corrupt as corrupt
    from clearsight.pipelines.api.images import restore_images as restore_images
    from clearsight.pipelines.api.kinds import list_kinds as list_kinds
    from clearsight.pipelines.api.kinds import register as register
    from clearsight.pipelines.api.models import export as export
    from clearsight.pipelines.api.models import load as load
    from clearsight.pipelines.api.models import train as train
    from clearsight.pipelines.api.show import show_parts as show_parts
    from clearsight.pipelines.api.trust import check as check
    from clearsight.pipelines.evaluation.api import evaluate as evaluate
    from clearsight.pipelines.evaluation.api import open_run as open_run
    from clearsight.pipelines.inference.session import Session as Session
    from clearsight.pipelines.systems.graph import chain as chain

    __version__: str

# In a checkout the sub-packages lie beside this folder, in an installed package inside it.
_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "pipelines").is_dir():
    __path__.append(str(_checkout))

# Not `restore`: that is the sub-package with the restorers.
_HOME = {
    "Session": "clearsight.pipelines.inference.session",
    "advise": "clearsight.pipelines.advice.api",
    "chain": "clearsight.pipelines.systems.graph",
    "check": "clearsight.pipelines.api.trust",
    "corrupt": "clearsight.pipelines.api.images",
    "evaluate": "clearsight.pipelines.evaluation.api",
    "export": "clearsight.pipelines.api.models",
    "list_kinds": "clearsight.pipelines.api.kinds",
    "load": "clearsight.pipelines.api.models",
    "open_run": "clearsight.pipelines.evaluation.api",
    "register": "clearsight.pipelines.api.kinds",
    "restore_images": "clearsight.pipelines.api.images",
    "sense_images": "clearsight.pipelines.advice.api",
    "show_parts": "clearsight.pipelines.api.show",
    "train": "clearsight.pipelines.api.models",
}

__all__ = [
    "Session",
    "__version__",
    "advise",
    "chain",
    "check",
    "corrupt",
    "evaluate",
    "export",
    "list_kinds",
    "load",
    "open_run",
    "register",
    "restore_images",
    "sense_images",
    "show_parts",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name == "__version__":
        from clearsight.pipelines.runs.versions import clearsight_version

        value: Any = clearsight_version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'clearsight' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
