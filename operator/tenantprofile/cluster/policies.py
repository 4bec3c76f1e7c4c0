"""The managed policies of the whole cluster: a paged list, a watch behind it, and what they add up to.

Only facts are kept (see `observed`), by namespace. The cache is complete once a whole list has been
read; it is compared with a whole list again from time to time, because a watch that loses something
does not say so. Responses to our own writes go in at once, so that their watch events are no news.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from tenantprofile.cluster.api import POLICIES, Api
from tenantprofile.cluster.watching import follow
from tenantprofile.names import LABEL_PROFILE
from tenantprofile.planning.observed import Observed, observe

Changed = Callable[[str, str, Mapping[str, Any] | None], None]
"""Called with namespace, name and the body as seen; None when the policy is gone."""

DELETION: Final = ""
"""What is expected of a policy that we are deleting ourselves."""

_EMPTY: Final[Mapping[str, Observed]] = {}


class PolicyCache:
    """By namespace and name; newer resource versions win, whichever way they came."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, Observed]] = {}
        self._expected: dict[tuple[str, str], str] = {}
        self._gone: set[str] | None = None
        self.complete = False
        self.size = 0

    def in_namespace(self, namespace: str) -> Mapping[str, Observed]:
        """Everything there that carries our label, by object name."""
        return self._namespaces.get(namespace, _EMPTY)

    def namespaces(self) -> list[str]:
        """Namespaces that hold at least one managed policy."""
        return list(self._namespaces)

    def expect(self, namespace: str, name: str, digest: str) -> None:
        """A write is on its way; a watch event that shows its outcome is no news."""
        self._expected[namespace, name] = digest

    def settled(self, namespace: str, name: str) -> None:
        """The write has ended, one way or the other."""
        self._expected.pop((namespace, name), None)

    def knows(self, namespace: str, name: str, uid: str, resource_version: str) -> bool:
        """Whether this version of a policy, or a newer one, is known: to look at it again tells nothing."""
        known = self.in_namespace(namespace).get(name)
        return known is not None and known.uid == uid and int(known.resource_version) >= int(resource_version)

    def put(self, namespace: str, name: str, seen: Observed) -> bool:
        """Take in what was seen; whether it is news."""
        policies = self._namespaces.setdefault(namespace, {})
        known = policies.get(name)
        if self._gone is not None and seen.uid in self._gone:
            return False
        if known is not None and known.uid == seen.uid:
            if int(known.resource_version) >= int(seen.resource_version):
                return False
            if known.ours and not seen.ours:
                # Whoever resets managedFields does not get the policy by it.
                seen = replace(seen, ours=True)
        policies[name] = seen
        if known is None:
            self.size += 1
        elif known.digest == seen.digest and known.applied == seen.applied:
            return False
        return not seen.digest == seen.applied == self._expected.get((namespace, name))

    def remove(self, namespace: str, name: str, uid: str) -> bool:
        """Forget a policy that was deleted; whether that is news."""
        if self._gone is not None:
            self._gone.add(uid)
        policies = self._namespaces.get(namespace)
        known = policies.get(name) if policies else None
        if policies is None or known is None or known.uid != uid:
            return False
        del policies[name]
        self.size -= 1
        if not policies:
            del self._namespaces[namespace]
        return self._expected.get((namespace, name)) != DELETION

    def begin_comparison(self) -> None:
        """From here on deletions are remembered: a list that began before them may still show them."""
        self._gone = set()

    def end_comparison(self, listed: set[str], resource_version: str) -> list[tuple[str, str]]:
        """Drop what a whole list (uids, and its version) does not hold; the namespaces and names dropped."""
        vanished = [
            (namespace, name, seen.uid)
            for namespace, policies in self._namespaces.items()
            for name, seen in policies.items()
            if seen.uid not in listed and int(seen.resource_version) <= int(resource_version)
        ]
        for namespace, name, uid in vanished:
            self.remove(namespace, name, uid)
        self._gone = None
        return [(namespace, name) for namespace, name, _ in vanished]


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
        for namespace, name in self._cache.end_comparison(listed, version):
            self._changed(namespace, name, None)
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
            if self._cache.remove(namespace, name, metadata["uid"]):
                self._changed(namespace, name, None)
        return str(metadata["resourceVersion"])

    def _put(self, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if self._cache.knows(namespace, name, metadata["uid"], metadata["resourceVersion"]):
            return
        if self._cache.put(namespace, name, observe(body)):
            self._changed(namespace, name, body)
