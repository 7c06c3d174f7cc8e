from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clearsight.data.contract.errors import WeightsError
from clearsight.data.weights import Weights, shipped
from clearsight.pipelines.config.tasks import TASKS
from clearsight.pipelines.config.yaml_reader import load

HOUSE = Path(__file__).parents[2]
RECIPES = sorted((HOUSE / "pipelines" / "recipes").rglob("*.yaml"))


def block(page: str, language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", (HOUSE / page).read_text(encoding="utf-8"), re.DOTALL)[0]


def ran(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=240, check=False,
        env=__import__("os").environ | {"PYTHONPATH": str(HOUSE)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("page", "system"), [("README.md", "restored"), ("docs/start.md", "both")])
def test_the_configs_that_newcomers_copy_run(page: str, system: str, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(block(page, "yaml").replace("count: 200", "count: 34"))
    printed = ran(["-m", "clearsight", "run", "my.yaml", "-q", "--workers", "1"], tmp_path)
    assert system in printed
    assert "report.html" in printed


@pytest.mark.slow
@pytest.mark.parametrize(("page", "said"), [("docs/start.md", "restored"), ("docs/rows.md", "'attack'")])
def test_the_python_that_newcomers_copy_runs(page: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(block(page, "python").replace("count=200", "count=34"))
    assert said in ran(["mine.py"], tmp_path)


PAGES = [HOUSE / "README.md", HOUSE / "CONTRIBUTING.md", *sorted((HOUSE / "docs").glob("*.md"))]
ROOMS = "data|restore|defend|pipelines|tests|docs|clearsight|benchmarks"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{ROOMS})/[\w/.-]*)`", text))
    if page.name == "architecture.md":
        assert len(named) > 60
    assert not sorted(name for name in named if not (HOUSE / name).exists())
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert not sorted(link for link in links if not (page.parent / link).exists())
    modules = re.findall(r"^(?:from|import) (clearsight[\w.]*)", text, re.MULTILINE)
    assert not [name for name in modules if importlib.util.find_spec(name) is None]


def test_the_map_names_every_sub_package_and_class() -> None:
    text = (HOUSE / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = [path.parent for room in ROOMS.split("|")[:4] for path in (HOUSE / room).glob("*/__init__.py")]
    assert not [folder for folder in folders if f"`{folder.relative_to(HOUSE).as_posix()}/`" not in text]
    words = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (`[\w/.]+`(?:, `[\w/.]+`)*) \|", text, re.MULTILINE)
    assert len(words) > 10
    for names, files in words:
        code = "\n".join((HOUSE / file).read_text(encoding="utf-8") for file in re.findall(r"`(.+?)`", files))
        for name in re.findall(r"`(.+?)`", names):
            assert re.search(rf"^class {name}\b", code, re.MULTILINE), name


def test_the_drawing_shows_the_import_contracts() -> None:
    spec = importlib.util.spec_from_file_location("draw", HOUSE / "docs" / "draw_architecture.py")
    assert spec is not None
    assert spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    assert draw.drawing() == draw.OUT.read_text(encoding="utf-8"), "run python docs/draw_architecture.py"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid(path: Path) -> None:
    document = load(path)
    config = document.parse(TASKS[document.value["task"]])
    try:
        config.ready()
    except WeightsError as error:
        # A foreign network is not shipped: its file lies where the data lie, or nowhere.
        foreign = any(part["kind"] == "onnx_detector" for part in document.value.get("parts", {}).values())
        if not foreign or "no such file" not in error.what:
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_commands_that_exist(page: Path) -> None:
    from typer.main import get_command

    from clearsight.pipelines.cli.app import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    used = set(re.findall(r"^\$ clearsight (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert used or page.name != "README.md"
    assert used <= known


def test_the_site_holds_every_page() -> None:
    # `make site` builds it with strict links; this names a forgotten page without building anything.
    text = (HOUSE / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w-]+\.md)$", text, re.MULTILINE))
    made = {"index.md", "contributing.md", "security.md", "changes.md", "cli.md"}
    assert {path.name for path in (HOUSE / "docs").glob("*.md")} == named - made
    assert made <= named


def test_the_page_on_rows_names_every_column_with_its_type() -> None:
    from clearsight.pipelines.runs.folder import row_schema

    text = (HOUSE / "docs" / "rows.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (\w+) \|", text, re.MULTILINE)
    told = {name: kind for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
    cell = dict.fromkeys(("system", "condition", "attack"), "string")
    assert told == cell | {field.name: str(field.type).replace("float", "float32") for field in row_schema()}


@pytest.mark.parametrize("weights", list(shipped()), ids=lambda weights: weights.folder.name)
@pytest.mark.slow
def test_every_shipped_card_names_the_recipe_that_ships(weights: Weights) -> None:
    told = weights.card["recipe"]
    documents = [load(path) for path in RECIPES if path.parent.name in ("train", "fit")]
    (recipe,) = [found for found in documents if found.value["name"] == told["name"]]
    config = TASKS[recipe.value["task"]]
    mine = recipe.parse(config).model_dump(mode="json", exclude={"publish"})
    # A card is older than fields that came later; their defaults are what it was trained with.
    assert config.model_validate(told).model_dump(mode="json", exclude={"publish"}) == mine
