"""Drift that was noticed on single policies, kept until a pass has dealt with that very policy.

What is noticed while a pass is under way stays for the next one: nothing here is forgotten by the namespace.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

MAX_BODIES: Final = 200
"""Bodies of changed policies kept until they are repaired, so that a repair need not read them again."""
MAX_BODY: Final = 32_768
"""Characters of a spec that is kept; larger ones are read again when they are repaired."""

_NOTHING: Final[Mapping[str, str]] = {}


class PendingDrift:
    """By namespace and policy: what somebody else deleted or changed."""

    def __init__(self) -> None:
        self._lost: dict[str, dict[str, str]] = {}
        self._bodies: OrderedDict[tuple[str, str], Mapping[str, Any]] = OrderedDict()

    def changed(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Somebody else may have changed a policy; this is how it is now."""
        self.present(namespace, name)
        self._bodies.pop((namespace, name), None)
        if len(str(body.get("spec"))) > MAX_BODY:
            return
        self._bodies[namespace, name] = body
        if len(self._bodies) > MAX_BODIES:
            self._bodies.popitem(last=False)

    def deleted(self, namespace: str, name: str, digest: str) -> None:
        """Somebody else deleted a policy, or took our label off it. `digest`: what it held, empty if unknown."""
        self._lost.setdefault(namespace, {})[name] = digest
        self._bodies.pop((namespace, name), None)

    def present(self, namespace: str, name: str) -> None:
        """The policy is there, or nothing wants it any more."""
        lost = self._lost.get(namespace)
        if lost is not None and lost.pop(name, None) is not None and not lost:
            del self._lost[namespace]

    def lost(self, namespace: str) -> Mapping[str, str]:
        """Names of policies that somebody else deleted, with the digests they had."""
        return self._lost.get(namespace, _NOTHING)

    def body(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The policy as it was when somebody changed it, where that was seen."""
        return self._bodies.get((namespace, name))

    def take_body(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The same, and forget it: it is being dealt with."""
        return self._bodies.pop((namespace, name), None)

    def forget(self, namespace: str) -> None:
        """The namespace is gone."""
        self._lost.pop(namespace, None)
        for key in [key for key in self._bodies if key[0] == namespace]:
            del self._bodies[key]
