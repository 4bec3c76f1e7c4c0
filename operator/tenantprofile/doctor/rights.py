"""What somebody may do, asked of the API server (SelfSubjectAccessReview, SubjectAccessReview).

RBAC is one of several ways in which a cluster decides, so the answer of the API server counts, not the
roles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tenantprofile.cluster.api import ApiError, Object
from tenantprofile.doctor.connection import Connection

_REVIEWS = "/apis/authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, in a namespace or (without one) in all of them; with a name on that object alone."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        named = f"{self.resource}.{self.group}" if self.group else self.resource
        part = (f"/{self.subresource}" if self.subresource else "") + (f" {self.name}" if self.name else "")
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {named}{part}{where}"

    def attributes(self) -> dict[str, str]:
        given = {
            "verb": self.verb,
            "resource": self.resource,
            "group": self.group,
            "subresource": self.subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {key: value for key, value in given.items() if value}


async def lacking(connection: Connection, rights: Sequence[Right], user: str = "") -> list[Right]:
    """Those of the rights that the caller, or a ServiceAccount `namespace:name`, does not have.

    Raises ApiError, with status 403 where the caller may not even ask.
    """
    answers = await asyncio.gather(*(_may(connection, right, user) for right in rights))
    return [right for right, answer in zip(rights, answers, strict=True) if not answer]


async def _may(connection: Connection, right: Right, user: str) -> bool:
    attributes = {"resourceAttributes": right.attributes()}
    if user:
        namespace, _, _ = user.partition(":")
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        spec: Object = {"user": f"system:serviceaccount:{user}", "groups": groups} | attributes
        kind, path = "SubjectAccessReview", f"{_REVIEWS}/subjectaccessreviews"
    else:
        spec, kind, path = dict(attributes), "SelfSubjectAccessReview", f"{_REVIEWS}/selfsubjectaccessreviews"
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    answer = await connection.make(path, body)
    return bool((answer.get("status") or {}).get("allowed"))


__all__ = ["ApiError", "Right", "lacking"]
