"""The connections that the client tries over and over, and the lines in which it tells what came of them.

One line of JSON for each round: its number and which attempts found the server. Rounds are counted
because the clocks of a pod and of whoever reads its log need not agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Family = Literal[4, 6]
Protocol = Literal["TCP", "UDP"]

PORTS: Final = (8080, 8081, 8082, 8083)
"""On each of them the server listens, for TCP and UDP alike."""


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """A protocol in an address family: a plugin may enforce policies in one and forget another."""

    family: Family
    protocol: Protocol

    def __str__(self) -> str:
        return f"{self.protocol} IPv{self.family}"


LANES: Final = (Lane(4, "TCP"), Lane(4, "UDP"), Lane(6, "TCP"), Lane(6, "UDP"))


@dataclass(frozen=True, slots=True, order=True)
class Attempt:
    """One connection from the client to the server."""

    lane: Lane
    port: int

    @property
    def key(self) -> str:
        """As it stands in the client's lines: `TCP/4/8080`."""
        return f"{self.lane.protocol}/{self.lane.family}/{self.port}"


@dataclass(frozen=True, slots=True)
class Round:
    """Every attempt was made once; `open` are the keys of those that found the server."""

    number: int
    open: frozenset[str]

    def line(self) -> str:
        return json.dumps({"round": self.number, "open": sorted(self.open)}, separators=(",", ":"))


def lanes_of(client: Iterable[str], server: Iterable[str]) -> tuple[Lane, ...]:
    """The lanes in which both pods have an address."""
    common = {family_of(address) for address in client} & {family_of(address) for address in server}
    return tuple(lane for lane in LANES if lane.family in common)


def family_of(address: str) -> Family:
    return 6 if ":" in address else 4


def read_rounds(log: str) -> list[Round]:
    """The rounds that a log tells of, oldest first; other lines, and broken ones, tell of none."""
    found = []
    for line in log.splitlines():
        try:
            content = json.loads(line)
            found.append(Round(int(content["round"]), frozenset(map(str, content["open"]))))
        except (ValueError, KeyError, TypeError):
            continue
    return found
