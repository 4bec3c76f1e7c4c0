"""The model of the API server: requests in, answers out, all at once and in one place.

It follows kube-apiserver 1.36 in what the operator can see: codes, reasons and causes of refusals, revisions,
defaults, preconditions, pages and their tokens, watches. `tests/cluster/test_model.py` compares the two. Time and the
network are not its concern: see `model.network`.
"""

from __future__ import annotations

import itertools
import json
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from model import selectors
from model.objects import KINDS, Kind, Object, defaulted, managed, merge

Key = tuple[str, str, str]
"""Resource, namespace (empty for what belongs to the cluster), name."""

CUSTOM: Final = {plural for plural, kind in KINDS.items() if kind.custom}
MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Change:
    """One write as etcd keeps it."""

    revision: int
    key: Key
    before: Object | None
    after: Object | None
    actor: str
    at: float
    sent: int
    """The revision at which its request was sent."""


@dataclass(frozen=True, slots=True)
class Restored:
    """In the history: from here on these are the objects."""

    objects: Mapping[Key, Object]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the server takes it in."""

    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"
    actor: str = "operator"
    query: Mapping[str, str] = field(default_factory=dict)
    sent: int = -1
    """The revision at which it was sent; -1 for one that is answered at once."""

    @classmethod
    def of(
        cls, method: str, target: str, body: bytes | None, headers: Mapping[str, str], actor: str, sent: int
    ) -> Request:
        """From what goes over the wire."""
        split = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(split.query, keep_blank_values=True).items()}
        content = {name.lower(): value for name, value in headers.items()}.get(
            "content-type", "application/json"
        )
        return cls(method, split.path, json.loads(body) if body else None, content, actor, query, sent)


class Refused(Exception):
    """A refusal; `status` is the Status object, or text where the server itself answers in text."""

    def __init__(self, code: int, reason: str, message: str, *, details: Object | None = None, text: bool = False,
                 headers: Mapping[str, str] | None = None) -> None:  # fmt: skip
        super().__init__(message)
        self.code = code
        self.headers = dict(headers or {})
        self.body: Object | str = (
            message
            if text
            else {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": message,
                "reason": reason,
                **({"details": details} if details else {}),
                "code": code,
            }
        )


@dataclass(frozen=True, slots=True)
class Webhook:
    """What an admission webhook does with writes that match; `mutate` changes the object."""

    matches: Callable[[Request, Key], bool]
    code: int = 0
    message: str = "no"
    retry_after: int | None = None
    hangs: bool = False
    delay: float = 0.0
    mutate: Callable[[Object], Object] | None = None


class Hangs(Exception):
    """A webhook does not answer: the server waits for it, and then answers with `refusal`."""

    def __init__(self, seconds: float, refusal: Refused | None) -> None:
        super().__init__("a webhook takes its time")
        self.seconds = seconds
        self.refusal = refusal


class ModelServer:
    """Objects by key, and every change since the start. `clock`: seconds, for the history alone."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = clock
        self.revision = 1000
        self.objects: dict[Key, Object] = {}
        self.history: list[Change | Restored] = []
        """Everything that has ever happened, restores or not."""
        self._log: list[Change] = []
        """What etcd knows."""
        self.compacted = 0
        self.served = set(KINDS)
        self.webhooks: list[Webhook] = []
        self.quotas: dict[str, int] = {}
        self.listeners: list[Callable[[Change], None]] = []
        """Called after each change; the watches."""
        self.gone_as_event = True
        """Whether a watch from a compacted revision gets the 410 as an ERROR event, or as the answer's code."""
        self._pages: dict[int, dict[Key, Object]] = {}
        self._uids = itertools.count(1)
        self._sent = -1
        self.epoch = 0
        """Counts restores: a watch of an older one is dead."""
        for name in ("default", "kube-system", "tenantprofile-system"):
            self.create("namespaces", {"metadata": {"name": name}}, actor="kubernetes")
        self.served -= CUSTOM
        self.appear(*CUSTOM)

    # --- for tests: what people and rivals do ---

    def request(
        self, method: str, path: str, body: Any = None, *, actor: str = "rival", **query: str
    ) -> Object:
        """A request that is answered at once. Raises Refused."""
        kind = MERGE_PATCH if method == "PATCH" else "application/json"
        answer = self.handle(Request(method, path, deepcopy(body), kind, actor, query))
        return deepcopy(answer)

    def create(self, plural: str, body: Object, *, namespace: str = "", actor: str = "rival") -> Object:
        return self.request("POST", collection(plural, namespace), body, actor=actor)

    def get(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """An object, None where there is none."""
        found = self.objects.get((plural, namespace, name))
        return deepcopy(found) if found is not None else None

    def patch(
        self, plural: str, name: str, patch: Object, namespace: str = "", *, actor: str = "rival"
    ) -> Object:
        return self.request("PATCH", f"{collection(plural, namespace)}/{name}", patch, actor=actor)

    def delete(
        self,
        plural: str,
        name: str,
        namespace: str = "",
        *,
        actor: str = "rival",
        propagation: str = "Background",
    ) -> Object:
        options = {"propagationPolicy": propagation}
        return self.request("DELETE", f"{collection(plural, namespace)}/{name}", options, actor=actor)

    def all(self, plural: str, namespace: str | None = None) -> dict[tuple[str, str], Object]:
        """By namespace and name."""
        return {
            (at, name): body
            for (kind, at, name), body in self.objects.items()
            if kind == plural and (namespace is None or at == namespace)
        }

    # --- for tests: what clusters do ---

    def compact(self) -> None:
        """Forget the past: older watches and tokens are gone."""
        self.compacted = self.revision
        self._pages.clear()

    def backup(self) -> tuple[int, dict[Key, Object]]:
        """What `restore` takes."""
        return self.revision, dict(self.objects)

    def restore(self, backup: tuple[int, dict[Key, Object]]) -> None:
        """etcd is put back to an earlier state: revisions go back, and no watch hears of it."""
        self.revision, objects = backup[0], dict(backup[1])
        self.objects = objects
        self._log = []
        self.history.append(Restored(objects))
        self.compacted = self.revision
        self._pages.clear()
        self.epoch += 1

    def vanish(self, *plurals: str) -> None:
        """The CRD is deleted: its objects go, and it is not served any more."""
        for plural in plurals:
            # It is marked first, and its finalizer removes the objects (apiextensions, finalizer controller).
            key = ("customresourcedefinitions", "", f"{plural}.{KINDS[plural].group}")
            body = deepcopy(self.objects[key])
            body["metadata"] |= {"deletionTimestamp": self.stamp(), "deletionGracePeriodSeconds": 0}
            self._commit(key, body, "kubernetes")
        for key in [key for key in self.objects if key[0] in plurals]:
            self._commit(key, None, "kubernetes")
        self.served -= set(plurals)
        for plural in plurals:
            self._commit(
                ("customresourcedefinitions", "", f"{plural}.{KINDS[plural].group}"), None, "kubernetes"
            )

    def appear(self, *plurals: str) -> None:
        """The CRD is there again."""
        for plural in sorted(set(plurals) - self.served):
            name = f"{plural}.{KINDS[plural].group}"
            self.create("customresourcedefinitions", {"metadata": {"name": name}}, actor="kubernetes")
        self.served |= set(plurals)

    def finish_namespaces(self) -> None:
        """The namespace controller empties terminating namespaces and removes them."""
        for key, body in list(self.objects.items()):
            if key[0] != "namespaces" or not body["metadata"].get("deletionTimestamp"):
                continue
            for inner in [inner for inner in self.objects if inner[1] == key[2]]:
                self._begin_deletion(inner, "kubernetes", "Background")
            if not any(inner[1] == key[2] for inner in self.objects):
                self._commit(key, None, "kubernetes")

    def collect(self) -> None:
        """The garbage collector looks at every object once (Kubernetes documentation, Garbage Collection)."""
        live = {body["metadata"]["uid"]: key for key, body in self.objects.items()}
        for key, body in list(self.objects.items()):
            finalizers = body["metadata"].get("finalizers", [])
            if not body["metadata"].get("deletionTimestamp"):
                continue
            for rule in {"orphan", "foregroundDeletion"} & set(finalizers):
                for dependent in self._dependents(body["metadata"]["uid"]):
                    if rule == "orphan":
                        self._drop_references(dependent, {body["metadata"]["uid"]})
                    else:
                        self._begin_deletion(dependent, "collector", "Background")
                if rule == "orphan" or not self._dependents(body["metadata"]["uid"]):
                    rest = [name for name in finalizers if name != rule]
                    changed = deepcopy(body)
                    changed["metadata"]["finalizers"] = rest
                    self._update(key, changed, "collector", "collector")
        for key, body in list(self.objects.items()):
            references = body["metadata"].get("ownerReferences") or []
            if (
                references
                and not any(reference["uid"] in live for reference in references)
                and key in self.objects
            ):
                self._begin_deletion(key, "collector", "Background")

    def _dependents(self, uid: str) -> list[Key]:
        return [
            key
            for key, body in self.objects.items()
            if any(reference["uid"] == uid for reference in body["metadata"].get("ownerReferences") or [])
        ]

    def _drop_references(self, key: Key, uids: set[str]) -> None:
        body = deepcopy(self.objects[key])
        body["metadata"]["ownerReferences"] = [
            reference for reference in body["metadata"]["ownerReferences"] if reference["uid"] not in uids
        ]
        self._update(key, body, "collector", "collector")

    # --- requests ---

    def handle(self, request: Request) -> Object:
        """One request, which takes effect now; the answer's object. Raises Refused and Hangs."""
        self._sent = request.sent
        try:
            return self._handle(request)
        finally:
            self._sent = -1

    def _handle(self, request: Request) -> Object:
        if request.path == "/version":
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}
        kind, namespace, name, sub = self._route(request.path)
        if request.method == "GET":
            return (
                deepcopy(self._object(kind, namespace, name))
                if name
                else self._list(kind, namespace, request)
            )
        if request.method == "POST":
            return deepcopy(self._create(kind, namespace, request))
        if request.method == "PUT":
            return deepcopy(self._replace(kind, namespace, name, sub, request))
        if request.method == "PATCH":
            return deepcopy(self._patch(kind, namespace, name, sub, request))
        if request.method == "DELETE":
            return deepcopy(self._delete(kind, namespace, name, request))
        raise Refused(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
        )

    def _route(self, path: str) -> tuple[Kind, str, str, str]:
        parts = path.strip("/").split("/")
        skip = 2 if parts[0] == "api" else 3
        prefix, rest = "/" + "/".join(parts[:skip]), parts[skip:]
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        kind = KINDS.get(rest[0]) if rest else None
        if kind is None or kind.prefix != prefix or kind.plural not in self.served:
            raise Refused(404, "NotFound", "404 page not found\n", text=True)
        name, sub = (*rest[1:], "", "")[:2]
        return kind, namespace, name, sub

    def _object(self, kind: Kind, namespace: str, name: str) -> Object:
        found = self.objects.get((kind.plural, namespace, name))
        if found is None:
            raise self._not_found(kind, name)
        return found

    @staticmethod
    def _not_found(kind: Kind, name: str) -> Refused:
        plural = _qualified(kind)
        details = {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}
        return Refused(404, "NotFound", f'{plural} "{name}" not found', details=details)

    def _refusal(self, kind: Kind, name: str, code: int, reason: str, why: str) -> Refused:
        details = {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}
        message = (
            f'Operation cannot be fulfilled on {_qualified(kind)} "{name}": {why}'
            if reason == "Conflict"
            else f'{_qualified(kind)} "{name}" {why}'
        )
        return Refused(code, reason, message, details=details)

    # --- reads ---

    def _list(self, kind: Kind, namespace: str, request: Request) -> Object:
        matches = selectors.parse(request.query.get("labelSelector", ""))
        limit = int(request.query.get("limit") or 0)
        token = request.query.get("continue")
        revision, after = (self.revision, None) if token is None else _read_token(token)
        if revision < self.compacted:
            raise Refused(
                410,
                "Expired",
                "The provided continue parameter is too old to display a consistent list result.",
            )
        objects = self._pages.get(revision, self.objects) if token is not None else self.objects
        found = [
            (key, body)
            for key, body in sorted(objects.items())
            if key[0] == kind.plural
            and (not namespace or key[1] == namespace)
            and (after is None or key > after)
            and matches(body["metadata"].get("labels") or {})
        ]
        metadata: Object = {"resourceVersion": str(revision)}
        page = found[:limit] if limit else found
        if len(found) > len(page):
            self._pages[revision] = dict(objects)
            metadata["continue"] = _token(revision, page[-1][0])
            if "labelSelector" not in request.query:
                metadata["remainingItemCount"] = len(found) - len(page)
        items = [
            {k: v for k, v in deepcopy(body).items() if kind.custom or k not in ("kind", "apiVersion")}
            for _, body in page
        ]
        return {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.api_version,
            "metadata": metadata,
            "items": items,
        }

    def events(self, request: Request, since: int, *, is_open: bool = False) -> Iterable[tuple[int, Object]]:
        """What a watch that has seen the revision `since` gets: revisions and events. Raises Refused.

        A watch that is open outlives a compaction; a new one gets a 410.
        """
        if since < self.compacted and not is_open:
            raise Refused(410, "Expired", f"too old resource version: {since} ({self.compacted})")
        kind, namespace, _, _ = self._route(request.path)
        matches = selectors.parse(request.query.get("labelSelector", ""))

        def shown(body: Object | None) -> bool:
            return body is not None and matches(body["metadata"].get("labels") or {})

        for change in self._log:
            if change.revision <= since or change.key[0] != kind.plural:
                continue
            if namespace and change.key[1] != namespace:
                continue
            was, now = shown(change.before), shown(change.after)
            if not (was or now):
                continue
            last = deepcopy(change.after if now else change.before)
            assert last is not None
            last["metadata"]["resourceVersion"] = str(change.revision)
            yield (
                change.revision,
                {"type": "MODIFIED" if was and now else "ADDED" if now else "DELETED", "object": last},
            )

    # --- writes ---

    def _create(self, kind: Kind, namespace: str, request: Request) -> Object:
        body = defaulted(kind, request.body)
        metadata = body["metadata"]
        if "name" not in metadata and "generateName" in metadata:
            metadata["name"] = f"{metadata['generateName']}{next(self._uids):05x}"
        key = (kind.plural, namespace, metadata["name"])
        if namespace:
            space = self.objects.get(("namespaces", "", namespace))
            if space is None:
                raise self._not_found(KINDS["namespaces"], namespace)
            if space["metadata"].get("deletionTimestamp"):
                raise self._terminating(kind, key)
            metadata["namespace"] = namespace
        body = self._admit(request, key, body)
        if kind.plural == "networkpolicies" and namespace in self.quotas:
            self._check_quota(kind, key)
        if key in self.objects:
            raise self._refusal(kind, key[2], 409, "AlreadyExists", "already exists")
        for name in ("resourceVersion", "managedFields", "deletionTimestamp", "generation"):
            metadata.pop(name, None)
        body["metadata"]["uid"] = str(
            uuid.UUID(int=(next(self._uids) * 0x9E3779B97F4A7C15) % 2**128, version=4)
        )
        body["metadata"]["creationTimestamp"] = self.stamp()
        if kind.has_generation:
            body["metadata"]["generation"] = 1
        if kind.custom:
            body.pop("status", None)
        if kind.plural == "namespaces":
            body["status"] = {"phase": "Active"}
        body["metadata"]["managedFields"] = managed(None, body, _manager(request), self.stamp())
        return self._commit(key, body, request.actor)

    def _terminating(self, kind: Kind, key: Key) -> Refused:
        why = f"unable to create new content in namespace {key[1]} because it is being terminated"
        return Refused(
            403,
            "Forbidden",
            f'{_qualified(kind)} "{key[2]}" is forbidden: {why}',
            details={
                "name": key[2],
                **({"group": kind.group} if kind.group else {}),
                "kind": kind.plural,
                "causes": [
                    {
                        "reason": "NamespaceTerminating",
                        "message": f"namespace {key[1]} is being terminated",
                        "field": "metadata.namespace",
                    }
                ],
            },
        )

    def _check_quota(self, kind: Kind, key: Key) -> None:
        used, hard = len(self.all(kind.plural, key[1])), self.quotas[key[1]]
        if used >= hard:
            counted = "count/networkpolicies.networking.k8s.io"
            raise Refused(
                403,
                "Forbidden",
                f'{_qualified(kind)} "{key[2]}" is forbidden: exceeded quota: q, requested: {counted}=1, used:'
                f" {counted}={used}, limited: {counted}={hard}",
                details={"name": key[2], "group": kind.group, "kind": kind.plural},
            )

    def _admit(self, request: Request, key: Key, body: Object) -> Object:
        for hook in self.webhooks:
            if not hook.matches(request, key):
                continue
            refusal = None
            name = "hook.example.com"
            if hook.hangs:
                refusal = Refused(
                    500,
                    "InternalError",
                    f'Internal error occurred: failed calling webhook "{name}": failed to call webhook: Post'
                    ' "https://hook.example.com/?timeout=30s": context deadline exceeded',
                    details={"causes": [{"message": "context deadline exceeded"}]},
                )
                raise Hangs(30.0, refusal)
            if hook.code:
                details: Object = {} if hook.retry_after is None else {"retryAfterSeconds": hook.retry_after}
                headers = {} if hook.retry_after is None else {"Retry-After": str(hook.retry_after)}
                refusal = Refused(
                    hook.code,
                    "",
                    f'admission webhook "{name}" denied the request: {hook.message}',
                    details=details,
                    headers=headers,
                )
                raise refusal
            if hook.mutate is not None:
                body = hook.mutate(body)
        return body

    def _replace(self, kind: Kind, namespace: str, name: str, sub: str, request: Request) -> Object:
        key = (kind.plural, namespace, name)
        given = request.body.get("metadata") or {}
        if given.get("name") != name:
            raise Refused(
                400, "BadRequest",
                f"the name of the object ({given.get('name', '')}) does not match the name on the URL ({name})",
            )  # fmt: skip
        before = self.objects.get(key)
        version = given.get("resourceVersion")
        if before is None:
            if kind.create_on_update and given.get("uid"):
                raise self._refusal(kind, name, 409, "Conflict", "Precondition failed: UID in object meta: ")
            if kind.create_on_update:
                return self._create(kind, namespace, request)
            raise self._not_found(kind, name)
        if given.get("uid") not in (None, before["metadata"]["uid"]):
            raise self._refusal(
                kind, name, 409, "Conflict",
                f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta:"
                f" {before['metadata']['uid']}",
            )  # fmt: skip
        if not version and not kind.unconditional:
            raise self._no_version(kind, name)
        if version and version != before["metadata"]["resourceVersion"]:
            raise self._refusal(
                kind, name, 409, "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            )  # fmt: skip
        body = defaulted(kind, request.body)
        return self._update(
            key, self._carried(kind, before, body, sub), request.actor, _manager(request), request, sub
        )

    @staticmethod
    def _no_version(kind: Kind, name: str) -> Refused:
        return Refused(
            422, "Invalid",
            f'{kind.kind}.{kind.group} "{name}" is invalid: metadata.resourceVersion: Invalid value: 0: must be'
            " specified for an update",
            details={
                "name": name,
                "group": kind.group,
                "kind": kind.plural,
                "causes": [{"reason": "FieldValueInvalid", "field": "metadata.resourceVersion"}],
            },
        )  # fmt: skip

    def _patch(self, kind: Kind, namespace: str, name: str, sub: str, request: Request) -> Object:
        before = self._object(kind, namespace, name)
        if request.content_type != MERGE_PATCH:
            raise Refused(415, "UnsupportedMediaType", f"the model takes {MERGE_PATCH} alone")
        body = defaulted(kind, merge(before, request.body))
        if body["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
            raise self._refusal(
                kind, name, 409, "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            )  # fmt: skip
        key = (kind.plural, namespace, name)
        return self._update(
            key, self._carried(kind, before, body, sub), request.actor, _manager(request), request, sub
        )

    @staticmethod
    def _carried(kind: Kind, before: Object, body: Object, sub: str) -> Object:
        """What an update may not change stays as it was."""
        if sub == "status":
            carried = deepcopy(before)
            if "status" in body:
                carried["status"] = body["status"]
            else:
                carried.pop("status", None)
            return carried
        for field_name in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
                           "managedFields", "namespace"):  # fmt: skip
            body["metadata"].pop(field_name, None)
            if field_name in before["metadata"]:
                body["metadata"][field_name] = deepcopy(before["metadata"][field_name])
        if kind.custom or kind.plural == "namespaces":
            body.pop("status", None)
            if "status" in before:
                body["status"] = deepcopy(before["status"])
        return body

    def _update(
        self, key: Key, body: Object, actor: str, manager: str, request: Request | None = None, sub: str = ""
    ) -> Object:
        before = self.objects[key]
        kind = KINDS[key[0]]
        body = deepcopy(body)
        if request is not None:
            body = self._admit(request, key, body)
        body["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if not body["metadata"].get("finalizers"):
            body["metadata"].pop("finalizers", None)
        if not body["metadata"].get("ownerReferences"):
            body["metadata"].pop("ownerReferences", None)
        if body == before:
            return before  # nothing is written where nothing differs
        if kind.has_generation and _without(body, kind) != _without(before, kind):
            body["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        body["metadata"]["managedFields"] = managed(before, body, manager, self.stamp(), sub)
        if (
            body["metadata"].get("deletionTimestamp")
            and not body["metadata"].get("finalizers")
            and key[0] != "namespaces"
        ):
            self._commit(key, None, actor)
            return body
        return self._commit(key, body, actor)

    def _delete(self, kind: Kind, namespace: str, name: str, request: Request) -> Object:
        if not name:
            matches = selectors.parse(request.query.get("labelSelector", ""))
            for (at, other), body in list(self.all(kind.plural, namespace or None).items()):
                if matches(body["metadata"].get("labels") or {}):
                    self._begin_deletion((kind.plural, at, other), request.actor, "Background")
            return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": {}, "items": []}
        before = self._object(kind, namespace, name)
        key = (kind.plural, namespace, name)
        options = request.body or {}
        wanted = options.get("preconditions") or {}
        for field_name, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if field_name in wanted and wanted[field_name] != before["metadata"][field_name]:
                raise self._refusal(
                    replace(kind, plural=kind.kind), name, 409, "Conflict",
                    f"Precondition failed: {label} in precondition: {wanted[field_name]}, {label} in object meta:"
                    f" {before['metadata'][field_name]}",
                )  # fmt: skip
        self._admit(request, key, before)
        propagation = options.get("propagationPolicy") or "Background"
        kept = self._begin_deletion(key, request.actor, propagation)
        if kept is not None:
            return kept
        details = {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}
        return {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {**details, "uid": before["metadata"]["uid"]},
        }  # fmt: skip

    def _begin_deletion(self, key: Key, actor: str, propagation: str) -> Object | None:
        """Delete an object; what of it is kept by finalizers, or None."""
        body = deepcopy(self.objects[key])
        metadata = body["metadata"]
        finalizers = list(metadata.get("finalizers") or [])
        rule = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}.get(propagation)
        if rule is not None and rule not in finalizers:
            finalizers.append(rule)
        if not finalizers and key[0] != "namespaces":
            self._commit(key, None, actor)
            return None
        if metadata.get("deletionTimestamp") and finalizers == (metadata.get("finalizers") or []):
            return self.objects[key]
        if finalizers:
            metadata["finalizers"] = finalizers
        if key[0] == "namespaces":
            body["status"] = {"phase": "Terminating"}
        elif not metadata.get("deletionTimestamp") and "generation" in metadata:
            metadata["generation"] += 1
        metadata.setdefault("deletionTimestamp", self.stamp())
        if key[0] != "namespaces":
            metadata.setdefault("deletionGracePeriodSeconds", 0)
        return self._commit(key, body, actor)

    def _commit(self, key: Key, after: Object | None, actor: str) -> Object:
        self.revision += 1
        before = self.objects.get(key)
        if after is None:
            self.objects.pop(key, None)
        else:
            after["metadata"]["resourceVersion"] = str(self.revision)
            self.objects[key] = after
        sent = self.revision - 1 if self._sent < 0 else self._sent
        change = Change(self.revision, key, before, after, actor, self.clock(), sent)
        self.history.append(change)
        self._log.append(change)
        for listener in list(self.listeners):
            listener(change)
        return after if after is not None else {}

    def stamp(self) -> str:
        """The server's clock, to the second, as it stands in objects."""
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=int(self.clock()))).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        )


def collection(plural: str, namespace: str = "") -> str:
    """The path of a collection."""
    kind = KINDS[plural]
    return f"{kind.prefix}/namespaces/{namespace}/{plural}" if namespace else f"{kind.prefix}/{plural}"


def _qualified(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def _without(body: Object, kind: Kind) -> Object:
    """What counts as a new generation when it changes."""
    return (
        {k: v for k, v in body.items() if k not in ("metadata", "status")}
        if kind.custom
        else body.get("spec", {})
    )


def _manager(request: Request) -> str:
    return request.query.get("fieldManager") or request.actor


def _token(revision: int, after: Key) -> str:
    return urlsafe_b64encode(json.dumps([revision, *after]).encode()).decode()


def _read_token(token: str) -> tuple[int, Key]:
    revision, *after = json.loads(urlsafe_b64decode(token))
    return revision, (after[0], after[1], after[2])
