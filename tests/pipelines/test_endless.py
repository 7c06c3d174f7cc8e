"""What cannot end is bounded or can be stopped: graphs that loop, files that unfold, patterns, numbers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from clearsight.data.contract.deployed import KEY, Deployed, Input, Output
from clearsight.data.contract.errors import ClearsightError, ConfigError, RunError
from clearsight.data.contract.patterns import compiled
from clearsight.data.contract.spec import _number
from clearsight.data.media.images import encode_png
from clearsight.data.onnx_run import THREAD, stuck
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.config.conditions import Each
from clearsight.pipelines.config.yaml_reader import parse
from clearsight.pipelines.inference.session import Session


def looping(path: Path, *, at_once: bool) -> Path:
    """Write a classifier that never ends, at once or where an image is brighter than 0.9 everywhere."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["again"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, [])],
    )
    kept = helper.make_tensor_value_info("kept", TensorProto.FLOAT, [])
    body.input.append(helper.make_tensor_value_info("old", TensorProto.FLOAT, []))
    body.node.append(helper.make_node("Identity", ["old"], ["kept"]))
    body.output.append(kept)
    nodes = [
        helper.make_node("ReduceMin", ["images"], ["least"], keepdims=0),
        helper.make_node("Greater", ["least", "bright"], ["go"]),
        helper.make_node("Loop", ["", "go", "least"], ["looped"], body=body),
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Add", ["flat", "looped"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "looping",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array(-1 if at_once else 0.9, np.float32), "bright")],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    told = Deployed(
        "loop", "image -> loop", "fp32", Input("images", "NCHW", "float32", 3), (Output("logits", "logits"),)
    )
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, told.to_json()
    onnx.save(model, str(path))
    return path


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the handlers of signals back, which every command sets."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def signalled(number: int) -> None:
    """Send this process a signal once a call of onnxruntime has been running for a second."""
    since: dict[int, float] = {}
    while True:
        time.sleep(0.05)
        for thread in threading.enumerate():
            if thread.name == THREAD and thread.ident is not None:
                began = since.setdefault(thread.ident, time.monotonic())
                if time.monotonic() - began > 1:
                    os.kill(os.getpid(), number)
                    return


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_infer_ends_on_a_signal_whatever_the_graph_does(
    number: int, at_once: bool, handlers: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = looping(tmp_path / "m.onnx", at_once=at_once)
    (tmp_path / "x.png").write_bytes(encode_png(np.full((8, 8, 3), 255, np.uint8)))
    sender = threading.Thread(target=signalled, args=(number,))
    sender.start()
    with pytest.raises(SystemExit) as ended:
        main(["infer", str(model), str(tmp_path / "x.png"), "--provider", "cpu", "--threads", "1", "-q"])
    sender.join()
    assert ended.value.code == 130
    assert "stopped; run the same command again to go on" in capsys.readouterr().err
    assert not stuck()


def test_a_session_can_be_stopped_from_another_thread(tmp_path: Path) -> None:
    session = Session(looping(tmp_path / "m.onnx", at_once=False), "cpu", 1)
    white, black = (np.full((1, 8, 8, 3), value, np.uint8) for value in (255, 0))
    assert session.classify(black).labels.shape == (1,)
    threading.Timer(0.5, session.stop).start()
    began = time.monotonic()
    with pytest.raises(RunError):
        session.classify(white)
    assert time.monotonic() - began < 30
    with pytest.raises(RunError, match="is stopped"):
        session.classify(black)


LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 50_000, "nested too deeply"),
        ("\n".join(" " * depth + "a:" for depth in range(2000)), "nested too deeply"),
        (LAUGHS, "nested too deeply or too large"),
        ("&a [*a]", "nested too deeply"),
        ("a: " + "9" * 5000, "beyond the whole numbers"),
        ("a: 0x" + "f" * 100_000, "beyond the whole numbers"),
        ('a: "\\UFFFFFFFF"', "stands for no character"),
        ('a: "\\0"', "zero byte"),
        ('a: "\\ud800"', "half a character"),
        ("a: \x01", "unacceptable character"),
        ("? [1]\n: 2", "a key must be plain text"),
        ("a: !!python/object:os.system x", "is not supported"),
    ],
)
def test_a_config_that_unfolds_is_refused_in_one_line(text: str, said: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=said) as error:
        parse(text, Path("c.yaml"))
    assert time.process_time() - began < 10
    assert "\n" not in str(error.value)


@settings(deadline=None)
@given(st.text(max_size=60))
@pytest.mark.slow
def test_any_text_is_yaml_or_refused(text: str) -> None:
    with suppress(ClearsightError):
        assert parse(text, Path("c.yaml")).text == text


@pytest.mark.parametrize(
    "text", ["1e999999999", "1e-999999999/1", "9" * 100_000, "1/" + "9" * 100_000, "inf", "nan", "1/0"]
)
def test_numbers_without_end_are_no_numbers(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="is not a number"):
        _number(text)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "value"), [("8/255", 8 / 255), (" 1 / 3 ", 1 / 3), ("2e-4", 2e-4), ("-0.5", -0.5)]
)
def test_numbers_and_fractions_are_read(text: str, value: float) -> None:
    assert _number(text) == value


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(a*)*b",
        r"((a|b)+c?)*d",
        r"(.*)(.*)(.*)(.*)x",
        r"(\d{1,500}){1,500}z",
        "(" * 200,
        "a" * 501,
    ],
)
def test_patterns_that_search_for_ever_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        compiled(pattern, "hold_out.group")


@pytest.mark.parametrize(
    "pattern", [r"^(.*?)_", r"(\d+)/(\d+)_", r"(n\d{8})_.*", r"^([^/]+)/", r"(track\d{1,5})"]
)
def test_usual_patterns_are_taken(pattern: str) -> None:
    assert compiled(pattern, "hold_out.group").pattern == pattern


def test_a_million_conditions_are_refused_before_they_are_made() -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="makes 1,000,000 conditions, at most 1,000 are taken"):
        Each.model_validate(
            {"kind": "low_light", "each": {name: list(range(100)) for name in ("a", "b", "c")}}
        )
    assert time.process_time() - began < 2
