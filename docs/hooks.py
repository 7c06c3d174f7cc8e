"""What the site needs beyond the pages: README as its front, the command line, links out of `docs`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside `docs` or are made from the code."""
    from mkdocs.structure.files import File

    pages = {
        "index.md": front((ROOT / "README.md").read_text(encoding="utf-8")),
        "contributing.md": front((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")),
        "security.md": front((ROOT / "SECURITY.md").read_text(encoding="utf-8")),
        "changes.md": front((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")),
        "cli.md": command_line(),
    }
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = notebook(path.read_text(encoding="utf-8"))
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let folds hold tables, and turn links to files of the repository into their names."""
    folds = markdown.replace("<details>", '<details markdown="1">')
    inside = folds.replace("](../CONTRIBUTING.md", "](contributing.md")
    inside = re.sub(r"\]\((notebooks/\w+)\.ipynb\)", r"](\1.md)", inside)
    if page.file.src_uri.startswith("notebooks/"):
        return inside
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", inside)


def front(text: str) -> str:
    """Return a page of the repository's top as one of `docs`."""
    inside = text.replace("](docs/", "](")
    return inside.replace("](CONTRIBUTING.md", "](contributing.md").replace("](SECURITY.md", "](security.md")


def command_line() -> str:
    """Return every command with its arguments and options, as Markdown."""
    from typer.main import get_command

    from clearsight.pipelines.cli.app import app

    return "# Command line\n" + "\n".join(_commands(get_command(app), "clearsight"))


def _commands(command: click.Command, name: str) -> Iterator[str]:
    context = command.make_context(name, ["--help"], resilient_parsing=True)
    inner = getattr(command, "commands", None)
    if inner is None:
        yield f"\n## `{name}`\n\n{_plain(command.help or '')}\n"
        yield f"```console\n$ {name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
        rows = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
        if rows:
            yield "| option | |\n| --- | --- |"
            yield from (f"| `{_cell(option)}` | {_cell(_plain(about))} |" for option, about in rows)
        return
    for each in sorted(inner):
        yield from _commands(inner[each], f"{name} {each}")


def _plain(text: str) -> str:
    """Return help text without rich's markup, on one line for each paragraph."""
    return re.sub(r"\[/?(?:bold|dim|italic)[^\]]*\]", "", text).strip()


def _cell(text: str) -> str:
    """Return a text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def notebook(text: str) -> str:
    """Return an executed notebook as a page: its text, its code, and what the code gave."""
    blocks = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            blocks.append(source)
            continue
        blocks.append(f"```python\n{source}\n```")
        blocks.extend(map(_shown, cell["outputs"]))
    return "\n\n".join(blocks) + "\n"


def _shown(output: dict[str, Any]) -> str:
    """Return what one cell gave as HTML, an image or text, whichever says most."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "text/html" in data:
        return "".join(data["text/html"])
    if "image/png" in data:
        content = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="what the cell above shows" src="data:image/png;base64,{content}">'
    plain = "".join(data["text/plain"]).rstrip()
    return f"```text\n{plain}\n```"
