"""Whether what one rule allows is all allowed by another, decided from the rules alone.

Exact for what it affirms; where only the labels of namespaces could tell and these are not known, the
answer is no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenantprofile.connectivity.policies import Peer, Rule
from tenantprofile.names import LABEL_NAMESPACE_NAME
from tenantprofile.policy.selection import implies
from tenantprofile.selectors import Requirement, Selector


@dataclass(frozen=True, slots=True)
class Home:
    """The namespace that the rules are in. labels None: all but its name is unknown."""

    name: str
    labels: Mapping[str, str] | None = None

    def is_in(self, namespaces: Selector) -> bool:
        """Whether a selector surely matches it."""
        if self.labels is not None:
            return namespaces.matches(self.labels)
        return implies(self._itself, namespaces)

    def is_all_of(self, namespaces: Selector) -> bool:
        """Whether a selector matches nothing but it."""
        return implies(namespaces, self._itself)

    @property
    def _itself(self) -> Selector:
        return Selector((Requirement(LABEL_NAMESPACE_NAME, "In", frozenset({self.name})),))


def rule_in(narrow: Rule, wide: Rule, home: Home) -> bool:
    """Whether every peer and port of a rule is also one of the other rule's."""
    if not ports_in(narrow, wide):
        return False
    if wide.peers is None:
        return True
    return narrow.peers is not None and all(
        any(peer_in(peer, other, home) for other in wide.peers) for peer in narrow.peers
    )


def ports_in(narrow: Rule, wide: Rule) -> bool:
    if wide.ports is None:
        return True
    return narrow.ports is not None and narrow.numbers <= wide.numbers and narrow.names <= wide.names


def peer_in(narrow: Peer, wide: Peer, home: Home) -> bool:
    if narrow.block is not None or wide.block is not None:
        return narrow.block is not None and wide.block is not None and narrow.block <= wide.block
    if not implies(narrow.pods, wide.pods):
        return False
    if narrow.namespaces is None:
        return wide.namespaces is None or home.is_in(wide.namespaces)
    if wide.namespaces is None:
        return home.is_all_of(narrow.namespaces)
    return implies(narrow.namespaces, wide.namespaces)


def stays_home(peer: Peer, home: Home) -> bool:
    """Whether a peer is nothing but pods of the own namespace."""
    return peer.block is None and (peer.namespaces is None or home.is_all_of(peer.namespaces))
