"""A picture as SVG: one file without anything from elsewhere, in light or dark as its reader likes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Final
from xml.sax.saxutils import escape

from tenantprofile.drawing.layout import Rect, lay_out, text_width
from tenantprofile.drawing.paths import Path, point_at, route
from tenantprofile.drawing.topology import GroupCoverage, Topology
from tenantprofile.drawing.view import (
    BADGES,
    Box,
    Card,
    Detail,
    Line,
    Ungoverned,
    View,
    counted,
    shortcomings,
    view,
)

MARGIN: Final = 28
_HEAD: Final = 66
_LEGEND: Final = 118
_MIN_WIDTH: Final = 800
_DENSE: Final = 90
"""Lines beyond which they step back, so that the boxes stay readable."""
_LABELLED: Final = 48
"""Lines up to which each carries its ports; beyond it a label covers more than it tells."""

LEGEND: Final[tuple[tuple[GroupCoverage, str], ...]] = (
    ("covered", "policies in both directions"),
    ("open ingress", "no policy for what arrives"),
    ("open egress", "no policy for what leaves"),
    ("open to all", "policies that allow everything"),
    ("uncovered", "no policy at all"),
    ("node", "on the node's network; policies do not apply"),
)
LINES: Final = (
    ("ruled", "allowed by a rule at each end"),
    ("half", "no policy at one end"),
    ("open", "no policy at either end"),
)


def as_svg(
    found: Topology,
    title: str = "What policies allow",
    detail: Detail = "auto",
    ungoverned: Ungoverned = "auto",
) -> str:
    """The picture; `detail` and `ungoverned` as in `view`."""
    return "\n".join(_document(found, view(found, detail, ungoverned), title)) + "\n"


def _reach(paths: list[Path], height: float) -> tuple[float, float]:
    """How far up and down lines and labels go beyond the boxes."""
    heights = [0.0, height]
    for path in paths:
        heights += [point_at(path.points, step / 10)[1] for step in range(11)]
        heights += [path.label.y, path.label.bottom] if path.label else []
    return round(min(heights), 1), round(max(heights), 1)


def summary(found: Topology, drawn: View) -> str:
    """What a picture holds, in a line."""
    parts = [
        counted(len(found.namespaces), "namespace"),
        counted(found.workloads, "workload"),
        counted(len(found.links), "flow"),
    ]
    return " · ".join([*parts, *(shortcomings(drawn.coverage) or ["policies everywhere"])])


def _document(found: Topology, drawn: View, title: str) -> Iterator[str]:
    layout = lay_out(drawn)
    paths = route(drawn.lines, layout, labels=len(drawn.lines) <= _LABELLED)
    top, bottom = _reach(paths, layout.height)
    width = round(max(layout.width + 2 * MARGIN, _MIN_WIDTH))
    height = round(bottom - top + _HEAD + MARGIN + _LEGEND)
    left = round((width - layout.width) / 2, 1)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" role="img" aria-labelledby="title desc">'
    )
    yield f'<title id="title">{escape(title)}</title>'
    yield f'<desc id="desc">{escape(summary(found, drawn))}</desc>'
    yield f"<style>{style()}</style>"
    yield _DEFINITIONS
    yield f'<rect class="sheet" width="{width:g}" height="{height:g}"/>'
    yield f'<text class="heading" x="{MARGIN}" y="34">{escape(title)}</text>'
    yield f'<text class="muted" x="{MARGIN}" y="54">{escape(summary(found, drawn))}</text>'
    yield f'<g transform="translate({left:g} {_HEAD + 8 - top:g})">'
    for box in drawn.boxes:
        if box.cards and not box.is_range:
            rect = layout.boxes[box.key]
            yield (
                f'<rect class="space" x="{rect.x:g}" y="{rect.y:g}" width="{rect.width:g}"'
                f' height="{rect.height:g}" rx="12"/>'
            )
    yield f'<g class="{"dense" if len(paths) > _DENSE else "sparse"}">'
    yield from (_line(path) for path in paths)
    yield "</g>"
    for box in drawn.boxes:
        if not box.is_range:
            yield from _box(box, layout.boxes[box.key])
        for card in box.cards:
            yield from _card(card, layout.cards[card.key])
    yield from (line for path in paths for line in _label(path))
    yield "</g>"
    yield from _legend(drawn, height - _LEGEND + 18)
    yield "</svg>"


def style() -> str:
    """The colours and fonts, the same as those of the page."""
    return resources.files(__package__).joinpath("page/picture.css").read_text(encoding="utf-8").strip()


_DEFINITIONS: Final = (
    "<defs>"
    + "".join(
        f'<marker id="tip-{kind}" viewBox="0 0 8 8" refX="3" refY="4" markerWidth="8" markerHeight="8"'
        f' markerUnits="userSpaceOnUse" orient="auto"><path class="tip {kind}" d="M0 0L8 4L0 8Z"/></marker>'
        for kind, _ in LINES
    )
    + '<pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="7" height="7"/><line class="hatch-line" y2="7"/></pattern></defs>'
)


def _box(box: Box, rect: Rect) -> Iterator[str]:
    whole = " whole" if box.whole else ""
    yield f'<g class="box{whole}" transform="translate({rect.x:g} {rect.y:g})">'
    yield f"<title>{escape(f'Namespace {box.title}: {box.subtitle}')}</title>"
    if box.whole:
        yield f'<rect class="space" width="{rect.width:g}" height="{rect.height:g}" rx="12"/>'
    room = rect.width - 32
    yield f'<text class="name" x="16" y="24">{escape(fitted(box.title, 14, room, bold=True))}</text>'
    yield f'<text class="muted" x="16" y="41">{escape(box.subtitle)}</text>'
    if box.whole and box.coverage:
        yield from _bar(box, room)
    yield "</g>"


def _bar(box: Box, room: float) -> Iterator[str]:
    """Workloads of a namespace by coverage, as a share of its width."""
    total, x = sum(box.coverage.values()), 16.0
    for coverage, number in box.coverage.items():
        share = room * number / total
        name = BADGES[coverage] or "covered"
        yield (
            f'<rect class="bar {css(coverage)}" x="{x:.1f}" y="54" width="{share:.1f}" height="7">'
            f"<title>{escape(counted(number, 'workload'))}: {name}</title></rect>"
        )
        x += share


def _card(card: Card, rect: Rect) -> Iterator[str]:
    yield f'<g class="card {css(card.coverage)}" transform="translate({rect.x:g} {rect.y:g})">'
    yield f"<title>{escape(card.spoken)}</title>"
    yield f'<rect class="face" width="{rect.width:g}" height="{rect.height:g}" rx="{_corner(card)}"/>'
    room = rect.width - 28
    yield f'<text class="name" x="14" y="21">{escape(fitted(card.title, 13, room, bold=True))}</text>'
    for row, text in enumerate((card.subtitle, *card.lines)):
        kind = "muted" if row == 0 else "member"
        yield f'<text class="{kind}" x="14" y="{37 + 16 * row}">{escape(fitted(text, 11.5, room))}</text>'
    if card.badge:
        y = 46 + 16 * len(card.lines)
        wide = text_width(card.badge, 11, bold=True) + 14
        yield f'<rect class="badge" x="14" y="{y}" width="{wide:g}" height="17" rx="8.5"/>'
        yield f'<text class="badge-text" x="21" y="{y + 12.5}">{escape(card.badge)}</text>'
    yield "</g>"


def _corner(card: Card) -> int:
    return 22 if card.coverage == "outside" else 8


def _line(path: Path) -> str:
    kind = path.line.governance
    spoken = f"{path.line.source} → {path.line.destination}: {spoken_ports(path.line)}"
    return (
        f'<path class="line {kind}" d="{path.data}" marker-end="url(#tip-{kind})">'
        f"<title>{escape(spoken)}</title></path>"
    )


def spoken_ports(line: Line) -> str:
    """All the ports of a line, without the shortening of its label."""
    return "; ".join(
        dict.fromkeys("all ports" if li.ports.is_everything else str(li.ports) for li in line.links)
    )


def _label(path: Path) -> Iterator[str]:
    place = path.label
    if place is not None:
        yield (
            f'<g class="label {path.line.governance}" transform="translate({place.x:g} {place.y:g})">'
            f'<rect width="{place.width:g}" height="{place.height:g}" rx="9"/>'
            f'<text x="{place.width / 2:g}" y="12.5">{escape(path.line.label)}</text></g>'
        )


def _legend(drawn: View, y: float) -> Iterator[str]:
    yield f'<g class="legend" transform="translate({MARGIN} {y:g})">'
    x = 0.0
    for coverage, meaning in LEGEND:
        if not drawn.coverage.get(coverage):
            continue
        text = f"{meaning} ({drawn.coverage[coverage]:,})"
        yield f'<g class="card {css(coverage)}"><rect class="face" x="{x:g}" width="22" height="15" rx="4"/></g>'
        yield f'<text x="{x + 30:g}" y="12">{escape(text)}</text>'
        x += 30 + text_width(text, 12) + 26
    x = 0.0
    used = {line.governance for line in drawn.lines}
    for kind, text in LINES:
        if kind not in used:
            continue
        yield (
            f'<path class="line {kind}" d="M{x:g} 37L{x + 26:g} 37" marker-end="url(#tip-{kind})"/>'
            f'<text x="{x + 40:g}" y="41">{escape(text)}</text>'
        )
        x += 40 + text_width(text, 12) + 26
    if drawn.left_out:
        note = (
            f"Not drawn: {counted(drawn.left_out, 'flow')} with no policy at either end. Whatever has no egress"
            " policy reaches all that has no ingress policy, and any address."
        )
        yield f'<text class="muted" y="68">{escape(note)}</text>'
    if drawn.empty:
        note = (
            f"Not drawn: {counted(len(drawn.empty), 'namespace')} without workloads: {', '.join(drawn.empty)}"
        )
        yield f'<text class="muted" y="86">{escape(fitted(note, 11.5, _MIN_WIDTH - 2 * MARGIN))}</text>'
    yield "</g>"


def css(coverage: str) -> str:
    """A coverage as the name of a style."""
    return coverage.replace(" ", "-")


def fitted(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """A text shortened in the middle, where names of pods differ least, to fit a width."""
    if text_width(text, size, bold=bold) <= room + 0.5:
        return text
    keep = len(text) - 1
    while keep > 4 and text_width(_cut(text, keep), size, bold=bold) > room:
        keep -= 1
    return _cut(text, keep)


def _cut(text: str, keep: int) -> str:
    head = (keep + 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (keep - head) :]}"
