"""One namespace brought to what it should hold: read the state, work out the difference, do it.

Promises: nothing is written when nothing differs; nothing is removed before everything wanted stands,
or on old news; an object that is not ours is never touched; every write is based on the version that
was looked at, so that a change in between answers 409 and is looked at anew; a repair counts only when
the response shows the whole policy as desired.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from tenantprofile.changes import change, last_manager, merged
from tenantprofile.cluster.api import Api, ApiError, policies_in
from tenantprofile.cluster.policies import DELETION, PolicyCache
from tenantprofile.controller.board import StatusBoard
from tenantprofile.controller.contention import Contention
from tenantprofile.controller.events import EventRecorder, Subject
from tenantprofile.controller.removal import rests_on_present
from tenantprofile.controller.state import NamespaceRecord, State
from tenantprofile.desired import DesiredPolicy, ProfilePlan, Refusal
from tenantprofile.difference import Create, Delete, Plan, Replace, difference
from tenantprofile.names import ANNOTATION_ADOPT
from tenantprofile.observed import Observed, is_profile_reference, observe, written_by_us
from tenantprofile.standing import Outcome, Problem, counted

logger = logging.getLogger(__name__)

CONFLICT_RETRY: Final = 30.0
"""Seconds after which a name taken by a foreign object is looked at again: it carries no label to watch."""
MAX_BODIES: Final = 1000
"""Bodies of changed policies kept until they are repaired, so that a repair need not read them again."""


@dataclass(slots=True)
class Result:
    """What came of one namespace. `retry`: something failed; try again after `at_least` seconds."""

    retry: bool = False
    at_least: float = 0.0
    look_again: float | None = None
    """Seconds after which the namespace is looked at again without anything having failed."""


@dataclass(slots=True)
class _Pass:
    """One pass over one namespace: what is ready and what is wrong, by profile."""

    namespace: str
    ready: dict[str, int] = field(default_factory=dict)
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    created: dict[str, int] = field(default_factory=dict)
    result: Result = field(default_factory=Result)
    failed: bool = False
    going: bool = False
    """The namespace is being deleted: nothing is left to do."""

    def hold(self, profile: str) -> None:
        self.ready[profile] = self.ready.get(profile, 0) + 1

    def problem(self, profile: str, policy: str, reason: str, message: str) -> None:
        self.problems.setdefault(profile, []).append(Problem(self.namespace, policy, reason, message))

    def again(self, seconds: float) -> None:
        look_again = self.result.look_again
        self.result.look_again = seconds if look_again is None else min(seconds, look_again)


class Reconciler:
    """Works on one namespace at a time for each caller. `clock` gives monotonic seconds."""

    def __init__(
        self,
        api: Api,
        state: State,
        cache: PolicyCache,
        board: StatusBoard,
        events: EventRecorder,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._state = state
        self._cache = cache
        self._board = board
        self._events = events
        self._clock = clock
        self._contention = Contention()
        self._bodies: OrderedDict[tuple[str, str], Mapping[str, Any]] = OrderedDict()
        self._lost: dict[str, set[str]] = {}
        """By namespace: policies that somebody else deleted, until they are back."""
        self._conflicts: dict[str, set[str]] = {}
        """By namespace: names known to be taken by foreign objects."""

    def noticed(self, namespace: str, name: str, body: Mapping[str, Any] | None) -> None:
        """A policy was seen to differ from what was known; None when it is gone."""
        if body is None:
            self._lost.setdefault(namespace, set()).add(name)
            self._bodies.pop((namespace, name), None)
            return
        self._found_again(namespace, name)
        self._bodies[namespace, name] = body
        if len(self._bodies) > MAX_BODIES:
            self._bodies.popitem(last=False)

    async def reconcile(self, namespace: str) -> Result:
        """Bring a namespace to what it should hold, as far as is possible now."""
        record = self._state.namespaces.get(namespace)
        if record is None or record.terminating:
            self._forget(namespace)
            return Result()
        plans = self._state.plans(record.facts)
        found = self._cache.in_namespace(namespace)
        if not plans and not found:
            self._board.put(namespace, {})
            return Result()
        run = _Pass(namespace)
        await self._apply(run, record, plans)
        if run.going:
            self._forget(namespace)
            return Result()
        self._report(run, record, plans)
        if not run.failed:
            # What is left of it was not wanted any more.
            self._lost.pop(namespace, None)
            self._conflicts.pop(namespace, None)
            for name in found:
                self._bodies.pop((namespace, name), None)
        return run.result

    def _found_again(self, namespace: str, name: str) -> None:
        names = self._lost.get(namespace)
        if names is not None:
            names.discard(name)
            if not names:
                del self._lost[namespace]

    def _forget(self, namespace: str) -> None:
        """A namespace that is gone or going: its objects are the namespace controller's to remove."""
        self._board.put(namespace, {})
        self._lost.pop(namespace, None)
        self._conflicts.pop(namespace, None)

    # --- what is to be done ---

    async def _apply(self, run: _Pass, record: NamespaceRecord, plans: list[ProfilePlan]) -> None:
        wanted: list[DesiredPolicy] = []
        kept: set[str] = set()
        unclean: set[str] = set()
        report: set[str] = set()
        for plan in plans:
            profile = plan.profile
            told_once = {refusal.name for refusal in plan.refusals}
            if profile.drift == "Report":
                report.add(profile.name)
            for item in plan.desired(record.facts):
                if isinstance(item, Refusal):
                    unclean.add(profile.name)
                    kept.add(item.name)
                    if item.message and item.name not in told_once:
                        run.problem(profile.name, item.entry, item.reason, item.message)
                    item_or_last = item.last_good
                else:
                    item_or_last = item
                if profile.suspend:
                    kept.add(item.name)
                    self._look(run, item)
                elif item_or_last is not None:
                    wanted.append(item_or_last)
        found = self._cache.in_namespace(run.namespace)
        plan_of_work = difference(
            wanted,
            found,
            removable=self._removable(found, unclean),
            kept_names=kept,
            lost=self._lost.get(run.namespace, ()),
            empty_before=record.new and not found,
        )
        for policy in plan_of_work.holding:
            if policy.profile not in unclean or policy.name not in kept:
                run.hold(policy.profile)
        for policy in plan_of_work.conflicts:
            self._conflict(run, policy, None)
        # As they are now: while writes are on their way, the state may move on.
        basis = {
            d.observed.profile: self._state.profiles.get(d.observed.profile) for d in plan_of_work.removals
        }
        await self._work(run, plan_of_work, report, kept, partial(rests_on_present, self._api, record, basis))

    def _look(self, run: _Pass, item: DesiredPolicy | Refusal) -> None:
        """A suspended profile's policy: count it when it happens to be as desired, and leave it."""
        if isinstance(item, DesiredPolicy):
            seen = self._cache.in_namespace(run.namespace).get(item.name)
            if seen is not None and seen.digest == item.digest:
                run.hold(item.profile)

    def _removable(self, found: Mapping[str, Observed], unclean: set[str]) -> set[str]:
        """Profiles whose unwanted policies may go from a namespace."""
        if not (self._state.complete and self._cache.complete):
            return set()
        living = {record.uid for record in self._state.profiles.values()}
        removable: set[str] = set()
        for seen in found.values():
            record = self._state.profiles.get(seen.profile)
            if record is None:
                # Gone. Its policies carry their deletion policy: an owner reference means Delete.
                if seen.owner_uid is not None and seen.owner_uid not in living:
                    removable.add(seen.profile)
            elif record.profile is not None and not record.profile.suspend and seen.profile not in unclean:
                removable.add(seen.profile)
        return removable

    async def _work(
        self,
        run: _Pass,
        plan: Plan,
        report: set[str],
        kept: set[str],
        removals_still_right: Callable[[], Awaitable[bool]],
    ) -> None:
        for phase in plan.writes:
            writes = [write for write in phase if self._may_write(run, write, report)]
            await self._side_by_side(
                self._write(run, write, counts=write.desired.name not in kept) for write in writes
            )
            if run.going:
                return
        if run.failed or not plan.deletes or not await self._may_remove(run, plan, removals_still_right):
            return
        for removals in plan.deletes:
            await self._side_by_side(self._delete(run, removal) for removal in removals)
            if run.failed:
                return

    async def _may_remove(self, run: _Pass, plan: Plan, still_right: Callable[[], Awaitable[bool]]) -> bool:
        """Whether what is to be removed is unwanted by what stands in the cluster at present."""
        try:
            if await still_right():
                return True
        except ApiError as error:
            first = plan.removals[0].observed
            self._failed(run, first.profile, first.policy, error)
            return False
        # The news is on its way, and brings the namespace back here.
        run.result.retry = run.failed = True
        return False

    @staticmethod
    async def _side_by_side(calls: Iterable[Any]) -> None:
        pending = list(calls)
        if len(pending) == 1:
            await pending[0]
        elif pending:
            await asyncio.gather(*pending)

    def _may_write(self, run: _Pass, write: Create | Replace, report: set[str]) -> bool:
        """Whether a write is to be made now; drift may have to be reported, or put off, instead."""
        desired = write.desired
        lost = isinstance(write, Create) and write.lost
        drifted = lost or (isinstance(write, Replace) and write.drifted)
        if not drifted:
            return True
        if desired.profile in report:
            run.failed = True  # nothing is removed beside a policy that does not hold
            what = "it was deleted" if lost else "it was changed"
            body = self._bodies.get((run.namespace, desired.name))
            if body is not None:
                what = str(change(body, desired))
            run.problem(
                desired.profile,
                desired.entry,
                "Drifted",
                f"{what}; spec.drift is Report, so it stays as it is",
            )
            return False
        wait = self._contention.wait(run.namespace, desired.name, self._clock())
        if wait <= 0:
            return True
        body = self._bodies.get((run.namespace, desired.name))
        other = last_manager(body["metadata"]) if body is not None else None
        run.failed = True
        run.problem(
            desired.profile,
            desired.entry,
            "Contested",
            f"{other or 'somebody'} keeps changing or deleting it; the next repair is put off for a while",
        )
        run.again(wait)
        return False

    # --- doing it ---

    async def _write(self, run: _Pass, write: Create | Replace, *, counts: bool) -> None:
        desired = write.desired
        self._cache.expect(run.namespace, desired.name, desired.digest)
        try:
            if isinstance(write, Create):
                done = await self._create(run, write)
            else:
                done = await self._replace(run, desired, write)
            if done and counts:
                run.hold(desired.profile)
        except ApiError as error:
            self._failed(run, desired.profile, desired.entry, error)
        finally:
            self._cache.settled(run.namespace, desired.name)

    async def _create(self, run: _Pass, write: Create) -> bool:
        desired = write.desired
        if desired.name in self._conflicts.get(run.namespace, ()):
            # Known to be taken: look before writing, so that a standing conflict costs no writes.
            return await self._take_over(run, desired)
        try:
            body = await self._api.create(policies_in(run.namespace), desired.body())
        except ApiError as error:
            if error.status != 409:
                raise
            return await self._take_over(run, desired)
        if not self._accept(run, desired, body):
            return False
        self._found_again(run.namespace, desired.name)
        if write.lost:
            self._repaired(run, desired, "deleted")
        else:
            run.created[desired.profile] = run.created.get(desired.profile, 0) + 1
        return True

    async def _take_over(self, run: _Pass, desired: DesiredPolicy) -> bool:
        """The name is taken: ours with its label stripped, one that may be adopted, or foreign."""
        conflicts = self._conflicts.setdefault(run.namespace, set())
        try:
            body = await self._api.get(f"{policies_in(run.namespace)}/{desired.name}")
        except ApiError as error:
            if error.status == 404:
                conflicts.discard(desired.name)
                run.result.retry = run.failed = True
                return False
            raise
        metadata = body["metadata"]
        adopt = (metadata.get("annotations") or {}).get(ANNOTATION_ADOPT) == desired.profile
        if not (adopt or written_by_us(metadata) or self._owned(body, desired.profile)):
            conflicts.add(desired.name)
            self._conflict(run, desired, body)
            return False
        conflicts.discard(desired.name)
        seen = observe(body)
        if seen.digest == desired.digest == seen.applied and seen.ours:
            self._cache.put(run.namespace, desired.name, seen)
            return True
        if not await self._put(run, desired, merged(body, desired)):
            return False
        self._found_again(run.namespace, desired.name)
        if adopt and not seen.ours:
            self._events.normal(
                self._subject(desired.profile),
                "Adopted",
                f"{run.namespace}/{desired.name} was taken over, as its annotation {ANNOTATION_ADOPT} says",
            )
        else:
            self._repaired(run, desired, str(change(body, desired)))
        return True

    def _owned(self, body: Mapping[str, Any], profile: str) -> bool:
        record = self._state.profiles.get(profile)
        references = body["metadata"].get("ownerReferences") or []
        return record is not None and any(
            is_profile_reference(reference) and reference.get("uid") == record.uid for reference in references
        )

    async def _replace(self, run: _Pass, desired: DesiredPolicy, write: Replace) -> bool:
        body = self._bodies.pop((run.namespace, desired.name), None)
        if body is None and write.observed.plain and not write.drifted:
            try:
                answer = await self._api.replace(
                    f"{policies_in(run.namespace)}/{desired.name}",
                    desired.body(write.observed.resource_version),
                )
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
            else:
                return self._accept(run, desired, answer)
        if body is None or body["metadata"]["resourceVersion"] != write.observed.resource_version:
            try:
                body = await self._api.get(f"{policies_in(run.namespace)}/{desired.name}")
            except ApiError as error:
                if error.status == 404:
                    # Deleted meanwhile; its watch event brings the namespace back here.
                    run.result.retry = run.failed = True
                    return False
                raise
        if not await self._put(run, desired, merged(body, desired)):
            return False
        if write.drifted:
            self._repaired(run, desired, str(change(body, desired)))
        return True

    async def _put(self, run: _Pass, desired: DesiredPolicy, body: Mapping[str, Any]) -> bool:
        path = f"{policies_in(run.namespace)}/{desired.name}"
        try:
            return self._accept(run, desired, await self._api.replace(path, body))
        except ApiError as error:
            if error.status in (404, 409):
                # Changed or deleted since it was read: look again at once.
                run.result.retry = run.failed = True
                return False
            raise

    def _accept(self, run: _Pass, desired: DesiredPolicy, body: Mapping[str, Any]) -> bool:
        """Take a write's response into the cache; whether it shows the whole policy as desired."""
        seen = observe(body)
        self._cache.put(run.namespace, desired.name, seen)
        if seen.digest == desired.digest:
            return True
        run.failed = run.result.retry = True
        run.problem(
            desired.profile,
            desired.entry,
            "ChangedOnWrite",
            f"the API server stored something else than was sent ({change(body, desired).what} differ);"
            " an admission webhook or policy of the cluster changes NetworkPolicies",
        )
        return False

    async def _delete(self, run: _Pass, removal: Delete) -> None:
        path = f"{policies_in(run.namespace)}/{removal.name}"
        seen = removal.observed
        self._cache.expect(run.namespace, removal.name, DELETION)
        try:
            await self._api.delete(path, uid=seen.uid, resource_version=seen.resource_version)
            self._cache.remove(run.namespace, removal.name, seen.uid)
            logger.info(
                "removed a network policy that is no longer wanted",
                extra={"namespace": run.namespace, "policy": removal.name, "profile": seen.profile},
            )
        except ApiError as error:
            if error.status == 404:
                self._cache.remove(run.namespace, removal.name, seen.uid)
            elif error.status == 409:
                run.result.retry = run.failed = True
            else:
                self._failed(run, seen.profile, seen.policy, error)
        finally:
            self._cache.settled(run.namespace, removal.name)

    # --- what came of it ---

    def _failed(self, run: _Pass, profile: str, entry: str, error: ApiError) -> None:
        if error.namespace_is_going:
            run.going = True
            return
        run.failed = run.result.retry = True
        run.result.at_least = max(run.result.at_least, error.retry_after or 0.0)
        run.problem(profile, entry, "ApplyFailed", str(error))

    def _conflict(self, run: _Pass, desired: DesiredPolicy, body: Mapping[str, Any] | None) -> None:
        manager = last_manager(body["metadata"]) if body is not None else None
        by = f" (written by {manager})" if manager else ""
        run.failed = True
        run.again(CONFLICT_RETRY)
        run.problem(
            desired.profile,
            desired.entry,
            "Conflict",
            f"NetworkPolicy {run.namespace}/{desired.name} exists and is not the operator's{by}; it is left alone."
            f" Rename or remove it, or annotate it with {ANNOTATION_ADOPT}={desired.profile} to hand it over",
        )

    def _repaired(self, run: _Pass, desired: DesiredPolicy, what: str) -> None:
        self._contention.repaired(run.namespace, desired.name, self._clock())
        self._board.repaired(desired.profile, f"{run.namespace}/{desired.name}: {what}")
        self._events.normal(
            self._subject(desired.profile), "Repaired", f"{run.namespace}/{desired.name}: {what}"
        )
        record = self._state.namespaces.get(run.namespace)
        if record is not None:
            self._events.warning(
                Subject("Namespace", run.namespace, record.uid),
                "PolicyRepaired",
                f"NetworkPolicy {desired.name} was put right: {what}",
            )
        logger.info(
            "repaired a network policy: %s",
            what,
            extra={"namespace": run.namespace, "policy": desired.name, "profile": desired.profile},
        )

    def _report(self, run: _Pass, record: NamespaceRecord, plans: list[ProfilePlan]) -> None:
        subject = Subject("Namespace", run.namespace, record.uid)
        outcomes = {}
        for plan in plans:
            name = plan.profile.name
            problems = tuple(sorted(run.problems.get(name, ())))
            outcomes[name] = Outcome(len(plan.profile.entries), run.ready.get(name, 0), problems)
            if created := run.created.get(name):
                self._events.normal(
                    subject,
                    "PoliciesCreated",
                    f"created {counted(created, 'network policy', 'network policies')} of profile {name}",
                )
            if problems and self._board.is_news(run.namespace, name, problems):
                first = problems[0]
                self._events.warning(subject, first.reason, f"{name}/{first.policy}: {first.message}")
                self._events.warning(
                    self._subject(name), first.reason, f"{run.namespace}/{first.policy}: {first.message}"
                )
        self._board.put(run.namespace, outcomes)

    def _subject(self, profile: str) -> Subject:
        record = self._state.profiles.get(profile)
        return Subject("TenantProfile", profile, record.uid if record is not None else "")
