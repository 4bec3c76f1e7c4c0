"""The world that objects describe: profiles are rendered into the policies that would exist.

The rendering is the operator's own (`desired`). What comes out is what a cluster would hold once the
operator had done its work on these objects: every profile's policies in every namespace that it
selects, in place of what is there under the same name, and without what the profile has left behind.
Of a cluster alone nothing is rendered, because there the policies are already what they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tenantprofile.connectivity.manifests import KINDS, VERSIONS, ManifestError
from tenantprofile.connectivity.workloads import Workload
from tenantprofile.connectivity.world import World
from tenantprofile.input.objects import SourceObject
from tenantprofile.names import (
    ANNOTATION_TEMPLATE,
    API_VERSION,
    LABEL_MANAGED_BY,
    LABEL_NAMESPACE_NAME,
    LABEL_POLICY,
    LABEL_PROFILE,
    MANAGED_BY,
)
from tenantprofile.paths import Path
from tenantprofile.planning.desired import ASSERTION_FAILED, DesiredPolicy, ProfilePlan, Refusal
from tenantprofile.planning.loading import LoadError, load_templates, namespace_facts
from tenantprofile.planning.profile import Profile, ProfileError, parse_profile
from tenantprofile.policy.normalize import canonical
from tenantprofile.rendering.facts import NamespaceFacts
from tenantprofile.rendering.templates import Template

OPERATOR_NAMESPACE: Final = "tenantprofile-system"
"""Where the operator is installed unless somebody moved it; left out of every profile."""

_WRONG_TOLD: Final = 50
"""Objects that cannot be used, of which each gets its line."""
_TOLD: Final = 3
"""Objects that a note names before it counts."""


class InputError(ValueError):
    """Objects that make no world; the message names place, object, field, what was found and expected."""


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Where a policy of the world comes from.

    profile, entry, template: empty for a policy that no profile manages. rendered: made here from a
    TenantProfile, which is then the `item`; otherwise `item` is the NetworkPolicy itself.
    """

    manifest: Mapping[str, Any]
    item: SourceObject
    profile: str = ""
    entry: str = ""
    template: str = ""
    rendered: bool = False

    @property
    def managed(self) -> bool:
        """Kept by the operator for a profile; others are a tenant's or an administrator's own."""
        return bool(self.profile)


@dataclass(frozen=True, slots=True)
class Assembly:
    """A world, and what it was made from. `policies` is by namespace and name, in the world's order.

    objects: everything that was given, as it was given. selected: the namespaces of each profile.
    violated: by profile, its own assertions that do not hold, each with a namespace and an explanation;
    the world holds what the profile says all the same, although the operator would not apply it.
    """

    objects: tuple[SourceObject, ...]
    world: World
    policies: Mapping[tuple[str, str], PolicySource]
    profiles: tuple[tuple[Profile, SourceObject], ...] = ()
    templates: Mapping[str, Template] = field(default_factory=dict)
    selected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    violated: Mapping[str, tuple[tuple[str, Refusal], ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def violations(self) -> list[str]:
        """A note for each profile that the operator would not apply, for commands that do not test."""
        return [
            f"{item} ({item.place()}): its own assertions do not hold, so the operator would keep what is"
            f" there instead: {self.violated[profile.name][0][1].message}"
            for profile, item in self.profiles
            if profile.name in self.violated
        ]

    def source_of(self, policy: Any) -> PolicySource:
        """The source of a `connectivity.policies.Policy`."""
        return self.policies[policy.namespace, policy.name]


def assemble(
    objects: Iterable[SourceObject],
    *,
    operator_namespace: str = OPERATOR_NAMESPACE,
    pods: Sequence[Workload] = (),
) -> Assembly:
    """The world of these objects. Raises InputError, with the place, for what makes no world.

    pods: such as are in the world besides, and were read before.
    """
    return _Assembler(tuple(objects), operator_namespace, pods).assemble()


def manifest_of(policy: DesiredPolicy, profile: Profile, namespace: str = "") -> dict[str, Any]:
    """A policy as it would be applied; a profile from a file has no uid, and so cannot be an owner yet."""
    manifest = policy.manifest(namespace)
    if not profile.uid:
        manifest["metadata"].pop("ownerReferences", None)
    return manifest


class _Assembler:
    def __init__(
        self, objects: tuple[SourceObject, ...], operator_namespace: str, pods: Sequence[Workload] = ()
    ) -> None:
        self._objects = objects
        self._pods = pods
        self._operator_namespace = operator_namespace
        self._notes: list[str] = []
        self._wrong: list[str] = []
        """Everything in files that cannot be used, told all at once."""
        self._violated: dict[str, tuple[tuple[str, Refusal], ...]] = {}
        self._profile_objects = self._of_kind("TenantProfile")
        self._template_objects = self._of_kind("PolicyTemplate")
        self._namespaces = self._namespace_facts()

    def assemble(self) -> Assembly:
        templates = self._templates()
        profiles = self._profiles()
        self._stop_where_wrong()
        policies = {
            (item.namespace or "default", item.name): _source(item) for item in self._policy_objects()
        }
        namespace_objects = [item for item in self._objects if item.kind == "Namespace"]
        selected: dict[str, tuple[str, ...]] = {}
        written = (*self._profile_objects, *self._template_objects, *namespace_objects)
        renders = any(item.origin.is_file for item in written)
        for profile, item in profiles:
            self._assert(profile, item, templates)
            names = tuple(facts.name for facts in self._namespaces if self._selects(profile, facts))
            selected[profile.name] = names
            if not renders:
                continue
            if profile.suspend:
                self._notes.append(f"{item}: suspended, so nothing of it is rendered")
            elif not names:
                self._notes.append(f"{item} ({item.place()}): selects none of the namespaces given")
            else:
                self._render(profile, item, templates, names, policies)
        self._stop_where_wrong()
        return Assembly(
            objects=self._objects,
            world=self._world(policies),
            policies=dict(sorted(policies.items())),
            profiles=tuple(profiles),
            templates=templates,
            selected=selected,
            violated=self._violated,
            notes=tuple(self._notes),
        )

    # --- reading ---

    def _of_kind(self, kind: str) -> list[SourceObject]:
        found: dict[str, SourceObject] = {}
        for item in self._objects:
            if item.kind != kind or item.api_version != API_VERSION:
                continue
            before = found.setdefault(item.name, item)
            if before.raw != item.raw:
                raise InputError(
                    f"{item.place()}: {item}: given twice, with different content;"
                    f" the first is at {before.place()}"
                )
        return list(found.values())

    def _policy_objects(self) -> list[SourceObject]:
        return [
            i
            for i in self._objects
            if i.kind == "NetworkPolicy" and i.api_version == VERSIONS["NetworkPolicy"]
        ]

    def _namespace_facts(self) -> list[NamespaceFacts]:
        """Namespaces that are given, and those that others are in, with the one label that all have."""
        found: dict[str, NamespaceFacts] = {}
        for item in self._objects:
            if KINDS.get(item.kind) != item.group:
                continue
            if item.kind == "Namespace":
                try:
                    found[item.name] = namespace_facts(item)
                except LoadError as error:
                    self._wrong.append(str(error))
            else:
                name = item.namespace or "default"
                found.setdefault(name, NamespaceFacts(name, {LABEL_NAMESPACE_NAME: name}))
        for name in {pod.namespace for pod in self._pods}:
            found.setdefault(name, NamespaceFacts(name, {LABEL_NAMESPACE_NAME: name}))
        return [found[name] for name in sorted(found)]

    def _templates(self) -> dict[str, Template]:
        return load_templates(
            self._template_objects, lambda wrong: self._refuse(wrong.item, wrong.message, wrong.path)
        )

    def _profiles(self) -> list[tuple[Profile, SourceObject]]:
        found = []
        for item in self._profile_objects:
            try:
                found.append((parse_profile(item.raw), item))
            except ProfileError as error:
                self._refuse(item, error.told, error.complaints[0].path)
        return sorted(found, key=lambda pair: pair[0].name)

    def _refuse(self, item: SourceObject, complaint: str, path: Path) -> None:
        """What is wrong in a file is to be fixed there; in a cluster the operator has told already."""
        if item.origin.is_file:
            self._wrong.append(f"{item.place(path)}: {item}: {complaint}")
        else:
            self._notes.append(f"{item} in the {item.place()} cannot be used: {complaint}")

    # --- rendering ---

    def _selects(self, profile: Profile, facts: NamespaceFacts) -> bool:
        return profile.selects(facts.name, facts.labels, operator_namespace=self._operator_namespace)

    def _assert(self, profile: Profile, item: SourceObject, templates: Mapping[str, Template]) -> None:
        """Checks a profile's own assertions, in each of its namespaces or else in one that could be."""
        if not profile.assertions:
            return
        plan = ProfilePlan(profile, templates)
        found: dict[str, tuple[str, Refusal]] = {refusal.name: ("", refusal) for refusal in plan.refusals}
        for facts in self._namespaces:
            if self._selects(profile, facts):
                for refusal in plan.desired(facts):
                    if isinstance(refusal, Refusal):
                        found.setdefault(refusal.name, (facts.name, refusal))
        violated = tuple(
            pair for pair in found.values() if pair[1].reason == ASSERTION_FAILED and pair[1].message
        )
        if violated:
            self._violated[profile.name] = violated

    def _render(
        self,
        profile: Profile,
        item: SourceObject,
        templates: Mapping[str, Template],
        names: tuple[str, ...],
        policies: dict[tuple[str, str], PolicySource],
    ) -> None:
        """Puts a profile's policies among the others, and takes out those that it has left behind."""
        plan = ProfilePlan(replace(profile, assertions=()), templates)
        entries = {entry.name: entry.template for entry in profile.entries}
        chosen, kept = set(names), set[tuple[str, str]]()
        manifests: dict[DesiredPolicy, dict[str, Any]] = {}
        replaced: list[str] = []
        for facts in self._namespaces:
            if facts.name not in chosen:
                continue
            for policy in plan.desired(facts):
                key = (facts.name, policy.name)
                kept.add(key)
                if isinstance(policy, Refusal):
                    self._refuse(item, f"{policy.message} (in namespace {facts.name})", ("spec",))
                    continue
                shared = manifests.get(policy) or manifests.setdefault(policy, manifest_of(policy, profile))
                manifest = {**shared, "metadata": {**shared["metadata"], "namespace": facts.name}}
                before = policies.get(key)
                if before is not None and _differ(before.manifest, manifest):
                    replaced.append(f"{before.item} ({before.item.place()})")
                template = entries[policy.entry]
                policies[key] = PolicySource(manifest, item, profile.name, policy.entry, template, True)
        if replaced:
            self._notes.append(f"{_some(replaced)}: replaced by what {item} renders")
        left = [key for key, source in policies.items() if source.profile == profile.name and key not in kept]
        gone = [f"NetworkPolicy {'/'.join(key)}" for key in left]
        for key in left:
            del policies[key]
        if gone:
            self._notes.append(f"{_some(gone)}: no longer in {item}, so the operator would remove it")

    # --- the world ---

    def _world(self, policies: Mapping[tuple[str, str], PolicySource]) -> World:
        places = defaultdict(list)
        for item in self._objects:
            if KINDS.get(item.kind) == item.group:
                places[_reference(item)].append(item)
        written = [item.raw for item in self._objects if item.kind != "NetworkPolicy"]
        # What a rendered policy replaces is gone; what is given twice is for the reader to refuse.
        unrendered = [
            item.raw
            for item in self._policy_objects()
            if (source := policies.get((item.namespace or "default", item.name))) and not source.rendered
        ]
        rendered = [source.manifest for source in policies.values() if source.rendered]
        try:
            return World.from_objects((*written, *unrendered, *rendered)).joined_by(self._pods)
        except ManifestError as error:
            self._look_at_each()
            self._stop_where_wrong()
            items: Sequence[SourceObject] = places.get(error.object, ())
            place = f"{items[-1].place(error.path)}: " if items else ""
            first = f"; the first is at {items[0].place()}" if len(items) > 1 else ""
            raise InputError(f"{place}{error}{first}") from error

    def _stop_where_wrong(self) -> None:
        """Raises InputError with everything in files that cannot be used, where that is known of something."""
        if not self._wrong:
            return
        self._look_at_each()
        told = list(dict.fromkeys(self._wrong))
        more = [f"and {len(told) - _WRONG_TOLD} more"] if len(told) > _WRONG_TOLD else []
        raise InputError("\n".join([*told[:_WRONG_TOLD], *more]))

    def _look_at_each(self) -> None:
        """Finds the objects that the API server would refuse; slow, so only where there is one."""
        for item in self._objects:
            try:
                World.from_objects((item.raw,))
            except ManifestError as error:
                self._wrong.append(f"{item.place(error.path)}: {error}")


def _source(item: SourceObject) -> PolicySource:
    """A policy as it was given; the operator's own carry its labels."""
    labels, annotations = item.metadata.get("labels") or {}, item.metadata.get("annotations") or {}
    if not isinstance(labels, Mapping) or labels.get(LABEL_MANAGED_BY) != MANAGED_BY:
        return PolicySource(item.raw, item)
    template = annotations.get(ANNOTATION_TEMPLATE) if isinstance(annotations, Mapping) else None
    profile, entry = labels.get(LABEL_PROFILE), labels.get(LABEL_POLICY)
    return PolicySource(item.raw, item, str(profile or ""), str(entry or ""), str(template or ""))


def _differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    spec = before.get("spec")
    try:
        return not isinstance(spec, Mapping) or canonical(spec) != canonical(after["spec"])
    except (TypeError, ValueError, AttributeError):
        return True


def _reference(item: SourceObject) -> str:
    """As ManifestError names an object."""
    return (
        f"Namespace {item.name}"
        if item.kind == "Namespace"
        else f"{item.kind} {item.namespace or 'default'}/{item.name}"
    )


def _some(items: list[str]) -> str:
    shown = ", ".join(items[:_TOLD])
    return shown if len(items) <= _TOLD else f"{shown} and {len(items) - _TOLD} more"
