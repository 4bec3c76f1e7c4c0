"""What selectors have to do with each other, whatever labels there are: none, some or all in common.

Decided from the conditions alone. A selector's conditions on one key come down to four facts (must be
there, must not be there, one of these values, none of those), which makes every answer exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tenantprofile.selectors import Requirement, Selector

_KEPT = 1 << 14


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a selector says of one key. values None: any value."""

    present: bool = False
    absent: bool = False
    values: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()

    def and_(self, requirement: Requirement) -> _Facts:
        if requirement.operator == "In":
            values = requirement.values if self.values is None else self.values & requirement.values
            return _Facts(True, self.absent, values, self.excluded)
        if requirement.operator == "NotIn":
            return _Facts(self.present, self.absent, self.values, self.excluded | requirement.values)
        if requirement.operator == "Exists":
            return _Facts(True, self.absent, self.values, self.excluded)
        return _Facts(self.present, True, self.values, self.excluded)

    @property
    def possible(self) -> bool:
        if self.present and self.absent:
            return False
        return self.values is None or bool(self.values - self.excluded)

    def ensures(self, requirement: Requirement) -> bool:
        """Whether every label that fits these facts meets a further requirement."""
        values = None if self.values is None else self.values - self.excluded
        if requirement.operator == "In":
            return values is not None and values <= requirement.values
        if requirement.operator == "NotIn":
            if self.absent or requirement.values <= self.excluded:
                return True
            return values is not None and not values & requirement.values
        return self.present if requirement.operator == "Exists" else self.absent


_NOTHING = _Facts()


@lru_cache(maxsize=_KEPT)
def _facts(selector: Selector) -> dict[str, _Facts]:
    found: dict[str, _Facts] = {}
    for requirement in selector.requirements:
        found[requirement.key] = found.get(requirement.key, _NOTHING).and_(requirement)
    return found


@lru_cache(maxsize=_KEPT)
def contradiction(selector: Selector) -> str | None:
    """The key on which a selector contradicts itself, so that nothing can match it; None for none."""
    return next((key for key, facts in _facts(selector).items() if not facts.possible), None)


def may_overlap(one: Selector, other: Selector) -> bool:
    """Whether one set of labels could match both."""
    return contradiction(Selector(one.requirements + other.requirements)) is None


@lru_cache(maxsize=_KEPT)
def implies(narrow: Selector, wide: Selector) -> bool:
    """Whether all that the first selector matches, the second matches, too."""
    if contradiction(narrow) is not None:
        return True
    facts = _facts(narrow)
    return all(facts.get(r.key, _NOTHING).ensures(r) for r in wide.requirements)
