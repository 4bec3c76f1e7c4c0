"""What is kept of a managed policy: a digest of the part that is ours, and the few facts that decide.

Bodies are 8 kB each and would be 400 MB at 50,000 policies; this is a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from json import dumps
from sys import intern
from typing import Any, Final

import orjson

from tenantprofile.names import (
    ANNOTATION_ADOPT,
    ANNOTATION_APPLIED,
    ANNOTATION_REPLACED,
    ANNOTATION_SEAL,
    GROUP,
    LABEL_MANAGED_BY,
    LABEL_POLICY,
    LABEL_PROFILE,
)
from tenantprofile.policy.normalize import canonical

_PREFIX = f"{GROUP}/"
_RECORDS: Final = frozenset({ANNOTATION_APPLIED, ANNOTATION_SEAL})
"""What the operator notes about a policy; no part of what is desired."""
_OTHERS: Final = frozenset({ANNOTATION_ADOPT, ANNOTATION_REPLACED})
MAX_NAMES: Final = 200
"""Characters kept of the names of finalizers, which anybody may set."""
MAX_NOTED: Final = 64
"""Characters of a digest or a uid; annotations of others may have 256 KiB."""
SEAL_LENGTH: Final = 16
MAX_DIGESTS: Final = 16384
"""Digests remembered: about 2 MB."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A policy that carries our label, as last seen."""

    digest: str
    """Of everything in it that is the operator's; equal to the desired digest when nothing is to be done."""
    applied: str
    """The digest that the operator wrote beside it; where it differs from `digest`, somebody changed it."""
    uid: str
    resource_version: str
    profile: str
    policy: str
    owner_uid: str | None
    """The uid of the TenantProfile in its owner references; releases before 0.2 set one."""
    closes: bool
    """Allows nothing in any direction that it isolates."""
    plain: bool
    """Nothing of anybody else's in its metadata, so that it can be replaced without reading it first."""
    seal: str = ""
    """See `controller.seal`; empty where there is none of the right length."""
    held_by: str = ""
    """The finalizers that keep a deleted policy in force, separated by commas; empty while nobody deleted it."""


def observe(body: Mapping[str, Any]) -> Observed:
    """The facts of one NetworkPolicy as the API server returned it."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    references = metadata.get("ownerReferences") or []
    our_references = [r for r in references if is_profile_reference(r)]
    spec = body.get("spec") or {}
    return Observed(
        digest=digest(labels, annotations, our_references, spec),
        applied=_short(annotations.get(ANNOTATION_APPLIED, "")),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        profile=intern(str(labels.get(LABEL_PROFILE, ""))),
        policy=intern(str(labels.get(LABEL_POLICY, ""))),
        owner_uid=_short(our_references[0]["uid"]) if our_references else None,
        closes=closes(spec),
        plain=len(our_references) == len(references)
        and not metadata.get("finalizers")
        and all(is_ours(key) for key in labels)
        and all(is_ours(key) for key in annotations),
        seal=_seal(annotations),
        held_by=_held_by(metadata),
    )


def _short(text: object) -> str:
    """What the operator wrote is short; of anything longer, no more than that it is something else."""
    found = str(text)
    return intern(found) if len(found) <= MAX_NOTED else "longer than anything of the operator's"


def _seal(annotations: Mapping[str, Any]) -> str:
    found = annotations.get(ANNOTATION_SEAL)
    return found if isinstance(found, str) and len(found) == SEAL_LENGTH else ""


def _held_by(metadata: Mapping[str, Any]) -> str:
    if not metadata.get("deletionTimestamp"):
        return ""
    return intern(", ".join(str(name) for name in metadata.get("finalizers") or ())[:MAX_NAMES] or "nobody")


def digest(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    references: Iterable[Mapping[str, Any]],
    spec: Mapping[str, Any],
) -> str:
    """A digest of everything that the operator owns in a policy; foreign metadata does not count."""
    ours = {k: v for k, v in labels.items() if is_ours(k)}
    noted = {k: v for k, v in annotations.items() if is_ours(k) and k not in _RECORDS}
    content = (ours, noted, list(references), spec)
    key = blake2b(orjson.dumps(content), digest_size=16).digest()
    known = _digests.get(key)
    if known is None:
        if len(_digests) >= MAX_DIGESTS:
            _digests.clear()
        known = _digests[key] = _digest(*content)
    return known


_digests: dict[bytes, str] = {}
"""By a hash of the content as the API server wrote it. Most policies of a cluster are the same few but for their
namespace; what a tenant writes never becomes a key as a whole."""


def _digest(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    references: list[Mapping[str, Any]],
    spec: Mapping[str, Any],
) -> str:
    metadata = (
        sorted(labels.items()),
        sorted(annotations.items()),
        sorted((sorted(reference.items()) for reference in references), key=repr),
    )
    state = blake2b(dumps(metadata).encode(), digest_size=12)
    state.update(canonical(spec))
    return intern(state.hexdigest())


def closes(spec: Mapping[str, Any]) -> bool:
    """Whether a policy only isolates: no rule in any direction."""
    return not spec.get("ingress") and not spec.get("egress")


def is_ours(key: str) -> bool:
    """Whether a label or annotation key is the operator's to set and to remove."""
    return (key.startswith(_PREFIX) and key not in _OTHERS) or key == LABEL_MANAGED_BY


def is_profile_reference(reference: Mapping[str, Any]) -> bool:
    """Whether an owner reference points to a TenantProfile."""
    return reference.get("kind") == "TenantProfile" and str(reference.get("apiVersion", "")).startswith(
        _PREFIX
    )
