"""The managed policies of the whole cluster: a paged list, a watch behind it, and what they add up to.

Only facts are kept (see `observed`), by namespace. The cache is complete once a whole list has been
read; it is compared with a whole list again from time to time, because a watch that loses something
does not say so. Responses to our own writes go in at once, so that their watch events are no news.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from tenantprofile.cluster.api import POLICIES, Api
from tenantprofile.cluster.watching import follow
from tenantprofile.names import LABEL_PROFILE
from tenantprofile.planning.observed import Observed, observe

Changed = Callable[[str, str, Observed | None, Mapping[str, Any] | None], None]
"""Called with namespace, name, what was known, and the body as seen; None when the policy is gone."""

_EMPTY: Final[Mapping[str, Observed]] = {}


class PolicyCache:
    """By namespace and name; newer resource versions win, whichever way they came."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, Observed]] = {}
        self._writes: dict[tuple[str, str], int] = {}
        self._deleted: dict[tuple[str, str], int] = {}
        self._listing = False
        self.complete = False
        self.size = 0

    def in_namespace(self, namespace: str) -> Mapping[str, Observed]:
        """Everything there that carries our label, by object name."""
        return self._namespaces.get(namespace, _EMPTY)

    def namespaces(self) -> list[str]:
        """Namespaces that hold at least one managed policy."""
        return list(self._namespaces)

    @contextmanager
    def writing(self, namespace: str, name: str) -> Iterator[None]:
        """While a write of ours is under way, deletions are remembered: its answer may be older than they are."""
        key = (namespace, name)
        self._writes[key] = self._writes.get(key, 0) + 1
        try:
            yield
        finally:
            self._writes[key] -= 1
            if not self._writes[key]:
                del self._writes[key]
                self._deleted.pop(key, None)

    def written(self, namespace: str, name: str, seen: Observed) -> bool:
        """Take in the answer to a write; whether it is the newest that is known of the name."""
        self.put(namespace, name, seen)
        known = self.in_namespace(namespace).get(name)
        return known is not None and known.resource_version == seen.resource_version

    def deleted(self, namespace: str, name: str, uid: str) -> None:
        """We have deleted it."""
        known = self.in_namespace(namespace).get(name)
        if known is not None and known.uid == uid:
            self.remove(namespace, name, int(known.resource_version))

    def forget(self, namespace: str, name: str) -> None:
        """An answer says that what was believed is not so; the watch will tell."""
        known = self.in_namespace(namespace).get(name)
        if known is not None:
            self._drop(namespace, name)

    def knows(self, namespace: str, name: str, resource_version: str) -> bool:
        """Whether this version of a policy, or a newer one, is known: to look at it again tells nothing."""
        known = self.in_namespace(namespace).get(name)
        return known is not None and int(known.resource_version) >= int(resource_version)

    def put(self, namespace: str, name: str, seen: Observed) -> bool:
        """Take in what was seen; whether it is news. The newest version wins, whatever the uid."""
        version = int(seen.resource_version)
        if self._deleted.get((namespace, name), -1) >= version or self.knows(
            namespace, name, seen.resource_version
        ):
            return False
        policies = self._namespaces.setdefault(namespace, {})
        known = policies.get(name)
        policies[name] = seen
        if known is None:
            self.size += 1
            return True
        return known.digest != seen.digest or known.applied != seen.applied or known.held_by != seen.held_by

    def remove(self, namespace: str, name: str, version: int) -> Observed | None:
        """Forget a policy that was deleted at that version; what was known of it."""
        key = (namespace, name)
        if self._listing or key in self._writes:
            self._deleted[key] = max(version, self._deleted.get(key, -1))
        known = self.in_namespace(namespace).get(name)
        if known is None or int(known.resource_version) > version:
            return None
        self._drop(namespace, name)
        return known

    def _drop(self, namespace: str, name: str) -> None:
        del self._namespaces[namespace][name]
        self.size -= 1
        if not self._namespaces[namespace]:
            del self._namespaces[namespace]

    def begin_comparison(self) -> None:
        """From here on deletions are remembered: a list that began before them may still show them."""
        self._listing = True

    def end_comparison(self, listed: set[str], resource_version: str) -> list[tuple[str, str, Observed]]:
        """Drop what a whole list (uids, and its version) does not hold; the namespaces and names dropped."""
        vanished = [
            (namespace, name, seen)
            for namespace, policies in self._namespaces.items()
            for name, seen in policies.items()
            if seen.uid not in listed and int(seen.resource_version) <= int(resource_version)
        ]
        for namespace, name, _ in vanished:
            self._drop(namespace, name)
        self._listing = False
        self._deleted = {key: version for key, version in self._deleted.items() if key in self._writes}
        return vanished


class PolicyInformer:
    """Keeps a PolicyCache true. `clock` gives monotonic seconds."""

    def __init__(self, api: Api, cache: PolicyCache, changed: Changed, clock: Callable[[], float]) -> None:
        self._api = api
        self._cache = cache
        self._changed = changed
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self.last_contact = clock()

    async def run(self) -> None:
        """Watch until cancelled; read the whole list first, and again when the watch has fallen behind."""
        await follow(self._api, POLICIES, self.compare, self._take, selector=LABEL_PROFILE)

    async def compare(self) -> str:
        """Compare the cache with a whole list, in pages; the list's version. Raises ApiError and Gone."""
        async with self._one_at_a_time:
            return await self._compare()

    async def _compare(self) -> str:
        self._cache.begin_comparison()
        listed: set[str] = set()
        version = "0"
        async for page in self._api.pages(POLICIES, selector=LABEL_PROFILE):
            self.last_contact = self._clock()
            version = page.resource_version
            for index, body in enumerate(page.items):
                listed.add(body["metadata"]["uid"])
                self._put(body)
                if index % 50 == 49:
                    await asyncio.sleep(0)  # events must not wait for a whole page
        for namespace, name, known in self._cache.end_comparison(listed, version):
            self._changed(namespace, name, known, None)
        self._cache.complete = True
        return version

    def _take(self, event: Mapping[str, Any]) -> str:
        self.last_contact = self._clock()
        body = event["object"]
        metadata = body["metadata"]
        if event["type"] in ("ADDED", "MODIFIED"):
            self._put(body)
        elif event["type"] == "DELETED":
            # Also sent when only our label was taken off; the reconciler finds out by looking.
            namespace, name = metadata["namespace"], metadata["name"]
            known = self._cache.remove(namespace, name, int(metadata["resourceVersion"]))
            if known is not None:
                self._changed(namespace, name, known, None)
        return str(metadata["resourceVersion"])

    def _put(self, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if self._cache.knows(namespace, name, metadata["resourceVersion"]):
            return
        known = self._cache.in_namespace(namespace).get(name)
        if self._cache.put(namespace, name, observe(body)):
            self._changed(namespace, name, known, body)
