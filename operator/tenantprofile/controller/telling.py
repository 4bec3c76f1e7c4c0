"""Tells people what was done and what is wrong: status board, Kubernetes Events, log, in the same words."""

from __future__ import annotations

import logging

from tenantprofile.controller.board import StatusBoard
from tenantprofile.controller.events import EventRecorder, Subject
from tenantprofile.controller.passes import Pass
from tenantprofile.controller.state import NamespaceRecord, State
from tenantprofile.names import ANNOTATION_ADOPT
from tenantprofile.planning.desired import DesiredPolicy, ProfilePlan
from tenantprofile.planning.status import Outcome, counted

logger = logging.getLogger(__name__)


class Teller:
    """One place for what is said, so that status, Events and log agree."""

    def __init__(self, state: State, board: StatusBoard, events: EventRecorder) -> None:
        self._state = state
        self._board = board
        self._events = events

    def repaired(self, namespace: str, desired: DesiredPolicy, what: str) -> None:
        """A policy that somebody else had changed or deleted is as desired again."""
        self._board.repaired(desired.profile, f"{namespace}/{desired.name}: {what}")
        self._events.normal(self._profile(desired.profile), "Repaired", f"{namespace}/{desired.name}: {what}")
        record = self._state.namespaces.get(namespace)
        if record is not None:
            self._events.warning(
                Subject("Namespace", namespace, record.uid),
                "PolicyRepaired",
                f"NetworkPolicy {desired.name} was put right: {what}",
            )
        logger.info(
            "repaired a network policy: %s",
            what,
            extra={"namespace": namespace, "policy": desired.name, "profile": desired.profile},
        )

    def adopted(self, namespace: str, desired: DesiredPolicy) -> None:
        """A foreign policy was taken over, because its owner said so."""
        self._events.normal(
            self._profile(desired.profile),
            "Adopted",
            f"{namespace}/{desired.name} was taken over, as its annotation {ANNOTATION_ADOPT} says",
        )

    def removed(self, namespace: str, name: str, profile: str) -> None:
        """A policy that nothing wants any more was removed."""
        logger.info(
            "removed a network policy that is no longer wanted",
            extra={"namespace": namespace, "policy": name, "profile": profile},
        )

    def outcome(self, run: Pass, record: NamespaceRecord, plans: list[ProfilePlan]) -> None:
        """What came of a whole pass."""
        subject = Subject("Namespace", run.namespace, record.uid)
        outcomes = {}
        for plan in plans:
            name = plan.profile.name
            problems = tuple(sorted(run.problems.get(name, ())))
            outcomes[name] = Outcome(len(plan.profile.entries), run.ready.get(name, 0), problems)
            if created := run.created.get(name):
                what = counted(created, "network policy", "network policies")
                self._events.normal(subject, "PoliciesCreated", f"created {what} of profile {name}")
                self._events.normal(
                    self._profile(name), "PoliciesCreated", f"created {what} in {run.namespace}"
                )
            if problems and self._board.is_news(run.namespace, name, problems):
                first = problems[0]
                self._events.warning(subject, first.reason, f"{name}/{first.policy}: {first.message}")
                self._events.warning(
                    self._profile(name), first.reason, f"{run.namespace}/{first.policy}: {first.message}"
                )
        self._board.put(run.namespace, outcomes)

    def nothing(self, namespace: str) -> None:
        """The namespace is gone, or going."""
        self._board.put(namespace, {})
        self._events.forget(namespace)

    def _profile(self, name: str) -> Subject:
        record = self._state.profiles.get(name)
        return Subject("TenantProfile", name, record.uid if record is not None else "")
