"""One namespace brought to what it should hold: read the state, work out the difference, do it.

Promises: nothing is written when nothing differs; nothing is removed before everything wanted stands,
nor on old news; an object that is not ours is never touched (`apply` sees to that).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tenantprofile.cluster.api import Api, ApiError
from tenantprofile.cluster.policies import PolicyCache
from tenantprofile.controller.apply import Applier
from tenantprofile.controller.board import StatusBoard
from tenantprofile.controller.contention import WINDOW, Contention
from tenantprofile.controller.events import EventRecorder
from tenantprofile.controller.noticed import Noticed
from tenantprofile.controller.passes import Pass
from tenantprofile.controller.removal import rests_on_present
from tenantprofile.controller.state import NamespaceRecord, ProfileRecord, State
from tenantprofile.controller.telling import Teller
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan, Refusal
from tenantprofile.planning.drift import change, last_manager
from tenantprofile.planning.observed import Observed
from tenantprofile.planning.plan import Create, Plan, Replace, difference


@dataclass(slots=True)
class _Wishes:
    """What the profiles of one namespace ask for."""

    wanted: list[DesiredPolicy] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    """Object names that stay whatever else is said."""
    unclean: set[str] = field(default_factory=set)
    """Profiles of which not every entry renders."""
    reporting: set[str] = field(default_factory=set)
    """Profiles that report drift instead of repairing it."""


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
        self._clock = clock
        self._contention = Contention()
        self._noticed = Noticed()
        self._teller = Teller(state, board, events)
        self._applier = Applier(api, state, cache, self._noticed, self._teller)

    def noticed(self, namespace: str, name: str, body: Mapping[str, Any] | None) -> None:
        """A policy was seen to differ from what was known; None when it is gone."""
        if body is None:
            self._noticed.deleted(namespace, name)
        else:
            self._noticed.changed(namespace, name, body)

    async def reconcile(self, namespace: str) -> Pass:
        """Bring a namespace to what it should hold, as far as is possible now; what came of it."""
        run = Pass(namespace)
        record = self._state.namespaces.get(namespace)
        if record is None or record.terminating:
            return self._leave(run)
        plans = self._state.plans(record.facts)
        found = self._cache.in_namespace(namespace)
        if plans or found:
            wishes = self._wishes(run, record, plans)
            plan = difference(
                wishes.wanted,
                found,
                removable=self._removable(found, wishes.unclean),
                kept_names=wishes.kept,
                lost=self._noticed.lost(namespace),
                empty_before=record.new and not found,
            )
            await self._carry_out(run, record, plan, wishes)
        if run.going:
            return self._leave(run)
        self._teller.outcome(run, record, plans)
        if not run.incomplete:
            self._noticed.forget(namespace, found)
        return run

    def _leave(self, run: Pass) -> Pass:
        """A namespace that is gone or going: its objects are the namespace controller's to remove."""
        self._teller.nothing(run.namespace)
        self._noticed.forget(run.namespace)
        return Pass(run.namespace)

    # --- what is to be done ---

    def _wishes(self, run: Pass, record: NamespaceRecord, plans: list[ProfilePlan]) -> _Wishes:
        wishes = _Wishes()
        for plan in plans:
            profile = plan.profile
            told_once = {refusal.name for refusal in plan.refusals}
            if profile.drift == "Report":
                wishes.reporting.add(profile.name)
            for item in plan.desired(record.facts):
                policy = item.last_good if isinstance(item, Refusal) else item
                if isinstance(item, Refusal):
                    wishes.unclean.add(profile.name)
                    wishes.kept.add(item.name)
                    if item.message and item.name not in told_once:
                        run.tell(profile.name, item.entry, item.reason, item.message)
                if profile.suspend:
                    wishes.kept.add(item.name)
                    self._look(run, item)
                elif policy is not None:
                    wishes.wanted.append(policy)
        return wishes

    def _look(self, run: Pass, item: DesiredPolicy | Refusal) -> None:
        """A suspended profile's policy: count it when it happens to be as desired, and leave it."""
        if isinstance(item, DesiredPolicy):
            seen = self._cache.in_namespace(run.namespace).get(item.name)
            if seen is not None and seen.digest == item.digest:
                run.hold(item.profile)

    def _removable(self, found: Mapping[str, Observed], unclean: set[str]) -> set[str]:
        """Profiles whose unwanted policies may go from a namespace."""
        if not (found and self._state.complete and self._cache.complete):
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

    # --- doing it ---

    async def _carry_out(self, run: Pass, record: NamespaceRecord, plan: Plan, wishes: _Wishes) -> None:
        # As they are now: while writes are on their way, the state may move on.
        basis = {
            removal.observed.profile: self._state.profiles.get(removal.observed.profile)
            for removal in plan.removals
        }
        for policy in plan.holding:
            if policy.name not in wishes.kept:
                run.hold(policy.profile)
                self._tell_contention(run, policy)
        for policy in plan.conflicts:
            self._applier.conflict(run, policy)
        for phase in plan.writes:
            writes = [write for write in phase if self._may_write(run, write, wishes.reporting)]
            await self._each(self._write(run, write, wishes) for write in writes)
            if run.going:
                return
        if run.incomplete or not basis or not await self._still_right(run, record, basis):
            return
        for removals in plan.deletes:
            await self._each(self._applier.delete(run, removal) for removal in removals)
            if run.incomplete:
                return

    async def _each(self, calls: Iterable[Awaitable[None]]) -> None:
        """Side by side where somebody waits; in a fan-out the namespaces are, and a task for each write costs more."""
        if self._api.in_background:
            for call in calls:
                await call
        else:
            await asyncio.gather(*calls)

    async def _write(self, run: Pass, write: Create | Replace, wishes: _Wishes) -> None:
        body = self._noticed.body(run.namespace, write.desired.name)
        if not await self._applier.write(run, write):
            return
        # A policy kept up in its last good form is not what the profile asks for: it does not count.
        if write.desired.name not in wishes.kept:
            run.hold(write.desired.profile)
        # A write that the API server refused is nobody's fight.
        if _is_drift(write):
            other = last_manager(body["metadata"]) if body is not None else None
            self._contention.repaired(run.namespace, write.desired.name, self._clock(), other)
            self._tell_contention(run, write.desired)

    async def _still_right(
        self, run: Pass, record: NamespaceRecord, basis: Mapping[str, ProfileRecord | None]
    ) -> bool:
        """Whether what is to be removed is unwanted by what stands in the cluster at present."""
        try:
            if await rests_on_present(self._api, record, basis):
                return True
        except ApiError as error:
            run.failed(min(basis), "", error)
            return False
        run.stale()  # the news is on its way
        return False

    def _may_write(self, run: Pass, write: Create | Replace, reporting: set[str]) -> bool:
        """Whether a write is to be made now; drift may have to be reported, or put off, instead."""
        if not _is_drift(write):
            return True
        desired = write.desired
        body = self._noticed.body(run.namespace, desired.name)
        found = change(body, desired) if body is not None else None
        if desired.profile in reporting:
            what = str(found) if found else "deleted" if isinstance(write, Create) else "changed"
            run.problem(
                desired.profile,
                desired.entry,
                "Drifted",
                f"{what}; spec.drift is Report, so it stays as it is",
            )
            return False
        protects = found is None or found.opens
        wait = self._contention.wait(run.namespace, desired.name, self._clock(), protects=protects)
        if wait <= 0:
            return True
        run.again(wait)
        run.incomplete = True
        self._tell_contention(run, desired)
        return False

    def _tell_contention(self, run: Pass, desired: DesiredPolicy) -> None:
        """Say so where a policy is fought over; and come back to take it back when that has ended."""
        if self._contention.is_contested(run.namespace, desired.name, self._clock()):
            other = self._contention.other(run.namespace, desired.name)
            run.again(WINDOW)
            run.tell(
                desired.profile,
                desired.entry,
                "Contested",
                f"{other} keeps changing or deleting it; take the right to write NetworkPolicies away from it",
            )


def _is_drift(write: Create | Replace) -> bool:
    """Whether a write undoes what somebody else did, rather than doing what a profile says."""
    return write.lost if isinstance(write, Create) else write.drifted
