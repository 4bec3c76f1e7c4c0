"""Writes statuses: outcomes per namespace go in, one status per profile comes out, at most once a second.

Nothing is published before everything has been looked at once, unless something has been written or is
wrong: a restart that finds all in order leaves no trace.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from tenantprofile.cluster.api import PROFILES, TEMPLATES, Api, ApiError
from tenantprofile.controller.renderer import RendererError
from tenantprofile.controller.state import ProfileRecord, State, TemplateRecord
from tenantprofile.planning import status as standing
from tenantprofile.planning.desired import Failed, NotPreparedError, Renderer
from tenantprofile.planning.status import Condition, Drift, Outcome, Problem, Tally

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two statuses of one profile."""


class StatusWriter:
    """Tallies of all profiles, and the task that publishes them."""

    def __init__(self, api: Api, state: State, renderer: Renderer) -> None:
        self._api = api
        self._renderer = renderer
        self._state = state
        self._tallies: dict[str, Tally] = {}
        self._profiles_of: dict[str, tuple[str, ...]] = {}
        self._overtaken: set[str] = set()
        self._dirty: set[str] = set()
        self._dirty_templates: set[str] = set()
        self._wakeup = asyncio.Event()
        self._template_wakeup = asyncio.Event()
        self._hurry = asyncio.Event()
        self.degraded: Callable[[ProfileRecord, bool, str, str], None] = lambda *_: None
        """Called when a profile turns Degraded, or is not any more: the profile, which of them, reason, message."""
        self.settled = False
        """Every namespace has been looked at once since the start."""

    def put(self, namespace: str, outcomes: Mapping[str, Outcome]) -> None:
        """A namespace's outcomes, by profile; profiles that are not in it any more lose theirs."""
        for name in self._profiles_of.get(namespace, ()):
            if name not in outcomes and name in self._tallies and self._tallies[name].put(namespace, None):
                self.touch(name)
                if self._state.profiles.get(name) is None and not self._tallies[name].outcomes:
                    del self._tallies[name]
        for name, outcome in outcomes.items():
            if self._tally(name).put(namespace, outcome):
                self.touch(name)
        if outcomes:
            self._profiles_of[namespace] = tuple(outcomes)
        else:
            self._profiles_of.pop(namespace, None)
        if namespace in self._overtaken:
            self.pending(namespace)

    def begins(self, namespace: str) -> None:
        """A pass over a namespace begins: what is noticed from here on makes its outcome old."""
        self._overtaken.discard(namespace)

    def pending(self, namespace: str) -> None:
        """A namespace is to be looked at again: what was found there before does not count until then."""
        self._overtaken.add(namespace)
        for name in self._profiles_of.get(namespace, ()):
            tally = self._tallies.get(name)
            if tally is not None and tally.pending(namespace):
                self.touch(name)

    def renew(self, profile: str) -> None:
        """A profile or one of its templates has changed: every namespace is to be looked at again.

        It is published at once: Ready must not stand while what it was said of is being replaced.
        """
        self._tally(profile).renew()
        self.touch(profile)
        self._hurry.set()

    def is_news(self, namespace: str, profile: str, problems: tuple[Problem, ...]) -> bool:
        """Whether a namespace's problems differ from those that were reported last."""
        tally = self._tallies.get(profile)
        known = tally.outcomes.get(namespace) if tally is not None else None
        return known is None or known.problems != problems

    def repaired(self, profile: str, what: str) -> None:
        """Count a repair."""
        drift = self._tally(profile).drift
        drift.repaired += 1
        drift.last_time = now()
        drift.last = what
        self.touch(profile)

    def touch(self, profile: str) -> None:
        """The profile's status may have to be written."""
        self._dirty.add(profile)
        self._wakeup.set()

    def touch_template(self, name: str) -> None:
        self._dirty_templates.add(name)
        self._template_wakeup.set()

    def drop(self, profile: str) -> None:
        """The profile is gone."""
        self._tallies.pop(profile, None)
        self._dirty.discard(profile)

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """By profile."""
        return self._tallies

    def tally(self, profile: str) -> Tally | None:
        return self._tallies.get(profile)

    def _tally(self, profile: str) -> Tally:
        tally = self._tallies.get(profile)
        if tally is None:
            record = self._state.profiles.get(profile)
            tally = self._tallies[profile] = Tally(Drift.from_status(record.status if record else {}))
        return tally

    async def run(self, may_write: Callable[[], bool]) -> None:
        """Publish until cancelled. `may_write`: whether this operator leads and its caches are complete."""
        published = float("-inf")
        clock = asyncio.get_running_loop().time
        while True:
            await self._wakeup.wait()
            if clock() - published < INTERVAL or not self._hurry.is_set():
                await asyncio.sleep(INTERVAL)
            self._hurry.clear()
            if not may_write() or not (self.settled or self._api.writes or self._troubled()):
                await asyncio.sleep(INTERVAL)
                continue
            self._wakeup.clear()
            await self.publish()
            published = clock()

    def _troubled(self) -> bool:
        return any(tally.troubled for tally in self._tallies.values())

    async def publish(self) -> None:
        """Write the statuses that differ from what is stored."""
        profiles, self._dirty = self._dirty, set()
        for name in profiles:
            record = self._state.profiles.get(name)
            if record is not None:
                plan = record.plan
                try:
                    if plan is not None:
                        await plan.prepare(self._renderer)
                    before, status = record.status, self._status(record)
                except (RendererError, NotPreparedError) as error:
                    # No answer this time, or the plan is another one by now.
                    logger.info("status of %s has to wait: %s", name, error)
                    self.touch(name)
                    continue
                if status == before:
                    continue
                if await self._write(PROFILES, record, status):
                    self._tell_degraded(record, before, status)
                else:
                    self.touch(name)

    async def run_templates(self, may_write: Callable[[], bool]) -> None:
        """Publish the statuses of PolicyTemplates until cancelled: loading them may take long, and profiles go on."""
        while True:
            await self._template_wakeup.wait()
            await asyncio.sleep(INTERVAL)
            if not may_write() or not (self.settled or self._api.writes or self._troubled()):
                continue
            self._template_wakeup.clear()
            await self.publish_templates()

    async def publish_templates(self) -> None:
        """Write the statuses of PolicyTemplates that differ from what is stored."""
        templates, self._dirty_templates = self._dirty_templates, set()
        for name in templates:
            record = self._state.templates.get(name)
            if record is None:
                continue
            try:
                status = self._template_status(record, await self._usable(record))
            except RendererError as error:
                logger.warning("status of PolicyTemplate %s has to wait: %s", name, error)
                self.touch_template(name)
                continue
            if status != record.status and not await self._write(TEMPLATES, record, status):
                self.touch_template(name)

    async def _usable(self, record: TemplateRecord) -> Failed | None:
        """Why a PolicyTemplate cannot be used."""
        if record.template is None:
            return Failed(record.reason, record.message)
        loaded = await self._renderer.load(record.template)
        return loaded if isinstance(loaded, Failed) else None

    def _tell_degraded(
        self, record: ProfileRecord, before: Mapping[str, object], after: Mapping[str, object]
    ) -> None:
        old, new = standing.condition(before, "Degraded"), standing.condition(after, "Degraded")
        if (old.get("status") == "True") != (new.get("status") == "True"):
            self.degraded(
                record, new.get("status") == "True", str(new.get("reason")), str(new.get("message"))
            )

    async def _write(
        self, collection: str, record: ProfileRecord | TemplateRecord, status: dict[str, object]
    ) -> bool:
        try:
            answer = await self._api.merge(f"{collection}/{record.name}/status", {"status": status})
        except ApiError as error:
            if error.status == 404:
                return True
            logger.warning("status of %s was not written: %s", record.name, error)
            return False
        record.status = answer.get("status") or {}
        return True

    def _status(self, record: ProfileRecord) -> dict[str, object]:
        profile = record.profile
        selected = 0
        plan = record.plan
        tally = self._tally(record.name)
        tally.drift = max(tally.drift, Drift.from_status(record.status))
        problems: tuple[Problem, ...] = ()
        if profile is not None:
            selected = sum(
                not namespace.terminating and self._state.selects(profile, namespace.facts)
                for namespace in self._state.namespaces.values()
            )
        if record.error is not None:
            problems = (Problem("", "", "InvalidSpec", record.error.told),)
        elif plan is not None:
            problems = tuple(Problem("", r.entry, r.reason, r.message) for r in plan.refusals)
        return standing.status(
            tally,
            generation=record.generation,
            selected=selected,
            before=record.status,
            now=now(),
            profile_problems=problems,
            suspended=profile is not None and profile.suspend,
        )

    def _template_status(self, record: TemplateRecord, failed: Failed | None) -> dict[str, object]:
        used_by = sum(
            profile.plan is not None and record.name in profile.plan.template_names
            for profile in self._state.profiles.values()
        )
        if failed is None:
            ready = Condition("Ready", "True", "Valid", "the template can be used")
        else:
            ready = Condition(
                "Ready",
                "False",
                "NameTaken" if failed.kind == "NameTaken" else "TemplateInvalid",
                standing.cut(failed.message, 2000),
            )
        return {
            "observedGeneration": record.generation,
            "conditions": standing.with_times([ready], record.status, record.generation, now()),
            "usedBy": used_by,
        }


def now() -> str:
    """The present, in RFC 3339, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
