"""What of a topology is drawn: boxes, the cards in them, and lines, with the words that they carry.

Two decisions keep a picture readable. Large topologies show whole namespaces instead of groups. And
flows that no policy governs at either end are left out where they are many: the mark of an uncovered
group says already that it talks with every other, and a hairball says less. What is left out is counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from tenantprofile.connectivity.ports import PortSet
from tenantprofile.drawing.topology import Governance, Group, GroupCoverage, Link, Range, Topology

Detail = Literal["auto", "workloads", "namespaces"]
Ungoverned = Literal["auto", "show", "hide"]

_MANY_GROUPS: Final = 48
_MANY_LINES: Final = 160
_MANY_UNGOVERNED: Final = 10
_MEMBERS: Final = 3

BADGES: Final[Mapping[GroupCoverage, str]] = {
    "covered": "",
    "open to all": "open to all",
    "open ingress": "no ingress policy",
    "open egress": "no egress policy",
    "uncovered": "no policy",
    "node": "host network",
}


@dataclass(frozen=True, slots=True)
class Card:
    """One group, or one address range: a title, what it is, names of members, and a mark."""

    key: str
    title: str
    subtitle: str
    lines: tuple[str, ...]
    coverage: GroupCoverage | Literal["outside"]
    badge: str
    spoken: str


@dataclass(frozen=True, slots=True)
class Box:
    """A namespace, or a range on its own (no title). cards is empty where the namespace is one whole.

    uncovered: groups with a direction in which no policy applies. whole: drawn as one.
    """

    key: str
    title: str
    subtitle: str
    cards: tuple[Card, ...]
    coverage: Mapping[GroupCoverage, int]
    whole: bool

    @property
    def is_range(self) -> bool:
        return not self.title


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """An arrow between two cards or boxes, by their keys, for one flow or for several together."""

    source: str
    destination: str
    links: tuple[Link, ...]
    governance: Governance
    label: str


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn. left_out: ungoverned flows that are not. empty: namespaces without a workload, which
    are not."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    detail: Literal["workloads", "namespaces"]
    left_out: int
    coverage: Mapping[GroupCoverage, int]
    empty: tuple[str, ...]


def view(found: Topology, detail: Detail = "auto", ungoverned: Ungoverned = "auto") -> View:
    """What to draw of a topology; `auto` decides by how much there is."""
    drawn = _drawn(found, ungoverned)
    chosen = detail
    if chosen == "auto":
        many = len(found.groups) > _MANY_GROUPS or len(drawn) > _MANY_LINES
        chosen = "namespaces" if many and len(found.namespaces) > 1 else "workloads"
    boxes = boxes_of(found, whole=chosen == "namespaces")
    used = {end for link in drawn for end in (link.source.key, link.destination.key)}
    return View(
        boxes=tuple(box for box in boxes if box.coverage or box.key in used),
        lines=tuple(_lines(drawn, whole=chosen == "namespaces")),
        detail=chosen,
        left_out=len(found.links) - len(drawn),
        coverage=_counted(found.groups),
        empty=tuple(box.title for box in boxes if not box.is_range and not box.coverage),
    )


def shows_ungoverned(found: Topology, ungoverned: Ungoverned = "auto") -> bool:
    """Whether flows without a policy at either end are drawn."""
    if ungoverned != "auto":
        return ungoverned == "show"
    return sum(link.governance == "open" for link in found.links) <= _MANY_UNGOVERNED


def boxes_of(found: Topology, *, whole: bool) -> list[Box]:
    """Namespaces by name, then ranges by address. whole: without cards, and so with the number of flows inside."""
    inside: dict[str, list[Group]] = defaultdict(list)
    for group in found.groups:
        inside[group.namespace].append(group)
    within: Counter[str] = Counter()
    if whole:
        for link in found.links:
            ends = (link.source, link.destination)
            spaces = {end.namespace for end in ends if isinstance(end, Group)}
            if len(spaces) == 1 and all(isinstance(end, Group) for end in ends):
                within.update(spaces)
    boxes = []
    for name in found.namespaces:
        groups = inside.get(name, [])
        cards = () if whole else tuple(card_of(group) for group in groups)
        contents = _contents(groups) + (f" · {counted(within[name], 'flow')} inside" if within[name] else "")
        boxes.append(Box(name, name, contents, cards, _counted(groups), whole or not groups))
    boxes += [Box(item.key, "", "", (card_of(item),), {}, False) for item in found.ranges]
    return boxes


def card_of(node: Group | Range) -> Card:
    """A node in words."""
    if isinstance(node, Range):
        spoken = f"{node.name.title}: {node.name.detail}"
        return Card(node.key, node.name.title, node.name.detail, (), "outside", "", spoken)
    kinds = ", ".join(sorted({party.kind for party in node.members}))
    pods = f"{node.pods} pods" if node.pods > 1 and kinds != "Pod" else ""
    names = [party.name for party in node.members] if len(node.members) > 1 else []
    lines = names[:_MEMBERS]
    if len(names) == _MEMBERS + 1:
        lines = names
    elif len(names) > _MEMBERS:
        lines = [*lines, f"and {len(names) - _MEMBERS} more"]
    subtitle = " · ".join(part for part in (kinds, pods) if part)
    badge = BADGES[node.coverage]
    spoken = f"{node.title} in namespace {node.namespace}, {subtitle}" + (f", {badge}" if badge else "")
    return Card(node.key, node.title, subtitle, tuple(lines), node.coverage, badge, spoken)


def shortcomings(coverage: Mapping[GroupCoverage, int]) -> list[str]:
    """`2 without a policy in some direction` and `1 open to all`, as far as there are such workloads."""
    bare = sum(coverage.get(key, 0) for key in ("uncovered", "open ingress", "open egress"))
    wide = coverage.get("open to all", 0)
    return [
        *([f"{bare:,} without a policy in some direction"] if bare else []),
        *([f"{wide:,} open to all"] if wide else []),
    ]


def worst(coverage: Mapping[GroupCoverage, int]) -> GroupCoverage:
    """How a whole namespace is drawn: uncovered where anything lacks a policy, then open to all, then covered."""
    if any(coverage.get(key) for key in ("uncovered", "open ingress", "open egress")):
        return "uncovered"
    return "open to all" if coverage.get("open to all") else "covered"


def counted(number: int, noun: str) -> str:
    """`1 flow`, `2 flows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def shortened(ports: PortSet, length: int = 24) -> str:
    """Ports in the space of a label."""
    text = "all ports" if ports.is_everything else str(ports)
    return text if len(text) <= length else f"{text[: length - 1].rstrip(', ')}…"


def _drawn(found: Topology, ungoverned: Ungoverned) -> list[Link]:
    if shows_ungoverned(found, ungoverned):
        return list(found.links)
    return [link for link in found.links if link.governance != "open"]


def _lines(links: list[Link], *, whole: bool) -> list[Line]:
    together: dict[tuple[str, str], list[Link]] = defaultdict(list)
    for link in links:
        ends = tuple(
            node.namespace if whole and isinstance(node, Group) else node.key
            for node in (link.source, link.destination)
        )
        if not (whole and ends[0] == ends[1]):
            together[ends[0], ends[1]].append(link)
    return [
        Line(source, destination, tuple(found), governance_of(found), _label(found))
        for (source, destination), found in together.items()
    ]


def governance_of(links: list[Link]) -> Governance:
    """Of several flows: ruled or open when all are, half for a mixture."""
    kinds = {link.governance for link in links}
    return kinds.pop() if len(kinds) == 1 else "half"


def _label(links: list[Link]) -> str:
    ports = links[0].ports
    for link in links[1:]:
        ports |= link.ports
    text = shortened(ports)
    return f"{len(links)} flows: {text}" if len(links) > 1 else text


def _contents(groups: list[Group]) -> str:
    if not groups:
        return "no workloads"
    return counted(sum(len(group.members) for group in groups), "workload")


def _counted(groups: Iterable[Group]) -> dict[GroupCoverage, int]:
    """Workloads by coverage, worst first."""
    totals: Counter[GroupCoverage] = Counter()
    for group in groups:
        totals[group.coverage] += len(group.members)
    order: tuple[GroupCoverage, ...] = (
        "uncovered",
        "open ingress",
        "open egress",
        "open to all",
        "node",
        "covered",
    )
    return {coverage: totals[coverage] for coverage in order if totals[coverage]}
