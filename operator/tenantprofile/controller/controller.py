"""Which namespaces an event concerns: every event ends as keys in the queue, which workers take from it.

A new or relabelled namespace and drift are HIGH; profiles, templates and comparisons are LOW. What concerns many
namespaces is worked out by a task of its own, so that no event holds up the next.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Any

from tenantprofile.cluster.api import (
    NAMESPACES,
    POLICIES,
    PROFILES,
    TEMPLATES,
    Api,
    ApiError,
    Gone,
    Undecodable,
)
from tenantprofile.cluster.decode import Object
from tenantprofile.cluster.informer import Informer
from tenantprofile.cluster.pace import Pace
from tenantprofile.cluster.store import Key
from tenantprofile.controller.ledger import Ledger
from tenantprofile.controller.metrics import Metrics
from tenantprofile.controller.policies import PolicyCache
from tenantprofile.controller.prune import kind_uid
from tenantprofile.controller.queue import Priority, WorkQueue
from tenantprofile.controller.reconcile import Reconciler
from tenantprofile.controller.state import (
    NamespaceRecord,
    ProfileRecord,
    State,
    TemplateRecord,
    namespace_record,
    profile_record,
)
from tenantprofile.controller.status_writer import StatusWriter
from tenantprofile.controller.tracing import Tracing
from tenantprofile.names import LABEL_PROFILE
from tenantprofile.paths import Complaint
from tenantprofile.planning.desired import NotPreparedError, ProfilePlan
from tenantprofile.planning.observed import Observed
from tenantprofile.planning.profile import Profile, ProfileError
from tenantprofile.settings import COMPARISON_RETRY, KIND_PAUSE, MAX_NESTING

logger = logging.getLogger(__name__)


class Controller:
    """Takes events in, keeps the state, feeds the workers. `clock` gives monotonic seconds."""

    def __init__(
        self,
        api: Api,
        state: State,
        policies: PolicyCache,
        queue: WorkQueue,
        status_writer: StatusWriter,
        ledger: Ledger,
        reconciler: Reconciler,
        metrics: Metrics,
        tracing: Tracing,
        clock: Callable[[], float],
        *,
        synced: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`synced` is called when everything is known, and when it is not any more."""
        self._api = api
        self._state = state
        self._policies = policies
        self._queue = queue
        self._status_writer = status_writer
        self._ledger = ledger
        self._reconciler = reconciler
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock
        self._synced = synced
        self._pace = Pace()
        self._to_fan_out: dict[str, list[Profile]] = {}
        self._fan_out_wanted = asyncio.Event()
        self._compare_now = asyncio.Event()
        self._kinds: dict[str, str] = {}
        """The uid of the CRD under which a profile was seen, by the profile's uid."""
        self._of_unknown_kind: set[str] = set()
        self._kind_wanted = asyncio.Event()
        self.compared_at = clock()
        """When the last full comparison ended."""

        self.policies = Informer(
            api,
            POLICIES,
            policies.store,
            self._policy_event,
            clock,
            selector=LABEL_PROFILE,
            restored=self._restored,
            undecodable=self._policy_undecodable,
        )
        self.namespaces = Informer(
            api, NAMESPACES, state.namespaces, self._namespace_event, clock, restored=self._restored
        )
        state.namespaces.read = lambda raw: namespace_record(raw, new=self.namespaces.is_new)
        self.profiles = Informer(
            api,
            PROFILES,
            state.profiles,
            self._profile_event,
            clock,
            nesting=MAX_NESTING,
            restored=self._restored,
            undecodable=self._profile_undecodable,
        )
        self.templates = Informer(
            api,
            TEMPLATES,
            state.templates,
            self._template_event,
            clock,
            nesting=MAX_NESTING,
            restored=self._restored,
        )
        self.informers: tuple[Informer[Any], ...] = (
            self.templates,
            self.profiles,
            self.namespaces,
            self.policies,
        )
        self.on_profile: Callable[[str, ProfileRecord | None, ProfileRecord | None, Object | None], None] = (
            lambda _, before, after, body: self.profile_changed(before, after, body)
        )
        """The handlers of profiles and templates; see `handlers`."""
        self.on_template: Callable[[str, str], None] = lambda _, name: self.template_changed(name)

    # --- what the informers report ---

    def _policy_event(self, key: Key, before: Observed | None, after: Observed | None) -> None:
        namespace, name = key
        if after is not None:
            self._reconciler.seen(namespace, name, after)
            if before is not None and _same(before, after):
                return
        if not self._state.complete:
            return  # a difference says nothing about who made it: nothing was known yet
        if self._reconciler.is_own_write(namespace, name, after):
            return
        self._reconciler.drift_seen(namespace, name, before, self.policies.body if after else None)
        self._metrics.waits(namespace, "drift")
        self._tracing.seen(namespace, "drift")
        self._status_writer.pending(namespace)
        self._queue.add(namespace, Priority.HIGH)

    def _policy_undecodable(self, key: Key, found: Undecodable) -> None:
        # What it was is no more. The reconciler finds the name taken, and reports why it cannot be read.
        namespace, name = key
        known = self._policies.in_namespace(namespace).get(name)
        if known is not None:
            self._policies.forget(namespace, name, found.resource_version or known.resource_version)
        if namespace and self._state.complete:
            self._status_writer.pending(namespace)
            self._queue.add(namespace, Priority.HIGH)

    def _namespace_event(
        self, key: Key, before: NamespaceRecord | None, after: NamespaceRecord | None
    ) -> None:
        name = key[1]
        if before is not None and after is not None and _same_namespace(before, after):
            return
        if before is not None and (after is None or after.uid != before.uid):
            self._ledger.forget_namespace(before.uid)
        # The selected counts of profiles follow the namespaces; which profiles differ is cheap to ask.
        for profile in self._state.profiles.values():
            if profile.profile is not None and any(
                record is not None and self._state.selects(profile.profile, record.facts)
                for record in (before, after)
            ):
                self._status_writer.touch(profile.name)
        # One that is gone is counted no more, also if a restored etcd took it.
        if self._state.complete or after is None:
            if after is not None:
                self._metrics.waits(name, "new")
                self._tracing.seen(name, "new")
            self._status_writer.pending(name)
            # One whose facts change all the time is its own concern.
            limited = before is not None and after is not None and before.uid == after.uid
            self._queue.add(name, Priority.HIGH, limited=limited)

    def _profile_event(self, _key: Key, before: ProfileRecord | None, after: ProfileRecord | None) -> None:
        self.on_profile(_type(before, after), before, after, self.profiles.body)

    def _template_event(self, key: Key, before: TemplateRecord | None, after: TemplateRecord | None) -> None:
        if after is not None:
            self._status_writer.touch_template(key[1])
            if before is not None and before.template == after.template:
                return
        self.on_template(_type(before, after), key[1])

    def _profile_undecodable(self, key: Key, found: Undecodable) -> None:
        """A profile that cannot be read is refused in its status; what it last was stays in force."""
        name = key[1]
        if not name:
            return
        before = self._state.profiles.get(name)
        record = ProfileRecord(
            name, found.uid, before.generation if before else 0, before.status if before else {}
        )
        record.error = ProfileError(
            name, [Complaint((), f"the object cannot be read: {found.reason}; simplify it")]
        )
        version = int(found.resource_version) if found.resource_version.isdigit() else 0
        if self._state.profiles.put(key, version, record):
            self._state.profiles.undecodable[key] = found
            self.profile_changed(before, record, None)

    # --- what the handlers call ---

    def profile_changed(
        self, before: ProfileRecord | None, after: ProfileRecord | None, body: Object | None
    ) -> None:
        """A TenantProfile was created, changed, or deleted; `body`: the object in its last form, where it was seen."""
        if after is None:
            if before is not None:
                self._profile_gone(before, body)
            return
        if after.uid not in self._kinds:
            self._of_unknown_kind.add(after.uid)
            self._kind_wanted.set()
        if before is not None and before.uid == after.uid:
            after.orphans = after.orphans or before.orphans
            if before.profile is not None and after.profile is not None:
                if before.profile.spec_key == after.profile.spec_key:
                    after.profile, after.plan = before.profile, before.plan
                    if before.generation != after.generation or before.status != after.status:
                        self._status_writer.touch(after.name)
                    return
            elif after.profile is None:
                # What cannot be read changes nothing: the last good form is kept up meanwhile.
                after.plan = before.plan
        elif before is not None:
            self._status_writer.drop(after.name)
        self._replan(after, before)

    def _profile_gone(self, before: ProfileRecord, body: Object | None) -> None:
        last = profile_record(body) if body is not None else None
        if last is not None and last.uid == before.uid:
            last.plan, last.orphans = before.plan, before.orphans or last.orphans
            # Its last state. One that only a list lacks may have been changed before it went: its policies stay.
            kind = self._kinds.pop(last.uid, "")
            self._ledger.profile_gone(last.uid, kind if last.leaves == "Delete" else "")
        self._fan_out(before, None)
        self._status_writer.drop(before.name)
        if before.plan is not None:
            self._touch_templates(before.plan)

    def template_changed(self, name: str) -> None:
        """A PolicyTemplate was created, changed, or deleted."""
        for record in list(self._state.profiles.values()):
            if record.plan is not None and name in record.plan.template_names:
                self._replan(record, record)

    def _replan(self, record: ProfileRecord, before: ProfileRecord | None) -> None:
        previous = before.plan if before is not None else None
        if record.profile is not None:
            record.plan = ProfilePlan(
                record.profile,
                self._state.usable_templates(),
                previous,
                self._state.unusable_templates(),
                in_place=False,
            )
        self._status_writer.renew(record.name)
        for plan in (previous, record.plan):
            if plan is not None:
                self._touch_templates(plan)
        self._fan_out(before, record)

    def _touch_templates(self, plan: ProfilePlan) -> None:
        for name in plan.template_names:
            if self._state.templates.get(name) is not None:
                self._status_writer.touch_template(name)

    # --- fan-outs ---

    def _fan_out(self, before: ProfileRecord | None, after: ProfileRecord | None) -> None:
        """Every namespace that the profile selects, selected, or has left policies in, soon."""
        if not self._state.complete:
            return  # the first comparison brings every namespace
        for record in (before, after):
            if record is not None:
                self._tracing.changed(record.name)
                known = self._to_fan_out.setdefault(record.name, [])
                if record.profile is not None and record.profile not in known:
                    known.append(record.profile)
        self._fan_out_wanted.set()

    async def fan_out(self) -> None:
        """Put the namespaces of changed profiles into the queue, until cancelled."""
        while True:
            await self._fan_out_wanted.wait()
            self._fan_out_wanted.clear()
            wanted, self._to_fan_out = self._to_fan_out, {}
            profiles = [profile for each in wanted.values() for profile in each]
            pace = Pace()
            with self._tracing.fan_out(wanted) as concerns:
                for record in list(self._state.namespaces.values()):
                    if any(self._state.selects(profile, record.facts) for profile in profiles):
                        concerns(record.facts.name)
                        self._queue.add(record.facts.name, Priority.LOW)
                    await pace.step()
                for place in self._policies.namespaces():
                    if any(seen.profile in wanted for seen in self._policies.in_namespace(place).values()):
                        concerns(place)
                        self._queue.add(place, Priority.LOW)
                    await pace.step()

    # --- comparing everything ---

    def read_anew(self) -> None:
        """The API server is known to have gone back to an older state."""
        for informer in self.informers:
            informer.read_anew()

    def _restored(self) -> None:
        """The API server went back to an older state: nothing is certain until everything has been read anew."""
        self._state.complete = False
        self._synced(False)
        self._compare_now.set()

    async def keep_comparing(self, interval: float) -> None:
        """The first comparison, then one more each `interval` seconds (with jitter), until cancelled."""
        while True:
            self._compare_now.clear()
            try:
                for informer in self.informers:
                    # Until the first lists have ended there is nothing to compare.
                    await (informer.resync() if self._state.complete else informer.synced.wait())
            except (ApiError, Gone) as error:
                logger.warning("the comparison with the whole cluster did not end: %r", error)
                await asyncio.sleep(COMPARISON_RETRY)
                continue
            if not all(informer.synced.is_set() for informer in self.informers):
                continue
            first = not self._state.complete
            self._state.complete = True
            self.compared_at = self._clock()
            await self._look_at_everything()
            logger.info(
                "compared with the whole cluster: %d profiles, %d namespaces, %d policies",
                len(self._state.profiles),
                len(self._state.namespaces),
                len(self._policies.store),
            )
            if first:
                self._synced(True)
            pause = interval * random.uniform(0.9, 1.1)  # noqa: S311 (jitter, not secrecy)
            try:
                await asyncio.wait_for(self._compare_now.wait(), pause)
            except TimeoutError:
                pass

    async def _look_at_everything(self) -> None:
        pace = Pace()
        for name in dict.fromkeys((*self._state.namespaces.names(), *self._policies.namespaces())):
            self._queue.add(name, Priority.LOW)
            await pace.step()
        for profile in self._state.profiles.values():
            self._status_writer.touch(profile.name)
        for template in self._state.templates.values():
            self._status_writer.touch_template(template.name)

    async def learn_kinds(self) -> None:
        """Learn under which CRD new profiles were created, until cancelled; see `prune.kind_uid`."""
        while True:
            await self._kind_wanted.wait()
            self._kind_wanted.clear()
            asked, self._of_unknown_kind = self._of_unknown_kind, set()
            try:
                uid = await kind_uid(self._api)
            except ApiError as error:
                logger.warning("the CRD of profiles was not read: %s", error)
                self._of_unknown_kind |= asked
                await asyncio.sleep(KIND_PAUSE)
                self._kind_wanted.set()
                continue
            if uid:
                living = {record.uid for record in self._state.profiles.values()}
                self._kinds.update(dict.fromkeys(asked & living, uid))

    # --- the workers ---

    async def work(self, may_write: asyncio.Event, lowest: Priority) -> None:
        """One worker: keys of at least that priority from the queue, until cancelled."""
        while True:
            await may_write.wait()
            namespace, priority = await self._queue.get(lowest)
            await may_write.wait()  # the lease may have been lost while there was nothing to do
            try:
                with self._api.lane(background=priority is Priority.LOW), self._tracing.passing(namespace):
                    result = await self._reconciler.reconcile(namespace)
            except NotPreparedError:
                # What had been worked out was forgotten meanwhile.
                self._queue.backoff(namespace)
                self._metrics.passed(namespace, wrote=False, failed=True)
            except Exception:
                logger.exception("reconciling failed", extra={"namespace": namespace})
                self._queue.backoff(namespace)
                self._metrics.passed(namespace, wrote=False, failed=True)
                self._tracing.passed(namespace, failed=True)
            else:
                self._metrics.passed(namespace, wrote=result.wrote, failed=result.retry)
                self._tracing.passed(namespace, failed=result.retry)
                if result.retry:
                    self._queue.backoff(namespace, result.at_least, result.causes)
                else:
                    self._recovered(self._queue.forget(namespace))
                if result.look_again is not None:
                    self._queue.add_after(namespace, result.look_again)
            finally:
                self._queue.done(namespace)
                if not self._queue and self._state.complete:
                    self._status_writer.settled = True
            # A pass that finds nothing to do never waits for anything.
            await self._pace.step()

    def _recovered(self, causes: Iterable[str]) -> None:
        """Why a key had failed does not hold any more: others may have failed for the same reason."""
        for cause in causes:
            if woken := self._queue.wake_failed(cause):
                logger.info(
                    "%d namespaces that had failed are tried again, as one has succeeded: %s", woken, cause
                )


def _type(before: object, after: object) -> str:
    return "DELETED" if after is None else "ADDED" if before is None else "MODIFIED"


def _same(before: Observed, after: Observed) -> bool:
    return (before.digest, before.applied, before.held_by) == (after.digest, after.applied, after.held_by)


def _same_namespace(before: NamespaceRecord, after: NamespaceRecord) -> bool:
    return (before.facts, before.terminating, before.uid) == (after.facts, after.terminating, after.uid)
