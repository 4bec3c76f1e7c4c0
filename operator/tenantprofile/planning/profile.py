"""TenantProfile as a value: parsed once, checked in full, then only read.

The CRD's schema and CEL rules refuse most of what is wrong before it is stored; this module does not
rely on that, because profiles also come from files, and from clusters with an older CRD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from typing import Any, Final, Literal

from tenantprofile.assertions.form import AssertionFormError, NetworkAssertion
from tenantprofile.assertions.profile import parse_profile_assertions
from tenantprofile.input.nesting import deeper_than
from tenantprofile.names import MAX_LABEL_VALUE, SYSTEM_NAMESPACES
from tenantprofile.paths import Complaint, Path
from tenantprofile.planning.guardrails import Guardrails, parse_guardrails
from tenantprofile.policy.findings import shown
from tenantprofile.selectors import Selector, SelectorError, parse_selector

MAX_LEVELS: Final = 64
"""Levels of a profile; its parameters may have 40 of them (rendering.parameters)."""
_STEPS_SHOWN: Final = 6

_DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


class ProfileError(ValueError):
    """A profile that cannot be used; each complaint names the field, what was found, what would be right."""

    def __init__(self, profile: str, complaints: Sequence[Complaint]) -> None:
        self.profile = profile
        self.complaints = tuple(complaints)
        super().__init__(f"TenantProfile {profile}: {self.told}")

    @property
    def told(self) -> str:
        """Every complaint in one line, without the profile's name."""
        return "; ".join(map(str, self.complaints))


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """One item of `spec.policies`: a template with parameters, under a name that is unique in the profile."""

    name: str
    template: str
    parameters: Mapping[str, Any]
    purpose: str
    owner: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A parsed TenantProfile. `spec_key` is equal for equal specs, whatever their key order."""

    name: str
    uid: str
    generation: int
    selector: Selector
    excluded: frozenset[str]
    included_system: frozenset[str]
    entries: tuple[PolicyEntry, ...]
    parameters: Mapping[str, Any]
    drift: Literal["Repair", "Report"]
    deletion_policy: Literal["Delete", "Retain"]
    suspend: bool
    spec_key: str
    conflicts: Literal["Report", "Replace"] = "Report"
    pod_admission: Literal["Immediate", "RequireBaseline"] = "Immediate"
    guardrails: Guardrails | None = None
    assertions: tuple[NetworkAssertion, ...] = ()
    """What the policies must allow and must not; checked before any of them is applied."""

    def object_name(self, entry: str) -> str:
        """The NetworkPolicy's name. An entry's name has no dots, so no two profiles can meet in one."""
        return f"{self.name}.{entry}"

    def selects(self, namespace: str, labels: Mapping[str, str], *, operator_namespace: str = "") -> bool:
        """Whether a namespace is the profile's; the system's and the operator's own only when named."""
        if namespace in self.excluded:
            return False
        system = namespace in SYSTEM_NAMESPACES or namespace == operator_namespace
        if system and namespace not in self.included_system:
            return False
        return self.selector.matches(labels)


def parse_profile(raw: Mapping[str, Any]) -> Profile:
    """A TenantProfile object, as the API server or a file gives it. Raises ProfileError with all complaints."""
    # Before anything walks it: encoding and printing it would end at Python's recursion limit.
    too_deep = deeper_than({"spec": raw.get("spec")}, MAX_LEVELS)
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    found = metadata.get("name")
    name = found if isinstance(found, str) else ""
    if too_deep is not None:
        message = f"nested deeper than {MAX_LEVELS} levels; use less"
        raise ProfileError(name, [Complaint(too_deep[:_STEPS_SHOWN], message)])
    complaints: list[Complaint] = []
    if not _DNS_SUBDOMAIN.fullmatch(name) or len(name) > MAX_LABEL_VALUE:
        written = name if isinstance(found, Mapping | list) else found
        message = (
            f"found {shown(written)}; expected a DNS name of at most {MAX_LABEL_VALUE} characters"
            " (it becomes a label value)"
        )
        complaints.append(Complaint(("metadata", "name"), message))
    spec = raw.get("spec")
    if not isinstance(spec, Mapping):
        raise ProfileError(name, [*complaints, Complaint(("spec",), f"found {shown(spec)}; expected a map")])
    selector = _selector(spec, complaints)
    entries = _entries(spec.get("policies"), complaints)
    drift = _one_of(spec, "drift", ("Repair", "Report"), complaints)
    conflicts = _one_of(spec, "conflicts", ("Report", "Replace"), complaints)
    pod_admission = _one_of(spec, "podAdmission", ("Immediate", "RequireBaseline"), complaints)
    guardrails = parse_guardrails(spec.get("guardrails"), ("spec", "guardrails"), complaints)
    deletion_policy = _one_of(spec, "deletionPolicy", ("Delete", "Retain"), complaints)
    parameters = _map(spec.get("parameters"), ("spec", "parameters"), complaints)
    suspend = spec.get("suspend") or False
    if not isinstance(suspend, bool):
        complaints.append(Complaint(("spec", "suspend"), f"found {shown(suspend)}; expected true or false"))
    excluded = _names(spec, "excludedNamespaces", complaints)
    included_system = _names(spec, "includedSystemNamespaces", complaints)
    assertions: tuple[NetworkAssertion, ...] = ()
    try:
        assertions = parse_profile_assertions(spec.get("assertions"), ("spec", "assertions"))
    except AssertionFormError as error:
        complaints.extend(error.complaints)
    if complaints:
        raise ProfileError(name, complaints)
    return Profile(
        name=name,
        uid=str(metadata.get("uid") or ""),
        generation=generation if isinstance(generation := metadata.get("generation"), int) else 0,
        selector=selector,
        excluded=excluded,
        included_system=included_system,
        entries=tuple(entries),
        parameters=parameters,
        drift=drift,  # type: ignore[arg-type]
        deletion_policy=deletion_policy,  # type: ignore[arg-type]
        suspend=bool(suspend),
        conflicts=conflicts,  # type: ignore[arg-type]
        pod_admission=pod_admission,  # type: ignore[arg-type]
        guardrails=guardrails,
        spec_key=dumps(spec, sort_keys=True),
        assertions=assertions,
    )


def _selector(spec: Mapping[str, Any], complaints: list[Complaint]) -> Selector:
    raw = spec.get("namespaceSelector")
    select_all = spec.get("selectAllNamespaces") or False
    try:
        selector = parse_selector(raw)
    except SelectorError as error:
        complaints.append(Complaint(("spec", "namespaceSelector", *error.path), error.message))
        return Selector()
    if selector.is_everything and select_all is not True:
        message = f"found {shown(raw)}, which selects every namespace; name labels, or say selectAllNamespaces: true"
        complaints.append(Complaint(("spec", "namespaceSelector"), message))
    if not selector.is_everything and select_all:
        message = "found true beside a namespaceSelector that is not empty; drop one of them"
        complaints.append(Complaint(("spec", "selectAllNamespaces"), message))
    return selector


def _entries(raw: object, complaints: list[Complaint]) -> list[PolicyEntry]:
    if not isinstance(raw, list) or not raw:
        complaints.append(
            Complaint(("spec", "policies"), f"found {shown(raw)}; expected a list of at least one policy")
        )
        return []
    entries: list[PolicyEntry] = []
    seen: set[str] = set()
    for index, item in enumerate(raw):
        path: Path = ("spec", "policies", index)
        if not isinstance(item, Mapping) or not isinstance(item.get("template"), str):
            complaints.append(
                Complaint(path, f"found {shown(item)}; expected a map with at least `template`")
            )
            continue
        name = item.get("name") or item["template"]
        if not isinstance(name, str) or not _DNS_LABEL.fullmatch(name):
            message = f"found {shown(name)}; expected a DNS label (lower case letters, digits and '-')"
            complaints.append(Complaint((*path, "name"), message))
            continue
        if name in seen:
            message = f"found {shown(name)} a second time; give each policy its own name"
            complaints.append(Complaint((*path, "name"), message))
        seen.add(name)
        entries.append(
            PolicyEntry(
                name=name,
                template=item["template"],
                parameters=_map(item.get("parameters"), (*path, "parameters"), complaints),
                purpose=str(item.get("purpose") or ""),
                owner=str(item.get("owner") or ""),
            )
        )
    return entries


def _one_of(spec: Mapping[str, Any], field: str, values: tuple[str, str], complaints: list[Complaint]) -> str:
    value = spec.get(field) or values[0]
    if value not in values:
        complaints.append(Complaint(("spec", field), f"found {shown(value)}; expected {' or '.join(values)}"))
    return str(value)


def _map(raw: object, path: Path, complaints: list[Complaint]) -> Mapping[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        complaints.append(Complaint(path, f"found {shown(raw)}; expected a map"))
        return {}
    return raw


def _names(spec: Mapping[str, Any], field: str, complaints: list[Complaint]) -> frozenset[str]:
    raw = spec.get(field) or []
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        complaints.append(
            Complaint(("spec", field), f"found {shown(raw)}; expected a list of namespace names")
        )
        return frozenset()
    return frozenset(raw)
