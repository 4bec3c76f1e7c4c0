"""The work queue: keys, deduplicated, in two priorities, with a delay of its own for each failing key.

A key that is added while it is worked on runs once more afterwards. HIGH is for what is open now (a new namespace,
drift); LOW is for fan-outs and for what is only looked at again. A new namespace must never wait behind fifty thousand
updates, nor behind a thousand keys that fail: a key keeps its priority when it fails, and among the urgent ones those
that have not been tried yet come first.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Protocol

from tenantprofile.settings import (
    BUSY_BURST,
    BUSY_RATE,
    FIRST_DELAY,
    LONGEST_DELAY,
    WAKE_PAUSE,
    WOKEN_AT_ONCE,
)


class Priority(IntEnum):
    HIGH = 0
    LOW = 1


class _Place(IntEnum):
    """Where a ready key waits, in the order in which keys are handed out."""

    FRESH = 0
    RETRIED = 1
    LOW = 2


class Observer(Protocol):
    """Is told what client-go's work queue counts, with the same meaning."""

    def added(self) -> None:
        """A key was added that did not wait already; one that is worked on counts, too."""

    def taken(self, seconds: float) -> None:
        """A key was handed out, so long after it was added."""

    def worked(self, seconds: float) -> None:
        """The work on a key ended after so long."""

    def put_off(self) -> None:
        """A key is to be added later: it failed, or is to be looked at again."""


class _Nobody:
    def added(self) -> None: ...
    def taken(self, seconds: float) -> None: ...
    def worked(self, seconds: float) -> None: ...
    def put_off(self) -> None: ...


class WorkQueue:
    """Used from one event loop. `clock` gives seconds that never go back (a monotonic clock)."""

    def __init__(self, clock: Callable[[], float], observer: Observer | None = None) -> None:
        self._clock = clock
        self._observer = observer or _Nobody()
        self._ready: tuple[OrderedDict[str, float], ...] = tuple(OrderedDict() for _ in _Place)
        self._active: dict[str, Priority] = {}
        self._begun: dict[str, float] = {}
        """When the work on the active keys began."""
        self._again: dict[str, Priority] = {}
        self._added: dict[str, float] = {}
        """When the keys of `_again` were added."""
        self._since: dict[str, float] = {}
        """When the ready keys were added, which may be before they became ready."""
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, tuple[float, Priority]] = {}
        self._failures: dict[str, int] = {}
        self._causes: dict[str, set[str]] = {}
        self._woken: dict[str, float] = {}
        self._waiting: tuple[deque[asyncio.Future[None]], ...] = (deque(), deque())
        self._alarm: asyncio.TimerHandle | None = None
        self._tokens: dict[str, tuple[float, float]] = {}

    def add(self, key: str, priority: Priority, *, limited: bool = False) -> None:
        """Work on a key soon; a key that waits already keeps its place, or moves up.

        `limited`: its own doing, which may go on for ever; beyond BUSY_RATE it waits.
        """
        if key in self._active:
            self._add_again(key, priority)
            return
        if priority is Priority.LOW:
            self._make_ready(key, _Place.LOW)
        elif limited and self._is_too_busy(key):
            self.add_after(key, 1.0 / BUSY_RATE, Priority.HIGH)
        else:
            self._make_ready(key, _Place.RETRIED if key in self._failures else _Place.FRESH)

    def _add_again(self, key: str, priority: Priority) -> None:
        if key not in self._again:
            self._added[key] = self._clock()
            self._observer.added()
        self._again[key] = min(priority, self._again.get(key, Priority.LOW))

    def _make_ready(self, key: str, place: _Place) -> None:
        for other in _Place:
            if key in self._ready[other]:
                if other <= place:
                    return
                self._ready[place][key] = self._ready[other].pop(key)
                break
        else:
            since = self._added.pop(key, None)
            if since is None:
                self._observer.added()
            self._ready[place][key] = self._clock()
            self._since[key] = self._clock() if since is None else since
        self._wake(place is _Place.LOW)

    def _is_too_busy(self, key: str) -> bool:
        """Whether one key asks for urgent work so often that it has to wait."""
        now = self._clock()
        tokens, then = self._tokens.get(key, (float(BUSY_BURST), now))
        tokens = min(float(BUSY_BURST), tokens + (now - then) * BUSY_RATE)
        if tokens < 1:
            return True
        self._tokens[key] = (tokens - 1, now)
        if len(self._tokens) > 10_000:
            # Full again long ago.
            oldest = now - BUSY_BURST / BUSY_RATE
            self._tokens = {k: known for k, known in self._tokens.items() if known[1] > oldest}
        return False

    def add_after(self, key: str, seconds: float, priority: Priority = Priority.LOW) -> None:
        """Work on a key later; the earlier of two times is kept, and the higher of two priorities."""
        due = self._clock() + seconds
        known = self._due.get(key)
        if known is None:
            self._observer.put_off()
        else:
            priority = min(priority, known[1])
            if known[0] <= due:
                self._due[key] = (known[0], priority)
                return
        self._due[key] = (due, priority)
        heapq.heappush(self._later, (due, key))
        self._set_alarm()

    def backoff(self, key: str, at_least: float = 0.0, causes: Iterable[str] = ()) -> float:
        """Try a failed key again after a delay that doubles, with jitter; the delay, in seconds.

        It keeps the priority with which it is being worked on. `causes`: see `wake_failed`.
        """
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        for cause in causes:
            self._causes.setdefault(cause, set()).add(key)
        delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, 16), LONGEST_DELAY)
        delay = max(delay * random.uniform(0.5, 1.0), at_least)  # noqa: S311 (jitter, not secrecy)
        self.add_after(key, delay, self._active.get(key, Priority.LOW))
        return delay

    def forget(self, key: str) -> set[str]:
        """A key has succeeded: its next failure starts from the shortest delay. Why it had failed before."""
        if self._failures.pop(key, None) is None:
            return set()
        causes = {cause for cause, keys in self._causes.items() if key in keys}
        for cause in causes:
            self._causes[cause].discard(key)
            if not self._causes[cause]:
                del self._causes[cause]
        return causes

    def wake_failed(self, cause: str) -> int:
        """A key that had failed for this cause has succeeded: try the others now, a few at a time; how many.

        For each cause at most once in WAKE_PAUSE seconds, so that one that comes and goes wakes nobody in vain.
        """
        now = self._clock()
        if now < self._woken.get(cause, float("-inf")) + WAKE_PAUSE:
            return 0
        self._woken = {known: then for known, then in self._woken.items() if now < then + WAKE_PAUSE}
        keys = [key for key in sorted(self._causes.get(cause, ())) if key in self._due]
        if keys:
            self._woken[cause] = now
        for index, key in enumerate(keys):
            self.add_after(key, index / WOKEN_AT_ONCE, self._due[key][1])
        return len(keys)

    async def get(self, lowest: Priority = Priority.LOW) -> tuple[str, Priority]:
        """The next key of at least that priority; `done` must be called for it."""
        while True:
            self._promote()
            for place in _Place:
                if place is _Place.LOW and lowest is Priority.HIGH:
                    break
                if self._ready[place]:
                    key, _ = self._ready[place].popitem(last=False)
                    priority = Priority.LOW if place is _Place.LOW else Priority.HIGH
                    self._active[key] = priority
                    now = self._begun[key] = self._clock()
                    self._observer.taken(now - self._since.pop(key))
                    return key, priority
            if self._ready[_Place.LOW]:
                self._wake(low=True)  # one that may take it
            turn = asyncio.get_running_loop().create_future()
            self._waiting[lowest].append(turn)
            self._set_alarm()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake(low=lowest is Priority.LOW)
                raise

    def _wake(self, low: bool) -> None:
        """Wake one worker that may take the key: for urgent ones first one that takes nothing else."""
        for waiting in self._waiting[1:] if low else self._waiting:
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return

    def done(self, key: str) -> None:
        """The key is not worked on any more."""
        if self._active.pop(key, None) is not None:
            self._observer.worked(self._clock() - self._begun.pop(key))
        if key in self._again:
            self.add(key, self._again.pop(key))

    def _promote(self) -> None:
        """Move what is due to the ready keys."""
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, key = heapq.heappop(self._later)
            known = self._due.get(key)
            if known is None or known[0] != due:
                continue  # an earlier time has replaced it
            del self._due[key]
            priority = known[1]
            if key in self._active:
                self._add_again(key, priority)
            else:
                self._make_ready(key, _Place.LOW if priority is Priority.LOW else _Place.RETRIED)

    def _set_alarm(self) -> None:
        if not self._later or not any(self._waiting):
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, self._later[0][0] - self._clock())
        if self._alarm is not None and not self._alarm.cancelled() and self._alarm.when() > loop.time():
            if self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._promote()
        self._set_alarm()

    def __len__(self) -> int:
        """Keys that are ready or being worked on; delayed ones do not count."""
        return sum(map(len, self._ready)) + len(self._active)

    @property
    def ready(self) -> int:
        """Keys that wait to be handed out."""
        return sum(map(len, self._ready))

    def under_way(self) -> list[float]:
        """For how many seconds each of the keys that are worked on has been so."""
        now = self._clock()
        return [now - begun for begun in self._begun.values()]

    def waiting(self, priority: Priority) -> int:
        """Ready keys of that priority."""
        if priority is Priority.LOW:
            return len(self._ready[_Place.LOW])
        return len(self._ready[_Place.FRESH]) + len(self._ready[_Place.RETRIED])

    def oldest(self) -> float:
        """Seconds that the longest-waiting urgent key that has not been tried yet has waited."""
        fresh = self._ready[_Place.FRESH]
        return self._clock() - min(fresh.values()) if fresh else 0.0
