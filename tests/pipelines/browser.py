"""Headless Chromium, driven over its debugging pipe: JSON messages that end with a zero byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 60
MOVE = """
import os, sys
os.dup2(int(sys.argv[1]), 100)
os.dup2(int(sys.argv[2]), 101)
os.dup2(100, 3)
os.dup2(101, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser reads from 3 and writes to 4."""


class Browser:
    """One page of a running browser."""

    def __init__(self, into: int, out: int) -> None:
        self.into, self.out = into, out
        self.number, self.page, self.rest = 0, "", b""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.page = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": given}
        os.write(
            self.into, json.dumps(message | ({"sessionId": self.page} if self.page else {})).encode() + b"\0"
        )
        while True:
            told = self._read()
            if told.get("id") == self.number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            self.events.append(told)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            data = os.read(self.out, 2**20)
            assert data, "the browser has ended"
            self.rest += data
        first, _, self.rest = self.rest.partition(b"\0")
        return json.loads(first)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, script: str) -> Any:
        """Return the first value of a script that is true."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if found := self.value(script):
                return found
            time.sleep(0.05)
        raise AssertionError(f"never became true: {script}\n{self.value('document.body.innerText')}")

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file as a person would in the dialogue."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )

    def complaints(self) -> list[str]:
        """Return what the page logged as errors: scripts, blocked resources."""
        self.value("1")
        logged = [told["params"]["entry"] for told in self.events if told.get("method") == "Log.entryAdded"]
        thrown = [told for told in self.events if told.get("method") == "Runtime.exceptionThrown"]
        return [each["text"] for each in logged if each["level"] == "error"] + [str(each) for each in thrown]

    def asked(self) -> set[str]:
        """Return the addresses that were fetched."""
        sent = (told for told in self.events if told.get("method") == "Network.requestWillBeSent")
        return {told["params"]["request"]["url"] for told in sent}


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own."""
    assert CHROMIUM is not None
    # Chromium now and then ends before its first answer on a busy machine.
    for last in (False, False, True):
        process, into, out = _started(folder)
        try:
            page = Browser(into, out)
            break
        except AssertionError:
            _stopped(process, into, out)
            if last:
                raise
    try:
        yield page
    finally:
        _stopped(process, into, out)


def _started(folder: Path) -> tuple[subprocess.Popen[bytes], int, int]:
    """Start Chromium; return the process and the pipes to it and from it."""
    theirs_in, into = os.pipe()
    out, theirs_out = os.pipe()
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        f"--user-data-dir={folder}",
        "--remote-debugging-pipe",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", MOVE, str(theirs_in), str(theirs_out), CHROMIUM, *options],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    return process, into, out


def _stopped(process: subprocess.Popen[bytes], into: int, out: int) -> None:
    process.terminate()
    process.wait(20)
    os.close(into)
    os.close(out)
