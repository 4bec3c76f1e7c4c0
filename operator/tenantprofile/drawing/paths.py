"""How lines run: from side to side of the boxes they join, spread along it, with room for a label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tenantprofile.drawing.layout import Layout, Rect, text_width
from tenantprofile.drawing.view import Line

_Side = Literal["left", "right", "loop"]
_TIP: Final = 5
"""Between a line's end and the box, for the arrow's head."""
_TRIED: Final = (0.5, 0.38, 0.62, 0.28, 0.72, 0.2, 0.8, 0.12, 0.88)

_BOWS: Final = (
    (0.0, 0.0),
    *(
        (one * by, other * by)
        for by in (45.0, 90.0, 150.0, 220.0, 310.0)
        for one, other in ((1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
    ),
)
"""How far a line may swing up or down, at its start and at its end, to pass by what is in its way."""
_STEPS: Final = 18
_CARD_WEIGHT: Final = 4
"""A line behind a card seems to begin or end there, which is worse than one across a title."""
_CROWDED: Final = 120
"""Lines beyond which they no longer look for a way round: by then they cross everything anyway."""

Point = tuple[float, float]
Curve = tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class Path:
    """A cubic curve by its four points, and where its label fits; None where it does not."""

    line: Line
    points: Curve
    label: Rect | None

    @property
    def data(self) -> str:
        """As SVG writes it."""
        start, one, two, end = (f"{round(x, 1):g} {round(y, 1):g}" for x, y in self.points)
        return f"M{start}C{one} {two} {end}"


def route(lines: Sequence[Line], layout: Layout, labels: bool = True) -> list[Path]:
    """A path for each line, in the same order."""
    rects = {**layout.boxes, **layout.cards}
    anchors = _anchors(lines, rects)
    solid = {f"title of {key}": rect for key, rect in layout.heads.items()} | dict(layout.cards)
    solid.update({key: rect for key, rect in layout.boxes.items() if key not in layout.heads})
    bows = _BOWS if len(lines) <= _CROWDED else _BOWS[:1]
    curves = [_clear(line, rects, solid, anchors[at], bows) for at, line in enumerate(lines)]
    taken = list(solid.values())
    found = []
    for line, points in zip(lines, curves, strict=True):
        place = _room(line.label, points, taken) if labels and line.governance != "open" else None
        if place is not None:
            taken.append(place)
        found.append(Path(line, points, place))
    return found


def _sides(source: Rect, destination: Rect) -> tuple[_Side, _Side]:
    if source is destination:
        return "loop", "loop"
    if destination.x >= source.right:
        return "right", "left"
    if source.x >= destination.right:
        return "left", "right"
    return "right", "right"


def _anchors(lines: Sequence[Line], rects: Mapping[str, Rect]) -> dict[int, tuple[float, float]]:
    """For each line the height at which it leaves and at which it arrives."""
    at_side: dict[tuple[str, _Side], list[tuple[float, int, int]]] = defaultdict(list)
    for at, line in enumerate(lines):
        source, destination = rects[line.source], rects[line.destination]
        one, other = _sides(source, destination)
        if one != "loop":
            at_side[line.source, one].append((destination.middle, at, 0))
            at_side[line.destination, other].append((source.middle, at, 1))
    heights: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for (key, _), ends in at_side.items():
        rect = rects[key]
        room = min(rect.height - 16, 26.0 * (len(ends) - 1))
        for position, (_, at, end) in enumerate(sorted(ends)):
            share = position / (len(ends) - 1) - 0.5 if len(ends) > 1 else 0.0
            heights[at][end] = rect.middle + room * share
    return {at: (heights[at][0], heights[at][1]) for at in range(len(lines))}


def _clear(
    line: Line,
    rects: Mapping[str, Rect],
    solid: Mapping[str, Rect],
    heights: tuple[float, float],
    bows: Sequence[tuple[float, float]],
) -> Curve:
    """The straightest curve of those that run behind least."""
    ends = (line.source, line.destination)
    others = [(rect, _CARD_WEIGHT if key in rects else 1) for key, rect in solid.items() if key not in ends]
    best: tuple[int, Curve] | None = None
    for bow in bows:
        points = _curve(line, rects, heights, bow)
        along = [point_at(points, step / _STEPS) for step in range(1, _STEPS)]
        low, high = min(y for _, y in along), max(y for _, y in along)
        hits = sum(
            weight
            for rect, weight in others
            if rect.y - 4 < high and low < rect.bottom + 4 and any(_inside(point, rect) for point in along)
        )
        if best is None or hits < best[0]:
            best = hits, points
        if not hits:
            break
    assert best is not None  # noqa: S101
    return best[1]


def _inside(point: Point, rect: Rect) -> bool:
    return rect.x - 4 < point[0] < rect.right + 4 and rect.y - 4 < point[1] < rect.bottom + 4


def _curve(
    line: Line, rects: Mapping[str, Rect], heights: tuple[float, float], bow: tuple[float, float]
) -> Curve:
    source, destination = rects[line.source], rects[line.destination]
    start, end = heights
    side, other = _sides(source, destination)
    if side == "loop":
        top, x = source.y, source.right - 30
        return (x - 18, top), (x - 26, top - 26), (x + 22, top - 26), (x + 12, top - _TIP)
    if (side, other) == ("right", "left"):
        bend = max(40.0, (destination.x - source.right) * 0.5)
        one, two = (source.right, start), (destination.x - _TIP, end)
        return one, (one[0] + bend, start + bow[0]), (two[0] - bend, end + bow[1]), two
    if (side, other) == ("left", "right"):
        bend = max(40.0, (source.x - destination.right) * 0.5)
        one, two = (source.x, start), (destination.right + _TIP, end)
        return one, (one[0] - bend, start + bow[0]), (two[0] + bend, end + bow[1]), two
    out = max(source.right, destination.right) + 46 + min(abs(end - start) * 0.12, 60)
    return (source.right, start), (out, start), (out, end), (destination.right + _TIP, end)


def _room(label: str, points: Sequence[Point], taken: Iterable[Rect]) -> Rect | None:
    width = text_width(label, 11) + 10
    for share in _TRIED:
        x, y = point_at(points, share)
        place = Rect(round(x - width / 2, 1), round(y - 9, 1), width, 18)
        if not any(_overlap(place, other) for other in taken):
            return place
    return None


def point_at(points: Sequence[Point], share: float) -> Point:
    """A point of a cubic curve, 0 its start and 1 its end."""
    left = 1 - share
    weights = left**3, 3 * left**2 * share, 3 * left * share**2, share**3
    x, y = (sum(w * p[axis] for w, p in zip(weights, points, strict=True)) for axis in (0, 1))
    return x, y


def _overlap(one: Rect, other: Rect) -> bool:
    return (
        one.x < other.right and other.x < one.right and one.y < other.bottom + 2 and other.y < one.bottom + 2
    )
