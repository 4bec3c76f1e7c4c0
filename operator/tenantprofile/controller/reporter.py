"""Reports what was done and what is wrong in status, Kubernetes Events and log, in the same words."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tenantprofile.cluster.api import ApiError
from tenantprofile.controller.events import EventRecorder, Subject
from tenantprofile.controller.metrics import Metrics
from tenantprofile.controller.result import Result
from tenantprofile.controller.state import NamespaceRecord, ProfileRecord, State
from tenantprofile.controller.status_writer import StatusWriter
from tenantprofile.names import ANNOTATION_ADOPT
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.status import Outcome, Problem, counted, cut

logger = logging.getLogger(__name__)

LOG_AGAIN: Final = 300.0
"""Seconds after which the same trouble of the same namespace is logged again."""
MAX_KNOWN: Final = 5000


class Spaced:
    """Which lines may be logged again. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def is_due(self, key: tuple[str, ...]) -> bool:
        """Whether this was not said within the last minutes; it counts as said now."""
        now = self._clock()
        if now - self._said.get(key, float("-inf")) < LOG_AGAIN:
            return False
        self._said[key] = now
        self._said.move_to_end(key)
        if len(self._said) > MAX_KNOWN:
            self._said.popitem(last=False)
        return True


class Reporter:
    """One place for what is said, so that status, Events and log agree."""

    def __init__(
        self, state: State, status_writer: StatusWriter, events: EventRecorder, metrics: Metrics
    ) -> None:
        self._state = state
        self._status_writer = status_writer
        self._events = events
        self._metrics = metrics
        self._refusals = Spaced()
        status_writer.degraded = self.degraded

    def repaired(self, namespace: str, desired: DesiredPolicy, what: str, manager: str | None) -> None:
        """A policy that somebody else (`manager`) had changed or deleted is as desired again."""
        place = f"{namespace}/{desired.name}"
        self._metrics.repaired("deleted" if what == "deleted" else "changed", manager)
        self._status_writer.repaired(desired.profile, f"{place}: {what}")
        self._events.normal(self._profile(desired.profile), "PolicyRepaired", f"{place}: {what}")
        self._on_namespace(namespace, "PolicyRepaired", f"NetworkPolicy {desired.name} was repaired: {what}")
        self._log(logging.INFO, "repaired a network policy: %s", what, namespace, desired, manager=manager)

    def adopted(self, namespace: str, desired: DesiredPolicy) -> None:
        """A foreign policy was taken over, because its owner said so."""
        self._metrics.changed("adopted")
        what = f"{namespace}/{desired.name} was taken over, as its annotation {ANNOTATION_ADOPT} says"
        self._events.normal(self._profile(desired.profile), "PolicyAdopted", what)
        self._log(logging.INFO, "%s", what, namespace, desired)

    def replaced(self, namespace: str, desired: DesiredPolicy, spec: str) -> None:
        """A foreign policy was replaced, because the profile says so. `spec`: what stood there, as JSON."""
        self._metrics.changed("replaced")
        what = f"NetworkPolicy {desired.name} was not the operator's and was replaced; its spec was {spec}"
        self._events.warning(self._profile(desired.profile), "PolicyReplaced", f"{namespace}: {what}")
        self._on_namespace(namespace, "PolicyReplaced", what)
        self._log(logging.WARNING, "%s", cut(what, 2000), namespace, desired)

    def removed(self, namespace: str, name: str, profile: str) -> None:
        """A policy that nothing wants any more was removed."""
        self._metrics.changed("deleted")
        what = f"deleted NetworkPolicy {namespace}/{name}, which no profile asks for any more"
        self._events.normal(self._profile(profile), "PoliciesDeleted", what)
        logger.info(
            "deleted a network policy that no profile asks for any more",
            extra={"namespace": namespace, "policy": name, "profile": profile},
        )

    def refused(self, namespace: str, profile: str, policy: str, error: ApiError) -> None:
        """The API server refused a write; said again only after a while."""
        if not error.namespace_is_going:
            self._metrics.refused(error.status, error.reason)
        key = (namespace, f"{error.status} {error.reason}")
        if error.namespace_is_going or not self._refusals.is_due(key):
            return
        logger.warning(
            "a write was refused: %s",
            error,
            extra={"namespace": namespace, "policy": policy, "profile": profile},
        )

    def outcome(
        self, run: Result, record: NamespaceRecord, plans: list[ProfilePlan], standing: Mapping[str, int]
    ) -> None:
        """What came of a whole pass. `standing`: how many policies of each profile the namespace holds."""
        outcomes = {}
        for plan in plans:
            name = plan.profile.name
            current = self._state.profiles.get(name)
            if current is None or current.plan is not plan:
                continue  # another form is wanted meanwhile, and the namespace is looked at again for it
            problems = _sorted(run.problems.get(name, ()))
            outcomes[name] = Outcome(
                len(plan.profile.entries), run.ready.get(name, 0), problems, True, standing.get(name, 0)
            )
            if created := run.created.get(name):
                self._metrics.changed("created", created)
                what = counted(created, "network policy", "network policies")
                self._on_namespace(
                    run.namespace, "PoliciesCreated", f"created {what} of profile {name}", warning=False
                )
                self._events.normal(
                    self._profile(name), "PoliciesCreated", f"created {what} in {run.namespace}"
                )
                logger.info("created %s", what, extra={"namespace": run.namespace, "profile": name})
        for name, found in run.problems.items():
            # What is left of a profile that does not select the namespace any more, or is gone.
            if name not in outcomes:
                outcomes[name] = Outcome(0, 0, _sorted(found), False, standing.get(name, 0))
        for name, outcome in outcomes.items():
            problems = outcome.problems
            if problems and self._status_writer.is_news(run.namespace, name, problems):
                first = problems[0]
                self._on_namespace(run.namespace, first.reason, f"{name}/{first.policy}: {first.message}")
                self._events.warning(
                    self._profile(name), first.reason, f"{run.namespace}/{first.policy}: {first.message}"
                )
                if self._refusals.is_due((run.namespace, name, first.reason)):
                    logger.warning(
                        "%s: %s",
                        first.reason,
                        first.message,
                        extra={"namespace": run.namespace, "policy": first.policy, "profile": name},
                    )
        self._status_writer.put(run.namespace, outcomes)

    def degraded(self, record: ProfileRecord, starts: bool, reason: str, message: str) -> None:
        """A profile turns Degraded, or is not any more."""
        subject = Subject("TenantProfile", record.name, record.uid)
        extra = {"profile": record.name, "reason": reason}
        if starts:
            self._events.warning(subject, reason, f"Degraded: {message}")
            logger.warning("profile is degraded: %s: %s", reason, message, extra=extra)
        else:
            self._events.normal(subject, "Recovered", "no problem is known any more")
            logger.info("profile is not degraded any more", extra=extra)

    def nothing(self, namespace: str) -> None:
        """The namespace is gone, or going."""
        self._status_writer.put(namespace, {})
        self._events.forget(namespace)

    def _on_namespace(self, namespace: str, reason: str, message: str, *, warning: bool = True) -> None:
        record = self._state.namespaces.get(namespace)
        if record is not None:
            subject = Subject("Namespace", namespace, record.uid)
            (self._events.warning if warning else self._events.normal)(subject, reason, message)

    @staticmethod
    def _log(
        level: int,
        text: str,
        what: str,
        namespace: str,
        desired: DesiredPolicy,
        *,
        manager: str | None = None,
    ) -> None:
        extra = {"namespace": namespace, "policy": desired.name, "profile": desired.profile}
        logger.log(level, text, what, extra=extra | ({"manager": manager} if manager else {}))

    def _profile(self, name: str) -> Subject:
        record = self._state.profiles.get(name)
        return Subject("TenantProfile", name, record.uid if record is not None else "")


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: problem.rank))
