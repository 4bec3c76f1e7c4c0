"""One namespace brought to what it should hold: read the state, work out the plan, carry it out.

Promises: nothing is written when nothing differs; nothing of a profile is removed before everything that it wants
stands, while any of its entries is broken, nor on old news; an object that is not ours is never touched (`apply`
sees to that); one profile's trouble keeps nothing of another's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any, Final

from tenantprofile.cluster.api import Api, ApiError
from tenantprofile.controller.apply import Applier
from tenantprofile.controller.contention import Contention
from tenantprofile.controller.events import EventRecorder
from tenantprofile.controller.ledger import DELETE, Ledger, Owned
from tenantprofile.controller.metrics import Metrics
from tenantprofile.controller.pending_drift import PendingDrift
from tenantprofile.controller.prune import kind_uid, rests_on_present
from tenantprofile.controller.reporter import Reporter
from tenantprofile.controller.result import Result
from tenantprofile.controller.seal import Seal
from tenantprofile.controller.state import NamespaceRecord, Policies, ProfileRecord, State
from tenantprofile.controller.status_writer import StatusWriter
from tenantprofile.controller.tracing import Tracing
from tenantprofile.planning.baseline import Baseline
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan, Refusal, Renderer
from tenantprofile.planning.drift import change, last_manager
from tenantprofile.planning.observed import Observed
from tenantprofile.planning.plan import Create, Delete, Plan, Replace, Write, plan

logger = logging.getLogger(__name__)

NEWS_RETRY: Final = 5.0
"""Seconds after which a namespace is looked at again whose profiles changed during a pass; the news comes before."""


_NO_BASELINE = Baseline((), whole=False, sealed=frozenset())


@dataclass(slots=True)
class _Demand:
    """What the profiles of one namespace ask for."""

    wanted: list[DesiredPolicy] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    """Object names that stay whatever else is said."""
    unclean: set[str] = field(default_factory=set)
    """Profiles of which not every entry renders."""
    reporting: set[str] = field(default_factory=set)
    """Profiles that report drift instead of repairing it."""
    gating: set[str] = field(default_factory=set)
    """Profiles that let no pod start before their baseline stands."""
    baseline: Baseline = _NO_BASELINE


class Reconciler:
    """Works on one namespace at a time for each caller. `clock` gives monotonic seconds."""

    def __init__(
        self,
        api: Api,
        state: State,
        policies: Policies,
        ledger: Ledger,
        seal: Seal,
        renderer: Renderer,
        status_writer: StatusWriter,
        events: EventRecorder,
        metrics: Metrics,
        tracing: Tracing,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._state = state
        self._policies = policies
        self._ledger = ledger
        self._seal = seal
        self._renderer = renderer
        self._status_writer = status_writer
        self._tracing = tracing
        self._clock = clock
        self._contention = Contention()
        self._short_of_quota: set[str] = set()
        self._pending = PendingDrift()
        self._reporter = Reporter(state, status_writer, events, metrics)
        self._applier = Applier(api, state, policies, ledger, seal, self._pending, self._reporter)

    def drift_seen(
        self, namespace: str, name: str, before: Observed | None, body: Mapping[str, Any] | None
    ) -> None:
        """A policy was seen to differ from what was known; `body` is None when it is gone."""
        if body is not None:
            self._pending.changed(namespace, name, body)
            return
        record = self._state.namespaces.get(namespace)
        if record is not None and name in self._ledger.owned(record.uid):
            self._pending.deleted(namespace, name, before.applied if before is not None else "")

    def seen(self, namespace: str, name: str, policy: Observed) -> None:
        """A policy was seen in this form."""
        self._applier.seen(namespace, name, policy.digest, policy.applied)

    def is_own_write(self, namespace: str, name: str, policy: Observed | None) -> bool:
        """Whether what was seen, None for a deletion, is the outcome of a write of ours that is under way."""
        if policy is None:
            return self._applier.is_own_write(namespace, name, "")
        return policy.digest == policy.applied and self._applier.is_own_write(namespace, name, policy.digest)

    def enter_what_is_there(self) -> None:
        """There is no ledger yet: enter what carries the operator's labels and digest."""
        uids = {record.name: record.uid for record in self._state.profiles.values()}
        for record in self._state.namespaces.values():
            self._ledger.enter(record.uid, self._policies.in_namespace(record.facts.name), uids)

    async def reconcile(self, namespace: str) -> Result:
        """Bring a namespace to what it should hold, as far as is possible now; what came of it."""
        run = Result(namespace)
        record = self._state.namespaces.get(namespace)
        if record is None or record.terminating:
            return self._leave(run, record)
        self._status_writer.begins(namespace)
        plans = self._state.plans(record.facts)
        with self._tracing.step("render"):
            for profile_plan in plans:
                await profile_plan.prepare(self._renderer, record.facts)
            prepared = {*plans, *await self._prepared(record)}
            found = self._policies.in_namespace(namespace)
            owned = self._owned(record, found)
            demand = self._demand(run, record, plans, found) if plans or found or owned else None
        if demand is not None:
            steps = plan(
                demand.wanted,
                found,
                owned=owned,
                removable=self._removable(owned, demand.unclean, prepared),
                kept_names=demand.kept,
                lost=self._lost(namespace, owned, found),
                written={name: policy.digest for name, policy in self._written(namespace).items()},
                empty_before=record.new and not found,
            )
            await self._carry_out(run, record, steps, demand, plans)
        if run.going:
            return self._leave(run, record)
        self._reporter.outcome(run, record, plans, self._standing(namespace))
        return run

    def _owned(self, record: NamespaceRecord, found: Mapping[str, Observed]) -> Owned:
        """What is the operator's in a namespace; what only the seal proves is entered into the ledger."""
        owned = self._ledger.owned(record.uid)
        for name, seen in found.items():
            if name not in owned and self._seal.proves(record.uid, name, seen.seal):
                profile = self._state.profiles.get(name.rpartition(".")[0])
                self._ledger.wrote(record.uid, name, profile.uid if profile is not None else "")
        return self._ledger.owned(record.uid)

    def _leave(self, run: Result, record: NamespaceRecord | None) -> Result:
        """A namespace that is gone or going: its objects are the namespace controller's to remove."""
        self._status_writer.begins(run.namespace)
        self._reporter.nothing(run.namespace)
        self._short_of_quota.discard(run.namespace)
        self._pending.forget(run.namespace)
        self._applier.forget(run.namespace)
        if record is not None:
            self._ledger.forget_namespace(record.uid)
        return Result(run.namespace)

    def _written(self, namespace: str) -> Mapping[str, DesiredPolicy]:
        return self._applier.written.get(namespace, {})

    def _standing(self, namespace: str) -> Mapping[str, int]:
        """How many policies of each profile there are."""
        standing: dict[str, int] = {}
        for seen in self._policies.in_namespace(namespace).values():
            standing[seen.profile] = standing.get(seen.profile, 0) + 1
        return standing

    # --- what is to be done ---

    def _demand(
        self,
        run: Result,
        record: NamespaceRecord,
        plans: list[ProfilePlan],
        found: Mapping[str, Observed],
    ) -> _Demand:
        demand = _Demand()
        written = self._written(run.namespace)
        whole = True
        for profile_plan in plans:
            profile = profile_plan.profile
            told_once = {refusal.name for refusal in profile_plan.refusals}
            if profile.drift == "Report":
                demand.reporting.add(profile.name)
            if profile.pod_admission == "RequireBaseline":
                demand.gating.add(profile.name)
                whole = whole and not profile.suspend
            for item in profile_plan.desired(record.facts):
                policy: DesiredPolicy | None
                if isinstance(item, Refusal):
                    # As it was rendered here last: what it was made from may have changed since.
                    policy = (
                        written.get(item.name)
                        or item.last_good
                        or self._ledger.last_good(record.uid, item.name, profile.uid)
                    )
                    demand.unclean.add(profile.name)
                    demand.kept.add(item.name)
                    if item.message and item.name not in told_once:
                        run.tell(profile.name, item.entry, item.reason, item.message)
                    if policy is None:
                        self._look_at_broken(run, item)
                    else:
                        policy = policy.with_mark(False)
                        self._ledger.renders_no_more(record.uid, policy)
                else:
                    policy = item
                    self._ledger.renders(record.uid, item.name)
                if profile.suspend:
                    demand.kept.add(item.name)
                    self._look(run, item)
                elif policy is not None:
                    demand.wanted.append(policy)
        if demand.gating:
            self._demand_mark(record, demand, found, whole=whole and not demand.gating & demand.unclean)
        return demand

    def _demand_mark(
        self, record: NamespaceRecord, demand: _Demand, found: Mapping[str, Observed], *, whole: bool
    ) -> None:
        """A mark that stands is desired as it is; `_mark` puts on a new one."""
        policies = [policy for policy in demand.wanted if policy.profile in demand.gating]
        sealed = frozenset(
            policy.name
            for policy in demand.wanted
            if (seen := found.get(policy.name)) is not None
            and self._seal.proves_mark(record.uid, policy.name, seen.seal)
        )
        demand.baseline = Baseline(policies, whole, sealed)
        marked = demand.baseline.kept(found)
        demand.wanted = [policy.with_mark(policy.name in marked) for policy in demand.wanted]

    def _look(self, run: Result, item: DesiredPolicy | Refusal) -> None:
        """A suspended profile's policy: count it when it happens to be as desired, and leave it."""
        if isinstance(item, DesiredPolicy):
            seen = self._policies.in_namespace(run.namespace).get(item.name)
            if seen is not None and seen.digest == item.digest:
                run.hold(item.profile)

    def _look_at_broken(self, run: Result, item: Refusal) -> None:
        """An entry that has not rendered since the start: what stands there may have been changed by others."""
        seen = self._policies.in_namespace(run.namespace).get(item.name)
        if seen is not None and seen.applied and seen.digest != seen.applied:
            run.tell(
                item.profile,
                item.entry,
                "Drifted",
                "changed by others, and not put back until the entry can be rendered again",
                minor=False,
            )

    def _lost(self, namespace: str, owned: Owned, found: Mapping[str, Observed]) -> Mapping[str, str]:
        """What somebody else deleted: seen to go, or the operator's by the ledger and not there any more."""
        seen = self._pending.lost(namespace)
        return {name: seen.get(name, "") for name in owned if name not in found}

    async def _prepared(self, record: NamespaceRecord) -> set[ProfilePlan]:
        """The plans of profiles that have left policies in a namespace; whether these may go depends on them."""
        names = (*self._ledger.owned(record.uid), *self._policies.in_namespace(record.facts.name))
        prepared = set()
        for name in {name.rpartition(".")[0] for name in names}:
            profile = self._state.profiles.get(name)
            if profile is not None and profile.plan is not None:
                left = profile.plan
                await left.prepare(self._renderer)
                prepared.add(left)
        return prepared

    def _removable(self, owned: Owned, unclean: set[str], prepared: set[ProfilePlan]) -> set[str]:
        """Names of ours that may go from a namespace if nothing wants them."""
        removable: set[str] = set()
        if not self._state.complete:
            return removable
        for name, uid in owned.items():
            record = self._state.profiles.get(name.rpartition(".")[0])
            if record is None or record.uid != uid:
                # Its profile is gone: what happens to its policies is what the profile said last.
                if self._ledger.departed.get(uid, "").startswith(DELETE):
                    removable.add(name)
            elif (
                record.profile is not None
                and record.error is None
                and record.plan is not None
                # One that is newer brings the namespace here again.
                and record.plan in prepared
                and not record.plan.refusals
                and not record.profile.suspend
                and not record.terminating
                and record.name not in unclean
            ):
                removable.add(name)
        return removable

    # --- doing it ---

    async def _carry_out(
        self, run: Result, record: NamespaceRecord, steps: Plan, demand: _Demand, plans: list[ProfilePlan]
    ) -> None:
        # As they are now: while writes are on their way, the state may move on.
        removals = steps.removals
        basis = {
            profile: self._state.profiles.get(profile)
            for profile in {removal.name.rpartition(".")[0] for removal in removals}
        }
        for policy in steps.holding:
            self._holding(run, record, policy, demand)
        for policy in steps.conflicts:
            # A copy of one of ours, as from a backup: it may be handed over, or the profile may take the name.
            if await self._applier.take_over(run, record, policy):
                self._holding(run, record, policy, demand)
        written: list[Create] = []
        # Where a quota was short before, the denies go first: an allowance would take the place that becomes free.
        phases = steps.writes[::-1] if run.namespace in self._short_of_quota else steps.writes
        for phase in phases:
            writes = [write for write in phase if self._may_write(run, write, demand.reporting)]
            await self._each(self._write(run, record, write, demand, written) for write in writes)
            if run.going:
                return
        await self._make_room(run, record, steps, demand, written)
        await self._mark(run, record, demand, plans)
        if run.going:
            return
        selecting = {profile_plan.profile.name for profile_plan in plans}
        deletes = [
            tuple(removal for removal in phase if self._may_remove(run, removal, selecting))
            for phase in steps.deletes
        ]
        names = [removal.name for phase in deletes for removal in phase]
        if names and await self._still_right(run, record, basis, names):
            for phase_of_deletes in deletes:
                steps_of_phase = (self._applier.delete(run, record, removal) for removal in phase_of_deletes)
                if not await self._each(steps_of_phase) or run.going:
                    return

    def _holding(self, run: Result, record: NamespaceRecord, policy: DesiredPolicy, demand: _Demand) -> None:
        """A policy is as desired; it counts unless somebody has deleted it already."""
        seen = self._policies.in_namespace(run.namespace).get(policy.name)
        if seen is not None and seen.held_by:
            run.problem(
                policy.profile,
                policy.entry,
                "BeingDeleted",
                f"somebody deleted it, and metadata.finalizers ({seen.held_by}) keep it for now;"
                " it is created again as soon as it is gone",
            )
            return
        self._applier.holds(record, policy)
        # A policy kept up in its last good form is not what the profile asks for: it does not count.
        if policy.name not in demand.kept:
            run.hold(policy.profile)
        self._tell_contention(run, policy)

    async def _each(self, steps: Iterable[Awaitable[bool | None]]) -> bool:
        """Side by side where somebody waits; in a fan-out the namespaces are, and a task for each write costs more.

        Whether none of them failed. Where one ends in an unexpected error, the others are stopped.
        """
        if self._api.in_background:
            return all([await step is not False for step in steps])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_as_coroutine(step)) for step in steps]
        return all(task.result() is not False for task in tasks)

    async def _write(
        self, run: Result, record: NamespaceRecord, write: Write, demand: _Demand, written: list[Create]
    ) -> None:
        desired = write.desired
        contested = self._contention.is_contested(run.namespace, desired.name, self._clock())
        body = self._pending.body(run.namespace, desired.name)
        if not await self._applier.write(run, record, write, contested=contested):
            return
        if isinstance(write, Create):
            written.append(write)
        if write.undoes_drift:
            other = last_manager(body["metadata"]) if body is not None else None
            self._contention.repaired(run.namespace, desired.name, self._clock(), other)
        self._holding(run, record, desired, demand)

    async def _make_room(
        self, run: Result, record: NamespaceRecord, steps: Plan, demand: _Demand, written: list[Create]
    ) -> None:
        """Where a quota does not admit everything, the deny is among what stands.

        Allowances are written first, so the quota may be used up by them: one of the operator's own goes again, and
        its problem says why. The place may become free later only, when the quota has been counted anew.
        """
        refused = {
            (profile, problem.policy)
            for profile, problems in run.problems.items()
            for problem in problems
            if problem.reason == "QuotaExceeded"
        }
        if not refused:
            self._short_of_quota.discard(run.namespace)
            return
        self._short_of_quota.add(run.namespace)
        writes = [write for phase in steps.writes for write in phase if isinstance(write, Create)]
        deny = next(
            (w for w in writes if w.desired.closes and (w.desired.profile, w.desired.entry) in refused), None
        )
        standing = [*steps.holding, *(create.desired for create in written)]
        spare = next((policy for policy in reversed(standing) if not policy.closes), None)
        seen = self._policies.in_namespace(run.namespace).get(spare.name) if spare is not None else None
        if deny is None or spare is None or seen is None:
            return
        if not await self._applier.delete(run, record, Delete(spare.name, seen)):
            return
        run.ready[spare.profile] = run.ready.get(spare.profile, 1) - 1
        run.problem(
            spare.profile,
            spare.entry,
            "QuotaExceeded",
            "the namespace's quota does not admit every policy; this one was deleted to make room for"
            f" {deny.desired.name}, which denies. Raise count/networkpolicies.networking.k8s.io",
        )
        before = run.problems[deny.desired.profile]
        run.problems[deny.desired.profile] = [
            problem for problem in before if problem.policy != deny.desired.entry
        ]
        await self._write(run, record, deny, demand, written)

    async def _mark(
        self, run: Result, record: NamespaceRecord, demand: _Demand, plans: list[ProfilePlan]
    ) -> None:
        """Once the whole baseline stands: the mark on its bearer, then off what bore it before."""
        baseline = demand.baseline
        if demand.gating & run.incomplete or not baseline.stands(self._policies.in_namespace(run.namespace)):
            return
        if not self._is_present(record, plans):
            run.again(NEWS_RETRY)
            return
        for policy in sorted(demand.wanted, key=lambda policy: policy.name != baseline.bearer):
            wanted = policy.with_mark(policy.name == baseline.bearer)
            seen = self._policies.in_namespace(run.namespace).get(policy.name)
            if (
                seen is not None
                and seen.digest == policy.with_mark(not wanted.marked).digest
                and not await self._applier.write(run, record, Replace(wanted, seen, drifted=False))
            ):
                return

    def _is_present(self, record: NamespaceRecord, plans: list[ProfilePlan]) -> bool:
        """Whether the state still is what the pass began with; otherwise a later pass decides."""
        now = self._state.namespaces.get(record.facts.name)
        if not self._state.complete or now is None or now.terminating:
            return False
        present = self._state.plans(now.facts)
        return now.uid == record.uid and len(present) == len(plans) and all(map(is_, present, plans))

    def _may_remove(self, run: Result, removal: Delete, selecting: set[str]) -> bool:
        """Whether everything that a removal waits for stands.

        A profile that selects the namespace waits for its own policies. One that does not any more waits for all:
        the namespace may have moved to another profile, whose policies have to be there first.
        """
        profile = removal.name.rpartition(".")[0]
        if profile in selecting:
            return profile not in run.incomplete
        return not run.incomplete

    async def _still_right(
        self,
        run: Result,
        record: NamespaceRecord,
        basis: Mapping[str, ProfileRecord | None],
        names: Iterable[str],
    ) -> bool:
        """Whether what is to be removed is unwanted by what stands in the cluster at present."""
        try:
            gone = [name for name in names if basis[name.rpartition(".")[0]] is None]
            if gone and not await self._were_deleted_by_somebody(record, gone):
                return False
            if await rests_on_present(self._api, record, basis):
                return True
        except ApiError as error:
            run.failed(min(basis), "", error)
            return False
        run.stale(min(basis))  # the news is on its way
        return False

    async def _were_deleted_by_somebody(self, record: NamespaceRecord, gone: list[str]) -> bool:
        """Whether the profiles of these policies went for themselves, and not with their CRD. Raises ApiError."""
        present = await kind_uid(self._api)
        owned = self._ledger.owned(record.uid)
        for name in gone:
            uid = owned.get(name, "")
            said = self._ledger.departed.get(uid, "")
            if said != DELETE + present:
                if said.startswith(DELETE):
                    self._ledger.profile_gone(uid, "")
                    logger.warning(
                        "a profile is gone because its CRD is: its policies stay in force",
                        extra={"profile": name.rpartition(".")[0]},
                    )
                return False
        return True

    def _may_write(self, run: Result, write: Write, reporting: set[str]) -> bool:
        """Whether a write is to be made now; drift may have to be reported, or put off, instead."""
        if not write.undoes_drift:
            return True
        desired = write.desired
        body = self._pending.body(run.namespace, desired.name)
        found = change(body, desired) if body is not None else None
        if desired.profile in reporting:
            what = str(found) if found else "deleted" if isinstance(write, Create) else "changed"
            run.problem(
                desired.profile,
                desired.entry,
                "Drifted",
                f"{what}; spec.drift is Report, so it stays as it is",
                minor=found is not None and not found.opens,
            )
            return False
        protects = found is None or found.opens
        wait = self._contention.wait(run.namespace, desired.name, self._clock(), protects=protects)
        if wait <= 0:
            return True
        run.again(wait)
        run.incomplete.add(desired.profile)
        self._tell_contention(run, desired)
        return False

    def _tell_contention(self, run: Result, desired: DesiredPolicy) -> None:
        """Say so where a policy is fought over; and come back to take it back when that has ended."""
        if self._contention.is_contested(run.namespace, desired.name, self._clock()):
            other = self._contention.other(run.namespace, desired.name)
            run.again(self._contention.remaining(run.namespace, desired.name, self._clock()))
            run.tell(
                desired.profile,
                desired.entry,
                "Contested",
                f"{other} keeps changing or deleting it; take the right to write NetworkPolicies away from it",
                minor=False,
            )


async def _as_coroutine(step: Awaitable[bool | None]) -> bool | None:
    return await step
