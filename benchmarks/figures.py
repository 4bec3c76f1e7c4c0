"""The results by name: what each figure says, its unit, and the goal it is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of figure. A ratio is the headline; anything else is context for one machine."""

    title: str
    unit: str = ""
    goal: float | None = None
    better: Literal["more", "less"] = "less"
    goal_at: int = 0
    """The size that the goal is for; 0 for all."""
    ratio: bool = False

    def met(self, value: float, size: int) -> bool | None:
        """Whether the goal is reached; None without one for this size."""
        if self.goal is None or self.goal_at not in (0, size):
            return None
        return value >= self.goal if self.better == "more" else value <= self.goal


KINDS: Final[dict[str, Kind]] = {
    # adoption
    "adoption_ratio": Kind("adoption, ratio to the floor", goal=0.9, better="more", ratio=True),
    "adoption_rate": Kind("adoption, first write to last", "policies/s"),
    "adoption_floor": Kind("bare creates", "policies/s"),
    "adoption_seconds": Kind("adoption, process start → last write", "s"),
    "adoption_first_write": Kind("process start → first write", "s"),
    "adoption_start_cpu": Kind("CPU until the first write", "s"),
    "adoption_cpu": Kind("CPU per 1,000 policies, first write to last", "s"),
    "adoption_cpu_total": Kind("CPU from process start until settled", "s"),
    "memory_peak": Kind("peak memory (VmHWM)", "MB", goal=200.0, goal_at=10_000),
    "memory_adopted": Kind("memory at rest after adoption (VmRSS)", "MB"),
    "memory_rest": Kind("memory at rest after a restart (VmRSS)", "MB", goal=150.0, goal_at=10_000),
    "memory_restart_peak": Kind("peak memory of a restart", "MB", goal=200.0, goal_at=10_000),
    # metrics
    "metrics_rate_ratio": Kind("adoption with metrics ÷ without", goal=0.99, better="more", ratio=True),
    "metrics_cpu_ratio": Kind("CPU of an adoption with metrics ÷ without", ratio=True),
    # protection
    "protect_p50_ratio": Kind("new namespace at rest, p50 ÷ bare sequence's p50", goal=0.8, ratio=True),
    "protect_p99_ratio": Kind("new namespace at rest, p99 ÷ bare sequence's p50", goal=2.0, ratio=True),
    "protect_fanout_ratio": Kind("new namespace during a fan-out, p50 ÷ p50 at rest", goal=5.0, ratio=True),
    "protect_fanout_p99_ratio": Kind("new namespace during a fan-out, p99 ÷ p99 at rest", ratio=True),
    "protect_p50": Kind("namespace sent → five policies, p50", "ms"),
    "protect_p95": Kind("namespace sent → five policies, p95", "ms"),
    "protect_p99": Kind("namespace sent → five policies, p99", "ms"),
    "protect_bare_p50": Kind("bare sequence, p50", "ms"),
    "protect_bare_p99": Kind("bare sequence, p99", "ms"),
    "protect_fanout_p50": Kind("during a fan-out, p50", "ms"),
    "protect_fanout_p95": Kind("during a fan-out, p95", "ms"),
    "protect_fanout_p99": Kind("during a fan-out, p99", "ms"),
    # drift
    "repair_ratio": Kind("edited → repaired, p50 ÷ one bare write", goal=3.0, ratio=True),
    "restore_ratio": Kind("deleted → restored, p50 ÷ one bare write", goal=3.0, ratio=True),
    "repair_sent_ratio": Kind("edit sent → repaired, p50 ÷ one bare write", ratio=True),
    "repair_p50": Kind("edit visible → repaired, p50", "ms"),
    "repair_p99": Kind("edit visible → repaired, p99", "ms"),
    "restore_p50": Kind("deletion visible → restored, p50", "ms"),
    "restore_p99": Kind("deletion visible → restored, p99", "ms"),
    "bare_write_p50": Kind("one bare write, p50", "ms"),
    # storm
    "storm_ratio": Kind("storm: the same edits and repairs bare ÷ operator", ratio=True, better="more"),
    "storm_edits": Kind("edits at once", ""),
    "storm_total": Kind("first edit → last repair", "s"),
    "storm_p50": Kind("edit visible → repaired in the storm, p50", "ms"),
    "storm_p99": Kind("edit visible → repaired in the storm, p99", "ms"),
    # rollout
    "rollout_ratio": Kind("template change, ratio to the floor", goal=0.9, better="more", ratio=True),
    "rollout_rate": Kind("template change, first update to last", "policies/s"),
    "rollout_floor": Kind("bare updates", "policies/s"),
    "rollout_seconds": Kind("template change, sent → last update", "s"),
    "rollout_first_write": Kind("change sent → first update", "s"),
    "rollout_missing": Kind("moments in which a namespace lacked a policy", "", goal=0.0),
    "rollout_cpu": Kind("CPU per 1,000 updates", "s"),
    # restart and rest
    "restart_ready": Kind("restart: process start → ready", "s"),
    "restart_cpu": Kind("restart: CPU until at rest", "s", goal=8.0, goal_at=10_000),
    "restart_writes": Kind("restart: writes", "", goal=0.0),
    "restart_requests": Kind("restart: requests", ""),
    "rest_seconds": Kind("at rest for", "s"),
    "rest_cpu": Kind("at rest: CPU per minute", "s"),
    "rest_requests": Kind("at rest: requests per minute", ""),
    "rest_writes": Kind("at rest: writes", "", goal=0.0),
}


@dataclass(slots=True)
class Results:
    """The figures of one size."""

    size: int
    values: dict[str, float] = field(default_factory=dict)

    def put(self, **values: float) -> None:
        for name, value in values.items():
            assert name in KINDS, name
            self.values[name] = value


def percentile(values: Sequence[float], share: float) -> float:
    """By linear interpolation between the closest ranks."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
