"""Whether protection is kept up: what the probes ask, and what is wrong in plain words.

Live: the watches are heard of, urgent namespaces are worked on, comparisons end in time. Ready:
everything is known. A silent stall is what users of such systems suffer from most; a restart is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

STALE: Final = 300.0
"""Seconds without a sign of life on a watch; a bookmark comes about once a minute."""
STUCK: Final = 120.0
"""Seconds that an urgent namespace may wait."""


@dataclass(frozen=True, slots=True)
class Health:
    """Asks the parts. Times are seconds; `last_contact` and `compared_at` on the same clock as `clock`."""

    clock: Callable[[], float]
    last_contact: Mapping[str, Callable[[], float]]
    """By watch: when it was last heard of."""
    compared_at: Callable[[], float]
    longest_wait: Callable[[], float]
    """How long the oldest urgent key has waited; 0 while this operator may not write."""
    complete: Callable[[], bool]
    comparison_interval: float

    def stream_is_stale(self) -> str | None:
        for name, last in self.last_contact.items():
            silence = self.clock() - last()
            if silence > STALE:
                return f"nothing heard on the watch on {name} for {silence:.0f} s"
        return None

    def queue_is_stuck(self) -> str | None:
        waited = self.longest_wait()
        return f"an urgent namespace has waited for {waited:.0f} s" if waited > STUCK else None

    def comparison_is_late(self) -> str | None:
        age = self.clock() - self.compared_at()
        limit = max(3 * self.comparison_interval, STALE)
        return f"no full comparison for {age:.0f} s" if age > limit else None

    def caches_are_incomplete(self) -> str | None:
        return None if self.complete() else "the first comparison with the whole cluster has not ended"
