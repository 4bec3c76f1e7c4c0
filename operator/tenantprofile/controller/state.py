"""What the operator knows of the cluster, besides the policies: profiles, templates, namespaces.

`cluster.informer` keeps the stores up to date; this module says what is kept of each object.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenantprofile.cluster.store import Store
from tenantprofile.planning.desired import ProfilePlan
from tenantprofile.planning.observed import Observed
from tenantprofile.planning.profile import Profile, ProfileError, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import (
    Template,
    TemplateError,
    builtin_templates,
    read_policy_template,
)


class Policies(Protocol):
    """What the reconciler needs of the cache of policies."""

    def in_namespace(self, namespace: str) -> Mapping[str, Observed]:
        """Everything there that carries our label, by object name."""

    def namespaces(self) -> list[str]:
        """Namespaces that hold at least one policy with our label."""

    def writing(self, namespace: str, name: str) -> AbstractContextManager[None]:
        """While a write of ours is under way, deletions are remembered: its answer may be older than they are."""

    def written(self, namespace: str, name: str, seen: Observed) -> bool:
        """Take in the answer to a write; whether it is the newest that is known of the name."""

    def deleted(self, namespace: str, name: str, uid: str) -> None:
        """We have deleted it."""

    def forget(self, namespace: str, name: str, version: str) -> None:
        """An answer says that this version is not the present; the watch brings what is."""


@dataclass(frozen=True, slots=True)
class NamespaceRecord:
    """A namespace, as far as anything depends on it."""

    facts: NamespaceFacts
    uid: str
    terminating: bool
    new: bool
    """Seen being created: nothing runs in it yet."""


@dataclass(slots=True)
class ProfileRecord:
    """A TenantProfile with its plan; `error` instead of a plan where it cannot be used."""

    name: str
    uid: str
    generation: int
    status: Mapping[str, Any]
    """As stored in the cluster, so that nothing is written when it would stay the same."""
    profile: Profile | None = None
    error: ProfileError | None = None
    plan: ProfilePlan | None = None
    terminating: bool = False
    """Somebody deleted it, and finalizers keep it for now."""
    orphans: bool = False
    """Deleted with `--cascade=orphan`: its policies stay (Kubernetes documentation, Garbage Collection)."""

    @property
    def leaves(self) -> str:
        """What happens to its policies if this is its last state: `Delete` or `Retain`.

        A profile that cannot be read, and was never read before, leaves everything as it is.
        """
        profile = self.profile or (self.plan.profile if self.plan is not None else None)
        if self.orphans or profile is None or self.error is not None:
            return "Retain"
        return profile.deletion_policy


@dataclass(slots=True)
class TemplateRecord:
    """A PolicyTemplate. What is in it is looked into elsewhere (`renderer`); `reason` and `message` say why it
    cannot be used where that is plain without.
    """

    name: str
    generation: int
    status: Mapping[str, Any]
    template: Template | None = None
    reason: str = ""
    message: str = ""


@dataclass(slots=True)
class State:
    """Everything known; one event loop reads and writes it."""

    operator_namespace: str = ""
    profiles: Store[ProfileRecord] = field(default_factory=lambda: Store(profile_record))
    templates: Store[TemplateRecord] = field(default_factory=lambda: Store(template_record))
    namespaces: Store[NamespaceRecord] = field(default_factory=lambda: Store(namespace_record))
    complete: bool = False
    """Every store and the policy cache hold what whole lists held, and are kept up to date."""

    def usable_templates(self) -> dict[str, Template]:
        """Built-in templates and the cluster's own, by name; a built-in's name is never taken over."""
        own = {r.name: r.template for r in self.templates.values() if r.template is not None}
        return {**own, **builtin_templates()}

    def unusable_templates(self) -> dict[str, str]:
        """Why PolicyTemplates that exist cannot be used, by name."""
        return {r.name: r.message for r in self.templates.values() if r.template is None}

    def plans(self, namespace: NamespaceFacts) -> list[ProfilePlan]:
        """The plans of all profiles that select a namespace."""
        return [
            record.plan
            for record in self.profiles.values()
            if record.plan is not None and self.selects(record.plan.profile, namespace)
        ]

    def selects(self, profile: Profile, namespace: NamespaceFacts) -> bool:
        return profile.selects(namespace.name, namespace.labels, operator_namespace=self.operator_namespace)


def namespace_record(raw: Mapping[str, Any], *, new: bool = False) -> NamespaceRecord:
    metadata = raw["metadata"]
    return NamespaceRecord(
        facts=NamespaceFacts(
            name=metadata["name"],
            labels=dict(metadata.get("labels") or {}),
            annotations=dict(metadata.get("annotations") or {}),
        ),
        uid=metadata["uid"],
        terminating=bool(metadata.get("deletionTimestamp")),
        new=new,
    )


def profile_record(raw: Mapping[str, Any]) -> ProfileRecord:
    metadata = raw["metadata"]
    record = ProfileRecord(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation") or 0),
        status=raw.get("status") or {},
        terminating=bool(metadata.get("deletionTimestamp")),
        orphans="orphan" in (metadata.get("finalizers") or ()),
    )
    try:
        record.profile = parse_profile(raw)
    except ProfileError as error:
        record.error = error
    return record


def template_record(raw: Mapping[str, Any]) -> TemplateRecord:
    metadata = raw["metadata"]
    record = TemplateRecord(
        name=metadata["name"],
        generation=int(metadata.get("generation") or 0),
        status=raw.get("status") or {},
    )
    if record.name in builtin_templates():
        record.reason = "NameTaken"
        record.message = (
            f"metadata.name: found {record.name!r}, the name of a built-in template, which stays in force;"
            " choose another name"
        )
        return record
    try:
        record.template = read_policy_template(raw)
    except TemplateError as error:
        record.reason, record.message = "TemplateInvalid", str(error)
    return record
