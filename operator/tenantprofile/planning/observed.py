"""What is kept of a managed policy: a digest of the part that is ours, and the few facts that decide.

Bodies are 8 kB each and would be 400 MB at 50,000 policies; this is a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from json import dumps
from sys import intern
from typing import Any

import orjson

from tenantprofile.names import (
    ANNOTATION_ADOPT,
    ANNOTATION_APPLIED,
    FIELD_MANAGER,
    GROUP,
    LABEL_MANAGED_BY,
    LABEL_POLICY,
    LABEL_PROFILE,
)
from tenantprofile.policy.normalize import canonical

_PREFIX = f"{GROUP}/"


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
    """The uid of the TenantProfile in its owner references; with it, deleting the profile deletes it."""
    ours: bool
    """Written by us: our field manager is in its managedFields. A label alone can be copied."""
    closes: bool
    """Allows nothing in any direction that it isolates."""
    plain: bool
    """Nothing of anybody else's in its metadata, so that it can be replaced without reading it first."""


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
        applied=intern(str(annotations.get(ANNOTATION_APPLIED, ""))),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        profile=intern(str(labels.get(LABEL_PROFILE, ""))),
        policy=intern(str(labels.get(LABEL_POLICY, ""))),
        owner_uid=intern(our_references[0]["uid"]) if our_references else None,
        ours=written_by_us(metadata),
        closes=closes(spec),
        plain=len(our_references) == len(references)
        and not metadata.get("finalizers")
        and all(is_ours(key) for key in labels)
        and all(is_ours(key) for key in annotations),
    )


def digest(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    references: Iterable[Mapping[str, Any]],
    spec: Mapping[str, Any],
) -> str:
    """A digest of everything that the operator owns in a policy; foreign metadata does not count."""
    ours = {k: v for k, v in labels.items() if is_ours(k)}
    noted = {k: v for k, v in annotations.items() if is_ours(k) and k != ANNOTATION_APPLIED}
    return _digest(orjson.dumps((ours, noted, list(references), spec)))


@lru_cache(maxsize=4096)
def _digest(text: bytes) -> str:
    """Most policies of a cluster are the same few but for their namespace, and the API server writes the
    same content in the same order; where it does not, the same digest is worked out once more."""
    labels, annotations, references, spec = orjson.loads(text)
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
    return (key.startswith(_PREFIX) and key != ANNOTATION_ADOPT) or key == LABEL_MANAGED_BY


def is_profile_reference(reference: Mapping[str, Any]) -> bool:
    """Whether an owner reference points to a TenantProfile."""
    return reference.get("kind") == "TenantProfile" and str(reference.get("apiVersion", "")).startswith(
        _PREFIX
    )


def written_by_us(metadata: Mapping[str, Any]) -> bool:
    """Whether our field manager owns anything of an object (API documentation, Server-Side Apply)."""
    return any(entry.get("manager") == FIELD_MANAGER for entry in metadata.get("managedFields") or ())
