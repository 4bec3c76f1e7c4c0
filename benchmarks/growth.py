"""How a figure grows with the size of the cluster: a line through it, and how well the line fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.content import RULES
from benchmarks.figures import KINDS, Results
from benchmarks.report import number

GROWING: Final = (
    "adoption_seconds",
    "rollout_seconds",
    "restart_ready",
    "restart_cpu",
    "memory_rest",
    "memory_peak",
)
STEADY: Final = ("protect_p50", "repair_p50")
"""What must not grow at all."""


@dataclass(frozen=True, slots=True)
class Line:
    """Least squares: `intercept` + `slope` × namespaces; `r2` is 1 for points on the line."""

    intercept: float
    slope: float
    r2: float

    def at(self, size: float) -> float:
        return self.intercept + self.slope * size


def points(results: Sequence[Results], name: str) -> list[tuple[int, float]]:
    return [(result.size, result.values[name]) for result in results if name in result.values]


def line(found: Sequence[tuple[int, float]]) -> Line | None:
    """Through three points or more; two always lie on a line, which proves nothing."""
    if len(found) < 3:
        return None
    count = len(found)
    mean_x = sum(x for x, _ in found) / count
    mean_y = sum(y for _, y in found) / count
    spread = sum((x - mean_x) ** 2 for x, _ in found)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in found) / spread
    intercept = mean_y - slope * mean_x
    residual = sum((y - intercept - slope * x) ** 2 for x, y in found)
    total = sum((y - mean_y) ** 2 for _, y in found)
    return Line(intercept, slope, 1 - residual / total if total else 1.0)


def bytes_per_policy(results: Sequence[Results]) -> float | None:
    """The slope of memory at rest; what the process weighs without any policy does not count."""
    fitted = line(points(results, "memory_rest"))
    return fitted.slope * 1e6 / len(RULES) if fitted else None


def table(results: Sequence[Results]) -> str:
    """A Markdown table of the lines; empty with fewer than three sizes."""
    rows = []
    for name in (*GROWING, *STEADY):
        fitted = line(points(results, name))
        if fitted is not None:
            kind = KINDS[name]
            rows.append(
                f"| {kind.title}, {kind.unit} | {number(fitted.intercept)}"
                f" | {number(fitted.slope * 1000)} | {fitted.r2:.3f} |"
            )
    if not rows:
        return ""
    head = ["| Growth | at none | per 1,000 namespaces | R² |", "| --- | ---: | ---: | ---: |"]
    memory = bytes_per_policy(results)
    tail = [f"\nMemory per policy: {memory:,.0f} bytes."] if memory is not None else []
    return "\n".join([*head, *rows, *tail, ""])
