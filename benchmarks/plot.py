"""The plots, as SVG that follows the reader's light or dark theme; no library, and the same bytes for the
same figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.figures import KINDS, Results
from benchmarks.growth import GROWING, STEADY, line, points
from benchmarks.report import number

_STYLE: Final = """<style>
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 11px; fill: #59636e }
  .title { font-weight: 600 }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .fit { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none }
  .goal { stroke: #b3261e; stroke-width: 1.5 }
  .goal-text { fill: #b3261e }
  .ink { fill: #0a5bd3 } .ink-line { stroke: #0a5bd3; stroke-width: 2; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
    .fit { stroke: #9198a1 } .goal { stroke: #ff8f87 } .goal-text { fill: #ff8f87 }
    .ink { fill: #6cb6ff } .ink-line { stroke: #6cb6ff }
  }
</style>"""

_PANEL: Final = (300, 200)
_MARGIN: Final = 48


def write(folder: Path, results: Sequence[Results]) -> list[Path]:
    """`performance-growth.svg` and `performance-goals.svg`; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = {"performance-goals.svg": goals(results), "performance-growth.svg": growth(results)}
    written = []
    for name, svg in plots.items():
        if svg:
            (folder / name).write_text(svg, encoding="utf-8")
            written.append(folder / name)
    return written


def growth(results: Sequence[Results]) -> str:
    """A panel for each figure against size, with the line that fits it; "" with fewer than two sizes."""
    names = [name for name in (*GROWING, *STEADY) if len(points(results, name)) > 1]
    if not names:
        return ""
    panels = []
    columns = 2
    width, height = _PANEL
    for index, name in enumerate(names):
        left = _MARGIN + (index % columns) * (width + _MARGIN + 24)
        top = 40 + (index // columns) * (height + 70)
        panels.append(f'<g transform="translate({left} {top})">{"".join(_panel(results, name))}</g>')
    rows = -(-len(names) // columns)
    return _svg(
        columns * (width + _MARGIN + 24) + 24,
        rows * (height + 70) + 20,
        "How cost grows with the number of namespaces, five policies each",
        panels,
    )


def _panel(results: Sequence[Results], name: str) -> Iterator[str]:
    kind = KINDS[name]
    found = points(results, name)
    fitted = line(found)
    width, height = _PANEL
    top_x = max(x for x, _ in found)
    top_y = _ceiling(max(max(y for _, y in found), kind.goal or 0) * 1.05)

    def place(x: float, y: float) -> tuple[float, float]:
        return round(x / top_x * width, 1), round(height - y / top_y * height, 1)

    yield f'<text class="title" x="0" y="-14">{escape(kind.title)}, {escape(kind.unit)}</text>'
    for step in range(5):
        _, y = place(0, top_y * step / 4)
        yield f'<line class="grid" x1="0" y1="{y}" x2="{width}" y2="{y}"/>'
        label = number(top_y * step / 4)
        yield f'<text class="small" x="-6" y="{y + 4}" text-anchor="end">{label}</text>'
    for x_value, _ in found:
        x, _ = place(x_value, 0)
        if x_value == top_x or x > 24:
            label = f"{x_value:,}"
            yield f'<text class="small" x="{x}" y="{height + 16}" text-anchor="middle">{label}</text>'
    if kind.goal:
        _, y = place(0, kind.goal)
        yield f'<line class="goal" x1="0" y1="{y}" x2="{width}" y2="{y}"/>'
        yield f'<text class="small goal-text" x="4" y="{y - 4}">goal {number(kind.goal)}</text>'
    if fitted is not None:
        (x1, y1), (x2, y2) = place(0, fitted.at(0)), place(top_x, fitted.at(top_x))
        yield f'<line class="fit" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
        slope = f"{number(fitted.slope * 1000)} {kind.unit} per 1,000 namespaces, R² {fitted.r2:.3f}"
        yield f'<text class="small" x="{width}" y="{height + 34}" text-anchor="end">{escape(slope)}</text>'
    path = " ".join(f"{x},{y}" for x, y in (place(*point) for point in found))
    yield f'<polyline class="ink-line" points="{path}"/>'
    for point in found:
        x, y = place(*point)
        yield f'<circle class="ink" cx="{x}" cy="{y}" r="4"><title>{point[0]:,}: {point[1]:.3g}</title></circle>'


def goals(results: Sequence[Results]) -> str:
    """How much of each goal is used up: a bar per ratio and size; left of the line is reached."""
    rows = [
        (kind.title, result.size, value, value / kind.goal if kind.better == "less" else kind.goal / value)
        for name, kind in KINDS.items()
        if kind.goal
        for result in results
        if (value := result.values.get(name)) and kind.met(value, result.size) is not None
    ]
    if not rows:
        return ""
    left, width, row_height = 410, 360, 20
    scale = width / 2.0
    marks = []
    y = 44.0
    last = ""
    for title, size, value, share in rows:
        if title != last:
            y += 8
            marks.append(f'<text x="{left - 80}" y="{y + 13}" text-anchor="end">{escape(title)}</text>')
            last = title
        marks.append(f'<text class="small" x="{left - 10}" y="{y + 13}" text-anchor="end">{size:,}</text>')
        bar = round(min(share, 1.95) * scale, 1)
        marks.append(
            f'<rect class="ink" x="{left}" y="{y + 3}" width="{bar}" height="{row_height - 7}" rx="2"/>'
        )
        more = "…" if share > 1.95 else ""
        marks.append(f'<text class="small" x="{left + bar + 6}" y="{y + 13}">{number(value)}{more}</text>')
        y += row_height
    goal_x = left + scale
    marks.append(f'<line class="goal" x1="{goal_x}" y1="40" x2="{goal_x}" y2="{y + 4}"/>')
    marks.append(f'<text class="small goal-text" x="{goal_x}" y="34" text-anchor="middle">goal</text>')
    caption = "bars that end left of the line reach their goal; cut off at twice the goal"
    marks.append(f'<text class="small" x="{left}" y="{y + 22}">{caption}</text>')
    return _svg(left + width + 60, y + 34, "Each figure beside its goal, by number of namespaces", marks)


def _svg(width: float, height: float, title: str, marks: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        f' aria-label="{escape(title)}">\n{_STYLE}\n' + "\n".join(marks) + "\n</svg>\n"
    )


def _ceiling(value: float) -> float:
    """The next round number."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12):
        if value <= step * power:
            return step * power
    return value
