"""What the API server's refusals mean: what they concern decides what waits, and what is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson

from tenantprofile.cluster.transport import Answer

Concern = Literal["cluster", "kind", "namespace", "object", "rights", "webhook"]
"""cluster: the API server itself; kind: it is not served; rights: RBAC or credentials; webhook: admission of the
cluster refused it or could not be asked; namespace: gone, terminating, over quota, or hanging; object: this one."""

MAX_MESSAGE: Final = 1000
"""Characters of a refusal that are kept: its author may be a tenant's webhook."""
_ADMISSION: Final = (
    "admission webhook",
    "failed calling webhook",
    "ValidatingAdmissionPolicy",
    "MutatingAdmissionPolicy",
)
_FLOW_CONTROL: Final = "x-kubernetes-pf-flowschema-uid"


class ApiError(Exception):
    """The API server refused, or could not be reached (status 0)."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
        body: Any = None,
        concerns: Concern | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.body = body
        self.concerns: Concern = concerns or _concern(status, message, self._details, self._causes)

    @property
    def is_quota(self) -> bool:
        """Refused by a ResourceQuota (Kubernetes documentation, Resource Quotas)."""
        return self.status == 403 and "exceeded quota" in self.message and self.concerns == "namespace"

    @property
    def namespace_is_going(self) -> bool:
        """A namespace that is gone or terminating takes no more objects: nothing is left to do there."""
        if self.concerns != "namespace":
            return False
        return (self.status == 404 and self._details.get("kind") == "namespaces") or (
            self.status == 403 and "NamespaceTerminating" in self._causes
        )

    @property
    def _details(self) -> Mapping[str, Any]:
        details = self.body.get("details") if isinstance(self.body, dict) else None
        return details if isinstance(details, dict) else {}

    @property
    def _causes(self) -> set[str]:
        causes = self._details.get("causes")
        return (
            {str(c.get("reason")) for c in causes if isinstance(c, dict)}
            if isinstance(causes, list)
            else set()
        )


class Gone(Exception):
    """410: the resource version is too old to watch from; the list must be read again."""


def refusal(answer: Answer) -> ApiError:
    """The error behind an answer of status 400 or more."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    after = headers.get("retry-after", "")
    retry_after = float(after) if after.isascii() and after.isdigit() else None
    try:
        body = orjson.loads(answer.body)
        if not isinstance(body, dict):
            raise ValueError
    except ValueError:
        # Flow control, and a proxy in front of the API server, answer in plain text.
        text = answer.body[:200].decode(errors="replace").strip()
        return ApiError(
            answer.status,
            "",
            text,
            retry_after=retry_after,
            concerns="cluster" if answer.status != 404 else "kind",
        )
    message = str(body.get("message", ""))[:MAX_MESSAGE]
    concerns: Concern | None = None
    if (
        answer.status == 429
        and _FLOW_CONTROL in headers
        and not _is_admission(message)
        and not body.get("details")
    ):
        concerns = "cluster"
    return ApiError(
        answer.status,
        str(body.get("reason") or ""),
        message,
        retry_after=retry_after,
        body=body,
        concerns=concerns,
    )


def status_error(status: Mapping[str, Any]) -> ApiError | Gone:
    """The error in an ERROR event of a watch."""
    code = status.get("code")
    if code == 410:
        return Gone()
    return ApiError(
        code if isinstance(code, int) else 500,
        str(status.get("reason", "")),
        str(status.get("message", ""))[:MAX_MESSAGE],
        body=dict(status),
    )


def _concern(status: int, message: str, details: Mapping[str, Any], causes: set[str]) -> Concern:
    if _is_admission(message):
        return "webhook"
    if status == 401:
        return "rights"
    if status == 403:
        return "namespace" if "NamespaceTerminating" in causes or "exceeded quota" in message else "rights"
    if status == 404:
        if details.get("kind") == "namespaces":
            return "namespace"
        return "object" if details.get("name") else "kind"
    if status == 429:
        return "namespace"
    return "object" if 400 <= status < 500 else "cluster"


def _is_admission(message: str) -> bool:
    """The API server puts these words before whatever a webhook or a policy says (apiserver, admission errors)."""
    return message.startswith(_ADMISSION) or any(f": {word}" in message[:MAX_MESSAGE] for word in _ADMISSION)
