"""Two writers that fight over a policy: noticed, slowed down, reported (pure but for its memory)."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

WINDOW: Final = 60.0
"""Seconds that a repair counts."""
PATIENCE: Final = 5
"""Repairs of one policy within the window that are made at once."""
LONGEST: Final = 30.0
"""Seconds; the most that a repair is put off. Every second of it the policy is as the other writer left it."""
MAX_KNOWN: Final = 5000


class Contention:
    """Repairs per policy, within the window."""

    def __init__(self) -> None:
        self._repairs: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def repaired(self, namespace: str, name: str, now: float) -> None:
        """Count a repair."""
        times = self._repairs.setdefault((namespace, name), deque(maxlen=PATIENCE + 8))
        times.append(now)
        self._repairs.move_to_end((namespace, name))
        while len(self._repairs) > MAX_KNOWN:
            self._repairs.popitem(last=False)

    def wait(self, namespace: str, name: str, now: float) -> float:
        """Seconds to wait before the next repair; 0 unless the policy is fought over."""
        times = self._repairs.get((namespace, name))
        if times is None:
            return 0.0
        while times and now - times[0] > WINDOW:
            times.popleft()
        excess = len(times) - PATIENCE
        if excess < 0:
            return 0.0
        return max(0.0, times[-1] + min(2.0**excess, LONGEST) - now)
