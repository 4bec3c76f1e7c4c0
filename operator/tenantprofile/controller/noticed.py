"""What was noticed of single policies and is remembered until it has been dealt with."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

MAX_BODIES: Final = 1000
"""Bodies of changed policies kept until they are repaired, so that a repair need not read them again."""


class Noticed:
    """By namespace: what somebody else deleted, names that foreign objects take, bodies as changed."""

    def __init__(self) -> None:
        self._lost: defaultdict[str, set[str]] = defaultdict(set)
        self._taken: defaultdict[str, set[str]] = defaultdict(set)
        self._bodies: OrderedDict[tuple[str, str], Mapping[str, Any]] = OrderedDict()

    def changed(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Somebody else may have changed a policy; this is how it is now."""
        self.back(namespace, name)
        self._bodies[namespace, name] = body
        if len(self._bodies) > MAX_BODIES:
            self._bodies.popitem(last=False)

    def deleted(self, namespace: str, name: str) -> None:
        """Somebody else deleted a policy, or took our label off it."""
        self._lost[namespace].add(name)
        self._bodies.pop((namespace, name), None)

    def back(self, namespace: str, name: str) -> None:
        """The policy is there."""
        if namespace in self._lost:
            self._lost[namespace].discard(name)

    def lost(self, namespace: str) -> Collection[str]:
        return self._lost.get(namespace, ())

    def body(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The policy as it was when somebody changed it, where that was seen."""
        return self._bodies.get((namespace, name))

    def take_body(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The same, and forget it: it is being dealt with."""
        return self._bodies.pop((namespace, name), None)

    def taken(self, namespace: str, name: str) -> None:
        """A foreign object has the name."""
        self._taken[namespace].add(name)

    def free(self, namespace: str, name: str) -> None:
        """No foreign object has the name any more."""
        if namespace in self._taken:
            self._taken[namespace].discard(name)

    def is_taken(self, namespace: str, name: str) -> bool:
        return name in self._taken.get(namespace, ())

    def forget(self, namespace: str, names: Iterable[str] = ()) -> None:
        """Everything about a namespace, and the bodies of these policies in it, has been dealt with."""
        self._lost.pop(namespace, None)
        self._taken.pop(namespace, None)
        for name in names:
            self._bodies.pop((namespace, name), None)
