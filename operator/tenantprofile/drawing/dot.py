"""A picture as DOT, for Graphviz and the many programs that read it."""

from __future__ import annotations

from collections.abc import Iterator

from tenantprofile.drawing.svg import summary
from tenantprofile.drawing.topology import Governance, Topology
from tenantprofile.drawing.view import Box, Card, Detail, Ungoverned, View, counted, shortcomings, view, worst

_LINES: dict[Governance, str] = {
    "ruled": 'color="#1f62b5"',
    "half": 'color="#a84b00", style=dashed',
    "open": 'color="#5d6673", style=dotted',
}
_CARDS = {
    "covered": 'color="#2f7d5b"',
    "open ingress": 'color="#a84b00", style="rounded,filled,dashed", fillcolor="#fff6ea"',
    "open egress": 'color="#a84b00", style="rounded,filled,dashed", fillcolor="#fff6ea"',
    "open to all": 'color="#a84b00", style="rounded,filled,dashed", fillcolor="#fff6ea"',
    "uncovered": 'color="#b3261e", penwidth=2, fillcolor="#fdeceb"',
    "node": 'color="#5d6673", style="rounded,filled,dotted"',
    "outside": 'color="#6d7bb5", shape=ellipse, style=filled, fillcolor="#eef1fb"',
}
_BOX = 'style="rounded,filled"; color="#c9d2de"; fillcolor="#f3f6fa";'


def as_dot(
    found: Topology,
    title: str = "What policies allow",
    detail: Detail = "auto",
    ungoverned: Ungoverned = "auto",
) -> str:
    """The picture; `detail` and `ungoverned` as in `view`."""
    return "\n".join(_document(found, view(found, detail, ungoverned), title)) + "\n"


def quoted(text: str) -> str:
    """A string as DOT reads it (grammar, "double-quoted string"): no escape sequence is left to a label."""
    flat = " ".join(text.splitlines())
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _document(found: Topology, drawn: View, title: str) -> Iterator[str]:
    yield "digraph policies {"
    heading = [title, summary(found, drawn)]
    if drawn.left_out:
        heading.append(f"not drawn: {counted(drawn.left_out, 'flow')} with no policy at either end")
    yield f"  graph [label={_rows(heading)}, labelloc=t, rankdir=LR, compound=true, fontname=Helvetica];"
    yield '  node [shape=box, style="rounded,filled", fillcolor=white, fontname=Helvetica, fontsize=11];'
    yield "  edge [fontname=Helvetica, fontsize=9];"
    for number, box in enumerate(box for box in drawn.boxes if box.cards and not box.is_range):
        yield f"  subgraph cluster_{number} {{"
        yield f"    label={_rows([box.title, box.subtitle])}; {_BOX}"
        yield from (f"    {_card(card)}" for card in box.cards)
        yield "  }"
    for box in drawn.boxes:
        if box.is_range:
            yield f"  {_card(box.cards[0])}"
        elif not box.cards:
            yield f"  {_whole(box)}"
    for line in drawn.lines:
        attributes = f"{_LINES[line.governance]}, label={quoted(line.label)}"
        yield f"  {quoted(line.source)} -> {quoted(line.destination)} [{attributes}];"
    yield "}"


def _card(card: Card) -> str:
    rows = [card.title, card.subtitle, *card.lines, *([card.badge.upper()] if card.badge else [])]
    return f"{quoted(card.key)} [label={_rows(rows)}, {_CARDS[card.coverage]}];"


def _whole(box: Box) -> str:
    rows = [box.title, box.subtitle, *(words.upper() for words in shortcomings(box.coverage))]
    return f"{quoted(box.key)} [label={_rows(rows)}, {_CARDS[worst(box.coverage)]}];"


def _rows(texts: list[str]) -> str:
    """One string of several lines; the line break is the only escape sequence."""
    return '"' + "\\n".join(quoted(text)[1:-1] for text in texts) + '"'
