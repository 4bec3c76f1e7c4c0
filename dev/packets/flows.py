"""What is asked of the wire, and what it answers.

`Outcome` keeps apart what a plain connect() mixes up: a firewall that refuses, a port on which
nobody listens, and a network that does not lead there. Only the first two of its values are answers
about policies; the others say that the test world is broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

Family = Literal[4, 6]
Protocol = Literal["TCP", "UDP"]

FAMILIES: Final[tuple[Family, ...]] = (4, 6)
PROTOCOLS: Final[tuple[Protocol, ...]] = ("TCP", "UDP")


class Outcome(StrEnum):
    """What became of one attempt."""

    OPEN = "open"
    """Connected, and the listener said that it is the right one."""
    REFUSED = "refused"
    """Somebody on the way refused by ICMP: the firewall."""
    LOST = "lost"
    """No answer in time: a firewall that drops."""
    NOBODY = "nobody listens"
    """The destination itself answered that the port is closed."""
    NO_WAY = "no way there"
    """The network did not lead to the destination, or led to another."""

    @property
    def allowed(self) -> bool:
        """Whether the connection was allowed. Raises ValueError where the world is broken."""
        if self in (Outcome.NOBODY, Outcome.NO_WAY):
            raise ValueError(f"the test world is broken: {self}")
        return self is Outcome.OPEN


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """One connection to try: from a party of the world to a port of another, in one family."""

    source: str
    destination: str
    protocol: Protocol
    port: int
    family: Family

    def __str__(self) -> str:
        return f"{self.source} → {self.destination} {self.protocol} {self.port} IPv{self.family}"
