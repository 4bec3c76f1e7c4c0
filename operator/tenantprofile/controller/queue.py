"""The work queue: keys, deduplicated, in two priorities, with a delay of its own for each failing key.

A key that is added while it is worked on runs once more afterwards. HIGH is for what is open now (a
new namespace, drift); LOW is for fan-outs. A new namespace must never wait behind fifty thousand
updates, and that is all that the priorities are for.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Final

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 120.0
"""Seconds; the bounds of a failing key's exponential backoff."""


class Priority(IntEnum):
    HIGH = 0
    LOW = 1


class WorkQueue:
    """Used from one event loop. `clock` gives seconds that never go back (a monotonic clock)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ready: tuple[OrderedDict[str, float], OrderedDict[str, float]] = (OrderedDict(), OrderedDict())
        self._active: set[str] = set()
        self._again: dict[str, Priority] = {}
        self._later: list[tuple[float, str, Priority]] = []
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._wakeup = asyncio.Event()

    def add(self, key: str, priority: Priority) -> None:
        """Work on a key soon; a key that waits already keeps its place, or moves up."""
        if key in self._active:
            self._again[key] = min(priority, self._again.get(key, Priority.LOW))
            return
        high, low = self._ready
        if key in high:
            return
        if priority is Priority.HIGH:
            high[key] = low.pop(key, self._clock())
        elif key not in low:
            low[key] = self._clock()
        self._wakeup.set()

    def add_after(self, key: str, seconds: float, priority: Priority = Priority.HIGH) -> None:
        """Work on a key later; the earlier of two such wishes counts."""
        due = self._clock() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._later, (due, key, priority))
            self._wakeup.set()

    def backoff(self, key: str, at_least: float = 0.0) -> float:
        """Try a failed key again after a delay that doubles, with jitter; the delay, in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, 16), LONGEST_DELAY)
        delay = max(delay * random.uniform(0.5, 1.0), at_least)  # noqa: S311 (jitter, not secrecy)
        self.add_after(key, delay)
        return delay

    def forget(self, key: str) -> None:
        """A key has succeeded: its next failure starts from the shortest delay."""
        self._failures.pop(key, None)

    async def get(self, lowest: Priority = Priority.LOW) -> tuple[str, Priority]:
        """The next key of at least that priority; `done` must be called for it."""
        while True:
            wait = self._promote()
            for priority in Priority:
                if priority > lowest:
                    break
                if self._ready[priority]:
                    key, _ = self._ready[priority].popitem(last=False)
                    self._active.add(key)
                    return key, priority
            self._wakeup.clear()
            try:
                await asyncio.wait_for(self._wakeup.wait(), wait)
            except TimeoutError:
                pass

    def done(self, key: str) -> None:
        """The key is not worked on any more."""
        self._active.discard(key)
        if key in self._again:
            self.add(key, self._again.pop(key))

    def _promote(self) -> float | None:
        """Move what is due to the ready keys; seconds until the next one is due, None for never."""
        while self._later:
            due, key, priority = self._later[0]
            if self._due.get(key) != due:
                heapq.heappop(self._later)  # an earlier wish has replaced it
                continue
            remaining = due - self._clock()
            if remaining > 0:
                return remaining
            heapq.heappop(self._later)
            del self._due[key]
            self.add(key, priority)
        return None

    def __len__(self) -> int:
        """Keys that are ready or being worked on; delayed ones do not count."""
        return sum(map(len, self._ready)) + len(self._active)

    def waiting(self, priority: Priority) -> int:
        return len(self._ready[priority])

    def oldest(self) -> float:
        """Seconds that the longest-waiting ready key of HIGH priority has waited."""
        high = self._ready[Priority.HIGH]
        return self._clock() - min(high.values()) if high else 0.0
