"""Single policies written and removed.

An object that is not the operator's is never touched unless its profile says so; a change in between answers
409 and is looked at anew; a repair counts only when the response shows the whole policy as desired and nothing
newer has been seen. What is found out goes into the Result; responses go into the cache at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from json import dumps
from typing import TYPE_CHECKING, Any, Final

from tenantprofile.cluster.api import Api, ApiError, policies_in
from tenantprofile.controller.ledger import Ledger
from tenantprofile.controller.pending_drift import PendingDrift
from tenantprofile.controller.reporter import Reporter
from tenantprofile.controller.result import Result
from tenantprofile.controller.seal import Seal
from tenantprofile.controller.state import NamespaceRecord, Policies, State
from tenantprofile.names import ANNOTATION_ADOPT, ANNOTATION_REPLACED
from tenantprofile.planning.desired import DesiredPolicy
from tenantprofile.planning.drift import change, last_manager, merged
from tenantprofile.planning.observed import observe
from tenantprofile.planning.plan import Create, Delete, Replace, Write

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFLICT_RETRY: Final = (5.0, 30.0)
"""Seconds after which a name taken by a foreign object is looked at again, as it may carry no label to watch: the
first for up to MANY_CONFLICTS of them, the second beyond."""
MANY_CONFLICTS: Final = 100
MAX_REPLACED: Final = 100_000
"""Characters of a foreign spec that is kept in an annotation; all annotations together may hold 256 KiB (API
validation). A policy with a larger one is not replaced."""


class Applier:
    """Carries out the steps of a plan."""

    def __init__(
        self,
        api: Api,
        state: State,
        policies: Policies,
        ledger: Ledger,
        seal: Seal,
        pending: PendingDrift,
        reporter: Reporter,
    ) -> None:
        self._api = api
        self._state = state
        self._policies = policies
        self._ledger = ledger
        self._seal = seal
        self._pending = pending
        self._reporter = reporter
        self._taken: set[tuple[str, str]] = set()
        self._in_flight: dict[tuple[str, str], str] = {}
        self._unanswered: dict[tuple[str, str], DesiredPolicy] = {}
        self.written: dict[str, dict[str, DesiredPolicy]] = {}
        """By namespace and name: what stands there by our hand, as rendered; the last good form of each policy."""

    def is_own_write(self, namespace: str, name: str, digest: str) -> bool:
        """Whether a watch event shows the outcome of a write that is still under way; a deletion's digest is empty."""
        return self._in_flight.get((namespace, name)) == digest

    def forget(self, namespace: str) -> None:
        """The namespace is gone."""
        self.written.pop(namespace, None)
        for key in [key for key in (*self._taken, *self._unanswered) if key[0] == namespace]:
            self._taken.discard(key)
            self._unanswered.pop(key, None)

    def seen(self, namespace: str, name: str, digest: str, applied: str) -> None:
        """A policy was seen; one whose write had no answer is ours if it shows what was written."""
        sent = self._unanswered.pop((namespace, name), None)
        record = self._state.namespaces.get(namespace)
        if sent is not None and record is not None and digest == applied == sent.digest:
            self._ledger.wrote(record.uid, name, sent.profile_uid)

    def holds(self, record: NamespaceRecord, desired: DesiredPolicy) -> None:
        """A policy is exactly as desired."""
        namespace = record.facts.name
        self._taken.discard((namespace, desired.name))
        self._pending.present(namespace, desired.name)
        self.written.setdefault(namespace, {})[desired.name] = desired
        self._ledger.wrote(record.uid, desired.name, desired.profile_uid)

    async def write(
        self, run: Result, record: NamespaceRecord, write: Write, *, contested: bool = False
    ) -> bool:
        """Create or replace a policy; whether it is as desired afterwards."""
        desired = write.desired
        with self._under_way(run.namespace, desired.name, desired.digest):
            try:
                if isinstance(write, Create):
                    return await self._create(run, record, write)
                return await self._replace(run, record, write, contested=contested)
            except ApiError as error:
                if isinstance(write, Create) and (error.status == 0 or error.status >= 500):
                    self._unanswered[run.namespace, desired.name] = desired
                run.failed(desired.profile, desired.entry, error, minor=not desired.closes)
                self._reporter.refused(run.namespace, desired.profile, desired.name, error)
                return False

    async def take_over(self, run: Result, record: NamespaceRecord, desired: DesiredPolicy) -> bool:
        """Take a foreign policy that carries our label over, if that was asked for; whether it is as desired."""
        self._taken.add((run.namespace, desired.name))  # so that it is read before anything is written
        return await self.write(run, record, Create(desired, lost=False))

    async def delete(self, run: Result, record: NamespaceRecord, removal: Delete) -> bool:
        """Delete exactly the object that was looked at; whether nothing of it is left."""
        name = removal.name
        profile, _, entry = name.rpartition(".")
        seen = removal.observed
        with self._under_way(run.namespace, name, ""):
            try:
                if seen is None:
                    # Nothing of that name carries our label: deleted by somebody, or the label was taken off.
                    seen = observe(await self._api.get(_path(run.namespace, name)))
                answer = None
                if not seen.held_by:
                    answer = await self._api.delete(
                        _path(run.namespace, name), uid=seen.uid, resource_version=seen.resource_version
                    )
                    run.wrote = True
                if seen.held_by or _still_there(answer):
                    self._held(run, profile, entry, seen.held_by or observe(answer or {}).held_by)
                    return False
            except ApiError as error:
                if error.status == 409:
                    if seen is not None:
                        self._policies.forget(run.namespace, name, seen.resource_version)
                    run.stale(profile)
                    return False
                if error.status != 404 or error.namespace_is_going:
                    run.failed(profile, entry, error)
                    self._reporter.refused(run.namespace, profile, name, error)
                    return False
            if seen is not None:
                self._policies.deleted(run.namespace, name, seen.uid)
        self._ledger.removed(record.uid, name)
        self._pending.present(run.namespace, name)
        self.written.get(run.namespace, {}).pop(name, None)
        if seen is not None:
            self._reporter.removed(run.namespace, name, profile)
        return True

    @staticmethod
    def _held(run: Result, profile: str, entry: str, finalizers: str) -> None:
        run.again(CONFLICT_RETRY[1])
        run.problem(
            profile,
            entry,
            "HeldByFinalizer",
            f"deleted, but metadata.finalizers ({finalizers}) keep it in force; whoever set them has to remove them",
            minor=False,
        )

    def conflict(self, run: Result, desired: DesiredPolicy, body: Mapping[str, Any] | None = None) -> None:
        """The name is taken by an object that is not ours; `body` where it was read."""
        manager = last_manager(body["metadata"]) if body is not None else None
        by = f" (written by {manager})" if manager else ""
        self._taken.add((run.namespace, desired.name))
        run.again(CONFLICT_RETRY[len(self._taken) > MANY_CONFLICTS])
        run.problem(
            desired.profile,
            desired.entry,
            "Conflict",
            f"this namespace is NOT protected by {desired.entry}: NetworkPolicy {run.namespace}/{desired.name} exists"
            f" and is not the operator's{by}; it is left alone. Rename or delete it, annotate it with"
            f" {ANNOTATION_ADOPT}={desired.profile} to hand it over, or set spec.conflicts: Replace in the profile",
            minor=False,
        )

    # --- single steps ---

    @contextmanager
    def _under_way(self, namespace: str, name: str, digest: str) -> Iterator[None]:
        self._in_flight[namespace, name] = digest
        try:
            with self._policies.writing(namespace, name):
                yield
        finally:
            del self._in_flight[namespace, name]

    def _body(
        self, record: NamespaceRecord, desired: DesiredPolicy, resource_version: str | None = None
    ) -> bytes:
        body = desired.wire if self._api.takes_protobuf else desired.body
        return body(self._seal_of(record, desired), resource_version)

    def _seal_of(self, record: NamespaceRecord, desired: DesiredPolicy) -> str:
        return self._seal.of(record.uid, desired.name, marked=desired.marked)

    async def _create(self, run: Result, record: NamespaceRecord, write: Create) -> bool:
        desired = write.desired
        if (run.namespace, desired.name) in self._taken:
            # Look before writing, so that a standing conflict costs no writes.
            return await self._take_over(run, record, write)
        try:
            body = await self._api.create_soon(policies_in(run.namespace), self._body(record, desired))
        except ApiError as error:
            if error.status != 409:
                raise
            return await self._take_over(run, record, write)
        if not self._accept(run, record, desired, body):
            return False
        if write.lost:
            self._reporter.repaired(run.namespace, desired, "deleted", None)
        else:
            run.created[desired.profile] = run.created.get(desired.profile, 0) + 1
        return True

    async def _take_over(self, run: Result, record: NamespaceRecord, write: Create) -> bool:
        """The name is taken: ours with its label stripped, one that may be adopted or replaced, or foreign."""
        desired = write.desired
        body = await self._find(run, desired)
        if body is None:
            self._taken.discard((run.namespace, desired.name))
            return False
        seen = observe(body)
        if seen.digest == desired.digest == seen.applied:
            return self._accept(run, record, desired, body)
        owned = desired.name in self._ledger.owned(record.uid) or self._seal.proves(
            record.uid, desired.name, seen.seal
        )
        adopt = (body["metadata"].get("annotations") or {}).get(ANNOTATION_ADOPT) == desired.profile
        profile = self._state.profiles.get(desired.profile)
        replace = (
            profile is not None and profile.profile is not None and profile.profile.conflicts == "Replace"
        )
        spec = dumps(body.get("spec") or {}, sort_keys=True, separators=(",", ":"))
        if not (owned or adopt) and (not replace or len(spec) > MAX_REPLACED):
            self.conflict(run, desired, body)
            return False
        found = change(body, desired)
        wanted = merged(body, desired, self._seal_of(record, desired))
        if replace and not (owned or adopt):
            wanted["metadata"]["annotations"][ANNOTATION_REPLACED] = spec
        if not await self._put(run, record, desired, wanted):
            return False
        if owned:
            self._reporter.repaired(run.namespace, desired, str(found), found.manager)
        elif adopt:
            self._reporter.adopted(run.namespace, desired)
        else:
            self._reporter.replaced(run.namespace, desired, spec)
        return True

    async def _replace(
        self, run: Result, record: NamespaceRecord, write: Replace, *, contested: bool
    ) -> bool:
        desired, seen = write.desired, write.observed
        body = self._pending.take_body(run.namespace, desired.name)
        if body is None and seen.plain and not write.drifted:
            # Nothing of anybody else's is in it: no need to read it first.
            try:
                answer = await self._api.replace(
                    _path(run.namespace, desired.name),
                    self._body(record, desired, seen.resource_version),
                )
            except ApiError as error:
                if error.status not in (404, 409) or error.namespace_is_going:
                    raise
                self._policies.forget(run.namespace, desired.name, seen.resource_version)
            else:
                return self._accept(run, record, desired, answer)
        current = body is not None and body["metadata"]["uid"] == seen.uid
        if not current or (not contested and body["metadata"]["resourceVersion"] != seen.resource_version):  # type: ignore[index]
            body = await self._find(run, desired)
        if body is None:
            return False
        changed = merged(body, desired, self._seal_of(record, desired))
        if contested:
            # Whoever writes in a loop makes every version old. The uid still says which object is meant, and
            # without a version the write takes effect whatever came in between (API conventions, updates).
            del changed["metadata"]["resourceVersion"]
        found = change(body, desired)
        if not await self._put(run, record, desired, changed):
            return False
        if write.drifted:
            self._reporter.repaired(run.namespace, desired, str(found), found.manager)
        return True

    async def _find(self, run: Result, desired: DesiredPolicy) -> Mapping[str, Any] | None:
        """The policy as it is now; where it is gone meanwhile, the pass is stale."""
        known = self._policies.in_namespace(run.namespace).get(desired.name)
        try:
            return await self._api.get(_path(run.namespace, desired.name))
        except ApiError as error:
            if error.status != 404 or error.namespace_is_going:
                raise
            if known is not None:
                self._policies.forget(run.namespace, desired.name, known.resource_version)
            run.stale(desired.profile)
            return None

    async def _put(
        self, run: Result, record: NamespaceRecord, desired: DesiredPolicy, wanted: Mapping[str, Any]
    ) -> bool:
        """Write over a found object; where that has changed meanwhile, the pass is stale."""
        try:
            answer = await self._api.replace(_path(run.namespace, desired.name), wanted)
        except ApiError as error:
            if error.status in (404, 409) and not error.namespace_is_going:
                based_on = wanted["metadata"].get("resourceVersion")
                if based_on:
                    self._policies.forget(run.namespace, desired.name, based_on)
                run.stale(desired.profile)
                return False
            raise
        return self._accept(run, record, desired, answer)

    def _accept(
        self, run: Result, record: NamespaceRecord, desired: DesiredPolicy, body: Mapping[str, Any]
    ) -> bool:
        """Take a write's response into the cache; whether it shows the whole policy as desired, and is the present."""
        run.wrote = True
        seen = observe(body)
        newest = self._policies.written(run.namespace, desired.name, seen)
        self._ledger.wrote(record.uid, desired.name, desired.profile_uid)
        self._taken.discard((run.namespace, desired.name))
        if seen.digest != desired.digest:
            run.retry = True
            run.problem(
                desired.profile,
                desired.entry,
                "ChangedOnWrite",
                f"the API server stored something else than was sent ({change(body, desired).what} differ);"
                " an admission webhook or policy of the cluster changes NetworkPolicies",
                minor=False,
            )
            return False
        self.written.setdefault(run.namespace, {})[desired.name] = desired
        if not newest:
            run.stale(desired.profile)
            return False
        self._pending.present(run.namespace, desired.name)
        return True


def _still_there(answer: Mapping[str, Any] | None) -> bool:
    """Whether a DELETE was answered with an object that finalizers keep, instead of with a Status."""
    return answer is not None and bool((answer.get("metadata") or {}).get("finalizers"))


def _path(namespace: str, name: str) -> str:
    return f"{policies_in(namespace)}/{name}"
