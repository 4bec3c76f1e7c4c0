"""Who changed a managed policy, and what, in a person's words (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantprofile.names import ANNOTATION_APPLIED, ANNOTATION_SEAL, FIELD_MANAGER
from tenantprofile.planning.desired import DesiredPolicy
from tenantprofile.planning.observed import is_ours, is_profile_reference
from tenantprofile.policy.normalize import normalize


@dataclass(frozen=True, slots=True)
class Change:
    """`what`: the fields that differ; `manager`: the field manager that wrote last, where one is known."""

    what: str
    manager: str | None
    opens: bool
    """Whether it may let traffic through: the spec differs, not only what is ours in the metadata."""

    def __str__(self) -> str:
        return f"{self.what} changed by {self.manager}" if self.manager else f"{self.what} changed"


def change(body: Mapping[str, Any], desired: DesiredPolicy) -> Change:
    """What makes a policy, as found in the cluster, differ from the desired one."""
    wanted = desired.manifest("")
    metadata = body.get("metadata") or {}
    fields: list[str] = []
    found_spec, wanted_spec = normalize(body.get("spec") or {}), normalize(wanted["spec"])
    for key in sorted({*found_spec, *wanted_spec}):
        if found_spec.get(key) != wanted_spec.get(key):
            fields.append(f"spec.{key}")
    opens = bool(fields)
    for part in ("labels", "annotations"):
        found = {k: v for k, v in (metadata.get(part) or {}).items() if is_ours(k)}
        for key in sorted(
            {*found, *wanted["metadata"].get(part, {})} - {ANNOTATION_APPLIED, ANNOTATION_SEAL}
        ):
            if found.get(key) != wanted["metadata"][part].get(key):
                fields.append(f"{part[:-1]} {key}")
    references = [r for r in metadata.get("ownerReferences") or [] if is_profile_reference(r)]
    if references != wanted["metadata"].get("ownerReferences", []):
        fields.append("owner reference")
    return Change(", ".join(fields) or f"annotation {ANNOTATION_APPLIED}", last_manager(metadata), opens)


def last_manager(metadata: Mapping[str, Any]) -> str | None:
    """The field manager other than ours that wrote last (API documentation, Field Management)."""
    others = [e for e in metadata.get("managedFields") or [] if e.get("manager") != FIELD_MANAGER]
    if not others:
        return None
    return str(max(others, key=lambda entry: entry.get("time") or "").get("manager"))


def merged(body: Mapping[str, Any], desired: DesiredPolicy, seal: str = "") -> dict[str, Any]:
    """The whole object to write over a found one: everything ours as desired, everything else as found.

    It carries the resourceVersion it is based on, so that a change in between is not lost but answered
    with a conflict.
    """
    wanted = desired.manifest("")
    metadata, ours = body["metadata"], wanted["metadata"]
    kept: dict[str, Any] = {
        key: metadata[key] for key in ("uid", "resourceVersion", "finalizers") if metadata.get(key)
    }
    for part in ("labels", "annotations"):
        foreign = {k: v for k, v in (metadata.get(part) or {}).items() if not is_ours(k)}
        kept[part] = {**foreign, **ours[part]}
    if seal:
        kept["annotations"][ANNOTATION_SEAL] = seal
    references = [r for r in metadata.get("ownerReferences") or [] if not is_profile_reference(r)]
    kept["ownerReferences"] = references + ours.get("ownerReferences", [])
    return {**wanted, "metadata": {"name": desired.name, **kept}}
