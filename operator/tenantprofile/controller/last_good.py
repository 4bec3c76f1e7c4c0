"""The last good form of policies whose entry cannot be rendered any more, as they are kept beside the ledger.

Such a policy stays in force as it was rendered last, and is put back when somebody changes it. A process that starts
while the entry is broken has no other way to know that form: what stands in the cluster may have been changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from tenantprofile.planning.desired import DesiredPolicy

MAX_BYTES: Final = 400_000
"""Of all forms in one ConfigMap, which holds 1 MiB at most (API validation); what is beyond is left out."""


class LastGood:
    """By the uid of the namespace and the policy's name."""

    def __init__(self) -> None:
        self._forms: dict[str, dict[str, DesiredPolicy]] = {}

    def get(self, namespace_uid: str, name: str, profile_uid: str) -> DesiredPolicy | None:
        """The last good form, if this very profile asked for it."""
        policy = self._forms.get(namespace_uid, {}).get(name)
        return policy if policy is not None and policy.profile_uid == profile_uid else None

    def keep(self, namespace_uid: str, policy: DesiredPolicy) -> bool:
        """The entry cannot be rendered, and this is what it yielded before; whether that is news."""
        known = self._forms.setdefault(namespace_uid, {})
        if known.get(policy.name) == policy:
            return False
        known[policy.name] = policy
        return True

    def drop(self, namespace_uid: str, name: str) -> bool:
        """The entry renders again, or its policy is gone; whether that is news."""
        known = self._forms.get(namespace_uid)
        if known is None or known.pop(name, None) is None:
            return False
        if not known:
            del self._forms[namespace_uid]
        return True

    def forget(self, namespace_uid: str) -> bool:
        """The namespace is gone; whether that is news."""
        return self._forms.pop(namespace_uid, None) is not None

    def encoded(self, namespace_uids: Collection[str]) -> str:
        """The forms of these namespaces as JSON; equal ones, the rule across namespaces, are written once."""
        bodies: list[Mapping[str, Any]] = []
        index: dict[DesiredPolicy, int] = {}
        namespaces: dict[str, list[int]] = {}
        size = 0
        for uid in sorted(namespace_uids):
            for _, policy in sorted(self._forms.get(uid, {}).items()):
                if policy not in index:
                    body = policy.stored()
                    size += len(orjson.dumps(body))
                    if size > MAX_BYTES:
                        return _dumped(bodies, namespaces)
                    index[policy] = len(bodies)
                    bodies.append(body)
                namespaces.setdefault(uid, []).append(index[policy])
        return _dumped(bodies, namespaces) if bodies else ""

    def load(self, text: str) -> None:
        """Take in what `encoded` has written. Raises ValueError, KeyError, TypeError and IndexError."""
        if not text:
            return
        raw = orjson.loads(text)
        policies = [DesiredPolicy.from_stored(body) for body in raw["forms"]]
        for uid, indices in raw["namespaces"].items():
            self._forms[str(uid)] = {policies[i].name: policies[i] for i in indices}

    @property
    def namespaces(self) -> Collection[str]:
        """The uids of namespaces of which anything is kept."""
        return self._forms.keys()


def _dumped(bodies: list[Mapping[str, Any]], namespaces: Mapping[str, list[int]]) -> str:
    return orjson.dumps({"forms": bodies, "namespaces": namespaces}).decode()
