"""The ledger: which policies the operator has written, kept where tenants cannot write.

This is the one definition of ownership. A policy is the operator's when the operator wrote an object of that
name into that namespace (told apart by its uid, so that a namespace made again under the same name starts
empty) and has not removed it since. Whatever somebody strips off the object, and whoever deletes it and makes
another one in its place, the name stays the operator's, also while the operator is down. Labels, annotations,
owner references and field managers are claims that anybody can make and prove nothing.

It is kept in 16 ConfigMaps in the operator's namespace, about 50 bytes for each tenant namespace, written at
most every two seconds and only where it differs. An entry is written after its policy, because before that
nobody knows whether the name is taken; what was written in the last two seconds before a crash is known again by
its seal, see `controller.seal`. Where there is no ledger yet (the first start, an upgrade from a
release without one, a ledger that was deleted), the policies with the operator's labels and digest are entered
once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from tenantprofile.cluster.api import Api, ApiError, Object
from tenantprofile.controller.last_good import LastGood
from tenantprofile.planning.desired import DesiredPolicy
from tenantprofile.planning.observed import Observed

logger = logging.getLogger(__name__)

FLUSH: Final = 2.0
"""Seconds between two writes of the ledger."""
SHARDS: Final = "0123456789abcdef"

DELETE: Final = "Delete "

Owned = Mapping[str, str]
"""Object name to the uid of the profile for which it was written."""

_NOTHING: Final[Owned] = {}


class Ledger:
    """Used from one event loop."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"
        self._owned: dict[str, Owned] = {}
        self._shared: dict[tuple[tuple[str, str], ...], Owned] = {}
        self._versions: dict[str, str] = {}
        self._dirty: set[str] = set()
        self._last_good = LastGood()
        self._wakeup = asyncio.Event()
        self.departed: dict[str, str] = {}
        """By the uid of a deleted profile of which policies may be left: `Retain`, or DELETE and the uid of its CRD."""
        self.problem: str | None = None
        """Why the ledger cannot be kept, in plain words."""

    def owned(self, namespace_uid: str) -> Owned:
        """What the operator has in a namespace."""
        return self._owned.get(namespace_uid, _NOTHING)

    def wrote(self, namespace_uid: str, name: str, profile_uid: str) -> None:
        """The operator has written a policy, or found it exactly as it would write it."""
        owned = self.owned(namespace_uid)
        if owned.get(name) != profile_uid:
            self._put(namespace_uid, {**owned, name: profile_uid})

    def removed(self, namespace_uid: str, name: str) -> None:
        """The operator has removed a policy, or nothing of that name is left."""
        owned = self.owned(namespace_uid)
        if name in owned:
            self._put(namespace_uid, {known: uid for known, uid in owned.items() if known != name})
        self.renders(namespace_uid, name)

    def last_good(self, namespace_uid: str, name: str, profile_uid: str) -> DesiredPolicy | None:
        """What an entry yielded there before it could not be rendered any more, as far as an earlier process knew."""
        return self._last_good.get(namespace_uid, name, profile_uid)

    def renders_no_more(self, namespace_uid: str, last: DesiredPolicy) -> None:
        """An entry cannot be rendered; a process that starts meanwhile shall know what it yielded last."""
        self._touch(namespace_uid, self._last_good.keep(namespace_uid, last))

    def renders(self, namespace_uid: str, name: str) -> None:
        """What an entry yielded before is of no interest any more."""
        self._touch(namespace_uid, self._last_good.drop(namespace_uid, name))

    def profile_gone(self, uid: str, kind_uid: str) -> None:
        """A profile was deleted. `kind_uid`: its CRD's uid if its policies are to be deleted; empty if they stay."""
        self.departed[uid] = DELETE + kind_uid if kind_uid else "Retain"
        self._dirty.add(SHARDS[0])
        self._wakeup.set()

    def write_all(self) -> None:
        """What is stored may be older than what is known: write all of it."""
        self._dirty.update(SHARDS)
        self._wakeup.set()

    def keep_only(self, namespace_uids: Iterable[str]) -> None:
        """These are all namespaces that exist; what is known of others is dropped."""
        for uid in {*self._owned, *self._last_good.namespaces} - set(namespace_uids):
            self.forget_namespace(uid)

    def forget_namespace(self, namespace_uid: str) -> None:
        """A namespace is gone."""
        self._put(namespace_uid, {})
        self._touch(namespace_uid, self._last_good.forget(namespace_uid))

    def _put(self, namespace_uid: str, owned: dict[str, str]) -> None:
        if owned:
            self._owned[namespace_uid] = self._one_copy(owned)
        elif self._owned.pop(namespace_uid, None) is None:
            return
        self._touch(namespace_uid, True)

    def _touch(self, namespace_uid: str, changed: bool) -> None:
        if changed:
            self._dirty.add(_shard(namespace_uid))
            self._wakeup.set()

    def _one_copy(self, owned: Mapping[str, str]) -> Owned:
        """Most namespaces hold the same policies: equal mappings are one object."""
        return self._shared.setdefault(tuple(sorted(owned.items())), owned)

    async def load(self) -> bool:
        """Read the ledger when this operator becomes the one that writes; whether there was one.

        Raises ApiError where the API server cannot be reached. Where the operator may not read ConfigMaps, it goes
        on with what it finds in the cluster, and `problem` says so.
        """
        found = False
        owned: dict[str, Owned] = {}
        last_good = LastGood()
        for shard in SHARDS:
            try:
                body = await self._api.get(f"{self._collection}/{_name(shard)}")
            except ApiError as error:
                if error.status == 404:
                    self._versions.pop(shard, None)
                    continue
                if error.status != 403:
                    raise
                self._fail(error)
                return False
            found = True
            self._versions[shard] = str(body["metadata"]["resourceVersion"])
            data = body.get("data") or {}
            owned.update(self._decoded(shard, data.get("owned", "")))
            self.departed.update(_departed(data.get("departed", "{}")))
            try:
                last_good.load(data.get("lastGood", ""))
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                logger.warning(
                    "ConfigMap %s: what is last good there cannot be read: %r", _name(shard), error
                )
        self._owned, self._last_good = owned, last_good
        self._dirty.clear()
        return found

    def _decoded(self, shard: str, text: str) -> dict[str, Owned]:
        try:
            raw = orjson.loads(text)
            sets = [self._one_copy({str(k): str(v) for k, v in owned.items()}) for owned in raw["sets"]]
            return {str(uid): sets[index] for uid, index in raw["namespaces"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            logger.warning("ConfigMap %s cannot be read and is written again: %r", _name(shard), error)
            return {}

    def enter(
        self, namespace_uid: str, policies: Mapping[str, Observed], profiles: Mapping[str, str]
    ) -> None:
        """Without a ledger: enter what carries the operator's labels and digest under the name that it would have.

        `profiles`: the uids of the profiles that exist, by name.
        """
        for name, seen in policies.items():
            if seen.applied and name == f"{seen.profile}.{seen.policy}":
                self.wrote(namespace_uid, name, profiles.get(seen.profile) or seen.owner_uid or "")

    async def run(self, may_write: Callable[[], bool]) -> None:
        """Write what differs, until cancelled."""
        while True:
            await self._wakeup.wait()
            await asyncio.sleep(FLUSH)
            if may_write():
                self._wakeup.clear()
                await self.flush()

    async def flush(self) -> None:
        """Write the shards that differ from what is stored."""
        dirty, self._dirty = self._dirty, set()
        for shard in sorted(dirty):
            try:
                await self._write(shard)
                self.problem = None
            except ApiError as error:
                self._dirty.add(shard)
                self._fail(error)
        if self._dirty:
            self._wakeup.set()

    async def _write(self, shard: str) -> None:
        sets: dict[int, int] = {}
        listed: list[Owned] = []
        namespaces: dict[str, int] = {}
        for uid in sorted(uid for uid in self._owned if _shard(uid) == shard):
            owned = self._owned[uid]
            if id(owned) not in sets:
                sets[id(owned)] = len(listed)
                listed.append(owned)
            namespaces[uid] = sets[id(owned)]
        name = _name(shard)
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "tenantprofile-operator"}},
            "data": {"owned": orjson.dumps({"sets": listed, "namespaces": namespaces}).decode()},
        }
        if forms := self._last_good.encoded([u for u in self._last_good.namespaces if _shard(u) == shard]):
            body["data"]["lastGood"] = forms
        if shard == SHARDS[0]:
            held = {uid for owned in self._shared.values() for uid in owned.values()}
            self.departed = {uid: policy for uid, policy in self.departed.items() if uid in held}
            body["data"]["departed"] = orjson.dumps(self.departed).decode()
        # No resourceVersion: only the holder of the lease writes, and what it knows is the present. The answer to the
        # write that made the ConfigMap may have been lost, so that it is there and nobody knows.
        exists = shard in self._versions
        try:
            answer = await self._store(name, body, exists=exists)
        except ApiError as error:
            if error.status != (404 if exists else 409):
                raise
            answer = await self._store(name, body, exists=not exists)
        self._versions[shard] = str(answer["metadata"]["resourceVersion"])

    async def _store(self, name: str, body: Object, *, exists: bool) -> Object:
        if exists:
            return await self._api.replace(f"{self._collection}/{name}", body)
        return await self._api.create(self._collection, body)

    def _fail(self, error: ApiError) -> None:
        problem = f"the record of the operator's own policies (ConfigMaps tenantprofile-ledger-*) is not kept: {error}"
        if problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem


def _departed(text: str) -> dict[str, str]:
    try:
        return {str(uid): str(policy) for uid, policy in orjson.loads(text).items()}
    except (ValueError, AttributeError):
        return {}


def _shard(namespace_uid: str) -> str:
    return namespace_uid[:1] if namespace_uid[:1] in SHARDS else SHARDS[0]


def _name(shard: str) -> str:
    return f"tenantprofile-ledger-{shard}"
