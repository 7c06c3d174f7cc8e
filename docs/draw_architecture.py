"""Draws ``docs/images/architecture.svg`` from the import contracts: ``python docs/draw_architecture.py``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[1]
OUT = HOUSE / "docs" / "images" / "architecture.svg"
WIDTH, HALF, GAP = 760, 370, 20
ROW, BOX, HEAD, EDGE = 36, 26, 34, 10
"""Heights of a row, of a box in it and of a room's title; margin inside a room. All in pixels."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.room { font-weight: 600; font-size: 15px; }
.what { fill: #59636e; font-weight: 400; font-size: 12px; }
rect { fill: none; stroke: #59636e; }
.box { fill: #ddf4ff; stroke: #0969da; }
path { stroke: #59636e; fill: none; }
marker path { fill: #59636e; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .what { fill: #9198a1; }
  rect, path { stroke: #9198a1; }
  .box { fill: #0d2d52; stroke: #4493f8; }
  marker path { fill: #9198a1; }
}
"""
ROOMS = {
    "pipelines": "runs, training, export, reports, command line",
    "restore": "restorers, their networks and training",
    "defend": "classifiers, attacks, robust training",
    "data": "contracts, images, sources, corruptions",
}
Rows = list[list[str]]


def layers(room: str) -> Rows:
    """Return the sub-packages of a room, one list a layer, the top first."""
    config = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in config["tool"]["importlinter"]["contracts"]:
        if contract.get("containers") == [f"clearsight.{room}"]:
            return [re.split(r" [|:] ", layer) for layer in contract["layers"]]
    folders = sorted(path.parent.name for path in (HOUSE / room).glob("*/__init__.py"))
    half = (len(folders) + 1) // 2
    return [folders[:half], folders[half:]]


def height(rows: Rows) -> int:
    """Return the height of a room in pixels."""
    return HEAD + ROW * len(rows) + EDGE


def draw_room(room: str, rows: Rows, x: int, y: int, width: int) -> list[str]:
    """Return the elements of one room: its frame, its boxes, an arrow between two layers."""
    title = f'{room}/ <tspan class="what">{ROOMS[room]}</tspan>'
    out = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height(rows)}" rx="8"/>',
        f'<text class="room" x="{x + EDGE}" y="{y + 22}">{title}</text>',
    ]
    for number, names in enumerate(rows):
        top = y + HEAD + number * ROW
        each = (width - 2 * EDGE - 8 * (len(names) - 1)) / len(names)
        for place, name in enumerate(names):
            left = x + EDGE + place * (each + 8)
            out.append(f'<rect class="box" x="{left:g}" y="{top}" width="{each:g}" height="{BOX}" rx="4"/>')
            out.append(f'<text x="{left + each / 2:g}" y="{top + 17}" text-anchor="middle">{name}</text>')
        if number + 1 < len(rows) and room != "data":
            out.append(arrow(x + width // 2, top + BOX, ROW - BOX))
    return out


def arrow(x: int, y: int, length: int) -> str:
    """Return an arrow that points down."""
    return f'<path d="M{x} {y}v{length - 4}" marker-end="url(#tip)"/>'


def drawing() -> str:
    """Return the SVG."""
    rows = {room: layers(room) for room in ROOMS}
    middle = 1 + height(rows["pipelines"]) + 30
    bottom = middle + max(height(rows["restore"]), height(rows["defend"])) + 30
    total = bottom + height(rows["data"]) + 1
    right = 1 + HALF + GAP
    body = [
        *draw_room("pipelines", rows["pipelines"], 1, 1, WIDTH),
        *draw_room("restore", rows["restore"], 1, middle, HALF),
        *draw_room("defend", rows["defend"], right, middle, HALF),
        *draw_room("data", rows["data"], 1, bottom, WIDTH),
    ]
    for x, room in ((1 + HALF // 2, "restore"), (right + HALF // 2, "defend")):
        end = middle + height(rows[room])
        body += [arrow(x, middle - 30, 30), arrow(x, end, bottom - end)]
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 2} {total}" width="{WIDTH + 2}"'
        f' height="{total}" role="img" aria-label="Rooms and sub-packages; an arrow means: may import">'
    )
    marker = f'<defs>{tip}<path d="M0 0L8 4L0 8z"/></marker></defs>'
    return "\n".join([head, f"<style>{STYLE}</style>", marker, *body, "</svg>"]) + "\n"


if __name__ == "__main__":
    OUT.write_text(drawing(), encoding="utf-8")
