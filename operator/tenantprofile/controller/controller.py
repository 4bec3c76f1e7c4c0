"""Which namespaces an event concerns: every event ends as keys in the queue, and nothing else happens here.

A new or relabelled namespace and drift are HIGH; profiles, templates and comparisons are LOW.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tenantprofile.cluster.api import NAMESPACES, PROFILES, TEMPLATES, Api, ApiError, Gone
from tenantprofile.cluster.policies import PolicyCache, PolicyInformer
from tenantprofile.cluster.watching import follow
from tenantprofile.controller.board import StatusBoard
from tenantprofile.controller.ledger import Ledger
from tenantprofile.controller.queue import Priority, WorkQueue
from tenantprofile.controller.reconcile import Reconciler
from tenantprofile.controller.state import (
    ProfileRecord,
    State,
    Store,
    namespace_record,
    profile_record,
    template_record,
    version_of,
)
from tenantprofile.planning.desired import ProfilePlan

logger = logging.getLogger(__name__)

Raw = Mapping[str, Any]

COMPARISON_RETRY: Final = 5.0
"""Seconds after which a comparison that failed is tried again."""


class Controller:
    """Takes events in, keeps the state, feeds the workers. `clock` gives monotonic seconds."""

    def __init__(
        self,
        api: Api,
        state: State,
        cache: PolicyCache,
        queue: WorkQueue,
        board: StatusBoard,
        ledger: Ledger,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._state = state
        self._cache = cache
        self._queue = queue
        self._board = board
        self._ledger = ledger
        self._clock = clock
        self._one_list_of_namespaces = asyncio.Lock()
        self._namespaces_listed = asyncio.Event()
        self.last_contact = clock()
        """When the watch on namespaces was last heard of."""
        self.compared_at = clock()
        """When the last full comparison ended."""

    # --- what the doors call ---

    def namespace_seen(self, raw: Raw, *, new: bool = False) -> None:
        """A namespace exists, with these labels. `new`: it was created a moment ago."""
        name = raw["metadata"]["name"]
        before = self._state.namespaces.get(name)
        record = namespace_record(raw, new=new)
        if not self._state.namespaces.put(name, version_of(raw), record):
            return
        if (
            before is not None
            and before.facts == record.facts
            and before.terminating == record.terminating
            and before.uid == record.uid
        ):
            return
        # The selected counts of profiles follow the namespaces; which profiles differ is cheap to ask.
        for profile in self._state.profiles.values():
            if profile.profile is not None and (
                self._state.selects(profile.profile, record.facts)
                or (before is not None and self._state.selects(profile.profile, before.facts))
            ):
                self._board.touch(profile.name)
        if self._state.complete:
            self._board.pending(name)
            self._queue.add(name, Priority.HIGH)

    def namespace_gone(self, raw: Raw) -> None:
        """A namespace was deleted."""
        self._namespace_gone(raw["metadata"]["name"], version_of(raw))

    def _namespace_gone(self, name: str, version: int) -> None:
        record = self._state.namespaces.remove(name, version)
        if record is not None:
            for profile in self._state.profiles.values():
                if profile.profile is not None and self._state.selects(profile.profile, record.facts):
                    self._board.touch(profile.name)
            self._queue.add(name, Priority.HIGH)

    def profile_seen(self, raw: Raw) -> None:
        """A TenantProfile exists, in this form."""
        record = profile_record(raw)
        before = self._state.profiles.get(record.name)
        if not self._state.profiles.put(record.name, version_of(raw), record):
            return
        if before is not None and before.uid == record.uid:
            record.orphans = record.orphans or before.orphans
            if before.profile is not None and record.profile is not None:
                if before.profile.spec_key == record.profile.spec_key:
                    record.profile, record.plan = before.profile, before.plan
                    if before.generation != record.generation or before.status != record.status:
                        self._board.touch(record.name)
                    return
            elif record.profile is None:
                # What cannot be read changes nothing: the last good form is kept up meanwhile.
                record.plan = before.plan
        elif before is not None:
            self._board.drop(record.name)
        self._replan(record, before)

    def profile_gone(self, raw: Raw) -> None:
        """A TenantProfile was deleted."""
        known = self._state.profiles.get(raw["metadata"]["name"])
        last = profile_record(raw)
        if known is not None and known.uid == last.uid:
            last.plan, last.orphans = known.plan, known.orphans or last.orphans
        # Its last state, whatever was seen of it before.
        self._ledger.profile_gone(last.uid, last.leaves)
        self._profile_gone(raw["metadata"]["name"], version_of(raw))

    def _profile_gone(self, name: str, version: int) -> None:
        before = self._state.profiles.remove(name, version)
        if before is None:
            return
        self._fan_out(before, None)
        self._board.drop(name)
        if before.plan is not None:
            self._touch_templates(before.plan)

    def template_seen(self, raw: Raw) -> None:
        """A PolicyTemplate exists, in this form."""
        record = template_record(raw)
        before = self._state.templates.get(record.name)
        if not self._state.templates.put(record.name, version_of(raw), record):
            return
        self._board.touch_template(record.name)
        if before is None or before.template != record.template:
            self._template_changed(record.name)

    def template_gone(self, raw: Raw) -> None:
        """A PolicyTemplate was deleted."""
        self._template_gone(raw["metadata"]["name"], version_of(raw))

    def _template_gone(self, name: str, version: int) -> None:
        if self._state.templates.remove(name, version) is not None:
            self._template_changed(name)

    def _template_changed(self, name: str) -> None:
        for record in list(self._state.profiles.values()):
            if record.plan is not None and name in record.plan.template_names:
                self._replan(record, record)

    def _replan(self, record: ProfileRecord, before: ProfileRecord | None) -> None:
        previous = before.plan if before is not None else None
        if record.profile is not None:
            record.plan = ProfilePlan(
                record.profile, self._state.usable_templates(), previous, self._state.unusable_templates()
            )
        self._board.renew(record.name)
        for plan in (previous, record.plan):
            if plan is not None:
                self._touch_templates(plan)
        self._fan_out(before, record)

    def _touch_templates(self, plan: ProfilePlan) -> None:
        for name in plan.template_names:
            if self._state.templates.get(name) is not None:
                self._board.touch_template(name)

    def _fan_out(self, before: ProfileRecord | None, after: ProfileRecord | None) -> None:
        """Every namespace that the profile selects, selected, or has left policies in."""
        if not self._state.complete:
            return  # the first comparison brings every namespace
        profiles = [r.profile for r in (before, after) if r is not None and r.profile is not None]
        name = after.name if after is not None else before.name if before is not None else ""
        for namespace in self._state.namespaces.values():
            if any(self._state.selects(profile, namespace.facts) for profile in profiles):
                self._queue.add(namespace.facts.name, Priority.LOW)
        for place in self._cache.namespaces():
            if any(seen.profile == name for seen in self._cache.in_namespace(place).values()):
                self._queue.add(place, Priority.LOW)

    # --- comparing everything ---

    async def compare(self, policies: Callable[[], Awaitable[object]]) -> None:
        """Read every list in full, mend what the watches missed, look at every namespace again.

        `policies` compares the policy cache, or waits for its first list. Raises ApiError and Gone.
        """
        await self._compare(TEMPLATES, self._state.templates, self.template_seen, self._template_gone)
        await self._compare(PROFILES, self._state.profiles, self.profile_seen, self._profile_gone)
        await (self._compare_namespaces() if self._state.complete else self._namespaces_listed.wait())
        await policies()
        self._state.complete = True
        self.compared_at = self._clock()
        for name in {*self._state.namespaces.names(), *self._cache.namespaces()}:
            self._queue.add(name, Priority.LOW)
        for profile in self._state.profiles.values():
            self._board.touch(profile.name)
        for template in self._state.templates.values():
            self._board.touch_template(template.name)

    async def follow_namespaces(self) -> None:
        """See every namespace come, change and go, until cancelled.

        Kopf would deliver the same at 0.6 ms per namespace and start, and as many tasks (docs/performance.md); its
        handlers could not tell when its list has ended, and it would have to be compared with one anyway.
        """
        await follow(self._api, NAMESPACES, self._compare_namespaces, self._namespace_event)

    async def _compare_namespaces(self) -> str:
        async with self._one_list_of_namespaces:
            version = await self._compare(
                NAMESPACES, self._state.namespaces, self.namespace_seen, self._namespace_gone
            )
        self._namespaces_listed.set()
        self.last_contact = self._clock()
        return version

    def _namespace_event(self, event: Raw) -> str:
        self.last_contact = self._clock()
        raw = event["object"]
        if event["type"] == "DELETED":
            self.namespace_gone(raw)
        elif event["type"] != "BOOKMARK":
            self.namespace_seen(raw, new=event["type"] == "ADDED")
        return str(raw["metadata"]["resourceVersion"])

    async def _first_list(self) -> None:
        while not self._cache.complete:
            await asyncio.sleep(0.02)

    async def _compare(
        self, path: str, store: Store[Any], seen: Callable[[Raw], None], gone: Callable[[str, int], None]
    ) -> str:
        store.begin_comparison()
        listed: set[str] = set()
        version = 0
        async for page in self._api.pages(path):
            version = int(page.resource_version)
            for raw in page.items:
                listed.add(raw["metadata"]["name"])
                seen(raw)
            await asyncio.sleep(0)
        for name in store.end_comparison(listed, version):
            logger.info("%s had vanished without an event", name)
            gone(name, version)
        return str(version)

    async def keep_comparing(self, informer: PolicyInformer, interval: float) -> None:
        """The first comparison, then one more each `interval` seconds (with jitter), until cancelled."""
        while True:
            try:
                await self.compare(informer.compare if self._cache.complete else self._first_list)
            except (ApiError, Gone) as error:
                logger.warning("the comparison with the whole cluster did not end: %s", error)
                await asyncio.sleep(COMPARISON_RETRY)
                continue
            logger.info(
                "compared with the whole cluster: %d profiles, %d namespaces, %d policies",
                len(self._state.profiles),
                len(self._state.namespaces),
                self._cache.size,
            )
            await asyncio.sleep(interval * random.uniform(0.9, 1.1))  # noqa: S311 (jitter, not secrecy)

    # --- the workers ---

    async def work(self, reconciler: Reconciler, may_write: asyncio.Event, lowest: Priority) -> None:
        """One worker: keys of at least that priority from the queue, until cancelled."""
        while True:
            await may_write.wait()
            namespace, priority = await self._queue.get(lowest)
            await may_write.wait()  # the lease may have been lost while there was nothing to do
            try:
                with self._api.lane(background=priority is Priority.LOW):
                    result = await reconciler.reconcile(namespace)
            except Exception:
                logger.exception("reconciling failed", extra={"namespace": namespace})
                self._queue.backoff(namespace)
            else:
                if result.retry:
                    self._queue.backoff(namespace, result.at_least)
                else:
                    self._queue.forget(namespace)
                if result.look_again is not None:
                    self._queue.add_after(namespace, result.look_again)
            finally:
                self._queue.done(namespace)
                if not self._queue and self._state.complete:
                    self._board.settled = True
