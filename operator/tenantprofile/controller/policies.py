"""The policies that carry our label, as the reconciler asks for them: by namespace and name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from tenantprofile.cluster.store import Store
from tenantprofile.planning.observed import Observed, observe


class PolicyCache:
    """A Store of policies under the words of `state.Policies`, which documents them."""

    def __init__(self) -> None:
        self.store: Store[Observed] = Store(observe)

    def in_namespace(self, namespace: str) -> Mapping[str, Observed]:
        return self.store.in_namespace(namespace)

    def namespaces(self) -> list[str]:
        return self.store.namespaces()

    def writing(self, namespace: str, name: str) -> AbstractContextManager[None]:
        return self.store.writing((namespace, name))

    def written(self, namespace: str, name: str, seen: Observed) -> bool:
        key, version = (namespace, name), int(seen.resource_version)
        self.store.put(key, version, seen)
        return self.store.version(key) == version

    def deleted(self, namespace: str, name: str, uid: str) -> None:
        known = self.store.get(name, namespace)
        if known is not None and known.uid == uid:
            self.store.remove((namespace, name), int(known.resource_version))

    def forget(self, namespace: str, name: str, version: str) -> None:
        self.store.forget((namespace, name), int(version))
