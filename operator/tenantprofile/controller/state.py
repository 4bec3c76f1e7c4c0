"""What the operator knows of the cluster, besides the policies: profiles, templates, namespaces.

Kopf delivers the events, without saying when its first list has ended and without telling what
vanished while a watch was down. So a store counts as complete only after a comparison with a whole
list, and each later comparison takes out what is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from tenantprofile.planning.desired import ProfilePlan
from tenantprofile.planning.observed import Observed
from tenantprofile.planning.profile import Profile, ProfileError, parse_profile
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import (
    Template,
    TemplateError,
    builtin_templates,
    load_policy_template,
)

Value = TypeVar("Value")


class Store(Generic[Value]):
    """Values by name, each with the resource version it came with; newer versions win."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[int, Value]] = {}
        self._gone: dict[str, int] | None = None

    def put(self, name: str, version: int, value: Value) -> bool:
        """Whether the value was taken: an older one than what is known is not."""
        known = self._values.get(name)
        if known is not None and known[0] >= version:
            return False
        if self._gone is not None and self._gone.get(name, -1) >= version:
            return False
        self._values[name] = (version, value)
        return True

    def remove(self, name: str, version: int) -> Value | None:
        """Forget a deleted one; what it was, where it was known."""
        if self._gone is not None:
            self._gone[name] = max(version, self._gone.get(name, -1))
        known = self._values.get(name)
        if known is None or known[0] > version:
            return None
        del self._values[name]
        return known[1]

    def get(self, name: str) -> Value | None:
        known = self._values.get(name)
        return known[1] if known is not None else None

    def values(self) -> Iterator[Value]:
        return (value for _, value in self._values.values())

    def names(self) -> list[str]:
        return list(self._values)

    def begin_comparison(self) -> None:
        """From here on deletions are remembered: a list that began before them may still show them."""
        self._gone = {}

    def end_comparison(self, listed: set[str], version: int) -> list[str]:
        """The names that a whole list, read at `version`, should hold and does not."""
        self._gone = None
        return [n for n, (known, _) in self._values.items() if n not in listed and known <= version]

    def __len__(self) -> int:
        return len(self._values)


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

    def forget(self, namespace: str, name: str) -> None:
        """An answer says that what was believed is not so; the watch will tell."""


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
    """A PolicyTemplate; `error` in place of a template where it cannot be used."""

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
    profiles: Store[ProfileRecord] = field(default_factory=Store)
    templates: Store[TemplateRecord] = field(default_factory=Store)
    namespaces: Store[NamespaceRecord] = field(default_factory=Store)
    complete: bool = False
    """Every store and the policy cache have been compared with whole lists."""

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


def version_of(raw: Mapping[str, Any]) -> int:
    """An object's resource version as a number.

    Comparable since Kubernetes 1.35 by KEP-5504, and in fact with etcd behind the API server before.
    """
    return int(raw["metadata"].get("resourceVersion") or 0)


def namespace_record(raw: Mapping[str, Any], *, new: bool) -> NamespaceRecord:
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
        record.template = load_policy_template(raw)
    except TemplateError as error:
        record.reason, record.message = "TemplateInvalid", str(error)
    return record
