"""Decide when the next request of a model may be sent."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable


class Pace:
    """The bound on the requests of one model that are in flight, and the pause that its server asks for.

    The bound follows the server: additive increase, multiplicative decrease, as in TCP's congestion control
    (Chiu and Jain, 1989). A refusal for being too many halves it, once for all requests that were in flight
    together. Each answer raises it by a fraction, so that a full round raises it by one.

    All methods are called in one event loop.

    Args:
        most: the bound at the start, which is never exceeded.
    """

    def __init__(self, most: int) -> None:
        self.in_flight = 0
        self.resumes = 0.0
        """The time (``time.monotonic``) before which nothing is sent."""
        self._most = most
        self._bound = float(most)
        self._slowed = 0.0
        self._waiting: list[tuple[int, asyncio.Future[int]]] = []
        self._closed: Callable[[], BaseException] | None = None

    @property
    def bound(self) -> int:
        """Return how many requests may be in flight now."""
        return int(self._bound)

    async def enter(self, ticket: int) -> int:
        """Wait for the turn of a request; returns how many are in flight then, this one included.

        Args:
            ticket: a number that no other waiting request has; the lowest one has its turn first.

        Raises:
            BaseException: the error with which the way was closed.
        """
        if self._closed is not None:
            raise self._closed()
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ticket, turn))
        self._let_in()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn had just come
                self.leave()
            raise

    def leave(self) -> None:
        """End a request that had its turn."""
        self.in_flight -= 1
        self._let_in()

    def answered(self) -> None:
        """Raise the bound a little: the server answered a request."""
        self._bound = min(self._bound + 1 / self._bound, self._most)
        self._let_in()

    def slow_down(self, sent: float) -> None:
        """Halve the bound, unless it was halved since a request was sent (``time.monotonic``)."""
        if sent >= self._slowed:
            self._bound, self._slowed = max(self._bound / 2, 1.0), time.monotonic()

    def pause(self, seconds: float) -> None:
        """Let nothing in for some seconds."""
        self.resumes = max(self.resumes, time.monotonic() + seconds)
        asyncio.get_running_loop().call_later(max(seconds, 0.0) + 0.001, self._let_in)

    def close(self, error: Callable[[], BaseException]) -> None:
        """Let all who wait, and all who come, end with an error of their own."""
        self._closed = error
        for _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(error())
        self._waiting.clear()

    def _let_in(self) -> None:
        while self._waiting and self.in_flight < self.bound and time.monotonic() >= self.resumes:
            _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self.in_flight += 1
                turn.set_result(self.in_flight)
