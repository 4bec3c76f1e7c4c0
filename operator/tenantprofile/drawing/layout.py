"""Where things go: namespaces in columns from those that call to those that are called.

The same twice: groups within their namespace, and namespaces on the sheet. Boxes get a layer by who
calls whom (cycles are cut where it costs least), layers become as many columns as make a sheet of
pleasant shape, and in a column the order is that of the neighbours, to keep lines from crossing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from tenantprofile.drawing.view import Box, Card, View

Size = tuple[float, float]
Edge = tuple[str, str]

PAD: Final = 16
HEADER: Final = 50
CARD_GAP: Final = (104, 18)
BOX_GAP: Final = (150, 34)
WHOLE_GAP: Final = (104, 30)
"""Between namespaces that are all drawn as one whole."""
_SWEEPS: Final = 6
ASPECT: Final = 1.5

_NARROW, _WIDE = frozenset("iljtfrI.,:;|!'()[]{}/ -"), frozenset("mwMW@%")


@dataclass(frozen=True, slots=True)
class Rect:
    """A place on the sheet."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    def moved(self, x: float, y: float) -> Rect:
        return Rect(self.x + x, self.y + y, self.width, self.height)


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes and cards by key. heads: the titles of boxes that hold cards. columns: the boxes' keys, for
    those who place them anew."""

    boxes: Mapping[str, Rect]
    cards: Mapping[str, Rect]
    heads: Mapping[str, Rect]
    columns: Sequence[Sequence[str]]
    width: float
    height: float


def lay_out(drawn: View, aspect: float = ASPECT) -> Layout:
    """Places for everything in a view. aspect: about how much wider than high the sheet should be."""
    home = {card.key: box.key for box in drawn.boxes for card in box.cards}
    home.update({box.key: box.key for box in drawn.boxes})
    inner: dict[str, set[Edge]] = defaultdict(set)
    outer: set[Edge] = set()
    for line in drawn.lines:
        if line.governance == "open":
            continue  # they connect everything with everything, and so say nothing of the order
        ends = home[line.source], home[line.destination]
        if ends[0] == ends[1]:
            inner[ends[0]].add((line.source, line.destination))
        else:
            outer.add(ends)
    insides = {box.key: inside(box, inner[box.key]) for box in drawn.boxes}
    sizes = {key: size for key, (size, _) in insides.items()}
    gap = BOX_GAP if any(box.cards and not box.is_range for box in drawn.boxes) else WHOLE_GAP
    columns = arrange(sizes, outer, gap, aspect)
    places, (width, height) = stack(columns, sizes, gap)
    cards = {
        key: rect.moved(places[box].x, places[box].y)
        for box, (_, rects) in insides.items()
        for key, rect in rects.items()
    }
    heads = {
        box.key: Rect(places[box.key].x, places[box.key].y, head_width(box), HEADER - 6)
        for box in drawn.boxes
        if box.cards and not box.is_range
    }
    return Layout(places, cards, heads, columns, width, height)


def head_width(box: Box) -> float:
    """As wide as a box's title and what is under it, with the space before them."""
    words = max(text_width(box.title, 14, bold=True), text_width(box.subtitle, 12))
    return min(words, 248.0) + PAD + 4


def inside(box: Box, edges: Iterable[Edge] = ()) -> tuple[Size, dict[str, Rect]]:
    """A box's size, and its cards' places within it."""
    if box.is_range:
        width, height = card_size(box.cards[0])
        return (width, height), {box.key: Rect(0, 0, width, height)}
    wide = max(text_width(box.title, 14, bold=True), text_width(box.subtitle, 12)) + 2 * PAD
    if box.whole:
        return (max(min(wide + 22, 270.0), 176.0), 74.0), {}
    sizes = {card.key: card_size(card) for card in box.cards}
    places, (width, height) = stack(arrange(sizes, edges, CARD_GAP), sizes, CARD_GAP)
    moved = {key: rect.moved(PAD, HEADER) for key, rect in places.items()}
    return (max(width + 2 * PAD, min(wide + 22, 270.0)), height + HEADER + PAD), moved


def card_size(card: Card) -> Size:
    """As wide as its words, within limits; the formats shorten what is longer."""
    words = [
        text_width(card.title, 13, bold=True),
        text_width(card.subtitle, 11.5),
        *(text_width(line, 11.5) for line in card.lines),
        text_width(card.badge, 11, bold=True) + 14,
    ]
    rows = 46 + 16 * len(card.lines) + (24 if card.badge else 0)
    return min(max(*words, 96.0), 236.0) + 28, float(rows)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide a broad sans-serif font sets a text; nobody knows which one will be there."""
    units = sum(
        0.4
        if character in _NARROW
        else 0.95
        if character in _WIDE
        else 0.74
        if character.isupper()
        else 0.63
        if ord(character) < 0x2E80
        else 1.0
        for character in text
    )
    return round(units * size * (1.1 if bold else 1.0), 1)


def arrange(
    sizes: Mapping[str, Size], edges: Iterable[Edge], gap: tuple[int, int], aspect: float = ASPECT
) -> list[list[str]]:
    """Columns of keys."""
    if not sizes:
        return []
    nodes = sorted(sizes)
    known = {(a, b) for a, b in edges if a != b}
    ranks = _ranks(nodes, known)
    area = sum((width + gap[0]) * (height + gap[1]) for width, height in sizes.values())
    across = sum(width + gap[0] for width, _ in sizes.values()) / len(sizes)
    tall = max(sqrt(area / aspect), max(height for _, height in sizes.values()))
    wanted = max(2, round(sqrt(area * aspect) / across) + 1)
    layers = max(ranks.values()) + 1
    if layers > wanted:
        ranks = {node: rank * wanted // layers for node, rank in ranks.items()}
    grouped: dict[int, list[str]] = defaultdict(list)
    for node in nodes:
        grouped[ranks[node]].append(node)
    columns: list[list[str]] = []
    for _, column in sorted(_ordered(grouped, known).items()):
        columns += _split(column, sizes, tall * 1.25, gap[1])
    return columns


def stack(
    columns: Sequence[Sequence[str]], sizes: Mapping[str, Size], gap: tuple[int, int]
) -> tuple[dict[str, Rect], Size]:
    """Columns side by side, each centred; page/page.js does the same when namespaces open and close."""
    heights = [sum(sizes[key][1] for key in column) + gap[1] * (len(column) - 1) for column in columns]
    total = max(heights, default=0.0)
    places: dict[str, Rect] = {}
    x = 0.0
    for column, height in zip(columns, heights, strict=True):
        y, width = (total - height) / 2, max(sizes[key][0] for key in column)
        for key in column:
            own = sizes[key]
            places[key] = Rect(round(x + (width - own[0]) / 2, 1), round(y, 1), own[0], own[1])
            y += own[1] + gap[1]
        x += width + gap[0]
    return places, (max(x - gap[0], 0.0), total)


def _ranks(nodes: Sequence[str], edges: set[Edge]) -> dict[str, int]:
    """Layers by the longest way from a caller; what has no lines goes last."""
    place = {node: at for at, node in enumerate(_sequence(nodes, edges))}
    into: dict[str, list[str]] = defaultdict(list)
    linked = set()
    for source, destination in edges:
        linked |= {source, destination}
        first, second = sorted((source, destination), key=lambda node: place[node])
        into[second].append(first)
    ranks: dict[str, int] = {}
    for node in sorted(linked, key=lambda node: place[node]):
        ranks[node] = max((ranks[before] + 1 for before in into[node]), default=0)
    last = max(ranks.values(), default=0)
    return {node: ranks.get(node, last) for node in nodes}


def _sequence(nodes: Sequence[str], edges: set[Edge]) -> list[str]:
    """Callers before the called, with few exceptions (Eades, Lin and Smyth: a fast heuristic for the
    feedback arc set problem, 1993)."""
    out: dict[str, set[str]] = {node: set() for node in nodes}
    into: dict[str, set[str]] = {node: set() for node in nodes}
    for source, destination in edges:
        out[source].add(destination)
        into[destination].add(source)
    left, front, back = list(nodes), list[str](), list[str]()
    while left:
        node = next((n for n in left if not out[n]), None)
        if node is not None:
            back.append(node)
        else:
            node = next((n for n in left if not into[n]), None)
            if node is None:
                node = max(left, key=lambda n: len(out[n]) - len(into[n]))
            front.append(node)
        left.remove(node)
        for other in out[node]:
            into[other].discard(node)
        for other in into[node]:
            out[other].discard(node)
    return front + back[::-1]


def _ordered(columns: Mapping[int, list[str]], edges: set[Edge]) -> dict[int, list[str]]:
    """Each column by the mean place of the neighbours, swept to and fro."""
    near: dict[str, list[str]] = defaultdict(list)
    for source, destination in sorted(edges):
        near[source].append(destination)
        near[destination].append(source)
    found = {rank: list(column) for rank, column in columns.items()}
    place: dict[str, float] = {}

    def settle(column: Sequence[str]) -> None:
        place.update({node: (at + 0.5) / len(column) for at, node in enumerate(column)})

    for column in found.values():
        settle(column)
    for sweep in range(_SWEEPS):
        for rank in sorted(found, reverse=bool(sweep % 2)):
            column = found[rank]
            means = {
                node: sum(place[other] for other in near[node]) / len(near[node])
                if near[node]
                else place[node]
                for node in column
            }
            column.sort(key=lambda node: (round(means[node], 6), node))
            settle(column)
    return found


def _split(column: list[str], sizes: Mapping[str, Size], tall: float, gap: int) -> list[list[str]]:
    """A column that is too tall as several of about the same height."""
    total = sum(sizes[key][1] + gap for key in column)
    parts = max(1, -int(-total // tall))
    found: list[list[str]] = [[] for _ in range(parts)]
    filled = 0.0
    for key in column:
        height = sizes[key][1] + gap
        found[min(int((filled + height / 2) * parts / total), parts - 1)].append(key)
        filled += height
    return [part for part in found if part]
