"""Limits of a server, and its answers to requests beyond them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from clearsight.data.contract.errors import ClearsightError

LEAST_PIXELS = 2**25
"""Least limit on the pixels of all images that are decoded at once: 100 MB as bytes."""
LEAST_BYTES = 2**27
"""Least limit on the bytes of all bodies that are held at once."""


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes:
        body: most bytes of one request.
        pixels: most pixels of one image, and of what is made of it.
        waiting: most requests at a time; more are refused.
        body_seconds: time for a body to arrive.
        answer_seconds: time from then until the answer begins.
        send_seconds: time for the client to read the answer.
    """

    body: int = 16 * 2**20
    pixels: int = 16 * 10**6
    waiting: int = 64
    body_seconds: float = 30
    answer_seconds: float = 60
    send_seconds: float = 60

    @property
    def all_pixels(self) -> int:
        """Return the most pixels of all requests that are held at once."""
        return max(self.pixels, LEAST_PIXELS)

    @property
    def all_bytes(self) -> int:
        """Return the most bytes of all bodies that are held at once."""
        return max(self.body, LEAST_BYTES)


class RefusedError(ClearsightError):
    """A request that is answered with an HTTP status other than 200."""

    def __init__(self, status: int, what: str, *, hint: str = "", close: bool = False) -> None:
        """Keep the answer.

        Args:
            status: HTTP status code.
            what: one sentence that says what is wrong.
            hint: what to do about it.
            close: whether the connection is closed instead of waiting for the rest of the body.
        """
        super().__init__(what, hint=hint)
        self.status, self.close = status, close


def busy(what: str) -> RefusedError:
    """Return the answer to requests while the server is overloaded."""
    return RefusedError(503, what, hint="try again in a moment")


def crowd() -> RefusedError:
    """Return the answer where too many connections are open; the connection is closed."""
    return RefusedError(503, "too many connections at a time", hint="try again in a moment", close=True)


class Counter:
    """Counts up to a limit; belongs to one event loop."""

    def __init__(self, most: int) -> None:
        """Start at zero."""
        self.most, self.held = most, 0

    def add(self, amount: int) -> bool:
        """Return whether there was room for more, and count it where there was."""
        if self.held + amount > self.most:
            return False
        self.held += amount
        return True

    def remove(self, amount: int) -> None:
        """Give an amount back."""
        self.held -= amount

    @property
    def full(self) -> bool:
        """Return whether there is no room at all."""
        return self.held >= self.most


class Place:
    """One of the places for requests that wait; it can be taken late and is given back once."""

    def __init__(self, places: Counter) -> None:
        """Take nothing yet."""
        self.places, self.taken = places, False

    def take(self) -> None:
        """Take a place.

        Raises:
            RefusedError: there is none.
        """
        if not self.places.add(1):
            raise busy("too many requests at a time")
        self.taken = True

    def give(self) -> None:
        """Give the place back if it was taken."""
        if self.taken:
            self.taken = False
            self.places.remove(1)


class Share:
    """The part of a `Budget` that one holder has."""

    def __init__(self, budget: Budget, amount: int) -> None:
        """Hold an amount that the budget has given."""
        self.budget, self.amount = budget, amount

    def shrink(self, amount: int) -> None:
        """Give back all but this amount; a share never grows."""
        if amount < self.amount:
            freed, self.amount = self.amount - amount, amount
            self.budget.give(freed)


class Budget:
    """An amount that is shared out in the order of asking; belongs to one event loop."""

    def __init__(self, most: int) -> None:
        """Start with all of it free."""
        self.most = self.free = most
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, amount: int) -> Share:
        """Wait until an amount is free, and take it; an amount above the whole budget takes all of it."""
        amount = min(amount, self.most)
        if self.waiting or amount > self.free:
            turn = asyncio.get_running_loop().create_future()
            self.waiting.append((amount, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.give(amount)
                elif (amount, turn) in self.waiting:
                    self.waiting.remove((amount, turn))
                    # Requests behind this one may fit.
                    self.give(0)
                raise
        else:
            self.free -= amount
        return Share(self, amount)

    def give(self, amount: int) -> None:
        """Return an amount to the budget, and serve the waiting requests that now fit, in order."""
        self.free += amount
        while self.waiting and self.waiting[0][0] <= self.free:
            wanted, turn = self.waiting.popleft()
            if turn.cancelled():
                continue
            self.free -= wanted
            turn.set_result(None)


@contextmanager
def returned(share: Share) -> Iterator[Share]:
    """Give a share back at the end."""
    try:
        yield share
    finally:
        share.shrink(0)
