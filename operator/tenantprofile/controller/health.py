"""Whether protection is kept up: what the probes ask, and what is wrong in plain words.

Live: the watches are heard of, urgent namespaces are worked on, comparisons end in time. Ready: everything is known,
every input is followed, and this operator holds the lease or stands by for one that renews it. A silent stall is what
users of such systems suffer from most; a restart is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tenantprofile.settings import STALE, STUCK

__all__ = ["STALE", "STUCK", "Health"]


@dataclass(frozen=True, slots=True)
class Health:
    """Asks the parts. Times are seconds; `last_contact` and `compared_at` on the same clock as `clock`."""

    clock: Callable[[], float]
    last_contact: Mapping[str, Callable[[], float]]
    """By kind: when it was last heard of."""
    compared_at: Callable[[], float]
    longest_wait: Callable[[], float]
    """How long the oldest urgent key that was never tried has waited; 0 while this operator may not write."""
    complete: Callable[[], bool]
    comparison_interval: float
    problems: tuple[Callable[[], str | None], ...] = ()
    """What makes the operator not ready: blind inputs, the lease, the ledger."""

    def stream_is_stale(self) -> str | None:
        """Live: a watch has been silent for long."""
        for name, last in self.last_contact.items():
            silence = self.clock() - last()
            if silence > STALE:
                return f"nothing heard on the watch on {name} for {silence:.0f} s"
        return None

    def queue_is_stuck(self) -> str | None:
        """Live: nobody works on what is urgent."""
        waited = self.longest_wait()
        return f"an urgent namespace has waited for {waited:.0f} s" if waited > STUCK else None

    def comparison_is_late(self) -> str | None:
        """Live: the backstop does not work."""
        age = self.clock() - self.compared_at()
        limit = max(3 * self.comparison_interval, STALE)
        return f"no full comparison for {age:.0f} s" if age > limit else None

    def is_not_ready(self) -> str | None:
        """Ready: everything that is in the way, one line each."""
        found = [text for problem in self.problems if (text := problem())]
        if not found and not self.complete():
            found = ["the first comparison with the whole cluster has not ended"]
        return "\n".join(found) or None
