"""Two writers that fight over a policy: noticed, slowed down, reported (pure but for its memory).

What opens a namespace is put right at once however often it is done, only not more often than fifty times
a second: to hold such a repair back would make whoever keeps writing the winner. What concerns our
labels and annotations alone opens nothing, and waits longer and longer.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

WINDOW: Final = 30.0
"""Seconds that a repair counts."""
PATIENCE: Final = 5
"""Repairs of one policy within the window before it counts as fought over."""
ROOM: Final = 0.2
"""Seconds, so that the last look comes after the end and not at it."""
SPACING: Final = 0.02
"""Seconds between two repairs of a fought-over policy that protect."""
LONGEST: Final = 30.0
"""Seconds; the most that a repair is put off which opens nothing."""
MAX_KNOWN: Final = 5000


class Contention:
    """Repairs per policy, within the window. `now`: seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._repairs: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._others: dict[tuple[str, str], str] = {}

    def repaired(self, namespace: str, name: str, now: float, other: str | None) -> None:
        """Count a repair. `other`: the field manager whose change it undid, where that is known."""
        if other is not None:
            self._others[namespace, name] = other
        times = self._repairs.setdefault((namespace, name), deque(maxlen=PATIENCE + 8))
        times.append(now)
        self._repairs.move_to_end((namespace, name))
        while len(self._repairs) > MAX_KNOWN:
            oldest, _ = self._repairs.popitem(last=False)
            self._others.pop(oldest, None)

    def other(self, namespace: str, name: str) -> str:
        """Who fights, as far as is known: a deletion leaves no name behind."""
        return self._others.get((namespace, name), "somebody")

    def is_contested(self, namespace: str, name: str, now: float) -> bool:
        """Whether a policy is fought over."""
        return self._excess(namespace, name, now) >= 0

    def remaining(self, namespace: str, name: str, now: float) -> float:
        """Seconds after which a policy does not count as fought over any more, if nothing else happens."""
        times = self._repairs.get((namespace, name))
        if times is None or len(times) < PATIENCE:
            return 0.0
        return max(0.0, times[-PATIENCE] + WINDOW - now) + ROOM

    def wait(self, namespace: str, name: str, now: float, *, protects: bool) -> float:
        """Seconds to wait before the next repair. `protects`: what it undoes may let traffic through."""
        excess = self._excess(namespace, name, now)
        if excess < 0:
            return 0.0
        pause = SPACING if protects else min(2.0**excess, LONGEST)
        return max(0.0, self._repairs[namespace, name][-1] + pause - now)

    def _excess(self, namespace: str, name: str, now: float) -> int:
        times = self._repairs.get((namespace, name))
        if times is None:
            return -1
        while times and now - times[0] > WINDOW:
            times.popleft()
        return len(times) - PATIENCE
