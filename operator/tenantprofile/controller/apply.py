"""Single policies written and removed, each on the version that was looked at.

An object that is not ours is never touched; a change in between answers 409 and is looked at anew; a
repair counts only when the response shows the whole policy as desired. What is found out goes into the
Pass; responses go into the cache at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tenantprofile.cluster.api import Api, ApiError, policies_in
from tenantprofile.cluster.policies import DELETION, PolicyCache
from tenantprofile.controller.noticed import Noticed
from tenantprofile.controller.passes import Pass
from tenantprofile.controller.state import State
from tenantprofile.controller.telling import Teller
from tenantprofile.names import ANNOTATION_ADOPT
from tenantprofile.planning.desired import DesiredPolicy
from tenantprofile.planning.drift import change, last_manager, merged
from tenantprofile.planning.observed import is_profile_reference, observe, written_by_us
from tenantprofile.planning.plan import Create, Delete, Replace

CONFLICT_RETRY: Final = 30.0
"""Seconds after which a name taken by a foreign object is looked at again: it carries no label to watch."""


class Applier:
    """Carries out the steps of a plan."""

    def __init__(self, api: Api, state: State, cache: PolicyCache, noticed: Noticed, teller: Teller) -> None:
        self._api = api
        self._state = state
        self._cache = cache
        self._noticed = noticed
        self._teller = teller

    async def write(self, run: Pass, write: Create | Replace) -> bool:
        """Create or replace a policy; whether it is as desired afterwards."""
        desired = write.desired
        self._cache.expect(run.namespace, desired.name, desired.digest)
        try:
            if isinstance(write, Create):
                return await self._create(run, write)
            return await self._replace(run, write)
        except ApiError as error:
            run.failed(desired.profile, desired.entry, error)
            return False
        finally:
            self._cache.settled(run.namespace, desired.name)

    async def delete(self, run: Pass, removal: Delete) -> None:
        """Delete exactly the object that was looked at."""
        seen = removal.observed
        self._cache.expect(run.namespace, removal.name, DELETION)
        try:
            await self._api.delete(
                _path(run.namespace, removal.name), uid=seen.uid, resource_version=seen.resource_version
            )
            self._cache.remove(run.namespace, removal.name, seen.uid)
            self._teller.removed(run.namespace, removal.name, seen.profile)
        except ApiError as error:
            if error.status == 404:
                self._cache.remove(run.namespace, removal.name, seen.uid)
            elif error.status == 409:
                run.stale()
            else:
                run.failed(seen.profile, seen.policy, error)
        finally:
            self._cache.settled(run.namespace, removal.name)

    def conflict(self, run: Pass, desired: DesiredPolicy, body: Mapping[str, Any] | None = None) -> None:
        """The name is taken by an object that is not ours; `body` where it was read."""
        manager = last_manager(body["metadata"]) if body is not None else None
        by = f" (written by {manager})" if manager else ""
        run.again(CONFLICT_RETRY)
        run.problem(
            desired.profile,
            desired.entry,
            "Conflict",
            f"NetworkPolicy {run.namespace}/{desired.name} exists and is not the operator's{by}; it is left alone."
            f" Rename or remove it, or annotate it with {ANNOTATION_ADOPT}={desired.profile} to hand it over",
        )

    async def _create(self, run: Pass, write: Create) -> bool:
        desired = write.desired
        if self._noticed.is_taken(run.namespace, desired.name):
            # Look before writing, so that a standing conflict costs no writes.
            return await self._take_over(run, desired)
        try:
            body = await self._api.create_soon(policies_in(run.namespace), desired.body())
        except ApiError as error:
            if error.status != 409:
                raise
            return await self._take_over(run, desired)
        if not self._accept(run, desired, body):
            return False
        self._noticed.back(run.namespace, desired.name)
        if write.lost:
            self._teller.repaired(run.namespace, desired, "deleted")
        else:
            run.created[desired.profile] = run.created.get(desired.profile, 0) + 1
        return True

    async def _take_over(self, run: Pass, desired: DesiredPolicy) -> bool:
        """The name is taken: ours with its label stripped, one that may be adopted, or foreign."""
        body = await self._find(run, desired)
        if body is None:
            self._noticed.free(run.namespace, desired.name)
            return False
        metadata = body["metadata"]
        adopt = (metadata.get("annotations") or {}).get(ANNOTATION_ADOPT) == desired.profile
        if not (adopt or written_by_us(metadata) or self._owned(metadata, desired.profile)):
            self._noticed.taken(run.namespace, desired.name)
            self.conflict(run, desired, body)
            return False
        self._noticed.free(run.namespace, desired.name)
        seen = observe(body)
        if seen.digest == desired.digest == seen.applied and seen.ours:
            self._cache.put(run.namespace, desired.name, seen)
            return True
        if not await self._put(run, desired, body):
            return False
        self._noticed.back(run.namespace, desired.name)
        if adopt and not seen.ours:
            self._teller.adopted(run.namespace, desired)
        else:
            self._teller.repaired(run.namespace, desired, str(change(body, desired)))
        return True

    def _owned(self, metadata: Mapping[str, Any], profile: str) -> bool:
        record = self._state.profiles.get(profile)
        references = metadata.get("ownerReferences") or []
        return record is not None and any(
            is_profile_reference(reference) and reference.get("uid") == record.uid for reference in references
        )

    async def _replace(self, run: Pass, write: Replace) -> bool:
        desired, seen = write.desired, write.observed
        body = self._noticed.take_body(run.namespace, desired.name)
        if body is None and seen.plain and not write.drifted:
            # Nothing of anybody else's is in it: no need to read it first.
            try:
                answer = await self._api.replace(
                    _path(run.namespace, desired.name), desired.body(seen.resource_version)
                )
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
            else:
                return self._accept(run, desired, answer)
        if body is None or body["metadata"]["resourceVersion"] != seen.resource_version:
            body = await self._find(run, desired)
            if body is None:
                return False
        if not await self._put(run, desired, body):
            return False
        if write.drifted:
            self._teller.repaired(run.namespace, desired, str(change(body, desired)))
        return True

    async def _find(self, run: Pass, desired: DesiredPolicy) -> Mapping[str, Any] | None:
        """The policy as it is now; where it is gone meanwhile, the pass is stale."""
        try:
            return await self._api.get(_path(run.namespace, desired.name))
        except ApiError as error:
            if error.status == 404:
                run.stale()
                return None
            raise

    async def _put(self, run: Pass, desired: DesiredPolicy, body: Mapping[str, Any]) -> bool:
        """Write the desired policy over a found one; where that has changed meanwhile, the pass is stale."""
        path = _path(run.namespace, desired.name)
        try:
            return self._accept(run, desired, await self._api.replace(path, merged(body, desired)))
        except ApiError as error:
            if error.status in (404, 409):
                run.stale()
                return False
            raise

    def _accept(self, run: Pass, desired: DesiredPolicy, body: Mapping[str, Any]) -> bool:
        """Take a write's response into the cache; whether it shows the whole policy as desired."""
        seen = observe(body)
        self._cache.put(run.namespace, desired.name, seen)
        if seen.digest == desired.digest:
            return True
        run.retry = True
        run.problem(
            desired.profile,
            desired.entry,
            "ChangedOnWrite",
            f"the API server stored something else than was sent ({change(body, desired).what} differ);"
            " an admission webhook or policy of the cluster changes NetworkPolicies",
        )
        return False


def _path(namespace: str, name: str) -> str:
    return f"{policies_in(namespace)}/{name}"
