"""Sets of ports over TCP, UDP and SCTP, the only protocols that NetworkPolicy defines.

All three live on one number line, a stride apart; port 0 is never a member, which keeps the
protocols' ranges from touching.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tenantprofile.connectivity import intervals

Protocol = Literal["TCP", "UDP", "SCTP"]

PROTOCOLS: Final[tuple[Protocol, ...]] = ("TCP", "UDP", "SCTP")
"""In the order in which results list them (API documentation, NetworkPolicyPort.protocol)."""
MAX_PORT: Final = 65535

_STRIDE = MAX_PORT + 1
_OFFSET = {protocol: index * _STRIDE for index, protocol in enumerate(PROTOCOLS)}


def position(protocol: Protocol, port: int) -> int:
    """The place of a port on the common number line; raises ValueError for what is no port."""
    if protocol not in _OFFSET:
        raise ValueError(f"found protocol {protocol!r}; expected TCP, UDP or SCTP")
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"found port {port!r}; expected 1 to {MAX_PORT}")
    return _OFFSET[protocol] + port


@dataclass(frozen=True, slots=True)
class PortSet:
    """An exact set of (protocol, port); equal sets compare and hash equal."""

    bounds: intervals.Bounds = intervals.EMPTY

    @classmethod
    def of(cls, protocol: Protocol, first: int, last: int | None = None) -> PortSet:
        """The ports first to last of one protocol, both included; without `last` the one port."""
        end = first if last is None else last
        return cls(intervals.interval(position(protocol, first), position(protocol, end)))

    def __bool__(self) -> bool:
        return bool(self.bounds)

    def __or__(self, other: PortSet) -> PortSet:
        return PortSet(intervals.union(self.bounds, other.bounds))

    def __and__(self, other: PortSet) -> PortSet:
        return PortSet(intervals.intersection(self.bounds, other.bounds))

    def __sub__(self, other: PortSet) -> PortSet:
        return PortSet(intervals.difference(self.bounds, other.bounds))

    def __invert__(self) -> PortSet:
        return ALL_PORTS - self

    def __le__(self, other: PortSet) -> bool:
        return not self - other

    def contains(self, protocol: Protocol, port: int) -> bool:
        return intervals.contains(self.bounds, position(protocol, port))

    @property
    def is_everything(self) -> bool:
        return self == ALL_PORTS

    def ranges(self) -> Iterator[tuple[Protocol, int, int]]:
        """(protocol, first, last) of every maximal range: TCP, UDP, SCTP, each by port."""
        for first, last in intervals.ranges(self.bounds):
            index = first // _STRIDE
            yield PROTOCOLS[index], first - index * _STRIDE, last - index * _STRIDE

    def __str__(self) -> str:
        """As a person writes it: `TCP 80,8000-8080 UDP 53`, `all`, `none`."""
        if self.is_everything:
            return "all"
        words: dict[Protocol, list[str]] = {}
        for protocol, first, last in self.ranges():
            text = (
                "*" if (first, last) == (1, MAX_PORT) else str(first) if first == last else f"{first}-{last}"
            )
            words.setdefault(protocol, []).append(text)
        return " ".join(f"{protocol} {','.join(texts)}" for protocol, texts in words.items()) or "none"


NO_PORTS: Final = PortSet()
ALL_PORTS: Final = PortSet(
    intervals.union_all(intervals.interval(_OFFSET[p] + 1, _OFFSET[p] + MAX_PORT) for p in PROTOCOLS)
)
EVERY_PORT: Final[dict[Protocol, PortSet]] = {p: PortSet.of(p, 1, MAX_PORT) for p in PROTOCOLS}
