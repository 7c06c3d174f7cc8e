"""Restoration in front of classifiers, measured by whether the classifier behind it is right."""

from pathlib import Path as _Path

# In a checkout the rooms lie beside this folder, in an installed package inside it.
_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "pipelines").is_dir():
    __path__.append(str(_checkout))
