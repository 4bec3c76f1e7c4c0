"""A picture as Mermaid, which code hosts draw in the middle of a Markdown page.

Code hosts draw no more than 500 edges and 50,000 characters (Mermaid configuration, maxEdges and
maxTextSize); a larger topology shows whole namespaces unless workloads are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tenantprofile.drawing.svg import summary
from tenantprofile.drawing.topology import Governance, Topology
from tenantprofile.drawing.view import Box, Card, Detail, Ungoverned, View, counted, shortcomings, view, worst

_ARROWS: Final[dict[Governance, str]] = {"ruled": "-->", "half": "-.->", "open": "-.->"}
_STYLES: Final = (
    "classDef covered stroke:#2f7d5b,stroke-width:2px",
    "classDef partly stroke:#c46a1b,stroke-width:2px,stroke-dasharray:6 3",
    "classDef uncovered fill:#b3261e,stroke:#b3261e,color:#ffffff",
    "classDef node stroke:#7d8896,stroke-dasharray:2 3",
    "classDef outside stroke:#6d7bb5",
)
_CLASSES: Final = {"open ingress": "partly", "open egress": "partly", "open to all": "partly"}
_PLAIN: Final = re.compile(r"[^A-Za-z0-9 .,:/()+_·→-]")


def as_mermaid(
    found: Topology,
    title: str = "What policies allow",
    detail: Detail = "auto",
    ungoverned: Ungoverned = "auto",
) -> str:
    """The picture; `detail` and `ungoverned` as in `view`."""
    return "\n".join(_document(found, view(found, detail, ungoverned), title)) + "\n"


def quoted(text: str) -> str:
    """A label's text: whatever could be syntax, Markdown or HTML becomes an entity code (Mermaid,
    "Entity codes to escape characters")."""
    return _PLAIN.sub(lambda found: f"#{ord(found[0])};", " ".join(text.splitlines()))


def _document(found: Topology, drawn: View, title: str) -> Iterator[str]:
    yield "flowchart LR"
    yield f"  %% {quoted(title)}: {quoted(summary(found, drawn))}"
    if drawn.left_out:
        yield f"  %% not drawn: {counted(drawn.left_out, 'flow')} with no policy at either end"
    names: dict[str, str] = {}
    for number, box in enumerate(drawn.boxes):
        if box.is_range or not box.cards:
            names[box.key] = f"n{len(names)}"
            yield f"  {_card(names[box.key], box.cards[0]) if box.is_range else _whole(names[box.key], box)}"
            continue
        yield f'  subgraph s{number}["{quoted(box.title)}"]'
        for card in box.cards:
            names[card.key] = f"n{len(names)}"
            yield f"    {_card(names[card.key], card)}"
        yield "  end"
    for line in drawn.lines:
        arrow = f'{_ARROWS[line.governance]}|"{quoted(line.label)}"|'
        yield f"  {names[line.source]} {arrow} {names[line.destination]}"
    yield from (f"  {style}" for style in _STYLES)


def _card(name: str, card: Card) -> str:
    rows = [card.title, card.subtitle, *card.lines, *([card.badge.upper()] if card.badge else [])]
    text = "<br/>".join(quoted(row) for row in rows if row)
    shape = f'(["{text}"])' if card.coverage == "outside" else f'["{text}"]'
    return f"{name}{shape}:::{_CLASSES.get(card.coverage, card.coverage)}"


def _whole(name: str, box: Box) -> str:
    text = "<br/>".join(quoted(row) for row in [box.title, box.subtitle, *shortcomings(box.coverage)])
    level = worst(box.coverage)
    return f'{name}["{text}"]:::{_CLASSES.get(level, level)}'
