"""Configs as text: scalars, lines of mistakes, files that unfold or cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.contract.spec import Number, Spec
from clearsight.pipelines.config.yaml_reader import load, parse

HERE = Path("x.yaml")


class Point(Spec):
    x: Number
    y: int = 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("12", 12),
        ("-3", -3),
        ("0x10", 16),
        ("0o17", 15),
        ("017", 17),
        ("true", True),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("1:30", "1:30"),
        ("8/255", "8/255"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        (".inf", float("inf")),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = parse(f"a: {text}", HERE).value["a"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_has_its_line() -> None:
    document = parse("a: 1\nb:\n  - x\n  - c: 2\n", HERE)
    assert document.lines[("b",)] == 2
    assert document.lines[("b", 1)] == 4
    assert document.where(("b", 1, "c")) == "x.yaml:4"
    assert document.where(("b", 1, "tag-of-a-union", "nowhere")) == "x.yaml:4"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is given twice (first in line 1)"),
        ("a: [1, 2\n", 2, "expected"),
        ("a: !!python/object:os.system {}\n", 1, "not supported"),
        ("? [1]\n: 2\n", 1, "plain text"),
        ("a: &x [*x]\n", 1, "too deeply"),
        ("a: 1\n\tb: 2\n", 2, "found character"),
    ],
)
def test_mistakes_name_file_and_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, HERE)
    assert str(caught.value).startswith(f"x.yaml:{line}: ")
    assert words in str(caught.value)


def test_an_alias_bomb_is_refused() -> None:
    levels = "\n".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 10)}]" for i in range(1, 12))
    with pytest.raises(ConfigError, match="too large"):
        parse(f"k0: &k0 [x]\n{levels}\n", HERE)


def test_models_take_fractions_and_name_the_field_that_was_meant() -> None:
    assert parse("x: 8/255", HERE).parse(Point).x == 8 / 255
    assert parse("x: 4.5/255", HERE).parse(Point).x == 4.5 / 255
    with pytest.raises(ConfigError, match=r"^x.yaml:2: z: unknown field 'z'; .*known: x, y$"):
        parse("x: 1\nz: 2", HERE).parse(Point)
    with pytest.raises(
        ConfigError, match=r"x.yaml:1: x: .*'ten' is not a number \(write 0.03, 2e-4 or 8/255\)"
    ):
        parse("x: ten", HERE).parse(Point)
    with pytest.raises(ConfigError, match="'x' is missing"):
        parse("y: 2", HERE).parse(Point)
    with pytest.raises(ConfigError, match="is not a number"):
        parse("x: 1/0", HERE).parse(Point)


def test_every_mistake_has_a_line_of_its_own() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("x: ten\ny: many", HERE).parse(Point)
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == ["x.yaml:1:", "x.yaml:2:"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "b.yaml")
    (tmp_path / "e.yaml").write_text("")
    with pytest.raises(ConfigError, match="must hold a mapping"):
        load(tmp_path / "e.yaml").parse(Point)


@given(st.text(max_size=60))
def test_no_text_breaks_the_loader(text: str) -> None:
    try:
        parse(text, HERE)
    except ClearsightError:
        pass
