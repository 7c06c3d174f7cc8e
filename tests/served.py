"""A server process for tests."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOUSE = Path(__file__).parents[1]


@dataclass
class Served:
    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def served(model: Path, *options: object, port: int = 0) -> Iterator[Served]:
    """Start ``clearsight serve`` and wait for its line."""
    call = [
        sys.executable,
        "-m",
        "clearsight",
        "serve",
        model,
        "--port",
        port,
        "--provider",
        "cpu",
        *options,
    ]
    process = subprocess.Popen(
        [str(each) for each in call], cwd=HOUSE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line.rstrip())
            if found := re.match(r"serving .* on (http://\S+)$", line):
                break
        else:
            raise AssertionError(f"it did not start: {lines}")
        made = Served(process, found[1], lines)
        reader = threading.Thread(target=lambda: lines.extend(each.rstrip() for each in process.stderr or ()))
        reader.start()
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
