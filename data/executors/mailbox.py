"""What workers elsewhere tell the driver while their units go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from clearsight.data.disk import Change

PAUSE = 0.5
"""Seconds after which workers post what they have, and the driver looks at the mailbox."""
Message = str | list[Change]
"""The machine on which a unit begins, or changes of files."""


class Mailbox:
    """What workers posted and the driver has not taken yet."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, Message]] = []

    def put(self, tag: int, message: Message) -> None:
        """Leave a message of the try with this number."""
        self.messages.append((tag, message))

    def take(self) -> list[tuple[int, Message]]:
        """Return the messages in the order in which they came, and forget them."""
        taken, self.messages = self.messages, []
        return taken


class Post:
    """Posts changes of files twice a second; what comes last travels with the unit's result.

    Attributes:
        kept: what has not been posted.
        posted: what ``send`` returned.
    """

    def __init__(self, send: Callable[[list[Change]], Any]) -> None:
        self.send = send
        self.kept: list[Change] = []
        self.posted: list[Any] = []
        self.lock, self.over = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self._now_and_then, daemon=True)

    def __enter__(self) -> Post:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def __call__(self, change: Change) -> None:
        """Post a change soon."""
        with self.lock:
            self.kept.append(change)

    def _now_and_then(self) -> None:
        while not self.over.wait(PAUSE):
            with self.lock:
                if self.kept:
                    self.posted.append(self.send(self.kept))
                    self.kept = []
