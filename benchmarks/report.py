"""The figures as a table for people: ratios with their goals first, the rest below."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import KINDS, Kind, Results


def table(results: Sequence[Results]) -> str:
    """A Markdown table, one column per size."""
    sizes = [f"{result.size:,}" for result in results]
    lines = []
    for title, headline in (("Ratios and goals", True), ("For scale, on this machine", False)):
        rows = [
            _row(name, kind, results)
            for name, kind in KINDS.items()
            if (kind.ratio or kind.goal is not None) is headline
            and any(name in result.values for result in results)
        ]
        if rows:
            lines += [
                f"| {title} | goal | {' | '.join(sizes)} |",
                f"| --- | --- | {' | '.join('---:' for _ in sizes)} |",
                *rows,
                "",
            ]
    return "\n".join(lines)


def _row(name: str, kind: Kind, results: Sequence[Results]) -> str:
    cells = []
    for result in results:
        value = result.values.get(name)
        cells.append(_cell(kind, value, result.size) if value is not None else "")
    unit = f", {kind.unit}" if kind.unit else ""
    return f"| {kind.title}{unit} | {_goal(kind)} | {' | '.join(cells)} |"


def _goal(kind: Kind) -> str:
    if kind.goal is None:
        return ""
    sign = "≥" if kind.better == "more" else "≤"
    at = f" at {kind.goal_at:,}" if kind.goal_at else ""
    return f"{sign} {kind.goal:g}{at}" if kind.goal else "0"


def _cell(kind: Kind, value: float, size: int) -> str:
    mark = "" if kind.met(value, size) is not False else " ✗"
    return number(value) + mark


def number(value: float) -> str:
    """Three digits that mean something."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
