"""Descriptions of fields are read from the source, where there is one."""

from __future__ import annotations

import runpy
from pathlib import Path

from clearsight.data.contract.field_docs import describe_fields


def test_a_class_of_a_script_that_has_ended_keeps_what_it_has(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pydantic import BaseModel\n\n\nclass Gone(BaseModel):\n    size: int = 3\n    '''A side.'''\n"
    )
    gone = runpy.run_path(str(script), run_name="a_script_that_has_ended")["Gone"]
    describe_fields(gone)
    assert gone.model_json_schema()["properties"]["size"]["default"] == 3
