"""A topology as one HTML page that asks nothing of the network and runs nothing but its own script.

What comes from objects is data: JSON in which no `<` survives, put on the page by the script as text
only. The policy in the page's head lets run the script and the style that stand here, by their
digests, and nothing else, from nowhere.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from html import escape
from importlib import resources
from typing import Any, Generic, TypeVar

import yaml

from tenantprofile.connectivity.policies import Policy
from tenantprofile.drawing.layout import Rect, inside, lay_out
from tenantprofile.drawing.ranges import spelled
from tenantprofile.drawing.reasons import LetThrough, Reasons, SideReason
from tenantprofile.drawing.svg import LEGEND, LINES, summary
from tenantprofile.drawing.topology import Group, Link, Node, Topology
from tenantprofile.drawing.view import (
    Box,
    Detail,
    Ungoverned,
    boxes_of,
    card_of,
    shortened,
    shows_ungoverned,
    view,
)

_ALL_ADDRESSES_SHOWN = 200
_ASPECT = 1.05
"""Of the room between a page's two side columns on a usual screen."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PolicyText:
    """What a page tells of a policy beside its name: where it comes from, and why it is there."""

    origin: str = ""
    place: str = ""
    purpose: str = ""
    owner: str = ""
    manifest: Mapping[str, Any] | None = None


def as_page(
    found: Topology,
    describe: Callable[[Policy], PolicyText] = lambda policy: PolicyText(),
    title: str = "What policies allow",
    detail: Detail = "auto",
    ungoverned: Ungoverned = "auto",
) -> str:
    """The page; `detail` and `ungoverned` say how it opens, a person changes both on it."""
    data = _Data(found, describe).page(title, detail, ungoverned)
    style, script = _asset("picture.css") + _asset("page.css"), _asset("page.js")
    parts = {
        "title": escape(title),
        "policy": _content_policy(style, script),
        "style": style,
        "script": script,
        "data": embedded(data),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("page.html"))


def embedded(data: Any) -> str:
    """JSON that cannot end the element it stands in, nor a line of script."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(f"page/{name}").read_text(encoding="utf-8")


def _content_policy(style: str, script: str) -> str:
    digests = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    return "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:".format(*digests)


class _Table(Generic[T]):
    """Values once each, referred to by number."""

    def __init__(self) -> None:
        self.rows: list[T] = []
        self._numbers: dict[object, int] = {}

    def number(self, key: object, make: Callable[[], T]) -> int:
        if key not in self._numbers:
            row = make()  # may number others of the table
            self._numbers[key] = len(self.rows)
            self.rows.append(row)
        return self._numbers[key]


class _Data:
    """The page's data: everything by number, so that 500 workloads stay a small file."""

    def __init__(self, found: Topology, describe: Callable[[Policy], PolicyText]) -> None:
        self._found = found
        self._describe = describe
        self._reasons = Reasons(found)
        self._texts: dict[str, PolicyText] = {}
        self._policies: _Table[dict[str, str]] = _Table()
        self._rules: _Table[str] = _Table()
        self._ports: _Table[tuple[str, str]] = _Table()
        self._sides: _Table[dict[str, Any]] = _Table()

    def page(self, title: str, detail: Detail, ungoverned: Ungoverned) -> dict[str, Any]:
        found = self._found
        drawn = view(found, detail, ungoverned)
        layout = lay_out(drawn, _ASPECT)
        nodes: list[Node] = [*found.groups, *found.ranges]
        numbers = {node.key: at for at, node in enumerate(nodes)}
        boxes = boxes_of(found, whole=False)
        wholes = {box.key: box for box in boxes_of(found, whole=True)}
        edges = _inner(found)
        placed = {box.key: inside(box, edges[box.key]) for box in boxes}
        rects = {key: rect for _, inner in placed.values() for key, rect in inner.items()}
        links = [self._link(link, numbers) for link in found.links]
        return {
            "title": title,
            "summary": summary(found, drawn),
            "workloads": found.workloads,
            "open": drawn.detail == "workloads",
            "ungoverned": shows_ungoverned(found, ungoverned),
            "coverage": drawn.coverage,
            "legend": LEGEND,
            "lines": LINES,
            "columns": _columns(layout.columns, boxes),
            "boxes": [_box(box, wholes[box.key], placed[box.key][0]) for box in boxes],
            "nodes": [self._node(node, rects[node.key]) for node in nodes],
            "links": links,
            "ports": self._ports.rows,
            "sides": self._sides.rows,
            "policies": self._policies.rows,
            "rules": self._rules.rows,
        }

    def _node(self, node: Node, rect: Rect) -> dict[str, Any]:
        card = asdict(card_of(node))
        card["at"] = [rect.x, rect.y, rect.width, rect.height]
        if not isinstance(node, Group):
            return {**card, "box": node.key, "all": spelled(node.addresses, _ALL_ADDRESSES_SHOWN)}
        labels = sorted(
            {f"{key}={value}" for party in node.members for key, value in party.members[0].labels.items()}
        )
        return {
            **card,
            "box": node.namespace,
            "members": [
                [party.kind, party.name, sum(workload.is_pod for workload in party.members)]
                for party in node.members
            ],
            "labels": sorted(labels),
            "ingress": [self._policy(policy) for policy in node.ingress],
            "egress": [self._policy(policy) for policy in node.egress],
        }

    def _link(self, link: Link, numbers: Mapping[str, int]) -> list[int]:
        ports = self._ports.number(link.ports, lambda: (shortened(link.ports), shortened(link.ports, 4000)))
        governance = [kind for kind, _ in LINES].index(link.governance)
        ends = numbers[link.source.key], numbers[link.destination.key]
        sides = self._side(self._reasons.leaving(link)), self._side(self._reasons.arriving(link))
        return [*ends, ports, governance, *sides]

    def _side(self, side: SideReason) -> int:
        rules = [
            (self._policy(rule.policy), rule.path, str(rule.ports), self._rule(rule)) for rule in side.rules
        ]
        row = {"state": side.state, "rules": rules, "depends": side.depends}
        return self._sides.number((side.state, tuple(rules), side.depends), lambda: row)

    def _text(self, policy: Policy) -> PolicyText:
        key = str(policy)
        if key not in self._texts:
            self._texts[key] = self._describe(policy)
        return self._texts[key]

    def _policy(self, policy: Policy) -> int:
        def row() -> dict[str, str]:
            text = self._text(policy)
            told = {"origin": text.origin, "place": text.place, "purpose": text.purpose, "owner": text.owner}
            return {"name": str(policy), **{key: value for key, value in told.items() if value}}

        return self._policies.number(str(policy), row)

    def _rule(self, rule: LetThrough) -> int:
        """The rule as it is written; -1 where nobody has the manifest."""
        manifest = self._text(rule.policy).manifest
        if manifest is None:
            return -1
        field = rule.direction.lower()
        written = (manifest.get("spec") or {}).get(field) or []
        if rule.rule >= len(written):
            return -1
        text = yaml.safe_dump([written[rule.rule]], sort_keys=False, allow_unicode=True).rstrip()
        whole = f"{field}:\n{text}"
        return self._rules.number(whole, lambda: whole)


def _inner(found: Topology) -> Mapping[str, set[tuple[str, str]]]:
    """Who calls whom within each namespace."""
    edges: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for link in found.links:
        one, other = link.source, link.destination
        if not isinstance(one, Group) or not isinstance(other, Group) or link.governance == "open":
            continue
        if one.namespace == other.namespace:
            edges[one.namespace].add((one.key, other.key))
    return edges


def _box(box: Box, whole: Box, size: tuple[float, float]) -> dict[str, Any]:
    return {
        "key": box.key,
        "title": box.title,
        "subtitle": box.subtitle,
        "folded": whole.subtitle,
        "coverage": box.coverage,
        "size": size,
        "whole": inside(whole)[0],
    }


def _columns(columns: Any, boxes: list[Box]) -> list[list[str]]:
    """Those of the layout; what it left out, because nothing drawn touches it, comes last."""
    known = {key for column in columns for key in column}
    rest = [box.key for box in boxes if box.key not in known and (box.coverage or box.is_range)]
    return [*(list(column) for column in columns), *([rest] if rest else [])]
