"""An event loop with a clock of its own: it jumps to the next timer, so hours of back-off run in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")


class Deadlock(Exception):
    """Every task waits for something that no timer and no other task will bring."""


class _Selector(selectors.SelectSelector):
    """Nothing comes from outside: to wait is to let the clock jump."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("every task waits and no timer is set")
        if timeout > 0:
            self._loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 1,000 s, so that nothing takes the start for zero."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """The virtual time in seconds."""
        return self.now

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to its end, with `time.monotonic` showing the virtual time."""
        with self._clock():
            return self.run_until_complete(coroutine)

    def run_for(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        self.run(asyncio.sleep(seconds))

    def end(self) -> None:
        """Cancel what still runs, and close."""
        with self._clock():
            # Whoever is cancelled may begin something for its end.
            while tasks := asyncio.all_tasks(self):
                for task in tasks:
                    task.cancel()
                self.run_until_complete(asyncio.wait(tasks))
            self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    @contextmanager
    def _clock(self) -> Iterator[None]:
        with mock.patch.object(time, "monotonic", self.time):
            yield
