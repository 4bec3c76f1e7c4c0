"""Namespace selectors as sets of namespaces, seen from the policy's own namespace.

Two namespaces whose policies differ only in which namespace they are in should count as the same.
So a peer is split into its own part (does it match the policy's own namespace?) and its foreign
part: which others it matches, with the own namespace's bit left open. `NotIn [self]` in ten
thousand namespaces is then one foreign part, "all others", and naming oneself is none at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tenantprofile.selectors import Requirement, Selector


def members(mask: int) -> Iterator[int]:
    """The positions of the bits that are set, in order."""
    digits = bin(mask)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


class Reach:
    """Namespaces as bits, in the given order; selectors over them by an index of label values."""

    def __init__(self, labels: Sequence[Mapping[str, str]]) -> None:
        """labels: those of each namespace, by position."""
        self.everything = (1 << len(labels)) - 1
        self._having: dict[str, int] = defaultdict(int)
        self._equal: dict[tuple[str, str], int] = defaultdict(int)
        self._selected: dict[Selector, int] = {}
        self._known: dict[int, int] = {}
        self.foreign: list[int] = []
        for position, own in enumerate(labels):
            for key, value in own.items():
                self._having[key] |= 1 << position
                self._equal[key, value] |= 1 << position
        self._foreign(self.everything)

    def selected(self, selector: Selector) -> int:
        """The namespaces that a selector matches, as bits."""
        found = self._selected.get(selector)
        if found is None:
            found = self.everything
            for requirement in selector.requirements:
                found &= self._holding(requirement)
            self._selected[selector] = found
        return found

    def seen_from(self, position: int, selector: Selector) -> tuple[bool, int | None]:
        """(whether the own namespace is matched, index into `foreign`, None when no other is)."""
        selected, own = self.selected(selector), 1 << position
        without, including = selected & ~own, selected | own
        if not without:
            return bool(selected & own), None
        for candidate in (including, without):
            if candidate in self._known:
                return bool(selected & own), self._known[candidate]
        return bool(selected & own), self._foreign(selected)

    def _foreign(self, mask: int) -> int:
        index = self._known.setdefault(mask, len(self.foreign))
        if index == len(self.foreign):
            self.foreign.append(mask)
        return index

    def _holding(self, requirement: Requirement) -> int:
        having = self._having.get(requirement.key, 0)
        if requirement.operator == "Exists":
            return having
        if requirement.operator == "DoesNotExist":
            return self.everything & ~having
        listed = 0
        for value in requirement.values:
            listed |= self._equal.get((requirement.key, value), 0)
        return listed if requirement.operator == "In" else self.everything & ~listed
