"""The top room. Importing it checks that the rooms below are those beside it: others use these names too."""

from importlib.util import find_spec
from pathlib import Path

_house = Path(__file__).resolve().parent.parent

for _room in ("data", "restore", "defend"):
    _spec = find_spec(_room)
    _places = [] if _spec is None else [_spec.origin, *(_spec.submodule_search_locations or ())]
    _found = next((place for place in _places if place), "nothing of that name")
    if Path(_found).resolve() != _house / _room / "__init__.py":
        raise ImportError(
            f"clearsight's room '{_room}' is {_house / _room}, but Python finds {_found}, which hides it: "
            "rename that, start clearsight from another folder, or take its folder off PYTHONPATH"
        )
